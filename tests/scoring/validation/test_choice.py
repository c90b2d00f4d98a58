"""A challenger wins only where it is shown to be better; an equal wins by chance at most once in twenty."""

import numpy as np
import pytest

from scoring.scorecard import BANDS
from scoring.validation import intervals
from scoring.validation.choice import choose_champion
from scoring.validation.intervals import Figure, NotReleasable
from scoring.validation.performance import measure_performance
from tests.scoring.validation.conftest import as_table, draw_table, score_shares

CHAMPION = Figure(value_ppm=750_000, low_ppm=740_000, high_ppm=760_000)
NOISE = NotReleasable(reason="noise")


def near(value_ppm: int, below_ppm: int = 10_000, above_ppm: int = 10_000) -> Figure:
    return Figure(value_ppm=value_ppm, low_ppm=value_ppm - below_ppm, high_ppm=value_ppm + above_ppm)


def test_the_lower_end_of_the_difference_decides() -> None:
    for challenger, winner in ((near(764_200), "challenger"), (near(764_100), "champion"), (near(740_000), "champion")):
        choice = choose_champion(CHAMPION, challenger)
        assert choice.winner == winner
        assert choice.why == ("better" if winner == "challenger" else "not_shown_better")
        assert choice.auc_difference is not None
        assert choice.auc_difference.value_ppm == challenger.value_ppm - CHAMPION.value_ppm
        assert (choice.auc_difference.low_ppm > 0) == (winner == "challenger")


def test_of_uneven_intervals_the_ends_that_face_each_other_count() -> None:
    assert choose_champion(CHAMPION, near(764_000, below_ppm=1_000, above_ppm=90_000)).winner == "challenger"
    assert choose_champion(CHAMPION, near(764_200, below_ppm=20_000, above_ppm=1_000)).winner == "champion"


def test_what_is_not_releasable_leaves_the_champion() -> None:
    for champion, challenger in ((NOISE, near(900_000)), (CHAMPION, NOISE), (NOISE, NOISE)):
        choice = choose_champion(champion, challenger)
        assert (choice.winner, choice.why, choice.auc_difference) == ("champion", "not_releasable", None)


def test_without_a_challenger_there_is_nothing_to_choose() -> None:
    assert choose_champion(CHAMPION, None).why == "no_challenger"
    assert choose_champion(NOISE, None).winner == "champion"


@pytest.mark.parametrize("better_by", [0, 25])
def test_an_equal_seldom_wins_and_a_much_better_one_does(better_by: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two models on the same persons, whose scores rank them independently: the most that the difference can vary."""
    monkeypatch.setattr(intervals, "DRAWS", 200)
    source = np.random.default_rng(3)
    wins = 0
    for _ in range(25):
        aucs = []
        for spread in (30.0, 30.0 + better_by):
            table = as_table(draw_table(score_shares(spread=spread), 8_000, 2.0, source), 2.0)
            aucs.append(measure_performance(table, BANDS[-1:], rows_per_person=1).figures["auc"])
        wins += choose_champion(*aucs).winner == "challenger"
    assert wins > 22 if better_by else wins <= 3
