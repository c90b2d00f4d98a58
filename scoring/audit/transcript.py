"""Everything that a computation lets out, recorded at the sampler; and the same computation on other data, replayed.

What a fit does next depends on what it released before, never on the data itself. So once a run's released values
are known, the run can be repeated on a neighbouring data set with those values given back, and both sums behind every
value are known: that is all an adversary needs for the exact likelihood ratio of the whole transcript. A replay that
asks for other noise, or ends with another result, has shown something that was not released.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from scoring.dp.accounting import gaussian_rho_e12
from scoring.dp.mechanisms import Releases
from scoring.dp.sampler import Sampler
from scoring.errors import ScoringError

T = TypeVar("T")
UNCHARGED = "uncharged"


@dataclass(frozen=True, kw_only=True)
class Subject(Generic[T]):
    """A computation that is audited, and small data for it.

    `run` computes from data within a charge and returns everything that leaves it beside the released values, as
    something that can be compared. Each of `neighbours` is `less` with one person more.
    """

    name: str
    run: Callable[[T, Releases, Callable[[int], bytes]], Hashable]
    less: T
    neighbours: Sequence[T]
    charged_rho_e12: int
    rows_per_person: int


@dataclass(frozen=True, kw_only=True)
class Draw:
    """One call of the sampler: exact sums, what was released of them, and what the card will state of it.

    `name` is UNCHARGED, and the squared sensitivity (one row's) 0, where the releases' list did not grow by one.
    """

    name: str
    sensitivity_squared: int
    scale: int
    sigma_micro: int
    sums: NDArray[np.int64]
    values: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Transcript:
    """A run: its draws in order, its other random bytes, and its result."""

    draws: tuple[Draw, ...]
    random_bytes: tuple[bytes, ...]
    result: Hashable
    releases: Releases


class Unreleased(Exception):
    """A replay went another way: the run depends on something that it did not release."""


@dataclass(kw_only=True)
class _Recorder:
    """A sampler in front of another, or of earlier values."""

    source: str
    noise: Callable[[NDArray[np.int64], int], NDArray[np.int64]]
    releases: Releases | None = None
    draws: list[Draw] = field(default_factory=list)
    _listed: dict[tuple[str, int, int, int], int] = field(default_factory=dict)

    def add_noise(self, sums: NDArray[np.int64], *, sigma_micro: int) -> NDArray[np.int64]:
        assert self.releases is not None
        listed = {
            (one.name, one.sensitivity_squared, one.scale, one.sigma_micro): one.releases
            for one in self.releases.list_mechanisms()
        }
        grown = [kind for kind, count in listed.items() if count > self._listed.get(kind, 0)]
        more = sum(listed.values()) - sum(self._listed.values())
        self._listed = listed
        name, sensitivity_squared, scale = UNCHARGED, 0, 1
        if more == 1 and len(grown) == 1 and grown[0][3] == sigma_micro:
            name, sensitivity_squared, scale, _ = grown[0]
        values = self.noise(sums, sigma_micro)
        self.draws.append(
            Draw(
                name=name,
                sensitivity_squared=sensitivity_squared,
                scale=scale,
                sigma_micro=sigma_micro,
                sums=sums.copy(),  # what is recorded stays, whatever becomes of the arrays
                values=values.copy(),
            )
        )
        return values


def record(subject: Subject[T], data: T, sampler: Sampler, random_bytes: Callable[[int], bytes]) -> Transcript:
    """Run with a real sampler and keep all that came out of it."""
    drawn: list[bytes] = []

    def keep_bytes(count: int) -> bytes:
        drawn.append(random_bytes(count))
        return drawn[-1]

    recorder = _Recorder(
        source=sampler.source, noise=lambda sums, sigma_micro: sampler.add_noise(sums, sigma_micro=sigma_micro)
    )
    releases, result = _run(subject, data, recorder, keep_bytes)
    return Transcript(draws=tuple(recorder.draws), random_bytes=tuple(drawn), result=result, releases=releases)


def replay(subject: Subject[T], data: T, transcript: Transcript) -> Transcript:
    """Run on other data with the values of an earlier run; raises Unreleased where that takes another way.

    The result's draws have this data's sums. Whatever a neighbouring data set changes beside them was leaked.
    """
    earlier, given = iter(transcript.draws), iter(transcript.random_bytes)

    def give_values(sums: NDArray[np.int64], sigma_micro: int) -> NDArray[np.int64]:
        draw = next(earlier, None)
        if draw is None or len(draw.values) != len(sums) or draw.sigma_micro != sigma_micro:
            raise Unreleased
        return draw.values.copy()

    def give_bytes(count: int) -> bytes:
        value = next(given, b"")
        if len(value) != count:
            raise Unreleased
        return value

    recorder = _Recorder(source="none", noise=give_values)
    try:
        releases, result = _run(subject, data, recorder, give_bytes)
    except ScoringError as error:
        raise Unreleased from error
    if next(earlier, None) is not None or next(given, None) is not None or result != transcript.result:
        raise Unreleased
    return Transcript(
        draws=tuple(recorder.draws), random_bytes=transcript.random_bytes, result=result, releases=releases
    )


def log_likelihood_ratio(draws: Sequence[Draw], less: Sequence[Draw], more: Sequence[Draw]) -> float:
    """Of released values under the sums of `more` against those of `less`, the noise's deviation being as claimed.

    Between discrete Gaussians on the same integers the normalisers cancel: ((v - s)^2 - (v - s')^2) / (2 sigma^2).
    """
    ratio = 0.0
    for draw, fewer, with_person in zip(draws, less, more, strict=True):
        moved = with_person.sums - fewer.sums
        exact = int((moved * (2 * (draw.values - fewer.sums) - moved)).sum())
        ratio += exact * 1e12 / (2 * draw.sigma_micro**2)
    return ratio


def cost_rho_e12(draws: Sequence[Draw], *, rows_per_person: int) -> int:
    """What charged draws cost by the noise that was asked of the sampler; it is not taken from the run's own sum."""
    return sum(
        gaussian_rho_e12(sensitivity_squared=one.sensitivity_squared * rows_per_person**2, sigma_micro=one.sigma_micro)
        for one in draws
        if one.name != UNCHARGED
    )


def _run(
    subject: Subject[T], data: T, recorder: _Recorder, random_bytes: Callable[[int], bytes]
) -> tuple[Releases, Hashable]:
    releases = Releases(
        sampler=recorder, charged_rho_e12=subject.charged_rho_e12, rows_per_person=subject.rows_per_person
    )
    recorder.releases = releases
    return releases, subject.run(data, releases, random_bytes)
