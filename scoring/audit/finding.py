"""What one check of the audit found.

An audit bounds from below. Where a bound passes the claim, the claim is false (at 99% confidence); where it does not,
an adversary who knows all but one person's data, the code and every released value has not told them apart better
than was claimed. It is no proof of the claim.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from scoring.audit.bounds import LEAST_POWER

Check = Literal["sensitivity", "accounting", "release", "transcript", "sampler"]
Measure = Literal["L2", "rho", "mu", "-log10 p"]

HALF_SIGMA, TWICE, AGAIN, ROUNDED = FAULTS = ("half sigma", "twice", "uncharged", "rounded")
"""Faults whose chance of being caught is stated: noise of half its deviation; a person who moves a sum by twice what
was declared, clipped at twice the bound or counted twice; the same release once more, which nothing paid for; a
rounded normal in the place of a discrete Gaussian."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What was claimed and what was shown at least, in one measure; it fails where the bound passes the claim.

    `moved` is the share of the claim that the audited person moves, at its best; `powers` the chance of catching
    each fault. An audit that would miss one more often than once in a thousand has not passed either.
    """

    subject: str
    check: Check
    name: str
    measure: Measure
    claimed: float
    bound: float
    runs: int
    moved: float | None = None
    powers: Mapping[str, float] = field(default_factory=dict)
    note: str = ""

    @property
    def holds(self) -> bool:
        return self.bound <= self.claimed

    @property
    def strong(self) -> bool:
        return all(chance >= LEAST_POWER for chance in self.powers.values())

    @property
    def passed(self) -> bool:
        return self.holds and self.strong
