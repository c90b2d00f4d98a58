"""Features: the served path and the training path give the same bits; hostile claims raise only our errors."""

import math
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.cells import Categories, Quantity, build_quantity
from scoring.errors import ColumnMissing, SchemaInvalid, SeveralCredentials, ValueInvalid
from scoring.features import DAY_MS, ClaimSet, extract_features, features_from_row
from scoring.schema import Schema

ONE, MANY, SUM = "urn:test:one:1", "urn:test:many:1", "urn:test:sum:1"
NOW_MS = 1_000 * DAY_MS
ROW = {"income": "500", "jobs": "2", "sent": "90", "trade": "1", "age": "40", "late-30": "0"}


def claim_set(claims: dict[str, object], *, age_days: int = 0) -> ClaimSet:
    return ClaimSet(issued_at_ms=NOW_MS - age_days * DAY_MS, claims=claims)


def one(**claims: object) -> dict[str, list[ClaimSet]]:
    return {ONE: [claim_set(dict(claims))]}


def value_of(schema: Schema, name: str, claims: dict[str, list[ClaimSet]]) -> float | str | None:
    return extract_features(schema, claims, NOW_MS).values[schema.position[name]]


def test_claims_are_found_divided_and_derived_from(small: Schema) -> None:
    claims = {**one(months=[{"net_minor": 50_050}], **{"trade/code": 2}, age=50), MANY: [claim_set({"jobs": 2})]}
    features = extract_features(small, claims, NOW_MS)
    assert features.values == (500.5, 2.0, None, "2", 50.0, None, 250.25, 10.01, None)
    assert features.credential_types == (ONE, MANY)
    assert features.cells[small.position["income"]] == 2
    assert features.cells[small.position["sent"]] == small.columns[small.position["sent"]].cells.absent
    assert features.cells[small.position["jobs x per_job"]] == 2 * 5 + 2


@pytest.mark.parametrize("months", [None, [], [{}], [{"net_minor": None}], {"x": 1}, "text", 5, [[1]]])
def test_what_a_pointer_does_not_find_is_absent(small: Schema, months: object) -> None:
    assert value_of(small, "income", one(months=months)) is None


@pytest.mark.parametrize(
    "claim", ["100", True, [1], {"minor": 1}, math.nan, math.inf, -math.inf, 10**400, -(10**400)], ids=str
)
def test_a_claim_of_the_wrong_type_or_not_finite_is_refused(small: Schema, claim: object) -> None:
    with pytest.raises(ValueInvalid) as refusal:
        extract_features(small, one(months=[{"net_minor": claim}]), NOW_MS)
    assert refusal.value.feature == "income"
    assert str(claim) not in str(refusal.value)


@pytest.mark.parametrize("claim", [True, ["1"], {"code": "1"}, math.nan, 10**30], ids=str)
def test_a_category_of_the_wrong_type_is_refused(small: Schema, claim: object) -> None:
    with pytest.raises(ValueInvalid):
        extract_features(small, one(**{"trade/code": claim}), NOW_MS)


def test_values_outside_a_bound_are_clipped_and_codes_are_not(small: Schema) -> None:
    assert value_of(small, "income", one(months=[{"net_minor": 10**15}])) == 1000.0
    assert value_of(small, "income", one(months=[{"net_minor": -500}])) == 0.0
    assert value_of(small, "income", one(months=[{"net_minor": -900}])) == -9.0
    assert features_from_row(small, ROW | {"income": "-9"}).cells[0] == 4
    assert features_from_row(small, ROW | {"income": ""}).cells[0] == 5


@pytest.mark.parametrize(
    ("text", "value", "cell"),
    [("1", "1", 0), ("2.0", "2", 1), ("farm", "farm", 2), ("7", "7", 3), ("shop", "shop", 3), ("NA", None, 4)],
)
def test_unknown_categories_are_other_and_absent_is_its_own(
    small: Schema, text: str, value: str | None, cell: int
) -> None:
    features = features_from_row(small, ROW | {"trade": text})
    assert (features.values[3], features.cells[3]) == (value, cell)
    assert extract_features(small, one(**{"trade/code": text}), NOW_MS).cells[3] == cell


def test_old_credentials_are_dropped_and_said_to_be_stale(small: Schema) -> None:
    fresh = {ONE: [claim_set({"age": 30}, age_days=180)], MANY: [claim_set({"jobs": 1}, age_days=30)]}
    features = extract_features(small, fresh, NOW_MS)
    assert (features.credential_types, features.stale_types) == ((ONE, MANY), ())
    old = {ONE: [claim_set({"age": 30}, age_days=181)], MANY: [claim_set({"jobs": 1}, age_days=31)]}
    features = extract_features(small, old, NOW_MS)
    assert (features.credential_types, features.stale_types) == ((), (ONE, MANY))
    assert set(features.values) == {None}


