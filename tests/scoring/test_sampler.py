"""The noise is a discrete Gaussian: chi-square against its exact probabilities, and OpenDP's own certificate."""

import math
from collections import Counter

import numpy as np
import opendp.prelude as opendp
import pytest
from scipy.stats import chi2, norm

from scoring.dp.accounting import gaussian_rho_e12, gaussian_sigma_micro
from scoring.dp.sampler import Sampler, SeededSampler, SystemSampler

DRAWS = 20_000


def chi_square_p(sampler: Sampler, sigma: float) -> float:
    """p of the draws under exp(-x^2 / 2 sigma^2), normalised over the integers; tails pooled to five a class."""
    drawn = Counter(sampler.add_noise(np.zeros(DRAWS, dtype=np.int64), sigma_micro=round(sigma * 1e6)).tolist())
    reach = math.ceil(12 * sigma)
    weights = {x: math.exp(-(x**2) / (2 * sigma**2)) for x in range(-reach, reach + 1)}
    total = sum(weights.values())
    statistic, classes, expected, observed = 0.0, 0, 0.0, 0
    for x, weight in weights.items():
        expected += DRAWS * weight / total
        observed += drawn.pop(x, 0)
        if expected >= 5:
            statistic += (observed - expected) ** 2 / expected
            classes, expected, observed = classes + 1, 0.0, 0
    assert not drawn
    assert expected < 5
    return float(chi2.sf(statistic, classes - 1))


@pytest.mark.parametrize("sigma", [0.7, 3.2, 29.5])
def test_system_noise_is_a_discrete_gaussian(sigma: float) -> None:
    assert chi_square_p(SystemSampler(), sigma) > 1e-6


def test_the_test_sampler_is_close_to_one_and_chi_square_can_tell() -> None:
    assert chi_square_p(SeededSampler(1), 29.5) > 1e-6
    assert chi_square_p(SeededSampler(1), 0.7) < 1e-6  # a rounded normal is not a discrete Gaussian
    assert chi_square_p(SeededSampler(1, noiseless=True), 3.2) < 1e-6


def test_wide_noise_has_its_deviation_and_no_memory() -> None:
    noise = SystemSampler().add_noise(np.zeros(DRAWS, dtype=np.int64), sigma_micro=50_000 * 10**6)
    assert abs(noise.std() / 50_000 - 1) < norm.isf(1e-7) / math.sqrt(2 * DRAWS)
    assert abs(np.corrcoef(noise[:-1], noise[1:])[0, 1]) < norm.isf(1e-7) / math.sqrt(DRAWS)


def test_noise_is_added_to_each_sum_and_never_repeats() -> None:
    sums = np.array([10**12, -(10**12), 0])
    one, two = (SystemSampler().add_noise(sums, sigma_micro=10**9) for _ in range(2))
    assert (abs(one - sums) < 20_000).all()
    assert (one != two).any()


def test_opendp_certifies_no_more_than_we_charge() -> None:
    for sensitivity_squared, rho_e12 in ((1, 6 * 10**8), (36, 11 * 10**9), (2**20, 4 * 10**8)):
        sigma_micro = gaussian_sigma_micro(sensitivity_squared=sensitivity_squared, rho_e12=rho_e12)
        space = opendp.vector_domain(opendp.atom_domain(T=opendp.i64)), opendp.l2_distance(T=opendp.f64)
        measurement = opendp.m.make_gaussian(*space, scale=math.nextafter(sigma_micro / 1e6, math.inf))
        cost = gaussian_rho_e12(sensitivity_squared=sensitivity_squared, sigma_micro=sigma_micro)
        assert measurement.map(math.sqrt(sensitivity_squared)) <= cost / 1e12 * (1 + 1e-12)
        assert cost <= rho_e12


def test_only_the_system_sampler_says_it_is_the_system() -> None:
    assert SystemSampler().source == "os"
    assert SeededSampler(0).source == "seeded"
    assert SeededSampler(0, noiseless=True).source == "none"
    one, two = (SeededSampler(5).add_noise(np.arange(9), sigma_micro=10**7) for _ in range(2))
    assert (one == two).all()
