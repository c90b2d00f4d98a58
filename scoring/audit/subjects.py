"""What is audited, on data small enough that one person shows: 46 synthetic rows, or 49, and one person more."""

import hashlib
import random
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from itertools import product
from typing import TypeVar

from scoring.artifact import Artifact
from scoring.audit.transcript import Subject
from scoring.card import ModelCard, Privacy
from scoring.dp.accounting import budget_rho_e12
from scoring.dp.mechanisms import Releases
from scoring.fitting import fit_scorecard
from scoring.network.fitting import fit_network
from scoring.records import Records, read_records
from scoring.rows import Row
from scoring.schema import Schema, parse_schema
from scoring.scorecard import Scorecard, points_table
from scoring.validation.histogram import HeldOut, groupings_of, read_held_out, release_tables

EPSILON_MICRO, PAIRS_EPSILON_MICRO, DELTA_E12 = 20_000_000, 40_000_000, 1_000_000
"""Of an audited run. The code is the same at any epsilon: at the first a bound is the sharpest for its runs, and the
second is what it takes for pairs to stand out of the noise in so few rows."""
MOST_ROWS, ROW_CAP = 50, 1_000_000
_DECLARED = b"""
name = "audited"
label = "default"
person = "person"
rows_per_person = %d

[[feature]]
name = "balance"
kind = "numeric"
low = 0
high = 2
cells = 2
source = "urn:credence:audited:1#/balance"

[[feature]]
name = "late"
kind = "integer"
low = 0
high = 1
monotone = "increasing"
source = "urn:credence:audited:1#/late"

[[feature]]
name = "trade"
kind = "categorical"
categories = ["farm", "shop"]
source = "urn:credence:audited:1#/trade"
"""
_PROTECTED = b"""
[[feature]]
name = "sex"
kind = "categorical"
categories = ["f", "m"]
protected = true
"""
T = TypeVar("T")
Run = Callable[[Records, Releases, Callable[[int], bytes]], Hashable]
LabelledKind = tuple[tuple[str, ...], str]

_VALUES = {"balance": ("0.5", "1.5", ""), "late": ("0", "1", ""), "trade": ("farm", "shop", "none of these", "")}
_SEXES = ("f", "m", "")
_KINDS = tuple(product(*_VALUES.values()))


def audited_schema(*, rows_per_person: int = 4, protected: bool = False) -> Schema:
    """Three inputs of few cells; where it is asked for, a protected column beside them."""
    return parse_schema(_DECLARED % rows_per_person + (_PROTECTED if protected else b""))


def scorecard_subject(seed: int) -> Subject[Records]:
    """The real reading, and the real fit of the scorecard."""
    schema = audited_schema()
    return _subject("scorecard", _fit_scorecard(schema), schema, _alike, partial(read_records, schema), seed)


def pairs_subject(seed: int) -> Subject[Records]:
    """The real fit of the scorecard to rows of which two inputs tell nothing apart and all together.

    One row a person: with less noise, the search for pairs is worth its budget and finds this one.
    """
    schema = audited_schema(rows_per_person=1)
    read = partial(read_records, schema)
    return _subject(
        "scorecard with pairs", _fit_scorecard(schema), schema, _crossed, read, seed, epsilon_micro=PAIRS_EPSILON_MICRO
    )


def network_subject(seed: int) -> Subject[Records]:
    """The real reading, and the real fit of the network: a hundred sums of clipped gradients."""
    schema = audited_schema()

    def run(records: Records, releases: Releases, random_bytes: Callable[[int], bytes]) -> Hashable:
        network = fit_network(
            schema.inputs,
            records,
            releases,
            row_cap=ROW_CAP,
            rows_per_person=schema.rows_per_person,
            random_bytes=random_bytes,
        )
        tables = tuple((table.feature, table.values.tobytes()) for table in network.tables)
        return tables, network.hidden.tobytes(), network.output.tobytes()

    return _subject("network", run, schema, _alike, partial(read_records, schema), seed)


