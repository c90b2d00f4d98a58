"""The scorecard: exact sums, the exact inverse, reasons that add up, and no input it must not have."""

from dataclasses import replace
from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.errors import InputProtected, InputUnsourced, ReasonUnknown, ScorecardInvalid
from scoring.features import Features, features_from_row
from scoring.interval import Interval, half_width_points
from scoring.schema import Schema
from scoring.scorecard import (
    Band,
    PointsTable,
    Scorecard,
    Thresholds,
    pd_ppm_of_points,
    points_of_log_odds,
    points_table,
)

ROW = {"income": "", "jobs": "", "sent": "", "trade": "", "age": "40", "late-30": "0"}


def features_of(schema: Schema, **row: str) -> Features:
    return features_from_row(schema, ROW | row)


def test_probability_is_the_exact_inverse_rounded_half_up() -> None:
    with localcontext() as context:
        context.prec = 60
        for points in range(-700, 1_900):
            odds = 30 * Decimal(2) ** (Decimal(points - 600) / 20)
            assert pd_ppm_of_points(points) == int(1_000_000 / (1 + odds) + Decimal("0.5")), points


def test_probability_at_the_base_and_far_away() -> None:
    assert pd_ppm_of_points(600) == 32_258  # 1 in 31
    assert pd_ppm_of_points(620) == 16_393  # 1 in 61
    assert pd_ppm_of_points(-(10**12)) == 1_000_000
    assert pd_ppm_of_points(10**12) == 0


@given(st.integers(-5_000, 5_000))
def test_probability_falls_as_points_rise(points: int) -> None:
    assert pd_ppm_of_points(points) >= pd_ppm_of_points(points + 1)


@given(st.floats(-6, 8))
def test_points_of_log_odds_and_back(log_odds: float) -> None:
    points = round(points_of_log_odds(log_odds))
    assert abs(points_of_log_odds(log_odds) - points) <= 0.5
    assert pd_ppm_of_points(points) == pytest.approx(1e6 / (1 + 2.718281828459045**log_odds), rel=0.02, abs=1)


def test_a_score_is_the_offset_and_the_points_of_the_cells(small: Schema, small_scorecard: Scorecard) -> None:
    score = small_scorecard.score(features_of(small, income="300", jobs="1", trade="farm"))
    assert (score.outcome, score.points, score.band) == ("scored", 550 + 0 + 5 + 5, "C")
    assert score.pd_ppm == pd_ppm_of_points(560)
    assert (score.coverage.features_present, score.coverage.features_total) == (3, 3)


def test_reasons_are_the_points_lost_against_the_best_bin(small: Schema, small_scorecard: Scorecard) -> None:
    reasons = small_scorecard.score(features_of(small, income="300", jobs="1", trade="1")).reasons
    assert [(reason.code, reason.feature, reason.points_lost) for reason in reasons] == [("R00", "income", 55)]
    tables = tuple(
        replace(table, reason=code) for table, code in zip(small_scorecard.tables, ("R11", "R12", "R13"), strict=True)
    )
    scorecard = replace(small_scorecard, tables=tables)
    reasons = scorecard.score(features_of(small, income="999", jobs="1", trade="shop")).reasons
    assert [(reason.code, reason.points_lost) for reason in reasons] == [("R12", 15), ("R13", 15)]
    reasons = scorecard.score(features_of(small, jobs="1", trade="shop")).reasons
    assert [(reason.code, reason.feature, reason.points_lost) for reason in reasons] == [
        ("R90", "income", 60),
        ("R12", "jobs", 15),
        ("R13", "trade", 15),
    ]
    assert all(reason.text for reason in reasons)


def test_what_was_presented_is_never_called_missing(small: Schema) -> None:
    """Income a job is absent for somebody without a job, though both figures were presented."""
    cells = small.columns[small.position["per_job"]].cells
    points = (*range(cells.count - 1), -5)
    table = points_table(small, "per_job", bins=tuple(range(cells.count)), points=points)
    scorecard = Scorecard(schema=small, tables=(table,), offset=550)
    for row, code in (({"income": "300", "jobs": "0"}, "R00"), ({"income": "300"}, "R90"), ({"jobs": "0"}, "R90")):
        features = features_of(small, **row)
        assert features.cells[small.position["per_job"]] == cells.absent
        (reason,) = scorecard.reasons_of(features)
        assert (reason.code, reason.points_lost) == (code, max(points) + 5)


def test_the_best_person_has_no_reasons(small: Schema, small_scorecard: Scorecard) -> None:
    score = small_scorecard.score(features_of(small, income="999", jobs="3", trade="1"))
    assert (score.points, score.reasons) == (620, ())


def test_points_are_clamped_and_the_probability_is_not(small: Schema, small_scorecard: Scorecard) -> None:
    best = features_of(small, income="999", jobs="3", trade="1")
    high, low = replace(small_scorecard, offset=900).score(best), replace(small_scorecard, offset=-500).score(best)
    assert (high.points, high.band, high.pd_ppm) == (850, "A", pd_ppm_of_points(970))
    assert (low.points, low.band, low.pd_ppm) == (300, "E", pd_ppm_of_points(-430))


