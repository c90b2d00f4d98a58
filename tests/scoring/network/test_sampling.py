"""Sampled steps: the coins, the accountant beside dp-accounting's, and the padded batches."""

import math
from collections.abc import Callable

import dp_accounting
import numpy as np
import pytest
import torch
from dp_accounting.pld import PLDAccountant
from scipy.stats import binomtest, chi2

from scoring.dp.sampler import SeededSampler
from scoring.errors import PrivacyParametersInvalid, ReleaseUncharged
from scoring.evaluation.contenders import seeded_bytes
from scoring.network.cuda import CapturedSums
from scoring.network.fitting import build_batches, sum_gradients
from scoring.network.gradients import BLOCK_ROWS, Clip
from scoring.network.sampling import (
    LEAST_VARIANCE,
    SMOOTHING,
    Claim,
    PersonSampler,
    SampledReleases,
    epsilon_of,
    find_noise,
    noise_multiplier,
)


def exact_epsilon(history: list[tuple[float, float, int]], delta: float) -> float:
    """dp-accounting's privacy loss distributions, of both directions, pessimistic by their grid."""
    accountant = PLDAccountant(value_discretization_interval=1e-3)
    for noise, rate, count in history:
        event = dp_accounting.GaussianDpEvent(noise)
        accountant.compose(dp_accounting.PoissonSampledDpEvent(rate, event) if rate < 1 else event, count)
    return float(accountant.get_epsilon(delta))


@pytest.mark.parametrize(
    "history", [[(2.0, 0.05, 100)], [(5.0, 0.25, 100), (12.0, 1.0, 1), (40.0, 1.0, 1)], [(1.2, 0.01, 300)]]
)
def test_our_epsilon_is_an_upper_bound_close_to_dp_accountings(history: list[tuple[float, float, int]]) -> None:
    ours, theirs = epsilon_of(history, delta=1e-5), exact_epsilon(history, 1e-5)
    assert theirs * 0.999 <= ours <= theirs + 0.025


def test_the_noise_that_is_found_holds_the_claim_and_little_more() -> None:
    claim = Claim(epsilon_micro=3_000_000, delta_e12=10_000_000, rate_ppm=100_000)
    noise = find_noise(claim, steps=50)
    assert exact_epsilon([(noise, 0.1, 50)], 1e-5) <= 3.0
    assert exact_epsilon([(noise * 0.94, 0.1, 50)], 1e-5) > 3.0


def test_no_noise_holds_a_claim_that_the_rest_has_spent() -> None:
    with pytest.raises(PrivacyParametersInvalid):
        find_noise(Claim(epsilon_micro=100_000, delta_e12=10_000_000, rate_ppm=500_000), steps=10, whole=(1.0,))


@pytest.mark.parametrize(
    "members",
    [
        {"rate_ppm": 0},
        {"rate_ppm": 1_000_001},
        {"epsilon_micro": 0},
        {"delta_e12": 0},
        {"delta_e12": 10**12},
    ],
)
def test_a_claim_is_within_its_ranges(members: dict[str, int]) -> None:
    with pytest.raises(PrivacyParametersInvalid):
        Claim(**{"epsilon_micro": 1, "delta_e12": 1, "rate_ppm": 1_000, **members})


def test_the_smoothed_noise_of_a_discrete_gaussian_is_a_little_less() -> None:
    assert noise_multiplier(sigma_micro=10_000_000, sensitivity_squared=4) == pytest.approx(math.sqrt(96 / 4))
    with pytest.raises(PrivacyParametersInvalid):
        noise_multiplier(sigma_micro=int(math.sqrt(LEAST_VARIANCE) * 1e6) - 1, sensitivity_squared=1)


# Coins


