"""What is evaluated: a model that is fitted to some rows of a frame and predicts others."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from scoring.dp.accounting import budget_rho_e12
from scoring.dp.mechanisms import Releases
from scoring.dp.sampler import SeededSampler
from scoring.fitted import pd_ppm_of_totals, total_points
from scoring.fitting import fit_points
from scoring.frame import Frame
from scoring.network.fitting import fit_network
from scoring.records import Records

Fitted = TypeVar("Fitted")

Rows = NDArray[np.int64]
"""Places of rows in a frame."""

SPARE_ROWS = 10
"""The row cap is so many times the rows at hand, so that no one is dropped for it: it is a matter of production."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """(epsilon_micro / 10^6, delta_e12 / 10^12), and the seed of the noise, which is for evaluation only."""

    epsilon_micro: int
    delta_e12: int
    seed: int


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """Of each row predicted: `risk` that orders them, the probability of default; and the seconds of the fit alone."""

    risk: NDArray[np.float64]
    pd: NDArray[np.float64]
    fit_s: float


class Contender(Protocol):
    """A model to be. A private one spends the budget on each fit; another has no use for it."""

    @property
    def name(self) -> str: ...

    @property
    def private(self) -> bool: ...

    def fit_and_predict(self, learned: Rows, predicted: Rows, budget: Budget) -> Predictions: ...


@dataclass(frozen=True, kw_only=True)
class ScorecardContender:
    """The additive scorecard in integer points, by the fit that `credence train` runs."""

    frame: Frame
    rows_per_person: int
    name: str = "scorecard"
    private: bool = True

    def fit_and_predict(self, learned: Rows, predicted: Rows, budget: Budget) -> Predictions:
        """Risk is the unclamped points, negative; the probability is the one that serving would state."""
        fitted, fit_s = _fit(fit_points, self.frame, learned, budget, self.rows_per_person)
        totals = total_points(fitted, torch.from_numpy(self.frame.cells[predicted]))
        return Predictions(
            risk=-totals.numpy().astype(np.float64), pd=pd_ppm_of_totals(totals).numpy() / 1e6, fit_s=fit_s
        )


@dataclass(frozen=True, kw_only=True)
class NetworkContender:
    """The challenger: a small network trained by DP-SGD on the same public cells."""

    frame: Frame
    rows_per_person: int
    name: str = "network"
    private: bool = True

    def fit_and_predict(self, learned: Rows, predicted: Rows, budget: Budget) -> Predictions:
        """Risk is the log odds of bad to good."""
        network, fit_s = _fit(fit_network, self.frame, learned, budget, self.rows_per_person)
        cells = torch.from_numpy(self.frame.cells[predicted])
        return Predictions(risk=network.log_odds(cells).numpy(), pd=network.pd(cells), fit_s=fit_s)


def _fit(
    fit: Callable[..., Fitted], frame: Frame, learned: Rows, budget: Budget, rows_per_person: int
) -> tuple[Fitted, float]:
    """What production's fit makes of some rows within the budget, and the seconds that it took."""
    records = Records(
        cells=torch.from_numpy(frame.cells[learned]),
        labels=torch.from_numpy(frame.labels[learned]),
        persons=tuple(frame.persons[row] for row in learned),
    )
    releases = Releases(
        sampler=SeededSampler(budget.seed),
        charged_rho_e12=budget_rho_e12(budget.epsilon_micro, budget.delta_e12),
        rows_per_person=rows_per_person,
    )
    started_s = time.perf_counter()
    fitted = fit(
        frame.columns,
        records,
        releases,
        row_cap=SPARE_ROWS * len(learned),
        rows_per_person=rows_per_person,
        random_bytes=seeded_bytes(budget.seed),
    )
    return fitted, time.perf_counter() - started_s


def seeded_bytes(seed: int) -> Callable[[int], bytes]:
    """Bytes that a seed decides, where training asks the operating system."""
    return np.random.default_rng([seed, 1]).bytes
