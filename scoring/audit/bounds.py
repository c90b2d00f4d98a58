"""From how often two neighbouring data sets are told apart to a lower bound on what one person moves, in mu.

mu is the distance of two normals of deviation 1 that would be as hard to tell apart (Dong, Roth, Su 2019). A test
that says "with the person" in a share TPR of the runs with, and FPR of the runs without, shows
mu >= probit(TPR) - probit(FPR); the bound takes both at the unfavourable end of exact binomial intervals.
"""

import math
from collections.abc import Iterable
from statistics import NormalDist

import numpy as np
from scipy.stats import beta, binom, norm

from scoring.card import Mechanism

CONFIDENCE = 0.99
"""Of both intervals together; half of what is left of 1 is each one's."""
LEAST_POWER = 0.999
MICRO = 10**6


def lower_bound(hits: int, false_alarms: int, runs: int) -> float:
    """mu at least, at 99% confidence: `hits` of so many runs with the person, `false_alarms` of as many without.

    Source: Clopper, Pearson 1934, for each of the two shares.
    """
    bound = _hits_side(np.array([hits]), runs) - _false_alarms_side(np.array([false_alarms]), runs)
    return max(float(bound[0]), 0.0)


def power(*, claim: float, mu: float, runs: int) -> float:
    """The chance that a likelihood ratio test of so many runs bounds a mechanism of `mu` above `claim`.

    Exact for the two binomials, with log likelihood ratios taken as normal, and the threshold in the middle.
    """
    shares = norm.cdf(mu / 2), norm.cdf(-mu / 2)
    hits, false_alarms = (_likely(runs, share) for share in shares)
    # The bound falls as false alarms rise: for each number of hits, up to how many of them leave it above the claim.
    needed = _hits_side(hits, runs) - claim
    caught = np.searchsorted(_false_alarms_side(false_alarms, runs), needed, side="left")
    chance_of_fewer = np.concatenate([[0.0], binom.cdf(false_alarms, runs, shares[1])])
    return float((binom.pmf(hits, runs, shares[0]) * chance_of_fewer[caught]).sum())


def claimed_mu(mechanisms: Iterable[Mechanism], *, rows_per_person: int) -> float:
    """What releases together may let one person move, as a card lists them.

    A discrete Gaussian of deviation s is a post-processing of a normal of variance s^2 - 1 but for a factor of
    1 +- 3e-8 a coordinate in each probability: round a normal to the integers by a discrete Gaussian of deviation 1
    (Poisson summation, 2 exp(-2 pi^2) = 5.4e-9). Far below what an audit resolves, so its mu is that normal's.
    """
    return math.sqrt(sum(one.releases * mu_squared(one, rows_per_person=rows_per_person) for one in mechanisms))


def mu_squared(mechanism: Mechanism, *, rows_per_person: int) -> float:
    """Of one release of a kind; infinite where the noise's deviation is 1 or less, of which this bound says nothing."""
    if not mechanism.sensitivity_squared:
        return 0.0
    variance = (mechanism.sigma_micro / MICRO) ** 2 - 1
    return mechanism.sensitivity_squared * rows_per_person**2 / variance if variance > 0 else math.inf


def epsilon_of_mu(mu: float, delta: float) -> float:
    """The least epsilon at which two normals at a distance of mu are (epsilon, delta)-close.

    delta = Phi(mu / 2 - epsilon / mu) - e^epsilon Phi(-mu / 2 - epsilon / mu). Source: Balle, Wang 2018.
    """
    if mu <= 0:
        return 0.0
    low, high = 0.0, mu * mu / 2 + mu * NormalDist().inv_cdf(1 - delta) + 1
    for _ in range(60):
        middle = (low + high) / 2
        left = norm.cdf(mu / 2 - middle / mu)
        right = math.exp(middle + float(norm.logcdf(-mu / 2 - middle / mu)))
        low, high = (low, middle) if left - right <= delta else (middle, high)
    return high


def _hits_side(hits: np.ndarray, runs: int) -> np.ndarray:
    """Probit of the least share of hits; minus infinity where there is none."""
    least = np.where(hits > 0, beta.ppf((1 - CONFIDENCE) / 2, np.maximum(hits, 1), runs - hits + 1), 0.0)
    return np.asarray(norm.ppf(least))


def _false_alarms_side(false_alarms: np.ndarray, runs: int) -> np.ndarray:
    """Probit of the greatest share of false alarms; infinity where there may be nothing else."""
    quiet = runs - false_alarms
    most = np.where(quiet > 0, beta.ppf((1 + CONFIDENCE) / 2, false_alarms + 1, np.maximum(quiet, 1)), 1.0)
    return np.asarray(norm.ppf(most))


def _likely(runs: int, share: float) -> np.ndarray:
    """Every count within nine deviations of its mean."""
    reach = 9 * math.sqrt(runs * share * (1 - share)) + 9
    return np.arange(max(0, math.floor(runs * share - reach)), min(runs, math.ceil(runs * share + reach)) + 1)
