"""A figure of a noised table with an interval, or the reason why it is not releasable.

The interval is a parametric bootstrap's (the basic one, Davison and Hinkley 1997, section 5.2): the table is made
non-negative, persons are drawn anew from it, noise is added as the release added it, and the spread of the figure
around that of the table it was drawn from is laid around the figure itself. So it covers sampling and noise at once.
All of it is post-processing of what was released, and costs nothing.

Which figures are released is fixed here, before any data: where the noise alone makes an interval wider than the figure
is good for, or where a figure rests on rows that cannot be told from noise, it is not releasable.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

CONFIDENCE_PPM = 900_000
"""Of every interval, two-sided; so one of its ends alone is a bound at 95%."""
LEAST_ROWS = 50
"""Rows that a denominator must have beyond two deviations of its noise."""
DRAWS, SEED = 1_000, 1
_TAIL = (1 - CONFIDENCE_PPM / 1e6) / 2

Reason = Literal["noise", "too_few"]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure and its interval, in millionths."""

    value_ppm: int
    low_ppm: int
    high_ppm: int


@dataclass(frozen=True, kw_only=True)
class NotReleasable:
    """`noise`: the noise alone would make the interval too wide. `too_few`: it rests on too few rows."""

    reason: Reason


@dataclass(frozen=True, kw_only=True)
class Statistic:
    """A figure of a table: how it is computed, what it is divided by, and how much noise is too much.

    `of` maps tables (..., *shape) to (...); `rests_on` are masks of `shape`, a denominator each; the noise's part of
    the interval's half-width may be `most_noise`. An `inflated` figure is a maximum or a sum of absolute values, which
    chance and noise raise: what the bootstrap shows of that is taken off.
    """

    of: Callable[[Array], Array]
    rests_on: Sequence[NDArray[np.bool_]]
    most_noise: float
    lowest: float = 0.0
    highest: float = 1.0
    inflated: bool = False


@dataclass(frozen=True, kw_only=True)
class Bootstrap:
    """A noised table, the table that draws are made from, and the draws: with noise alone, and as released."""

    counts: Array
    origin: Array
    noised: Array
    drawn: Array
    sigma: float

    def estimate(self, statistic: Statistic) -> Figure | NotReleasable:
        """The figure of the table."""
        for mask in statistic.rests_on:
            if self.counts[mask].sum() - 2 * self.sigma * np.sqrt(mask.sum()) < LEAST_ROWS:
                return NotReleasable(reason="too_few")
        with np.errstate(divide="ignore", invalid="ignore"):
            value, origin = float(statistic.of(self.counts)), float(statistic.of(self.origin))
            noised, drawn = statistic.of(self.noised), statistic.of(self.drawn)
        if not np.isfinite([value, origin, *noised, *drawn]).all():
            return NotReleasable(reason="noise")
        low, high = np.quantile(noised, [_TAIL, 1 - _TAIL])
        if (high - low) / 2 > statistic.most_noise:
            return NotReleasable(reason="noise")
        low, high = value + origin - np.quantile(drawn, [1 - _TAIL, _TAIL])
        if statistic.inflated:
            value -= float(drawn.mean()) - origin
        lowest, highest = statistic.lowest, statistic.highest
        return Figure(
            value_ppm=_ppm(min(max(value, lowest), highest)),
            low_ppm=_ppm(min(max(float(low), lowest), highest)),
            high_ppm=_ppm(min(max(float(high), lowest), highest)),
        )


def bootstrap(counts: Array, *, sigma: float, rows_per_person: int) -> Bootstrap:
    """Draw from a noised table of any shape.

    Rows of one person may all be alike, so as many persons are drawn as there would be if everybody had the most rows.
    """
    source = np.random.default_rng(SEED)
    origin = project(counts)
    total = float(origin.sum())
    shape = (DRAWS, *counts.shape)
    persons = max(1, round(total / rows_per_person))
    drawn = source.multinomial(persons, (origin / total).ravel(), size=DRAWS).reshape(shape) * (total / persons)
    noise = np.rint(source.normal(0.0, sigma, (2, *shape)))
    return Bootstrap(counts=counts, origin=origin, noised=origin + noise[0], drawn=drawn + noise[1], sigma=sigma)


def project(counts: Array) -> Array:
    """The nearest table (L2) without a negative count and of the same total, which is at least 1."""
    total = max(float(counts.sum()), 1.0)
    falling = -np.sort(-counts.ravel())
    excess = (np.cumsum(falling) - total) / np.arange(1, falling.size + 1)
    kept = int((falling > excess).sum())
    projected: Array = np.maximum(counts - excess[kept - 1], 0.0)
    return projected


def _ppm(value: float) -> int:
    return round(value * 1e6)
