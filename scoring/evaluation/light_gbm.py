"""The anchor without privacy: LightGBM on the very columns of the frame. It finds crosses by itself."""

import time
import warnings
from dataclasses import dataclass
from functools import cached_property

import lightgbm
import numpy as np
from numpy.typing import NDArray

from scoring.cells import Quantity
from scoring.evaluation.contenders import Budget, Predictions, Rows
from scoring.frame import Frame
from scoring.schema import Derived, Feature

SEED = 7


@dataclass(frozen=True, kw_only=True)
class LightGbm:
    """Gradient boosting without privacy. Its parameters were chosen once, for none of the sets in particular."""

    frame: Frame
    name: str = "lightgbm"
    private: bool = False

    @cached_property
    def _values(self) -> NDArray[np.float64]:
        """Quantities as they are, special codes included; categories by number; NaN where absent."""
        columns = [self._column(place, column) for place, column in self.frame.graded]
        return np.column_stack(columns)

    def _column(self, place: int, column: Feature | Derived) -> NDArray[np.float64]:
        if isinstance(column.cells, Quantity):
            return self.frame.values[column.name].numbers
        cells = self.frame.cells[:, place]
        return np.where(cells == column.cells.absent, np.nan, cells)

    def fit_and_predict(self, learned: Rows, predicted: Rows, budget: Budget) -> Predictions:
        """The budget is not looked at."""
        del budget
        categorical = [
            index for index, (_, column) in enumerate(self.frame.graded) if not isinstance(column.cells, Quantity)
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
