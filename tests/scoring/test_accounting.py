"""Our epsilon is an upper bound, a few percent above the tightest known, and dp-accounting's agrees."""

import math

import dp_accounting
import pytest
from dp_accounting.pld import privacy_loss_distribution
from dp_accounting.rdp import RdpAccountant
from hypothesis import given
from hypothesis import strategies as st

from scoring.dp.accounting import (
    MAX_RHO_E12,
    budget_rho_e12,
    delta_of_rho,
    epsilon_micro_of_rho,
    gaussian_rho_e12,
    gaussian_sigma_micro,
)
from scoring.errors import PrivacyParametersInvalid


def test_published_figures() -> None:
    """From OpenDP's own tests of zCDP to approximate DP: noise of scale 4 at sensitivity 1."""
    assert delta_of_rho(1 / 32, 0.0) == pytest.approx(0.1508457845622862, rel=1e-9)
    assert delta_of_rho(1 / 32, 0.6880024554878086) == pytest.approx(1e-3, rel=1e-9)
    assert epsilon_micro_of_rho(31_250_000_000, 1_000_000_000) == 688_003  # rounded up


@pytest.mark.parametrize("sigma", [0.6, 1.0, 4.0, 12.0])
@pytest.mark.parametrize("delta", [1e-5, 1e-9])
def test_epsilon_bounds_the_exact_one_of_the_discrete_gaussian(sigma: float, delta: float) -> None:
    """dp-accounting's privacy loss distribution of the discrete mechanism itself, pessimistic by its grid."""
    rho_e12 = gaussian_rho_e12(sensitivity_squared=1, sigma_micro=round(sigma * 1e6))
    ours = epsilon_micro_of_rho(rho_e12, round(delta * 1e12)) / 1e6
    exact = privacy_loss_distribution.from_discrete_gaussian_mechanism(sigma, value_discretization_interval=1e-4)
    assert exact.get_epsilon_for_delta(delta) <= ours * 1.0005
    assert ours <= exact.get_epsilon_for_delta(delta) * (1.13 if sigma >= 1 else 1.25)


@pytest.mark.parametrize("count", [1, 40])
@pytest.mark.parametrize("sigma", [4.0, 30.0])
def test_epsilon_agrees_with_renyi_accounting(sigma: float, count: int) -> None:
    accountant = RdpAccountant(orders=[1 + 1.02**power for power in range(-300, 500)])
    accountant.compose(dp_accounting.GaussianDpEvent(sigma), count)
    rho_e12 = count * gaussian_rho_e12(sensitivity_squared=1, sigma_micro=round(sigma * 1e6))
    ours = epsilon_micro_of_rho(rho_e12, 10_000_000) / 1e6
    assert ours == pytest.approx(accountant.get_epsilon(1e-5), rel=0.003)


@pytest.mark.parametrize("epsilon", [0.5, 1.0, 3.0, 8.0])
def test_noise_for_a_budget_is_a_few_percent_above_the_analytic_gaussian(epsilon: float) -> None:
    """Balle and Wang 2018, theorem 8: the least noise of the continuous mechanism."""
    sigma = math.sqrt(1e12 / (2 * budget_rho_e12(round(epsilon * 1e6), 10_000_000)))

    def normal_cdf(x: float) -> float:
        return math.erfc(-x / math.sqrt(2)) / 2

    def delta(of_sigma: float) -> float:
        half, far = 1 / (2 * of_sigma), epsilon * of_sigma
        return normal_cdf(half - far) - math.exp(epsilon) * normal_cdf(-half - far)

    assert delta(sigma) < 1e-5
    assert delta(sigma / 1.10) > 1e-5


def test_delta_is_never_less_than_at_any_order() -> None:
    """The infimum is searched; every order is an upper bound of what is shown, so none may lie below it."""
    for rho, epsilon in ((0.03, 1.0), (0.22, 3.0), (1e-6, 0.01), (50.0, 100.0)):
        found = delta_of_rho(rho, epsilon)
        for order in (1 + 10 ** (power / 50) for power in range(-250, 300)):
            log = (order - 1) * (order * rho - epsilon) - math.log(order - 1) + order * math.log1p(-1 / order)
            assert math.log(found) <= log + 1e-6


@given(st.integers(1, 100_000_000), st.integers(1, 10**12 - 1))
def test_a_budget_buys_what_it_covers_and_not_more(epsilon_micro: int, delta_e12: int) -> None:
    rho_e12 = budget_rho_e12(epsilon_micro, delta_e12)
    assert epsilon_micro_of_rho(rho_e12, delta_e12) <= epsilon_micro
    if rho_e12 < MAX_RHO_E12 - 1:
        assert epsilon_micro_of_rho(rho_e12 + 1, delta_e12) > epsilon_micro


@given(st.integers(1, 10**15), st.integers(1, MAX_RHO_E12))
def test_noise_is_the_least_that_a_share_allows(sensitivity_squared: int, rho_e12: int) -> None:
    sigma_micro = gaussian_sigma_micro(sensitivity_squared=sensitivity_squared, rho_e12=rho_e12)
    assert gaussian_rho_e12(sensitivity_squared=sensitivity_squared, sigma_micro=sigma_micro) <= rho_e12
    if sigma_micro > 1:
        assert gaussian_rho_e12(sensitivity_squared=sensitivity_squared, sigma_micro=sigma_micro - 1) > rho_e12


def test_nothing_spent_is_nothing_known_and_nonsense_is_refused() -> None:
    assert epsilon_micro_of_rho(0, 1) == 0
    assert delta_of_rho(0.0, 1.0) == 0.0
    for epsilon_micro, delta_e12 in ((0, 1), (-1, 1), (1, 0), (1, 10**12), (10**9, 1)):
        with pytest.raises(PrivacyParametersInvalid):
            budget_rho_e12(epsilon_micro, delta_e12)
    with pytest.raises(PrivacyParametersInvalid):
        gaussian_sigma_micro(sensitivity_squared=1, rho_e12=0)
    with pytest.raises(PrivacyParametersInvalid):
        epsilon_micro_of_rho(MAX_RHO_E12 + 1, 1)
