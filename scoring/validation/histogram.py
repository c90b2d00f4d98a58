"""What a validation may see of the persons held out: how many rows in each public score bin, by label and by group.

The bins are fixed in advance, from no data: most of them lie where scores lie, a third of a default band wide, and the
model's own cut-offs, which its card publishes, are edges too. Whom the model does not score is a bin of its own. A row
counts once in each table, so that its squared L2 norm over all tables is their number, whatever the row holds.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch

from scoring.artifact import AnyArtifact
from scoring.cells import Categories, Quantity, build_quantity
from scoring.dp.mechanisms import Releases, count_scores
from scoring.errors import RowInvalid
from scoring.features import features_from_row
from scoring.rows import Row
from scoring.schema import Feature, Schema
from scoring.scorecard import Band
from scoring.validation.tables import GroupTable, ModelTables, ScoreTable

SCORE_GRID = (400, 425, *(450 + 25 * step // 3 for step in range(25)), 675, 700)
"""Edges of the score bins, in points."""
GROUP_GRID = tuple(range(425, 676, 25))
"""Edges of the coarser bins by group: there are fewer rows a group, and each bin brings its noise."""
GROUP_CELLS = 5
"""Groups that a protected quantity is cut into, beside its special codes and absent."""
MAX_GROUPS = 16
SHARE_OF_GROUPS_PPM = 250_000
"""Of the charge, where the schema has protected columns; the rest is for the scores."""

_LABELS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1}


@dataclass(frozen=True, kw_only=True)
class Grouping:
    """The public groups of a protected column: a category or a coarse cell each, the last one absent."""

    feature: Feature
    position: int
    cells: Quantity | Categories
    names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Rows as validation sees them: (rows, models) score bins, (rows, groupings) groups, (rows,) labels of 0 and 1."""

    score_bins: torch.Tensor
    coarse_bins: torch.Tensor
    groups: torch.Tensor
    labels: torch.Tensor


def score_edges(bands: Sequence[Band], grid: Sequence[int] = SCORE_GRID) -> tuple[int, ...]:
    """The edges of a model's bins: the grid, and its own cut-offs but the last, which is the scale's end."""
    return tuple(sorted({*grid, *(band.from_points for band in bands[:-1])}))


def groupings_of(schema: Schema) -> tuple[Grouping, ...]:
    """Of each protected feature with few enough categories, its groups; what is derived from one tells no more."""
    groupings = []
    for position, feature in enumerate(schema.features):
        if not feature.protected:
            continue
        if isinstance(feature.cells, Categories):
            cells: Quantity | Categories = feature.cells
            names: tuple[str, ...] = (*feature.cells.categories, "other", "absent")
        else:
            cells = build_quantity(
                low=feature.cells.low,
                high=feature.cells.high,
                cells=GROUP_CELLS,
                log=feature.cells.log,
                integer=feature.cells.integer,
                special=feature.cells.special,
            )
            names = _range_names(cells)
        if len(names) <= MAX_GROUPS:
            groupings.append(Grouping(feature=feature, position=position, cells=cells, names=names))
    return tuple(groupings)


def read_held_out(
    schema: Schema, rows: Sequence[Row], artifacts: Sequence[AnyArtifact], groupings: Sequence[Grouping]
) -> HeldOut:
    """Rows to score bins and groups; of a person's rows the first `rows_per_person` in the file's order.

    Label, person and groups are read by `schema`, inputs by each model's own. Raises RowInvalid, ColumnMissing and
    ValueInvalid.
    """
    schemas = {artifact.model.schema.digest: artifact.model.schema for artifact in artifacts}
    if groupings:
        schemas[schema.digest] = schema
    seen: dict[str, int] = {}
    fine = [score_edges(artifact.model.bands) for artifact in artifacts]
    coarse = [score_edges(artifact.model.bands, GROUP_GRID) for artifact in artifacts]
    score_bins, coarse_bins, groups, labels = [], [], [], []
    for row in rows:
        label = _LABELS.get((row.get(schema.label) or "").strip())
        person = (row.get(schema.person or "") or "").strip()
        if label is None or not person:
            raise RowInvalid
        seen[person] = seen.get(person, 0) + 1
        if seen[person] > schema.rows_per_person:
            continue
        features = {digest: features_from_row(one, row) for digest, one in schemas.items()}
        points = [one.model.points_of(features[one.model.schema.digest]) for one in artifacts]
        score_bins.append([bin_of(one, edges) for one, edges in zip(points, fine, strict=True)])
        coarse_bins.append([bin_of(one, edges) for one, edges in zip(points, coarse, strict=True)])
        values = features[schema.digest].values if groupings else ()
        groups.append([one.cells.cell_of(values[one.position]) for one in groupings])
        labels.append(label)
    return HeldOut(
        score_bins=torch.tensor(score_bins, dtype=torch.int64).reshape(len(labels), len(artifacts)),
        coarse_bins=torch.tensor(coarse_bins, dtype=torch.int64).reshape(len(labels), len(artifacts)),
        groups=torch.tensor(groups, dtype=torch.int64).reshape(len(labels), len(groupings)),
        labels=torch.tensor(labels, dtype=torch.int64),
    )


