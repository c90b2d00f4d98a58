"""A served network: public cells to inputs to points, in integers, with numpy alone; its scores are the trained ones.

It shares with the scorecard what a score is made of: unclamped points, bands, probabilities of points, and for each
input the points that its cell costs against its best one, the other inputs as they are.
"""

import hashlib
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import rfc8785
from numpy.typing import NDArray

from scoring.errors import InputProtected, InputUnsourced, NetworkInvalid
from scoring.features import Features
from scoring.network.arithmetic import LOG_ODDS_UNIT, MOST_INPUT, MOST_REACH, MOST_WEIGHT, ONE, log_odds_of
from scoring.network.encoding import InputTable
from scoring.reasons import MISSING, Reason, reason_code
from scoring.schema import Column, Schema
from scoring.scorecard import (
    BANDS,
    Band,
    Score,
    Thresholds,
    check_bands,
    clamp_points,
    is_scorable,
    make_score,
    points_of_log_odds,
    rank_reasons,
)

MOST_UNITS = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class Network:
    """A table of inputs for each column it looks at, (units, d) `hidden` and (units + d,) `output` weights.

    Raises NetworkInvalid, InputProtected and InputUnsourced.
    """

    schema: Schema
    tables: tuple[InputTable, ...]
    hidden: NDArray[np.int32]
    output: NDArray[np.int32]
    bands: tuple[Band, ...] = BANDS
    thresholds: Thresholds = field(default_factory=lambda: Thresholds(refer_above_points=None))

    def __post_init__(self) -> None:
        names = [table.feature for table in self.tables]
        if not names or len(set(names)) != len(names):
            raise NetworkInvalid
        for table in self.tables:
            self._check_table(table)
        inputs = sum(table.values.shape[1] for table in self.tables) + 1
        units = len(self.hidden)
        reach = ONE * (units + 1) + sum(int(np.abs(table.values).sum(axis=1).max()) for table in self.tables)
        if not 1 <= units <= MOST_UNITS or reach > MOST_REACH:
            raise NetworkInvalid
        if self.hidden.shape != (units, inputs) or self.output.shape != (units + inputs,):
            raise NetworkInvalid
        for weights in (self.hidden, self.output):
            if weights.dtype != np.int32 or np.abs(weights.astype(np.int64)).max() > MOST_WEIGHT:
                raise NetworkInvalid
        check_bands(self.bands, self.thresholds)

    def _check_table(self, table: InputTable) -> None:
        if table.feature not in self.schema.position:
            raise NetworkInvalid
        column = self.schema.columns[self.schema.position[table.feature]]
        if column.protected:
            raise InputProtected
        if not column.sourced:
            raise InputUnsourced
        values = table.values
        if values.dtype != np.int32 or values.ndim != 2 or len(values) != column.cells.count or not values.shape[1]:
            raise NetworkInvalid
        if np.abs(values.astype(np.int64)).max() > MOST_INPUT:
            raise NetworkInvalid

    @cached_property
    def weights_digest(self) -> bytes:
        """SHA-256, 32 bytes, over what decides the points and nothing else: schema, tables and weights."""
        canonical = rfc8785.dumps(
            {
                "schema": self.schema.digest.hex(),
                "inputs": [{"name": table.feature, "values": table.values.tolist()} for table in self.tables],
                "hidden": self.hidden.tolist(),
                "output": self.output.tolist(),
            }
        )
        return hashlib.sha256(b"credence/network/v1\0" + canonical).digest()

    def unclamped_points(self, features: Features) -> int:
        """Points before they are clamped to the scale, as `Scorecard.unclamped_points` gives them."""
        return int(self.points_of_cells(np.array([features.cells], dtype=np.int64))[0])

    def points_of_cells(self, cells: NDArray[np.int64]) -> NDArray[np.int64]:
        """Unclamped points (rows,) of (rows, columns) public cells in the order of `Schema.columns`."""
        looked_up = [values[:, cells[:, place]] for values, (_, place) in zip(self._values, self._columns, strict=True)]
        ones = np.full((1, len(cells)), float(ONE))
        log_odds = log_odds_of(np.concatenate([*looked_up, ones]), *self._weights) * LOG_ODDS_UNIT
        return np.array([round(points_of_log_odds(-one)) for one in log_odds.tolist()], dtype=np.int64)

    def points_of(self, features: Features) -> int | None:
        """The points of a person's score, as `Scorecard.points_of` gives them."""
        if not is_scorable(self._count_present(features), len(self.tables), self.thresholds):
            return None
        return clamp_points(self.unclamped_points(features))

    def _count_present(self, features: Features) -> int:
        return sum(features.cells[place] != column.cells.absent for column, place in self._columns)

    def score(self, features: Features) -> Score:
        """Score a person, as `Scorecard.score` does."""
        return make_score(
            features,
            present=self._count_present(features),
            total=len(self.tables),
            thresholds=self.thresholds,
            bands=self.bands,
            unclamped_points=self.unclamped_points,
            half_width_of=lambda _: None,  # nothing is known of how far its weights are from those without noise
            reasons_of=self.reasons_of,
        )

    def reasons_of(self, features: Features) -> tuple[Reason, ...]:
        """At most four reasons, ranked as a scorecard's: an input's loss is what its best cell would add, alone.

        Unlike a scorecard's they need not sum to the distance from the best score: inputs act on each other.
        """
        cells, codes = features.cells, []
        for column, place in self._columns:
            absent = [
                one.cells.absent == cells[self.schema.position[one.name]] for one in self.schema.features_of(column)
            ]
            missing = cells[place] == column.cells.absent and any(absent)
            codes.append(MISSING if missing else reason_code(self.schema, column))
        return rank_reasons(
            (name, code, loss) for (name, loss), code in zip(self.points_lost(features).items(), codes, strict=True)
        )

    def points_lost(self, features: Features) -> dict[str, int]:
        """Of each input, by name: how many more points its best cell would give, all other inputs as they are."""
        counts = [column.cells.count for column, _ in self._columns]
        starts = np.cumsum([0, *counts])
        cells = np.repeat(np.array([features.cells], dtype=np.int64), sum(counts), axis=0)
        for (_, place), start, count in zip(self._columns, starts, counts, strict=False):
            cells[start : start + count, place] = np.arange(count)
        points, own = self.points_of_cells(cells), self.unclamped_points(features)
        return {
            column.name: int(points[start : start + count].max()) - own
            for (column, _), start, count in zip(self._columns, starts, counts, strict=False)
        }

    @cached_property
    def _columns(self) -> tuple[tuple[Column, int], ...]:
        """Of each table: its column, and the column's place among the schema's."""
        places = [self.schema.position[table.feature] for table in self.tables]
        return tuple((self.schema.columns[place], place) for place in places)

    @cached_property
    def _values(self) -> tuple[NDArray[np.float64], ...]:
        """Of each table: (inputs, cells)."""
        return tuple(table.values.T.astype(np.float64) for table in self.tables)

    @cached_property
    def _weights(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return self.hidden.astype(np.float64), self.output.astype(np.float64)
