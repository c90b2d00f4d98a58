"""What is audited, on data small enough that one person shows: 46 synthetic rows, and one person more."""

import random
from collections.abc import Callable, Hashable, Sequence
from itertools import product

from scoring.audit.transcript import Subject
from scoring.dp.accounting import budget_rho_e12
from scoring.dp.mechanisms import Releases
from scoring.fitting import Records, fit_scorecard, read_records
from scoring.network.fitting import fit_network
from scoring.rows import Row
from scoring.schema import Schema, parse_schema

EPSILON_MICRO, DELTA_E12 = 20_000_000, 1_000_000
"""Of an audited run. The code is the same at any epsilon; at this one the bound is the sharpest for its runs."""
ROWS, ROWS_PER_PERSON = 46, 4
ROW_CAP = 1_000_000
_DECLARED = b"""
name = "audited"
label = "default"
person = "person"
rows_per_person = 4

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
Run = Callable[[Records, Releases, Callable[[int], bytes]], Hashable]

_VALUES = {"balance": ("0.5", "1.5", ""), "late": ("0", "1", ""), "trade": ("farm", "shop", "none of these", "")}


def audited_schema() -> Schema:
    """Three inputs of few cells; two rows a person."""
    return parse_schema(_DECLARED)


def scorecard_subject(seed: int) -> Subject[Records]:
    """The real reading, and the real fit of the scorecard."""
    schema = audited_schema()

    def run(records: Records, releases: Releases, random_bytes: Callable[[int], bytes]) -> Hashable:
        return fit_scorecard(schema, records, releases, row_cap=ROW_CAP, random_bytes=random_bytes)

    return _subject("scorecard", run, schema, seed)


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

    return _subject("network", run, schema, seed)


def _subject(name: str, run: Run, schema: Schema, seed: int) -> Subject[Records]:
    """Small data for a fit.

    Nearly all rows are good ones of one kind, so that a bad row of that kind is nearly all residual. The neighbours
    are every kind of person of one kind of row, each with a row over the cap, and some with rows of two kinds.
    """
    source = random.Random(seed)  # noqa: S311 - nobody's data
    kinds = list(product(*_VALUES.values()))
    common = source.choice([kind for kind in kinds if "" not in kind])
    rows = [_row(schema, f"other-{n}", common if n % 8 else source.choice(kinds), "0") for n in range(ROWS)]
    source.shuffle(rows)

    def read(person: Sequence[tuple[tuple[str, ...], str]]) -> Records:
        place = source.randrange(len(rows) + 1)
        added = [_row(schema, "somebody", kind, label) for kind, label in person]
        return read_records(schema, [*rows[:place], *added, *rows[place:]])

    people = [[(kind, label)] * (ROWS_PER_PERSON + 1) for kind in kinds for label in "01"]
    people += [
        [(source.choice(kinds), source.choice("01")) for _ in range(ROWS_PER_PERSON + 1)] for _ in range(len(kinds))
    ]

    return Subject(
        name=name,
        run=run,
        less=read_records(schema, rows),
        neighbours=[read(person) for person in people],
        charged_rho_e12=budget_rho_e12(EPSILON_MICRO, DELTA_E12),
        rows_per_person=ROWS_PER_PERSON,
    )


def _row(schema: Schema, person: str, kind: Sequence[str], label: str) -> Row:
    assert schema.person is not None
    return {schema.person: person, schema.label: label, **dict(zip(_VALUES, kind, strict=True))}
