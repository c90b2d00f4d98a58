"""A trained model on disk: weights.safetensors, card.json, schema.toml and MANIFEST.json under one digest.

The digest is SHA-256(b"credence/artifact/v1\\0" || RFC 8785 of {file name: SHA-256 in hex}). All JSON is canonical
(RFC 8785) and integers, so one state has one encoding and any altered byte shows. What the card must say is what
a claim of differential privacy needs (scoring/card.py); an artifact that does not say it does not load.
"""

import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import rfc8785
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from scoring.card import (
    CardInput,
    ModelCard,
    PublishedCard,
    PublishedNetworkCard,
    encode_card,
    encode_network_card,
    is_network_card,
    parse_card,
    parse_network_card,
)
from scoring.cells import Product
from scoring.errors import (
    ArtifactAltered,
    ArtifactExists,
    ArtifactIncomplete,
    ArtifactUnknownFile,
    ArtifactUnwritten,
    SchemaMismatch,
    WeightsInvalid,
)
from scoring.network.encoding import InputTable
from scoring.network.serving import Network
from scoring.schema import Cross, Schema, parse_schema
from scoring.scorecard import PointsTable, Scorecard, learned_cross

WEIGHTS, CARD, SCHEMA, MANIFEST = "weights.safetensors", "card.json", "schema.toml", "MANIFEST.json"
MAX_FILE_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A loaded model; `digest` (32 bytes) names all of it, `card_json` is the card as published."""

    scorecard: Scorecard
    card: ModelCard
    card_json: bytes
    digest: bytes

    @property
    def model(self) -> Scorecard:
        return self.scorecard


@dataclass(frozen=True, kw_only=True)
class NetworkArtifact:
    """A loaded network, as `Artifact` is a loaded scorecard."""

    network: Network
    card: ModelCard
    card_json: bytes
    digest: bytes

    @property
    def model(self) -> Network:
        return self.network


AnyArtifact = Artifact | NetworkArtifact
Written = TypeVar("Written", Artifact, NetworkArtifact)


def write_artifact(directory: Path, *, scorecard: Scorecard, card: ModelCard) -> Artifact:
    """Write a model so that it is there whole or not at all, having loaded it once; raises ArtifactInvalid.

    The directory must not exist yet; its parent must.
    """
    weights, card_json = _encode_weights(scorecard), encode_card(scorecard, card)
    return _write_files(directory, weights, card_json, scorecard.schema, load_artifact)


def write_network(directory: Path, *, network: Network, card: ModelCard) -> NetworkArtifact:
    """Write a network as `write_artifact` writes a scorecard."""
    weights, card_json = _encode_network(network), encode_network_card(network, card)
    return _write_files(directory, weights, card_json, network.schema, load_network)


def write_model(directory: Path, model: Scorecard | Network, card: ModelCard) -> AnyArtifact:
    """Write a model of either kind."""
    if isinstance(model, Network):
        return write_network(directory, network=model, card=card)
    return write_artifact(directory, scorecard=model, card=card)


def _write_files(
    directory: Path, weights: bytes, card_json: bytes, schema: Schema, load: Callable[[Path], Written]
) -> Written:
    if directory.exists() or directory.is_symlink():
        raise ArtifactExists
    contents = {WEIGHTS: weights, CARD: card_json, SCHEMA: schema.toml}
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
        written = load(unfinished)
        unfinished.rename(directory)
        _sync_directory(directory.parent)
    except OSError as error:
        raise ArtifactUnwritten from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return written


def load_artifact(directory: Path, *, expected_digest: bytes | None = None) -> Artifact:
    """Load a model; raises a leaf of ArtifactInvalid, SchemaInvalid or ScorecardInvalid where anything is amiss.

    1. exactly the four files are there, 2. they have the manifest's hashes and the digest, which is the expected
    one if given, 3. the card states its privacy, drawn from the system and no less than its noise is worth, and
    nothing unknown, 4. the schema is the one it was trained on, with as many rows a person, 5. the tables fit it,
    with sourced and unprotected inputs only.
    """
    contents, digest = _read_verified(directory, expected_digest)
    published = parse_card(contents[CARD])
    schema = _parse_own_schema(contents[SCHEMA], published)
    tables, crosses = _parse_weights(contents[WEIGHTS], schema, published.inputs)
    scorecard = Scorecard(
        schema=schema,
        tables=tables,
        crosses=crosses,
        offset=published.offset,
        bands=published.bands,
        thresholds=published.thresholds,
    )
    if published.points_sha256 != scorecard.points_digest.hex():
        raise ArtifactAltered
    return Artifact(scorecard=scorecard, card=published.card, card_json=contents[CARD], digest=digest)


def load_network(directory: Path, *, expected_digest: bytes | None = None) -> NetworkArtifact:
    """Load a network as `load_artifact` loads a scorecard: neither loads the other's."""
    contents, digest = _read_verified(directory, expected_digest)
    published = parse_network_card(contents[CARD])
    tensors = _parse_tensors(contents[WEIGHTS], {*(f"inputs/{name}" for name in published.inputs), "hidden", "output"})
    network = Network(
        schema=_parse_own_schema(contents[SCHEMA], published),
        tables=tuple(InputTable(feature=name, values=tensors[f"inputs/{name}"]) for name in published.inputs),
        hidden=tensors["hidden"],
        output=tensors["output"],
        bands=published.bands,
        thresholds=published.thresholds,
    )
    if published.weights_sha256 != network.weights_digest.hex():
        raise ArtifactAltered
    return NetworkArtifact(network=network, card=published.card, card_json=contents[CARD], digest=digest)


