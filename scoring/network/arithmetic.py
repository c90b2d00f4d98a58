"""The network's arithmetic: fixed-point integers in doubles, the same bits in numpy and torch, on any machine.

A claim of differential privacy bounds what one person can move, which takes that a row's gradient is a function of
that row and the weights alone. In floating point it is not: a matrix product may round a row differently when rows
are added before it. Here every product and sum is of integers below 2^53, where doubles are exact and addition has no
order, and everything else is one IEEE operation an element (+ - * / sqrt round), which is rounded the same everywhere.
So a row's gradient is its own, the noised sums have an exact sensitivity, and a served score is the trained one's.

Units: inputs and activations in 2^-ACTIVATION_BITS, weights in 2^-WEIGHT_BITS, log odds in their product. The
functions take numpy arrays or torch tensors alike, of doubles that hold integers.
"""

from decimal import Decimal, localcontext
from functools import cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Array = TypeVar("Array", bound=Any)
"""A numpy array or a torch tensor; serving knows the first only."""

ACTIVATION_BITS = 16
WEIGHT_BITS = 18
ONE = 2**ACTIVATION_BITS
"""An activation of 1, and the constant input that carries the bias."""
LOG_ODDS_UNIT = 2.0 ** -(ACTIVATION_BITS + WEIGHT_BITS)
MOST_INPUT = 2 ** (2 + ACTIVATION_BITS)
MOST_WEIGHT = 2 ** (4 + WEIGHT_BITS)
MOST_REACH = 2**30
"""Of the magnitudes of one row's inputs, summed: times MOST_WEIGHT that is still exact. Five hundred columns fit."""

SIGMOID_REACH, SIGMOID_STEPS = 32, 256


def activate(sums: Array) -> Array:
    """Softsign x / (1 + |x|) of hidden sums, rounded."""
    spans = abs(sums)
    spans += 1 / LOG_ODDS_UNIT
    activations = sums * ONE
    activations /= spans
    rounded: Array = activations.round()
    return rounded


def log_odds_of(inputs: Array, hidden: Array, output: Array) -> Array:
    """Log odds (rows,) of bad to good in LOG_ODDS_UNIT: `inputs` (d, rows) end in ONE, `hidden` is (units, d).

    `output` (units + d,) weighs the hidden units, then the inputs themselves.
    """
    units = len(hidden)
    total: Array = output[:units] @ activate(hidden @ inputs) + output[units:] @ inputs
    return total


@cache
def sigmoid_table() -> NDArray[np.float64]:
    """1 / (1 + exp(-x)) at steps of 1 / SIGMOID_STEPS within SIGMOID_REACH, to nearest in 2^-40, from decimals."""
    steps = SIGMOID_REACH * SIGMOID_STEPS
    with localcontext() as context:
        context.prec = 40
        ratio = (Decimal(-1) / SIGMOID_STEPS).exp()
        upper, odds = [], Decimal(1)
        for _ in range(steps + 1):
            upper.append(int((2**40 / (1 + odds)).to_integral_value()))
            odds *= ratio
    lower = [2**40 - one for one in reversed(upper[1:])]
    return np.array(lower + upper, dtype=np.float64) * 2.0**-40
