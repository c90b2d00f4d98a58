"""The whole audit: the samplers, and everything that releases, on small synthetic data.

Nothing is charged to any population: nobody's data is read, and no result is kept.
"""

from dataclasses import dataclass, replace

from scoring.audit.finding import Finding
from scoring.audit.releases import audit_subject
from scoring.audit.samplers import audit_sampler
from scoring.audit.subjects import network_subject, pairs_subject, scorecard_subject
from scoring.dp.convolution import SystemTableSampler
from scoring.dp.sampler import SystemSampler
from scoring.progress import Progress, no_progress


@dataclass(frozen=True, kw_only=True)
class Extent:
    """How much is run: of each release and of the whole scorecard, on either data set, and of the whole network.

    Sums are looked at after the values of one run without noise and `noised_prefixes` with it, on every
    `neighbour_stride`th neighbour.
    """

    runs: int
    network_runs: int
    noised_prefixes: int
    neighbour_stride: int


FULL = Extent(runs=10_000, network_runs=250, noised_prefixes=2, neighbour_stride=1)
SHORT = Extent(runs=200, network_runs=0, noised_prefixes=0, neighbour_stride=3)
"""Both catch the faults that findings name with a chance of at least .999; more runs bound more sharply."""


def audit_privacy(extent: Extent, *, seed: int, progress: Progress = no_progress) -> list[Finding]:
    """Audit what is real: both samplers keyed by the system, and both fits; the seed chooses the data alone.

    Where pairs are found in so few rows, some counts have too little noise for a claim in mu, and so has the whole.
    """
    exact, tables = SystemSampler(), SystemTableSampler()
    findings = [
        *audit_sampler(exact, name="OpenDP's sampler", progress=progress),
        *audit_sampler(tables, name="table sampler", progress=progress),
    ]
    for subject, sampler, runs in (
        (scorecard_subject(seed), exact, extent.runs),
        (pairs_subject(seed), exact, 0),
        (network_subject(seed), tables, extent.network_runs),
    ):
        findings += audit_subject(
            replace(subject, neighbours=subject.neighbours[:: extent.neighbour_stride]),
            sampler,
            runs=extent.runs,
            transcript_runs=runs,
            noised_prefixes=extent.noised_prefixes,
            progress=progress,
        )
    return findings
