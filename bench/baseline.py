"""The baseline that the scorecard is measured against: LightGBM, which is not private, on the same columns and rows."""

from collections.abc import Sequence

import lightgbm
import numpy as np
from numpy.typing import NDArray

from scoring.features import features_from_row
from scoring.rows import Row
from scoring.schema import Schema


def input_values(schema: Schema, rows: Sequence[Row]) -> NDArray[np.float64]:
    """The values of the inputs, a row each, NaN where absent; without the crosses, which trees find by themselves."""
    inputs = {column.name for column in schema.inputs}
    places = [place for place, column in enumerate(schema.graded) if column.name in inputs]
    graded = [features_from_row(schema, row).values for row in rows]
    return np.array([[_number(values[place]) for place in places] for values in graded], dtype=np.float64)


def lightgbm_pd(
    values: NDArray[np.float64], labels: NDArray[np.int64], held_out: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The probability of default of each held-out row, by a model fitted to `values` and `labels`."""
    model = lightgbm.LGBMClassifier(
        n_estimators=200,
        learning_rate=0.04,
        num_leaves=15,
        min_child_samples=60,
        subsample=0.8,
        subsample_freq=1,
        colsample_bytree=0.6,
        reg_lambda=5.0,
        random_state=7,
        verbose=-1,
    ).fit(values, labels)
    pd: NDArray[np.float64] = np.asarray(model.predict_proba(held_out))[:, 1]
    return pd


def _number(value: float | str | None) -> float:
    return np.nan if value is None else float(value)
