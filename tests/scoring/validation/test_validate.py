"""A validation through the ledger: who is seen, who is charged and when, and what a crash leaves."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from scoring.artifact import Artifact
from scoring.card import LedgerReference
from scoring.dp.accounting import budget_rho_e12
from scoring.dp.ledger import Ledger
from scoring.dp.sampler import SeededSampler, SystemSampler
from scoring.dp.split import Split
from scoring.errors import (
    BudgetExceeded,
    HoldoutNeedsPerson,
    HoldoutSeen,
    NoiseNotFromSystem,
    PopulationChanged,
    PopulationUnknown,
    PrivacyParametersInvalid,
    ReportExists,
    ReportUnwritten,
    RowInvalid,
    SplitChanged,
)
from scoring.schema import Schema, parse_schema
from scoring.validation.report import load_report
from scoring.validation.validate import Validated, validate_models

KEY = b"k" * 32
SPLIT = Split.of_population(KEY, "north", holdout_ppm=400_000)
EPSILON_MICRO, DELTA_E12 = 3_000_000, 1_000_000
Rows = list[dict[str, str]]


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.open_population("north", holder="bank", person="id", epsilon_micro=4_000_000, delta_e12=DELTA_E12, now_ms=1)
    ledger.open_split("north", key_check=SPLIT.key_check, holdout_ppm=SPLIT.holdout_ppm, now_ms=1)
    return ledger


@pytest.fixture
def rows(people: Callable[[int], Rows]) -> Rows:
    return people(800)


@pytest.fixture
def validate(
    small: Schema, artifacts: tuple[Artifact, Artifact], rows: Rows, ledger: Ledger, tmp_path: Path
) -> Callable[..., Validated]:
    def call(**changes: object) -> Validated:
        arguments: dict[str, object] = {
            "load_rows": lambda: rows,
            "schema": small,
            "champion": artifacts[0],
            "epsilon_micro": EPSILON_MICRO,
            "population": "north",
            "split": SPLIT,
            "data_kind": "synthetic",
            "ledger": ledger,
            "reuse_key": KEY,
            "out": tmp_path / "report.json",
            "now_ms": 2,
        }
        return validate_models(**{**arguments, **changes})  # type: ignore[arg-type]

    return call


def types(ledger: Ledger) -> list[str]:
    return [entry.type for entry in ledger.load_entries()]


def test_a_report_says_what_it_cost_and_the_holdout_alone_pays(
    validate: Callable[..., Validated], ledger: Ledger, artifacts: tuple[Artifact, Artifact]
) -> None:
    validated = validate(challenger=artifacts[1])
    report, digest = load_report(validated.path)
    assert (report, digest, validated.reused) == (validated.report, validated.digest, False)
    account = ledger.load_account("north")
    assert account.spent_of_holdout_rho_e12 == budget_rho_e12(EPSILON_MICRO, DELTA_E12) == account.spent_rho_e12
    assert account.left_rho_e12("train") == account.budget_rho_e12
    charge, artifact = ledger.load_entries()[2:]
    assert (charge.body["purpose"], charge.body["side"]) == ("validate", "holdout")
    assert artifact.body["digest"] == digest.hex()
    assert [one.sha256 for one in report.privacy.ledger] == [charge.sha256]
    assert [model.tables.model_sha256 for model in report.models] == [one.digest.hex() for one in artifacts]
    assert (report.privacy.epsilon_micro, report.privacy.delta_e12) == (EPSILON_MICRO, DELTA_E12)


def test_only_those_held_out_are_seen(
    validate: Callable[..., Validated], rows: Rows, ledger: Ledger, tmp_path: Path
) -> None:
    """The same report, whoever else is in the file and whatever stands in their rows."""
    first = validate()
    others = [row if SPLIT.is_held_out(row["id"]) else {**row, "bad": "2", "income": "nothing"} for row in rows]
    again = validate(load_rows=lambda: others, out=tmp_path / "again.json")
    assert (again.reused, again.digest) == (True, first.digest)
    held_out = [row for row in rows if SPLIT.is_held_out(row["id"])]
    assert 250 < len(held_out) < 400
    assert validate(load_rows=lambda: held_out).reused


def test_neither_report_nor_ledger_holds_a_count_of_rows(
    validate: Callable[..., Validated], rows: Rows, ledger: Ledger
) -> None:
    data = validate().path.read_text()
    held_out = [row for row in rows if SPLIT.is_held_out(row["id"])]
    bad = sum(row["bad"] == "1" for row in held_out)
    numbers = {int(number) for number in re.findall(r"\b[0-9]{3,}\b", ledger.path.read_text())}
    assert numbers.isdisjoint({len(rows), len(held_out), bad, len(held_out) - bad})
    (charge,) = (entry for entry in ledger.load_entries() if entry.type == "charge")
    assert str(charge.body["inputs_mac"]) not in data


def test_the_same_inputs_give_the_same_report_uncharged_and_others_another(
    validate: Callable[..., Validated], ledger: Ledger, rows: Rows, tmp_path: Path
) -> None:
    first = validate(epsilon_micro=1_000_000)
    before = ledger.path.read_bytes()
    for out in (tmp_path / "report.json", tmp_path / "elsewhere.json"):
        again = validate(epsilon_micro=1_000_000, out=out)
        assert (again.digest, again.reused, again.path) == (first.digest, True, out)
    assert ledger.path.read_bytes() == before
    place = next(number for number, row in enumerate(rows) if SPLIT.is_held_out(row["id"]))
    for change in (
        {"epsilon_micro": 1_000_001},
        {"load_rows": lambda: [row for number, row in enumerate(rows) if number != place]},
    ):
        other = validate(**{"epsilon_micro": 1_000_000, "out": tmp_path / "other.json", **change})
        assert not other.reused
        other.path.unlink()


def test_a_report_that_was_lost_is_paid_for_again(validate: Callable[..., Validated]) -> None:
    validate(epsilon_micro=1_000_000).path.unlink()
    assert not validate(epsilon_micro=1_000_000).reused


def test_small_data_says_not_releasable_and_keeps_the_champion(
    validate: Callable[..., Validated], artifacts: tuple[Artifact, Artifact]
) -> None:
    """Some three hundred persons held out, as of a set of a thousand."""
    report = validate(challenger=artifacts[1]).report
    assert (report.choice.winner, report.choice.why) == ("champion", "not_releasable")


# Refused before the charge


def test_a_model_that_may_have_seen_the_holdout_is_refused(
    validate: Callable[..., Validated], ledger: Ledger, artifacts: tuple[Artifact, Artifact]
) -> None:
    """Of this population, only what its training side paid for, as this very ledger knows."""

    def trained_by(sha256: str) -> Artifact:
        privacy = replace(artifacts[0].card.privacy, ledger=(LedgerReference(id="2", sha256=sha256),))
        return replace(artifacts[0], card=replace(artifacts[0].card, population="north", privacy=privacy))

    def charge(side: str) -> str:
        return ledger.append_charge(
            "north",
            rho_e12=9,
            purpose="train",
            parameters={},
            inputs_mac="",
            now_ms=1,
            side=side,  # type: ignore[arg-type]
        ).sha256

    for sha256 in (charge("all"), charge("holdout"), "ab" * 32):
        for models in ({"champion": trained_by(sha256)}, {"challenger": trained_by(sha256)}):
            with pytest.raises(HoldoutSeen):
                validate(**models)
    before = ledger.load_account("north").spent_of_holdout_rho_e12
    assert before == 9
    validate(champion=trained_by(charge("train")))


def test_what_is_refused_before_the_charge_costs_nothing(
    validate: Callable[..., Validated],
    ledger: Ledger,
    small: Schema,
    rows: Rows,
    tmp_path: Path,
) -> None:
    def unread() -> Rows:
        raise AssertionError("the data was read")

    before = ledger.path.read_bytes()
    with pytest.raises(BudgetExceeded):
        validate(load_rows=unread, epsilon_micro=4_000_001)
    with pytest.raises(PrivacyParametersInvalid):
        validate(load_rows=unread, epsilon_micro=999)  # would be paid for, and have no share left for the groups
    with pytest.raises(PopulationUnknown):
        validate(load_rows=unread, population="south")
    with pytest.raises(HoldoutNeedsPerson):
        validate(load_rows=unread, schema=parse_schema(small.toml.replace(b'person = "id"\n', b"")))
    with pytest.raises(PopulationChanged):
        validate(load_rows=unread, schema=parse_schema(small.toml.replace(b'person = "id"', b'person = "phone"')))
    for other in (
        Split.of_population(b"K" * 32, "north", holdout_ppm=400_000),
        Split.of_population(KEY, "north", holdout_ppm=300_000),
    ):
        with pytest.raises(SplitChanged):
            validate(load_rows=unread, split=other)
    held_out = next(row for row in rows if SPLIT.is_held_out(row["id"]))
    with pytest.raises(RowInvalid):
        validate(load_rows=lambda: [*rows, {**held_out, "id": held_out["id"], "bad": "x"}])
    with pytest.raises(ReportUnwritten):
        validate(out=tmp_path / "missing" / "report.json")
    (tmp_path / "report.json").write_text("mine")
    with pytest.raises(ReportExists):
        validate()
    assert ledger.path.read_bytes() == before


# A crash anywhere


class Killed(BaseException):
    """Ends a validation where a test says."""


class Dying(SystemSampler):
    def add_noise(self, sums: NDArray[np.int64], *, sigma_micro: int) -> NDArray[np.int64]:
        raise Killed


def test_the_charge_is_durable_before_the_first_noise_and_stays(
    validate: Callable[..., Validated], ledger: Ledger, tmp_path: Path
) -> None:
    with pytest.raises(Killed):
        validate(sampler=Dying())
    assert types(ledger) == ["population", "split", "charge"]
    assert not (tmp_path / "report.json").exists()
    with pytest.raises(BudgetExceeded):  # a retry is charged again
        validate()


def test_a_report_that_the_ledger_was_not_told_of_is_found_again(
    validate: Callable[..., Validated], ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the report and its entry: the budget would not pay for another."""

    def die(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as dying:
        dying.setattr(Ledger, "append_artifact", die)
        with pytest.raises(Killed):
            validate()
    assert types(ledger) == ["population", "split", "charge"]
    again = validate()
    assert (again.reused, load_report(again.path)[1]) == (True, again.digest)
    assert types(ledger) == ["population", "split", "charge", "artifact"]


def test_noise_that_is_not_the_systems_makes_no_report(validate: Callable[..., Validated], tmp_path: Path) -> None:
    with pytest.raises(NoiseNotFromSystem):
        validate(sampler=SeededSampler(1))
    assert not (tmp_path / "report.json").exists()
