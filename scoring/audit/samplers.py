"""A sampler's draws against the discrete Gaussian by chi-square: its probabilities, and that it has no memory."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2, ncx2, norm

from scoring.audit.finding import HALF_SIGMA, ROUNDED, Finding
from scoring.dp.sampler import Sampler
from scoring.progress import Progress, no_progress

LEAST_P = 1e-6
"""A sampler is refused by one test below it; of a million true samplers one would be."""
SIGMAS = (0.6, 1.3, 7.0, 50_000.0)
"""From where a rounded normal is plainly no discrete Gaussian to the noise of a residual sum at epsilon 1."""
DRAWS = 20_000
_CLASSES = 64
_QUARTERS = 4
_WIDTH = 100


def audit_sampler(
    sampler: Sampler,
    *,
    name: str,
    sigmas: Sequence[float] = SIGMAS,
    draws: int = DRAWS,
    progress: Progress = no_progress,
) -> list[Finding]:
    """For each deviation: are the draws discrete Gaussian, and independent of the ones beside and before them?

    `claimed` is the evidence that is let pass, `bound` what was found, both as -log10 of p. The powers are against
    noise of half the deviation, and below a deviation of 1 against a normal rounded to integers, which for wider noise
    comes too near to a discrete Gaussian for so many draws to tell.
    """
    findings = []
    for number, sigma in enumerate(sigmas):
        progress(name, number, len(sigmas))
        sums = np.arange(_WIDTH, dtype=np.int64) * 1_000_003 - 50_000_000
        calls = [sampler.add_noise(sums, sigma_micro=round(sigma * 1e6)) - sums for _ in range(draws // _WIDTH)]
        noise = np.array(calls)
        values, probabilities = discrete_gaussian(sigma)
        classes = _pool(probabilities, draws)
        findings.append(
            _finding(
                name,
                f"sigma {sigma:g}",
                chi_square_p(noise.ravel(), values, probabilities, classes),
                draws,
                {
                    name: _power(draws, _class_sums(probabilities, classes), _class_sums(other, classes))
                    for name, other in _others(sigma, values).items()
                },
            )
        )
        findings.append(
            _finding(name, f"sigma {sigma:g}, memory", min(_memory_p(noise), _memory_p(noise.T)), draws, {})
        )
    return findings


def discrete_gaussian(sigma: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Integers within 12 deviations, and their probabilities: exp(-x^2 / 2 sigma^2), normalised."""
    reach = math.ceil(12 * sigma)
    values = np.arange(-reach, reach + 1, dtype=np.int64)
    weights = np.exp(-(values.astype(np.float64) ** 2) / (2 * sigma**2))
    return values, weights / weights.sum()


def chi_square_p(
    noise: NDArray[np.int64],
    values: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    classes: NDArray[np.int64],
) -> float:
    """p of the draws, pooled to classes of neighbouring integers; 0 where one lies beyond all of them."""
    if noise.min() < values[0] or noise.max() > values[-1]:
        return 0.0
    expected = _class_sums(probabilities, classes) * len(noise)
    observed = np.bincount(classes[noise - values[0]], minlength=len(expected))
    return float(chi2.sf(((observed - expected) ** 2 / expected).sum(), len(expected) - 1))


def _pool(probabilities: NDArray[np.float64], draws: int) -> NDArray[np.int64]:
    """Each integer's class: neighbours together until five draws are expected, a 64th of all where there are many."""
    least = max(5 / draws, 1 / _CLASSES if len(probabilities) > _CLASSES else 0.0)
    classes, number, mass = np.zeros(len(probabilities), dtype=np.int64), 0, 0.0
    left = 1.0
    for index, probability in enumerate(probabilities.tolist()):
        if mass >= least and left >= least:
            number, mass = number + 1, 0.0
        classes[index] = number
        mass, left = mass + probability, left - probability
    return classes


def _class_sums(probabilities: NDArray[np.float64], classes: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.bincount(classes, weights=probabilities).astype(np.float64)


def _others(sigma: float, values: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """The faulty samplers that the test is to tell from the true one, as probabilities of the same integers."""
    half = np.exp(-(values.astype(np.float64) ** 2) / (2 * (sigma / 2) ** 2))
    others = {HALF_SIGMA: half / half.sum()}
    if sigma < 1:
        others[ROUNDED] = norm.cdf((values + 0.5) / sigma) - norm.cdf((values - 0.5) / sigma)
    return others


def _power(draws: int, true: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """The chance of a p below LEAST_P where the draws are another's: a non-central chi-square."""
    distance = draws * float(((other - true) ** 2 / true).sum())
    return float(ncx2.sf(chi2.isf(LEAST_P, len(true) - 1), len(true) - 1, distance))


def _memory_p(noise: NDArray[np.int64]) -> float:
    """p that a draw's quarter of the range does not depend on that of the one before it along the last axis."""
    edges = np.quantile(noise, np.arange(1, _QUARTERS) / _QUARTERS)
    quarters = np.searchsorted(np.unique(edges), noise.ravel(), side="left").reshape(noise.shape)
    before, after = quarters[:, :-1].ravel(), quarters[:, 1:].ravel()
    size = int(quarters.max()) + 1
    table = np.bincount(before * size + after, minlength=size * size).reshape(size, size).astype(np.float64)
    table = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
    if min(table.shape) < 2:
        return 0.0  # always the same
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0, keepdims=True) / table.sum()
    freedom = (table.shape[0] - 1) * (table.shape[1] - 1)
    return float(chi2.sf(((table - expected) ** 2 / expected).sum(), freedom))


def _finding(subject: str, name: str, p: float, draws: int, powers: dict[str, float]) -> Finding:
    return Finding(
        subject=subject,
        check="sampler",
        name=name,
        measure="-log10 p",
        claimed=-math.log10(LEAST_P),
        bound=-math.log10(p) if p > 0 else math.inf,
        runs=draws,
        powers=powers,
    )