def test_nothing_presented_is_a_result(small: Schema, small_scorecard: Scorecard) -> None:
    nothing = features_of(small)
    score = small_scorecard.score(nothing)
    assert (score.outcome, score.points, score.pd_ppm, score.band) == ("unscorable", None, None, None)
    assert [reason.code for reason in score.reasons] == ["U01"]
    score = small_scorecard.score(replace(nothing, stale_types=("urn:test:one:1",)))
    assert ([reason.code for reason in score.reasons], score.coverage.stale_types) == (["U02"], ("urn:test:one:1",))


def test_coverage_decides_between_no_score_a_person_and_a_score(small: Schema, small_scorecard: Scorecard) -> None:
    scorecard = replace(small_scorecard, thresholds=Thresholds(unscorable_below_ppm=400_000, refer_below_ppm=800_000))
    assert [reason.code for reason in scorecard.score(features_of(small, jobs="1")).reasons] == ["U03"]
    refer = scorecard.score(features_of(small, jobs="1", trade="1"))
    assert (refer.outcome, refer.points) == ("refer", 550 - 20 + 5 + 10)
    assert [reason.code for reason in refer.reasons] == ["V01", "R90", "R00"]
    assert scorecard.score(features_of(small, jobs="1", trade="1", income="1")).outcome == "scored"


@pytest.fixture
def known_scorecard(small: Schema, small_scorecard: Scorecard) -> Scorecard:
    """The small scorecard with deviations, in thousandths of a point: 3, 4 and 12 points, and more where absent."""
    deviations = ((3_000,) * 5 + (20_000,), (4_000,) * 4 + (15_000,), (12_000,) * 4 + (12_000,))
    tables = zip(small_scorecard.tables, deviations, strict=True)
    return replace(small_scorecard, tables=tuple(replace(table, deviations=one) for table, one in tables))


def test_the_interval_is_the_inputs_deviations_in_squares(small: Schema, known_scorecard: Scorecard) -> None:
    score = known_scorecard.score(features_of(small, income="300", jobs="1", trade="farm"))
    half = 22  # 1.645 times 13, rounded up
    assert score.interval == Interval(
        low_points=560 - half,
        high_points=560 + half,
        pd_ppm_low=pd_ppm_of_points(560 + half),
        pd_ppm_high=pd_ppm_of_points(560 - half),
    )
    assert score.interval.pd_ppm_low < score.pd_ppm < score.interval.pd_ppm_high


def test_the_interval_is_clamped_and_its_probabilities_are_not(small: Schema, known_scorecard: Scorecard) -> None:
    features = features_of(small, income="300", jobs="1", trade="farm")
    interval = replace(known_scorecard, offset=840).score(features).interval
    assert (interval.low_points, interval.high_points, interval.pd_ppm_low) == (828, 850, pd_ppm_of_points(872))
    interval = replace(known_scorecard, offset=285).score(features).interval
    assert (interval.low_points, interval.high_points, interval.pd_ppm_high) == (300, 317, pd_ppm_of_points(273))


def test_a_model_without_deviations_and_a_score_without_points_have_no_interval(
    small: Schema, small_scorecard: Scorecard, known_scorecard: Scorecard
) -> None:
    narrow = replace(small_scorecard, thresholds=Thresholds(refer_above_points=0))
    score = narrow.score(features_of(small, income="300", jobs="1", trade="farm"))
    assert (score.outcome, score.interval) == ("scored", None)
    assert known_scorecard.score(features_of(small)).interval is None


def test_an_interval_wider_than_the_policy_allows_is_for_a_person(small: Schema, known_scorecard: Scorecard) -> None:
    features = features_of(small, income="300", jobs="1", trade="farm")
    for most, outcome, codes in ((44, "scored", ["R00"]), (43, "refer", ["V02", "R00"]), (None, "scored", ["R00"])):
        score = replace(known_scorecard, thresholds=Thresholds(refer_above_points=most)).score(features)
        assert (score.outcome, score.points, [reason.code for reason in score.reasons]) == (outcome, 560, codes)
    both = replace(known_scorecard, thresholds=Thresholds(refer_below_ppm=800_000, refer_above_points=1))
    assert [reason.code for reason in both.score(features_of(small, jobs="1", trade="1")).reasons[:2]] == ["V01", "V02"]


@given(st.lists(st.integers(0, 10**8), max_size=40))
def test_the_half_width_is_the_root_rounded_up_and_never_falls(deviations: list[int]) -> None:
    half = half_width_points(deviations)
    squared = 1_645**2 * sum(one**2 for one in deviations)
    assert (half * 10**6) ** 2 >= squared
    assert half == 0 or ((half - 1) * 10**6) ** 2 < squared


@pytest.mark.parametrize(
    "deviations",
    [
        (1, 1, 1),  # a cell short
        (1, 1, -1, 1, 1),
        (1, 1, 1, 1, 100_000_001),
        (1, 2, 1, 1, 1),  # what is absent would be known better
    ],
)
def test_deviations_that_do_not_fit_are_refused(
    small: Schema, known_scorecard: Scorecard, deviations: tuple[int, ...]
) -> None:
    income, jobs, trade = known_scorecard.tables
    with pytest.raises(ScorecardInvalid):
        replace(known_scorecard, tables=(income, replace(jobs, deviations=deviations), trade))


