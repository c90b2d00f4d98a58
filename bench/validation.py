"""How much a private validation can tell: the noise in the AUC, what is releasable, and whether intervals cover.

    python -m bench.validation [--seeds 100]

Scores are drawn from a normal distribution in points and outcomes as the scorecard's own scale says, so that every
figure's true value is known. No data set is read. Noise is that of one model's table at delta 1e-5, without groups.
"""

import argparse
import math
from statistics import fmean, pstdev

import numpy as np
from numpy.typing import NDArray

from scoring.dp.accounting import budget_rho_e12
from scoring.scorecard import BANDS
from scoring.validation.histogram import score_edges
from scoring.validation.intervals import Figure
from scoring.validation.performance import auc, bin_pd, brier, ks, measure_performance
from scoring.validation.tables import ScoreTable

SIZES, EPSILONS = (1_000, 6_000, 30_000), (0.5, 1.0, 3.0, 8.0)
DELTA_E12 = 10_000_000
MIDDLE, SPREAD, UNSCORABLE = 545.0, 30.0, 0.02
EDGES = score_edges(BANDS)
PD = bin_pd(EDGES)


def true_shares() -> NDArray[np.float64]:
    """(good, bad) shares of the population in each bin."""
    below = [0.5 * (1 + math.erf((edge - MIDDLE) / (SPREAD * math.sqrt(2)))) for edge in EDGES]
    mass = np.diff([0.0, *below, 1.0]) * (1 - UNSCORABLE)
    scored = np.stack([mass * (1 - PD), mass * PD], axis=-1)
    return np.concatenate([scored, [[UNSCORABLE * 0.8, UNSCORABLE * 0.2]]])


def main() -> None:
    parser = argparse.ArgumentParser(description="What a private validation can tell.")
    parser.add_argument("--seeds", type=int, default=100)
    seeds = parser.parse_args().seeds
    shares = true_shares()
    scored = shares[:-1]
    truth = {
        "auc": float(auc(scored)),
        "ks": float(ks(scored)),
        "brier": float(brier(scored, PD)),
        "bad_rate": float(scored[:, 1].sum() / scored.sum()),
        "ece": 0.0,
    }
    print(f"true AUC {truth['auc']:.4f}, {truth['bad_rate']:.1%} bad; {seeds} seeds a line; intervals at 90%")
    header = [
        "held out",
        "epsilon",
        "noise in AUC",
        "AUC releasable",
        "half-width",
        *(f"{name} covers" for name in truth),
    ]
    print("  ".join(header))
    for rows in SIZES:
        for epsilon in EPSILONS:
            print(_line(shares, truth, rows=rows, epsilon=epsilon, seeds=seeds, header=header), flush=True)


def _line(
    shares: NDArray[np.float64],
    truth: dict[str, float],
    *,
    rows: int,
    epsilon: float,
    seeds: int,
    header: list[str],
) -> str:
    source = np.random.default_rng(rows + round(epsilon * 1_000))
    sigma = math.sqrt(1e12 / (2 * budget_rho_e12(round(epsilon * 1e6), DELTA_E12)))
    noise, widths = [], []
    covered: dict[str, list[bool]] = {name: [] for name in truth}
    for _ in range(seeds):
        counts = source.multinomial(rows, shares.ravel()).reshape(shares.shape).astype(np.float64)
        noised = counts + np.rint(source.normal(0.0, sigma, shares.shape))
        noise.append(float(auc(noised[:-1]) - auc(counts[:-1])))
        pairs = tuple((int(good), int(bad)) for good, bad in noised)
        table = ScoreTable(edges=EDGES, counts=pairs, sigma_micro=round(sigma * 1e6))
        figures = measure_performance(table, BANDS[-1:], rows_per_person=1).figures
        for name, value in truth.items():
            found = figures[name]
            if isinstance(found, Figure):
                covered[name].append(found.low_ppm - 1 <= value * 1e6 <= found.high_ppm + 1)
                if name == "auc":
                    widths.append((found.high_ppm - found.low_ppm) / 2e6)
    cells = [
        f"{rows}",
        f"{epsilon:g}",
        f"{pstdev(noise):.4f}",
        f"{len(covered['auc']) / seeds:.0%}",
        f"{fmean(widths):.4f}" if widths else "-",
        *(f"{fmean(hits):.0%}" if len(hits) > seeds / 2 else "-" for hits in covered.values()),
    ]
    return "  ".join(cell.rjust(len(name)) for cell, name in zip(cells, header, strict=True))


if __name__ == "__main__":
    main()
