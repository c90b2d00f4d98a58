"""Evaluation: the figures against sklearn and by hand, the folds, that seeded noise repeats and trains nothing."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.model_selection import StratifiedKFold

from scoring.cells import build_quantity
from scoring.errors import EvaluationInvalid
from scoring.evaluation.contenders import Budget, Predictions, Rows, ScorecardContender
from scoring.evaluation.dp_ebm import DpEbm, place_in_bounds
from scoring.evaluation.evaluate import Plan, evaluate, noise_seed, split_rows
from scoring.evaluation.light_gbm import LightGbm
from scoring.evaluation.metrics import auc, brier_score, expected_calibration_error, kolmogorov_smirnov
from scoring.evaluation.registry import make_contender
from scoring.frame import Frame, read_frame
from scoring.schema import parse_schema

SCHEMA = parse_schema(b"""
name = "made"
label = "default"

[[feature]]
name = "late"
kind = "integer"
low = 0
high = 6
special = [-1]
monotone = "increasing"

[[feature]]
name = "amount"
kind = "numeric"
low = 1
high = 100000
log = true

[[feature]]
name = "trade"
kind = "categorical"
categories = ["farm", "shop"]

[[feature]]
name = "age"
kind = "integer"
low = 18
high = 90
protected = true

[[cross]]
of = ["late", "trade"]
""")
PLAN = Plan(epsilons_micro=(1_000_000, 8_000_000), delta_e12=10_000_000, folds=3, seed=5, noise_seeds=2)


def make_rows(count: int, seed: int = 1) -> list[dict[str, str]]:
    """People who default the more, the later they were; some lack an amount, some have a code or an unknown trade."""
    source = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        late = int(source.integers(-1, 7))
        rows.append(
            {
                "late": str(late),
                "amount": "" if source.random() < 0.1 else f"{source.lognormal(7, 2):.2f}",
                "trade": str(source.choice(["farm", "shop", "mine"])),
                "age": str(source.integers(18, 90)),
                "default": str(int(source.random() < 0.1 + 0.12 * max(late, 0))),
            }
        )
    return rows


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small tensors gain nothing by several, and lose much where other tests run beside."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def frame() -> Frame:
    return read_frame(SCHEMA, make_rows(900), SCHEMA.unprotected)


def scorecard(frame: Frame) -> ScorecardContender:
    return ScorecardContender(frame=frame, rows_per_person=1)


# The figures


def test_auc_and_brier_are_sklearns() -> None:
    source = np.random.default_rng(2)
    labels = source.integers(0, 2, 400)
    pd = np.round(np.clip(source.normal(0.4 + 0.2 * labels, 0.2), 0, 1), 2)  # with ties
    assert auc(labels, pd) == roc_auc_score(labels, pd)
    assert brier_score(labels, pd) == pytest.approx(brier_score_loss(labels, pd), abs=1e-15)


def test_ks_is_the_largest_distance_of_the_two_distributions() -> None:
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    risk = np.array([1.0, 2.0, 3.0, 4.0, 3.0, 4.0, 5.0, 6.0])
    # Above 2 are half of the good and all of the bad; above 4, none of the good and half of the bad.
    assert kolmogorov_smirnov(labels, risk) == 0.5
    assert kolmogorov_smirnov(labels, np.array([1, 2, 3, 4, 5, 6, 7, 8.0])) == 1.0


def test_calibration_error_by_hand_and_beside_sklearn() -> None:
    pd = np.repeat([0.1, 0.9], 50)
    labels = np.concatenate([np.repeat([1, 0], [5, 45]), np.repeat([1, 0], [35, 15])])
    # Ten bins of ten rows, in which the bad of each half come first: 5 of 10 and four of none; three of all, 5, none.
    bins = [0.5 - 0.1, 0.1, 0.1, 0.1, 0.1, 1 - 0.9, 1 - 0.9, 1 - 0.9, 0.9 - 0.5, 0.9]
    assert expected_calibration_error(labels, pd) == pytest.approx(sum(bins) / 10)
    source = np.random.default_rng(3)
    pd = source.random(1_000)
    labels = (source.random(1_000) < pd**2).astype(np.int64)
    rates, means = calibration_curve(labels, pd, n_bins=10, strategy="quantile")
    assert expected_calibration_error(labels, pd) == pytest.approx(np.abs(rates - means).mean(), abs=1e-12)
    assert expected_calibration_error(np.array([1, 0]), np.array([0.5, 0.5])) == 0.5


# The folds


def test_the_folds_are_sklearns_in_the_rows_order(frame: Frame) -> None:
    ours = split_rows(frame.labels, folds=5, seed=7)
    theirs = StratifiedKFold(5, shuffle=True, random_state=7).split(np.zeros(len(frame.labels)), frame.labels)
    for (learned, held_out), (train, test) in zip(ours, theirs, strict=True):
        assert np.array_equal(learned, train)
        assert np.array_equal(held_out, test)


@pytest.mark.parametrize(("labels", "folds"), [([0] * 50 + [1] * 4, 5), ([1] * 50, 2), ([0, 1] * 20, 1)])
def test_a_split_that_leaves_a_fold_without_a_label_is_refused(labels: list[int], folds: int) -> None:
    with pytest.raises(EvaluationInvalid):
        split_rows(np.array(labels), folds=folds, seed=1)


# The run


@dataclasses.dataclass
class Oracle:
    """Predicts the label itself in fold 0, its opposite in others, and keeps what it was asked."""

    labels: np.ndarray
    private: bool = True
    name: str = "oracle"
    asked: list[tuple[Rows, Rows, Budget]] = dataclasses.field(default_factory=list)

    def fit_and_predict(self, learned: Rows, predicted: Rows, budget: Budget) -> Predictions:
        right = len(self.asked) % 3 == 0
        self.asked.append((learned, predicted, budget))
        pd = np.where(self.labels[predicted] == right, 0.75, 0.25)
        return Predictions(risk=pd, pd=pd, fit_s=2.0)


def test_figures_are_means_over_folds_and_over_the_noises_seeds(frame: Frame) -> None:
    oracle = Oracle(frame.labels)
    one, two = evaluate(frame.labels, [oracle], PLAN)
    assert [one.epsilon_micro, two.epsilon_micro] == [1_000_000, 8_000_000]
    assert one.fold_auc == (1.0, 0.0, 0.0)
    assert (one.auc, one.ks, one.fit_s) == (pytest.approx(1 / 3), pytest.approx(1 / 3), 2.0)
    assert one.auc_sd == pytest.approx(np.std([1, 0, 0], ddof=1))
    assert one.brier == pytest.approx((0.25**2 + 0.75**2 * 2) / 3)
    budgets = [budget for _, _, budget in oracle.asked]
    assert [budget.epsilon_micro for budget in budgets] == [1_000_000] * 6 + [8_000_000] * 6
    assert len({budget.seed for budget in budgets[:6]}) == 6
    assert [budget.seed for budget in budgets[:6]] == [
        noise_seed(5, repeat, fold) for repeat in (0, 1) for fold in (0, 1, 2)
    ]
    assert {budget.delta_e12 for budget in budgets} == {PLAN.delta_e12}


def test_what_is_not_private_runs_once_and_has_no_epsilon(frame: Frame) -> None:
    oracle = Oracle(frame.labels, private=False)
    (result,) = evaluate(frame.labels, [oracle], PLAN)
    assert (result.epsilon_micro, len(oracle.asked)) == (None, PLAN.folds)


@pytest.mark.parametrize("name", ["scorecard", "network", "champion", "lightgbm", "dp-ebm", "opacus"])
def test_each_contender_learns_and_repeats_by_its_seed(frame: Frame, name: str) -> None:
    contender = make_contender(name, SCHEMA, frame)
    learned, held_out = split_rows(frame.labels, folds=3, seed=5)[0]
    budget = Budget(epsilon_micro=8_000_000, delta_e12=10_000_000, seed=9)
    first, again = (contender.fit_and_predict(learned, held_out, budget) for _ in range(2))
    assert np.array_equal(first.risk, again.risk)
    assert np.array_equal(first.pd, again.pd)
    assert ((first.pd >= 0) & (first.pd <= 1)).all()
    assert auc(frame.labels[held_out], first.risk) > 0.65
    assert abs(first.pd.mean() - frame.labels.mean()) < 0.1
    other = contender.fit_and_predict(learned, held_out, dataclasses.replace(budget, seed=10))
    assert np.array_equal(first.pd, other.pd) is not contender.private


def test_labels_of_held_out_rows_are_not_looked_at(frame: Frame) -> None:
    learned, held_out = split_rows(frame.labels, folds=3, seed=5)[0]
    budget = Budget(epsilon_micro=1_000_000, delta_e12=10_000_000, seed=9)
    labels = frame.labels.copy()
    labels[held_out] = 1 - labels[held_out]
    other = dataclasses.replace(frame, labels=labels)
    for make in (scorecard, lambda frame: LightGbm(frame=frame), lambda frame: DpEbm(frame=frame)):
        one, two = (make(each).fit_and_predict(learned, held_out, budget) for each in (frame, other))
        assert np.array_equal(one.pd, two.pd)


def test_public_bounds_hold_codes_and_a_place_for_absence() -> None:
    cells = build_quantity(low=0, high=10, cells=10, log=True, integer=False, special=(98.0, -30.0))
    placed, bounds = place_in_bounds(cells, np.array([0.0, 10.0, 98.0, -30.0, np.nan]))
    assert placed.tolist() == [0.0, 10.0, 98.0, -30.0, -34.0]
    assert bounds == (-34.0, 98.0)


def test_no_row_of_the_frame_shows_a_protected_column(frame: Frame) -> None:
    assert [column.name for column in frame.columns] == ["late", "amount", "trade", "late x trade"]


def test_the_shipped_schemas_protect_who_somebody_is() -> None:
    folder = Path(__file__).parents[2] / "scoring/schemas"
    protected = {
        path.stem: {column.name for column in parse_schema(path.read_bytes()).columns if column.protected}
        for path in folder.glob("*.toml")
    }
    assert protected["german"] == {"personal_status_sex", "age", "foreign_worker"}
    assert protected["gmsc"] == {"age"}
    assert protected["taiwan"] == {"SEX", "MARRIAGE", "AGE"}
    for name in ("german", "gmsc"):
        assert not parse_schema((folder / f"{name}.toml").read_bytes()).inputs  # no credential carries them
