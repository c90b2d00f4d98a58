"""Train a model on a population: the ledger first, then the fit, then the artifact."""

import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from scoring import fitting
from scoring.artifact import AnyArtifact, load_model, write_model
from scoring.card import DataKind, LedgerReference, ModelCard, Privacy
from scoring.dp.accounting import budget_rho_e12
from scoring.dp.convolution import SystemTableSampler
from scoring.dp.ledger import Entry, Ledger
from scoring.dp.mechanisms import Releases
from scoring.dp.reuse import inputs_mac
from scoring.dp.sampler import Sampler, SystemSampler
from scoring.dp.split import Side, Split
from scoring.errors import (
    ArtifactExists,
    ArtifactInvalid,
    ArtifactUnwritten,
    BudgetExceeded,
    HoldoutNeedsPerson,
    InputUnsourced,
    PopulationChanged,
    PrivacyParametersInvalid,
)
from scoring.fitting import fit_scorecard
from scoring.network import fitting as network_fitting
from scoring.network.fitting import fit_network
from scoring.network.serving import Network
from scoring.progress import Progress, no_progress
from scoring.records import Records, read_records
from scoring.rows import Row
from scoring.schema import Schema
from scoring.scorecard import Scorecard

ModelKind = Literal["scorecard", "network"]
ALGORITHMS: Mapping[ModelKind, str] = {"scorecard": fitting.ALGORITHM, "network": network_fitting.ALGORITHM}

LEAST_EPSILON_MICRO = 1_000
"""A smaller charge would be paid and then have no share left for each release."""


@dataclass(frozen=True, kw_only=True)
class TrainingParameters:
    """What a training may spend and use: (epsilon_micro / 10^6, delta_e12 / 10^12), at most `row_cap` rows.

    Raises PrivacyParametersInvalid; delta must be below 1 / row_cap, and 1 / (10 row_cap) is the better habit.
    """

    epsilon_micro: int
    delta_e12: int
    row_cap: int

    def __post_init__(self) -> None:
        budget_rho_e12(self.epsilon_micro, self.delta_e12)
        if self.epsilon_micro < LEAST_EPSILON_MICRO:
            raise PrivacyParametersInvalid
        if not 1 <= self.row_cap <= 10**9 or self.delta_e12 * self.row_cap >= 10**12:
            raise PrivacyParametersInvalid


@dataclass(frozen=True, kw_only=True)
class Trained:
    """An artifact and where it lies; `reused` if the ledger knew its inputs and nothing was spent."""

    artifact: AnyArtifact
    directory: Path
    reused: bool


