"""Faults planted under the audit, which has to catch each: whether it does, seed by seed, and by which checks.

    python -m bench.planted_faults [--seeds 20] [--processes 2]

Prints JSON. Each fault is put beneath the real fit and the real sampler from here; no product code has a switch for
one. The exit code is 0 where every fault was caught in every seed, and nothing was found where there was no fault.
"""

import argparse
import json
import sys
from collections.abc import Callable, Hashable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from typing import Any
from unittest import mock

import numpy as np
import torch
from numpy.typing import NDArray

import scoring.fitting
import scoring.network.fitting
import scoring.records
from scoring.audit.audit import SHORT, Extent
from scoring.audit.finding import Finding
from scoring.audit.releases import audit_subject
from scoring.audit.subjects import network_subject, scorecard_subject
from scoring.audit.transcript import Subject
from scoring.dp.convolution import SystemTableSampler
from scoring.dp.mechanisms import NoisedSum, Releases, count_cells, sum_residuals
from scoring.dp.sampler import Sampler, SystemSampler
from scoring.evidence import Line, fit_slope
from scoring.network.fitting import sum_gradients
from scoring.network.gradients import Clip
from scoring.records import Records

Audited = tuple[Subject[Records], Sampler]
Run = Callable[[Records, Releases, Callable[[int], bytes]], Hashable]


