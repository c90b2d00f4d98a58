"""Who is held out: by the person alone, under a key, and everybody on one side for good."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.dp.split import MAX_HOLDOUT_PPM, Split
from scoring.errors import HoldoutNeedsPerson, PrivacyParametersInvalid, RowInvalid
from scoring.schema import Schema, parse_schema

KEY = bytes(range(32))
NORTH = Split.of_population(KEY, "north", holdout_ppm=200_000)
PEOPLE = [f"person {number}" for number in range(20_000)]


def test_a_side_is_a_keyed_hash_of_the_person() -> None:
    """Fixed values: an implementation that moved anybody would break every split that stands."""
    assert [number for number in range(40) if NORTH.is_held_out(PEOPLE[number])] == [4, 12, 26, 27, 34, 35, 39]
    assert NORTH.key_check == "b824ec3e49ab5a29a1c098eabb1a46df281445df7b6254ca12c2ae5f5fb70527"


def test_the_share_is_held_out_and_other_keys_and_populations_hold_out_others() -> None:
    held_out = {person for person in PEOPLE if NORTH.is_held_out(person)}
    assert abs(len(held_out) / len(PEOPLE) - 0.2) < 0.01
    for other in (
        Split.of_population(KEY, "south", holdout_ppm=200_000),
        Split.of_population(KEY[::-1], "north", holdout_ppm=200_000),
    ):
        both = sum(other.is_held_out(person) for person in held_out)
        assert abs(both / len(held_out) - 0.2) < 0.03  # independent
        assert other.key_check != NORTH.key_check
    larger = Split.of_population(KEY, "north", holdout_ppm=300_000)
    assert held_out < {person for person in PEOPLE if larger.is_held_out(person)}


def test_a_key_stays_out_of_what_is_printed() -> None:
    assert NORTH.key.hex() not in repr(NORTH)
    assert str(NORTH.key) not in repr(NORTH)


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 9))), st.data())
def test_the_sides_part_the_rows_and_one_persons_coming_moves_nobody(
    small: Schema, pairs: list[tuple[str, int]], data: st.DataObject
) -> None:
    rows = [{"id": f" {person} ", "jobs": str(value)} for person, value in pairs]
    train, holdout = NORTH.select(small, rows, "train"), NORTH.select(small, rows, "holdout")
    assert sorted(map(str, train + holdout)) == sorted(map(str, rows))
    assert {row["id"] for row in train}.isdisjoint(row["id"] for row in holdout)
    assert NORTH.select(small, rows, "all") == rows
    gone = data.draw(st.sampled_from("abcdefgh"))
    fewer = [row for row in rows if row["id"].strip() != gone]
    for side in ("train", "holdout"):
        kept = [row for row in NORTH.select(small, rows, side) if row["id"].strip() != gone]
        assert NORTH.select(small, fewer, side) == kept


def test_rows_keep_their_order(small: Schema) -> None:
    rows = [{"id": person} for person in PEOPLE[:200]]
    random.Random(1).shuffle(rows)
    for side in ("train", "holdout"):
        places = [rows.index(row) for row in NORTH.select(small, rows, side)]
        assert places == sorted(places)


def test_without_a_person_nobody_is_held_out(small: Schema) -> None:
    each_row = parse_schema(small.toml.replace(b'person = "id"\n', b""))
    with pytest.raises(HoldoutNeedsPerson):
        NORTH.select(each_row, [{"id": "a"}], "train")
    for nobody in ({"id": " "}, {}):
        with pytest.raises(RowInvalid):
            NORTH.select(small, [nobody], "train")


@pytest.mark.parametrize("share", [0, -1, MAX_HOLDOUT_PPM + 1])
def test_a_share_out_of_range_is_refused(share: int) -> None:
    with pytest.raises(PrivacyParametersInvalid):
        Split.of_population(KEY, "north", holdout_ppm=share)
