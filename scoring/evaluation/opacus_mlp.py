"""The anchor of DP-SGD: a network of one hidden layer, trained by Opacus with its hooks and its PRV accountant.

(Abadi et al. 2016; Gopi, Lee, Wutschitz 2021.) One recipe for every set: STEPS steps of Poisson batches that hold a
quarter of the rows on average, and BATCH at most.
"""

import time
import warnings
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from opacus import GradSampleModule
from opacus.accountants.utils import get_noise_multiplier
from opacus.optimizers import DPOptimizer

from scoring.cells import Quantity
from scoring.evaluation.contenders import Budget, Predictions, Rows
from scoring.frame import Frame

STEPS, BATCH, UNITS = 200, 2_048, 32
RATE, CLIP = 0.015, 1.0


@dataclass(frozen=True, kw_only=True)
class OpacusMlp:
    """A network over quantities scaled by their public bounds, and one input for each code and category."""

    frame: Frame
    name: str = "opacus"
    private: bool = True

    @cached_property
    def _inputs(self) -> torch.Tensor:
        """A quantity is 0 in the middle of its bounds and 1 or -1 at them; on the scale of its cells."""
        parts = []
        for place, column in self.frame.graded:
            cells = self.frame.cells[:, place]
            first = 0
            if isinstance(column.cells, Quantity):
                first = column.cells.ordinary
                parts.append(_scaled(column.cells, self.frame.values[column.name].numbers, cells)[:, None])
            parts.append((cells[:, None] == np.arange(first, column.cells.count)).astype(np.float64))
        return torch.from_numpy(np.concatenate(parts, axis=1)).to(torch.float32)

    def fit_and_predict(self, learned: Rows, predicted: Rows, budget: Budget) -> Predictions:
        """The noise's deviation is looked for once for each number of rows, and is no part of the time of a fit."""
        inputs, labels = self._inputs, torch.from_numpy(self.frame.labels).to(torch.float32)
        rate = min(BATCH, len(learned) / 4) / len(learned)
        sigma = find_sigma(rate, budget.epsilon_micro, budget.delta_e12)
        started_s = time.perf_counter()
        model = _fit(inputs[learned], labels[learned], sigma=sigma, rate=rate, seed=budget.seed)
        fit_s = time.perf_counter() - started_s
        with torch.no_grad():
            pd = torch.sigmoid(model(inputs[predicted]).squeeze(1)).numpy().astype(np.float64)
        return Predictions(risk=pd, pd=pd, fit_s=fit_s)


@cache
def find_sigma(rate: float, epsilon_micro: int, delta_e12: int) -> float:
    """The noise multiplier of the whole training by Opacus's PRV accountant, whose error is kept at 1% of epsilon."""
    epsilon = epsilon_micro / 1e6
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(
            get_noise_multiplier(
                target_epsilon=epsilon,
                target_delta=delta_e12 / 1e12,
                sample_rate=rate,
                steps=STEPS,
                accountant="prv",
                epsilon_tolerance=epsilon / 100,
                eps_error=epsilon / 100,
            )
        )


def _fit(inputs: torch.Tensor, labels: torch.Tensor, *, sigma: float, rate: float, seed: int) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(seed)
    network = torch.nn.Sequential(torch.nn.Linear(inputs.shape[1], UNITS), torch.nn.Tanh(), torch.nn.Linear(UNITS, 1))
    with torch.no_grad():
        for weights in network.parameters():
            width = 1 / weights.shape[-1] ** 0.5
            weights.copy_((2 * torch.rand(weights.shape, generator=generator) - 1) * width)
    model = GradSampleModule(network, loss_reduction="mean")
    optimizer = DPOptimizer(
        torch.optim.Adam(model.parameters(), lr=RATE),
        noise_multiplier=sigma,
        max_grad_norm=CLIP,
        expected_batch_size=round(rate * len(inputs)),
        generator=generator,
    )
    loss = torch.nn.BCEWithLogitsLoss()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that inputs have no gradient of their own
        for _ in range(STEPS):
            batch = torch.rand(len(inputs), generator=generator) < rate
            if not batch.any():
                continue
            optimizer.zero_grad()
            loss(model(inputs[batch]).squeeze(1), labels[batch]).backward()
            optimizer.step()
    return network


def _scaled(cells: Quantity, values: NDArray[np.float64], of_cells: NDArray[np.int64]) -> NDArray[np.float64]:
    """A quantity from -1 at its lower bound to 1 at its upper one; 0 for codes and absence."""
    bounds = np.array([cells.low, cells.high])
    if cells.log:
        values, bounds = (np.copysign(np.log1p(np.abs(one)), one) for one in (values, bounds))
    scaled = 2 * (values - bounds[0]) / (bounds[1] - bounds[0]) - 1
    return np.where(of_cells < cells.ordinary, scaled, 0.0)
