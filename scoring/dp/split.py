"""Who is held out: a keyed hash of the person decides, once and for all, so that nobody is ever on both sides.

The key is drawn before any data and the side of one person depends on nobody else, so the two sides are disjoint parts
of the population fixed beforehand, and what is released of them composes in parallel: whatever either side releases,
adaptively, costs a person of the other nothing. A plain or a public hash would do for that; the key keeps outsiders
from saying on which side somebody is, and from choosing it. A file without a person column has no such split: a row's
number changes when an earlier row goes.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Self

from scoring.errors import HoldoutNeedsPerson, PrivacyParametersInvalid, RowInvalid
from scoring.rows import Row
from scoring.schema import Schema

Side = Literal["all", "train", "holdout"]
"""Whose rows a charge of the ledger pays for."""

MAX_HOLDOUT_PPM = 500_000


@dataclass(frozen=True, kw_only=True)
class Split:
    """The two sides of one population; `holdout_ppm` is the public share held out, in millionths.

    `key` is the population's own, 32 bytes. Raises PrivacyParametersInvalid out of range.
    """

    key: bytes = field(repr=False)
    holdout_ppm: int

    def __post_init__(self) -> None:
        if not 1 <= self.holdout_ppm <= MAX_HOLDOUT_PPM:
            raise PrivacyParametersInvalid

    @classmethod
    def of_population(cls, key: bytes, population: str, *, holdout_ppm: int) -> Self:
        """The split of a population under the holder's key, independent of every other population's."""
        name = population.encode("utf-8", "surrogatepass")
        return cls(key=hmac.digest(key, b"credence/split/v1\0" + name, "sha256"), holdout_ppm=holdout_ppm)

    @property
    def key_check(self) -> str:
        """By which the ledger knows the key again: HMAC-SHA-256 of a constant, in hex."""
        return hmac.digest(self.key, b"check", "sha256").hex()

    def is_held_out(self, person: str) -> bool:
        """HMAC-SHA-256 of the person, its first 64 bits as a fraction, below the share."""
        digest = hmac.digest(self.key, b"person\0" + person.encode("utf-8", "surrogatepass"), "sha256")
        return int.from_bytes(digest[:8], "big") * 10**6 < self.holdout_ppm << 64

    def select(self, schema: Schema, rows: Sequence[Row], side: Side) -> list[Row]:
        """The rows of the persons of a side, in their order; raises HoldoutNeedsPerson and RowInvalid."""
        if schema.person is None:
            raise HoldoutNeedsPerson
        if side == "all":
            return list(rows)
        selected = []
        for row in rows:
            person = (row.get(schema.person) or "").strip()
            if not person:
                raise RowInvalid
            if self.is_held_out(person) == (side == "holdout"):
                selected.append(row)
        return selected
