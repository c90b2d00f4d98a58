"""The scorecard beside DP-EBM and LightGBM on sets made to be unlike each other, and unlike the public ones.

    python -m bench.made_sets [--sets few_rows,wide,...] [--noise-seeds 2]

The constants of a fit were looked at on three public sets, and what suits those may fail on the next. So here are few
rows, many columns of which most say nothing, few bad rows with skewed quantities and gaps, strong interactions, codes
among columns that go together, and a set from a clinic. Evaluates as `credence evaluate` does, prints a table, and
exits with 1 where the scorecard is behind DP-EBM by more than a standard error of the difference. No data is read but
what is made here and what scikit-learn carries.
"""

import argparse
import sys
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer

from bench.frontier_report import compare
from scoring.evaluation.evaluate import Plan, evaluate
from scoring.evaluation.registry import make_contender, use_one_thread
from scoring.frame import read_frame
from scoring.schema import Schema, parse_schema

EPSILONS_MICRO = (500_000, 1_000_000, 3_000_000, 8_000_000)
DELTA_E12, FOLDS, SEED = 10_000_000, 5, 7

Columns = Mapping[str, NDArray[np.generic]]
Made = tuple[str, Columns, NDArray[np.int64]]
"""A schema's features, the columns by name, and the labels."""


def main() -> int:
    """Run the sets; 1 where the scorecard is behind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--noise-seeds", type=int, default=2)
    options = parser.parse_args()
    use_one_thread()
    plan = Plan(
        epsilons_micro=EPSILONS_MICRO, delta_e12=DELTA_E12, folds=FOLDS, seed=SEED, noise_seeds=options.noise_seeds
    )
    behind = 0
    print(f"{'set':<14}{'epsilon':>8}{'scorecard':>11}{'DP-EBM':>8}{'LightGBM':>10}   scorecard less DP-EBM")
    for name in options.sets.split(","):
        schema, rows = make_set(name)
        frame = read_frame(schema, rows, schema.unprotected)
        models = [make_contender(model, schema, frame) for model in ("scorecard", "dp-ebm", "lightgbm")]
        results = {(one.model, one.epsilon_micro): one for one in evaluate(frame.labels, models, plan)}
        for epsilon_micro in EPSILONS_MICRO:
            ours, theirs = results["scorecard", epsilon_micro], results["dp-ebm", epsilon_micro]
            ahead, error = compare(ours, theirs)
            behind += ahead < -error
            print(
                f"{name:<14}{epsilon_micro / 1e6:>8g}{ours.auc:>11.4f}{theirs.auc:>8.4f}"
                f"{results['lightgbm', None].auc:>10.4f}   {ahead:+.4f} ± {error:.4f}"
                f"{'  BEHIND' if ahead < -error else ''}",
                flush=True,
            )
    return 1 if behind else 0


def make_set(name: str) -> tuple[Schema, list[dict[str, str]]]:
    """The same rows each time."""
    features, columns, labels = SETS[name](np.random.default_rng(42))
    schema = parse_schema(f'name = "{name}"\nlabel = "default"\n{features}'.encode())
    texts = {one: ["" if value == "nan" else value for value in map(str, of)] for one, of in columns.items()}
    texts["default"] = list(map(str, labels.tolist()))
    return schema, [dict(zip(texts, row, strict=True)) for row in zip(*texts.values(), strict=True)]


def clinic(_: np.random.Generator) -> Made:
    """569 rows of 30 quantities that go together (Wolberg, Street, Mangasarian 1993), by scikit-learn."""
    bunch = load_breast_cancer()
    names = [str(name).replace(" ", "_") for name in bunch.feature_names]
    columns = dict(zip(names, bunch.data.T, strict=True))
    features = "".join(_quantity(name, 0.8 * of.min(), 1.2 * of.max()) for name, of in columns.items())
    return features, columns, 1 - bunch.target.astype(np.int64)


def few_rows(draw: np.random.Generator) -> Made:
    """690 rows of quantities and categories."""
    flags, quantities, grades = (
        draw.integers(0, 2, (690, 3)),
        draw.normal(size=(690, 5)),
        draw.integers(1, 10, (690, 3)),
    )
    log_odds = (
        4.4 * (flags[:, 0] - 0.5)
        - 0.8 * quantities[:, 0]
        + 0.5 * quantities[:, 1]
        + 0.15 * (grades[:, 0] - 5)
        + 0.6 * (flags[:, 1] - 0.5) * quantities[:, 2]
    )
    columns = {**_named("flag", flags), **_named("quantity", quantities.round(3)), **_named("grade", grades)}
    features = "".join(
        [
            *(_categories(f"flag{place}", "01") for place in range(3)),
            *(_quantity(f"quantity{place}", -4, 4) for place in range(5)),
            *(_categories(f"grade{place}", "123456789") for place in range(3)),
        ]
    )
    return features, columns, _labels(draw, log_odds)


def wide(draw: np.random.Generator) -> Made:
    """5,000 rows of 60 quantities, of which 8 say something."""
    values = draw.normal(size=(5_000, 60))
    log_odds = -1.2 + values[:, :8] @ np.array([0.8, -0.6, 0.5, 0.4, 0.4, -0.3, 0.3, 0.2])
    log_odds += 0.4 * np.maximum(values[:, 0], 0) * values[:, 1]
    features = "".join(_quantity(f"x{place}", -4, 4) for place in range(60))
    return features, _named("x", values.round(4)), _labels(draw, log_odds)


def rare(draw: np.random.Generator) -> Made:
    """20,000 rows, about 2% of them bad, of skewed quantities, some of them absent."""
    rows = 20_000
    income, late = draw.lognormal(8, 1, rows), draw.poisson(0.3, rows)
    debt, utilisation = income * draw.beta(1.2, 3, rows), draw.beta(0.6, 1.2, rows)
    log_odds = -5.3 + 1.5 * utilisation + 0.6 * np.minimum(late, 5) - 0.3 * (np.log(income) - 8)
    log_odds += 1.2 * ((debt / income > 0.5) & (utilisation > 0.7))
    columns = {
        "income": np.where(draw.random(rows) < 0.15, np.nan, income.round(2)),
        "debt": debt.round(2),
        "late": late,
        "age": draw.integers(18, 80, rows),
        "utilisation": utilisation.round(4),
    }
    features = (
        _quantity("income", 0, 500_000, 'log = true\nmonotone = "decreasing"')
        + _quantity("debt", 0, 200_000, "log = true")
        + _quantity("late", 0, 10, 'monotone = "increasing"')
        + _quantity("age", 18, 90)
        + _quantity("utilisation", 0, 1, 'monotone = "increasing"')
        + '[[derived]]\nname = "debt_share"\nexpr = "debt / income"\nkind = "numeric"\nlow = 0\nhigh = 1.5\n'
    )
    return features, columns, _labels(draw, log_odds)


def interacting(draw: np.random.Generator) -> Made:
    """12,000 rows whose columns say next to nothing apart."""
    x = draw.random((12_000, 8))
    trade, region = draw.integers(0, 6, 12_000), draw.integers(0, 4, 12_000)
    log_odds = (
        -0.8
        + 3 * (2 * x[:, 0] - 1) * (2 * x[:, 1] - 1)
        + 2 * np.where(trade < 3, 1, -1) * (2 * x[:, 2] - 1)
        + 1.8 * ((x[:, 3] > 0.6) & (region >= 2))
        + 0.8 * x[:, 4]
        + 1.5 * np.sin(6 * x[:, 5]) * (x[:, 6] > 0.5)
    )
    features = "".join(_quantity(f"x{place}", 0, 1) for place in range(8))
    features += _categories("trade", "012345") + _categories("region", "0123")
    return features, {**_named("x", x.round(4)), "trade": trade, "region": region}, _labels(draw, log_odds)


def together(draw: np.random.Generator) -> Made:
    """10,000 rows of 20 quantities that four causes stand behind, 6% of them a code."""
    causes = draw.normal(size=(10_000, 4))
    values = 0.6 * causes @ draw.normal(size=(4, 20)) + 0.8 * draw.normal(size=(10_000, 20))
    log_odds = 0.1 + causes[:, 0] - 0.7 * causes[:, 1] + 0.5 * np.abs(causes[:, 2]) + 0.3 * values[:, 3]
    log_odds += 0.4 * np.maximum(0, values[:, 4])
    shown = np.where(draw.random(values.shape) < 0.06, -9, np.rint(10 * values + 50)).astype(np.int64)
    features = "".join(_quantity(f"x{place}", 0, 100, "special = [-9, -8]") for place in range(20))
    return features, _named("x", shown), _labels(draw, log_odds)


SETS: dict[str, Callable[[np.random.Generator], Made]] = {
    one.__name__: one for one in (clinic, few_rows, wide, rare, interacting, together)
}


def _labels(draw: np.random.Generator, log_odds: NDArray[np.float64]) -> NDArray[np.int64]:
    return (draw.random(len(log_odds)) < 1 / (1 + np.exp(-log_odds))).astype(np.int64)


def _named(stem: str, values: NDArray[np.generic]) -> Columns:
    return {f"{stem}{place}": of for place, of in enumerate(values.T)}


def _quantity(name: str, low: float, high: float, more: str = "") -> str:
    return f'[[feature]]\nname = "{name}"\nkind = "numeric"\nlow = {low:.3g}\nhigh = {high:.3g}\n{more}\n'


def _categories(name: str, values: str) -> str:
    quoted = ", ".join(f'"{value}"' for value in values)
    return f'[[feature]]\nname = "{name}"\nkind = "categorical"\ncategories = [{quoted}]\n'


if __name__ == "__main__":
    sys.exit(main())
