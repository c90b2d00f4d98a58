"""All third-party vectors in one run: the valid ones pass or stand in the committed list, the invalid ones do not."""

from pathlib import Path

import pytest

from tests.vectors.report import PAGE, REFUSED_VALID, committed, page, refused_valid
from tests.vectors.suites import ACCEPTED, Vector, run


@pytest.fixture(scope="module")
def vectors(test_data: Path) -> list[Vector]:
    return run(test_data)


def test_nothing_that_a_suite_calls_invalid_is_accepted(vectors: list[Vector]) -> None:
    assert [vector for vector in vectors if not vector.valid and vector.outcome == ACCEPTED] == []


def test_every_refusal_of_a_valid_vector_has_its_rule_in_the_committed_list(vectors: list[Vector]) -> None:
    assert [vector for vector in refused_valid(vectors) if not vector.rule] == []
    assert committed(vectors) == REFUSED_VALID.read_text()


def test_the_page_is_what_the_run_gives(vectors: list[Vector]) -> None:
    assert page(vectors) == PAGE.read_text(), "`make vectors` writes it anew"


def test_each_vector_has_a_name_of_its_own(vectors: list[Vector]) -> None:
    assert len({(vector.suite, vector.id) for vector in vectors}) == len(vectors)
