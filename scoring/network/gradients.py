"""The clipped gradient sum of a batch, in closed form and exact: what a step of DP-SGD may see of the data.

A layer's gradient for one row is the outer product of what flows back and what flowed in, so its norm is the product
of two norms, and the clipped sum over rows is one matrix product of the rows' clipped deltas and their inputs: no
gradient of a single row is ever made (Goodfellow 2015; Lee and Kifer 2021). Deltas are rounded to integers after
clipping and the integer norm is checked again, so that no row moves the sum by more than the bound, whatever it holds.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from scoring.network.arithmetic import (
    LOG_ODDS_UNIT,
    ONE,
    SIGMOID_REACH,
    SIGMOID_STEPS,
    WEIGHT_BITS,
    activate,
    sigmoid_table,
)

DELTA_BITS = 20
"""Deltas before clipping are rounded to this many bits, so that the sum of their squares is exact as well."""
BLOCK_ROWS = 2**12
MOST_BOUND = 2**40
"""A block's sum at this bound reaches 2^53."""
_ALMOST_ONE = 1 - 2.0**-40
"""Leaves far more than the rounding of the few operations between an exact squared norm and a shrunk delta."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Rows as a step sees them: (d, rows) fixed-point inputs that end in ONE, their squared norms, a label each.

    A row of data is a column here, so that each unit's figures lie side by side.
    """

    inputs: torch.Tensor
    squared_norms: torch.Tensor
    labels: torch.Tensor


def build_batch(inputs: torch.Tensor, labels: torch.Tensor) -> Batch:
    """A batch of (d, rows) inputs and (rows,) labels of 0 and 1, both doubles."""
    return Batch(inputs=inputs, squared_norms=(inputs * inputs).sum(dim=0), labels=labels)


@dataclass(frozen=True, kw_only=True)
class Clip:
    """Each row's gradient is clipped to the L2 norm `norm` and counted in integers of which `bound` make that norm."""

    norm: float
    bound: int

    @property
    def scale(self) -> float:
        """Integer units in a gradient of 1."""
        return self.bound / self.norm


def clipped_sums(batch: Batch, hidden: torch.Tensor, output: torch.Tensor, clip: Clip) -> torch.Tensor:
    """The logistic loss's clipped gradients, summed over a batch of at most BLOCK_ROWS: exact integers in doubles.

    Flat: (units, d) by `hidden`, then (units + d,) by `output`. A row contributes a norm of `clip.bound` at most.
    """
    units = len(hidden)
    inputs, inputs_squared = batch.inputs, batch.squared_norms
    sums = torch.cat([hidden, output[None, units:]]) @ inputs
    activations, spans = activate(sums[:units])
    log_odds = (output[:units] @ activations + sums[units]) * LOG_ODDS_UNIT
    residuals = (sigmoid(log_odds) - batch.labels) * 2.0**DELTA_BITS
    deltas = sums  # its place is used again
    back = output[:units] * (2.0**-WEIGHT_BITS / LOG_ODDS_UNIT**2)
    torch.mul(back[:, None], residuals, out=deltas[:units])
    deltas[:units].div_(spans.mul_(spans))  # the slope of softsign is 1 / (1 + |x|)^2
    deltas[units] = residuals
    deltas.round_()

    # Norms are of integers, so that no order of addition makes a row's norm depend on the rows around it.
    seen_squared = (activations * activations).sum(dim=0) + inputs_squared
    squares = deltas * deltas
    norms = (squares[:units].sum(dim=0) * inputs_squared + squares[units] * seen_squared).sqrt_()
    rounding = (inputs_squared * units + seen_squared).sqrt_() * 0.5  # the most that rounding to nearest adds
    scale = clip.scale / (ONE * 2.0**DELTA_BITS)  # of a delta: what flowed in carries ONE
    room = (clip.bound * _ALMOST_ONE - rounding).clamp_(min=0.0)
    deltas.mul_((room / norms.clamp_(min=1.0)).clamp_(max=scale)).round_()

    by_inputs = deltas @ inputs.T
    return torch.cat([by_inputs[:units].flatten(), activations @ deltas[units], by_inputs[units]])


def sigmoid(log_odds: torch.Tensor) -> torch.Tensor:
    """Probability of bad, interpolated between the steps of a table that is the same everywhere."""
    table = _sigmoid_on(log_odds.device)
    middle = SIGMOID_REACH * SIGMOID_STEPS
    places = (log_odds * SIGMOID_STEPS + middle).clamp_(0.0, 2 * middle - 1)
    lower = places.floor()
    index = lower.long()
    low = table[index]
    return low + (table[index + 1] - low) * (places - lower)


@lru_cache(maxsize=4)
def _sigmoid_on(device: torch.device) -> torch.Tensor:
    return torch.from_numpy(np.array(sigmoid_table())).to(device)
