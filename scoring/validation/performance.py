"""Discrimination and calibration of a model from its noised score table: nothing here sees a row.

Scores are known to their bin, so a pair within one bin counts half in the AUC, and everybody in a bin has the
probability of default of the bin's middle. Those without a score count in `unscorable` alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from scoring.scorecard import Band, pd_ppm_of_points
from scoring.validation.intervals import (
    CONFIDENCE_PPM,
    Array,
    Bootstrap,
    Figure,
    NotReleasable,
    Statistic,
    bootstrap,
)
from scoring.validation.tables import ScoreTable

GOOD, BAD = 0, 1
CALIBRATION_GROUPS = 10
MOST_NOISE_OF_ECE = 0.01
_BEYOND = 10
"""Points by which the middle of an open bin lies beyond its edge."""

Figures = Mapping[str, Figure | NotReleasable]


@dataclass(frozen=True, kw_only=True)
class BandFigures:
    """One band: the share of the scored in it, how many of them went bad, and how many the model expected to."""

    name: str
    figures: Figures


@dataclass(frozen=True, kw_only=True)
class Performance:
    """The figures of a model, and its bands' from the best down."""

    figures: Figures
    bands: tuple[BandFigures, ...]


def measure_performance(table: ScoreTable, bands: Sequence[Band], *, rows_per_person: int) -> Performance:
    """All figures of a score table, with intervals at CONFIDENCE_PPM."""
    counts = np.array(table.counts, dtype=np.float64)
    draws = bootstrap(counts, sigma=table.sigma_micro / 1e6, rows_per_person=rows_per_person)
    pd = bin_pd(table.edges)
    statistics = _statistics(draws, pd)
    figures = {name: draws.estimate(statistic) for name, statistic in statistics.items()}
    return Performance(
        figures={**figures, "ece": _estimate_ece(draws, pd)},
        bands=tuple(
            BandFigures(
                name=band.name,
                figures={name: draws.estimate(one) for name, one in _band_statistics(cells, counts, pd).items()},
            )
            for band, cells in zip(bands, band_cells(table.edges, bands), strict=True)
        ),
    )


def auc(counts: Array) -> Array:
    """The chance that a bad one has fewer points than a good one, ties half; (..., bins, 2), no unscorable bin."""
    good, bad = counts[..., GOOD], counts[..., BAD]
    above = good.sum(-1, keepdims=True) - np.cumsum(good, -1)
    pairs: Array = (bad * (above + good / 2)).sum(-1) / (good.sum(-1) * bad.sum(-1))
    return pairs


def ks(counts: Array) -> Array:
    """The largest distance between the distributions of good and bad, at the edges of the bins."""
    shares = np.cumsum(counts, -2) / counts.sum(-2, keepdims=True)
    distance: Array = np.abs(shares[..., BAD] - shares[..., GOOD]).max(-1)
    return distance


def brier(counts: Array, pd: Array) -> Array:
    """Mean squared distance of the bin's probability from what came."""
    squares = (counts[..., BAD] * (1 - pd) ** 2 + counts[..., GOOD] * pd**2).sum(-1)
    mean: Array = squares / counts.sum((-2, -1))
    return mean


def calibration_gaps(counts: Array, pd: Array, groups: Array) -> Array:
    """Expected less observed bad ones of each group of bins, as a share of all; `groups` is (groups, bins) of 0 and 1.

    The expected calibration error is the sum of their absolute values.
    """
    gaps: Array = (counts.sum(-1) * pd - counts[..., BAD]) @ groups.T / counts.sum((-2, -1))[..., None]
    return gaps


