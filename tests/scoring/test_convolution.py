"""Wide discrete Gaussians put together of narrow ones: chi-square against the exact law, and the law by hand."""

import math
import os
from collections.abc import Callable
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
from scipy.stats import chi2, norm

from scoring.dp import convolution
from scoring.dp.convolution import (
    STEP_DEVIATION,
    STRIDE,
    WIDEST_TABLE,
    SystemTableSampler,
    Table,
    build_table,
    draw_from,
    draw_gaussian,
)
from scoring.errors import PrivacyParametersInvalid

DRAWS = 50_000


def chi_square_p(drawn: np.ndarray, sigma: float, *, classes: int = 60) -> float:
    """p of draws in classes of integers that are about equally likely; the law's sums are exact for a narrow one."""
    reach = math.ceil(9 * sigma)
    support = np.arange(-reach, reach + 1, dtype=np.float64)
    weights = np.exp(-(support**2) / (2 * sigma**2))
    cumulated = np.cumsum(weights / weights.sum())
    starts = np.unique(np.searchsorted(cumulated, np.arange(1, classes) / classes))
    expected = np.diff(cumulated[starts], prepend=0.0, append=1.0) * len(drawn)
    observed = np.bincount(np.searchsorted(starts - reach, drawn, side="left"), minlength=len(expected))
    return float(chi2.sf(((observed - expected) ** 2 / expected).sum(), len(expected) - 1))


@pytest.mark.parametrize("sigma", [0.7, 3.2, 1_000.5, 50_000.0])
def test_system_noise_is_a_discrete_gaussian(sigma: float) -> None:
    """The last is put together of two."""
    noise = SystemTableSampler().add_noise(np.zeros(DRAWS, dtype=np.int64), sigma_micro=round(sigma * 1e6))
    assert chi_square_p(noise, sigma) > 1e-6


def test_chi_square_can_tell() -> None:
    noise = np.random.default_rng(1).normal(0.0, 1.0, DRAWS)
    assert chi_square_p(np.rint(noise * 3.2).astype(int), 3.2) > 1e-6
    assert chi_square_p(np.rint(noise * 0.7).astype(int), 0.7) < 1e-6
    assert chi_square_p(np.rint(noise * 50_000).astype(int), 51_500.0) < 1e-6


@pytest.mark.parametrize("sigma", [1e7, 3e12])
def test_wide_noise_has_its_deviation_no_memory_and_no_grid(sigma: float) -> None:
    noise = SystemTableSampler().add_noise(np.zeros(DRAWS, dtype=np.int64), sigma_micro=round(sigma * 1e6))
    assert abs(noise.std() / sigma - 1) < norm.isf(1e-7) / math.sqrt(2 * DRAWS)
    assert abs(np.corrcoef(noise[:-1], noise[1:])[0, 1]) < norm.isf(1e-7) / math.sqrt(DRAWS)
    rests = np.bincount(noise % STRIDE, minlength=STRIDE)  # the law's are even, far beyond what can be seen
    assert chi2.sf(((rests - DRAWS / STRIDE) ** 2).sum() * STRIDE / DRAWS, STRIDE - 1) > 1e-6


