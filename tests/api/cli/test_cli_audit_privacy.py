"""credence audit-privacy: a short audit of the real sampler and fit passes; what passes its claim fails the command."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from api.cli import audit_privacy as command
from scoring.audit.audit import FULL, SHORT, Extent
from scoring.audit.finding import FAULTS, HALF_SIGMA, ROUNDED, Finding

Credence = Callable[..., Any]


def finding(*, bound: float, power: float = 1.0) -> Finding:
    return Finding(
        subject="scorecard",
        check="transcript",
        name="whole run",
        measure="mu",
        claimed=2.0,
        bound=bound,
        runs=500,
        moved=0.9,
        powers={HALF_SIGMA: power},
        note="",
    )


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """The command with an audit that found this, and what the audit was asked for."""
    asked: dict[str, Any] = {}

    def of(*findings: Finding) -> dict[str, Any]:
        def audit(extent: Extent, **how: Any) -> list[Finding]:
            asked.update(how, extent=extent)
            return list(findings)

        monkeypatch.setattr(command, "audit_privacy", audit)
        return asked

    return of


def test_a_short_audit_of_what_is_real_passes_and_would_catch_every_fault(credence: Credence) -> None:
    ran = credence("audit-privacy", "--short", "--json")
    assert ran.code == 0, ran.err
    report = ran.json
    assert report["passed"] is True
    assert report["charged_epsilon_micro"] == 0
    assert {one["check"] for one in report["findings"]} >= {
        "sampler",
        "sensitivity",
        "accounting",
        "release",
        "transcript",
    }
    for one in report["findings"]:
        assert one["passed"] is True
        assert one["at_least"] <= one["claimed"]
        assert all(power >= report["least_power"] for power in one["power"].values())
        assert set(one["power"]) <= set(FAULTS)
    for sampler in ("OpenDP's sampler", "table sampler"):
        powers = {one["name"]: one["power"] for one in report["findings"] if one["subject"] == sampler}
        assert powers["sigma 0.6"].keys() == {HALF_SIGMA, ROUNDED}
        assert powers["sigma 50000"].keys() == {HALF_SIGMA}
    gradients = [one for one in report["findings"] if one["name"].startswith("gradient_sums")]
    assert {one["check"] for one in gradients} == {"sensitivity", "release"}
    assert all(one["moved"] > 0.9 for one in gradients)
    (whole,) = [one for one in report["findings"] if one["check"] == "transcript" and one["subject"] == "scorecard"]
    assert 0 < whole["at_least_epsilon"] < whole["claimed_epsilon"]


def test_what_is_claimed_stands_beside_what_was_shown(credence: Credence, found: Callable[..., dict[str, Any]]) -> None:
    asked = found(finding(bound=1.6))
    printed = credence("audit-privacy").out
    assert "scorecard: transcript, whole run" in printed
    assert "passed" in printed
    assert "nothing is charged to any population" in printed
    assert "claimed 11, at least 8.423" in printed
    assert (asked["extent"], asked["seed"]) == (FULL, 1)
    assert FULL.runs == 10_000


@pytest.mark.parametrize(
    ("options", "extent"),
    [
        (["--short"], SHORT),
        (["--runs", "700"], replace(FULL, runs=700)),
        (["--short", "--runs", "700"], replace(SHORT, runs=700)),
    ],
)
def test_runs_are_as_asked(
    credence: Credence, found: Callable[..., dict[str, Any]], options: list[str], extent: Extent
) -> None:
    asked = found(finding(bound=1.6))
    credence("audit-privacy", *options, "--seed", "5")
    assert (asked["extent"], asked["seed"]) == (extent, 5)


@pytest.mark.parametrize("bound", [2.01, math.inf])
def test_a_bound_past_its_claim_fails(credence: Credence, found: Callable[..., dict[str, Any]], bound: float) -> None:
    found(finding(bound=1.6), finding(bound=bound))
    refused = credence("audit-privacy")
    assert refused.code == 1
    assert "FAILED" in refused.out
    assert "1 of 2 findings pass their claims, and 0 are too weak to tell" in refused.err
    report = credence("audit-privacy", "--json").json
    assert [one["passed"] for one in report["findings"]] == [True, False]
    assert report["findings"][1]["at_least"] == (None if math.isinf(bound) else bound)


def test_an_audit_that_might_miss_a_fault_fails_too(credence: Credence, found: Callable[..., dict[str, Any]]) -> None:
    found(finding(bound=1.6, power=0.99))
    refused = credence("audit-privacy")
    assert refused.code == 1
    assert "TOO WEAK" in refused.out
    assert "0 of 1 findings pass their claims, and 1 are too weak to tell" in refused.err
