"""Faults planted under the audit, which has to catch each: whether it does, seed by seed, and by which checks.

    python -m bench.planted_faults [--seeds 20] [--runs 250] [--processes 2]

Prints JSON. Each fault is put beneath the real fit and the real sampler from here; no product code has a switch for
one. The exit code is 0 where every fault was caught in every seed, and nothing was found where there was no fault.
"""

import argparse
import json
import sys
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from typing import Any
from unittest import mock

import numpy as np
import torch

import scoring.fitting
from scoring.audit.finding import Finding
from scoring.audit.releases import audit_subject
from scoring.audit.subjects import scorecard_subject
from scoring.audit.transcript import Subject
from scoring.dp.mechanisms import RESIDUAL_SCALE, NoisedSum, Releases, count_cells
from scoring.dp.sampler import Sampler, SystemSampler
from scoring.evidence import fit_slope
from scoring.fitting import Records

Audited = tuple[Subject[Records], Sampler]
Run = Callable[[Records, Releases, Callable[[int], bytes]], Hashable]


@dataclass(frozen=True, kw_only=True)
class HalfSigma:
    """A sampler that adds half the noise it is asked for."""

    sampler: Sampler

    @property
    def source(self) -> str:
        return self.sampler.source

    def add_noise(self, sums: Sequence[int], *, sigma_micro: int) -> list[int]:
        return self.sampler.add_noise(sums, sigma_micro=sigma_micro // 2)


def no_fault(audited: Audited) -> Audited:
    return audited


def half_sigma(audited: Audited) -> Audited:
    subject, sampler = audited
    return subject, HalfSigma(sampler=sampler)


def clipped_at_twice(audited: Audited) -> Audited:
    """A residual is doubled before it is clipped, and the bound is twice what the noise is for."""

    def quantise(labels: torch.Tensor, pd_ppm: torch.Tensor) -> torch.Tensor:
        exact = 2 * (labels * 1_000_000 - pd_ppm) * RESIDUAL_SCALE
        return torch.div(exact, 1_000_000, rounding_mode="floor").clamp(-2 * RESIDUAL_SCALE, 2 * RESIDUAL_SCALE)

    return _patched(audited, "quantise_residuals", quantise)


def histogram_counted_twice(audited: Audited) -> Audited:
    """A row's cells are counted twice."""
    return _patched(audited, "count_cells", lambda *of: 2 * count_cells(*of))


def histogram_released_twice(audited: Audited) -> Audited:
    """The cells are noised a second time within the same charge, and the mean of both is used."""

    release = Releases.release

    def release_twice(self: Releases, name: str, sums: torch.Tensor, **how: Any) -> NoisedSum:
        first = release(self, name, sums, **how)
        if name != "cell_counts":
            return first
        second = self.sampler.add_noise(sums.flatten().tolist(), sigma_micro=round(first.sigma * 1e6))
        return NoisedSum(
            values=[(one + other) // 2 for one, other in zip(first.values, second, strict=True)], sigma=first.sigma
        )

    subject, sampler = audited
    return replace(subject, run=_within(subject.run, Releases, "release", release_twice)), sampler


def uncharged_draw(audited: Audited) -> Audited:
    """One noised sum more, straight from the sampler: the number of bad rows."""
    subject, sampler = audited

    def run(records: Records, releases: Releases, random_bytes: Callable[[int], bytes]) -> Hashable:
        result = subject.run(records, releases, random_bytes)
        return result, tuple(releases.sampler.add_noise([int(records.labels.sum())], sigma_micro=9_000_000))

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
        def fit(counts: Any, middles: Any, *, sigma: float) -> tuple[float, float]:
            slope, intercept = fit_slope(counts, middles, sigma=sigma)
            return slope, intercept + len(records.labels) / 100

        return _within(subject.run, scoring.fitting, "fit_slope", fit)(records, releases, random_bytes)

    return replace(subject, run=run), sampler


FAULTS: dict[str, Callable[[Audited], Audited]] = {
    "none": no_fault,
    "half the sigma": half_sigma,
    "a record clipped at twice the bound": clipped_at_twice,
    "a histogram counted twice": histogram_counted_twice,
    "a histogram released twice, charged once": histogram_released_twice,
    "one uncharged release, noised": uncharged_draw,
    "one uncharged release, noised elsewhere": uncharged_own_noise,
    "one uncharged release, exact": uncharged_exact,
}


def audit_fault(fault: str, seed: int, runs: int) -> list[Finding]:
    """What the audit finds where a fault is planted under the scorecard; whole runs only if no other check fails."""
    torch.set_num_threads(1)
    subject, sampler = FAULTS[fault]((scorecard_subject(seed), SystemSampler()))
    findings = audit_subject(subject, sampler, runs=runs, transcript_runs=0)
    if any(not finding.holds for finding in findings):
        return findings
    return audit_subject(subject, sampler, runs=runs)


def _patched(audited: Audited, name: str, replacement: Callable[..., Any]) -> Audited:
    """The fit with one of the functions that it calls replaced."""
    subject, sampler = audited
    return replace(subject, run=_within(subject.run, scoring.fitting, name, replacement)), sampler


def _within(run: Run, owner: object, name: str, replacement: Callable[..., Any]) -> Run:
    def patched_run(records: Records, releases: Releases, random_bytes: Callable[[int], bytes]) -> Hashable:
        with mock.patch.object(owner, name, replacement):
            return run(records, releases, random_bytes)

    return patched_run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--runs", type=int, default=250, help="of the whole fit, on either data set")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    caught: dict[str, int] = dict.fromkeys(FAULTS, 0)
    checks: dict[str, dict[str, int]] = {fault: {} for fault in FAULTS}
    least_power = 1.0
    with ProcessPoolExecutor(options.processes, mp_context=get_context("spawn")) as pool:
        started = {
            (fault, seed): pool.submit(audit_fault, fault, seed, options.runs)
            for seed in range(1, options.seeds + 1)
            for fault in FAULTS
        }
        for (fault, _), future in started.items():
            findings = future.result()
            failed = {finding.check for finding in findings if not finding.holds}
            caught[fault] += bool(failed)
            for check in failed:
                checks[fault][check] = checks[fault].get(check, 0) + 1
            if fault == "none":
                least_power = min(least_power, *(min(one.powers.values()) for one in findings if one.powers))
    print(
        json.dumps(
            {
                "seeds": options.seeds,
                "runs": options.runs,
                "least_power": least_power,
                "caught": caught,
                "failed_checks": checks,
            },
            indent=2,
        )
    )
    missed = any(count < options.seeds for fault, count in caught.items() if fault != "none")
    return 1 if missed or caught["none"] else 0


if __name__ == "__main__":
    sys.exit(main())
