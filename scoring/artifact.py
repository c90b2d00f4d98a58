"""A trained model on disk: weights.safetensors, card.json, schema.toml and MANIFEST.json under one digest.

The digest is SHA-256(b"credence/artifact/v1\\0" || RFC 8785 of {file name: SHA-256 in hex}). All JSON is canonical
(RFC 8785) and integers, so one state has one encoding and any altered byte shows. What the card must say is what
a claim of differential privacy needs (scoring/card.py); an artifact that does not say it does not load.
"""

import hashlib
import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rfc8785
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from scoring.card import CardInput, ModelCard, encode_card, parse_card
from scoring.errors import (
    ArtifactAltered,
    ArtifactExists,
    ArtifactIncomplete,
    ArtifactUnknownFile,
    ArtifactUnwritten,
    SchemaMismatch,
    WeightsInvalid,
)
from scoring.schema import parse_schema
from scoring.scorecard import PointsTable, Scorecard

WEIGHTS, CARD, SCHEMA, MANIFEST = "weights.safetensors", "card.json", "schema.toml", "MANIFEST.json"
MAX_FILE_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A loaded model; `digest` (32 bytes) names all of it, `card_json` is the card as published."""

    scorecard: Scorecard
    card: ModelCard
    card_json: bytes
    digest: bytes


def write_artifact(directory: Path, *, scorecard: Scorecard, card: ModelCard) -> Artifact:
    """Write a model so that it is there whole or not at all, having loaded it once; raises ArtifactInvalid.

    The directory must not exist yet; its parent must.
    """
    if directory.exists() or directory.is_symlink():
        raise ArtifactExists
    contents = {
        WEIGHTS: _encode_weights(scorecard),
        CARD: encode_card(scorecard, card),
        SCHEMA: scorecard.schema.toml,
    }
    contents[MANIFEST] = _encode_manifest({name: hashlib.sha256(data).hexdigest() for name, data in contents.items()})
    unfinished = directory.parent / f".{directory.name}.{secrets.token_hex(8)}"
    try:
        unfinished.mkdir()
        for name, data in contents.items():
            with (unfinished / name).open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        _sync_directory(unfinished)
        artifact = load_artifact(unfinished)
        unfinished.rename(directory)
        _sync_directory(directory.parent)
    except OSError as error:
        raise ArtifactUnwritten from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return artifact


def load_artifact(directory: Path, *, expected_digest: bytes | None = None) -> Artifact:
    """Load a model; raises a leaf of ArtifactInvalid, SchemaInvalid or ScorecardInvalid where anything is amiss.

    1. exactly the four files are there, 2. they have the manifest's hashes and the digest, which is the expected
    one if given, 3. the card states its privacy, drawn from the system and no less than its noise is worth, and
    nothing unknown, 4. the schema is the one it was trained on, with as many rows a person, 5. the tables fit it,
    with sourced and unprotected inputs only.
    """
    contents = _read_files(directory)
    digest = _verify_manifest(contents)
    if expected_digest is not None and digest != expected_digest:
        raise ArtifactAltered
    published = parse_card(contents[CARD])
    schema = parse_schema(contents[SCHEMA])
    if (published.schema_name, published.schema_sha256) != (schema.name, schema.digest.hex()):
        raise SchemaMismatch
    if published.card.privacy.rows_per_person != schema.rows_per_person:
        raise SchemaMismatch
    scorecard = Scorecard(
        schema=schema,
        tables=_parse_weights(contents[WEIGHTS], published.inputs),
        offset=published.offset,
        bands=published.bands,
        thresholds=published.thresholds,
    )
    if published.points_sha256 != scorecard.points_digest.hex():
        raise ArtifactAltered
    return Artifact(scorecard=scorecard, card=published.card, card_json=contents[CARD], digest=digest)


def _encode_weights(scorecard: Scorecard) -> bytes:
    tensors = {}
    for table in scorecard.tables:
        tensors[f"bins/{table.feature}"] = np.array(table.bins, dtype=np.int32)
        tensors[f"points/{table.feature}"] = np.array(table.points, dtype=np.int32)
    return save_tensors(tensors)


def _encode_manifest(hashes: Mapping[str, str]) -> bytes:
    return rfc8785.dumps({"v": 1, "files": dict(hashes), "digest": _digest(hashes).hex()})


def _digest(hashes: Mapping[str, str]) -> bytes:
    return hashlib.sha256(b"credence/artifact/v1\0" + rfc8785.dumps(dict(hashes))).digest()


def _read_files(directory: Path) -> dict[str, bytes]:
    wanted = {WEIGHTS, CARD, SCHEMA, MANIFEST}
    contents = {}
    try:
        found = {path.name: path for path in directory.iterdir()}
        if not wanted.issuperset(found):
            raise ArtifactUnknownFile
        for name in sorted(wanted):
            path = found.get(name)
            if path is None or path.is_symlink() or not path.is_file() or path.stat().st_size > MAX_FILE_BYTES:
                raise ArtifactIncomplete
            contents[name] = path.read_bytes()
    except OSError as error:
        raise ArtifactIncomplete from error
    return contents


def _verify_manifest(contents: Mapping[str, bytes]) -> bytes:
    """The manifest is a function of the other files: re-made, it must be the same bytes."""
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items() if name != MANIFEST}
    if contents[MANIFEST] != _encode_manifest(hashes):
        raise ArtifactAltered
    return _digest(hashes)


def _parse_weights(data: bytes, inputs: tuple[CardInput, ...]) -> tuple[PointsTable, ...]:
    """Two int32 vectors an input, and nothing else."""
    try:
        tensors = load_tensors(data)
    except (SafetensorError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise WeightsInvalid from error
    names = {f"{kind}/{one.name}" for one in inputs for kind in ("bins", "points")}
    if set(tensors) != names or any(tensor.dtype != np.int32 or tensor.ndim != 1 for tensor in tensors.values()):
        raise WeightsInvalid
    return tuple(
        PointsTable(
            feature=one.name,
            reason=one.reason,
            bins=tuple(tensors[f"bins/{one.name}"].tolist()),
            points=tuple(tensors[f"points/{one.name}"].tolist()),
        )
        for one in inputs
    )


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