def validation_subject(seed: int) -> Subject[HeldOut]:
    """The real scoring of rows that were held out, by a champion and a challenger, and the release of their tables."""
    schema = audited_schema(protected=True)
    artifacts = [_public_model(name, points) for name, points in (("champion", 20), ("challenger", 35))]
    groupings = groupings_of(schema)

    def run(held_out: HeldOut, releases: Releases, _random_bytes: Callable[[int], bytes]) -> Hashable:
        return release_tables(held_out, artifacts, groupings, releases)

    def read(rows: Sequence[Row]) -> HeldOut:
        return read_held_out(schema, rows, artifacts, groupings)

    return _subject("validation", run, schema, _crossed, read, seed)


def _fit_scorecard(schema: Schema) -> Run:
    def run(records: Records, releases: Releases, random_bytes: Callable[[int], bytes]) -> Hashable:
        return fit_scorecard(schema, records, releases, row_cap=ROW_CAP, random_bytes=random_bytes)

    return run


def _alike(source: random.Random, count: int) -> list[LabelledKind]:
    """Nearly all rows are good ones of one kind, so that a bad row of that kind is nearly all residual."""
    common = source.choice([kind for kind in _KINDS if "" not in kind])
    return [(common if number % 8 else source.choice(_KINDS), "0") for number in range(count)]


def _crossed(source: random.Random, count: int) -> list[LabelledKind]:
    """Farms are bad where one of two inputs is high and the other low; shops are good, and other trades bad."""
    rows: list[LabelledKind] = []
    for number in range(count):
        balance, late = source.choice(("0.5", "1.5")), source.choice("01")
        trade = ("farm", "farm", "shop", "none of these")[number % 4]
        bad = {"farm": (balance == "1.5") != (late == "1"), "shop": False}.get(trade, True)
        rows.append(((balance, late, trade), str(int(bad))))
    return rows


def _public_model(name: str, points: int) -> Artifact:
    """A model that was made of nobody's data: an input's value is worth so many points more than the one before it."""
    schema = audited_schema()
    tables = []
    for column in schema.inputs:
        cells = range(column.cells.count)
        points_of_cells = tuple(points * cell for cell in cells)
        tables.append(points_table(schema, column.name, bins=tuple(cells), points=points_of_cells))
    privacy = Privacy(
        epsilon_micro=1,
        delta_e12=1,
        rows_per_person=1,
        institutions=1,
        sampler="none",
        mechanisms=(),
        ledger=(),
    )
    card = ModelCard(name=name, created_at_ms=0, data_kind="synthetic", population="nobody", privacy=privacy)
    scorecard = Scorecard(schema=schema, offset=520, tables=tuple(tables))
    return Artifact(scorecard=scorecard, card=card, card_json=b"", digest=hashlib.sha256(name.encode()).digest())


def _subject(
    name: str,
    run: Callable[[T, Releases, Callable[[int], bytes]], Hashable],
    schema: Schema,
    make_rows: Callable[[random.Random, int], list[LabelledKind]],
    read: Callable[[Sequence[Row]], T],
    seed: int,
    *,
    epsilon_micro: int = EPSILON_MICRO,
) -> Subject[T]:
    """Small data, and its neighbours.

    They are every kind of person of one kind of row, each with a row over the cap, and some with rows of several.
    """
    source = random.Random(seed)  # noqa: S311 - nobody's data
    most = schema.rows_per_person
    rows = [
        _row(schema, f"other-{number}", kind, label, source.choice(_SEXES))
        for number, (kind, label) in enumerate(make_rows(source, MOST_ROWS - most))
    ]
    source.shuffle(rows)

    def read_with(person: Sequence[LabelledKind]) -> T:
        place, sex = source.randrange(len(rows) + 1), source.choice(_SEXES)
        added = [_row(schema, "somebody", kind, label, sex) for kind, label in person]
        return read([*rows[:place], *added, *rows[place:]])

    people = [[(kind, label)] * (most + 1) for kind in _KINDS for label in "01"]
    people += [[(source.choice(_KINDS), source.choice("01")) for _ in range(most + 1)] for _ in range(len(_KINDS))]
    return Subject(
        name=name,
        run=run,
        less=read(rows),
        neighbours=[read_with(person) for person in people],
        charged_rho_e12=budget_rho_e12(epsilon_micro, DELTA_E12),
        rows_per_person=most,
    )


def _row(schema: Schema, person: str, kind: Sequence[str], label: str, sex: str) -> Row:
    assert schema.person is not None
    return {schema.person: person, schema.label: label, "sex": sex, **dict(zip(_VALUES, kind, strict=True))}
