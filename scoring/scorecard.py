"""The additive scorecard: cells to bins to integer points to a score, exact to explain and to repeat.

Field convention: points = 600 + (20 / ln 2) (ln odds - ln 30), odds good to bad; a score is the sum of the offset
and one integer an input, clamped to 300-850. Everything here is integers, so that two machines agree to the bit.
"""

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import rfc8785

from scoring.cells import Product
from scoring.errors import InputProtected, InputUnsourced, ScorecardInvalid
from scoring.features import Features
from scoring.interval import MAX_DEVIATION_MILLIPOINTS, Interval, half_width_points
from scoring.reasons import (
    MISSING,
    NOTHING_PRESENTED,
    ONLY_STALE,
    REFER_COVERAGE,
    REFER_WIDTH,
    TOO_LITTLE,
    Reason,
    reason_code,
    reason_text,
)
from scoring.schema import Column, Cross, Schema, cross_name

PDO = 20
"""Points that double the odds."""
BASE_POINTS = 600
BASE_ODDS = 30
"""Good to bad at BASE_POINTS."""
MIN_POINTS, MAX_POINTS = 300, 850
MAX_TABLE_POINTS = 100_000
MAX_REASONS = 4
MILLION = 1_000_000

Outcome = Literal["scored", "unscorable", "refer"]

_ROOT_BITS = 64


