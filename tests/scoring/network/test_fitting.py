"""The fit: what it releases and charges, what it learns that no sum of single columns can, and that it repeats."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from scoring.dp.accounting import budget_rho_e12
from scoring.dp.mechanisms import Releases
from scoring.dp.sampler import SeededSampler
from scoring.evaluation.contenders import seeded_bytes
from scoring.evidence import weigh_inputs
from scoring.fitted import total_points
from scoring.fitting import fit_points
from scoring.network.arithmetic import LOG_ODDS_UNIT, MOST_INPUT, ONE, log_odds_of
from scoring.network.encoding import build_table
from scoring.network.fitting import BOUND, STEPS, UNITS, FittedNetwork, choose_bound, encode, fit_network
from scoring.network.sampling import Claim
from scoring.records import Records
from scoring.schema import Schema, parse_schema

SCHEMA = parse_schema(b"""
name = "two"
label = "default"

[[feature]]
name = "left"
kind = "numeric"
low = -1
high = 1

[[feature]]
name = "right"
kind = "numeric"
low = -1
high = 1
special = [-9]

[[feature]]
name = "trade"
kind = "categorical"
categories = ["farm", "shop"]

[[cross]]
of = ["left", "trade"]
""")


def make_records(count: int, seed: int) -> Records:
    """A person is bad where exactly one of two columns is high, nine times in ten."""
    source = np.random.default_rng(seed)
    left, right = source.uniform(-1, 1, (2, count))
    trade = source.integers(0, 3, count)
    bad = ((left > 0) != (right > 0)) ^ (source.random(count) < 0.1)
    first, second, third, cross = (column.cells for column in SCHEMA.columns)
    cells = []
    for one, two, kind in zip(left.tolist(), right.tolist(), trade.tolist(), strict=True):
        found = [first.cell_of(one), second.cell_of(two), third.cell_of(("farm", "shop", None)[kind])]  # type: ignore[union-attr]
        cells.append([*found, cross.cell_of_cells(found[0], found[2])])  # type: ignore[union-attr]
    return Records(
        cells=torch.tensor(cells, dtype=torch.int64).reshape(count, 4),
        labels=torch.from_numpy(bad.astype(np.int64)),
        persons=tuple(map(str, range(count))),
    )


def releases(epsilon: float, *, seed: int = 1, rows_per_person: int = 1) -> Releases:
    return Releases(
        sampler=SeededSampler(seed),
        charged_rho_e12=budget_rho_e12(round(epsilon * 1e6), 10_000_000),
        rows_per_person=rows_per_person,
    )


def fit(records: Records, spent: Releases, schema: Schema = SCHEMA, seed: int = 1) -> FittedNetwork:
    return fit_network(schema.columns, records, spent, row_cap=10**6, random_bytes=seeded_bytes(seed))


def test_it_learns_what_no_sum_of_single_columns_can() -> None:
    learned, held_out = make_records(4_000, 1), make_records(2_000, 2)
    network = fit(learned, releases(8.0))
    scorecard = fit_points(
        SCHEMA.columns[:3],
        Records(cells=learned.cells[:, :3], labels=learned.labels, persons=learned.persons),
        releases(8.0),
        row_cap=10**6,
        random_bytes=seeded_bytes(1),
    )
    labels = held_out.labels.numpy()
    assert roc_auc_score(labels, network.pd(held_out.cells)) > 0.85
    single = replace(scorecard, tables=scorecard.tables[:3])
    assert roc_auc_score(labels, -total_points(single, held_out.cells[:, :3]).numpy()) < 0.60
    assert abs(network.pd(held_out.cells).mean() - labels.mean()) < 0.03


def test_a_fit_spends_its_charge_and_the_same_seeds_give_the_same_weights() -> None:
    records = make_records(300, 3)
    spent = releases(1.0)
    one = fit(records, spent)
    assert 0.999 * spent.charged_rho_e12 < spent.spent_rho_e12 <= spent.charged_rho_e12
    released = {mechanism.name: mechanism.releases for mechanism in spent.list_mechanisms()}
    assert released == {"row_count": 1, "cell_counts": 1, "gradient_sums": STEPS, "score_counts": 1}
    again = fit(records, releases(1.0))
    assert np.array_equal(one.hidden, again.hidden)
    assert np.array_equal(one.output, again.output)
    other = fit(records, releases(1.0, seed=2))
    assert not np.array_equal(one.output, other.output)


@pytest.mark.parametrize("count", [0, 5])
def test_there_may_be_next_to_nobody(count: int) -> None:
    """How few rows there are is as secret as what they hold, so the fit must not show it by failing."""
    network = fit(make_records(count, 4), releases(1.0))
    assert np.isfinite(network.pd(make_records(10, 5).cells)).all()


def test_log_odds_are_the_arithmetics() -> None:
    network, cells = fit(make_records(300, 6), releases(3.0)), make_records(50, 7).cells
    inputs = encode(network.tables, cells).numpy()
    exact = log_odds_of(inputs, network.hidden.astype(np.float64), network.output.astype(np.float64))
    assert np.array_equal(network.log_odds(cells).numpy(), exact * LOG_ODDS_UNIT)
    straight = network.straighten(0.5, -1.0)
    assert straight.log_odds(cells).numpy() == pytest.approx(0.5 * exact * LOG_ODDS_UNIT - 1.0, abs=1e-4)


def test_inputs_are_evidence_ranks_and_marks() -> None:
    column = SCHEMA.columns[1]
    counts = np.full((column.cells.count, 2), 50.0)
    counts[:, 1] = np.arange(len(counts))
    (weighed,) = weigh_inputs([column], [counts], sigma=1.0, base_rate=0.2, rows=counts.sum())
    table = build_table(column, counts, weighed.evidence)
    ordinary = column.cells.ordinary
    evidence, ranks, marks = table.values[:, 0], table.values[:, 1], table.values[:, 2:]
    assert evidence[0] < 0 < evidence[ordinary - 1]
    assert np.abs(table.values).max() <= MOST_INPUT
    assert (np.diff(ranks[:ordinary]) > 0).all()
    assert -ONE < ranks[0] < 0 < ranks[ordinary - 1] < ONE
    assert not marks[:ordinary].any()
    assert not ranks[ordinary:].any()
    assert np.array_equal(marks[ordinary:], np.eye(2) * ONE)  # the special code, and absence


def test_the_bound_shrinks_until_its_noise_fits_a_card() -> None:
    assert choose_bound(10**9, 1) == BOUND
    small = choose_bound(10**3, 1_000)
    assert small < BOUND
    assert small * 1_000 * (10**12 / (2 * 10**3)) ** 0.5 * 1e6 <= 2**52


def test_a_sampled_fit_learns_and_spends_no_rho_on_its_steps() -> None:
    learned, held_out = make_records(4_000, 1), make_records(2_000, 2)
    spent = releases(3.0)
    network = fit_network(
        SCHEMA.columns,
        learned,
        spent,
        row_cap=10**6,
        random_bytes=seeded_bytes(1),
        claim=Claim(epsilon_micro=3_000_000, delta_e12=10_000_000, rate_ppm=250_000),
    )
    assert roc_auc_score(held_out.labels.numpy(), network.pd(held_out.cells)) > 0.7
    assert {one.name for one in spent.list_mechanisms()} == {"row_count", "cell_counts", "score_counts"}
    assert len(network.hidden) == UNITS
