"""credence evaluate: one JSON document, a table for a person, and refusals of one line that echo no data."""

import gzip
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Credence = Callable[..., Any]

SCHEMA = """
name = "small"
label = "default"

[[feature]]
name = "late"
kind = "integer"
low = 0
high = 8

[[feature]]
name = "age"
kind = "integer"
low = 18
high = 90
protected = true
"""


@pytest.fixture(autouse=True)
def files(tmp_path: Path) -> None:
    source = random.Random(1)
    rows = ["late,age,default"]
    for _ in range(200):
        late = source.randint(0, 4)
        rows.append(f"{late},{source.randint(18, 80)},{int(source.random() < 0.1 + 0.2 * late)}")
    (tmp_path / "data.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "data.csv.gz").write_bytes(gzip.compress((tmp_path / "data.csv").read_bytes()))
    (tmp_path / "schema.toml").write_text(SCHEMA)


ARGUMENTS = {"data": "data.csv", "schema": "schema.toml", "epsilon": "1,8", "folds": "3", "noise-seeds": "1"}


@pytest.fixture
def evaluate(credence: Credence) -> Callable[..., Any]:
    def run(*flags: str, **changes: str) -> Any:
        given = {**ARGUMENTS, **{name.replace("_", "-"): value for name, value in changes.items()}}
        return credence("evaluate", *[text for name, value in given.items() for text in (f"--{name}", value)], *flags)

    return run


def test_it_prints_one_document_that_repeats(evaluate: Callable[..., Any], tmp_path: Path) -> None:
    ran = evaluate("--json", against="lightgbm")
    assert ran.code == 0
    document = ran.json
    assert (document["dataset"], document["rows"], document["columns"]) == ("small", 200, 1)
    assert "public and development data only" in document["note"]
    figures = {"model", "epsilon", "auc", "auc_sd", "ks", "brier", "ece", "fit_s"}
    assert [set(result) for result in document["results"]] == [figures] * 3
    assert [(one["model"], one["epsilon"]) for one in document["results"]] == [
        ("scorecard", 1.0),
        ("scorecard", 8.0),
        ("lightgbm", None),
    ]
    assert document["results"][1]["auc"] > 0.65
    again = evaluate("--json", data="data.csv.gz", against="lightgbm").json
    for one in (document, again):
        for result in one["results"]:
            del result["fit_s"]
    assert again == document
    assert not (tmp_path / "var").exists()  # no ledger, no key, no model


def test_a_person_gets_a_table(evaluate: Callable[..., Any]) -> None:
    ran = evaluate(against="dp-ebm", epsilon="3")
    assert ran.code == 0
    assert ran.out.splitlines()[0] == "small: 200 rows, 1 columns, 3 folds, delta 1e-05"
    assert [line.split()[:2] for line in ran.out.splitlines()[1:4]] == [
        ["model", "epsilon"],
        ["scorecard", "3"],
        ["dp-ebm", "3"],
    ]
    assert "public and development data only" in ran.out


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        ({"model": "forest"}, 2, "--model is one of"),
        ({"against": "xgboost"}, 2, "--against is a list"),
        ({"against": "dp-ebm,dp-ebm"}, 2, "--against is a list"),
        ({"epsilon": "1,,3"}, 2, "--epsilon is a positive"),
        ({"epsilon": "-1"}, 2, "--epsilon is a positive"),
        ({"epsilon": "101"}, 1, "out of range"),
        ({"delta": "1"}, 1, "out of range"),
        ({"folds": "150"}, 1, "fewer rows of a label than folds"),
        ({"folds": "1"}, 2, ""),
        ({"data": "missing.csv"}, 2, "missing.csv is not a file"),
        ({"schema": "missing.toml"}, 2, "missing.toml cannot be read"),
        ({"schema": "data.csv"}, 1, "not TOML"),
    ],
)
def test_what_makes_no_sense_is_refused(
    evaluate: Callable[..., Any], changes: dict[str, str], code: int, said: str
) -> None:
    ran = evaluate(**changes)
    assert ran.code == code
    assert said in ran.err
    assert ran.out == ""


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("late,age,default\n1,30,0\nsecret,30,1\n", "The column is late."),
        ("late,age,default\n1,30,0\n2,30,secret\n", "no label of 0 or 1"),
        ("late,default\n1,0\n2,1\n", "The column is age."),
        ("late,age\n1,30\n", "no label of 0 or 1"),
        ("late,age,default\n1,30\n", "not a CSV file"),
        ("", "not a CSV file"),
        ("late,age,default\n", "fewer rows of a label than folds"),
    ],
)
def test_data_that_does_not_fit_is_refused_and_not_echoed(
    evaluate: Callable[..., Any], tmp_path: Path, content: str, said: str
) -> None:
    (tmp_path / "data.csv").write_text(content)
    ran = evaluate()
    assert ran.code == 1
    assert said in ran.err
    assert "secret" not in ran.err
    assert len(ran.err.splitlines()) == 1


@pytest.mark.parametrize(
    "content", [b"late,age,default\n1,2,0\n", gzip.compress(b"late,age,default\n", mtime=0)[:-9], b""]
)
def test_a_damaged_gz_is_refused(evaluate: Callable[..., Any], tmp_path: Path, content: bytes) -> None:
    (tmp_path / "data.csv.gz").write_bytes(content)
    ran = evaluate(data="data.csv.gz")
    assert (ran.code, "not a CSV file" in ran.err) == (1, True)


def test_a_schema_that_protects_everything_is_refused(evaluate: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "schema.toml").write_text(SCHEMA.replace("high = 8", "high = 8\nprotected = true"))
    ran = evaluate()
    assert (ran.code, "every column is protected" in ran.err) == (1, True)


def test_an_anchor_of_rows_is_refused_where_a_person_has_several(evaluate: Callable[..., Any], tmp_path: Path) -> None:
    schema = SCHEMA.replace('label = "default"', 'label = "default"\nperson = "who"\nrows_per_person = 2')
    (tmp_path / "schema.toml").write_text(schema)
    lines = (tmp_path / "data.csv").read_text().splitlines()
    people = ["who," + lines[0], *(f"{number // 2},{line}" for number, line in enumerate(lines[1:]))]
    (tmp_path / "data.csv").write_text("\n".join(people) + "\n")
    assert evaluate().code == 0
    ran = evaluate(against="dp-ebm")
    assert (ran.code, "protects a row" in ran.err) == (1, True)


def test_help_says_what_it_is_for(credence: Credence) -> None:
    assert "public and development data only" in " ".join(credence("evaluate", "--help").out.split())
