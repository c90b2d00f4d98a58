"""Steps on Poisson samples of persons, for sets too large to be walked whole at each step, and what they cost.

A full step is worth more (docs/adr/0015-network-challenger.md), so training through the ledger takes nothing else, and
its cost is a rho. What is here is for public data and for whoever has more rows than time: coins by the operating
system, and the accountant of privacy loss distributions (Gopi, Lee, Wutschitz 2021), whose claim is one (epsilon,
delta) for the whole fit, which no sum of rhos can hold.
"""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoring.dp.mechanisms import NoisedSum
from scoring.dp.sampler import Sampler
from scoring.errors import PrivacyParametersInvalid, ReleaseUncharged

COIN_BITS = 64
LEAST_RATE_PPM = 1_000
SMOOTHING = 4
"""A discrete Gaussian over integers is the continuous one of so much less variance, rounded to an integer by a
discrete Gaussian of this variance about it, within a factor of 1 +- 10^-24 at every integer (Poisson's summation
formula, as in scoring/dp/convolution.py). Rounding is post-processing, so the continuous accountant holds for it."""
LEAST_VARIANCE = 16
"""In integer units; below it that factor grows."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """The (epsilon, delta) of a whole fit whose steps see each person with a chance of `rate_ppm` / 10^6."""

    epsilon_micro: int
    delta_e12: int
    rate_ppm: int

    def __post_init__(self) -> None:
        if not LEAST_RATE_PPM <= self.rate_ppm <= 1_000_000:
            raise PrivacyParametersInvalid
        if self.epsilon_micro < 1 or not 1 <= self.delta_e12 < 10**12:
            raise PrivacyParametersInvalid


def epsilon_of(history: Sequence[tuple[float, float, int]], *, delta: float, error: float = 0.01) -> float:
    """An upper bound on epsilon, at most `error` above the exact one, of (noise multiplier, rate, steps) in a row.

    Opacus's PRV accountant; its `gdp` accountant is an approximation that lies below the truth.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from opacus.accountants import PRVAccountant

        accountant = PRVAccountant()
        accountant.history = list(history)
        return float(accountant.get_epsilon(delta=delta, eps_error=error))


def find_noise(claim: Claim, *, steps: int, whole: Sequence[float] = ()) -> float:
    """A noise multiplier of the sampled steps at which the claim holds, within 2% of the least.

    `whole` are the noise multipliers of what the fit releases of everybody, each once. Raises PrivacyParametersInvalid
    where they leave less than a twentieth of epsilon.
    """
    epsilon, delta, rate = claim.epsilon_micro / 1e6, claim.delta_e12 / 1e12, claim.rate_ppm / 1e6
    error = epsilon / 50
    others = [(one, 1.0, 1) for one in whole]
    if others and epsilon_of(others, delta=delta, error=error) > 0.95 * epsilon:
        raise PrivacyParametersInvalid
    noise = (
        rate * math.sqrt(2 * steps * math.log(1 / delta)) / epsilon
    )  # the right size; epsilon falls about as 1/noise
    for _ in range(30):
        found = epsilon_of([(noise, rate, steps), *others], delta=delta, error=error)
        if 0.98 * epsilon <= found <= epsilon:
            return noise
        noise *= min(max(found / (0.99 * epsilon), 0.5), 2.0)
    raise PrivacyParametersInvalid


def noise_multiplier(*, sigma_micro: int, sensitivity_squared: int) -> float:
    """What a discrete Gaussian's deviation is to the continuous accountant; raises PrivacyParametersInvalid."""
    variance = (sigma_micro / 1e6) ** 2
    if variance < LEAST_VARIANCE:
        raise PrivacyParametersInvalid
    return math.sqrt((variance - SMOOTHING) / sensitivity_squared)


class PersonSampler:
    """Draws each person with the same chance, all rows or none, by coins of the operating system."""

    def __init__(self, persons: Sequence[str], *, rate_ppm: int, random_bytes: Callable[[int], bytes]) -> None:
        numbers: dict[str, int] = {}
        self._person_of_row = np.array([numbers.setdefault(person, len(numbers)) for person in persons], dtype=np.int64)
        self._persons, self._random_bytes = len(numbers), random_bytes
        self._below = (rate_ppm << COIN_BITS) // 1_000_000  # rounded down: a chance no greater than is accounted

    def draw(self) -> NDArray[np.int64]:
        """The places of the rows of those drawn."""
        coins = np.frombuffer(self._random_bytes(COIN_BITS // 8 * self._persons), dtype=np.uint64)
        drawn = coins < self._below if self._below < 2**COIN_BITS else np.ones(self._persons, dtype=np.bool_)
        return np.flatnonzero(drawn[self._person_of_row])


@dataclass(kw_only=True)
class SampledReleases:
    """Noises the sums of sampled steps, and refuses one more than was accounted."""

    sampler: Sampler
    noise: float
    most: int
    rows_per_person: int
    released: int = 0

    def release_step(self, sums: NDArray[np.int64], *, bound: int) -> NoisedSum:
        """Noise a sum to which a row contributes a norm of at most `bound`; raises ReleaseUncharged."""
        sigma = math.sqrt((self.noise * bound * self.rows_per_person) ** 2 + SMOOTHING)
        if self.released >= self.most or sigma**2 < LEAST_VARIANCE:
            raise ReleaseUncharged
        self.released += 1
        sigma_micro = math.ceil(sigma * 1e6)
        return NoisedSum(values=self.sampler.add_noise(sums, sigma_micro=sigma_micro), sigma=sigma_micro / 1e6)
