"""The anchor with privacy: DP-EBM on the very columns of the frame, except crosses, which it does not take."""

import time
import warnings
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from interpret.privacy import DPExplainableBoostingClassifier
from numpy.typing import NDArray

from scoring.cells import MAX_CELLS, Quantity
from scoring.evaluation.contenders import Budget, Predictions, Rows
from scoring.frame import Frame


@dataclass(frozen=True, kw_only=True)
class DpEbm:
    """Explainable boosting under differential privacy (Nori, Caruana, Bu, Shen, Kulkarni 2021), as interpret has it.

    It is given what the schema makes public: bounds that hold the special codes too, and a place below them for
    absence, which it does not take. Of what was tried on the public sets (logarithms, places of their own for codes,
    our public cells, crosses as nominal columns) this made it strongest.
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
    """A quantity as it is, absence a step below all that it can be; and public bounds."""
    low, high = min((cells.low, *cells.special)), max((cells.high, *cells.special))
    absent = low - (high - low) / MAX_CELLS
    return np.where(np.isnan(values), absent, values), (absent, high)
