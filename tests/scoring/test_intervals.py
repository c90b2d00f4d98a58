"""Intervals: they hold what they say they do, and whoever shows less never gets a narrower one."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.dp.accounting import budget_rho_e12
from scoring.dp.mechanisms import Releases
from scoring.dp.sampler import SeededSampler
from scoring.features import ClaimSet, Features, extract_features
from scoring.fitted import total_points
from scoring.fitting import fit_points, fit_scorecard
from scoring.interval import LEVEL_PPM, half_width_points
from scoring.population import Person, synthetic_population, training_rows
from scoring.records import Records, read_records
from scoring.schema import Schema, parse_schema
from scoring.scorecard import Scorecard, points_of_log_odds

INPUTS, CELLS = 12, 10
ADDITIVE = parse_schema(
    b'name = "additive"\nlabel = "bad"\n'
    + "".join(
        f'[[feature]]\nname = "x{place}"\nkind = "numeric"\nlow = 0\nhigh = {CELLS}\ncells = {CELLS}\n'
        f'source = "urn:test:type{place % 3}:1#/x{place}"\n'
        for place in range(INPUTS)
    ).encode()
)
SLOPES = np.array([1.2, -0.9, 0.8, 0.6, -0.5, 0.5, 0.4, 0.3, 0.0, 0.1, -0.2, 0.2])


def _releases(epsilon_micro: int, seed: int) -> Releases:
    rho_e12 = budget_rho_e12(epsilon_micro, 1_000_000)
    return Releases(sampler=SeededSampler(seed), charged_rho_e12=rho_e12, rows_per_person=1)


def _draw(rows: int, missing: float) -> tuple[Records, np.ndarray]:
    """Rows whose log odds add up from their inputs, and those; a third of the inputs is absent at a time."""
    generator = np.random.default_rng(3)
    values = generator.random((rows, INPUTS))
    log_odds = -1.4 + (values - 0.5) @ SLOPES + 0.5 * np.sin(3 * values[:, 0])
    labels = generator.random(rows) < 1 / (1 + np.exp(-log_odds))
    cells = np.floor(values * CELLS).astype(np.int64)
    away = generator.random((rows, 3)) < missing
    cells[away[:, np.arange(INPUTS) % 3]] = CELLS
    records = Records(
        cells=torch.tensor(cells),
        labels=torch.tensor(labels.astype(np.int64)),
        persons=tuple(map(str, range(rows))),
    )
    return records, log_odds


@pytest.mark.parametrize(("rows", "missing"), [(4_000, 0.3), (16_000, 0.1)])
@pytest.mark.parametrize("epsilon_micro", [300_000, 1_000_000, 3_000_000, 10_000_000])
def test_the_true_points_lie_in_nearly_nine_of_ten_intervals(rows: int, missing: float, epsilon_micro: int) -> None:
    """True are the points of the very chances that the labels were drawn with, of everything that could be absent."""
    assert LEVEL_PPM == 900_000
    records, log_odds = _draw(rows, missing)
    true = np.array([points_of_log_odds(-one) for one in log_odds])
    held = []
    for seed in range(5, 11):  # one fit's errors are those of all its scores
        releases = _releases(epsilon_micro, seed)
        fitted = fit_points(ADDITIVE.inputs, records, releases, row_cap=10**6, random_bytes=bytes)
        off = total_points(fitted, records.cells).numpy() - true
        singles = [table for table in fitted.tables if table.pair is None]
        held += [
            abs(one) <= half_width_points(table.deviations[cell] for table, cell in zip(singles, cells, strict=True))
            for one, cells in zip(off, records.cells[:500].tolist(), strict=False)
        ]
    assert 0.85 <= np.mean(held) <= 0.98


def test_a_smaller_budget_and_fewer_rows_make_wider_intervals() -> None:
    def width(rows: int, epsilon_micro: int) -> float:
        records, _ = _draw(16_000, 0.1)
        records = Records(cells=records.cells[:rows], labels=records.labels[:rows], persons=records.persons[:rows])
        fitted = fit_points(ADDITIVE.inputs, records, _releases(epsilon_micro, 5), row_cap=10**6, random_bytes=bytes)
        return half_width_points(max(table.deviations) for table in fitted.tables)

    assert width(16_000, 10_000_000) < width(16_000, 300_000)
    assert width(16_000, 1_000_000) < width(2_000, 1_000_000)


@pytest.fixture(scope="module")
def people() -> tuple[Person, ...]:
    return synthetic_population(700, 7)


@pytest.fixture(scope="module", params=[300_000, 8_000_000])
def scorecard(request: pytest.FixtureRequest, people: tuple[Person, ...]) -> Scorecard:
    schema = parse_schema((Path(__file__).parents[2] / "scoring/schemas/synthetic.toml").read_bytes())
    records = read_records(schema, training_rows(schema, people))
    return fit_scorecard(schema, records, _releases(request.param, 9), row_cap=10**5, random_bytes=bytes)


def _features(schema: Schema, person: Person, types: set[str]) -> Features:
    claims = {vct: [ClaimSet(issued_at_ms=0, claims=person.claims[vct])] for vct in types}
    return extract_features(schema, claims, now_ms=0)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_to_leave_out_a_credential_never_narrows_the_interval(
    scorecard: Scorecard, people: tuple[Person, ...], data: st.DataObject
) -> None:
    """And any subset of them scores, or is unscorable for the coverage alone."""
    person = data.draw(st.sampled_from(people))
    shown = data.draw(st.sets(st.sampled_from(sorted(person.claims)), min_size=1))
    left = shown - {data.draw(st.sampled_from(sorted(shown)))}
    wide, narrow = (scorecard.half_width_of(_features(scorecard.schema, person, types)) for types in (left, shown))
    assert narrow is not None
    assert wide is not None
    assert wide >= narrow
    score = scorecard.score(_features(scorecard.schema, person, shown))
    assert (score.interval is None) == (score.outcome == "unscorable")
    if score.interval is not None and score.points is not None:
        assert score.interval.low_points <= score.points <= score.interval.high_points
        assert score.interval.pd_ppm_low <= score.pd_ppm <= score.interval.pd_ppm_high


def test_the_less_is_shown_the_wider_it_is(scorecard: Scorecard, people: tuple[Person, ...]) -> None:
    """On average strictly so, from everything down to nothing."""
    several = [person for person in people if len(person.claims) >= 3][:60]
    widths = []
    for count in (3, 2, 1, 0):
        shown = [set(sorted(person.claims)[:count]) for person in several]
        half_widths = [
            scorecard.half_width_of(_features(scorecard.schema, person, types))
            for person, types in zip(several, shown, strict=True)
        ]
        widths.append(math.fsum(one for one in half_widths if one is not None))
    assert widths == sorted(widths)
    assert widths[0] < widths[-1]
