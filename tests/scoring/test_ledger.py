"""The privacy ledger: budgets hold across processes, crashes tear at most what nobody was told, damage is refused."""

import hashlib
import json
import multiprocessing
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.dp.accounting import budget_rho_e12
from scoring.dp.key_file import load_key
from scoring.dp.ledger import Entry, Ledger
from scoring.dp.reuse import inputs_mac
from scoring.dp.split import Side
from scoring.errors import (
    BudgetExceeded,
    KeyFileInvalid,
    LedgerDamaged,
    LedgerUnavailable,
    PopulationChanged,
    PopulationNotSplit,
    PopulationUnknown,
    SplitChanged,
)

DELTA_E12 = 1_000_000


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.open_population("north", holder="bank", person="id", epsilon_micro=3_000_000, delta_e12=DELTA_E12, now_ms=1)
    return ledger


def charge(ledger: Ledger, rho_e12: int, population: str = "north", side: Side = "all") -> Entry:
    return ledger.append_charge(
        population, rho_e12=rho_e12, purpose="train", parameters={"row_cap": 9}, inputs_mac="ab", now_ms=2, side=side
    )


def split(ledger: Ledger, population: str = "north", *, key_check: str = "cd" * 32, holdout_ppm: int = 200_000) -> None:
    ledger.open_split(population, key_check=key_check, holdout_ppm=holdout_ppm, now_ms=2)


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


# Two sides of a population


def test_what_is_charged_to_the_two_sides_does_not_add_up(ledger: Ledger) -> None:
    """Nobody is on both sides, so nobody has spent more than all and the larger side."""
    split(ledger)
    charge(ledger, 100)
    charge(ledger, 50, side="train")
    charge(ledger, 30, side="holdout")
    charge(ledger, 5, side="train")
    account = ledger.load_account("north")
    whole = account.budget_rho_e12
    assert account.spent_rho_e12 == 100 + 55
    assert [account.left_rho_e12(side) for side in ("all", "train", "holdout")] == [
        whole - 155,
        whole - 155,
        whole - 130,
    ]
    charge(ledger, 40, side="holdout")
    assert ledger.load_account("north").spent_rho_e12 == 100 + 70


@settings(max_examples=25)
@given(
    st.lists(st.tuples(st.sampled_from(("all", "train", "holdout")), st.integers(1, 40)), max_size=20),
    st.integers(0, 10),
)
def test_no_order_of_charges_lets_anyone_spend_more_than_the_budget(
    charges: list[tuple[Side, int]], split_after: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder) / "ledger.jsonl")
        ledger.open_population("north", holder="bank", person="id", epsilon_micro=20, delta_e12=DELTA_E12, now_ms=1)
        whole = ledger.load_account("north").budget_rho_e12
        assert 40 < whole < 400
        spent: dict[str, int] = {"train": 0, "holdout": 0}  # by a person of each side
        for number, (side, rho_e12) in enumerate(charges):
            if number == split_after:
                split(ledger)
            payers = ("train", "holdout") if side == "all" else (side,)
            try:
                charge(ledger, rho_e12, side=side)
            except BudgetExceeded:
                assert any(spent[payer] + rho_e12 > whole for payer in payers)
            except PopulationNotSplit:
                assert number < split_after
                assert side != "all"
            else:
                for payer in payers:
                    spent[payer] += rho_e12
        assert max(spent.values()) == ledger.load_account("north").spent_rho_e12 <= whole


def test_a_split_is_fixed_once_and_a_side_is_charged_only_where_there_is_one(ledger: Ledger) -> None:
    with pytest.raises(PopulationNotSplit):
        charge(ledger, 1, side="train")
    with pytest.raises(PopulationNotSplit):
        ledger.load_holdout_ppm("north")
    with pytest.raises(PopulationUnknown):
        split(ledger, "nowhere")
    split(ledger)
    before = ledger.path.read_bytes()
    split(ledger)
    with pytest.raises(SplitChanged):
        split(ledger, key_check="ce" * 32)
    with pytest.raises(SplitChanged):
        split(ledger, holdout_ppm=200_001)
    assert ledger.path.read_bytes() == before
    assert ledger.load_holdout_ppm("north") == 200_000
    ledger.open_population("south", holder="bank", person="id", epsilon_micro=1_000_000, delta_e12=DELTA_E12, now_ms=1)
    with pytest.raises(PopulationNotSplit):  # another's split is none of its own
        charge(ledger, 1, population="south", side="holdout")


def test_charges_from_before_the_split_were_everybodys(ledger: Ledger) -> None:
    charge(ledger, 10)
    split(ledger)
    charge(ledger, 7, side="holdout")
    account = ledger.load_account("north")
    assert (account.spent_of_all_rho_e12, account.spent_of_holdout_rho_e12, account.spent_rho_e12) == (10, 7, 17)


@pytest.mark.parametrize("side", ["all", "", "both", 1, None, []])
def test_a_charge_for_no_side_that_there_is_is_damage(ledger: Ledger, side: object) -> None:
    split(ledger)
    charge(ledger, 7, side="holdout")
    *lines, last = ledger.path.read_bytes().splitlines(keepends=True)
    line = json.loads(last)
    del line["sha256"]
    line["body"]["side"] = side
    encoded = json.dumps(line, sort_keys=True, separators=(",", ":")).encode()
    line["sha256"] = hashlib.sha256(b"credence/ledger/v1\0" + encoded).hexdigest()
    rewritten = json.dumps(line, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    ledger.path.write_bytes(b"".join(lines) + rewritten)
    with pytest.raises(LedgerDamaged):
        ledger.load_entries()


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
    key = load_key(path, os.urandom)
    assert load_key(path, os.urandom) == key
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["reuse.key"]
    path.chmod(0o640)
    with pytest.raises(KeyFileInvalid):
        load_key(path, os.urandom)
    path.chmod(0o600)
    path.write_bytes(b"short")
    with pytest.raises(KeyFileInvalid):
        load_key(path, os.urandom)
    with pytest.raises(KeyFileInvalid):
        load_key(tmp_path / "missing" / "reuse.key", os.urandom)


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
