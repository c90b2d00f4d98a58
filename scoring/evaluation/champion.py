"""The champion as production chooses it: two models within one budget, and a noised release of persons held out."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from scoring.dp.accounting import budget_rho_e12, epsilon_micro_of_rho
from scoring.dp.mechanisms import Releases, count_scores
from scoring.dp.sampler import SeededSampler
from scoring.dp.split import Split
from scoring.evaluation.contenders import (
    Budget,
    NetworkContender,
    Predictions,
    Rows,
    ScorecardContender,
    seeded_bytes,
)
from scoring.frame import Frame
from scoring.scorecard import BANDS, BASE_ODDS, BASE_POINTS, PDO
from scoring.validation.choice import choose_champion
from scoring.validation.histogram import score_edges
from scoring.validation.performance import measure_performance
from scoring.validation.tables import ScoreTable

HOLDOUT_PPM = 200_000


@dataclass(frozen=True, kw_only=True)
class ChampionContender:
    """Scorecard and network, each on half of the budget and four fifths of the persons; the scorecard is the champion.

    The network takes its place where the noised score counts of the other fifth show it to be better. Those are charged
    the whole budget, for nobody is on both sides.
    """

    frame: Frame
    rows_per_person: int
    name: str = "champion"
    private: bool = True

    def fit_and_predict(self, learned: Rows, predicted: Rows, budget: Budget) -> Predictions:
        """The predictions of the one that was chosen; the time of both fits."""
        rho_e12 = budget_rho_e12(budget.epsilon_micro, budget.delta_e12)
        half = Budget(
            epsilon_micro=epsilon_micro_of_rho(rho_e12 // 2, budget.delta_e12) - 1,
            delta_e12=budget.delta_e12,
            seed=budget.seed,
        )
        split = Split(key=seeded_bytes(budget.seed)(32), holdout_ppm=HOLDOUT_PPM)
        is_held_out = np.array([split.is_held_out(self.frame.persons[row]) for row in learned], dtype=bool)
        held_out, trained_on = learned[is_held_out], learned[~is_held_out]
        both = [
            contender.fit_and_predict(trained_on, np.concatenate([held_out, predicted]), half)
            for contender in (
                ScorecardContender(frame=self.frame, rows_per_person=self.rows_per_person),
                NetworkContender(frame=self.frame, rows_per_person=self.rows_per_person),
            )
        ]
        points = (-both[0].risk, _points_of_bad_log_odds(both[1].risk))
        chosen = both[self._choose([one[: len(held_out)] for one in points], held_out, rho_e12, budget.seed)]
        return Predictions(
            risk=chosen.risk[len(held_out) :], pd=chosen.pd[len(held_out) :], fit_s=sum(one.fit_s for one in both)
        )

    def _choose(self, points: list[NDArray[np.float64]], held_out: Rows, rho_e12: int, seed: int) -> int:
        """0 for the scorecard, 1 for the network."""
        edges = score_edges(BANDS)
        labels = torch.from_numpy(self.frame.labels[held_out])
        bins = [torch.from_numpy(np.searchsorted(np.array(edges), one, side="right")) for one in points]
        size = len(edges) + 2
        releases = Releases(
            sampler=SeededSampler(seed + 1), charged_rho_e12=rho_e12, rows_per_person=self.rows_per_person
        )
        noised = releases.release(
            "holdout_scores",
            torch.cat([count_scores(one, labels, size) for one in bins]),
            sensitivity_squared=len(bins),
            rho_e12=rho_e12,
        )
        aucs = []
        for counts in np.split(noised.values, len(bins)):
            pairs = [(good, bad) for good, bad in counts.reshape(-1, 2).tolist()]
            table = ScoreTable(edges=edges, counts=tuple(pairs), sigma_micro=round(noised.sigma * 1e6))
            figures = measure_performance(table, BANDS, rows_per_person=self.rows_per_person).figures
            aucs.append(figures["auc"])
        return 1 if choose_champion(*aucs).winner == "challenger" else 0


def _points_of_bad_log_odds(log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Whole points, as the network would be served with."""
    points: NDArray[np.float64] = np.rint(BASE_POINTS - PDO / math.log(2) * (log_odds + math.log(BASE_ODDS)))
    return points
