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
    sigmoid_table,
)

GAIN_BITS = 19
"""What a hidden unit's delta is of its row's residual is rounded to this many bits: its squares add up exactly."""
BLOCK_ROWS = 2**12
MOST_BOUND = 2**40
"""A block's sum at this bound reaches 2^53."""
_SPAN = 1 / (LOG_ODDS_UNIT * ONE)
"""1 + |x| is counted in units of 1 / _SPAN, so that a hidden sum over it is an activation."""
_ALMOST_ONE = 1 - 2.0**-40
"""Leaves far more than the rounding of the few operations between an exact squared norm and a shrunk delta."""


class Scratch:
    """Where a step keeps its (units, rows) figures: memory that stays, for fresh pages cost more than what fills them.

    Batches that are summed one after the other share one; two threads never do.
    """

    def __init__(self) -> None:
        self._kept: torch.Tensor | None = None

    def take(self, like: torch.Tensor, *, units: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(units + 1, rows), and twice (units, rows), of any content, for a batch of (d, rows) inputs."""
        kept = self._kept
        if kept is None or kept.shape != (3 * units + 1, like.shape[1]) or kept.device != like.device:
            self._kept = kept = like.new_empty((3 * units + 1, like.shape[1]))
        return kept[: units + 1], kept[units + 1 : 2 * units + 1], kept[2 * units + 1 :]


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Rows as a step sees them: (d, rows) fixed-point inputs that end in ONE, their squared norms, a label each.

    A row of data is a column here, so that each unit's figures lie side by side.
    """

    inputs: torch.Tensor
    squared_norms: torch.Tensor
    labels: torch.Tensor
    scratch: Scratch


def build_batch(inputs: torch.Tensor, labels: torch.Tensor, scratch: Scratch | None = None) -> Batch:
    """A batch of (d, rows) inputs and (rows,) labels of 0 and 1, both doubles."""
    squared_norms = (inputs * inputs).sum(dim=0)
    return Batch(inputs=inputs, squared_norms=squared_norms, labels=labels, scratch=scratch or Scratch())


@dataclass(frozen=True, kw_only=True)
class Clip:
    """Each row's gradient is clipped to the L2 norm `norm` and counted in integers of which `bound` make that norm."""

    norm: float
    bound: int

    @property
    def scale(self) -> float:
        """Integer units in a gradient of 1."""
        return self.bound / self.norm


@torch.inference_mode()
def clipped_sums(batch: Batch, hidden: torch.Tensor, output: torch.Tensor, clip: Clip) -> torch.Tensor:
    """The logistic loss's clipped gradients, summed over a batch of at most BLOCK_ROWS: exact integers in doubles.

    Flat: (units, d) by `hidden`, then (units + d,) by `output`. A row contributes a norm of `clip.bound` at most.
    """
    units = len(hidden)
    inputs, inputs_squared = batch.inputs, batch.squared_norms
    sums, activations, spans = batch.scratch.take(inputs, units=units)
    multiply(torch.cat([hidden, output[None, units:]]), inputs, out=sums)
    torch.add(torch.tensor(_SPAN, dtype=torch.float64), torch.abs(sums[:units], out=spans), alpha=1 / ONE, out=spans)
    torch.div(sums[:units], spans, out=activations).round_()  # as `activate` has them, to the last bit
    log_odds = torch.mv(activations.T, output[:units]).add_(sums[units]).mul_(LOG_ODDS_UNIT)
    residuals = sigmoid(log_odds).sub_(batch.labels)

    # A hidden delta is its row's residual times a gain: what flows back at the slope of softsign, 1 / (1 + |x|)^2.
    deltas = sums  # a place that is used twice
    gains = deltas[:units]
    back = output[:units] * (2.0 ** (GAIN_BITS - WEIGHT_BITS) * _SPAN**2)
    torch.div(back[:, None], spans.mul_(spans), out=gains).round_()

    # Sums are of integers, so that no order of addition makes a row's norm depend on the rows around it.
    seen_squared = sum_squares(activations).add_(inputs_squared)
    norms = sum_squares(gains).mul_(inputs_squared)
    norms.add_(seen_squared, alpha=4**GAIN_BITS).sqrt_().mul_(residuals.abs())
    rounding = (inputs_squared * units).add_(seen_squared).sqrt_()  # twice the most that rounding to nearest adds
    room = rounding.mul_(-0.5).add_(clip.bound * _ALMOST_ONE).clamp_(min=0.0)
    scale = clip.scale / (ONE * 2.0**GAIN_BITS)  # of a gain times a residual: what flowed in carries ONE
    residuals.mul_(room.div_(norms.clamp_(min=1.0)).clamp_(max=scale))
    gains.mul_(residuals)
    torch.mul(residuals, 2.0**GAIN_BITS, out=deltas[units])
    deltas.round_()

    by_inputs = multiply(deltas, inputs.T, out=deltas.new_empty((units + 1, len(inputs))))
    return torch.cat([by_inputs[:units].flatten(), torch.mv(activations, deltas[units]), by_inputs[units]])


def multiply(left: torch.Tensor, right: torch.Tensor, *, out: torch.Tensor) -> torch.Tensor:
    """A matrix product of integers in doubles: exact, so the same whoever computes it.

    On a processor that is numpy: at these shapes its OpenBLAS is the faster.
    """
    if out.is_cuda:
        return torch.mm(left, right, out=out)
    np.matmul(left.numpy(), right.numpy(), out=out.numpy())
    return out


def sum_squares(of: torch.Tensor) -> torch.Tensor:
    """Of each column's integers in doubles: exact. On a processor that is numpy again, which keeps no squares."""
    if of.is_cuda:
        return (of * of).sum(dim=0)
    return torch.from_numpy(np.einsum("ur,ur->r", of.numpy(), of.numpy()))


def sigmoid(log_odds: torch.Tensor) -> torch.Tensor:
    """Probability of bad, interpolated between the steps of a table that is the same everywhere."""
    table = _sigmoid_on(log_odds.device)
    middle = SIGMOID_REACH * SIGMOID_STEPS
    places = (log_odds * SIGMOID_STEPS).add_(middle).clamp_(0.0, 2 * middle - 1)
    index = places.long()  # towards 0, which is down here
    low = table.index_select(0, index)
    step = table.index_select(0, index.add_(1)).sub_(low)
    return step.mul_(places.frac_()).add_(low)


@lru_cache(maxsize=4)
def _sigmoid_on(device: torch.device) -> torch.Tensor:
    return torch.from_numpy(np.array(sigmoid_table())).to(device)
