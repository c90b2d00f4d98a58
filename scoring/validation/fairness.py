"""How a model treats the groups of a protected column, from the noised tables alone.

The group that others are compared with is the largest one. Approved means at or above a band's cut-off; those without
a score are not approved. Whether a difference is justified, or lawful, is not for a figure to say.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scoring.scorecard import Band
from scoring.validation.intervals import Array, Bootstrap, Statistic, bootstrap, project
from scoring.validation.performance import BAD, GOOD, Figures, band_cells, bin_pd
from scoring.validation.tables import GroupTable, ScoreTable


@dataclass(frozen=True, kw_only=True)
class CutFigures:
    """One group at one cut-off: the band that is the last to be approved, and the figures."""

    band: str
    figures: Figures


@dataclass(frozen=True, kw_only=True)
class GroupFigures:
    """One group: its calibration, and what becomes of it at each cut-off."""

    name: str
    figures: Figures
    cuts: tuple[CutFigures, ...]


@dataclass(frozen=True, kw_only=True)
class Fairness:
    """One protected column; `reference` is the group that the others are compared with."""

    column: str
    reference: str
    groups: tuple[GroupFigures, ...]


def measure_fairness(table: GroupTable, scores: ScoreTable, bands: Sequence[Band], *, rows_per_person: int) -> Fairness:
    """Adverse impact ratio, equal opportunity difference and calibration of each group, with intervals."""
    counts = np.array(table.counts, dtype=np.float64)
    draws = bootstrap(counts, sigma=table.sigma_micro / 1e6, rows_per_person=rows_per_person)
    reference = int(counts.sum((-2, -1)).argmax())
    pd = _coarse_pd(table.edges, scores)
    starts = [cells.start for cells in band_cells(table.edges, bands)[:-1]]
    groups = []
    for index, name in enumerate(table.groups):
        cuts = tuple(
            CutFigures(band=band.name, figures=_measure_cut(draws, index, reference, start))
            for band, start in zip(bands, starts, strict=False)
        )
        groups.append(GroupFigures(name=name, figures=_measure_calibration(draws, index, pd), cuts=cuts))
    return Fairness(column=table.column, reference=table.groups[reference], groups=tuple(groups))


def _measure_cut(draws: Bootstrap, group: int, reference: int, start: int) -> Figures:
    """`approved` of a group, and how that compares with the reference's."""

    def approved(table: Array, of: int) -> Array:
        share: Array = table[..., of, start:-1, :].sum((-2, -1)) / table[..., of, :, :].sum((-2, -1))
        return share

    def approved_good(table: Array, of: int) -> Array:
        share: Array = table[..., of, start:-1, GOOD].sum(-1) / table[..., of, :, GOOD].sum(-1)
        return share

    everybody, good = [], []
    for of in (group, reference):
        mask = np.zeros(draws.counts.shape, dtype=bool)
        mask[of] = True
        everybody.append(mask)
        good.append(mask & (np.arange(2) == GOOD))
    figures = {
        "approved": draws.estimate(
            Statistic(of=lambda table: approved(table, group), rests_on=everybody[:1], most_noise=0.05)
        )
    }
    if group == reference:
        return figures
    return {
        **figures,
        "adverse_impact_ratio": draws.estimate(
            Statistic(
                of=lambda table: approved(table, group) / approved(table, reference),
                rests_on=everybody,
                most_noise=0.1,
                highest=10.0,
            )
        ),
        "equal_opportunity_difference": draws.estimate(
            Statistic(
                of=lambda table: approved_good(table, group) - approved_good(table, reference),
                rests_on=good,
                most_noise=0.05,
                lowest=-1.0,
            )
        ),
    }


def _measure_calibration(draws: Bootstrap, group: int, pd: Array) -> Figures:
    """Expected less observed share of bad among the scored of a group."""
    scored = np.zeros(draws.counts.shape, dtype=bool)
    scored[group, :-1] = True

    def gap(table: Array) -> Array:
        rows = table[..., group, :-1, :]
        difference: Array = ((rows.sum(-1) * pd).sum(-1) - rows[..., BAD].sum(-1)) / rows.sum((-2, -1))
        return difference

    statistic = Statistic(of=gap, rests_on=(scored,), most_noise=0.05, lowest=-1.0)
    figure = draws.estimate(statistic)
    share = Statistic(
        of=lambda table: table[..., group, :, :].sum((-2, -1)) / table.sum((-3, -2, -1)),
        rests_on=(np.ones(draws.counts.shape, dtype=bool),),
        most_noise=0.05,
    )
    return {"share": draws.estimate(share), "calibration_gap": figure}


def _coarse_pd(edges: Sequence[int], scores: ScoreTable) -> Array:
    """The mean probability of default in each coarse bin, by how the scores of all lie in the finer ones."""
    fine_pd = bin_pd(scores.edges)
    mass = project(np.array(scores.counts, dtype=np.float64))[:-1].sum(-1) + 1e-9
    coarse_of = np.searchsorted(np.array(edges), np.array([scores.edges[0] - 1, *scores.edges]), side="right")
    return np.array(
        [np.average(fine_pd[coarse_of == bin_], weights=mass[coarse_of == bin_]) for bin_ in range(len(edges) + 1)]
    )
