"""Discrimination of the private scorecard beside LightGBM: the same columns, the same rows, the same folds.

    python -m bench.scorecard [--data NAME --schema TOML] [--epsilon 1] [--folds 5] [--seeds 2]

Reads $CREDENCE_TEST_DATA/data/NAME/NAME.csv.gz and prints JSON. Public data only: raw figures on held-out rows.
"""

import argparse
import csv
import gzip
import json
import os
import secrets
import time
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold

from bench.baseline import input_values, lightgbm_pd
from scoring.dp.accounting import budget_rho_e12
from scoring.dp.mechanisms import Releases
from scoring.dp.sampler import SystemSampler
from scoring.fitting import Records, fit_points, pd_ppm_of_totals, read_records, total_points
from scoring.schema import Schema, parse_schema

DELTA_E12 = 10_000_000
ROOT = Path(__file__).resolve().parent.parent


def measure(schema: Schema, rows: list[dict[str, str]], *, epsilons: list[float], folds: int, seeds: int) -> object:
    """Mean figures over the folds, and over noise seeds for the private models."""
    records = read_records(schema, rows)
    labels = records.labels.numpy()
    values = input_values(schema, rows)
    splits = list(StratifiedKFold(folds, shuffle=True, random_state=7).split(values, labels))
    result: dict[str, object] = {
        "schema": schema.name,
        "note": "public or development data only",
        "inputs": len(schema.inputs),
        "rows": len(rows),
        "folds": folds,
        "delta": DELTA_E12 / 1e12,
        "lightgbm": _summary([_lightgbm(values, labels, train, test) for train, test in splits]),
    }
    for epsilon in epsilons:
        started = time.perf_counter()
        runs = [_private(schema, records, train, test, epsilon) for _ in range(seeds) for train, test in splits]
        seconds = (time.perf_counter() - started) / len(runs)
        result[f"scorecard_epsilon_{epsilon:g}"] = {**_summary(runs), "fit_and_score_s": round(seconds, 2)}
    return result


def _private(
    schema: Schema, records: Records, train: np.ndarray, test: np.ndarray, epsilon: float
) -> tuple[float, float]:
    releases = Releases(
        sampler=SystemSampler(),
        charged_rho_e12=budget_rho_e12(round(epsilon * 1e6), DELTA_E12),
        rows_per_person=schema.rows_per_person,
    )
    rows = torch.from_numpy(train)
    fold = Records(
        cells=records.cells[rows], labels=records.labels[rows], persons=tuple(records.persons[i] for i in train)
    )
    fitted = fit_points(schema.inputs, fold, releases, row_cap=len(records.persons), random_bytes=secrets.token_bytes)
    totals = total_points(fitted, records.cells[torch.from_numpy(test)])
    pd = pd_ppm_of_totals(totals).numpy() / 1e6
    labels = records.labels.numpy()[test]
    return roc_auc_score(labels, -totals.numpy()), _calibration_error(labels, pd)


def _lightgbm(values: np.ndarray, labels: np.ndarray, train: np.ndarray, test: np.ndarray) -> tuple[float, float]:
    pd = lightgbm_pd(values[train], labels[train], values[test])
    return roc_auc_score(labels[test], pd), _calibration_error(labels[test], pd)


def _calibration_error(labels: np.ndarray, pd: np.ndarray) -> float:
    """Expected calibration error over ten bins of equal mass."""
    bins = np.array_split(np.argsort(pd, kind="stable"), 10)
    return float(sum(abs(labels[rows].mean() - pd[rows].mean()) * len(rows) for rows in bins) / len(labels))


def _summary(runs: list[tuple[float, float]]) -> dict[str, float]:
    auc, error = np.array(runs).T
    return {
        "auc": round(float(auc.mean()), 4),
        "auc_deviation": round(float(auc.std()), 4),
        "calibration_error": round(float(error.mean()), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="taiwan")
    parser.add_argument("--schema", type=Path, default=ROOT / "scoring/schemas/taiwan.toml")
    parser.add_argument("--epsilon", type=float, nargs="+", default=[1.0])
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=2)
    arguments = parser.parse_args()
    path = Path(os.environ["CREDENCE_TEST_DATA"]) / "data" / arguments.data / f"{arguments.data}.csv.gz"
    with gzip.open(path, "rt", newline="") as file:
        rows = list(csv.DictReader(file))
    schema = parse_schema(arguments.schema.read_bytes())
    print(json.dumps(measure(schema, rows, epsilons=arguments.epsilon, folds=arguments.folds, seeds=arguments.seeds)))


if __name__ == "__main__":
    main()
