"""How far the scores of today have moved from those of the persons held out: the population stability index."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from scoring.errors import DriftNotComparable
from scoring.validation.intervals import project
from scoring.validation.tables import ScoreTable

WATCH, ACT = 0.10, 0.25
"""The field's alarms."""
LEAST_SHARE = 1e-4
"""What an empty bin counts as, so that the index stays finite."""

Alarm = Literal["stable", "watch", "act"]


@dataclass(frozen=True, kw_only=True)
class DriftReference:
    """Shares of the persons held out, in millionths, by score bin from the fewest points up; the last has no score.

    They were noised before they were made non-negative: an index of a few thousandths is the noise's own.
    """

    edges: tuple[int, ...]
    shares_ppm: tuple[int, ...]


def drift_reference(table: ScoreTable, edges: Sequence[int]) -> DriftReference:
    """The score distribution of a released table, in the coarser bins between `edges`, which are some of its own."""
    mass = project(np.array(table.counts, dtype=np.float64)).sum(-1)
    coarse_of = np.searchsorted(np.array(edges), np.array([table.edges[0] - 1, *table.edges]), side="right")
    shares = [float(mass[:-1][coarse_of == bin_].sum()) for bin_ in range(len(edges) + 1)] + [float(mass[-1])]
    return DriftReference(
        edges=tuple(edges), shares_ppm=tuple(round(share / float(mass.sum()) * 1e6) for share in shares)
    )


def psi(reference: DriftReference, counts: Sequence[int]) -> float:
    """The population stability index of today's counts by the same bins; raises DriftNotComparable.

    Sum over the bins of (now - then) ln(now / then), of shares.
    """
    if len(counts) != len(reference.shares_ppm) or min(counts) < 0 or not sum(counts):
        raise DriftNotComparable
    index, total = 0.0, sum(counts)
    for share_ppm, count in zip(reference.shares_ppm, counts, strict=True):
        then, now = max(share_ppm / 1e6, LEAST_SHARE), max(count / total, LEAST_SHARE)
        index += (now - then) * math.log(now / then)
    return index


def alarm_of(index: float) -> Alarm:
    """What an index calls for."""
    return "act" if index >= ACT else "watch" if index >= WATCH else "stable"
