"""What the network sees of a column: a few fixed-point numbers for each public cell, made from released counts only.

A cell's weight of evidence; for a quantity also the rank of its ordinary cells among the population's rows, from -1
to 1, and one number each that marks a special code or absence; for a category one each that marks it. Being a table
over public cells, an input is served as a look-up, and nothing of a person but the cells enters the network.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoring.cells import Categories, Product, Quantity
from scoring.network.arithmetic import MOST_INPUT, ONE
from scoring.schema import Column

MOST_EVIDENCE = MOST_INPUT / ONE


@dataclass(frozen=True, kw_only=True)
class InputTable:
    """Of one column: (cells, inputs) numbers in units of 1 / ONE."""

    feature: str
    values: NDArray[np.int32]


def build_table(column: Column, counts: NDArray[np.float64], evidence: NDArray[np.float64]) -> InputTable:
    """A column's table from its noised (cells, label) counts and what they were weighed to."""
    evidence = np.clip(evidence, -MOST_EVIDENCE, MOST_EVIDENCE)
    parts = [evidence[:, None]]
    if isinstance(column.cells, Quantity):
        parts += [_ranks(column.cells, counts)[:, None], np.eye(len(counts))[:, column.cells.ordinary :]]
    elif isinstance(column.cells, Categories):
        parts += [np.eye(len(counts))]
    else:
        assert isinstance(column.cells, Product)  # its operands stand beside it
    return InputTable(feature=column.name, values=np.rint(np.concatenate(parts, axis=1) * ONE).astype(np.int32))


def _ranks(cells: Quantity, counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """The share of rows below each ordinary cell's middle, from -1 to 1; 0 for the other cells."""
    rows = np.maximum(counts[: cells.ordinary].sum(axis=1), 0.0)
    below = np.cumsum(rows) - rows / 2
    ranks = np.zeros(len(counts))
    ranks[: cells.ordinary] = 2 * below / max(rows.sum(), 1.0) - 1
    return ranks


def mean_square(tables: Sequence[InputTable], counts: Sequence[NDArray[np.float64]]) -> float:
    """Mean over the population of the inputs' squared norm, the constant one included, from the noised counts."""
    total = 1.0
    for table, of_cells in zip(tables, counts, strict=True):
        rows = np.maximum(of_cells.sum(axis=1), 0.0)
        squares = ((table.values / ONE) ** 2).sum(axis=1)
        total += float(rows @ squares / max(rows.sum(), 1.0))
    return total