def _twentieth_root(exponent: int) -> int:
    """floor(2^(exponent/20) 2^64), by bisection in integers."""
    target = 1 << (exponent + PDO * _ROOT_BITS)
    low, high = 1 << _ROOT_BITS, 1 << (_ROOT_BITS + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if middle**PDO <= target else (low, middle)
    return low


_ROOTS = tuple(_twentieth_root(exponent) for exponent in range(PDO))


def points_of_log_odds(log_odds: float) -> float:
    """Unrounded points of natural log good:bad odds, for training."""
    return BASE_POINTS + PDO / math.log(2) * (log_odds - math.log(BASE_ODDS))


def pd_ppm_of_points(points: int) -> int:
    """Probability of default in millionths of unclamped points: 10^6 / (1 + 30 2^((points-600)/20)), half up.

    Whole powers of two are exact and the twentieth roots carry 64 bits, in integers throughout. More than 60
    doublings away from the base the answer is 0 or 10^6 whatever the distance.
    """
    doublings, twentieths = divmod(min(max(points - BASE_POINTS, -60 * PDO), 60 * PDO), PDO)
    one = 1 << (_ROOT_BITS + 60)
    odds = BASE_ODDS * _ROOTS[twentieths] << (60 + doublings)
    return (2 * MILLION * one + one + odds) // (2 * (one + odds))


@dataclass(frozen=True, kw_only=True)
class PointsTable:
    """One model input: the bin and the points of each public cell; cells of one bin have the same points.

    `deviations`, a cell's too, are in thousandths of a point: what its points are known to. A model whose artifact is
    older than they are has none.
    """

    feature: str
    reason: str
    bins: tuple[int, ...]
    points: tuple[int, ...]
    deviations: tuple[int, ...] | None = None


def points_table(
    schema: Schema,
    feature: str,
    *,
    bins: tuple[int, ...],
    points: tuple[int, ...],
    deviations: tuple[int, ...] | None = None,
    crosses: Sequence[Cross] = (),
) -> PointsTable:
    """A table with the reason code that the registry gives its feature, or the cross that a fit chose."""
    column = {one.name: one for one in (*schema.columns, *crosses)}.get(feature)
    if column is None:
        raise ScorecardInvalid
    code = reason_code(schema, column)
    return PointsTable(feature=feature, reason=code, bins=bins, points=points, deviations=deviations)


def learned_cross(schema: Schema, left: str, right: str, cells: Product) -> Cross:
    """A cross of two of the schema's columns, by name, whose cells a fit chose; raises ScorecardInvalid."""
    graded = {column.name: (place, column) for place, column in enumerate(schema.graded)}
    if left not in graded or right not in graded:
        raise ScorecardInvalid
    (one, a), (other, b) = graded[left], graded[right]
    return Cross(
        name=cross_name(a, b),
        of=(one, other),
        cells=cells,
        sourced=a.sourced and b.sourced,
        protected=a.protected or b.protected,
    )


@dataclass(frozen=True, kw_only=True)
class Band:
    """A band and the least points it takes."""

    name: str
    from_points: int


BANDS = (
    Band(name="A", from_points=600),
    Band(name="B", from_points=575),
    Band(name="C", from_points=550),
    Band(name="D", from_points=525),
    Band(name="E", from_points=MIN_POINTS),
)
"""The default cut-offs: at them 1 in 31, 14, 6.3, 3.2 is bad; below D, E."""


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """Least share of the model's inputs present, in millionths: below `unscorable` no score, below `refer` a person.

    A person too where the interval is wider than `refer_above_points`; None where no width is too much.
    """

    unscorable_below_ppm: int = 100_000
    refer_below_ppm: int = 250_000
    refer_above_points: int | None = 150


def check_bands(bands: tuple[Band, ...], thresholds: Thresholds) -> None:
    """Raises ScorecardInvalid where bands do not cover the scale, or thresholds are out of order."""
    cuts = [band.from_points for band in bands]
    if not cuts or cuts != sorted(set(cuts), reverse=True) or cuts[-1] != MIN_POINTS:
        raise ScorecardInvalid("The bands do not cover the scale from the top down.")
    if not 0 <= thresholds.unscorable_below_ppm <= thresholds.refer_below_ppm <= MILLION:
        raise ScorecardInvalid("The coverage thresholds are out of order.")
    if thresholds.refer_above_points is not None and thresholds.refer_above_points < 0:
        raise ScorecardInvalid("No interval is as narrow as the threshold.")


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """How much of what the model looks at was there, and from which credential types."""

    features_present: int
    features_total: int
    credential_types: tuple[str, ...]
    stale_types: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Score:
    """A score. `points` are clamped; `pd_ppm` is of the unclamped points; both and the band are None if unscorable.

    `interval` is None then, and of a model that does not know what it knows.
    """

    outcome: Outcome
    points: int | None
    pd_ppm: int | None
    band: str | None
    reasons: tuple[Reason, ...]
    coverage: Coverage
    interval: Interval | None = None


@dataclass(frozen=True, kw_only=True)
class Scorecard:
    """A model: one points table an input and an offset, over a schema and the crosses that its fit chose.

    Raises on construction: InputProtected, InputUnsourced, ReasonUnknown, ScorecardInvalid.
    """

    schema: Schema
    tables: tuple[PointsTable, ...]
    offset: int
    bands: tuple[Band, ...] = BANDS
    thresholds: Thresholds = Thresholds()
    crosses: tuple[Cross, ...] = ()

    def __post_init__(self) -> None:
        for cross in self.crosses:
            self._check_cross(cross)
        names = [table.feature for table in self.tables]
        if not names or len(set(names)) != len(names) or abs(self.offset) > MAX_TABLE_POINTS:
            raise ScorecardInvalid
        for table in self.tables:
            self._check_table(table)
        if len({table.deviations is None for table in self.tables}) != 1:
            raise ScorecardInvalid("Some inputs have deviations and others none.")
        check_bands(self.bands, self.thresholds)

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """Everything that has cells: the schema's columns, then the crosses."""
        return (*self.schema.columns, *self.crosses)

    @cached_property
    def position(self) -> Mapping[str, int]:
        """Of each of these by name, its place."""
        return {column.name: place for place, column in enumerate(self.columns)}

    def _check_cross(self, cross: Cross) -> None:
        """Each cell of either column has a coarse one, none is skipped, and it is used under a name of its own."""
        if len(self.position) != len(self.columns) or cross.name not in {table.feature for table in self.tables}:
            raise ScorecardInvalid
        for place, coarse in zip(cross.of, (cross.cells.left, cross.cells.right), strict=True):
            if len(coarse) != self.schema.graded[place].cells.count - 1:
                raise ScorecardInvalid
            if set(coarse) != set(range(max(coarse) + 1)):
                raise ScorecardInvalid("Coarse cells are not numbered from zero.")

    def _check_table(self, table: PointsTable) -> None:
        if table.feature not in self.position:
            raise ScorecardInvalid
        column = self.columns[self.position[table.feature]]
        if column.protected:
            raise InputProtected
        if not column.sourced:
            raise InputUnsourced
        reason_text(table.reason)
        if not len(table.bins) == len(table.points) == column.cells.count:
            raise ScorecardInvalid
        points_of_bin = dict(zip(table.bins, table.points, strict=True))
        if [points_of_bin[bin_] for bin_ in table.bins] != list(table.points):
            raise ScorecardInvalid("Cells of one bin have different points.")
        if sorted(points_of_bin) != list(range(len(points_of_bin))):
            raise ScorecardInvalid("Bins are not numbered from zero.")
        if max(map(abs, table.points)) > MAX_TABLE_POINTS:
            raise ScorecardInvalid("Points are out of range.")
        if table.deviations is not None:
            if len(table.deviations) != column.cells.count or min(table.deviations) < 0:
                raise ScorecardInvalid
            if max(table.deviations) > MAX_DEVIATION_MILLIPOINTS:
                raise ScorecardInvalid("Deviations are out of range.")
            if max(table.deviations) > table.deviations[column.cells.absent]:
                raise ScorecardInvalid("What is absent would be known better than what is there.")

    @cached_property
    def _inputs(self) -> tuple[tuple[PointsTable, int, int, int], ...]:
        """Of each table: itself, its column's position, the column's absent cell, its best points."""
        positions = [self.position[table.feature] for table in self.tables]
        return tuple(
            (table, position, self.columns[position].cells.absent, max(table.points))
            for table, position in zip(self.tables, positions, strict=True)
        )

    @cached_property
    def _absent_features(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """Of each table, the features that its column rests on: their positions and absent cells."""
        position = self.schema.position
        columns = (self.columns[self.position[table.feature]] for table in self.tables)
        return tuple(
            tuple((position[feature.name], feature.cells.absent) for feature in self.schema.features_of(column))
            for column in columns
        )

    @cached_property
    def points_digest(self) -> bytes:
        """SHA-256, 32 bytes, over what decides the points and nothing else: schema, offset, bins and points."""
        decides: dict[str, object] = {
            "schema": self.schema.digest.hex(),
            "offset": self.offset,
            "inputs": [{"name": t.feature, "bins": list(t.bins), "points": list(t.points)} for t in self.tables],
        }
        if self.crosses:
            decides["crosses"] = [
                {"of": list(cross.of), "left": list(cross.cells.left), "right": list(cross.cells.right)}
                for cross in self.crosses
            ]
        return hashlib.sha256(b"credence/points/v1\0" + rfc8785.dumps(decides)).digest()  # type: ignore[arg-type]

    def cells_of(self, features: Features) -> tuple[int, ...]:
        """The cell of everything in `columns`."""
        cells = features.cells
        crossed = (cross.cells.cell_of_cells(*(cells[place] for place in cross.of)) for cross in self.crosses)
        return (*cells, *crossed)

    def unclamped_points(self, features: Features) -> int:
        """Offset plus the points of each input's cell."""
        cells = self.cells_of(features)
        return self.offset + sum(table.points[cells[position]] for table, position, _, _ in self._inputs)

    def half_width_of(self, features: Features) -> int | None:
        """Points on either side of a score's interval; None where the model has no deviations."""
        cells = self.cells_of(features)
        deviations = [
            table.deviations[cells[position]] for table, position, _, _ in self._inputs if table.deviations is not None
        ]
        return half_width_points(deviations) if deviations else None

    def band_of(self, points: int) -> str:
        """The band of clamped points."""
        return band_of_points(self.bands, points)

    def points_of(self, features: Features) -> int | None:
        """The points of a person's score, None where there would be none; without the reasons, which take longest."""
        if not is_scorable(self._count_present(features), len(self.tables), self.thresholds):
            return None
        return clamp_points(self.unclamped_points(features))

    def _count_present(self, features: Features) -> int:
        cells = self.cells_of(features)
        return sum(cells[position] != absent for _, position, absent, _ in self._inputs)

    def score(self, features: Features) -> Score:
        """Score a person: pure, total over the features of the scorecard's own schema."""
        return make_score(
            features,
            present=self._count_present(features),
            total=len(self.tables),
            thresholds=self.thresholds,
            bands=self.bands,
            unclamped_points=self.unclamped_points,
            half_width_of=self.half_width_of,
            reasons_of=self.reasons_of,
        )

    def reasons_of(self, features: Features) -> tuple[Reason, ...]:
        """At most four reasons, most points lost first; ties go to the input that stands first.

        An input's loss is its distance from its best bin, exactly its part of the distance of the whole. Losses
        of inputs that share a code are summed, and those of inputs that lack a feature share one code; an input that
        is absent though its features are there, for a zero divisor, keeps its own.
        """
        losses = []
        cells = self.cells_of(features)
        for (table, position, absent, best), rests_on in zip(self._inputs, self._absent_features, strict=True):
            missing = cells[position] == absent and any(cells[at] == none for at, none in rests_on)
            losses.append((table.feature, MISSING if missing else table.reason, best - table.points[cells[position]]))
        return rank_reasons(losses)


def is_scorable(present: int, total: int, thresholds: Thresholds) -> bool:
    """Whether enough of a model's inputs are present for a score."""
    return present > 0 and present * MILLION // total >= thresholds.unscorable_below_ppm


def clamp_points(unclamped: int) -> int:
    """Points on the scale."""
    return min(max(unclamped, MIN_POINTS), MAX_POINTS)


def make_score(
    features: Features,
    *,
    present: int,
    total: int,
    thresholds: Thresholds,
    bands: tuple[Band, ...],
    unclamped_points: Callable[[Features], int],
    half_width_of: Callable[[Features], int | None],
    reasons_of: Callable[[Features], tuple[Reason, ...]],
) -> Score:
    """What any model's points come to, of whose `total` inputs so many are `present`."""
    coverage = Coverage(
        features_present=present,
        features_total=total,
        credential_types=features.credential_types,
        stale_types=features.stale_types,
    )
    if not is_scorable(present, total, thresholds):
        why = TOO_LITTLE if present else ONLY_STALE if features.stale_types else NOTHING_PRESENTED
        return Score(
            outcome="unscorable",
            points=None,
            pd_ppm=None,
            band=None,
            reasons=(Reason(code=why, text=reason_text(why)),),
            coverage=coverage,
        )
    unclamped = unclamped_points(features)
    points = clamp_points(unclamped)
    half_width = half_width_of(features)
    refer = []
    if present * MILLION // total < thresholds.refer_below_ppm:
        refer.append(Reason(code=REFER_COVERAGE, text=reason_text(REFER_COVERAGE)))
    most = thresholds.refer_above_points
    if half_width is not None and most is not None and 2 * half_width > most:
        refer.append(Reason(code=REFER_WIDTH, text=reason_text(REFER_WIDTH)))
    reasons = (*refer, *reasons_of(features))
    return Score(
        outcome="refer" if refer else "scored",
        points=points,
        pd_ppm=pd_ppm_of_points(unclamped),
        band=band_of_points(bands, points),
        reasons=reasons[:MAX_REASONS],
        coverage=coverage,
        interval=None if half_width is None else _interval(unclamped, half_width),
    )


def _interval(unclamped: int, half_width: int) -> Interval:
    low, high = unclamped - half_width, unclamped + half_width
    return Interval(
        low_points=min(max(low, MIN_POINTS), MAX_POINTS),
        high_points=min(max(high, MIN_POINTS), MAX_POINTS),
        pd_ppm_low=pd_ppm_of_points(high),
        pd_ppm_high=pd_ppm_of_points(low),
    )


def band_of_points(bands: tuple[Band, ...], points: int) -> str:
    """The band of clamped points."""
    return next(band.name for band in bands if points >= band.from_points)


def rank_reasons(losses: Iterable[tuple[str, str, int]]) -> tuple[Reason, ...]:
    """At most four reasons of (input, code, points lost), most points first; losses under one code are summed."""
    lost: dict[str, int] = {}
    largest: dict[str, tuple[int, str]] = {}
    for feature, code, loss in losses:
        if loss == 0:
            continue
        lost[code] = lost.get(code, 0) + loss
        if code not in largest or loss > largest[code][0]:
            largest[code] = (loss, feature)
    ranked = sorted(lost, key=lambda code: -lost[code])[:MAX_REASONS]
    return tuple(
        Reason(code=code, text=reason_text(code), feature=largest[code][1], points_lost=lost[code]) for code in ranked
    )