@dataclass(frozen=True, kw_only=True)
class HalfSigma:
    """A sampler that adds half the noise it is asked for."""

    sampler: Sampler

    @property
    def source(self) -> str:
        return self.sampler.source

    def add_noise(self, sums: NDArray[np.int64], *, sigma_micro: int) -> NDArray[np.int64]:
        return self.sampler.add_noise(sums, sigma_micro=sigma_micro // 2)


def no_fault(audited: Audited) -> Audited:
    return audited


def half_sigma(audited: Audited) -> Audited:
    subject, sampler = audited
    return subject, HalfSigma(sampler=sampler)


def clipped_at_twice(audited: Audited) -> Audited:
    """A residual is doubled and clipped at twice the bound that the noise is for."""
    return _patched(audited, scoring.fitting, "sum_residuals", lambda *of: 2 * sum_residuals(*of))


def histogram_counted_twice(audited: Audited) -> Audited:
    """A row's cells are counted twice."""
    return _patched(audited, scoring.records, "count_cells", lambda *of: 2 * count_cells(*of))


def histogram_released_twice(audited: Audited) -> Audited:
    """The cells are noised a second time within the same charge, and the mean of both is used."""

    release = Releases.release

    def release_twice(self: Releases, name: str, sums: torch.Tensor, **how: Any) -> NoisedSum:
        first = release(self, name, sums, **how)
        if name != "cell_counts":
            return first
        second = self.sampler.add_noise(sums.flatten().numpy(), sigma_micro=round(first.sigma * 1e6))
        return NoisedSum(values=(first.values + second) // 2, sigma=first.sigma)

    subject, sampler = audited
    return replace(subject, run=_within(subject.run, Releases, "release", release_twice)), sampler


def uncharged_draw(audited: Audited) -> Audited:
    """One noised sum more, straight from the sampler: the number of bad rows."""
    subject, sampler = audited

    def run(records: Records, releases: Releases, random_bytes: Callable[[int], bytes]) -> Hashable:
        result = subject.run(records, releases, random_bytes)
        bad = np.array([int(records.labels.sum())])
        return result, releases.sampler.add_noise(bad, sigma_micro=9_000_000).tobytes()

    return replace(subject, run=run), sampler


def uncharged_own_noise(audited: Audited) -> Audited:
    """One sum more under noise of the fit's own, past the sampler."""
    subject, sampler = audited
    generator = np.random.default_rng()

    def run(records: Records, releases: Releases, random_bytes: Callable[[int], bytes]) -> Hashable:
        result = subject.run(records, releases, random_bytes)
        return result, round(float(records.labels.sum()) + generator.normal(0.0, 9.0))

    return replace(subject, run=run), sampler


def uncharged_exact(audited: Audited) -> Audited:
    """The intercept is set by the exact number of rows, with no noise at all."""
    subject, sampler = audited

    def run(records: Records, releases: Releases, random_bytes: Callable[[int], bytes]) -> Hashable:
        def fit(*of: Any, **how: Any) -> Line:
            line = fit_slope(*of, **how)
            return replace(line, intercept=line.intercept + len(records.labels) / 100)

        return _within(subject.run, scoring.fitting, "fit_slope", fit)(records, releases, random_bytes)

    return replace(subject, run=run), sampler


def gradient_clipped_at_twice(audited: Audited) -> Audited:
    """A gradient is clipped at twice the norm that the noise is for."""
    subject, sampler = audited

    def sum_doubled(batches: Any, hidden: Any, output: Any, clip: Clip) -> torch.Tensor:
        return sum_gradients(batches, hidden, output, Clip(norm=2 * clip.norm, bound=2 * clip.bound))

    run = _within(subject.run, scoring.network.fitting, "sum_gradients", sum_doubled)
    return replace(subject, run=run), sampler


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What is audited, and what is planted under it."""

    subject: Callable[[int], Subject[Records]]
    plant: Callable[[Audited], Audited]


FAULTS = {
    "none": Fault(subject=scorecard_subject, plant=no_fault),
    "half the sigma": Fault(subject=scorecard_subject, plant=half_sigma),
    "a record clipped at twice the bound": Fault(subject=scorecard_subject, plant=clipped_at_twice),
    "a histogram counted twice": Fault(subject=scorecard_subject, plant=histogram_counted_twice),
    "a histogram released twice, charged once": Fault(subject=scorecard_subject, plant=histogram_released_twice),
    "one uncharged release, noised": Fault(subject=scorecard_subject, plant=uncharged_draw),
    "one uncharged release, noised elsewhere": Fault(subject=scorecard_subject, plant=uncharged_own_noise),
    "one uncharged release, exact": Fault(subject=scorecard_subject, plant=uncharged_exact),
    "network: none": Fault(subject=network_subject, plant=no_fault),
    "network: half the sigma": Fault(subject=network_subject, plant=half_sigma),
    "network: a gradient clipped at twice the bound": Fault(subject=network_subject, plant=gradient_clipped_at_twice),
}
TRUE = tuple(name for name, fault in FAULTS.items() if fault.plant is no_fault)


def audit_fault(name: str, seed: int, sampler: Sampler | None = None, extent: Extent = SHORT) -> list[Finding]:
    """What the audit finds where a fault is planted; whole runs only if no other check fails."""
    fault = FAULTS[name]
    subject = fault.subject(seed)
    if sampler is None:
        sampler = SystemSampler() if fault.subject is scorecard_subject else SystemTableSampler()
    subject, sampler = fault.plant((subject, sampler))
    subject = replace(subject, neighbours=subject.neighbours[:: extent.neighbour_stride])
    findings = audit_subject(
        subject, sampler, runs=extent.runs, transcript_runs=0, noised_prefixes=extent.noised_prefixes
    )
    if all(finding.holds for finding in findings) and fault.subject is scorecard_subject:
        findings += audit_subject(subject, sampler, runs=extent.runs, transcript_runs=extent.runs, noised_prefixes=0)
    return findings


def _patched(audited: Audited, owner: object, name: str, replacement: Callable[..., Any]) -> Audited:
    """The fit with one of the functions that a module of it calls replaced."""
    subject, sampler = audited
    return replace(subject, run=_within(subject.run, owner, name, replacement)), sampler


def _within(run: Run, owner: object, name: str, replacement: Callable[..., Any]) -> Run:
    def patched_run(records: Records, releases: Releases, random_bytes: Callable[[int], bytes]) -> Hashable:
        with mock.patch.object(owner, name, replacement):
            return run(records, releases, random_bytes)

    return patched_run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    caught: dict[str, int] = dict.fromkeys(FAULTS, 0)
    checks: dict[str, dict[str, int]] = {fault: {} for fault in FAULTS}
    least_power = 1.0
    with ProcessPoolExecutor(
        options.processes, mp_context=get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        started = {
            (fault, seed): pool.submit(audit_fault, fault, seed)
            for seed in range(1, options.seeds + 1)
            for fault in FAULTS
        }
        for (fault, _), future in started.items():
            findings = future.result()
            failed = {finding.check for finding in findings if not finding.holds}
            caught[fault] += bool(failed)
            for check in failed:
                checks[fault][check] = checks[fault].get(check, 0) + 1
            if fault in TRUE:
                least_power = min(least_power, *(min(one.powers.values()) for one in findings if one.powers))
    print(
        json.dumps(
            {
                "seeds": options.seeds,
                "runs": SHORT.runs,
                "least_power": least_power,
                "caught": caught,
                "failed_checks": checks,
            },
            indent=2,
        )
    )
    return 0 if all(count == (0 if fault in TRUE else options.seeds) for fault, count in caught.items()) else 1


if __name__ == "__main__":
    sys.exit(main())