def train_model(
    load_rows: Callable[[], Sequence[Row]],
    schema: Schema,
    *,
    kind: ModelKind = "scorecard",
    parameters: TrainingParameters,
    population: str,
    data_kind: DataKind,
    ledger: Ledger,
    reuse_key: bytes,
    split: Split | None = None,
    out: Path,
    now_ms: int,
    sampler: Sampler | None = None,
    random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    device: str = "cpu",
    progress: Progress = no_progress,
) -> Trained:
    """Train on a population whose budget stands in the ledger, and write the artifact to `out`.

    With a split, on those of it who are not held out, and they alone are charged.

    1. a charge that the budget does not cover is refused before a row is read, unless an artifact of these very
    parameters may be there, 2. the same rows, schema and parameters give that artifact, uncharged, 3. the charge
    is durable before any noise is drawn, and stands whatever happens after, 4. the artifact is written and recorded.
    Raises BudgetExceeded, PopulationUnknown, PopulationChanged where the ledger counts its persons by another column,
    SplitChanged where it knows another split, HoldoutNeedsPerson, RowInvalid, ColumnMissing, ValueInvalid,
    InputUnsourced, ArtifactExists, ArtifactUnwritten, NoiseNotFromSystem where a sampler for tests was injected.
    """
    if not schema.inputs:
        raise InputUnsourced
    sampler = sampler or (SystemTableSampler() if kind == "network" else SystemSampler())
    rho_e12 = budget_rho_e12(parameters.epsilon_micro, parameters.delta_e12)
    public: dict[str, object] = {
        "algorithm": ALGORITHMS[kind],
        "sampler": sampler.source,
        "schema": schema.digest.hex(),
        **vars(parameters),
    }
    account = ledger.load_account(population)
    if account.person != schema.person:
        raise PopulationChanged
    side: Side = "all"
    if split is not None:
        if schema.person is None:
            raise HoldoutNeedsPerson
        side = "train"
        ledger.open_split(population, key_check=split.key_check, holdout_ppm=split.holdout_ppm, now_ms=now_ms)
        public |= {"holdout_ppm": split.holdout_ppm, "split_key_check": split.key_check}
    if rho_e12 > account.left_rho_e12(side):
        left = _find_left_by_crash(ledger, out, population=population, parameters=public)
        if left is None and not ledger.has_artifact(population, public):
            raise BudgetExceeded

    rows = load_rows()
    if split is not None:
        rows = split.select(schema, rows, side)  # what is held out changes nothing below, nor is it paid for
    columns = [schema.label, *([schema.person] if schema.person else []), *(one.name for one in schema.features)]
    mac = inputs_mac(reuse_key, parameters={**public, "population": population}, columns=columns, rows=rows)
    reused = _load_recorded(ledger, mac, out)
    if reused is not None:
        return Trained(artifact=reused, directory=out, reused=True)
    left = _find_left_by_crash(ledger, out, inputs_mac=mac)
    if left is not None:
        artifact, charge = left
        ledger.append_artifact(
            charge, inputs_mac=mac, digest=artifact.digest.hex(), directory=str(out.resolve()), now_ms=now_ms
        )
        return Trained(artifact=artifact, directory=out, reused=True)
    if out.exists() or out.is_symlink():
        raise ArtifactExists
    if not os.access(out.parent, os.W_OK | os.X_OK):
        raise ArtifactUnwritten  # before the charge, which would buy nothing
    records = read_records(schema, rows, device=device, progress=progress)

    charge = ledger.append_charge(
        population, rho_e12=rho_e12, purpose="train", parameters=public, inputs_mac=mac, now_ms=now_ms, side=side
    )
    releases = Releases(sampler=sampler, charged_rho_e12=rho_e12, rows_per_person=schema.rows_per_person)
    fit: Callable[..., Scorecard | Network] = _fit_network if kind == "network" else fit_scorecard
    model = fit(schema, records, releases, row_cap=parameters.row_cap, random_bytes=random_bytes, progress=progress)
    card = ModelCard(
        name=schema.name,
        created_at_ms=now_ms,
        data_kind=data_kind,
        population=population,
        privacy=Privacy(
            epsilon_micro=parameters.epsilon_micro,
            delta_e12=parameters.delta_e12,
            rows_per_person=schema.rows_per_person,
            institutions=1,
            sampler=sampler.source,
            mechanisms=releases.list_mechanisms(),
            ledger=(LedgerReference(id=str(charge.seq), sha256=charge.sha256),),
        ),
        limits=_limits(parameters, split),
    )
    artifact = write_model(out, model, card)
    # A crash here leaves a model that the ledger does not know: `_find_left_by_crash` finds its charge by its card.
    ledger.append_artifact(
        charge, inputs_mac=mac, digest=artifact.digest.hex(), directory=str(out.resolve()), now_ms=now_ms
    )
    return Trained(artifact=artifact, directory=out, reused=False)


def _fit_network(
    schema: Schema,
    records: Records,
    releases: Releases,
    *,
    row_cap: int,
    random_bytes: Callable[[int], bytes],
    progress: Progress,
) -> Network:
    fitted = fit_network(
        schema.inputs,
        records,
        releases,
        row_cap=row_cap,
        rows_per_person=schema.rows_per_person,
        random_bytes=random_bytes,
        progress=progress,
    )
    return Network(schema=schema, tables=fitted.tables, hidden=fitted.hidden, output=fitted.output)


def _limits(parameters: TrainingParameters, split: Split | None) -> tuple[str, ...]:
    used = f"At most {parameters.row_cap} rows were used."
    if split is None:
        return (used, "Nobody was held out: discrimination and calibration cannot be measured on this population.")
    return (used, f"Of each million persons, {split.holdout_ppm} were held out for a validation, which stands apart.")


def _load_recorded(ledger: Ledger, mac: str, out: Path) -> AnyArtifact | None:
    """The artifact that the ledger has of these inputs, at `out`; None where there is none, or it does not load.

    It is known by its digest wherever it lies: at `out` already, or in the folder that it was first written to.
    """
    recorded = ledger.find_artifact(mac)
    if recorded is None:
        return None
    artifact = _load_by_digest(out, recorded.digest)
    if artifact is None:
        artifact = _load_by_digest(Path(recorded.directory), recorded.digest)
        if artifact is not None:
            artifact = write_model(out, artifact.model, artifact.card)
    return artifact


def _find_left_by_crash(ledger: Ledger, out: Path, **wanted: object) -> tuple[AnyArtifact, Entry] | None:
    """The artifact at `out` and the charge that bought it, if its card names one whose body has what is wanted."""
    try:
        artifact = load_model(out)
    except ArtifactInvalid:
        return None
    named = {reference.sha256 for reference in artifact.card.privacy.ledger}
    for entry in ledger.load_entries():
        if (
            entry.type == "charge"
            and entry.sha256 in named
            and all(entry.body[name] == value for name, value in wanted.items())
        ):
            return artifact, entry
    return None


def _load_by_digest(directory: Path, digest: str) -> AnyArtifact | None:
    try:
        return load_model(directory, expected_digest=bytes.fromhex(digest))
    except (ArtifactInvalid, ValueError):
        return None