def test_two_of_a_type_are_refused_by_default(small: Schema) -> None:
    two = {ONE: [claim_set({"age": 30}), claim_set({"age": 30}, age_days=9)]}
    with pytest.raises(SeveralCredentials) as refusal:
        extract_features(small, two, NOW_MS)
    assert refusal.value.vct == ONE
    with_an_old_one = {ONE: [claim_set({"age": 30}), claim_set({"age": 50}, age_days=400)]}
    assert value_of(small, "age", with_an_old_one) == 30.0


@pytest.mark.parametrize("order", [1, -1])
def test_newest_takes_the_newest(small: Schema, order: int) -> None:
    two = [claim_set({"jobs": 1}, age_days=3), claim_set({"jobs": 2}, age_days=2)]
    assert value_of(small, "jobs", {MANY: two[::order]}) == 2.0


def test_sum_adds_what_is_there(small: Schema) -> None:
    three = [claim_set({"sent_minor": 40}), claim_set({"sent_minor": 2}), claim_set({})]
    assert value_of(small, "sent", {SUM: three}) == 42.0
    assert value_of(small, "sent", {SUM: [claim_set({})]}) is None


def test_types_that_the_schema_does_not_name_are_not_read(small: Schema) -> None:
    features = extract_features(small, {"urn:test:other:1": [claim_set({"age": object()})]}, NOW_MS)
    assert (features.credential_types, features.stale_types) == ((), ())


@pytest.mark.parametrize("text", ["inf", "1e999", "five", "1_000", "0x1", "--1", "١"])
def test_a_row_with_a_text_for_a_number_is_refused(small: Schema, text: str) -> None:
    with pytest.raises(ValueInvalid):
        features_from_row(small, ROW | {"income": text})


def test_a_row_without_a_column_is_refused(small: Schema) -> None:
    with pytest.raises(ColumnMissing) as refusal:
        features_from_row(small, {name: text for name, text in ROW.items() if name != "jobs"})
    assert refusal.value.feature == "jobs"


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(10**300, 10**400)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["1", "farm", "NA", ""]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["months", "0", "net_minor", "jobs", "sent_minor", "trade/code", "age"]), inner
        )
    ),
    max_leaves=8,
)
CLAIMS = st.dictionaries(
    st.sampled_from([ONE, MANY, SUM, "urn:test:other:1"]),
    st.lists(
        st.builds(
            claim_set,
            st.dictionaries(st.sampled_from(["months", "jobs", "sent_minor", "trade/code", "age", "x"]), JSON),
            age_days=st.integers(-10, 400),
        ),
        max_size=3,
    ),
)


@given(CLAIMS)
def test_any_claims_give_cells_in_range_or_our_error(small: Schema, claims: dict[str, list[ClaimSet]]) -> None:
    with suppress(ValueInvalid, SeveralCredentials):
        features = extract_features(small, claims, NOW_MS)
        assert_in_range(small, features.values, features.cells)


CELL = st.text(max_size=6) | st.integers().map(str) | st.floats().map(str) | st.sampled_from(["", "NA", "1", "farm"])


@given(st.fixed_dictionaries(dict.fromkeys(ROW, CELL)))
def test_any_row_gives_cells_in_range_or_our_error(small: Schema, row: dict[str, str]) -> None:
    with suppress(ValueInvalid):
        features = features_from_row(small, row)
        assert_in_range(small, features.values, features.cells)


def assert_in_range(schema: Schema, values: tuple[object, ...], cells: tuple[int, ...]) -> None:
    assert len(cells) == len(schema.columns)
    for column, cell in zip(schema.columns, cells, strict=True):
        assert 0 <= cell < column.cells.count
    for column, value in zip(schema.graded, values, strict=True):
        if isinstance(value, float):
            assert isinstance(column.cells, Quantity)
            assert column.cells.low <= value <= column.cells.high or value in column.cells.special


