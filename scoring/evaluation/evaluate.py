"""Cross-validation of contenders on the same columns, rows and folds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold

from scoring.dp.accounting import budget_rho_e12
from scoring.errors import EvaluationInvalid
from scoring.evaluation.contenders import Budget, Contender, Predictions, Rows
from scoring.evaluation.metrics import auc, brier_score, expected_calibration_error, kolmogorov_smirnov
from scoring.progress import Progress, no_progress

NOTE = (
    "Raw figures of held-out rows, with seeded noise: for public and development data only. "
    "Nothing here is private, and no model is kept."
)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """`folds` of a stratified split in the file's order by `seed`; each fit is repeated with `noise_seeds` noises.

    Raises PrivacyParametersInvalid.
    """

    epsilons_micro: tuple[int, ...]
    delta_e12: int
    folds: int
    seed: int
    noise_seeds: int

    def __post_init__(self) -> None:
        for epsilon_micro in self.epsilons_micro:
            budget_rho_e12(epsilon_micro, self.delta_e12)


@dataclass(frozen=True, kw_only=True)
class Result:
    """Figures of one contender at one epsilon, None where it is not private.

    `auc` and `ks` are means over folds, `brier` and `ece` are of the pooled out-of-fold predictions, all of them means
    over the noise's seeds. `auc_sd` is the sample standard deviation over folds of `fold_auc`, each a mean over seeds:
    the standard error of `auc` is auc_sd / sqrt(folds). `fit_s` is the mean wall-clock time of a fit, reading and
    predicting left out.
    """

    model: str
    epsilon_micro: int | None
    auc: float
    auc_sd: float
    ks: float
    brier: float
    ece: float
    fit_s: float
    fold_auc: tuple[float, ...]


def split_rows(labels: NDArray[np.int64], *, folds: int, seed: int) -> list[tuple[Rows, Rows]]:
    """Learned and held-out rows of each fold; raises EvaluationInvalid where a fold would lack a label."""
    if not 2 <= folds <= np.bincount(labels, minlength=2).min():
        raise EvaluationInvalid("There are fewer rows of a label than folds, or fewer than two folds.")
    return list(StratifiedKFold(folds, shuffle=True, random_state=seed).split(labels, labels))


def evaluate(
    labels: NDArray[np.int64], contenders: Sequence[Contender], plan: Plan, *, progress: Progress = no_progress
) -> list[Result]:
    """Evaluate each contender at each epsilon, or once if it is not private; raises EvaluationInvalid."""
    splits = split_rows(labels, folds=plan.folds, seed=plan.seed)
    results = []
    for contender in contenders:
        epsilons = plan.epsilons_micro if contender.private else (None,)
        repeats = plan.noise_seeds if contender.private else 1
        done, total = 0, len(epsilons) * repeats * len(splits)
        for epsilon_micro in epsilons:
            runs: list[list[Predictions]] = []
            for repeat in range(repeats):
                runs.append([])
                for fold, (learned, held_out) in enumerate(splits):
                    progress(contender.name, done, total)
                    budget = Budget(
                        epsilon_micro=epsilon_micro or 0,
                        delta_e12=plan.delta_e12,
                        seed=noise_seed(plan.seed, repeat, fold),
                    )
                    runs[-1].append(contender.fit_and_predict(learned, held_out, budget))
                    done += 1
            results.append(_summarize(contender, epsilon_micro, labels, splits, runs))
        progress(contender.name, total, total)
    return results


def noise_seed(seed: int, repeat: int, fold: int) -> int:
    """A seed of its own for each fit, 31 bits; the same for every contender."""
    return int(np.random.SeedSequence([seed, repeat, fold]).generate_state(1)[0] >> 1)


def _summarize(
    contender: Contender,
    epsilon_micro: int | None,
    labels: NDArray[np.int64],
    splits: Sequence[tuple[Rows, Rows]],
    runs: Sequence[Sequence[Predictions]],
) -> Result:
    held_out = [rows for _, rows in splits]
    pooled_labels = labels[np.concatenate(held_out)]
    pooled_pd = [np.concatenate([one.pd for one in run]) for run in runs]
    fold_auc = np.mean(
        [[auc(labels[rows], one.risk) for rows, one in zip(held_out, run, strict=True)] for run in runs], axis=0
    )
    fold_ks = [
        kolmogorov_smirnov(labels[rows], one.risk) for run in runs for rows, one in zip(held_out, run, strict=True)
    ]
    return Result(
        model=contender.name,
        epsilon_micro=epsilon_micro,
        auc=float(fold_auc.mean()),
        auc_sd=float(fold_auc.std(ddof=1)),
        ks=float(np.mean(fold_ks)),
        brier=float(np.mean([brier_score(pooled_labels, pd) for pd in pooled_pd])),
        ece=float(np.mean([expected_calibration_error(pooled_labels, pd) for pd in pooled_pd])),
        fit_s=float(np.mean([one.fit_s for run in runs for one in run])),
        fold_auc=tuple(float(one) for one in fold_auc),
    )
