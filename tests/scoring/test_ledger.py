"""The privacy ledger: budgets hold across processes, crashes tear at most what nobody was told, damage is refused."""

import hashlib
import json
import multiprocessing
import os
from pathlib import Path

import pytest

from scoring.dp.accounting import budget_rho_e12
from scoring.dp.ledger import Entry, Ledger
from scoring.dp.reuse import inputs_mac, load_reuse_key
from scoring.errors import (
    BudgetExceeded,
    LedgerDamaged,
    LedgerUnavailable,
    PopulationChanged,
    PopulationUnknown,
    ReuseKeyInvalid,
)

DELTA_E12 = 1_000_000


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.open_population("north", holder="bank", person="id", epsilon_micro=3_000_000, delta_e12=DELTA_E12, now_ms=1)
    return ledger


def charge(ledger: Ledger, rho_e12: int, population: str = "north") -> Entry:
    return ledger.append_charge(
        population, rho_e12=rho_e12, purpose="train", parameters={"row_cap": 9}, inputs_mac="ab", now_ms=2
    )


def test_charges_add_up_to_the_budget_exactly_and_no_further(ledger: Ledger) -> None:
    whole = budget_rho_e12(3_000_000, DELTA_E12)
    charge(ledger, whole - 5)
    charge(ledger, 5)
    account = ledger.load_account("north")
    assert account.spent_rho_e12 == account.budget_rho_e12 == whole
    assert account.spent_epsilon_micro == 3_000_000
    before = ledger.path.read_bytes()
    with pytest.raises(BudgetExceeded):
        charge(ledger, 1)
    for nothing in (0, -5):
        with pytest.raises(BudgetExceeded):
            charge(ledger, nothing)
    assert ledger.path.read_bytes() == before


def test_a_retry_is_charged_again_and_a_population_pays_for_itself_alone(ledger: Ledger) -> None:
    ledger.open_population("south", holder="bank", person="id", epsilon_micro=1_000_000, delta_e12=DELTA_E12, now_ms=1)
    charge(ledger, 1_000)
    charge(ledger, 1_000)
    assert ledger.load_account("north").spent_rho_e12 == 2_000
    assert ledger.load_account("south").spent_rho_e12 == 0
    with pytest.raises(PopulationUnknown):
        charge(ledger, 1_000, population="nowhere")


@pytest.mark.parametrize(
    "change",
    [
        {"holder": "other"},
        {"person": None},
        {"person": "phone"},
        {"epsilon_micro": 4_000_000},
        {"delta_e12": 2_000_000},
    ],
)
def test_a_budget_is_fixed_once(ledger: Ledger, change: dict[str, object]) -> None:
    terms = {"holder": "bank", "person": "id", "epsilon_micro": 3_000_000, "delta_e12": DELTA_E12}
    before = ledger.path.read_bytes()
    ledger.open_population("north", **terms, now_ms=9)  # type: ignore[arg-type]
    assert ledger.path.read_bytes() == before
    with pytest.raises(PopulationChanged):
        ledger.open_population("north", **{**terms, **change}, now_ms=9)  # type: ignore[arg-type]


def test_every_altered_byte_and_every_lost_or_moved_line_shows(ledger: Ledger) -> None:
    for rho in (10, 20, 30):
        charge(ledger, rho)
    good = ledger.path.read_bytes()
    for at in range(0, len(good) - 1, 3):  # the last newline alone is what a crash can take
        ledger.path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        with pytest.raises(LedgerDamaged):
            ledger.load_account("north")
    lines = good.splitlines(keepends=True)
    for other in ([*lines[1:]], [*lines[:1], *lines[2:]], [lines[1], lines[0], *lines[2:]], [*lines, lines[-1]]):
        ledger.path.write_bytes(b"".join(other))
        with pytest.raises(LedgerDamaged):
            charge(ledger, 1)


def test_a_torn_last_line_was_never_acknowledged_and_goes_with_a_record(ledger: Ledger) -> None:
    charge(ledger, 10)
    whole = ledger.path.read_bytes()
    charge(ledger, 20)
    longer = ledger.path.read_bytes()
    for length in {*range(len(whole) + 1, len(longer), 7), len(longer) - 1}:
        ledger.path.write_bytes(longer[:length])
        assert ledger.load_account("north").spent_rho_e12 == 10
        assert ledger.path.read_bytes() == longer[:length]  # reading repairs nothing
        charge(ledger, 40)
        *_, repair, after = ledger.load_entries()
        assert (repair.type, repair.body) == ("repair", {"dropped_bytes": length - len(whole)})
        assert (after.type, ledger.load_account("north").spent_rho_e12) == ("charge", 50)
    ledger.path.write_bytes(whole + bytes(100))  # a file system that had grown the file and not filled it
    charge(ledger, 1)
    assert ledger.load_account("north").spent_rho_e12 == 11