def test_persons_are_drawn_whole_each_alike_and_anew() -> None:
    persons = [str(number % 400) for number in range(1_000)]  # two or three rows each
    sampler = PersonSampler(persons, rate_ppm=300_000, random_bytes=seeded_bytes(1))
    drawn = np.zeros((500, 400), dtype=np.int64)
    for turn in range(500):
        rows = sampler.draw()
        chosen = {persons[row] for row in rows.tolist()}
        assert rows.tolist() == [row for row, person in enumerate(persons) if person in chosen]
        drawn[turn, [int(person) for person in chosen]] = 1
    assert binomtest(int(drawn.sum()), drawn.size, 0.3).pvalue > 1e-6
    expected = 500 * 0.3
    statistic = ((drawn.sum(axis=0) - expected) ** 2 / (expected * 0.7)).sum()
    assert 1e-6 < chi2.sf(statistic, 400) < 1 - 1e-6
    together = (drawn[:, ::2] * drawn[:, 1::2]).sum()  # two persons' coins are their own
    assert binomtest(int(together), drawn.size // 2, 0.09).pvalue > 1e-6
    again = (drawn[:-1] * drawn[1:]).sum()  # and those of two turns
    assert binomtest(int(again), drawn.size - 400, 0.09).pvalue > 1e-6


def test_a_coin_falls_at_its_rate_and_never_above() -> None:
    below = 250_000 * 2**64 // 1_000_000
    coins = np.array([0, below - 1, below, 2**64 - 1], dtype=np.uint64).tobytes()

    def give(count: int) -> bytes:
        assert count == len(coins)
        return coins

    def sample(rate_ppm: int, random_bytes: Callable[[int], bytes] = give) -> list[int]:
        return PersonSampler(list("abcd"), rate_ppm=rate_ppm, random_bytes=random_bytes).draw().tolist()

    assert sample(250_000) == [0, 1]
    assert sample(1_000_000) == [0, 1, 2, 3]
    assert PersonSampler([], rate_ppm=250_000, random_bytes=bytes).draw().tolist() == []


# Sums and releases


@pytest.mark.parametrize("count", [0, 1, BLOCK_ROWS, BLOCK_ROWS + 5])
def test_padded_batches_add_nothing_and_leave_nothing_out(count: int) -> None:
    """The sums that a device captures, run uncaptured: the same integers as without padding."""
    source = np.random.default_rng(3)
    inputs = torch.from_numpy(source.integers(-(2**16), 2**16, (6, 6_000)).astype(np.float64))
    inputs[-1] = 2**16
    labels = torch.from_numpy(source.integers(0, 2, 6_000).astype(np.float64))
    hidden, output = (source.integers(-(2**19), 2**19, shape).astype(np.int32) for shape in ((3, 6), 9))
    rows = np.sort(source.permutation(6_000)[:count])
    clip = Clip(norm=1.0, bound=2**24)
    captured = CapturedSums(inputs, labels, units=3, clip=clip)
    wanted = sum_gradients(build_batches(inputs[:, rows], labels[rows]), hidden, output, clip)
    assert torch.equal(captured.sum(hidden, output, rows), wanted)
    assert torch.equal(captured.sum(hidden, output, rows), wanted)  # nothing is left of the call before
    assert bool(wanted.any()) == (count > 0)


def test_one_release_more_than_was_accounted_is_refused() -> None:
    sampled = SampledReleases(sampler=SeededSampler(1), noise=3.0, most=2, rows_per_person=2)
    noised = [sampled.release_step(np.zeros(5_000, dtype=np.int64), bound=2**10) for _ in range(2)]
    assert noised[0].sigma == pytest.approx(math.sqrt((3 * 2**10 * 2) ** 2 + SMOOTHING), rel=1e-9)
    assert np.std(noised[1].values) == pytest.approx(noised[0].sigma, rel=0.1)
    with pytest.raises(ReleaseUncharged):
        sampled.release_step(np.array([0]), bound=2**10)
    too_little = SampledReleases(sampler=SeededSampler(1), noise=0.1, most=9, rows_per_person=1)
    with pytest.raises(ReleaseUncharged):
        too_little.release_step(np.array([0]), bound=1)
