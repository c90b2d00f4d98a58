"""Whether a challenger takes the champion's place: only where it is shown to be better, else the champion stays."""

import math
from dataclasses import dataclass
from typing import Literal

from scoring.validation.intervals import Figure, NotReleasable

Winner = Literal["champion", "challenger"]
Why = Literal["better", "not_shown_better", "not_releasable", "no_challenger"]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The winner, why, and the challenger's AUC less the champion's, where both are releasable."""

    winner: Winner
    why: Why
    auc_difference: Figure | None


def choose_champion(champion: Figure | NotReleasable, challenger: Figure | NotReleasable | None) -> Choice:
    """Choose by the AUCs of the two on the same persons held out.

    The challenger wins where the lower end of the difference's interval is above zero, which by chance happens to an
    equal at most once in twenty. The two intervals are taken as independent. They share their persons, whose sampling
    moves both the same way, and their noises are independent: the difference's own interval is no wider, so the rule
    errs for the champion.
    """
    if challenger is None:
        return Choice(winner="champion", why="no_challenger", auc_difference=None)
    if isinstance(champion, NotReleasable) or isinstance(challenger, NotReleasable):
        return Choice(winner="champion", why="not_releasable", auc_difference=None)
    value_ppm = challenger.value_ppm - champion.value_ppm
    below = math.hypot(challenger.value_ppm - challenger.low_ppm, champion.high_ppm - champion.value_ppm)
    above = math.hypot(challenger.high_ppm - challenger.value_ppm, champion.value_ppm - champion.low_ppm)
    difference = Figure(
        value_ppm=value_ppm, low_ppm=value_ppm - math.ceil(below), high_ppm=value_ppm + math.ceil(above)
    )
    if difference.low_ppm > 0:
        return Choice(winner="challenger", why="better", auc_difference=difference)
    return Choice(winner="champion", why="not_shown_better", auc_difference=difference)
