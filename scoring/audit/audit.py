"""The whole audit: the samplers, and everything that releases, on small synthetic data.

Nothing is charged to any population: nobody's data is read, and no result is kept.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from scoring.audit.finding import Finding
from scoring.audit.releases import audit_subject
from scoring.audit.samplers import audit_sampler
from scoring.audit.subjects import network_subject, pairs_subject, scorecard_subject, validation_subject
from scoring.audit.transcript import Subject
from scoring.dp.convolution import SystemTableSampler
from scoring.dp.sampler import Sampler, SystemSampler
from scoring.progress import Progress, no_progress

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Extent:
    """How much is run: of each release and of the whole scorecard, on either data set, and of any other whole.

    Sums are looked at after the values of one run without noise and `noised_prefixes` with it, on every
    `neighbour_stride`th neighbour.
    """

    runs: int
    other_runs: int
    noised_prefixes: int
    neighbour_stride: int


FULL = Extent(runs=10_000, other_runs=250, noised_prefixes=2, neighbour_stride=1)
SHORT = Extent(runs=200, other_runs=0, noised_prefixes=0, neighbour_stride=3)
"""Both catch the faults that findings name with a chance of at least .999; more runs bound more sharply."""


def audit_privacy(extent: Extent, *, seed: int, progress: Progress = no_progress) -> list[Finding]:
    """Audit what is real: samplers keyed by the system, fits and validation; the seed chooses the data alone.

    Where pairs are found in so few rows, some counts have too little noise for a claim in mu, and so has the whole.
    """
    exact, tables = SystemSampler(), SystemTableSampler()
    findings = [
        *audit_sampler(exact, name="OpenDP's sampler", progress=progress),
        *audit_sampler(tables, name="table sampler", progress=progress),
    ]
    audit = partial(_audit, extent=extent, progress=progress)
    findings += audit(scorecard_subject(seed), exact, transcript_runs=extent.runs)
    findings += audit(pairs_subject(seed), exact, transcript_runs=0)
    findings += audit(network_subject(seed), tables, transcript_runs=extent.other_runs)
    findings += audit(validation_subject(seed), exact, transcript_runs=extent.other_runs)
    return findings


def _audit(
    subject: Subject[T], sampler: Sampler, *, transcript_runs: int, extent: Extent, progress: Progress
) -> list[Finding]:
    return audit_subject(
        replace(subject, neighbours=subject.neighbours[:: extent.neighbour_stride]),
        sampler,
        runs=extent.runs,
        transcript_runs=transcript_runs,
        noised_prefixes=extent.noised_prefixes,
        progress=progress,
    )
