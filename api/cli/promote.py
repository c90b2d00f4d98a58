"""`credence promote`: a validated model takes the former one's place, and every tenant's log tells of it."""

from pathlib import Path

from api.active_model import keep_promoted, load_active_model
from api.cli.tenants import open_stores
from api.cli.terminal import USAGE, CommandFailed, print_json, print_rows
from api.clock import now_ms
from api.settings import Settings, load_settings
from api.store.promotions import Decision, Promotion, load_promoted
from scoring.artifact import AnyArtifact, load_model
from scoring.errors import ArtifactInvalid, ScoringError
from scoring.validation.intervals import NotReleasable
from scoring.validation.report import ValidationReport, load_report

_MOST_OVERRIDE_CHARS = 200


def run_promotion(*, validation: Path, model: Path, override: str | None, as_json: bool) -> None:
    """Promote a model that its validation speaks for, or that a person answers for."""
    if override is not None and not (0 < len(override.strip()) <= _MOST_OVERRIDE_CHARS and override.isprintable()):
        raise CommandFailed(f"--override is a reason of 1 to {_MOST_OVERRIDE_CHARS} characters.", exit_code=USAGE)
    try:
        report, report_sha256 = load_report(validation)
    except ScoringError as refused:
        raise CommandFailed(f"{validation}: {refused}", exit_code=USAGE) from None
    try:
        artifact = load_model(model)
    except ArtifactInvalid as refused:
        raise CommandFailed(f"{model}: {refused}", exit_code=USAGE) from None
    settings = load_settings()
    if settings.model_sha256 not in ("", artifact.digest.hex()):
        raise CommandFailed("CREDENCE_MODEL_SHA256 pins another model: the service would not start with this one.")
    with open_stores(settings) as stores:
        promoted = load_promoted(stores.engine)
        former = _find_active(settings, promoted)
        if former == artifact.digest:
            former = None  # it takes nobody's place
        decision = _decide(report, artifact, former, override, is_promoted=artifact.digest == promoted)
        # The model first: a crash after it leaves a copy that nobody uses.
        keep_promoted(settings, artifact)
        told = stores.promotions.promote(
            Promotion(
                model_sha256=artifact.digest,
                former_sha256=former,
                report_sha256=report_sha256,
                decision=decision,
                override=override,
                epsilon_micro=report.privacy.epsilon_micro,
                delta_e12=report.privacy.delta_e12,
                ledger_sha256=report.privacy.ledger[0].sha256,
            ),
            now_ms(),
        )
    shown = {
        "model_sha256": artifact.digest.hex(),
        "former_sha256": None if former is None else former.hex(),
        "report_sha256": report_sha256.hex(),
        "decision": decision,
        "entries": told,
    }
    if as_json:
        print_json(shown)
        return
    print_rows([(name.replace("_sha256", ""), value) for name, value in shown.items()], indent=0)
    print("Restart the service: it scores with this model from its next start on.")


def _find_active(settings: Settings, promoted: bytes | None) -> bytes | None:
    """The digest of the model that the service would score with now, None where there is none."""
    if promoted is not None:
        return promoted
    try:
        return load_active_model(settings, None).digest
    except ArtifactInvalid:
        return None


def _decide(
    report: ValidationReport, artifact: AnyArtifact, former: bytes | None, override: str | None, *, is_promoted: bool
) -> Decision:
    """Why a model may take the place of the former one, if there is one; raises `CommandFailed` where it may not."""
    validated = {model.tables.model_sha256: model.role for model in report.models}
    role = validated.get(artifact.digest.hex())
    if role is None:
        raise CommandFailed("The report is of other models than the one in --model.")
    if override is not None:
        return "override"
    if role != report.choice.winner:
        raise CommandFailed("The report does not choose this model. A person may answer for it: --override REASON.")
    if report.choice.why == "better":
        champion = report.models[0].tables.model_sha256
        if former not in (None, bytes.fromhex(champion)):
            raise CommandFailed("The report compares with another model than the one that is active: validate again.")
        return "better"
    if former is not None:
        raise CommandFailed(
            "This model is not shown to be better than the one that is active. Validate it as its challenger, or "
            "let a person answer for it: --override REASON."
        )
    if isinstance(report.models[0].performance.figures["auc"], NotReleasable):
        raise CommandFailed("Its AUC is not releasable. A person may answer for it: --override REASON.")
    return "confirmed" if is_promoted else "first"
