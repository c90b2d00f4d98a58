"""The anchor with privacy: DP-EBM on the very columns of the frame, except crosses, which it does not take."""

import time
import warnings
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from interpret.privacy import DPExplainableBoostingClassifier
from numpy.typing import NDArray

from scoring.cells import Quantity
from scoring.evaluation.contenders import Budget, Predictions, Rows
from scoring.frame import Frame


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
        for index, (place, column) in enumerate(self.frame.graded):
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
