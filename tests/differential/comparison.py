"""Where the two verifiers disagree, grouped by rule, and the committed file that gives each rule its reason."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.differential.corpus import Case
from tests.differential.verifiers import Outcome, at_the_corpus_time, ours, theirs

COMMITTED = Path(__file__).resolve().parents[1] / "vectors" / "openvc_disagreements.json"
ACCEPTED = "accepted"
#: Both accept, and take the credential to say different things.
OTHERWISE = "accepted otherwise"


@dataclass(frozen=True, order=True)
class Rule:
    """One way to disagree. Where we are the laxer side, the change that shows it is part of the rule."""

    format: str
    ours: str
    theirs: str
    mutation: str | None

    @classmethod
    def of(cls, case: Case, our: Outcome, their: Outcome) -> "Rule | None":
        """The rule of a disagreement; None where both accept the same, or both refuse."""
        if our.said == ACCEPTED == their.said:
            if (our.issuer, our.claims) == (their.issuer, their.claims):
                return None
            return cls(case.format, OTHERWISE, ACCEPTED, case.mutation)
        if our.said != ACCEPTED != their.said:
            return None
        return cls(case.format, our.said, their.said, case.mutation if our.said == ACCEPTED else None)


@dataclass
class Comparison:
    """The counts of one run."""

    cases: int = 0
    both_accept: int = 0
    both_refuse: int = 0
    disagreements: dict[Rule, Counter[str]] = field(default_factory=dict)
    examples: dict[Rule, Case] = field(default_factory=dict)


def compare(cases: Iterable[Case]) -> Comparison:
    """Have both verifiers judge every case; an exception that is no refusal escapes."""
    run = Comparison()
    with at_the_corpus_time():
        for case in cases:
            our, their = ours(case), theirs(case)
            run.cases += 1
            rule = Rule.of(case, our, their)
            if rule is not None:
                run.disagreements.setdefault(rule, Counter())[case.mutation] += 1
                run.examples.setdefault(rule, case)
            elif our.said == ACCEPTED:
                run.both_accept += 1
            else:
                run.both_refuse += 1
    return run


def committed_reasons() -> dict[Rule, str]:
    """The reason of every rule in the committed file."""
    rules = json.loads(COMMITTED.read_text())["disagreements"]
    return {Rule(each["format"], each["ours"], each["theirs"], each.get("mutation")): each["reason"] for each in rules}
