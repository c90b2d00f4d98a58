"""What a computation releases, audited: its sums, its accounting, each release alone, and the whole transcript."""

import math
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from scoring.audit.bounds import LEAST_POWER, MICRO, claimed_mu, lower_bound, mu_squared, power
from scoring.audit.finding import AGAIN, HALF_SIGMA, TWICE, Finding
from scoring.audit.transcript import (
    UNCHARGED,
    Draw,
    Subject,
    Transcript,
    Unreleased,
    cost_rho_e12,
    log_likelihood_ratio,
    record,
    replay,
)
from scoring.card import Mechanism
from scoring.dp.sampler import Sampler, SeededSampler
from scoring.progress import Progress, no_progress

T = TypeVar("T")
WHOLE_RUN = "whole run"
MOST_ALIKE = 3
"""So many releases of one name are audited alone: the first, the last, and the one that a person moves the farthest."""
_REPEATED = 20
_MOST_RUNS = 1_000_000
_BLOCK = 100_000


def audit_subject(
    subject: Subject[T],
    sampler: Sampler,
    *,
    runs: int,
    transcript_runs: int,
    noised_prefixes: int = 2,
    random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    progress: Progress = no_progress,
) -> list[Finding]:
    """Audit a computation: each release `runs` times on either data set, or as often as its power takes, and the whole.

    Sums are looked at after the values of a few runs, the first without noise, on every neighbouring data set. With
    no transcript runs there is no finding of the whole.
    """
    samplers = [SeededSampler(0, noiseless=True), *[sampler] * noised_prefixes]
    prefixes = [record(subject, subject.less, one, random_bytes) for one in samplers]
    try:
        tried = [_try_neighbours(subject, prefix, progress) for prefix in prefixes]
    except Unreleased:
        return [audit_accounting(subject, prefixes), _leak(subject, len(prefixes))]
    findings = [
        *audit_sums(subject, tried),
        audit_accounting(subject, prefixes),
        *audit_releases(subject, tried[0], sampler, runs=runs, progress=progress),
    ]
    if transcript_runs > 0:
        shifts = [_moved_squared(tried[0].less, more) for more in tried[0].more]
        findings.append(
            audit_transcript(
                subject,
                subject.neighbours[shifts.index(max(shifts))],
                sampler,
                runs=transcript_runs,
                random_bytes=random_bytes,
                progress=progress,
            )
        )
    return findings


@dataclass(frozen=True, kw_only=True)
class Tried:
    """The draws after one run's values on the smaller data set, and on each of its neighbours."""

    less: Sequence[Draw]
    more: Sequence[Sequence[Draw]]


def audit_sums(subject: Subject[T], tried: Sequence[Tried]) -> list[Finding]:
    """How far any of the neighbours moves each kind of sum, against what its noise was computed for."""
    farthest: dict[tuple[str, int], float] = {}
    for one in tried:
        for more in one.more:
            for fewer, with_person in zip(one.less, more, strict=True):
                kind = fewer.name, fewer.sensitivity_squared * subject.rows_per_person**2
                farthest[kind] = max(farthest.get(kind, 0.0), _distance(fewer, with_person))
    return [
        Finding(
            subject=subject.name,
            check="sensitivity",
            name=name,
            measure="L2",
            claimed=math.sqrt(declared_squared),
            bound=moved,
            runs=len(tried) * len(subject.neighbours),
            moved=_ratio(moved, math.sqrt(declared_squared)),
        )
        for (name, declared_squared), moved in farthest.items()
    ]


def audit_accounting(subject: Subject[T], transcripts: Sequence[Transcript]) -> Finding:
    """The charge against what the draws cost by the noise that the sampler was asked for.

    Infinite where a draw is on no list of what was released.
    """
    unlisted = max(sum(draw.name == UNCHARGED for draw in transcript.draws) for transcript in transcripts)
    costs = [cost_rho_e12(transcript.draws, rows_per_person=subject.rows_per_person) for transcript in transcripts]
    return Finding(
        subject=subject.name,
        check="accounting",
        name="charge",
        measure="rho",
        claimed=subject.charged_rho_e12 / 1e12,
        bound=math.inf if unlisted else max(costs) / 1e12,
        runs=len(transcripts),
        note=f"{unlisted} drawn and not charged" if unlisted else "",
    )


def audit_releases(
    subject: Subject[T], tried: Tried, sampler: Sampler, *, runs: int, progress: Progress
) -> list[Finding]:
    """Each release alone, with the neighbour that moves its sum the farthest; one not charged has a claim of 0.

    Noise of a deviation of 1 or less has no claim in mu: such a release is left to a subject that has more of it.
    """
    shifts = [max(_distance(fewer, more[index]) for more in tried.more) for index, fewer in enumerate(tried.less)]
    findings = []
    for number, index in enumerate(chosen := _choose(tried.less, shifts)):
        progress(f"{subject.name}: releases", number, len(chosen))
        fewer = tried.less[index]
        more = max((draws[index] for draws in tried.more), key=lambda draw: _distance(fewer, draw))
        claim = math.sqrt(mu_squared(_mechanism(fewer), rows_per_person=subject.rows_per_person))
        if math.isinf(claim):
            continue
        finding = _audit_release(fewer, more, sampler, claim=claim, runs=runs)
        findings.append(replace(finding, subject=subject.name, name=_numbered(tried.less, index)))
    return findings


def _choose(draws: Sequence[Draw], shifts: Sequence[float]) -> list[int]:
    """Which releases are audited alone: all, but of many of one name a few."""
    chosen: list[int] = []
    for name in dict.fromkeys(draw.name for draw in draws):
        alike = [index for index, draw in enumerate(draws) if draw.name == name]
        if len(alike) > MOST_ALIKE:
            farthest = max(alike, key=lambda index: shifts[index] / draws[index].sigma_micro)
            alike = sorted({alike[0], farthest, alike[-1]})
        chosen += alike
    return chosen


