"""What a fit found, before it is a model of a schema: tables of points, and what they add up to in torch."""

from dataclasses import dataclass
from functools import cache

import torch

from scoring.cells import Product
from scoring.schema import Column
from scoring.scorecard import BASE_POINTS, PDO, pd_ppm_of_points

_FARTHEST = 60 * PDO


@dataclass(frozen=True, kw_only=True)
class FittedTable:
    """The points of each cell of one column, or of a pair of columns whose cells `pair` gives.

    `of` are positions among the fitted columns, one or two. `deviations` are a cell's, in thousandths of a point: what
    its points are known to, and for absence what the column could have been.
    """

    of: tuple[int, ...]
    pair: Product | None
    points: tuple[int, ...]
    deviations: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class FittedPoints:
    """What a fit found: an offset and tables over the columns it was given. No artifact: nothing says what it cost."""

    columns: tuple[Column, ...]
    offset: int
    tables: tuple[FittedTable, ...]


def total_points(fitted: FittedPoints, cells: torch.Tensor) -> torch.Tensor:
    """Unclamped points (rows,) of (rows, columns) public cells of the fitted columns, in torch."""
    totals = torch.full((len(cells),), fitted.offset, dtype=torch.int64, device=cells.device)
    for table in fitted.tables:
        points = torch.tensor(table.points, dtype=torch.int64, device=cells.device)
        if table.pair is None:
            totals += points[cells[:, table.of[0]]]
        else:
            totals += points[pair_cells(table.pair, cells[:, table.of[0]], cells[:, table.of[1]])]
    return totals


def pair_cells(pair: Product, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """The cells (rows,) of a pair, from those of its two columns."""
    table = [
        [pair.cell_of_cells(one, other) for other in range(len(pair.right) + 1)] for one in range(len(pair.left) + 1)
    ]
    return torch.tensor(table, dtype=torch.int64, device=left.device)[left, right]


def pd_ppm_of_totals(totals: torch.Tensor) -> torch.Tensor:
    """Probability of default in millionths of unclamped points: serving's own integers, looked up.

    Beyond 60 doublings of the odds `pd_ppm_of_points` no longer changes.
    """
    return _pd_ppm_table(totals.device)[(totals - (BASE_POINTS - _FARTHEST)).clamp(0, 2 * _FARTHEST)]


@cache
def _pd_ppm_table(device: torch.device) -> torch.Tensor:
    points = range(BASE_POINTS - _FARTHEST, BASE_POINTS + _FARTHEST + 1)
    return torch.tensor([pd_ppm_of_points(one) for one in points], dtype=torch.int64, device=device)
