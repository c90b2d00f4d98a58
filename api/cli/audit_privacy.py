"""`credence audit-privacy`: attack the privacy claim, and print what was claimed beside what was shown.

Needs the training extra, as `credence train` does; nothing that serves imports this module.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from api.cli.terminal import CommandFailed, LateProgress, format_epsilon, print_json

try:
    from scoring.audit.audit import FULL, SHORT, audit_privacy
    from scoring.audit.bounds import CONFIDENCE, LEAST_POWER, epsilon_of_mu
    from scoring.audit.finding import FAULTS, Finding
    from scoring.audit.subjects import DELTA_E12, EPSILON_MICRO, PAIRS_EPSILON_MICRO
except ModuleNotFoundError as missing:
    raise CommandFailed(f"An audit needs {missing.name}: pip install 'credence[training]'.") from None

_HEADINGS = ("audited", "of", "claimed", "at least", "moved", "runs", *FAULTS, "")


def run_audit(*, runs: int | None, seed: int, short: bool, as_json: bool) -> None:
    """Audit, print every finding, and fail where one did not pass."""
    with LateProgress() as progress:
        extent = SHORT if short else FULL
        findings = audit_privacy(replace(extent, runs=runs or extent.runs), seed=seed, progress=progress.show)
    if as_json:
        print_json(_document(findings, seed))
    else:
        _print_table(findings, seed)
    failed = sum(not finding.holds for finding in findings)
    weak = sum(finding.holds and not finding.strong for finding in findings)
    if failed or weak:
        raise CommandFailed(f"{failed} of {len(findings)} findings pass their claims, and {weak} are too weak to tell.")


def _document(findings: Sequence[Finding], seed: int) -> dict[str, object]:
    """What is infinite is null: a person who was not hidden at all."""
    return {
        "confidence": CONFIDENCE,
        "least_power": LEAST_POWER,
        "seed": seed,
        "data_kind": "synthetic",
        "charged_epsilon_micro": 0,
        "audited_epsilon_micro": EPSILON_MICRO,
        "audited_pairs_epsilon_micro": PAIRS_EPSILON_MICRO,
        "audited_delta_e12": DELTA_E12,
        "passed": all(finding.passed for finding in findings),
        "findings": [
            {
                "subject": finding.subject,
                "check": finding.check,
                "name": finding.name,
                "measure": finding.measure,
                "claimed": _finite(finding.claimed),
                "at_least": _finite(finding.bound),
                "claimed_epsilon": _epsilon(finding, finding.claimed),
                "at_least_epsilon": _epsilon(finding, finding.bound),
                "moved": None if finding.moved is None else _finite(finding.moved),
                "runs": finding.runs,
                "power": dict(finding.powers),
                "note": finding.note,
                "passed": finding.passed,
            }
            for finding in findings
        ],
    }


def _print_table(findings: Sequence[Finding], seed: int) -> None:
    print(
        f"At most 50 synthetic rows (seed {seed}) at epsilon {format_epsilon(EPSILON_MICRO)}, or with pairs "
        f"{format_epsilon(PAIRS_EPSILON_MICRO)}, delta {DELTA_E12 / 1e12:g}; nothing is charged to any population.\n"
        f"At least: a bound at {CONFIDENCE:.0%} confidence. Moved: the share of it that the audited person uses.\n"
        f"{', '.join(FAULTS)}: the chance that such a fault is caught.\n"
    )
    rows = [_HEADINGS, *(_cells(finding) for finding in findings)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    for finding in findings:
        if finding.check == "transcript":
            print(
                f"\n{finding.subject}, as epsilon at delta {DELTA_E12 / 1e12:g}: claimed "
                f"{_shown(_epsilon(finding, finding.claimed))}, at least {_shown(_epsilon(finding, finding.bound))}."
            )


def _cells(finding: Finding) -> tuple[str, ...]:
    verdict = "passed" if finding.passed else "FAILED" if not finding.holds else "TOO WEAK"
    return (
        f"{finding.subject}: {finding.check}, {finding.name}",
        finding.measure,
        _shown(finding.claimed),
        _shown(finding.bound),
        "" if finding.moved is None else _shown(finding.moved),
        str(finding.runs),
        *(_chance(finding.powers.get(fault)) for fault in FAULTS),
        f"{verdict}: {finding.note}" if finding.note else verdict,
    )


def _epsilon(finding: Finding, mu: float) -> float | None:
    if finding.measure != "mu":
        return None
    return None if math.isinf(mu) else round(epsilon_of_mu(mu, DELTA_E12 / 1e12), 6)


def _chance(power: float | None) -> str:
    """Rounded down, so that none looks surer than it is."""
    return "" if power is None else f"{math.floor(1e5 * power) / 1e5:.5f}"


def _finite(amount: float) -> float | None:
    return None if math.isinf(amount) else amount


def _shown(amount: float | None) -> str:
    return "infinite" if amount is None or math.isinf(amount) else f"{amount:.4g}"
