"""credence train: the ledger is charged once, the same training again is free, and refusals are one line."""

import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scoring.artifact import load_artifact

Credence = Callable[..., Any]

SCHEMA = """
name = "small"
label = "default"

[[feature]]
name = "late"
kind = "integer"
low = 0
high = 8
source = "urn:credence:repayment-history:1#/delay_months/0"

[[feature]]
name = "line"
kind = "numeric"
low = 1000
high = 100000
cells = 8
source = "urn:credence:repayment-history:1#/credit_line_minor"
source_divisor = 100
"""


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    source = random.Random(1)
    rows = ["late,line,default"]
    for _ in range(300):
        late = source.randint(0, 4)
        rows.append(f"{late},{source.randint(1000, 90000)},{int(source.random() < 0.1 + 0.2 * late)}")
    (tmp_path / "data.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "schema.toml").write_text(SCHEMA)
    given = {"data": "data.csv", "schema": "schema.toml", "population": "people", "epsilon": "1.5", "delta": "0.00001"}
    given |= {"budget": "2", "row-cap": "400", "holder": "bank"}
    return [text for name, value in given.items() for text in (f"--{name}", value)]


def entries(tmp_path: Path) -> list[str]:
    lines = (tmp_path / "var/ledger/privacy.jsonl").read_text().splitlines()
    return [str(json.loads(line)["type"]) for line in lines]


def test_training_charges_the_ledger_once_and_the_same_again_is_free(
    credence: Credence, arguments: list[str], tmp_path: Path
) -> None:
    first = credence("train", *arguments, "--out", "var/models/a", "--json")
    assert first.code == 0, first.err
    assert (first.json["reused"], first.json["charged_epsilon_micro"]) == (False, 1_500_000)
    assert first.json["remaining_epsilon_micro"] > 0
    artifact = load_artifact(tmp_path / "var/models/a")
    assert artifact.digest.hex() == first.json["model_sha256"]
    assert (artifact.card.data_kind, artifact.card.privacy.delta_e12) == ("private", 10_000_000)
    assert entries(tmp_path) == ["population", "charge", "artifact"]

    again = credence("train", *arguments, "--out", "var/models/b", "--json")
    assert again.code == 0, again.err
    assert (again.json["reused"], again.json["charged_epsilon_micro"]) == (True, 0)
    assert again.json["model_sha256"] == first.json["model_sha256"]
    assert again.json["spent_epsilon_micro"] == first.json["spent_epsilon_micro"]
    assert entries(tmp_path) == ["population", "charge", "artifact"]
    assert "nothing was spent" in credence("train", *arguments, "--out", "var/models/a").out


def test_the_folder_of_the_ledger_is_synced_where_it_was_made(
    credence: Credence, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: set[int] = set()
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.add(os.fstat(descriptor).st_ino))
    assert credence("train", *arguments, "--out", "model").code == 0
    for made in ("var", "var/ledger", "var/ledger/privacy.jsonl"):
        assert (tmp_path / made).stat().st_ino in synced


def test_the_key_of_the_reuse_stands_apart_from_the_ledger(
    credence: Credence, arguments: list[str], tmp_path: Path
) -> None:
    assert credence("train", *arguments, "--out", "model").code == 0
    key = tmp_path / "var/keys/reuse.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert key.read_bytes().hex() not in (tmp_path / "var/ledger/privacy.jsonl").read_text()


def test_nothing_trains_past_the_budget(credence: Credence, arguments: list[str], tmp_path: Path) -> None:
    assert credence("train", *arguments, "--out", "a").code == 0
    with (tmp_path / "data.csv").open("a") as file:
        file.write("0,1000,0\n")
    ran = credence("train", *arguments, "--out", "b")
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert "budget" in ran.err
    assert entries(tmp_path).count("charge") == 1
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("option", "value", "code"),
    [
        ("--epsilon", "0.0000001", 2),  # a tenth of a millionth is no amount of ours
        ("--epsilon", "nan", 2),
        ("--epsilon", "snan", 2),
        ("--epsilon", "1e999999", 2),
        ("--epsilon", "1." + "0" * 40 + "1", 2),
        ("--epsilon", "-1", 2),
        ("--delta", "1e-13", 2),
        ("--delta", "x", 2),
        ("--delta", "0.5", 1),  # not below 1 / row cap
        ("--budget", "1e30", 2),
        ("--data", "nowhere.csv", 2),
        ("--schema", "nowhere.toml", 2),
        ("--data-kind", "public", 2),
        ("--row-cap", "0", 2),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_line_and_costs_nothing(
    credence: Credence, arguments: list[str], tmp_path: Path, option: str, value: str, code: int
) -> None:
    ran = credence("train", *arguments, option, value, "--out", "model")
    assert (ran.code, ran.out) == (code, "")
    assert "Traceback" not in ran.err
    assert not (tmp_path / "model").exists()
    ledger = tmp_path / "var/ledger/privacy.jsonl"
    assert not ledger.exists() or "charge" not in entries(tmp_path)


def with_persons(tmp_path: Path) -> None:
    header, *lines = (tmp_path / "data.csv").read_text().splitlines()
    persons = [f"person-{number},{line}" for number, line in enumerate(lines)]
    (tmp_path / "data.csv").write_text("\n".join([f"id,{header}", *persons]) + "\n")
    (tmp_path / "schema.toml").write_text(SCHEMA.replace('label = "default"', 'label = "default"\nperson = "id"'))


def test_a_holdout_is_fixed_with_its_first_training(credence: Credence, arguments: list[str], tmp_path: Path) -> None:
    with_persons(tmp_path)
    ran = credence("train", *arguments, "--holdout", "0.2", "--out", "a", "--json")
    assert (ran.code, ran.json["holdout_ppm"]) == (0, 200_000), ran.err
    assert entries(tmp_path) == ["population", "split", "charge", "artifact"]
    assert (tmp_path / "var/keys/split.key").stat().st_mode & 0o777 == 0o600
    other = credence("train", *arguments, "--holdout", "0.3", "--out", "b")
    assert (other.code, "holdout of 0.2" in other.err) == (1, True)
    key = tmp_path / "var/keys/split.key"
    key.rename(tmp_path / "aside.key")
    lost = credence("train", *arguments, "--holdout", "0.2", "--out", "b")
    assert (lost.code, "restore it" in lost.err, key.exists()) == (1, True, False)  # and no other is put in its place
    key.write_bytes(bytes(32))
    key.chmod(0o600)
    other = credence("train", *arguments, "--holdout", "0.2", "--out", "b")
    assert (other.code, "split.key that it was split with" in other.err) == (1, True)  # it would move people
    assert entries(tmp_path) == ["population", "split", "charge", "artifact"]
    for makes_no_sense in ("0", "0.6", "-0.2", "1", "half", "0.0000001"):
        assert credence("train", *arguments, "--holdout", makes_no_sense, "--out", "b").code == 2


def test_a_holdout_takes_a_person_column(credence: Credence, arguments: list[str], tmp_path: Path) -> None:
    ran = credence("train", *arguments, "--holdout", "0.2", "--out", "a")
    assert (ran.code, "person" in ran.err, (tmp_path / "a").exists()) == (1, True, False)


def test_a_population_keeps_its_terms(credence: Credence, arguments: list[str]) -> None:
    assert credence("train", *arguments, "--out", "a").code == 0
    ran = credence("train", *arguments, "--budget", "5", "--out", "b")
    assert (ran.code, "budget 2" in ran.err) == (1, True)


def test_a_bad_row_is_refused_without_its_content(credence: Credence, arguments: list[str], tmp_path: Path) -> None:
    with (tmp_path / "data.csv").open("a") as file:
        file.write("seventeen,1000,0\n")
    ran = credence("train", *arguments, "--out", "model")
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert "late" in ran.err
    assert "seventeen" not in ran.err


def test_a_model_in_the_way_stays(credence: Credence, arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    ran = credence("train", *arguments, "--out", "model")
    assert (ran.code, "never written over" in ran.err) == (1, True)
