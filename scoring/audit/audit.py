"""The whole audit: the sampler, and everything that releases, on small synthetic data.

Nothing is charged to any population: nobody's data is read, and no result is kept.
"""

from scoring.audit.finding import Finding
from scoring.audit.releases import audit_subject
from scoring.audit.samplers import audit_sampler
from scoring.audit.subjects import scorecard_subject
from scoring.dp.sampler import Sampler
from scoring.progress import Progress, no_progress

RUNS, SHORT_RUNS = 10_000, 250
"""On either data set. Both catch the faults that findings name with a chance of at least .999; more runs bound more
sharply."""


def audit_privacy(sampler: Sampler, *, runs: int, seed: int, progress: Progress = no_progress) -> list[Finding]:
    """Audit a sampler and what releases through it; the seed chooses the data, never the noise of a real sampler."""
    findings = audit_sampler(sampler, progress=progress)
    for subject in (scorecard_subject(seed),):
        findings += audit_subject(subject, sampler, runs=runs, progress=progress)
    return findings
