"""The privacy ledger: what each population's budget was spent on, before it was spent.

A file of JSON lines, each with its number, its own SHA-256 and that of the line before, appended under an
exclusive lock and synced to the disk before anyone may draw noise. A charge is never given back: a training that
failed has spent what it was charged. Lines cut off the end leave no trace in the file itself; every artifact's
card names its charge's hash, so that a ledger cut before it no longer holds it.

A population may be split, once, into persons who train and persons who are held out (scoring/dp/split.py). A charge is
for one of the sides or for all; nobody is on both sides, so the most that anyone has spent is what was charged for all
and the larger of the two sides' sums.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from scoring.dp.accounting import budget_rho_e12, epsilon_micro_of_rho
from scoring.dp.split import Side
from scoring.errors import (
    BudgetExceeded,
    LedgerDamaged,
    LedgerUnavailable,
    PopulationChanged,
    PopulationNotSplit,
    PopulationUnknown,
    SplitChanged,
)

GENESIS = "0" * 64

EntryType = Literal["population", "split", "charge", "artifact", "repair"]
_CHARGE = frozenset({"population", "rho_e12", "purpose", "parameters", "inputs_mac"})
_BODIES: Mapping[str, tuple[frozenset[str], ...]] = {
    "population": (frozenset({"population", "holder", "person", "epsilon_micro", "delta_e12"}),),
    "split": (frozenset({"population", "key_check", "holdout_ppm"}),),
    "charge": (_CHARGE, _CHARGE | {"side"}),  # without a side: for all
    "artifact": (frozenset({"population", "charge", "inputs_mac", "digest", "directory"}),),
    "repair": (frozenset({"dropped_bytes"}),),
}
_SIDES: tuple[Side, ...] = ("train", "holdout")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A line of the ledger; `sha256` (hex) is over the encoding of its other members."""

    seq: int
    type: EntryType
    at_ms: int
    body: Mapping[str, object]
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Account:
    """A population's budget and what is spent of it, in trillionths of rho; epsilons are at its delta.

    `person` is the column by which rows belong to one person, None where each row is a person. `spent_of_all_rho_e12`
    was spent of everybody, the others of those on one side only.
    """

    population: str
    holder: str
    person: str | None
    epsilon_micro: int
    delta_e12: int
    budget_rho_e12: int
    spent_of_all_rho_e12: int
    spent_of_train_rho_e12: int = 0
    spent_of_holdout_rho_e12: int = 0

    @property
    def spent_rho_e12(self) -> int:
        """What the persons of the side that has spent more have spent."""
        return self.spent_of_all_rho_e12 + max(self.spent_of_train_rho_e12, self.spent_of_holdout_rho_e12)

    @property
    def spent_epsilon_micro(self) -> int:
        return epsilon_micro_of_rho(self.spent_rho_e12, self.delta_e12)

    def left_rho_e12(self, side: Side) -> int:
        """The most that one more charge for a side may be."""
        of_side = {
            "all": max(self.spent_of_train_rho_e12, self.spent_of_holdout_rho_e12),
            "train": self.spent_of_train_rho_e12,
            "holdout": self.spent_of_holdout_rho_e12,
        }
        return self.budget_rho_e12 - self.spent_of_all_rho_e12 - of_side[side]


@dataclass(frozen=True, kw_only=True)
class RecordedArtifact:
    """Where the artifact of some inputs was put, a model's folder or a report's file, and its digest in hex."""

    directory: str
    digest: str


