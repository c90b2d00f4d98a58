"""Pairs of columns that say more together than apart: which pairs, and the coarse cells of their tables.

Whether a pair interacts shows in the sum, over rows, of the residual times a factor of one column times a factor of
the other: a single figure for a whole surface, which noise hides far less than it would the surface's cells. All pairs
are released at once, in one noised matrix; what is here reads it, and noised counts, so none of it costs privacy.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from scoring.cells import Categories, Product, Quantity
from scoring.schema import Column, cross_name

FACTOR_SCALE = 8
"""A factor of one deviation in integer units."""
FACTOR_LIMIT = 4.0
"""No factor is farther from its mean, in deviations."""
CURVED_SHARE = 0.5
"""The deviation of a quantity's second factor, which sees middles against ends; the first, low against high, has 1."""
LEAST_MASS, MOST_CATEGORIES = 0.05, 5
"""Codes and categories with a factor of their own: at least so much of the population, the largest so many."""

COARSE_CELLS = 5
"""Coarse cells of a column in a pair: 5 x 5 and one for absent stay within `cells.MAX_CELLS`."""
LEAST_CODE_MASS = 0.08
MOST_PAIRS, MOST_OF_A_COLUMN = 6, 3
ORDINARY_EFFECT, LEAST_DEVIATIONS = 0.3, 1.4
"""Pairs are looked for where an effect of this size, in log odds a deviation of either, stands out by so much."""


