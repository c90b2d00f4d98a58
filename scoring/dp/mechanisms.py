"""The sums that training may see of the data, and the one way they are released: noised, within a charge.

Every sum is of integer contributions, one vector a row, whose L2 norm is bounded whatever the row holds. A person
has at most k rows, so one person's coming or going moves a sum by at most k times the bound of a row, and two
persons' contributions never depend on each other. All arithmetic is torch's on 64-bit integers, where addition
has no order, so that a sum is the same on every machine and device.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from scoring.card import Mechanism
from scoring.dp.accounting import gaussian_rho_e12, gaussian_sigma_micro
from scoring.dp.sampler import Sampler
from scoring.errors import ReleaseUncharged

RESIDUAL_SCALE = 2**10
"""A residual of 1 in integer units."""
WEIGHT_SCALE = 3 * RESIDUAL_SCALE
"""A weight pd (1 - pd) of 1 in integer units; beside its residual it adds nothing to what a row can move."""
BLOCK_ROWS = 2**16


@dataclass(frozen=True, kw_only=True)
class NoisedSum:
    """A released vector and its noise's deviation, both in the sum's integer units."""

    values: NDArray[np.int64]
    sigma: float


@dataclass(kw_only=True)
class Releases:
    """Spends one charge of the ledger, and refuses to draw noise that it does not cover."""

    sampler: Sampler
    charged_rho_e12: int
    rows_per_person: int
    spent_rho_e12: int = 0
    mechanisms: dict[tuple[str, int, int, int], int] = field(default_factory=dict)

    def release(
        self, name: str, sums: torch.Tensor, *, sensitivity_squared: int, rho_e12: int, scale: int = 1
    ) -> NoisedSum:
        """Noise a sum whose rows' contributions have at most this squared L2 norm; raises ReleaseUncharged."""
        of_person = sensitivity_squared * self.rows_per_person**2
        sigma_micro = gaussian_sigma_micro(sensitivity_squared=of_person, rho_e12=rho_e12)
        cost = gaussian_rho_e12(sensitivity_squared=of_person, sigma_micro=sigma_micro)
        if self.spent_rho_e12 + cost > self.charged_rho_e12:
            raise ReleaseUncharged
        self.spent_rho_e12 += cost
        kind = (name, sensitivity_squared, scale, sigma_micro)
        self.mechanisms[kind] = self.mechanisms.get(kind, 0) + 1
        values = self.sampler.add_noise(sums.flatten().cpu().numpy(), sigma_micro=sigma_micro)
        return NoisedSum(values=values, sigma=sigma_micro / 1e6)

    def sigma_of(self, *, sensitivity_squared: int, rho_e12: int) -> float:
        """The deviation of the noise that such a release would have."""
        of_person = sensitivity_squared * self.rows_per_person**2
        return gaussian_sigma_micro(sensitivity_squared=of_person, rho_e12=rho_e12) / 1e6

    def list_mechanisms(self) -> tuple[Mechanism, ...]:
        """What was released, as the model card states it."""
        return tuple(
            Mechanism(
                name=name,
                releases=count,
                sensitivity_squared=sensitivity_squared,
                scale=scale,
                sigma_micro=sigma_micro,
            )
            for (name, sensitivity_squared, scale, sigma_micro), count in self.mechanisms.items()
        )


def count_rows(labels: torch.Tensor) -> torch.Tensor:
    """How many rows; a row's contribution is 1."""
    return torch.tensor([labels.numel()], dtype=torch.int64)


def count_cells(cells: torch.Tensor, labels: torch.Tensor, sizes: list[int]) -> torch.Tensor:
    """Rows by (input, cell, label), flat; a row of d inputs contributes d ones, a squared norm of d.

    `cells` is (rows, inputs) of numbers below `sizes`, `labels` (rows,) of 0 and 1.
    """
    starts = torch.tensor([0, *sizes[:-1]], device=cells.device).cumsum(0)
    slots = ((cells + starts) * 2 + labels[:, None]).flatten()
    return _histogram(slots, torch.ones_like(slots), 2 * sum(sizes))


def count_scores(score_cells: torch.Tensor, labels: torch.Tensor, size: int) -> torch.Tensor:
    """Rows by (public cell of the score, label), flat; a row contributes a single 1."""
    slots = score_cells * 2 + labels
    return _histogram(slots, torch.ones_like(slots), 2 * size)


