"""The noised tables that a holdout releases, one model's together: integers, and the noise that is in each."""

from dataclasses import dataclass

from scoring.scorecard import Band

Pairs = tuple[tuple[int, int], ...]
"""Noised (good, bad) of each bin: those that the edges part, from the fewest points up, then one for no score."""


@dataclass(frozen=True, kw_only=True)
class ScoreTable:
    """Rows by score bin and label; each count has discrete Gaussian noise of `sigma_micro` / 10^6, and may be < 0."""

    edges: tuple[int, ...]
    counts: Pairs
    sigma_micro: int


@dataclass(frozen=True, kw_only=True)
class GroupTable:
    """Rows by group of a protected column, coarser score bin and label."""

    column: str
    groups: tuple[str, ...]
    edges: tuple[int, ...]
    counts: tuple[Pairs, ...]
    sigma_micro: int


@dataclass(frozen=True, kw_only=True)
class ModelTables:
    """All that is released of a model: everything that a report says of it is computed from this."""

    model_sha256: str
    name: str
    bands: tuple[Band, ...]
    scores: ScoreTable
    groups: tuple[GroupTable, ...]