def bin_pd(edges: Sequence[int]) -> Array:
    """The probability of default in the middle of each bin but the unscorable one."""
    bounds = [edges[0] - 2 * _BEYOND, *edges, edges[-1] + 2 * _BEYOND]
    return np.array([pd_ppm_of_points((low + high) // 2) / 1e6 for low, high in pairwise(bounds)])


def band_cells(edges: Sequence[int], bands: Sequence[Band]) -> list[slice]:
    """The bins of each band; a band's cut-off is an edge, and the last band begins with the first bin."""
    starts = [edges.index(band.from_points) + 1 for band in bands[:-1]] + [0]
    return [slice(start, stop) for start, stop in zip(starts, [len(edges) + 1, *starts], strict=False)]


def _statistics(draws: Bootstrap, pd: Array) -> dict[str, Statistic]:
    shape = draws.counts.shape
    scored, good, bad, everybody = (np.zeros(shape, dtype=bool) for _ in range(4))
    scored[:-1] = good[:-1, GOOD] = bad[:-1, BAD] = everybody[:] = True
    both = (good, bad)
    return {
        "auc": Statistic(of=lambda table: auc(table[..., :-1, :]), rests_on=both, most_noise=0.025),
        "gini": Statistic(
            of=lambda table: 2 * auc(table[..., :-1, :]) - 1, rests_on=both, most_noise=0.05, lowest=-1.0
        ),
        "ks": Statistic(of=lambda table: ks(table[..., :-1, :]), rests_on=both, most_noise=0.05, inflated=True),
        "brier": Statistic(of=lambda table: brier(table[..., :-1, :], pd), rests_on=(scored,), most_noise=0.02),
        "bad_rate": Statistic(of=lambda table: _bad_rate(table[..., :-1, :]), rests_on=(scored,), most_noise=0.02),
        "mean_pd": Statistic(of=lambda table: _mean_pd(table[..., :-1, :], pd), rests_on=(scored,), most_noise=0.02),
        "calibration_gap": Statistic(
            of=lambda table: _mean_pd(table[..., :-1, :], pd) - _bad_rate(table[..., :-1, :]),
            rests_on=(scored,),
            most_noise=0.02,
            lowest=-1.0,
        ),
        "unscorable": Statistic(
            of=lambda table: table[..., -1, :].sum(-1) / table.sum((-2, -1)), rests_on=(everybody,), most_noise=0.02
        ),
    }


def _estimate_ece(draws: Bootstrap, pd: Array) -> Figure | NotReleasable:
    """The expected calibration error over groups of about the same mass.

    Chance and noise make gaps where there are none, so each gap's variance is taken off its square (after Kumar, Liang,
    Ma 2019). Near zero the basic bootstrap is no guide. The lower end is what is observed less all that the errors of
    the gaps amount to together (the triangle inequality); the upper one is the percentile of the draws, which chance
    has raised once more than what was observed: both err on the safe side.
    """
    scored = np.zeros(draws.counts.shape, dtype=bool)
    scored[:-1] = True
    groups = _equal_groups(draws.origin[:-1].sum(-1))

    def gaps(table: Array) -> Array:
        return calibration_gaps(table[..., :-1, :], pd, groups)

    releasable = draws.estimate(
        Statistic(of=lambda table: np.abs(gaps(table)).sum(-1), rests_on=(scored,), most_noise=MOST_NOISE_OF_ECE)
    )
    if isinstance(releasable, NotReleasable):
        return releasable
    observed, drawn = gaps(draws.counts), gaps(draws.drawn)
    errors = drawn - gaps(draws.origin)
    value = float(np.sqrt(np.maximum(observed**2 - errors.var(0), 0.0)).sum())
    tail = (1 - CONFIDENCE_PPM / 1e6) / 2
    low = float(np.abs(observed).sum() - np.quantile(np.abs(errors).sum(-1), 1 - tail))
    high = float(np.quantile(np.abs(drawn).sum(-1), 1 - tail))
    return Figure(
        value_ppm=round(value * 1e6),
        low_ppm=round(max(min(low, value), 0.0) * 1e6),
        high_ppm=round(min(max(high, value), 1.0) * 1e6),
    )


def _band_statistics(cells: slice, counts: Array, pd: Array) -> dict[str, Statistic]:
    scored, of_band = np.zeros(counts.shape, dtype=bool), np.zeros(counts.shape, dtype=bool)
    scored[:-1] = of_band[cells] = True
    return {
        "share": Statistic(
            of=lambda table: table[..., cells, :].sum((-2, -1)) / table[..., :-1, :].sum((-2, -1)),
            rests_on=(scored,),
            most_noise=0.05,
        ),
        "bad_rate": Statistic(of=lambda table: _bad_rate(table[..., cells, :]), rests_on=(of_band,), most_noise=0.05),
        "mean_pd": Statistic(
            of=lambda table: _mean_pd(table[..., cells, :], pd[cells]), rests_on=(of_band,), most_noise=0.05
        ),
    }


def _bad_rate(counts: Array) -> Array:
    rate: Array = counts[..., BAD].sum(-1) / counts.sum((-2, -1))
    return rate


def _mean_pd(counts: Array, pd: Array) -> Array:
    mean: Array = (counts.sum(-1) * pd).sum(-1) / counts.sum((-2, -1))
    return mean


def _equal_groups(mass: Array) -> Array:
    """Adjacent bins in at most CALIBRATION_GROUPS groups of about the same mass: (groups, bins) of 0 and 1."""
    middle = (np.cumsum(mass) - mass / 2) / mass.sum()
    group = np.minimum((middle * CALIBRATION_GROUPS).astype(np.int64), CALIBRATION_GROUPS - 1)
    groups: Array = (group == np.arange(CALIBRATION_GROUPS)[:, None]).astype(np.float64)
    return groups
