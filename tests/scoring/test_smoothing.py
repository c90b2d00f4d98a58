"""Cells are read together: the closed form, what it is worth, and that no noise breaks it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from scoring.dp.accounting import budget_rho_e12
from scoring.dp.mechanisms import Releases
from scoring.dp.sampler import SystemSampler
from scoring.evidence import MOST_EVIDENCE, estimate_rows, expect_slope, weigh_inputs
from scoring.fitted import total_points
from scoring.fitting import fit_points
from scoring.records import Records
from scoring.schema import parse_schema
from scoring.smoothing import cell_kernels, estimate

INPUTS = 12
SCHEMA = parse_schema(
    b'name = "smooth"\nlabel = "bad"\n'
    + "".join(
        f'[[feature]]\nname = "x{place}"\nkind = "numeric"\nlow = -3\nhigh = 3\nspecial = [-9]\n'
        + ('monotone = "increasing"\n' if place == 0 else "")
        for place in range(INPUTS)
    ).encode()
    + b'[[feature]]\nname = "trade"\nkind = "categorical"\ncategories = ["a", "b", "c"]\n'
)
CELLS = SCHEMA.columns[0].cells
EVEN = np.full(CELLS.count, 1 / CELLS.count)
masses = st.lists(st.floats(1e-4, 1), min_size=CELLS.count, max_size=CELLS.count).map(
    lambda one: np.array(one) / sum(one)
)


@given(masses)
def test_a_centred_kernel_has_mean_0_and_variance_1_over_the_population(mass: np.ndarray) -> None:
    for kernel in cell_kernels(CELLS, mass, centred=True):
        assert np.abs(kernel @ mass).max() < 1e-9
        assert np.diag(kernel) @ mass == pytest.approx(1.0)
        assert np.linalg.eigvalsh(kernel).min() > -1e-9
    rough, smooth = cell_kernels(CELLS, mass, centred=False)
    assert smooth[0, 1] > rough[0, 1] > rough[0, 9] > 0
    assert rough[0, CELLS.absent] == smooth[0, CELLS.ordinary] == 0.0  # codes and absence stand alone


def test_one_possibility_is_the_closed_form() -> None:
    generator = np.random.default_rng(1)
    kernel = cell_kernels(CELLS, EVEN, centred=False)[:1]
    observed, variance = generator.normal(size=CELLS.count), generator.exponential(1, CELLS.count)
    found = estimate(observed, variance, kernel, np.array([0.5]), np.array([1.0]), shared=0.2)
    gain = 0.25 * kernel[0] @ np.linalg.inv(0.25 * kernel[0] + np.diag(variance) + 0.04)
    assert found.mean == pytest.approx(gain @ observed)
    assert found.covariance == pytest.approx(0.25 * kernel[0] - gain @ (0.25 * kernel[0]), abs=1e-12)


def test_two_looks_are_one_at_both() -> None:
    """Where nothing changes between them."""
    generator = np.random.default_rng(2)
    kernel = cell_kernels(CELLS, EVEN, centred=False)[:1]
    looks = generator.normal(size=(2, CELLS.count))
    variances = generator.exponential(1, (2, CELLS.count))
    known, still, sure = np.array([0.7]), np.array([1e-9]), np.array([1.0])
    first = estimate(looks[0], variances[0], kernel, known, sure)
    second = estimate(looks[1], variances[1], kernel, still, sure, before=first)
    precision = (1 / variances).sum(axis=0)
    both = estimate((looks / variances).sum(axis=0) / precision, 1 / precision, kernel, known, sure)
    assert second.mean == pytest.approx(both.mean)
    assert second.covariance == pytest.approx(both.covariance, abs=1e-9)


def test_deviations_are_those_of_the_errors_and_what_says_nothing_is_flattened() -> None:
    """Log odds drawn from a process of one of the kernels, or flat; a hundred times each."""
    generator = np.random.default_rng(3)
    kernels = cell_kernels(CELLS, EVEN, centred=True)
    grid = np.array([0.05, 0.2, 0.8])
    for deviation in (0.0, 0.2, 0.8):
        squares, variance_of, sizes = [], [], []
        for number in range(100):
            draw = generator.multivariate_normal(np.zeros(CELLS.count), kernels[number % 2])
            true, variance = deviation * draw, np.full(CELLS.count, 0.3)
            observed = true + generator.normal(0, np.sqrt(variance))
            found = estimate(observed, variance, kernels, grid, np.full(3, 1 / 3))
            squares.append(((found.mean - true) ** 2).mean())
            variance_of.append((found.deviations**2).mean())
            sizes.append((found.mean**2).mean())
        if deviation:
            assert np.mean(squares) == pytest.approx(np.mean(variance_of), rel=0.25)
            assert np.mean(squares) < 0.5 * 0.3  # a cell alone would be off by its noise
        else:
            assert np.mean(sizes) < 0.02


def test_the_slope_that_is_expected_is_between_its_extremes() -> None:
    generator = np.random.default_rng(4)
    counts = [np.stack([np.linspace(90, 10, CELLS.count), np.linspace(10, 90, CELLS.count)], axis=1)] * 9
    alike = weigh_inputs(SCHEMA.columns[1:10], counts, sigma=1.0, base_rate=0.5, rows=100.0 * CELLS.count)
    assert expect_slope(alike[:1]) == pytest.approx(1.0)
    assert expect_slope(alike) == pytest.approx(1 / 3)
    counts[1:] = [generator.normal(50, 1, (CELLS.count, 2)) for _ in counts[1:]]
    one_says_all = weigh_inputs(SCHEMA.columns[1:10], counts, sigma=1.0, base_rate=0.5, rows=100.0 * CELLS.count)
    assert expect_slope(one_says_all) > 0.8


@settings(deadline=None)
@given(
    st.integers(0, 2**32),
    st.sampled_from([1.0, 30.0, 1e4]),
    st.sampled_from([1.0, 500.0, 1e6]),
    st.floats(0.005, 0.995),
)
def test_whatever_noise_makes_of_counts_evidence_is_finite_and_directed(
    seed: int, sigma: float, rows: float, base_rate: float
) -> None:
    generator = np.random.default_rng(seed)
    counts = [
        generator.dirichlet(np.full(2 * one.cells.count, 0.3)).reshape(-1, 2) * rows
        + generator.normal(0, sigma, (one.cells.count, 2))
        for one in SCHEMA.columns
    ]
    for column, one in zip(
        SCHEMA.columns, weigh_inputs(SCHEMA.columns, counts, sigma=sigma, base_rate=base_rate, rows=rows), strict=True
    ):
        assert np.isfinite(one.evidence).all()
        assert np.abs(one.evidence).max() <= MOST_EVIDENCE
        assert np.isfinite(one.found.deviations).all()
        assert (one.rows >= 1).all()
        if column.monotone:
            assert (np.diff(one.evidence[: one.ordered]) >= 0).all()


def test_rows_are_counted_as_far_as_noise_lets_them_be() -> None:
    counts = np.array([900.0, 50.0, 40.0, 10.0])
    assert estimate_rows(counts, noise=1.0, rows=1_000.0) == pytest.approx(counts, rel=0.1)
    assert estimate_rows(counts, noise=1e9, rows=1_000.0) == pytest.approx(np.full(4, 250.0), rel=0.01)
    assert (estimate_rows(np.array([-80.0, 2_000.0]), noise=1.0, rows=1_000.0) > 0).all()


def test_noise_that_hides_every_cell_leaves_a_trend() -> None:
    """600 persons, a dozen quantities and epsilon 1: a cell has 20 of them, and noise of some 35."""
    generator = np.random.default_rng(6)
    values = generator.normal(size=(900, INPUTS))
    labels = (generator.random(900) < 1 / (1 + np.exp(-values[:, :4] @ np.full(4, 1.5)))).astype(np.int64)
    cells = [SCHEMA.columns[place].cells.cells_of_all(values[:, place]) for place in range(INPUTS)]  # type: ignore[union-attr]
    everybody = torch.tensor(np.stack([*cells, generator.integers(0, 3, 900)], axis=1))
    learned = Records(cells=everybody[:600], labels=torch.tensor(labels[:600]), persons=tuple(map(str, range(600))))
    aucs = []
    for _ in range(3):
        releases = Releases(
            sampler=SystemSampler(), charged_rho_e12=budget_rho_e12(1_000_000, 10_000_000), rows_per_person=1
        )
        fitted = fit_points(SCHEMA.columns, learned, releases, row_cap=10**6, random_bytes=bytes)
        aucs.append(roc_auc_score(labels[600:], -total_points(fitted, everybody[600:]).numpy()))
    assert np.mean(aucs) > 0.64