def quantise_residuals(labels: torch.Tensor, pd_ppm: torch.Tensor) -> torch.Tensor:
    """Label less probability in units of 1 / RESIDUAL_SCALE, to nearest, halves up; never beyond +-RESIDUAL_SCALE.

    `labels` and `pd_ppm` (millionths) are integers. The bound is enforced after rounding, whatever came in.
    """
    exact_ppm = (labels * 1_000_000 - pd_ppm) * RESIDUAL_SCALE
    nearest = torch.div(2 * exact_ppm + 1_000_000, 2_000_000, rounding_mode="floor")
    return nearest.clamp(-RESIDUAL_SCALE, RESIDUAL_SCALE)


def quantise_weights(residuals: torch.Tensor, pd_ppm: torch.Tensor) -> torch.Tensor:
    """pd (1 - pd) in units of 1 / WEIGHT_SCALE, to nearest, cut to where its square and the residual's fit one bound.

    The residual of a bad row is 1 - pd, and (1 - pd)^2 (1 + 9 pd^2) stays below 1, as for a good row by symmetry: so
    the weight, which is the curvature of a Newton step, comes with the residual at no cost. Rounding alone may pass
    the bound, and is cut.
    """
    pd_ppm = pd_ppm.clamp(0, 1_000_000)
    weights = (pd_ppm * (1_000_000 - pd_ppm) * WEIGHT_SCALE + 5 * 10**11) // 10**12
    squares = RESIDUAL_SCALE**2 - torch.arange(RESIDUAL_SCALE + 1, dtype=torch.int64) ** 2
    room = torch.tensor([math.isqrt(square) for square in squares.tolist()], device=residuals.device)
    return torch.minimum(weights, room[residuals.abs().clamp(max=RESIDUAL_SCALE)])


def sum_residuals(bins: torch.Tensor, residuals: torch.Tensor, weights: torch.Tensor, size: int) -> torch.Tensor:
    """Residuals, and weights, summed by bin of one table: (size, 2), flat; a row moves one bin by RESIDUAL_SCALE."""
    return torch.stack([_histogram(bins, residuals, size), _histogram(bins, weights, size)], dim=1).flatten()


def products_sensitivity_squared(bound: int) -> int:
    """The square of how far a row can move `sum_products`."""
    return RESIDUAL_SCALE**2 * bound**2 // 2


def sum_products(
    tables: Sequence[NDArray[np.int64]], cells: torch.Tensor, residuals: torch.Tensor, *, bound: int
) -> torch.Tensor:
    """Sum over rows of residual x factor x factor, for all pairs of factors; (factors, factors).

    `tables` give each column's factors by cell. Of a row whose squared factors add up to more than `bound`, the
    residual is scaled down, towards 0, by as much: the squares of its products above the diagonal are at most half of
    (residual x sum of squares)^2. Doubles hold integers up to 2^53 without error and a sum of them has no order, so
    that the matrix product is exact: 2^33 rows would be needed to pass it.
    """
    lookup = [torch.from_numpy(table).to(cells.device, torch.float64) for table in tables]
    factors = sum(table.shape[1] for table in lookup)
    total = torch.zeros((factors, factors), dtype=torch.float64, device=cells.device)
    for start in range(0, len(cells), BLOCK_ROWS):
        block = cells[start : start + BLOCK_ROWS]
        values = torch.cat([table[block[:, place]] for place, table in enumerate(lookup)], dim=1)
        squares = (values * values).sum(dim=1).to(torch.int64)
        residual = residuals[start : start + BLOCK_ROWS]
        scaled = torch.where(squares > bound, residual.abs() * bound // squares.clamp(min=1), residual.abs())
        total += (values * (scaled * residual.sign()).to(torch.float64)[:, None]).T @ values
    return total.to(torch.int64)


def _histogram(slots: torch.Tensor, amounts: torch.Tensor, size: int) -> torch.Tensor:
    """A slot beyond the declared ones raises IndexError or RuntimeError: nothing is counted that was not declared."""
    return torch.zeros(size, dtype=torch.int64, device=slots.device).scatter_add_(0, slots, amounts)
