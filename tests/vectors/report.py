"""The table of third-party vectors, as docs/vectors.md and the committed list have it."""

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from tests.vectors.suites import ACCEPTED, NOT_RUN, Vector

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "vectors.md"
REFUSED_VALID = Path(__file__).with_name("refused_valid.json")


def page(vectors: Sequence[Vector]) -> str:
    """The whole of docs/vectors.md."""
    by_suite: dict[str, list[Vector]] = defaultdict(list)
    for vector in vectors:
        by_suite[vector.suite].append(vector)
    lines = [
        "# Third-party vectors",
        "Written by `make vectors`; a test holds it equal to what a run gives. A vector that its suite calls valid is",
        "accepted, or refused by a rule that stands below and, for each, in `tests/vectors/refused_valid.json`. None",
        "that a suite calls invalid is accepted. The vectors themselves are not ours to commit.",
        "",
        "| suite | vectors | valid, accepted | valid, refused by a rule | invalid, refused | invalid, accepted |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for suite, members in (*by_suite.items(), ("all", list(vectors))):
        counts = [
            sum(vector.valid is valid and (vector.outcome == ACCEPTED) is accepted for vector in members)
            for valid, accepted in ((True, True), (True, False), (False, False), (False, True))
        ]
        lines.append(f"| {suite} | {len(members)} | {' | '.join(map(str, counts))} |")
    lines += ["", "## Valid, and refused", "", "| suite | rule | refusal | vectors |", "| --- | --- | --- | ---: |"]
    rules: dict[tuple[str, str, str], int] = defaultdict(int)
    for vector in refused_valid(vectors):
        rules[vector.suite, vector.rule or "", vector.outcome] += 1
    lines += [f"| {suite} | {rule} | `{code}` | {count} |" for (suite, rule, code), count in rules.items()]
    lines += ["", "## Not run", "", "| what | why |", "| --- | --- |"]
    lines += [f"| {what} | {why} |" for what, why in NOT_RUN]
    return "\n".join(lines) + "\n"


def refused_valid(vectors: Sequence[Vector]) -> list[Vector]:
    """The valid vectors that are refused."""
    return [vector for vector in vectors if vector.valid and vector.outcome != ACCEPTED]


def committed(vectors: Sequence[Vector]) -> str:
    """The committed list: each refused valid vector with its refusal and its rule."""
    listed = [
        {"suite": vector.suite, "vector": vector.id, "refusal": vector.outcome, "rule": vector.rule}
        for vector in refused_valid(vectors)
    ]
    return "[\n" + ",\n".join(" " + json.dumps(each, ensure_ascii=False) for each in listed) + "\n]\n"
