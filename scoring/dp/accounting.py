"""Zero-concentrated differential privacy: what a release costs, how costs add up, what they mean as (epsilon, delta).

Costs are whole trillionths of rho (`rho_e12`) and noise is whole millionths of a unit (`sigma_micro`), so that a
sum of charges is exact and a certificate can be checked in integers. Wherever a real number is rounded it is
rounded against us: costs up, what a budget buys down, noise up.
"""

import math

from scoring.errors import PrivacyParametersInvalid

MAX_EPSILON_MICRO = 100_000_000
MAX_RHO_E12 = 60 * 10**12
_E12 = 10**12
_SLACK = 1e-9
"""Relative; far above the rounding error of the few dozen double operations of a conversion."""


def gaussian_rho_e12(*, sensitivity_squared: int, sigma_micro: int) -> int:
    """rho of a discrete Gaussian over an integer vector: sensitivity^2 / (2 sigma^2), rounded up.

    Source: Canonne, Kamath, Steinke 2020, on the multivariate discrete Gaussian.
    """
    return -(-(sensitivity_squared * 10**24) // (2 * sigma_micro**2))


def gaussian_sigma_micro(*, sensitivity_squared: int, rho_e12: int) -> int:
    """The least noise whose `gaussian_rho_e12` is within a share of rho."""
    if sensitivity_squared < 1 or rho_e12 < 1:
        raise PrivacyParametersInvalid
    least_squared = -(-(sensitivity_squared * 10**24) // (2 * rho_e12))
    return math.isqrt(least_squared - 1) + 1


def delta_of_rho(rho: float, epsilon: float) -> float:
    """The least delta at which rho-zCDP is shown to be (epsilon, delta)-DP.

    inf over a > 1 of exp((a-1)(a rho - epsilon)) / (a-1) (1 - 1/a)^a. Source: Canonne, Kamath, Steinke 2020,
    section 2.3. Every a gives a valid bound, so a search that stops early only loses tightness.
    """
    if rho <= 0:
        return 0.0

    low, high = math.log(1e-6), math.log(2 + (epsilon + 1) / rho)
    for _ in range(50):  # the logarithm is convex in a; where its slope changes sign, it is least
        middle = (low + high) / 2
        less_one = math.exp(middle)  # a - 1
        slope = (1 + 2 * less_one) * rho - epsilon + math.log(less_one / (1 + less_one))
        low, high = (middle, high) if slope < 0 else (low, middle)
    less_one = math.exp((low + high) / 2)
    a = 1 + less_one
    log_delta = less_one * (a * rho - epsilon) - math.log(less_one) + a * math.log(less_one / a)
    return math.exp(min(0.0, log_delta))


def epsilon_micro_of_rho(rho_e12: int, delta_e12: int) -> int:
    """The epsilon of a spent rho at a delta, rounded up; raises PrivacyParametersInvalid out of range."""
    if not 0 <= rho_e12 <= MAX_RHO_E12 or not 1 <= delta_e12 < _E12:
        raise PrivacyParametersInvalid
    low, high = -1, 3 * MAX_EPSILON_MICRO
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _is_within(rho_e12, middle, delta_e12) else (middle, high)
    return high


def budget_rho_e12(epsilon_micro: int, delta_e12: int) -> int:
    """The most rho that stays within (epsilon, delta), rounded down; raises PrivacyParametersInvalid out of range."""
    if not 1 <= epsilon_micro <= MAX_EPSILON_MICRO or not 1 <= delta_e12 < _E12:
        raise PrivacyParametersInvalid
    low, high = 0, MAX_RHO_E12
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _is_within(middle, epsilon_micro, delta_e12) else (low, middle)
    return low


def _is_within(rho_e12: int, epsilon_micro: int, delta_e12: int) -> bool:
    return delta_of_rho(rho_e12 / _E12 * (1 + _SLACK), epsilon_micro / 1e6) <= delta_e12 / _E12 * (1 - _SLACK)
