"""Public cells: the fixed grid a feature's values fall into, computed from the schema alone, never from data."""

import math
from bisect import bisect_right
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoring.errors import SchemaInvalid
from scoring.expression import Value

MAX_CELLS = 32
"""Special and absent cells included, for a feature that is to fit a private proof; categories may exceed it."""

COARSE_CELLS = 5
"""Coarse cells of one operand of a cross: 5 x 5 and one for absent stay within MAX_CELLS."""


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """Cells of a quantity, in this order: the ordinary ones by rising value, one a special code, absent.

    Cell i holds edges[i-1] <= value < edges[i].
    """

    low: float
    high: float
    log: bool
    integer: bool
    edges: tuple[float, ...]
    special: tuple[float, ...]

    def clip(self, value: float) -> float:
        """The value as the model sees it: a special code itself, else rounded if integer and within the bounds."""
        if value in self.special:
            return value
        return min(max(float(round(value)) if self.integer else value, self.low), self.high)

    @property
    def ordinary(self) -> int:
        return len(self.edges) + 1

    @property
    def count(self) -> int:
        return self.ordinary + len(self.special) + 1

    @property
    def absent(self) -> int:
        return self.count - 1

    def cell_of(self, value: Value) -> int:
        if value is None or isinstance(value, str):
            return self.absent
        if value in self.special:
            return self.ordinary + self.special.index(value)
        return bisect_right(self.edges, value)

    def clip_all(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """`clip` of each value, NaN for absent."""
        rounded = np.rint(values) + 0.0 if self.integer else values  # -0.0 is 0.0 where round() makes an integer
        raised = np.where(self.low > rounded, self.low, rounded)
        return np.where(np.isin(values, self.special), values, np.where(self.high < raised, self.high, raised))

    def cells_of_all(self, values: NDArray[np.float64]) -> NDArray[np.int64]:
        """`cell_of` each value, NaN for absent."""
        cells = np.searchsorted(np.array(self.edges, dtype=np.float64), values, side="right")
        for number, code in enumerate(self.special):
            cells[values == code] = self.ordinary + number
        cells[np.isnan(values)] = self.absent
        return cells.astype(np.int64)


@dataclass(frozen=True, kw_only=True)
class Categories:
    """Cells of a category: one each, "other", absent."""

    categories: tuple[str, ...]

    @property
    def ordinary(self) -> int:
        return len(self.categories)

    @property
    def count(self) -> int:
        return len(self.categories) + 2

    @property
    def absent(self) -> int:
        return self.count - 1

    def cell_of(self, value: Value) -> int:
        if not isinstance(value, str):
            return self.absent
        return self.categories.index(value) if value in self.categories else len(self.categories)


@dataclass(frozen=True, kw_only=True)
class Product:
    """Cells of a cross: every pair of the operands' coarse cells, row by row, and one where either is absent."""

    left: tuple[int, ...]  # fine cell -> coarse cell; the absent cell is last and maps to none
    right: tuple[int, ...]

    @property
    def ordinary(self) -> int:
        return (max(self.left) + 1) * (max(self.right) + 1)

    @property
    def count(self) -> int:
        return self.ordinary + 1

    @property
    def absent(self) -> int:
        return self.ordinary

    def cell_of_cells(self, left: int, right: int) -> int:
        if left == len(self.left) or right == len(self.right):
            return self.absent
        return self.left[left] * (max(self.right) + 1) + self.right[right]


Cells = Quantity | Categories | Product


def build_quantity(
    *, low: float, high: float, cells: int, log: bool, integer: bool, special: tuple[float, ...]
) -> Quantity:
    """Cells evenly spaced between two bounds, or evenly in sign(x) log(1 + |x|).

    Edges are rounded to nine figures, so that no machine's logarithm can move a value to another cell. Special
    and absent cells take from the ordinary ones where all would exceed MAX_CELLS. An integer gets a cell of its
    own where there are enough.
    """
    wanted = min(cells, MAX_CELLS - 1 - len(special))
    if wanted < 1:
        raise SchemaInvalid("A feature has more special codes than cells.")
    if integer:
        wanted = min(wanted, int(high) - int(low) + 1) if not log else wanted
        start, stop = _scale(low - 0.5, log), _scale(high + 0.5, log)
    else:
        start, stop = _scale(low, log), _scale(high, log)
    edges = set()
    for step in range(1, wanted):
        edge = _unscale(start + (stop - start) * step / wanted, log)
        edge = math.floor(round(edge, 6)) + 0.5 if integer else float(f"{edge:.9g}")
        if low < edge < high:
            edges.add(edge)
    return Quantity(low=low, high=high, log=log, integer=integer, edges=tuple(sorted(edges)), special=special)


def build_product(left: Quantity | Categories, right: Quantity | Categories) -> Product:
    """Cells of a cross of two features."""
    return Product(left=_coarsen(left), right=_coarsen(right))


def _coarsen(cells: Quantity | Categories) -> tuple[int, ...]:
    """Coarse cell of each fine cell but the absent one; special codes, or "other", share one of their own."""
    if isinstance(cells, Categories):
        groups = min(cells.ordinary, COARSE_CELLS - 1)
        return (*(min(cell, groups - 1) for cell in range(cells.ordinary)), groups)
    coarse = build_quantity(
        low=cells.low,
        high=cells.high,
        cells=COARSE_CELLS - (1 if cells.special else 0),
        log=cells.log,
        integer=cells.integer,
        special=(),
    )
    ordinary = [bisect_right(coarse.edges, lowest) for lowest in (cells.low, *cells.edges)]
    return (*ordinary, *([coarse.ordinary] * len(cells.special)))


def _scale(value: float, log: bool) -> float:
    return math.copysign(math.log1p(abs(value)), value) if log else value


def _unscale(value: float, log: bool) -> float:
    return math.copysign(math.expm1(abs(value)), value) if log else value
