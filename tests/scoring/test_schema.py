"""The schema file: the grammar is accepted, everything beside it refused, protection and source spread."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import scoring.schema
from scoring.cells import MAX_CELLS, Quantity
from scoring.errors import SchemaInvalid
from scoring.schema import Schema, parse_schema


def test_columns_stand_in_file_order(small: Schema) -> None:
    assert [column.name for column in small.columns] == [
        "income",
        "jobs",
        "sent",
        "trade",
        "age",
        "late-30",
        "per_job",
        "of_age",
        "late",
        "jobs x per_job",
        "trade x of_age",
    ]
    assert (small.label, small.person, small.rows_per_person) == ("bad", "id", 2)


def test_protection_and_source_spread_through_derived_and_crossed(small: Schema) -> None:
    columns = {column.name: column for column in small.columns}
    assert {name for name, column in columns.items() if column.protected} == {"age", "of_age", "trade x of_age"}
    assert {name for name, column in columns.items() if not column.sourced} == {"late-30", "late"}
    assert [column.name for column in small.inputs] == ["income", "jobs", "sent", "trade", "per_job", "jobs x per_job"]


def test_a_derived_feature_may_read_one_before_it_and_none_after(small_toml: bytes) -> None:
    more = b'\n[[derived]]\nname = "%s"\nexpr = "%s * 2"\nkind = "numeric"\nlow = 0\nhigh = 1\n'
    assert parse_schema(small_toml + more % (b"twice", b"of_age")).columns[9].protected
    with pytest.raises(SchemaInvalid):
        parse_schema(small_toml + more % (b"first", b"second") + more % (b"second", b"income"))
    with pytest.raises(SchemaInvalid):
        parse_schema(small_toml + more % (b"itself", b"itself"))


def test_source_pointers(small: Schema) -> None:
    sources = {feature.name: feature.source for feature in small.features}
    assert sources["income"] is not None
    assert sources["income"].pointer == ("months", "0", "net_minor")
    assert sources["income"].divisor == 100
    assert sources["trade"] is not None
    assert sources["trade"].pointer == ("trade/code",)
    assert small.vcts == ("urn:test:one:1", "urn:test:many:1", "urn:test:sum:1")
    assert [source.vct for source in small.sources_of(small.columns[9])] == ["urn:test:many:1", "urn:test:one:1"]


def test_the_digest_is_of_every_byte(small_toml: bytes, small: Schema) -> None:
    assert len(small.digest) == 32
    assert parse_schema(small_toml).digest == small.digest
    assert parse_schema(small_toml + b"# a comment\n").digest != small.digest


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'name = "small"', b'name = "small"\nextra = 1'),
        (b'name = "small"', b""),
        (b'label = "bad"', b""),
        (b'label = "bad"', b'label = "income"'),
        (b'person = "id"', b'person = "age"'),
        (b'person = "id"', b'person = "bad"'),
        (b"rows_per_person = 2", b"rows_per_person = 0"),
        (b"rows_per_person = 2", b"rows_per_person = true"),
        (b'kind = "numeric"', b'kind = "real"'),
        (b'kind = "numeric"', b""),
        (b"cells = 4", b"cells = 33"),
        (b"cells = 4", b"cells = 1"),
        (b"cells = 4", b"cels = 4"),
        (b"high = 1000", b"high = 0"),
        (b"high = 1000", b"high = inf"),
        (b"high = 1000", b"high = nan"),
        (b"high = 1000", b'high = "1000"'),
        (b"high = 3", b"high = 3.5"),
        (b"low = 0", b""),
        (b"log = true", b"log = 1"),
        (b"special = [-9]", b"special = [-9, -9]"),
        (b"special = [-9]", b'special = ["x"]'),
        (b"special = [-9]", b"special = -9"),
        (b"protected = true", b'protected = "yes"'),
        (b"urn:test:one:1#/months/0/net_minor", b"urn:test:one:1"),
        (b"urn:test:one:1#/months/0/net_minor", b"#/months"),
        (b"urn:test:one:1#/months/0/net_minor", b"urn:test:one:1#months"),
        (b"trade~1code", b"trade~2code"),
        (b"trade~1code", b"trade~~01code"),
        (b"trade~1code", b"trade~"),
        (b"source_divisor = 100", b"source_divisor = 0"),
        (b"source_divisor = 100", b"source_divisor = 0.5"),
        (b'name = "late-30"', b'name = "late-30"\nsource_divisor = 1'),
        (b'name = "jobs"', b'name = "income"'),
        (b'name = "per_job"', b'name = "income"'),
        (b'name = "jobs"', b'name = "jo\\nbs"'),
        (b'categories = ["1", "2", "farm"]', b'categories = ["1", "1"]'),
        (b'categories = ["1", "2", "farm"]', b"categories = []"),
        (b'categories = ["1", "2", "farm"]', b"categories = [1, 2]"),
        (b'categories = ["1", "2", "farm"]', b'categories = ["1"]\nlow = 0'),
        (b'monotone = "decreasing"', b'monotone = "down"'),
        (b'monotone = "decreasing"', b'source = "urn:test:one:1#/x"'),
        (b"income / jobs", b"income / nothing"),
        (b"income / jobs", b"1 + 1"),
        (b'of = ["jobs", "per_job"]', b'of = ["jobs"]'),
        (b'of = ["jobs", "per_job"]', b'of = ["jobs", "jobs"]'),
        (b'of = ["jobs", "per_job"]', b'of = ["jobs", "trade x of_age"]'),
        (b'of = ["jobs", "per_job"]', b'of = ["jobs", "per_job"]\nname = "both"'),
        (b'many = "newest"', b'many = "all"'),
        (b"max_age_days = 30", b"max_age_days = -1"),
        (b'vct = "urn:test:many:1"', b'vct = "urn:test:sum:1"'),
        (b'vct = "urn:test:sum:1"', b'vct = "urn:test:one:1"'),
        (b"[[cross]]", b"[cross]"),
    ],
)
def test_what_the_grammar_does_not_name_is_refused(small_toml: bytes, old: bytes, new: bytes) -> None:
    assert old in small_toml
    with pytest.raises(SchemaInvalid):
        parse_schema(small_toml.replace(old, new, 1))


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_hostile_bytes_raise_our_error_only(toml: bytes) -> None:
    with pytest.raises(SchemaInvalid):
        parse_schema(toml)


@given(st.data())
def test_a_damaged_file_is_refused_or_is_a_schema(small_toml: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(small_toml) - 1))
    damaged = small_toml[:at] + data.draw(st.binary(max_size=3)) + small_toml[at + data.draw(st.integers(0, 40)) :]
    with suppress(SchemaInvalid):
        assert parse_schema(damaged).columns


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(SchemaInvalid):
        parse_schema(b"a = " + b"[" * 100_000)


@pytest.mark.parametrize(
    "path", sorted((Path(scoring.schema.__file__).parent / "schemas").glob("*.toml")), ids=lambda path: path.stem
)
def test_shipped_schemas_parse_and_keep_to_32_cells(path: Path) -> None:
    schema = parse_schema(path.read_bytes())
    assert schema.name == path.stem
    assert schema.unprotected
    for column in schema.columns:
        assert 2 <= column.cells.count <= MAX_CELLS, column.name
        if isinstance(column.cells, Quantity):
            assert column.cells.edges == tuple(sorted(set(column.cells.edges)))
    for name in ("SEX", "AGE", "MARRIAGE", "sex", "age", "personal_status_sex", "nationality", "foreign_worker"):
        if name in schema.position:
            assert schema.columns[schema.position[name]].protected


def test_taiwan_uses_every_sourced_column_and_none_protected(taiwan: Schema) -> None:
    assert len(taiwan.features) == 23
    assert [feature.name for feature in taiwan.features if feature.source is None] == [
        "SEX",
        "EDUCATION",
        "MARRIAGE",
        "AGE",
    ]
    assert len(taiwan.inputs) == 36
    assert taiwan.vcts == ("urn:credence:repayment-history:1",)