def bin_of(points: int | None, edges: Sequence[int]) -> int:
    """Bin i holds edges[i-1] <= points < edges[i]; the last one is of those who have no points."""
    return len(edges) + 1 if points is None else bisect_right(edges, points)


def release_tables(
    held_out: HeldOut, artifacts: Sequence[AnyArtifact], groupings: Sequence[Grouping], releases: Releases
) -> tuple[ModelTables, ...]:
    """Release the tables of every model within one charge, each count with noise of its own."""
    rho_of_groups = releases.charged_rho_e12 * SHARE_OF_GROUPS_PPM // 10**6 if groupings else 0
    fine = [score_edges(artifact.model.bands) for artifact in artifacts]
    counts, score_sigma_micro = _release(
        releases,
        "holdout_scores",
        [
            count_scores(held_out.score_bins[:, index], held_out.labels, len(edges) + 2)
            for index, edges in enumerate(fine)
        ],
        rho_e12=releases.charged_rho_e12 - rho_of_groups,
    )
    coarse = [score_edges(artifact.model.bands, GROUP_GRID) for artifact in artifacts]
    by_group: list[list[int]] = []
    group_sigma_micro = 0
    if groupings:
        by_group, group_sigma_micro = _release(
            releases,
            "holdout_groups",
            [
                count_scores(
                    held_out.groups[:, column] * (len(edges) + 2) + held_out.coarse_bins[:, index],
                    held_out.labels,
                    (len(edges) + 2) * len(grouping.names),
                )
                for index, edges in enumerate(coarse)
                for column, grouping in enumerate(groupings)
            ],
            rho_e12=rho_of_groups,
        )
    return tuple(
        ModelTables(
            model_sha256=artifact.digest.hex(),
            name=artifact.card.name,
            bands=artifact.model.bands,
            scores=ScoreTable(edges=fine[index], counts=_pairs(counts[index]), sigma_micro=score_sigma_micro),
            groups=tuple(
                GroupTable(
                    column=grouping.feature.name,
                    groups=grouping.names,
                    edges=coarse[index],
                    counts=_by_group(by_group[index * len(groupings) + column], len(grouping.names)),
                    sigma_micro=group_sigma_micro,
                )
                for column, grouping in enumerate(groupings)
            ),
        )
        for index, artifact in enumerate(artifacts)
    )


def _release(
    releases: Releases, name: Literal["holdout_scores", "holdout_groups"], tables: list[torch.Tensor], *, rho_e12: int
) -> tuple[list[list[int]], int]:
    """Release tables, of each of which a row counts one, as one vector; also the deviation of the noise."""
    noised = releases.release(name, torch.cat(tables), sensitivity_squared=len(tables), rho_e12=rho_e12)
    parts, start = [], 0
    for table in tables:
        parts.append(noised.values[start : start + len(table)].tolist())
        start += len(table)
    return parts, round(noised.sigma * 1e6)


def _pairs(counts: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """(good, bad) of each bin."""
    return tuple(zip(counts[::2], counts[1::2], strict=True))


def _by_group(counts: Sequence[int], groups: int) -> tuple[tuple[tuple[int, int], ...], ...]:
    size = len(counts) // groups
    return tuple(_pairs(counts[start : start + size]) for start in range(0, len(counts), size))


def _range_names(cells: Quantity) -> tuple[str, ...]:
    """As "up to 32", "33 to 46", "47 and over" of whole numbers, else "below 0.2", "0.2 to 0.4", "from 0.4"."""
    if not cells.edges:
        ordinary = ["any"]
    elif cells.integer:  # the edges are halves
        inner = [f"{low + 0.5:g} to {high - 0.5:g}" for low, high in pairwise(cells.edges)]
        ordinary = [f"up to {cells.edges[0] - 0.5:g}", *inner, f"{cells.edges[-1] + 0.5:g} and over"]
    else:
        inner = [f"{low:g} to {high:g}" for low, high in pairwise(cells.edges)]
        ordinary = [f"below {cells.edges[0]:g}", *inner, f"from {cells.edges[-1]:g}"]
    return (*ordinary, *(f"code {code:g}" for code in cells.special), "absent")
