"""Two small models, and people to validate them on whose scores and outcomes hang together."""

import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from scoring.artifact import Artifact
from scoring.card import ModelCard
from scoring.scorecard import BANDS, Scorecard
from scoring.validation.histogram import score_edges
from scoring.validation.performance import bin_pd
from scoring.validation.tables import ScoreTable

EDGES = score_edges(BANDS)
Rows = list[dict[str, str]]


@pytest.fixture(scope="session")
def artifacts(small_scorecard: Scorecard, model_card: ModelCard) -> tuple[Artifact, Artifact]:
    other = replace(small_scorecard, offset=530)
    return (
        Artifact(scorecard=small_scorecard, card=model_card, card_json=b"", digest=bytes(range(32))),
        Artifact(scorecard=other, card=model_card, card_json=b"", digest=bytes(32)),
    )


@pytest.fixture(scope="session")
def people() -> Callable[[int], Rows]:
    """So many persons of the small schema, one row each."""

    def make(count: int) -> Rows:
        source = random.Random(count)
        return [
            {
                "id": f"person {number}",
                "bad": str(int(source.random() < 0.3)),
                "income": str(source.choice(["", -9, 100, 400, 900])),
                "jobs": str(source.choice(["", 0, 1, 2, 3])),
                "sent": "5",
                "trade": source.choice(["", "1", "2", "farm", "other"]),
                "age": str(source.choice(["", 20, 30, 45, 60, 80])),
                "late-30": "1",
            }
            for number in range(count)
        ]

    return make


def score_shares(*, middle: float = 545.0, spread: float = 30.0, worse_by: int = 0) -> NDArray[np.float64]:
    """(good, bad) shares of each bin: scores are normal, and outcomes are as the bin says, `worse_by` points fewer."""
    edges = np.array(EDGES, dtype=np.float64)
    below = np.array([0.5 * (1 + np.tanh((edge - middle) / spread / 1.25)) for edge in edges])
    mass = np.diff(np.concatenate([[0.0], below, [1.0]])) * 0.98
    pd = bin_pd([edge - worse_by for edge in EDGES])
    return np.concatenate([np.stack([mass * (1 - pd), mass * pd], axis=-1), [[0.016, 0.004]]])


def draw_table(
    shares: NDArray[np.float64], count: int, sigma: float, source: np.random.Generator
) -> NDArray[np.float64]:
    """A noised table of so many persons."""
    counts = source.multinomial(count, shares.ravel()).reshape(shares.shape)
    return counts + np.rint(source.normal(0.0, sigma, shares.shape))


def as_table(counts: NDArray[np.float64], sigma: float) -> ScoreTable:
    pairs = tuple((int(good), int(bad)) for good, bad in counts)
    return ScoreTable(edges=EDGES, counts=pairs, sigma_micro=round(sigma * 1e6))