def audit_transcript(
    subject: Subject[T],
    more: T,
    sampler: Sampler,
    *,
    runs: int,
    random_bytes: Callable[[int], bytes],
    progress: Progress,
) -> Finding:
    """The whole computation, so many times on either data set: the likelihood ratio of all that it released.

    The result is part of the transcript: it is the same where the values are replayed on the other data, or the
    ratio is infinite.
    """
    said_more, moved, claim = [0, 0], 0.0, 0.0
    for number in range(runs):
        progress(f"{subject.name}: whole runs", number, runs)
        for side, (own, other) in enumerate(((subject.less, more), (more, subject.less))):
            transcript = record(subject, own, sampler, random_bytes)
            try:
                if number < _REPEATED:
                    replay(subject, own, transcript)
                replayed = replay(subject, other, transcript).draws
            except Unreleased:
                return _leak(subject, number + 1)
            fewer, with_person = (transcript.draws, replayed) if side == 0 else (replayed, transcript.draws)
            said_more[side] += log_likelihood_ratio(transcript.draws, fewer, with_person) > 0
            moved += _moved_squared(fewer, with_person) / (2 * runs)
            listed = claimed_mu(transcript.releases.list_mechanisms(), rows_per_person=subject.rows_per_person)
            claim = max(claim, listed)  # what a run releases may follow from what it released
    return Finding(
        subject=subject.name,
        check="transcript",
        name=WHOLE_RUN,
        measure="mu",
        claimed=claim,
        bound=lower_bound(said_more[1], said_more[0], runs),
        runs=runs,
        moved=math.sqrt(moved) / claim,
        powers={HALF_SIGMA: power(claim=claim, mu=2 * math.sqrt(moved), runs=runs)},
    )


def _try_neighbours(subject: Subject[T], prefix: Transcript, progress: Progress) -> Tried:
    more = []
    for number, neighbour in enumerate(subject.neighbours):
        progress(f"{subject.name}: neighbours", number, len(subject.neighbours))
        more.append(replay(subject, neighbour, prefix).draws)
    return Tried(less=replay(subject, subject.less, prefix).draws, more=more)


def _audit_release(fewer: Draw, more: Draw, sampler: Sampler, *, claim: float, runs: int) -> Finding:
    mu = _distance(fewer, more) * MICRO / fewer.sigma_micro
    faults = {AGAIN: (0.0, mu)}
    if claim:
        faults = {HALF_SIGMA: (claim, 2 * mu), TWICE: (claim, 2 * mu), **faults}
    runs, powers = _enough(runs, faults)
    moved = more.sums - fewer.sums
    said_more = []
    for sums in (fewer.sums, more.sums):
        count = 0
        for start in range(0, runs, block := max(1, _BLOCK // len(sums))):
            rows = min(block, runs - start)
            drawn = sampler.add_noise(np.tile(sums, rows), sigma_micro=fewer.sigma_micro)
            values = drawn.reshape(rows, -1)
            count += int(((moved * (2 * (values - fewer.sums) - moved)).sum(axis=1) > 0).sum())
        said_more.append(count)
    return Finding(
        subject="",
        check="release",
        name=fewer.name,
        measure="mu",
        claimed=claim,
        bound=lower_bound(said_more[1], said_more[0], runs),
        runs=runs,
        moved=_ratio(mu, claim),
        powers=powers,
    )


def _enough(runs: int, faults: Mapping[str, tuple[float, float]]) -> tuple[int, dict[str, float]]:
    """So many runs, or twice and twice again until every fault (a claim, and what mu it makes) is caught."""
    while True:
        powers = {name: power(claim=claim, mu=mu, runs=runs) for name, (claim, mu) in faults.items()}
        hopeless = any(mu <= claim for claim, mu in faults.values())
        if hopeless or 2 * runs > _MOST_RUNS or all(chance >= LEAST_POWER for chance in powers.values()):
            return runs, powers
        runs *= 2


def _leak(subject: Subject[T], runs: int) -> Finding:
    return Finding(
        subject=subject.name,
        check="transcript",
        name=WHOLE_RUN,
        measure="mu",
        claimed=math.sqrt(2 * subject.charged_rho_e12 / 1e12),
        bound=math.inf,
        runs=runs,
        note="its result or its course depends on something that it did not release",
    )


def _mechanism(draw: Draw) -> Mechanism:
    return Mechanism(
        name=draw.name,
        releases=1,
        sensitivity_squared=draw.sensitivity_squared,
        scale=draw.scale,
        sigma_micro=draw.sigma_micro,
    )


def _numbered(draws: Sequence[Draw], index: int) -> str:
    """A release's name, with its number where there are several of it."""
    alike = [number for number, draw in enumerate(draws) if draw.name == draws[index].name]
    return draws[index].name if len(alike) == 1 else f"{draws[index].name} {alike.index(index) + 1}"


def _distance(fewer: Draw, more: Draw) -> float:
    return math.sqrt(int(((more.sums - fewer.sums) ** 2).sum()))


def _moved_squared(less: Sequence[Draw], more: Sequence[Draw]) -> float:
    """What a person moves in all, in squared mu."""
    return sum(
        (_distance(fewer, with_person) * MICRO / fewer.sigma_micro) ** 2
        for fewer, with_person in zip(less, more, strict=True)
    )


def _ratio(amount: float, claimed: float) -> float:
    if claimed:
        return amount / claimed
    return math.inf if amount else 0.0
