"""Validate a model, or a champion and its challenger, on the persons held out: the ledger first, then one release."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from scoring.artifact import AnyArtifact
from scoring.card import DataKind, LedgerReference, Privacy
from scoring.dp.accounting import budget_rho_e12
from scoring.dp.ledger import Entry, Ledger
from scoring.dp.mechanisms import Releases
from scoring.dp.reuse import inputs_mac
from scoring.dp.sampler import Sampler, SystemSampler
from scoring.dp.split import Split
from scoring.errors import (
    BudgetExceeded,
    CardInvalid,
    HoldoutNeedsPerson,
    HoldoutSeen,
    PopulationChanged,
    PrivacyParametersInvalid,
    ReportAltered,
    ReportExists,
    ReportInvalid,
    ReportUnwritten,
)
from scoring.rows import Row
from scoring.schema import Schema
from scoring.training import LEAST_EPSILON_MICRO
from scoring.validation.choice import choose_champion
from scoring.validation.drift import drift_reference
from scoring.validation.fairness import measure_fairness
from scoring.validation.histogram import GROUP_GRID, groupings_of, read_held_out, release_tables, score_edges
from scoring.validation.performance import measure_performance
from scoring.validation.report import Role, ValidatedModel, ValidationReport, load_report, report_digest, write_report
from scoring.validation.tables import ModelTables

ALGORITHM = "validation-1"
"""Names everything that turns rows into a report but the parameters."""


@dataclass(frozen=True, kw_only=True)
class Validated:
    """A report, its digest and where it lies; `reused` if the ledger knew its inputs and nothing was spent."""

    report: ValidationReport
    digest: bytes
    path: Path
    reused: bool


def validate_models(
    load_rows: Callable[[], Sequence[Row]],
    schema: Schema,
    *,
    champion: AnyArtifact,
    challenger: AnyArtifact | None = None,
    epsilon_micro: int,
    population: str,
    split: Split,
    data_kind: DataKind,
    ledger: Ledger,
    reuse_key: bytes,
    out: Path,
    now_ms: int,
    sampler: Sampler | None = None,
) -> Validated:
    """Validate on those of a population who are held out, and write the report to `out`.

    1. a model that may have seen them is refused, 2. so is another split, and a charge that the budget does not cover,
    before a row is read, unless a report of these very parameters may be there, 3. the same rows, models, schema and
    parameters give that report, uncharged, 4. the charge, of the holdout alone, is durable before any noise is drawn,
    and stands whatever happens after, 5. the report is written and recorded. The delta is the population's. Raises
    HoldoutSeen, SplitChanged, HoldoutNeedsPerson, PopulationUnknown, PopulationChanged, BudgetExceeded,
    PrivacyParametersInvalid, RowInvalid,
    ColumnMissing, ValueInvalid, ReportExists, ReportUnwritten, and NoiseNotFromSystem where a sampler for tests was
    injected.
    """
    artifacts = [champion] if challenger is None else [champion, challenger]
    sampler = sampler or SystemSampler()
    account = ledger.load_account(population)
    if schema.person is None:
        raise HoldoutNeedsPerson
    if account.person != schema.person:
        raise PopulationChanged
    for artifact in artifacts:
        _verify_unseen(artifact, population, ledger.load_entries())
    ledger.open_split(population, key_check=split.key_check, holdout_ppm=split.holdout_ppm, now_ms=now_ms)
    rho_e12 = budget_rho_e12(epsilon_micro, account.delta_e12)
    if epsilon_micro < LEAST_EPSILON_MICRO:
        raise PrivacyParametersInvalid
    public: dict[str, object] = {
        "algorithm": ALGORITHM,
        "sampler": sampler.source,
        "schema": schema.digest.hex(),
        "models": [artifact.digest.hex() for artifact in artifacts],
        "epsilon_micro": epsilon_micro,
        "delta_e12": account.delta_e12,
        "holdout_ppm": split.holdout_ppm,
        "split_key_check": split.key_check,
    }
    if rho_e12 > account.left_rho_e12("holdout"):
        left = _find_left_by_crash(ledger, out, population=population, parameters=public)
        if left is None and not ledger.has_artifact(population, public):
            raise BudgetExceeded

    rows = split.select(schema, load_rows(), "holdout")
    schemas = [schema, *(artifact.model.schema for artifact in artifacts)]
    names = {feature.name for one in schemas for feature in one.features}
    mac = inputs_mac(
        reuse_key,
        parameters={**public, "population": population},
        columns=[schema.label, schema.person, *sorted(names)],
        rows=rows,
    )
    recorded = _load_recorded(ledger, mac, out)
    if recorded is not None:
        return recorded
    left = _find_left_by_crash(ledger, out, inputs_mac=mac)
    if left is not None:
        report, digest, charge = left
        ledger.append_artifact(charge, inputs_mac=mac, digest=digest.hex(), directory=str(out.resolve()), now_ms=now_ms)
        return Validated(report=report, digest=digest, path=out, reused=True)
    if out.exists() or out.is_symlink():
        raise ReportExists
    if not os.access(out.parent, os.W_OK | os.X_OK):
        raise ReportUnwritten  # before the charge, which would buy nothing
    groupings = groupings_of(schema)
    held_out = read_held_out(schema, rows, artifacts, groupings)

    charge = ledger.append_charge(
        population,
        rho_e12=rho_e12,
        purpose="validate",
        parameters=public,
        inputs_mac=mac,
        now_ms=now_ms,
        side="holdout",
    )
    releases = Releases(sampler=sampler, charged_rho_e12=rho_e12, rows_per_person=schema.rows_per_person)
    tables = release_tables(held_out, artifacts, groupings, releases)
    # Nothing below sees a row: all of it is computed from what was released.
    roles: tuple[Role, ...] = ("champion", "challenger")
    models = tuple(
        _measure(role, of_model, rows_per_person=schema.rows_per_person)
        for role, of_model in zip(roles, tables, strict=False)
    )
    aucs = [model.performance.figures["auc"] for model in models]
    report = ValidationReport(
        created_at=now_ms,
        data_kind=data_kind,
        population=population,
        schema_name=schema.name,
        schema_sha256=schema.digest.hex(),
        holdout_ppm=split.holdout_ppm,
        privacy=Privacy(
            epsilon_micro=epsilon_micro,
            delta_e12=account.delta_e12,
            rows_per_person=schema.rows_per_person,
            institutions=1,
            sampler=sampler.source,
            mechanisms=releases.list_mechanisms(),
            ledger=(LedgerReference(id=str(charge.seq), sha256=charge.sha256),),
        ),
        models=models,
        choice=choose_champion(aucs[0], aucs[1] if len(aucs) > 1 else None),
    )
    digest = report_digest(write_report(out, report))
    # A crash here leaves a report that the ledger does not know: `_find_left_by_crash` finds its charge by its privacy.
    ledger.append_artifact(charge, inputs_mac=mac, digest=digest.hex(), directory=str(out.resolve()), now_ms=now_ms)
    return Validated(report=report, digest=digest, path=out, reused=False)


def _verify_unseen(artifact: AnyArtifact, population: str, entries: Sequence[Entry]) -> None:
    """A model of this population must have been paid for by its training side, as this ledger knows.

    A model of another population is believed to be of other people, as the ledger believes populations to be.
    """
    if artifact.card.population != population:
        return
    charges = {entry.sha256: entry for entry in entries if entry.type == "charge"}
    for reference in artifact.card.privacy.ledger:
        charge = charges.get(reference.sha256)
        if charge is None or (charge.body["population"], charge.body.get("side")) != (population, "train"):
            raise HoldoutSeen


def _measure(role: Role, tables: ModelTables, *, rows_per_person: int) -> ValidatedModel:
    return ValidatedModel(
        role=role,
        tables=tables,
        performance=measure_performance(tables.scores, tables.bands, rows_per_person=rows_per_person),
        fairness=tuple(
            measure_fairness(table, tables.scores, tables.bands, rows_per_person=rows_per_person)
            for table in tables.groups
        ),
        drift_reference=drift_reference(tables.scores, score_edges(tables.bands, GROUP_GRID)),
    )


def _load_recorded(ledger: Ledger, mac: str, out: Path) -> Validated | None:
    """The report that the ledger has of these inputs, at `out`; None where there is none, or it does not load."""
    recorded = ledger.find_artifact(mac)
    if recorded is None:
        return None
    digest = bytes.fromhex(recorded.digest)
    for path in (out, Path(recorded.directory)):
        try:
            report, _ = load_report(path, expected_digest=digest)
        except (ReportInvalid, ReportAltered, CardInvalid):
            continue
        if path != out:
            write_report(out, report)
        return Validated(report=report, digest=digest, path=out, reused=True)
    return None


def _find_left_by_crash(ledger: Ledger, out: Path, **wanted: object) -> tuple[ValidationReport, bytes, Entry] | None:
    """The report at `out` and the charge that bought it, if it names one whose body has what is wanted."""
    try:
        report, digest = load_report(out)
    except (ReportInvalid, CardInvalid):
        return None
    named = {reference.sha256 for reference in report.privacy.ledger}
    for entry in ledger.load_entries():
        if entry.type == "charge" and entry.sha256 in named and all(entry.body[k] == v for k, v in wanted.items()):
            return report, digest, entry
    return None