def test_a_sum_of_two_has_the_probabilities_of_the_wide_one() -> None:
    """P(X + m Y = x) for the narrowest that is put together, beside the law, in sixty figures."""
    wide = Fraction(WIDEST_TABLE**2 + 1)
    rest = (wide - STEP_DEVIATION**2) / STRIDE**2

    def weight(place: int, variance: Fraction) -> Decimal:
        return (-Decimal(place * place) * variance.denominator / (2 * variance.numerator)).exp()

    with localcontext() as context:
        context.prec = 60
        ratios = []
        for x in (0, 1, 100, STRIDE // 2, 4_096, 20_000):
            nearest = round(x / STRIDE)
            ways = range(nearest - 60, nearest + 61)
            summed = sum(weight(x - STRIDE * y, Fraction(STEP_DEVIATION**2)) * weight(y, rest) for y in ways)
            ratios.append(summed / weight(x, wide))
        assert max(ratios) / min(ratios) - 1 < Decimal("1e-30")


def test_a_table_holds_the_law_to_its_last_bit() -> None:
    table = build_table(Fraction(49, 100))
    weights = [math.exp(-(k**2) / 0.98) * (1 if k == 0 else 2) for k in range(12)]
    wanted = np.cumsum(weights) / math.fsum(weights)
    assert [one / 2**128 for one in table.thresholds] == pytest.approx(wanted[: len(table.thresholds)], abs=1e-15)
    assert all(low < high for low, high in zip(table.thresholds, table.thresholds[1:], strict=False))


def bytes_of(*draws: bytes) -> Callable[[int], bytes]:
    left = list(draws)

    def give(count: int) -> bytes:
        one = left.pop(0)
        assert len(one) == count
        return one

    return give


def test_the_lower_bits_decide_where_the_upper_do_not() -> None:
    table = Table(thresholds=(5 << 96 | 7, 9 << 96), high=np.array([5, 9], dtype=np.uint32))
    upper = np.array([4, 5, 5, 8, 9, 2**32 - 1], dtype=np.uint32).tobytes()
    lower = [(6).to_bytes(12, "big"), (7).to_bytes(12, "big"), (0).to_bytes(12, "big")]
    signs = bytes([0, 0, 1, 1, 0, 2])
    drawn = draw_from(table, 6, bytes_of(upper, *lower, signs))
    assert drawn.tolist() == [0, 0, -1, -1, 2, 2]


@pytest.mark.parametrize("variance", [Fraction(1, 100), Fraction(49, 100), Fraction(STEP_DEVIATION**2)])
def test_a_guided_search_finds_what_a_plain_one_does(variance: Fraction) -> None:
    """At random numbers, at both ends, and at and beside every threshold."""
    table = build_table(variance)
    beside = np.concatenate([table.high - np.uint32(1), table.high, table.high + np.uint32(1)])
    numbers = np.frombuffer(os.urandom(4 * DRAWS), dtype=np.uint32)
    numbers = np.concatenate([numbers, beside, np.array([0, 1, 2**32 - 1], dtype=np.uint32)])
    found, equal = table.search(numbers)
    assert np.array_equal(found, np.searchsorted(table.high, numbers, side="left"))
    assert np.array_equal(equal, np.flatnonzero(np.isin(numbers, table.high)))


def test_every_bit_is_asked_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def count(size: int) -> bytes:
        asked.append(size)
        return os.urandom(size)

    drawn = draw_gaussian(100, variance=Fraction(10**12), random_bytes=count)
    assert len(drawn) == 100
    assert sum(asked) >= 2 * 100 * 5  # two narrow ones, four bytes and a sign each
    monkeypatch.setattr(convolution.os, "urandom", bytes)
    noised = SystemTableSampler().add_noise(np.array([3, 4]), sigma_micro=10**9)
    assert noised.tolist() == [3, 4]  # zeros are the likeliest draw


def test_noise_is_added_to_each_sum_and_never_repeats() -> None:
    sums = np.array([2**61, -(2**61), 0])
    one, two = (SystemTableSampler().add_noise(sums, sigma_micro=10**9) for _ in range(2))
    assert (abs(one - sums) < 20_000).all()
    assert (one != two).any()
    assert sums.tolist() == [2**61, -(2**61), 0]
    assert SystemTableSampler().source == "os"


@pytest.mark.parametrize(
    ("sums", "sigma_micro"),
    [([2**62], 10**6), ([-(2**62)], 10**6), ([-(2**63)], 10**6), ([0], 0), ([0], 2**49 * 10**6)],
)
def test_what_could_pass_64_bits_is_refused(sums: list[int], sigma_micro: int) -> None:
    with pytest.raises(PrivacyParametersInvalid):
        SystemTableSampler().add_noise(np.array(sums), sigma_micro=sigma_micro)