def test_deviations_of_some_inputs_alone_are_refused(known_scorecard: Scorecard) -> None:
    income, *others = known_scorecard.tables
    with pytest.raises(ScorecardInvalid):
        replace(known_scorecard, tables=(replace(income, deviations=None), *others))


def test_at_most_four_reasons(taiwan: Schema) -> None:
    tables = tuple(
        points_table(
            taiwan,
            column.name,
            bins=tuple(range(column.cells.count)),
            points=tuple(range(column.cells.count)),
        )
        for column in taiwan.inputs
    )
    scorecard = Scorecard(schema=taiwan, tables=tables, offset=500)
    everything = Features(values=(None,) * len(taiwan.graded), cells=(0,) * len(taiwan.columns))
    score = scorecard.score(everything)
    assert len(score.reasons) == 4
    assert len({reason.code for reason in score.reasons}) == 4
    lost = [reason.points_lost for reason in score.reasons]
    assert lost == sorted(lost, reverse=True)


@given(st.data())
def test_losses_add_up_to_the_distance_from_the_best_score(
    small: Schema, small_scorecard: Scorecard, data: st.DataObject
) -> None:
    cells = tuple(data.draw(st.integers(0, column.cells.count - 1)) for column in small.columns)
    features = Features(values=(None,) * len(small.graded), cells=cells)
    best = small_scorecard.offset + sum(max(table.points) for table in small_scorecard.tables)
    reasons = small_scorecard.reasons_of(features)
    assert sum(reason.points_lost for reason in reasons) == best - small_scorecard.unclamped_points(features)
    score = small_scorecard.score(features)
    assert score == small_scorecard.score(features)
    assert score.points is None or 300 <= score.points <= 850


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("age", InputProtected),
        ("of_age", InputProtected),
        ("trade x of_age", InputProtected),
        ("late-30", InputUnsourced),
        ("late", InputUnsourced),
        ("nothing", ScorecardInvalid),
    ],
)
def test_protected_and_unsourced_inputs_are_refused(small: Schema, name: str, error: type[Exception]) -> None:
    count = small.columns[small.position[name]].cells.count if name in small.position else 3
    table = PointsTable(feature=name, reason="R00", bins=tuple(range(count)), points=(0,) * count)
    with pytest.raises(error):
        Scorecard(schema=small, tables=(table,), offset=0)


@pytest.mark.parametrize(
    ("bins", "points", "error"),
    [
        ((0, 1, 2, 3), (0, 0, 0, 0), ScorecardInvalid),
        ((0, 1, 2, 3, 4), (0, 0, 0, 0), ScorecardInvalid),
        ((0, 0, 1, 2, 3), (1, 2, 0, 0, 0), ScorecardInvalid),
        ((0, 1, 2, 3, 5), (0, 0, 0, 0, 0), ScorecardInvalid),
        ((-1, 0, 1, 2, 3), (0, 0, 0, 0, 0), ScorecardInvalid),
        ((0, 1, 2, 3, 4), (0, 0, 0, 0, 10**6), ScorecardInvalid),
    ],
)
def test_tables_of_the_wrong_shape_are_refused(
    small: Schema, bins: tuple[int, ...], points: tuple[int, ...], error: type[Exception]
) -> None:
    with pytest.raises(error):
        Scorecard(schema=small, tables=(points_table(small, "jobs", bins=bins, points=points),), offset=0)


def test_other_parts_are_checked_too(small_scorecard: Scorecard) -> None:
    first = small_scorecard.tables[0]
    for change in (
        {"tables": ()},
        {"tables": (first, first)},
        {"offset": 10**9},
        {"bands": ()},
        {"bands": (Band(name="A", from_points=600),)},
        {"bands": (Band(name="A", from_points=300), Band(name="B", from_points=600))},
        {"thresholds": Thresholds(unscorable_below_ppm=2, refer_below_ppm=1)},
        {"thresholds": Thresholds(unscorable_below_ppm=-1, refer_below_ppm=1)},
        {"thresholds": Thresholds(refer_above_points=-1)},
    ):
        with pytest.raises(ScorecardInvalid):
            replace(small_scorecard, **change)  # type: ignore[arg-type]
    with pytest.raises(ReasonUnknown):
        replace(small_scorecard, tables=(replace(first, reason="R999"),))


def test_the_points_digest_is_of_what_decides_the_points(small_scorecard: Scorecard) -> None:
    digest = small_scorecard.points_digest
    assert len(digest) == 32
    assert replace(small_scorecard, thresholds=Thresholds(unscorable_below_ppm=1)).points_digest == digest
    first = small_scorecard.tables[0]
    moved = replace(first, points=(-29, *first.points[1:]))
    for changed in (
        replace(small_scorecard, offset=551),
        replace(small_scorecard, tables=(moved, *small_scorecard.tables[1:])),
        replace(small_scorecard, tables=small_scorecard.tables[::-1]),
    ):
        assert changed.points_digest != digest
