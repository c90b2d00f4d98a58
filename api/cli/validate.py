"""`credence validate`: a model, or two of them, on the persons held out, through the privacy ledger."""

import json
from collections.abc import Sequence
from pathlib import Path

from api.cli.terminal import USAGE, CommandFailed, format_epsilon, parse_exact, print_json, print_rows
from api.cli.train import (
    OtherSplit,
    find_data,
    load_reuse_key,
    load_split,
    open_ledger,
    remaining_epsilon_micro,
)
from api.clock import now_ms
from api.settings import load_settings
from scoring.artifact import AnyArtifact, load_model
from scoring.errors import (
    ArtifactInvalid,
    BudgetExceeded,
    PopulationChanged,
    PopulationNotSplit,
    ReportExists,
    SplitChanged,
    ValueInvalid,
)
from scoring.validation.fairness import Fairness
from scoring.validation.intervals import CONFIDENCE_PPM, Figure, NotReleasable
from scoring.validation.report import ValidatedModel, encode_report
from scoring.validation.validate import Validated, validate_models

_PERFORMANCE = {
    "auc": "AUC",
    "gini": "Gini",
    "ks": "KS",
    "brier": "Brier",
    "bad_rate": "went bad",
    "mean_pd": "expected to",
    "ece": "calibration error",
    "unscorable": "without a score",
}
_REASONS = {"noise": "not releasable: noise", "too_few": "not releasable: too few"}
_CHOICES = {
    "better": "the challenger: its AUC is shown to be higher",
    "not_shown_better": "the champion stays: the challenger's AUC is not shown to be higher",
    "not_releasable": "the champion stays: the AUCs are not releasable",
    "no_challenger": "none: there is no challenger",
}


def run_validation(
    *,
    model: Path,
    challenger: Path | None,
    data: str,
    schema_path: Path | None,
    population: str,
    epsilon: str,
    delta: str | None,
    out: Path,
    data_kind: str,
    as_json: bool,
) -> None:
    """Validate as the options say, and print what it cost and what it found."""
    champion = _load_model(model)
    second = None if challenger is None else _load_model(challenger)
    load_rows, schema, kind = find_data(data, schema_path, data_kind)
    epsilon_micro = parse_exact(epsilon, 6, "--epsilon")
    settings = load_settings()
    ledger = open_ledger(settings)
    account = ledger.load_account(population)
    if delta is not None and parse_exact(delta, 12, "--delta") != account.delta_e12:
        raise CommandFailed(
            f"--delta is the population's, {account.delta_e12 / 1e12:g}, and may be left out.", exit_code=USAGE
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        holdout_ppm = ledger.load_holdout_ppm(population)
        validated = validate_models(
            load_rows,
            schema,
            champion=champion,
            challenger=second,
            epsilon_micro=epsilon_micro,
            population=population,
            split=load_split(settings, ledger, population, holdout_ppm),
            data_kind=kind,
            ledger=ledger,
            reuse_key=load_reuse_key(settings),
            out=out,
            now_ms=now_ms(),
        )
    except PopulationNotSplit as refused:
        raise CommandFailed(f"{refused} Train with --holdout first.") from None
    except SplitChanged:
        raise OtherSplit(ledger.load_holdout_ppm(population)) from None
    except PopulationChanged:
        raise CommandFailed(
            f"The privacy ledger counts this population's persons by {account.person or 'row'}, the schema otherwise."
        ) from None
    except BudgetExceeded as refused:
        left = format_epsilon(remaining_epsilon_micro(account, "holdout"))
        raise CommandFailed(f"{refused} What is left of the holdout's pays for one of epsilon {left}.") from None
    except ReportExists:
        raise CommandFailed(f"{out} is there already, and is never written over: choose another --out.") from None
    except ValueInvalid as refused:
        raise CommandFailed(f"{refused} The column is {refused.feature}.") from None
    left_micro = remaining_epsilon_micro(ledger.load_account(population), "holdout")
    if as_json:
        print_json(
            {
                "report_sha256": validated.digest.hex(),
                "file": str(validated.path),
                "reused": validated.reused,
                "charged_epsilon_micro": 0 if validated.reused else epsilon_micro,
                "remaining_epsilon_micro": left_micro,
                "report": json.loads(encode_report(validated.report)),
            }
        )
    else:
        _print_report(validated, epsilon_micro, left_micro)


def _load_model(folder: Path) -> AnyArtifact:
    try:
        return load_model(folder)
    except ArtifactInvalid as refused:
        raise CommandFailed(f"{folder}: {refused}", exit_code=USAGE) from None


def _print_report(validated: Validated, epsilon_micro: int, left_micro: int) -> None:
    report = validated.report
    print("Found the report of this very validation; nothing was spent." if validated.reused else "Validated.")
    print_rows(
        [
            ("report", validated.digest.hex()),
            ("in", validated.path),
            ("population", f"{report.population}, of which {report.holdout_ppm / 10_000:g}% of the persons"),
            ("epsilon", f"{format_epsilon(epsilon_micro)} at delta {report.privacy.delta_e12 / 1e12:g}, a person's"),
            ("charged now", format_epsilon(0 if validated.reused else epsilon_micro)),
            ("remaining", f"one validation of {format_epsilon(left_micro)}"),
            ("intervals", f"{CONFIDENCE_PPM / 10_000:g}%, sampling and noise together"),
        ]
    )
    for model in report.models:
        _print_model(model)
    difference = report.choice.auc_difference
    print(f"\nchoice: {_CHOICES[report.choice.why]}" + (f" ({_shown(difference)})" if difference else ""))


def _print_model(model: ValidatedModel) -> None:
    print(f"\n{model.role} {model.tables.model_sha256}")
    figures = model.performance.figures
    print_rows([(label, _shown(figures[name])) for name, label in _PERFORMANCE.items()])
    _print_table(
        ["band", "share", "went bad", "expected to"],
        [
            [band.name, *(_shown(band.figures[name]) for name in ("share", "bad_rate", "mean_pd"))]
            for band in model.performance.bands
        ],
    )
    for column in model.fairness:
        _print_fairness(column)


def _print_fairness(fairness: Fairness) -> None:
    """Approval from each cut-off up, one block a cut-off."""
    names = {
        "approved": "approved",
        "adverse_impact_ratio": "impact ratio",
        "equal_opportunity_difference": "equal opportunity",
    }
    rows = []
    for group in fairness.groups:
        for cut in group.cuts:
            shown = [_shown(cut.figures[name]) if name in cut.figures else "compared with" for name in names]
            rows.append([group.name, f"{cut.band} and up", *shown, _shown(group.figures["calibration_gap"])])
    _print_table([fairness.column, "cut-off", *names.values(), "expected less bad"], rows)


def _print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[place]) for row in [header, *rows]) + 2 for place in range(len(header))]
    print()
    for row in [header, *rows]:
        print("  " + "".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)).rstrip())


def _shown(figure: Figure | NotReleasable) -> str:
    if isinstance(figure, NotReleasable):
        return _REASONS[figure.reason]
    return f"{figure.value_ppm / 1e6:.3f} [{figure.low_ppm / 1e6:.3f}, {figure.high_ppm / 1e6:.3f}]"
