"""Everything that releases is audited: a release that no audited computation makes fails here."""

import ast
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

import scoring
from scoring.audit.releases import audit_subject
from scoring.audit.subjects import (
    MOST_ROWS,
    audited_schema,
    network_subject,
    pairs_subject,
    scorecard_subject,
    validation_subject,
)
from scoring.audit.transcript import Subject, record
from scoring.dp.sampler import SeededSampler
from scoring.records import Records

T = TypeVar("T")
ROOM = Path(scoring.__file__).parent


def released_names() -> Iterator[str]:
    """The name that each call of `release`, or of a helper `_release`, gives what it releases; it is a literal."""
    for path in sorted(ROOM.rglob("*.py")):
        for function in ast.walk(ast.parse(path.read_text())):
            if not isinstance(function, ast.FunctionDef) or function.name == "_release":
                continue
            for node in ast.walk(function):
                if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in {"release", "_release"}:
                    names = [one.value for one in node.args if isinstance(one, ast.Constant)]
                    assert names, f"{path} releases under a name that is not a literal"
                    yield str(names[0])


def names(subject: Subject[T]) -> set[str]:
    return {draw.name for draw in record(subject, subject.less, SeededSampler(1), bytes).draws}


def test_each_release_in_the_room_is_one_that_the_audit_makes() -> None:
    fits = names(scorecard_subject(1)) | names(pairs_subject(1)) | names(network_subject(1))
    assert set(released_names()) == fits | names(validation_subject(1))


def test_the_held_out_persons_are_counted_once_in_each_table() -> None:
    subject = validation_subject(1)
    assert len(subject.less.labels) + subject.rows_per_person == MOST_ROWS
    findings = audit_subject(
        replace(subject, neighbours=subject.neighbours[:20]), SeededSampler(2), runs=100, transcript_runs=250
    )
    assert all(finding.passed for finding in findings)
    assert [one.moved for one in findings if one.check == "sensitivity"] == [1.0, 1.0]


@pytest.mark.parametrize("make_subject", [scorecard_subject, pairs_subject, network_subject])
@pytest.mark.parametrize("seed", [1, 2])
def test_the_data_are_small_and_a_person_is_not(make_subject: Callable[[int], Subject[Records]], seed: int) -> None:
    """At most 50 rows, whatever the seed; the person more has all the rows that the cap allows."""
    subject = make_subject(seed)
    assert len(set(subject.less.persons)) == len(subject.less.labels)
    for neighbour in subject.neighbours:
        assert len(neighbour.labels) == len(subject.less.labels) + subject.rows_per_person == MOST_ROWS
        assert set(neighbour.persons) - set(subject.less.persons) == {"somebody"}


def test_one_audited_person_has_several_rows() -> None:
    assert scorecard_subject(1).rows_per_person == audited_schema().rows_per_person > 1


def test_a_seed_is_its_data() -> None:
    one, same, other = (pairs_subject(seed).less for seed in (1, 1, 2))
    assert one.cells.tolist() == same.cells.tolist()
    assert one.cells.tolist() != other.cells.tolist()
