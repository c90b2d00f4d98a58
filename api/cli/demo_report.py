"""What the demonstration says: its steps as they are done, and what came of it."""

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from api.cli.terminal import format_epsilon, print_json, print_rows
from scoring.dp.ledger import Account


class Steps:
    """Prints each step when it is done, with its time; nothing at all when `quiet`."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._began_s = time.monotonic()
        self._number = 0

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """One step; a step that fails is not printed as done."""
        began_s = time.monotonic()
        yield
        self._number += 1
        self.say(f"  {self._number}  {what:<76}{time.monotonic() - began_s:6.1f} s")

    def say(self, line: str) -> None:
        """A line for the person who watches."""
        if not self._quiet:
            print(line, flush=True)

    def seconds(self) -> float:
        """How long it took until now."""
        return time.monotonic() - self._began_s


def write_whole(path: Path, data: bytes) -> None:
    """Exactly these bytes under the name, or what was there before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_bytes(data)
    unfinished.replace(path)


def print_outcome(
    document_path: Path,
    trust_path: Path,
    *,
    epsilon_micro: int,
    account: Account,
    issued: list[str],
    presented: int,
    verification: Mapping[str, Any],
    seconds: float,
    as_json: bool,
) -> None:
    """The score, its reasons, what it cost in privacy, and where everything is that proves it.

    `epsilon_micro` was charged now, `presented` claims of the credentials of types `issued` were disclosed.
    """
    document = json.loads(document_path.read_bytes())
    anchor, privacy = document["anchor"], document["privacy"]
    if as_json:
        print_json(
            {
                "synthetic": True,
                "score": {
                    name: document[name]
                    for name in ("id", "outcome", "points", "interval", "band", "pd_ppm", "reasons")
                },
                "epsilon_micro": privacy["epsilon_micro"],
                "charged_epsilon_micro": epsilon_micro,
                "spent_epsilon_micro": account.spent_epsilon_micro,
                "log_index": document["log"]["index"],
                "transaction": anchor["transaction"],
                "verification": verification,
                "document": str(document_path),
                "trust": str(trust_path),
                "seconds": round(seconds, 1),
            }
        )
        return
    print("\nThe score (SYNTHETIC)")
    pd_ppm, scale, interval = document["pd_ppm"], document["scale"], document["interval"]
    print_rows(
        [
            ("outcome", document["outcome"]),
            ("points", document["points"] and f"{document['points']} of {scale['min']} to {scale['max']}"),
            ("interval", interval and f"{interval['low_points']} to {interval['high_points']}, nine times of ten"),
            ("band", document["band"]),
            ("probability of default", None if pd_ppm is None else f"{pd_ppm / 10_000:.2f} %"),
            *((f"reason {number}", each["text"]) for number, each in enumerate(document["reasons"], 1)),
            ("disclosed", f"{presented} claims of {len(issued)} credentials"),
        ]
    )
    print("\nIts model's privacy")
    spent, budget = format_epsilon(account.spent_epsilon_micro), format_epsilon(account.epsilon_micro)
    print_rows(
        [
            (
                "epsilon",
                f"{format_epsilon(privacy['epsilon_micro'])} at delta {privacy['delta_e12'] / 1e12:g}, a person",
            ),
            ("charged now", format_epsilon(epsilon_micro) + ("" if epsilon_micro else ", the model was there")),
            ("population's spending", f"epsilon {spent} of {budget}"),
        ]
    )
    print("\nIts proof")
    print_rows(
        [
            ("log index", document["log"]["index"]),
            ("transaction", anchor["transaction"]),
            ("block", f"{anchor['block_number']} of chain {anchor['chain_id']}, {anchor['state']}"),
            ("document", document_path),
            ("keys", trust_path),
        ]
    )
    print(f"\ncredence verify {document_path} --trust {trust_path}")
    for number, check in enumerate(verification["checks"], 1):
        print(f"  {number}  ok  {check}")
    print(f"  VERIFIED with no network and no service\n\nDone in {seconds:.0f} s.")
