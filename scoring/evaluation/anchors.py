"""What the models here are measured against: LightGBM, which is not private, and DP-EBM, which is.

Both see the very columns of the frame; trees and boosted bins take quantities as numbers, so crosses are left to them.
"""

import time
import warnings
from dataclasses import dataclass
from functools import cached_property

import lightgbm
import numpy as np
from interpret.privacy import DPExplainableBoostingClassifier
from numpy.typing import NDArray

from scoring.cells import Quantity
from scoring.evaluation.contenders import Budget, Predictions, Rows
from scoring.frame import Frame
from scoring.schema import Column, Cross

SEED = 7


def graded_columns(frame: Frame) -> list[tuple[int, Column]]:
    """The columns of a frame that have a value of their own, each with its place among the frame's columns."""
    return [(place, column) for place, column in enumerate(frame.columns) if not isinstance(column, Cross)]


@dataclass(frozen=True, kw_only=True)
class LightGbm:
    """Gradient boosting without privacy. Its parameters were chosen once, for none of the sets in particular."""

    frame: Frame
    name: str = "lightgbm"
    private: bool = False

    @cached_property
    def _values(self) -> NDArray[np.float64]:
        """Quantities as they are, special codes included; categories by number; NaN where absent."""
        columns = [self._column(place, column) for place, column in graded_columns(self.frame)]
        return np.column_stack(columns)

    def _column(self, place: int, column: Column) -> NDArray[np.float64]:
        if isinstance(column.cells, Quantity):
            return self.frame.values[column.name].numbers
        cells = self.frame.cells[:, place]
        return np.where(cells == column.cells.absent, np.nan, cells)

    def fit_and_predict(self, learned: Rows, predicted: Rows, budget: Budget) -> Predictions:
        """The budget is not looked at."""
        del budget
        categorical = [
            index
            for index, (_, column) in enumerate(graded_columns(self.frame))
            if not isinstance(column.cells, Quantity)
        ]
        values, few = self._values, len(learned) < 5_000
        started_s = time.perf_counter()
        model = lightgbm.LGBMClassifier(
            n_estimators=120 if few else 300,
            learning_rate=0.03,
            num_leaves=7 if few else 15,
            min_child_samples=20 if few else 60,
            subsample=0.8,
            subsample_freq=1,
            colsample_bytree=0.6,
            reg_lambda=5.0,
            random_state=SEED,
            n_jobs=1,
            verbose=-1,
        ).fit(values[learned], self.frame.labels[learned], categorical_feature=categorical or "auto")
        fit_s = time.perf_counter() - started_s
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that an array has no names of columns
            pd = np.asarray(model.predict_proba(values[predicted]))[:, 1]
        return Predictions(risk=pd, pd=pd, fit_s=fit_s)


@dataclass(frozen=True, kw_only=True)
class DpEbm:
    """Explainable boosting under differential privacy (Nori, Caruana, Bu, Shen, Kulkarni 2021), as interpret has it.

    It is given what the schema makes public, as whoever uses it well would: bounds, the logarithm of a quantity whose
    cells are spread by it, and a place below the bounds for each special code and for absence, which it does not take.
    """

    frame: Frame
    name: str = "dp-ebm"
    private: bool = True

    @cached_property
    def _inputs(self) -> tuple[NDArray[np.object_], list[str], dict[int, tuple[float, float]]]:
        columns, types, bounds = [], [], {}
        for index, (place, column) in enumerate(graded_columns(self.frame)):
            if isinstance(column.cells, Quantity):
                values, bounds[index] = place_in_bounds(column.cells, self.frame.values[column.name].numbers)
                columns.append(values.astype(object))
                types.append("continuous")
            else:
                columns.append(np.array([f"{cell}" for cell in self.frame.cells[:, place]], dtype=object))
                types.append("nominal")
        return np.column_stack(columns), types, bounds

    def fit_and_predict(self, learned: Rows, predicted: Rows, budget: Budget) -> Predictions:
        """Fit with interpret's own split of the budget, under Gaussian differential privacy."""
        values, types, bounds = self._inputs
        started_s = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a fixed seed is no privacy: it is for evaluation only
            model = DPExplainableBoostingClassifier(
                feature_types=types,
                epsilon=budget.epsilon_micro / 1e6,
                delta=budget.delta_e12 / 1e12,
                composition="gdp",
                privacy_bounds=bounds,
                random_state=budget.seed,
                n_jobs=1,
            ).fit(values[learned], self.frame.labels[learned])
            fit_s = time.perf_counter() - started_s
            pd = np.asarray(model.predict_proba(values[predicted]))[:, 1]
        return Predictions(risk=pd, pd=pd, fit_s=fit_s)


def place_in_bounds(cells: Quantity, values: NDArray[np.float64]) -> tuple[NDArray[np.float64], tuple[float, float]]:
    """A quantity on the scale of its cells, with codes and absence evenly below it; and its bounds."""

    def scaled(value: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.copysign(np.log1p(np.abs(value)), value) if cells.log else value

    low, high = scaled(np.array([cells.low, cells.high]))
    step = (high - low) / cells.ordinary
    placed = scaled(values)
    for number, code in enumerate(cells.special, start=1):
        placed[values == code] = low - number * step
    lowest = low - (len(cells.special) + 1) * step
    placed[np.isnan(values)] = lowest
    return placed, (float(lowest), float(high))