class Ledger:
    """The ledger at a path; every call reads the file anew, so that several processes can share it.

    Every method raises LedgerDamaged where the file is not an unbroken chain and LedgerUnavailable where the disk
    refuses.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def open_population(
        self, name: str, *, holder: str, person: str | None, epsilon_micro: int, delta_e12: int, now_ms: int
    ) -> Account:
        """Fix a population's budget and whom it is counted by, once; raises PopulationChanged where these differ.

        Charges add up only where they protect the same unit, so no schema may count its persons otherwise.
        """
        budget_rho_e12(epsilon_micro, delta_e12)  # refuses what is out of range
        with self._locked() as file:
            entries = _read(file)
            terms = {
                "population": name,
                "holder": holder,
                "person": person,
                "epsilon_micro": epsilon_micro,
                "delta_e12": delta_e12,
            }
            opened = _find_population(entries, name)
            if opened is None:
                entries.append(_append(file, entries, "population", terms, now_ms))
            elif dict(opened.body) != terms:
                raise PopulationChanged
            return _account(entries, name)

    def open_split(self, population: str, *, key_check: str, holdout_ppm: int, now_ms: int) -> None:
        """Fix who of a population is held out, once; raises SplitChanged where share or key differ.

        Under another key or share a person would have been on both sides, and the two no longer compose in parallel.
        What was charged before was charged for all, and stays so.
        """
        with self._locked() as file:
            entries = _read(file)
            if _find_population(entries, population) is None:
                raise PopulationUnknown
            terms = {"population": population, "key_check": key_check, "holdout_ppm": holdout_ppm}
            opened = _find_split(entries, population)
            if opened is None:
                _append(file, entries, "split", terms, now_ms)
            elif dict(opened.body) != terms:
                raise SplitChanged

    def load_account(self, population: str) -> Account:
        """Raises PopulationUnknown."""
        with self._locked() as file:
            return _account(_read(file), population)

    def load_holdout_ppm(self, population: str) -> int:
        """The share of a population that is held out, in millionths; raises PopulationNotSplit."""
        with self._locked() as file:
            opened = _find_split(_read(file), population)
        if opened is None:
            raise PopulationNotSplit
        return _whole(opened.body["holdout_ppm"])

    def load_entries(self) -> tuple[Entry, ...]:
        with self._locked() as file:
            return tuple(_read(file))

    def append_charge(
        self,
        population: str,
        *,
        rho_e12: int,
        purpose: str,
        parameters: Mapping[str, object],
        inputs_mac: str,
        now_ms: int,
        side: Side = "all",
    ) -> Entry:
        """Spend rho of those on a side, durably, before the noise it pays for.

        Raises BudgetExceeded, PopulationUnknown, and PopulationNotSplit where there are no sides.
        """
        if rho_e12 < 1:
            raise BudgetExceeded
        with self._locked() as file:
            entries = _read(file)
            if rho_e12 > _account(entries, population).left_rho_e12(side):
                raise BudgetExceeded
            if side != "all" and _find_split(entries, population) is None:
                raise PopulationNotSplit
            body: dict[str, object] = {
                "population": population,
                "rho_e12": rho_e12,
                "purpose": purpose,
                "parameters": dict(parameters),
                "inputs_mac": inputs_mac,
            }
            if side != "all":
                body["side"] = side
            return _append(file, entries, "charge", body, now_ms)

    def append_artifact(self, charge: Entry, *, inputs_mac: str, digest: str, directory: str, now_ms: int) -> Entry:
        """Record what a charge bought, under the keyed MAC of its inputs."""
        with self._locked() as file:
            body = {
                "population": charge.body["population"],
                "charge": charge.seq,
                "inputs_mac": inputs_mac,
                "digest": digest,
                "directory": directory,
            }
            return _append(file, _read(file), "artifact", body, now_ms)

    def has_artifact(self, population: str, parameters: Mapping[str, object]) -> bool:
        """Whether some artifact of the population came of these public parameters, whatever its data."""
        with self._locked() as file:
            entries = _read(file)
        bought = {entry.body["charge"] for entry in entries if entry.type == "artifact"}
        wanted = (population, dict(parameters))
        return any(
            (entry.body["population"], entry.body["parameters"]) == wanted
            for entry in entries
            if entry.type == "charge" and entry.seq in bought
        )

    def find_artifact(self, inputs_mac: str) -> RecordedArtifact | None:
        """The newest artifact of exactly these inputs."""
        with self._locked() as file:
            for entry in reversed(_read(file)):
                if entry.type == "artifact" and entry.body["inputs_mac"] == inputs_mac:
                    return RecordedArtifact(directory=str(entry.body["directory"]), digest=str(entry.body["digest"]))
        return None

    @contextmanager
    def _locked(self) -> Iterator[BinaryIO]:
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "rb+", buffering=0) as file:
                fcntl.flock(file, fcntl.LOCK_EX)  # released when the descriptor closes, also by a crash
                if not os.fstat(descriptor).st_size:
                    sync_directory(self.path.parent)
                yield file
        except OSError as error:
            raise LedgerUnavailable from error


def _read(file: BinaryIO) -> list[Entry]:
    """The whole chain, verified. A last line without its newline is cut off by `_append`, never read."""
    file.seek(0)
    *lines, _torn = file.read().split(b"\n")
    entries: list[Entry] = []
    for line in lines:
        entries.append(_parse_line(line, seq=len(entries), previous=entries[-1].sha256 if entries else GENESIS))
    return entries


def _parse_line(line: bytes, *, seq: int, previous: str) -> Entry:
    try:
        value = json.loads(line)
        if _encode(value) != line or not isinstance(value, dict):
            raise LedgerDamaged
    except (ValueError, RecursionError) as error:
        raise LedgerDamaged from error
    if set(value) != {"seq", "previous", "type", "at", "body", "sha256"} or not isinstance(value["body"], dict):
        raise LedgerDamaged
    sha256 = value.pop("sha256")
    if sha256 != _hash(value):
        raise LedgerDamaged
    if (value["seq"], value["previous"]) != (seq, previous):
        raise LedgerDamaged
    body = value["body"]
    if body.keys() not in _BODIES.get(str(value["type"]), ()) or body.get("side", "train") not in _SIDES:
        raise LedgerDamaged
    numbers = [value["at"], *(body.get(name, 0) for name in ("rho_e12", "epsilon_micro", "delta_e12", "holdout_ppm"))]
    if any(type(number) is not int or number < 0 for number in numbers):
        raise LedgerDamaged
    return Entry(
        seq=seq,
        type=value["type"],
        at_ms=value["at"],
        body=value["body"],
        sha256=sha256,
    )


def _append(file: BinaryIO, entries: list[Entry], type_: EntryType, body: Mapping[str, object], now_ms: int) -> Entry:
    """Write one line after the last whole one and sync it. The caller holds the lock and has read `entries`."""
    file.seek(0)
    data = file.read()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        # A crash cut this line short, before its sync returned: nobody was told that it stands, and nothing was
        # drawn for it. It goes, and a line says so.
        os.ftruncate(file.fileno(), whole)
        entries.append(_append(file, entries, "repair", {"dropped_bytes": len(data) - whole}, now_ms))
    previous = entries[-1].sha256 if entries else GENESIS
    value = {"seq": len(entries), "previous": previous, "type": type_, "at": now_ms, "body": dict(body)}
    line = _encode({**value, "sha256": _hash(value)})
    entry = _parse_line(line, seq=len(entries), previous=previous)
    written = file.write(line + b"\n")
    if written != len(line) + 1:
        raise LedgerUnavailable  # a full disk: the line stands torn, and the next append removes it
    os.fsync(file.fileno())  # a crash before this returns spends nothing that was drawn; after it, the charge stands
    return entry


def _find_population(entries: list[Entry], name: str) -> Entry | None:
    return next((one for one in entries if one.type == "population" and one.body["population"] == name), None)


def _find_split(entries: list[Entry], population: str) -> Entry | None:
    return next((one for one in entries if one.type == "split" and one.body["population"] == population), None)


def _account(entries: list[Entry], name: str) -> Account:
    opened = _find_population(entries, name)
    if opened is None:
        raise PopulationUnknown
    epsilon_micro, delta_e12 = _whole(opened.body["epsilon_micro"]), _whole(opened.body["delta_e12"])
    spent: dict[object, int] = {}
    for one in entries:
        if one.type == "charge" and one.body["population"] == name:
            side = one.body.get("side", "all")
            spent[side] = spent.get(side, 0) + _whole(one.body["rho_e12"])
    return Account(
        population=name,
        holder=str(opened.body["holder"]),
        person=None if opened.body["person"] is None else str(opened.body["person"]),
        epsilon_micro=epsilon_micro,
        delta_e12=delta_e12,
        budget_rho_e12=budget_rho_e12(epsilon_micro, delta_e12),
        spent_of_all_rho_e12=spent.get("all", 0),
        spent_of_train_rho_e12=spent.get("train", 0),
        spent_of_holdout_rho_e12=spent.get("holdout", 0),
    )


def _whole(number: object) -> int:
    assert isinstance(number, int)  # _parse_line saw to it
    return number


def _hash(value: Mapping[str, object]) -> str:
    return hashlib.sha256(b"credence/ledger/v1\0" + _encode(value)).hexdigest()


def _encode(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def sync_directory(directory: Path) -> None:
    """Sync a directory, so that the names in it survive a crash."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
