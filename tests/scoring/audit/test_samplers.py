"""Noise that is smaller, shared, repeated or rounded is refused; `credence audit-privacy` passes the system's own."""

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.planted_faults import HalfSigma
from scoring.audit.samplers import SIGMAS, audit_sampler
from scoring.dp.sampler import Sampler, SeededSampler


class Shared(SeededSampler):
    """Every coordinate of a vector has the same noise."""

    def add_noise(self, sums: NDArray[np.int64], *, sigma_micro: int) -> NDArray[np.int64]:
        return sums + super().add_noise(np.zeros(1, dtype=np.int64), sigma_micro=sigma_micro)


class Repeated(SeededSampler):
    """Every call has the noise of the first."""

    def add_noise(self, sums: NDArray[np.int64], *, sigma_micro: int) -> NDArray[np.int64]:
        return SeededSampler(8).add_noise(sums, sigma_micro=sigma_micro)


class Alternating(SeededSampler):
    """The right noise, of which each coordinate is the last one's opposite."""

    def add_noise(self, sums: NDArray[np.int64], *, sigma_micro: int) -> NDArray[np.int64]:
        noise = super().add_noise(np.zeros(len(sums) // 2, dtype=np.int64), sigma_micro=sigma_micro)
        return sums + np.stack([noise, -noise], axis=1).flatten()


@pytest.mark.parametrize(
    "sampler",
    [
        HalfSigma(sampler=SeededSampler(1)),
        Shared(1),
        Repeated(1),
        Alternating(1),
        SeededSampler(1, noiseless=True),
    ],
    ids=lambda sampler: type(sampler).__name__,
)
def test_a_sampler_with_a_fault_is_refused_at_every_deviation(sampler: Sampler) -> None:
    findings = audit_sampler(sampler, name="a", sigmas=SIGMAS[1:])
    for distribution, memory in zip(findings[::2], findings[1::2], strict=True):
        assert not (distribution.holds and memory.holds)


def test_a_rounded_normal_is_refused_where_it_differs() -> None:
    below, above = (audit_sampler(SeededSampler(1), name="a", sigmas=[sigma])[0] for sigma in (0.6, 7.0))
    assert not below.holds
    assert above.holds
