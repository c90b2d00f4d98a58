"""A second implementation judges the same credentials: every disagreement has a reason in the committed file.

The whole corpus is judged by `python -m tests.differential`.
"""

import json
from collections import Counter
from importlib.metadata import version

import pytest

pytest.importorskip("openvc", reason="openvc-core is not installed")

from tests.differential.comparison import ACCEPTED, COMMITTED, OTHERWISE, committed_reasons, compare
from tests.differential.corpus import cases

SLICE = 1_500


def test_every_disagreement_of_a_slice_has_a_committed_reason_and_the_slice_is_of_both_kinds():
    committed = json.loads(COMMITTED.read_text())
    run = compare(cases(committed["seed"], SLICE))
    reasons = committed_reasons()
    assert {rule: run.examples[rule] for rule in run.disagreements if not reasons.get(rule)} == {}
    assert run.both_accept > SLICE / 5
    assert run.both_refuse > SLICE / 5


def test_the_committed_run_is_of_20000_credentials_with_a_fifth_of_them_valid_and_adds_up():
    committed = json.loads(COMMITTED.read_text())
    assert committed["openvc_core"] == version("openvc-core")
    assert committed["credentials"] == 20_000
    assert committed["both_accept"] >= 20_000 / 5
    counts = Counter({index: rule["count"] for index, rule in enumerate(committed["disagreements"])})
    assert counts.total() == committed["disagree"]
    assert committed["both_accept"] + committed["both_refuse"] + committed["disagree"] == 20_000
    assert all(rule["reason"] for rule in committed["disagreements"])


def test_where_we_are_the_laxer_side_the_reason_is_the_standards():
    laxer = [rule for rule in committed_reasons() if rule.ours in (ACCEPTED, OTHERWISE)]
    assert {rule.ours for rule in laxer} <= {ACCEPTED}, "both accept, and read different claims"
    assert {rule.mutation for rule in laxer} == {
        *("claim names no issuer", "a list of one proof", "proof without a context", "any payload", "any proof")
    }


def test_a_seed_names_one_corpus():
    assert list(cases(3, 40)) == list(cases(3, 40))
    assert list(cases(3, 40)) != list(cases(4, 40))