@dataclass(frozen=True, kw_only=True)
class Factors:
    """Of each column, the integer values of its factors by cell, side by side; one that is absent has 0 everywhere.

    `columns` names each factor's column and `units` its root mean square over the population, in integer units.
    `bound` is what the squares of a row's factors add up to on average, beyond which a row is scaled down.
    """

    tables: tuple[NDArray[np.int64], ...]
    columns: NDArray[np.int64]
    units: NDArray[np.float64]
    bound: int

    @cached_property
    def crossing(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The places, above the diagonal, of the products of factors of two columns."""
        left, right = np.triu_indices(len(self.columns), 1)
        apart = self.columns[left] != self.columns[right]
        return left[apart], right[apart]


def build_factors(columns: Sequence[Column], counts: Sequence[NDArray[np.float64]]) -> Factors:
    """Factors of every column but crosses, from noised (cells, label) counts."""
    tables, owners, units = [], [], []
    for place, (column, table) in enumerate(zip(columns, counts, strict=True)):
        mass = _mass(table)
        factors = np.rint(FACTOR_SCALE * _factors(column, mass)).astype(np.int64)
        tables.append(factors)
        owners += [place] * factors.shape[1]
        units += np.sqrt(mass @ factors.astype(np.float64) ** 2).tolist()
    return Factors(
        tables=tuple(tables),
        columns=np.array(owners, dtype=np.int64),
        units=np.maximum(np.array(units, dtype=np.float64), 1.0),
        bound=max(1, round(sum(unit**2 for unit in units))),
    )


def stand_out(factors: Factors, *, sigma: float, weight: float) -> bool:
    """Whether an ordinary effect would show through noise of this deviation; `weight` is the sum of pd (1 - pd).

    What is released would otherwise be noise alone, and its budget is better spent on the columns themselves.
    """
    return len(factors.crossing[0]) > 0 and ORDINARY_EFFECT * weight * FACTOR_SCALE**2 >= LEAST_DEVIATIONS * sigma


def choose_pairs(
    columns: Sequence[Column], factors: Factors, products: NDArray[np.float64], *, sigma: float, weight: float
) -> list[tuple[int, int]]:
    """The pairs of columns, largest gain first, whose noised products noise alone would pass about once in all.

    `products` are of `Factors.crossing`, with noise of deviation `sigma`, in units of factors; `weight` is the sum of
    pd (1 - pd). A pair's gain is that of its best product, in log likelihood, less what noise adds. A pair that the
    schema crosses has a table already.
    """
    crossed = {column.name for column in columns}
    left, right = factors.crossing
    unit = factors.units[left] * factors.units[right]
    variance = sigma**2 + weight * unit**2
    threshold = NormalDist().inv_cdf(1 - 1 / (2 * max(len(left), 2)))
    gains = (products**2 - variance) / (2 * weight * unit**2)
    seen = np.abs(products) >= threshold * np.sqrt(variance)
    uses: dict[int, int] = {}
    chosen: list[tuple[int, int]] = []
    for place in np.argsort(-gains, kind="stable"):
        one, other = int(factors.columns[left[place]]), int(factors.columns[right[place]])
        if not seen[place] or (one, other) in chosen:
            continue
        if not crossed.isdisjoint(cross_name(columns[a], columns[b]) for a, b in ((one, other), (other, one))):
            continue
        if max(uses.get(one, 0), uses.get(other, 0)) >= MOST_OF_A_COLUMN:
            continue
        chosen.append((one, other))
        uses[one], uses[other] = uses.get(one, 0) + 1, uses.get(other, 0) + 1
        if len(chosen) == MOST_PAIRS:
            break
    return chosen


def build_pair(
    left: Column, left_counts: NDArray[np.float64], right: Column, right_counts: NDArray[np.float64]
) -> Product:
    """Cells of a pair: each column's cells in groups of about equal noised mass."""
    return Product(left=_group(left, left_counts), right=_group(right, right_counts))


def _factors(column: Column, mass: NDArray[np.float64]) -> NDArray[np.float64]:
    """(cells, factors), uncorrelated, of mean 0 and deviation 1 (the curved one CURVED_SHARE), and 0 where absent."""
    wanted: list[tuple[NDArray[np.float64], float]] = []
    if isinstance(column.cells, Quantity):
        ordinary, ordered = column.cells.ordinary, mass[: column.cells.ordinary]
        if ordered.sum() >= LEAST_MASS:
            ranks = np.zeros(len(mass))
            ranks[:ordinary] = (np.cumsum(ordered) - ordered / 2) / ordered.sum() - 0.5
            wanted += [(ranks, 1.0), (ranks**2, CURVED_SHARE)]
        codes = list(range(ordinary, column.cells.absent))
    elif isinstance(column.cells, Categories):
        largest = np.argsort(-mass[: column.cells.ordinary], kind="stable")[:MOST_CATEGORIES]
        codes = sorted(largest.tolist())
    else:
        codes = []
    wanted += [(np.eye(len(mass))[code], 1.0) for code in codes if mass[code] >= LEAST_MASS]

    found: list[NDArray[np.float64]] = []
    for values, _ in wanted:
        rest = values - mass @ values
        for one in found:
            rest = rest - (mass @ (rest * one)) * one
        deviation = math.sqrt(mass @ rest**2)
        # What the others have said already leaves a remainder that is all noise: it gets no factor.
        kept = deviation > 0.15 * math.sqrt(mass @ values**2)
        found.append(rest / deviation if kept else np.zeros(len(mass)))
    factors = [
        share * np.clip(one, -FACTOR_LIMIT, FACTOR_LIMIT)
        for one, (_, share) in zip(found, wanted, strict=True)
        if one.any()
    ]
    table = np.stack(factors, axis=1) if factors else np.zeros((len(mass), 0))
    table[-1] = 0.0
    return table


def _group(column: Column, counts: NDArray[np.float64]) -> tuple[int, ...]:
    """The coarse cell of each cell but the absent one."""
    mass = _mass(counts)[:-1]
    if not isinstance(column.cells, Quantity):
        rank = np.argsort(np.argsort(-mass, kind="stable"), kind="stable")
        return tuple(np.minimum(rank, COARSE_CELLS - 1).tolist())
    ordinary = column.cells.ordinary
    codes = [code for code in range(ordinary, len(mass)) if mass[code] >= LEAST_CODE_MASS][: COARSE_CELLS - 2]
    groups = np.zeros(len(mass), dtype=np.int64)
    last, filled, share = 0, 0.0, mass[:ordinary].sum() / (COARSE_CELLS - len(codes))
    for cell in range(ordinary):
        if last + len(codes) < COARSE_CELLS - 1 and filled > 0 and filled + mass[cell] / 2 > share:
            last += 1
            filled, share = 0.0, mass[cell:ordinary].sum() / (COARSE_CELLS - len(codes) - last)
        groups[cell] = last
        filled += mass[cell]
    for number, code in enumerate(codes):
        groups[code] = last + 1 + number
    return tuple(groups.tolist())


def _mass(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """The share of the population in each cell."""
    rows = np.maximum(counts.sum(axis=1), 0.0)
    mass: NDArray[np.float64] = rows / max(float(rows.sum()), 1.0)
    return mass
