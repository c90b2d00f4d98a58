"""The model that a service scores with: the promoted one, or before any promotion, the one in the settings' folder."""

from pathlib import Path

from api.settings import Settings, SettingsError
from scoring.artifact import AnyArtifact, load_model, write_model
from scoring.errors import ArtifactExists, ArtifactInvalid


class PromotedModelMissing(SettingsError):
    """The database says which model was promoted, and this host has no copy of it."""


def promoted_folder(settings: Settings, digest: bytes) -> Path:
    """Where a promoted model lies on each host."""
    return settings.var / "models" / "promoted" / digest.hex()


def has_promoted(settings: Settings) -> bool:
    """Whether any model was promoted on this host."""
    return (settings.var / "models" / "promoted").is_dir()


def load_active_model(settings: Settings, promoted: bytes | None) -> AnyArtifact:
    """Load the model to score with, given the digest of the one that was promoted.

    Raises PromotedModelMissing where this host has it not, SettingsError where the settings pin another, and
    ArtifactInvalid.
    """
    pinned = bytes.fromhex(settings.model_sha256) if settings.model_sha256 else None
    if promoted is None:
        return load_model(settings.model, expected_digest=pinned)
    if pinned not in (None, promoted):
        raise SettingsError("CREDENCE_MODEL_SHA256 names another model than the one that was promoted.")
    for folder in (promoted_folder(settings, promoted), settings.model):
        try:
            return load_model(folder, expected_digest=promoted)
        except ArtifactInvalid:
            continue
    raise PromotedModelMissing(
        f"The promoted model is not on this host: copy it to {promoted_folder(settings, promoted)}."
    )


def keep_promoted(settings: Settings, artifact: AnyArtifact) -> None:
    """Put a copy of a model where every start of the service finds it; raises ArtifactInvalid."""
    folder = promoted_folder(settings, artifact.digest)
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        write_model(folder, artifact.model, artifact.card)
    except ArtifactExists:
        load_model(folder, expected_digest=artifact.digest)
