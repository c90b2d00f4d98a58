"""How far a score's points may be from those that its model would have given with no noise and nothing absent.

A model's inputs each have a deviation for each of their cells: how little the fit could know of it, and for an absent
input also how far those who have it lie apart. The interval takes the inputs' errors for independent, which they are
not quite: where inputs that go together are absent together it is too narrow, and where one makes up for another's
error too wide. It says nothing of what the model leaves out, nor of a population that has changed.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

LEVEL_PPM = 900_000
"""Share of the scores whose interval is meant to hold those points."""
Z_MILLI = 1_645
"""Deviations of a normal distribution on either side that hold this share, in thousandths."""
MAX_DEVIATION_MILLIPOINTS = 100_000_000


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Ends of an interval at LEVEL_PPM: points, clamped to the scale, and probabilities, of points that are not."""

    low_points: int
    high_points: int
    pd_ppm_low: int
    pd_ppm_high: int


def half_width_points(deviations_millipoints: Iterable[int]) -> int:
    """Points on either side, rounded up, from the deviations of independent parts: integers throughout."""
    squared = Z_MILLI**2 * sum(deviation**2 for deviation in deviations_millipoints)
    root = math.isqrt(squared)
    return -(-(root + (root**2 < squared)) // 1_000_000)
