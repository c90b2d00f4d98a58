"""Lower bounds from counts, the chance of catching a fault, and what a discrete Gaussian may be claimed to hide."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from scoring.audit.bounds import claimed_mu, epsilon_of_mu, lower_bound, power
from scoring.audit.samplers import discrete_gaussian
from scoring.card import Mechanism


def counts(mu: float, runs: int) -> tuple[int, int]:
    """What is expected of a mechanism of mu."""
    return round(runs * norm.cdf(mu / 2)), round(runs * norm.cdf(-mu / 2))


def test_the_bounds_of_the_notes() -> None:
    """notes/privacy.md: at a claimed mu of .268 correct noise shows .205 and half the noise .476, in 10,000 runs."""
    assert lower_bound(*counts(0.268, 10_000), 10_000) == pytest.approx(0.205, abs=0.01)
    assert lower_bound(*counts(0.536, 10_000), 10_000) == pytest.approx(0.476, abs=0.01)


def test_certainty_is_bounded_by_how_often_it_was_seen() -> None:
    share = 0.005 ** (1 / 500)  # Clopper-Pearson where nothing was missed
    assert lower_bound(500, 0, 500) == pytest.approx(2 * norm.ppf(share))
    assert lower_bound(0, 500, 500) == lower_bound(250, 250, 500) == 0.0


def test_a_bound_is_passed_by_the_truth_in_far_less_than_one_of_a_hundred() -> None:
    generator = np.random.default_rng(3)
    hits = generator.binomial(2_000, norm.cdf(0.5), 500)
    false_alarms = generator.binomial(2_000, norm.cdf(-0.5), 500)
    passed = sum(lower_bound(h, f, 2_000) > 1.0 for h, f in zip(hits.tolist(), false_alarms.tolist(), strict=True))
    assert passed <= 1


@pytest.mark.parametrize(("claim", "mu", "runs"), [(1.0, 1.35, 1_000), (3.0, 4.0, 400), (0.0, 0.3, 900)])
def test_the_power_is_how_often_a_fault_is_caught(claim: float, mu: float, runs: int) -> None:
    generator = np.random.default_rng(5)
    hits = generator.binomial(runs, norm.cdf(mu / 2), 300)
    false_alarms = generator.binomial(runs, norm.cdf(-mu / 2), 300)
    caught = np.mean(
        [lower_bound(h, f, runs) > claim for h, f in zip(hits.tolist(), false_alarms.tolist(), strict=True)]
    )
    chance = power(claim=claim, mu=mu, runs=runs)
    assert 0.05 < chance < 0.999
    assert caught == pytest.approx(chance, abs=0.1)


def test_more_runs_and_worse_faults_are_caught_surely_and_the_truth_is_not() -> None:
    assert power(claim=0.268, mu=0.536, runs=10_000) > 0.999
    assert power(claim=0.268, mu=0.268, runs=10_000) < 0.001
    assert power(claim=3.0, mu=3.1, runs=100) < 0.01
    assert power(claim=0.0, mu=0.0, runs=100) < 0.01


@pytest.mark.parametrize("sigma", [1.2, 1.8, 3.0, 20.0])
@pytest.mark.parametrize("moved", [1, 2, 7])
def test_no_threshold_tells_discrete_gaussians_apart_better_than_is_claimed(sigma: float, moved: int) -> None:
    """At mu = moved / sigma some would: between its integers a discrete Gaussian is not a normal."""
    mechanism = Mechanism(name="one", releases=1, sensitivity_squared=moved**2, scale=1, sigma_micro=round(sigma * 1e6))
    claim = claimed_mu([mechanism], rows_per_person=1)
    _, probabilities = discrete_gaussian(sigma)
    tail = np.cumsum(probabilities[::-1])[::-1]
    hits, false_alarms = tail[: len(tail) - moved], tail[moved:]
    seen = (false_alarms > 1e-12) & (hits < 1 - 1e-12)
    shown = float((norm.ppf(hits[seen]) - norm.ppf(false_alarms[seen])).max())
    assert shown <= claim * (1 + 1e-6)
    assert shown > moved / sigma
    assert claim == pytest.approx(moved / math.sqrt(sigma**2 - 1))


def test_claims_add_up_in_squares_and_rows_of_a_person_count() -> None:
    mechanism = Mechanism(name="one", releases=4, sensitivity_squared=9, scale=1, sigma_micro=10_000_000)
    assert claimed_mu([mechanism, mechanism], rows_per_person=2) == pytest.approx(math.sqrt(8 * 9 * 4 / 99))
    bare = Mechanism(name="one", releases=1, sensitivity_squared=1, scale=1, sigma_micro=1_000_000)
    assert claimed_mu([bare], rows_per_person=1) == math.inf


def test_epsilon_of_the_analytic_gaussian_mechanism() -> None:
    """Balle and Wang 2018: epsilon 1 at delta 1e-5 takes a deviation of 3.730632."""
    assert epsilon_of_mu(1 / 3.730632, 1e-5) == pytest.approx(1.0, abs=1e-5)
    assert epsilon_of_mu(0.0, 1e-5) == 0.0