@given(
    credit_line=st.integers(0, 10**10),
    statements=st.lists(st.integers(-(10**9), 10**10), min_size=6, max_size=6),
    paid=st.lists(st.integers(0, 10**10), min_size=6, max_size=6),
    delays=st.lists(st.integers(-2, 9), min_size=6, max_size=6),
)
def test_served_values_are_the_bits_of_training_values(
    taiwan: Schema,
    taiwan_claims: Callable[[dict[str, str]], dict[str, list[ClaimSet]]],
    credit_line: int,
    statements: list[int],
    paid: list[int],
    delays: list[int],
) -> None:
    """Over all amounts to the minor unit, in the shape of the public set; the data itself is the next test."""
    row = dict.fromkeys(("SEX", "EDUCATION", "MARRIAGE", "AGE"), "")
    row["LIMIT_BAL"] = f"{credit_line // 100}.{credit_line % 100:02}"
    for month, amount in enumerate(statements, start=1):
        row[f"BILL_AMT{month}"] = f"{'-' if amount < 0 else ''}{abs(amount) // 100}.{abs(amount) % 100:02}"
    for month, amount in enumerate(paid, start=1):
        row[f"PAY_AMT{month}"] = f"{amount // 100}.{amount % 100:02}"
    for month, delay in zip((0, 2, 3, 4, 5, 6), delays, strict=True):
        row[f"PAY_{month}"] = str(delay)
    trained = features_from_row(taiwan, row)
    served = extract_features(taiwan, taiwan_claims(row), 0)
    assert served.values == trained.values
    assert served.cells == trained.cells


def test_taiwan_rows_served_as_claims_have_their_training_cells(
    taiwan: Schema,
    taiwan_rows: list[dict[str, str]],
    taiwan_claims: Callable[[dict[str, str]], dict[str, list[ClaimSet]]],
) -> None:
    inputs = [taiwan.position[column.name] for column in taiwan.inputs]
    rows = taiwan_rows[::15]
    for row in rows:
        trained, served = features_from_row(taiwan, row), extract_features(taiwan, taiwan_claims(row), 0)
        assert [trained.cells[at] for at in inputs] == [served.cells[at] for at in inputs]
    assert len(rows) == 2_000


def test_edges_are_even_and_cells_half_open() -> None:
    cells = build_quantity(low=0, high=10, cells=5, log=False, integer=False, special=())
    assert cells.edges == (2.0, 4.0, 6.0, 8.0)
    assert [cells.cell_of(value) for value in (0.0, 1.9, 2.0, 8.0, 10.0, None)] == [0, 0, 1, 4, 4, 5]


def test_log_edges_are_even_in_signed_logarithm() -> None:
    cells = build_quantity(low=-999, high=999, cells=6, log=True, integer=False, special=())
    assert cells.edges == pytest.approx((-99, -9, 0, 9, 99), abs=1e-6)


def test_integers_have_a_cell_each_where_there_is_room() -> None:
    for log in (False, True):
        cells = build_quantity(low=0, high=8, cells=32, log=log, integer=True, special=(-2.0, -1.0))
        assert cells.edges == tuple(value + 0.5 for value in range(8))
        assert [cells.cell_of(cells.clip(value)) for value in (-2.0, -1.0, -3.0, 8.0, 99.0, 2.4)] == [9, 10, 0, 8, 8, 2]


def test_special_and_absent_cells_take_from_the_32() -> None:
    assert build_quantity(low=0, high=1, cells=32, log=False, integer=False, special=(-9.0, -8.0)).count == 32
    assert build_quantity(low=0, high=1, cells=16, log=False, integer=False, special=(-9.0, -8.0)).count == 19
    with pytest.raises(SchemaInvalid):
        build_quantity(low=0, high=1, cells=32, log=False, integer=False, special=tuple(range(2, 40)))


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.booleans(), st.booleans())
def test_cells_rise_with_the_value(first: float, second: float, log: bool, integer: bool) -> None:
    cells = build_quantity(low=-1000, high=5000, cells=32, log=log, integer=integer, special=())
    low, high = sorted((first, second))
    assert cells.cell_of(cells.clip(low)) <= cells.cell_of(cells.clip(high))
    assert cells.count <= 32


def test_a_cross_has_a_cell_a_pair_and_one_for_absent(small: Schema, taiwan: Schema) -> None:
    for schema in (small, taiwan):
        for cross in schema.crosses:
            left, right = (schema.columns[at].cells for at in cross.of)
            assert isinstance(left, Quantity | Categories)
            assert isinstance(right, Quantity | Categories)
            found = {cross.cells.cell_of_cells(i, j) for i in range(left.count) for j in range(right.count)}
            assert found == set(range(cross.cells.count))
            assert {cross.cells.cell_of_cells(left.absent, j) for j in range(right.count)} == {cross.cells.absent}