def load_model(directory: Path, *, expected_digest: bytes | None = None) -> AnyArtifact:
    """Load a model of either kind, as its card names itself."""
    contents = _read_files(directory)
    load = load_network if is_network_card(contents[CARD]) else load_artifact
    return load(directory, expected_digest=expected_digest)


def _read_verified(directory: Path, expected_digest: bytes | None) -> tuple[dict[str, bytes], bytes]:
    contents = _read_files(directory)
    digest = _verify_manifest(contents)
    if expected_digest is not None and digest != expected_digest:
        raise ArtifactAltered
    return contents, digest


def _parse_own_schema(toml: bytes, published: PublishedCard | PublishedNetworkCard) -> Schema:
    schema = parse_schema(toml)
    if (published.schema_name, published.schema_sha256) != (schema.name, schema.digest.hex()):
        raise SchemaMismatch
    if published.card.privacy.rows_per_person != schema.rows_per_person:
        raise SchemaMismatch
    return schema


def _encode_network(network: Network) -> bytes:
    tensors = {f"inputs/{table.feature}": np.ascontiguousarray(table.values) for table in network.tables}
    return save_tensors(
        {**tensors, "hidden": np.ascontiguousarray(network.hidden), "output": np.ascontiguousarray(network.output)}
    )


def _encode_weights(scorecard: Scorecard) -> bytes:
    tensors = {}
    for table in scorecard.tables:
        tensors[f"bins/{table.feature}"] = np.array(table.bins, dtype=np.int32)
        tensors[f"points/{table.feature}"] = np.array(table.points, dtype=np.int32)
        if table.deviations is not None:
            tensors[f"deviations/{table.feature}"] = np.array(table.deviations, dtype=np.int32)
    for cross in scorecard.crosses:
        tensors[f"left/{cross.name}"] = np.array(cross.cells.left, dtype=np.int32)
        tensors[f"right/{cross.name}"] = np.array(cross.cells.right, dtype=np.int32)
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


def _parse_weights(
    data: bytes, schema: Schema, inputs: tuple[CardInput, ...]
) -> tuple[tuple[PointsTable, ...], tuple[Cross, ...]]:
    """Two int32 vectors an input, one more if the model knows its deviations, two for a cross that the fit chose."""
    names = {f"{kind}/{one.name}" for one in inputs for kind in ("bins", "points")}
    names |= {f"{kind}/{one.name}" for one in inputs if one.of for kind in ("left", "right")}
    tensors = _parse_tensors(data, names, or_with={f"deviations/{one.name}" for one in inputs})
    if any(tensor.ndim != 1 for tensor in tensors.values()):
        raise WeightsInvalid
    vectors = {name: tuple(tensor.tolist()) for name, tensor in tensors.items()}
    tables = tuple(
        PointsTable(
            feature=one.name,
            reason=one.reason,
            bins=vectors[f"bins/{one.name}"],
            points=vectors[f"points/{one.name}"],
            deviations=vectors.get(f"deviations/{one.name}"),
        )
        for one in inputs
    )
    crosses = []
    for one in inputs:
        if one.of is not None:
            left, right = vectors[f"left/{one.name}"], vectors[f"right/{one.name}"]
            if not left or not right:
                raise WeightsInvalid
            crosses.append(learned_cross(schema, *one.of, Product(left=left, right=right)))
    return tables, tuple(crosses)


def _parse_tensors(
    data: bytes, names: set[str], *, or_with: Collection[str] = frozenset()
) -> dict[str, NDArray[np.int32]]:
    """int32 tensors of exactly these names, or of them and all of `or_with`."""
    try:
        tensors = load_tensors(data)
    except (SafetensorError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise WeightsInvalid from error
    if set(tensors) not in (names, names.union(or_with)) or any(
        tensor.dtype != np.int32 for tensor in tensors.values()
    ):
        raise WeightsInvalid
    return dict(tensors)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