def test_a_disk_that_fails_to_sync_is_no_charge_that_anyone_may_use(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", fail)
        with pytest.raises(LedgerUnavailable):
            charge(ledger, 10)
    assert ledger.load_account("north").spent_rho_e12 == 10  # it may stand on the disk, so it counts
    with pytest.raises(LedgerUnavailable):
        Ledger(ledger.path / "below-a-file").load_entries()


def test_a_charge_is_synced_before_it_is_returned(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: sizes.append(os.fstat(descriptor).st_size))
    charge(ledger, 10)
    assert sizes == [ledger.path.stat().st_size]


def _race(path: Path, barrier: "multiprocessing.synchronize.Barrier") -> None:
    barrier.wait()
    for _ in range(20):
        try:
            charge(Ledger(path), budget_rho_e12(3_000_000, DELTA_E12) // 10)
        except BudgetExceeded:
            continue


def test_trainers_that_race_cannot_overspend(ledger: Ledger) -> None:
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(4)
    racers = [context.Process(target=_race, args=(ledger.path, barrier)) for _ in range(4)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(30)
    assert [racer.exitcode for racer in racers] == [0] * 4
    assert [entry.type for entry in ledger.load_entries()] == ["population", *["charge"] * 10]


def test_an_artifact_is_found_by_its_inputs_and_by_nothing_else(ledger: Ledger) -> None:
    paid = charge(ledger, 10)
    assert not ledger.has_artifact("north", {"row_cap": 9})
    ledger.append_artifact(paid, inputs_mac="aa" * 32, digest="bb" * 32, directory="/models/a", now_ms=3)
    found = ledger.find_artifact("aa" * 32)
    assert found is not None
    assert (found.directory, found.digest) == ("/models/a", "bb" * 32)
    assert ledger.find_artifact("ab" * 32) is None
    assert ledger.has_artifact("north", {"row_cap": 9})
    assert not ledger.has_artifact("north", {"row_cap": 8})
    assert not ledger.has_artifact("south", {"row_cap": 9})
    assert ledger.load_account("north").spent_rho_e12 == 10


@pytest.mark.parametrize("type_", ["population", "charge", "other"])
def test_a_line_that_is_not_of_its_type_is_damage(ledger: Ledger, type_: str) -> None:
    line = json.loads(ledger.path.read_bytes())
    del line["sha256"]
    line |= {"type": type_, "body": {**line["body"], "rho_e12": -1}}
    encoded = json.dumps(line, sort_keys=True, separators=(",", ":")).encode()
    line["sha256"] = hashlib.sha256(b"credence/ledger/v1\0" + encoded).hexdigest()
    ledger.path.write_bytes(json.dumps(line, sort_keys=True, separators=(",", ":")).encode() + b"\n")
    with pytest.raises(LedgerDamaged):
        ledger.load_entries()


def test_the_reuse_key_is_made_once_and_kept_from_others(tmp_path: Path) -> None:
    path = tmp_path / "reuse.key"
    key = load_reuse_key(path, os.urandom)
    assert load_reuse_key(path, os.urandom) == key
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["reuse.key"]
    path.chmod(0o640)
    with pytest.raises(ReuseKeyInvalid):
        load_reuse_key(path, os.urandom)
    path.chmod(0o600)
    path.write_bytes(b"short")
    with pytest.raises(ReuseKeyInvalid):
        load_reuse_key(path, os.urandom)
    with pytest.raises(ReuseKeyInvalid):
        load_reuse_key(tmp_path / "missing" / "reuse.key", os.urandom)


def test_the_mac_tells_any_two_inputs_apart() -> None:
    rows = [{"a": "1", "b": "23"}, {"a": "", "b": "4"}]

    def mac(key: bytes = b"k" * 32, parameters: object = 1, columns: str = "ab", rows: object = rows) -> str:
        return inputs_mac(key, parameters={"p": parameters}, columns=list(columns), rows=rows)  # type: ignore[arg-type]

    macs = [
        mac(),
        mac(key=b"K" * 32),
        mac(parameters=2),
        mac(columns="ba"),
        mac(columns="a"),
        mac(rows=rows[::-1]),
        mac(rows=rows[:1]),
        mac(rows=[{"a": "12", "b": "3"}, rows[1]]),  # a boundary moved
        mac(rows=[rows[0], {"b": "4"}]),  # absent, not empty
        mac(rows=[{"a": "1", "b": "23\x00"}, rows[1]]),
    ]
    assert len(set(macs)) == len(macs)
    assert mac(rows=[{**row, "ignored": "x"} for row in rows]) == mac()
