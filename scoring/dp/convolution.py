"""Discrete Gaussian noise by the thousand: sums of table draws, from bytes of the operating system.

OpenDP's sampler is exact and takes tens of microseconds a value, which a release of a few hundred sums does not
notice and a thousand gradients of a thousand coordinates do. Here a wide Gaussian is put together of narrow ones:
if X and Y are discrete Gaussians of deviations s and t, then X + m Y has at every integer the probability of the one
of deviation sqrt(s^2 + m^2 t^2) within a factor of 1 +- 2 exp(-2 pi^2 w^2), 1 / w^2 = m^2 / s^2 + 1 / t^2 (Poisson's
summation formula; Micciancio and Walter 2017, section 3). With w of 2 and more that is 1 +- 10^-33. The narrow ones
are drawn by inversion from tables of 128 bits, which is off by less than 10^-33 in total variation. A million values
therefore move delta by less than 10^-26, which no claim of ours resolves.
"""

import math
import os
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from scoring.errors import PrivacyParametersInvalid

STEP_DEVIATION = 1024
"""Of each narrow Gaussian but the last."""
STRIDE = 448
WIDEST_TABLE = 4096
"""A Gaussian no wider than this has a table of its own; a wider one leaves at least 8 for the rest of it."""
TAIL_DEVIATIONS = 14
"""A table ends where less than 10^-43 of the probability is left."""
MOST_DEVIATION = 2**48
GUIDE_BITS = 14
"""Of a table's guide: a step of it is less than the likeliest magnitudes have, so that one look finds most draws."""

RandomBytes = Callable[[int], bytes]


class SystemTableSampler:
    """Discrete Gaussian noise whose every bit is the operating system's, in about a microsecond a value."""

    source = "os"

    def add_noise(self, sums: NDArray[np.int64], *, sigma_micro: int) -> NDArray[np.int64]:
        """Raises PrivacyParametersInvalid where a sum or the noise could pass 64 bits."""
        if not 0 < sigma_micro <= MOST_DEVIATION * 10**6:
            raise PrivacyParametersInvalid
        if sums.size and not -(2**62) < sums.min() <= sums.max() < 2**62:
            raise PrivacyParametersInvalid
        noise = draw_gaussian(len(sums), variance=Fraction(sigma_micro**2, 10**12), random_bytes=os.urandom)
        noise += sums
        return noise


def draw_gaussian(count: int, *, variance: Fraction, random_bytes: RandomBytes) -> NDArray[np.int64]:
    """So many independent draws of the discrete Gaussian of a variance."""
    total = np.zeros(count, dtype=np.int64)
    for stride, table in split_gaussian(variance):
        total += stride * draw_from(table, count, random_bytes)
    return total


@lru_cache(maxsize=8)
def split_gaussian(variance: Fraction) -> tuple[tuple[int, "Table"], ...]:
    """The narrow Gaussians that make one of a variance, each with what it is multiplied by."""
    parts, stride = [], 1
    while variance > WIDEST_TABLE**2:
        parts.append((stride, build_table(Fraction(STEP_DEVIATION**2))))
        stride *= STRIDE
        variance = (variance - STEP_DEVIATION**2) / STRIDE**2
    return (*parts, (stride, build_table(variance)))


@dataclass(frozen=True, kw_only=True)
class Table:
    """2^128 times the chance that a draw's magnitude is at most 0, 1, 2, ...; `high` are the upper 32 bits of each."""

    thresholds: tuple[int, ...]
    high: NDArray[np.uint32]

    @cached_property
    def padded(self) -> NDArray[np.uint32]:
        """`high`, and 0 beyond it, which no number that is searched there equals."""
        return np.append(self.high, np.uint32(0))

    @cached_property
    def guide(self) -> NDArray[np.uint16]:
        """Where a search starts, by a number's first GUIDE_BITS (Chen and Asau 1974): never beyond its end."""
        firsts = np.arange(2**GUIDE_BITS, dtype=np.uint32) << np.uint32(32 - GUIDE_BITS)
        return np.minimum(np.searchsorted(self.high, firsts, side="left"), len(self.high) - 1).astype(np.uint16)

    def search(self, upper: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """How many of `high` are below each number, and the places of those that equal one of them.

        A look at the guide and one step find it, but for equals and a few in the tail.
        """
        found: NDArray[np.int64] = self.guide[upper >> np.uint32(32 - GUIDE_BITS)].astype(np.int64)
        found += self.padded[found] < upper
        unsure = np.flatnonzero(self.padded[found] <= upper)
        found[unsure] = np.searchsorted(self.high, upper[unsure], side="left")
        return found, unsure[self.padded[found[unsure]] == upper[unsure]]


@lru_cache(maxsize=8)
def build_table(variance: Fraction) -> Table:
    """Magnitudes up to TAIL_DEVIATIONS, in decimal arithmetic of 60 digits: the same table on every machine."""
    with localcontext() as context:
        context.prec = 60
        inverse = Decimal(variance.denominator) / Decimal(variance.numerator)
        ratio, square = (-inverse / 2).exp(), (-inverse).exp()  # of each weight to the one before it
        weight, total, cumulated = Decimal(1), Decimal(1), [Decimal(1)]
        for _ in range(math.ceil(TAIL_DEVIATIONS * math.sqrt(variance))):
            weight *= ratio
            ratio *= square
            total += 2 * weight  # both signs
            cumulated.append(total)
        scale = 2**128 / total
        most = 2**128 - 1  # of a very narrow one 60 digits may not tell the last from 2^128
        thresholds = tuple(min(int(one * scale), most) for one in cumulated[:-1])
    return Table(thresholds=thresholds, high=np.array([one >> 96 for one in thresholds], dtype=np.uint32))


def draw_from(table: Table, count: int, random_bytes: RandomBytes) -> NDArray[np.int64]:
    """By inversion of a number of 128 bits, whose lower 96 are drawn only where the upper 32 do not decide."""
    upper = np.frombuffer(random_bytes(4 * count), dtype=np.uint32)
    magnitudes, ties = table.search(upper)
    for place in ties.tolist():
        whole = (int(upper[place]) << 96) | int.from_bytes(random_bytes(12), "big")
        magnitudes[place] = bisect_right(table.thresholds, whole)
    signs = np.frombuffer(random_bytes(count), dtype=np.uint8) & 1
    return np.where(signs == 1, -magnitudes, magnitudes)
