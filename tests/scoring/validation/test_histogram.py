"""What a validation counts: public bins, each row once a table, one person within the declared sensitivity."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scoring.artifact import Artifact, NetworkArtifact
from scoring.dp.mechanisms import NoisedSum, Releases
from scoring.dp.sampler import SeededSampler
from scoring.errors import ColumnMissing, RowInvalid, ValueInvalid
from scoring.features import features_from_row
from scoring.schema import Schema, parse_schema
from scoring.scorecard import BANDS, Band
from scoring.validation.histogram import (
    GROUP_GRID,
    SCORE_GRID,
    bin_of,
    groupings_of,
    read_held_out,
    release_tables,
    score_edges,
)
from scoring.validation.tables import ModelTables
from tests.scoring.network.test_serving import build_network

Rows = list[dict[str, str]]
RHO_E12 = 10**12


class Declared(Releases):
    """Keeps every sum as it was, and the sensitivity that was declared for it."""

    def release(self, name: str, sums: torch.Tensor, **figures: int) -> NoisedSum:  # type: ignore[override]
        self.__dict__.setdefault("sums", []).append((sums.clone(), figures["sensitivity_squared"]))
        return super().release(name, sums, **figures)  # type: ignore[arg-type]


def release(
    schema: Schema, rows: Rows, artifacts: Sequence[Artifact]
) -> tuple[tuple[ModelTables, ...], list[tuple[torch.Tensor, int]]]:
    groupings = groupings_of(schema)
    releases = Declared(
        sampler=SeededSampler(1, noiseless=True), charged_rho_e12=RHO_E12, rows_per_person=schema.rows_per_person
    )
    tables = release_tables(read_held_out(schema, rows, artifacts, groupings), artifacts, groupings, releases)
    assert releases.spent_rho_e12 <= RHO_E12
    return tables, releases.__dict__["sums"]


HOSTILE = st.fixed_dictionaries(
    {
        "bad": st.sampled_from(["0", "1", " 1.0 "]),
        "income": st.sampled_from(["", "-9", "-1e300", "1e300", "nan", "400"]),
        "jobs": st.sampled_from(["", "-7", "2.4", "1e9"]),
        "sent": st.sampled_from(["", "0", "1e15"]),
        "trade": st.sampled_from(["", "1", "1.0", "farm", "☃", "x" * 500]),
        "age": st.sampled_from(["", "17", "1000", "45"]),
        "late-30": st.sampled_from(["", "3"]),
    }
)


@pytest.mark.parametrize("models", [1, 2])
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    theirs=st.lists(HOSTILE, min_size=1, max_size=4),
    others=st.lists(st.tuples(st.sampled_from("abcd"), HOSTILE), max_size=6),
    place=st.integers(0, 6),
)
def test_one_person_moves_the_release_by_at_most_its_sensitivity(
    small: Schema,
    artifacts: tuple[Artifact, Artifact],
    models: int,
    theirs: Rows,
    others: list[tuple[str, dict[str, str]]],
    place: int,
) -> None:
    """However many rows, whatever they hold, wherever they stand in the file."""
    without = [{**row, "id": person} for person, row in others]
    added = [{**row, "id": "worst"} for row in theirs]
    _, before = release(small, without, artifacts[:models])
    _, after = release(small, [*without[:place], *added, *without[place:]], artifacts[:models])
    assert [sensitivity for _, sensitivity in before] == [models, models]  # scores; and age, the one protected column
    for (one, sensitivity_squared), (two, _) in zip(before, after, strict=True):
        assert int(((two - one) ** 2).sum()) <= sensitivity_squared * small.rows_per_person**2


def test_the_worst_person_reaches_the_sensitivity(small: Schema, artifacts: tuple[Artifact, Artifact]) -> None:
    row = {"id": "a", "bad": "1", "income": "1", "jobs": "1", "sent": "1", "trade": "1", "age": "30", "late-30": "0"}
    _, before = release(small, [], artifacts)
    _, after = release(small, [row, row, row], artifacts)
    for (one, sensitivity_squared), (two, _) in zip(before, after, strict=True):
        assert int(((two - one) ** 2).sum()) == sensitivity_squared * small.rows_per_person**2


def test_the_tables_count_what_serving_would_score(
    small: Schema, artifacts: tuple[Artifact, Artifact], people: Callable[[int], Rows]
) -> None:
    rows = [*people(300), {**people(1)[0], "id": "nothing", "income": "", "jobs": "", "trade": ""}]
    tables, _ = release(small, rows, artifacts)
    for artifact, table in zip(artifacts, tables, strict=True):
        expected = [[0, 0] for _ in range(len(table.scores.edges) + 2)]
        for row in rows:
            points = artifact.scorecard.score(features_from_row(small, row)).points
            place = -1 if points is None else sum(points >= edge for edge in table.scores.edges)
            expected[place][int(row["bad"])] += 1
        assert [list(pair) for pair in table.scores.counts] == expected
        assert sum(table.scores.counts[-1]) > 0
        (of_age,) = table.groups
        assert of_age.column == "age"
        coarse = [[sum(column) for column in zip(*pairs, strict=True)] for pairs in zip(*of_age.counts, strict=True)]
        starts = [table.scores.edges.index(edge) + 1 for edge in of_age.edges]
        fine_of = itertools.pairwise([0, *starts, len(expected) - 1])
        summed = [[sum(expected[i][label] for i in range(a, b)) for label in (0, 1)] for a, b in fine_of]
        assert coarse == [*summed, expected[-1]]
        by_group = {name: sum(map(sum, pairs)) for name, pairs in zip(of_age.groups, of_age.counts, strict=True)}
        assert by_group["absent"] == sum(row["age"] == "" for row in rows)


def test_a_network_is_counted_as_it_scores(
    small: Schema, artifacts: tuple[Artifact, Artifact], people: Callable[[int], Rows]
) -> None:
    """Beside a scorecard on the same persons; what it leaves unscored as well."""
    sourced = parse_schema(small.toml.replace(b'name = "of_age"', b'name = "aged"').replace(b'"of_age"', b'"aged"'))
    network = build_network(sourced)
    artifact = NetworkArtifact(network=network, card=artifacts[0].card, card_json=b"", digest=bytes(32))
    rows = [*people(60), {**people(1)[0], "id": "nothing", "income": "", "jobs": "", "trade": "", "sent": ""}]
    tables = release(small, rows, [artifacts[0], artifact])[0]  # type: ignore[list-item]
    expected = [0] * (len(tables[1].scores.edges) + 2)
    for row in rows:
        features = features_from_row(sourced, row)
        points = network.score(features).points
        assert network.points_of(features) == points
        expected[bin_of(points, tables[1].scores.edges)] += 1
    assert [sum(pair) for pair in tables[1].scores.counts] == expected
    assert expected[-1] == 1


def test_of_a_persons_rows_the_first_are_counted(
    small: Schema, artifacts: tuple[Artifact, Artifact], people: Callable[[int], Rows]
) -> None:
    row, other = people(2)
    many = [row, {**other, "id": row["id"]}, {**other, "id": row["id"]}]
    assert release(small, many, artifacts[:1])[0] == release(small, many[:2], artifacts[:1])[0]


def test_the_noise_is_of_the_declared_size_and_the_charge_is_spent(
    small: Schema, artifacts: tuple[Artifact, Artifact], people: Callable[[int], Rows]
) -> None:
    """Three quarters of rho for the scores, a quarter for the one protected column; two rows a person: four times."""
    (table, _), _ = release(small, people(10), artifacts)
    assert table.scores.sigma_micro == pytest.approx(1e6 * (2 * 4 / (2 * 0.75)) ** 0.5, rel=1e-5)
    assert table.groups[0].sigma_micro == pytest.approx(1e6 * (2 * 4 / (2 * 0.25)) ** 0.5, rel=1e-5)


def test_without_protected_columns_the_scores_have_the_whole_charge(
    taiwan: Schema, small: Schema, artifacts: tuple[Artifact, Artifact], people: Callable[[int], Rows]
) -> None:
    plain = replace(small, features=tuple(replace(one, protected=False) for one in small.features))
    assert groupings_of(plain) == ()
    tables, sums = release(plain, people(10), artifacts)
    assert [table.groups for table in tables] == [(), ()]
    assert len(sums) == 1
    assert tables[0].scores.sigma_micro == pytest.approx(1e6 * (2 * 4 / 2) ** 0.5, rel=1e-5)
    assert [one.feature.name for one in groupings_of(taiwan)] == ["SEX", "MARRIAGE", "AGE"]


def test_groups_are_public_and_cover_every_value(small: Schema) -> None:
    (age,) = groupings_of(small)
    assert age.names == ("up to 32", "33 to 46", "47 to 61", "62 to 75", "76 and over", "absent")
    for text, group in (("18", 0), ("32", 0), ("33", 1), ("75", 3), ("76", 4), ("90", 4), ("200", 4), ("", 5)):
        row = {"id": "a", "income": "", "jobs": "", "sent": "", "trade": "", "age": text, "late-30": ""}
        assert age.cells.cell_of(features_from_row(small, row).values[age.position]) == group
    many = small.toml.replace(b'categories = ["1", "2", "farm"]', b"protected = true\ncategories = %s" % _names(40))
    assert [one.feature.name for one in groupings_of(parse_schema(many))] == ["age"]  # too many groups to tell apart


def _names(count: int) -> bytes:
    return str([f"c{number}" for number in range(count)]).replace("'", '"').encode()


def test_the_bins_are_fixed_and_a_models_own_cuts_are_among_them() -> None:
    assert score_edges(BANDS) == SCORE_GRID  # the default cut-offs are in the grid
    assert set(score_edges(BANDS, GROUP_GRID)) <= set(SCORE_GRID)
    odd = (Band(name="yes", from_points=577), Band(name="no", from_points=300))
    assert score_edges(odd) == tuple(sorted({*SCORE_GRID, 577}))
    assert 577 in score_edges(odd, GROUP_GRID)
    edges = (400, 500)
    assert [bin_of(points, edges) for points in (300, 399, 400, 499, 500, 850, None)] == [0, 0, 1, 1, 2, 2, 3]


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"bad": "2"}, RowInvalid),
        ({"bad": ""}, RowInvalid),
        ({"id": " "}, RowInvalid),
        ({"income": "much"}, ValueInvalid),
    ],
)
def test_a_row_that_cannot_be_read_is_refused(
    small: Schema,
    artifacts: tuple[Artifact, Artifact],
    people: Callable[[int], Rows],
    change: dict[str, str],
    refusal: type[Exception],
) -> None:
    with pytest.raises(refusal):
        read_held_out(small, [{**people(1)[0], **change}], artifacts, ())
    with pytest.raises(ColumnMissing):
        read_held_out(small, [{"id": "a", "bad": "1"}], artifacts, ())
