"""What noised figures of a column's cells say of the log odds in each, however little one cell says by itself.

The log odds over a column's cells are taken for a Gaussian process: those of a quantity change little between cells
that are near each other, in the cells' order and in the population, roughly or smoothly; codes, categories and absence
stand alone. How much they differ at all, and how smoothly, is not chosen but averaged over, each possibility weighed by
how well it explains the figures. So noise that hides each cell leaves a trend, a column that says nothing is flattened,
and much data is followed closely. Only released figures are read here.

Sources: Rasmussen, Williams 2006, equations 2.23, 2.24, 2.30; of averaging, Hoeting, Madigan, Raftery, Volinsky 1999.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scoring.cells import Cells, Quantity

ROUGH_REACH, SMOOTH_REACH = 1.0, 0.5
"""How far likeness reaches, where all of a quantity's cells are 1: of a rough process, and of a smooth one."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The log odds (cells,) that are expected, and the covariance (cells, cells) of what is not known of them.

    `chances` are those of each deviation that was held possible.
    """

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]
    chances: NDArray[np.float64]

    @property
    def deviations(self) -> NDArray[np.float64]:
        """Of the log odds (cells,)."""
        return np.sqrt(np.maximum(np.diag(self.covariance), 0.0))

    def scale(self, times: float, *, known_to: float) -> "Estimate":
        """So many times as large, which is known to a deviation itself."""
        covariance = (times**2 + known_to**2) * self.covariance + known_to**2 * np.outer(self.mean, self.mean)
        return replace(self, mean=times * self.mean, covariance=covariance)


def cell_kernels(cells: Cells, mass: NDArray[np.float64], *, centred: bool) -> NDArray[np.float64]:
    """Covariances (kernels, cells, cells) of variance 1; `mass` is the share of the population in each cell.

    If centred, of a process whose mean over the population is 0, and whose variance there is 1.
    """
    kernels = [np.eye(len(mass))]
    if isinstance(cells, Quantity):
        ordered = mass[: cells.ordinary]
        below = (np.cumsum(ordered) - ordered / 2) / max(float(ordered.sum()), 1e-9)
        places = ((np.arange(cells.ordinary) + 0.5) / cells.ordinary + below) / 2
        apart = np.abs(places[:, None] - places[None, :])
        likenesses = np.exp(-apart / ROUGH_REACH), np.exp(-((apart / SMOOTH_REACH) ** 2) / 2)
        kernels = [kernels[0].copy() for _ in likenesses]
        for kernel, likeness in zip(kernels, likenesses, strict=True):
            kernel[: cells.ordinary, : cells.ordinary] = likeness
    stacked = np.stack(kernels)
    if not centred:
        return stacked
    centre = np.eye(len(mass)) - mass[None, :]
    stacked = centre @ stacked @ centre.T
    variances = np.diagonal(stacked, axis1=1, axis2=2) @ mass
    return stacked / np.maximum(variances, 1e-9)[:, None, None]


def estimate(
    observed: NDArray[np.float64],
    variance: NDArray[np.float64],
    kernels: NDArray[np.float64],
    deviations: NDArray[np.float64],
    chances: NDArray[np.float64],
    *,
    before: Estimate | None = None,
    shared: float = 0.0,
) -> Estimate:
    """The log odds of cells that were observed with noise of a variance each.

    They differ from what was known `before`, or from 0, by a process of one of the kernels, each as likely, and one of
    the deviations, whose `chances` are given. `shared` is the deviation of an error that all observations have in
    common.
    """
    size = len(observed)
    prior = (kernels[:, None] * deviations[None, :, None, None] ** 2).reshape(-1, size, size)
    centre = np.zeros(size)
    if before is not None:
        prior, centre = prior + before.covariance, before.mean
    root = np.linalg.cholesky(prior + np.diag(variance) + shared**2)
    sides = np.concatenate([np.broadcast_to((observed - centre)[:, None], (len(prior), size, 1)), prior], axis=2)
    whitened = np.linalg.solve(root, sides)
    seen, through = whitened[:, :, 0], whitened[:, :, 1:]
    likelihoods = -(seen**2).sum(axis=1) / 2 - np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
    weights = np.exp(likelihoods - likelihoods.max()) * np.tile(chances, len(kernels))
    weights /= weights.sum()
    means = centre + np.einsum("nij,ni->nj", through, seen)
    mean = weights @ means
    spread = means - mean
    covariance = np.tensordot(weights, prior - through.transpose(0, 2, 1) @ through, axes=1)
    return Estimate(
        mean=mean,
        covariance=covariance + np.einsum("n,ni,nj->ij", weights, spread, spread),
        chances=weights.reshape(len(kernels), -1).sum(axis=0),
    )
