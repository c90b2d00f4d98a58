"""A seeded corpus of credentials, each made whole and then changed in one way that has a name.

About a third of the changes keep a credential valid: other claims, other times, members in another order, fewer
disclosures, other keys. The rest break one rule each, or change anything anywhere.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

#: When every case is verified, in seconds.
NOW_S = 1_790_000_000
NONCE, AUDIENCE = "n-0S6_WzA2Mj", "https://verifier.example"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One credential as it is presented, and the name of what was done to it."""

    format: str
    mutation: str
    presented: Any


def cases(seed: int, count: int) -> Iterator[Case]:
    """The first `count` cases of a seed: the same ones, in the same order, for ever."""
    from tests.differential.sd_jwt_cases import sd_jwt_case
    from tests.differential.w3c_cases import data_integrity_case, vc_jwt_case

    makers: list[Callable[[Random], Case]] = [sd_jwt_case, vc_jwt_case, data_integrity_case]
    for number in range(count):
        # One generator a case: what one draws does not shift the others.
        random = Random(seed * 1_000_003 + number)
        yield random.choice(makers)(random)
