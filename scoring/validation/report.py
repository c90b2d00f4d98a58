"""The validation report: what was released, what it cost, and every figure that follows; one file, canonical JSON.

Its digest is SHA-256(b"credence/validation-report/v1\\0" || the file). As with an artifact, a report whose privacy is
not stated, whose noise was not the system's, or that holds anything that it should not, does not load.
"""

import dataclasses
import hashlib
import json
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import rfc8785

from scoring.card import MAX_INTEGER, DataKind, Privacy, parse_privacy, privacy_members
from scoring.errors import CardInvalid, ReportAltered, ReportExists, ReportInvalid, ReportUnwritten
from scoring.validation.choice import Choice, choose_champion
from scoring.validation.drift import DriftReference
from scoring.validation.fairness import Fairness
from scoring.validation.intervals import CONFIDENCE_PPM
from scoring.validation.performance import Performance
from scoring.validation.tables import ModelTables

MAX_REPORT_BYTES = 4 * 1024 * 1024
_SHA256 = re.compile("[0-9a-f]{64}")

Role = Literal["champion", "challenger"]


@dataclass(frozen=True, kw_only=True)
class ValidatedModel:
    """One model: what was released of it, and what follows."""

    role: Role
    tables: ModelTables
    performance: Performance
    fairness: tuple[Fairness, ...]
    drift_reference: DriftReference


@dataclass(frozen=True, kw_only=True)
class ValidationReport:
    """A validation of one model, or of a champion and its challenger on the same persons held out.

    `confidence_ppm` is that of every interval. The charge that `privacy` names is the holdout's: a person pays it or
    the training's, never both.
    """

    v: Literal[1] = 1
    created_at: int
    data_kind: DataKind
    population: str
    schema_name: str
    schema_sha256: str
    holdout_ppm: int
    confidence_ppm: int = CONFIDENCE_PPM
    privacy: Privacy
    models: tuple[ValidatedModel, ...]
    choice: Choice

    def model_of(self, role: Role) -> ValidatedModel | None:
        return next((model for model in self.models if model.role == role), None)


def report_digest(data: bytes) -> bytes:
    """The digest of a report's file, 32 bytes."""
    return hashlib.sha256(b"credence/validation-report/v1\0" + data).digest()


def encode_report(report: ValidationReport) -> bytes:
    """The report's file; raises ReportInvalid."""
    try:
        return rfc8785.dumps(_to_json(report))
    except rfc8785.CanonicalizationError as error:
        raise ReportInvalid from error


def parse_report(data: bytes) -> ValidationReport:
    """Parse a report.

    1. it is its own canonical form, 2. every member is there, of its type, and no other, 3. its privacy is stated,
    drawn from the system and no less than its noise is worth, 4. the choice is what its figures lead to. Raises
    ReportInvalid, PrivacyUnstated, PrivacyUnderstated or NoiseNotFromSystem.
    """
    if len(data) > MAX_REPORT_BYTES:
        raise ReportInvalid
    try:
        value = json.loads(data)
        if rfc8785.dumps(value) != data:
            raise ReportInvalid
    except (ValueError, RecursionError, rfc8785.CanonicalizationError) as error:
        raise ReportInvalid from error
    report = _from_json(ValidationReport, value)
    assert isinstance(report, ValidationReport)
    roles = [model.role for model in report.models]
    if roles not in (["champion"], ["champion", "challenger"]) or report.confidence_ppm != CONFIDENCE_PPM:
        raise ReportInvalid
    for digest in (report.schema_sha256, *(model.tables.model_sha256 for model in report.models)):
        if not _SHA256.fullmatch(digest):
            raise ReportInvalid
    aucs = [model.performance.figures.get("auc") for model in report.models]
    champion, challenger = aucs[0], aucs[1] if len(aucs) > 1 else None
    if champion is None or None in aucs or report.choice != choose_champion(champion, challenger):
        raise ReportInvalid
    return report


def write_report(path: Path, report: ValidationReport) -> bytes:
    """Write a report so that it is there whole or not at all, having parsed it once; returns its bytes.

    Raises ReportExists where there is something already, ReportUnwritten, and what `parse_report` raises.
    """
    data = encode_report(report)
    parse_report(data)
    unfinished = path.parent / f".{path.name}.{secrets.token_hex(8)}"
    try:
        with unfinished.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.link(unfinished, path)  # refuses to replace another
        descriptor = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except FileExistsError as error:
        raise ReportExists from error
    except OSError as error:
        raise ReportUnwritten from error
    finally:
        unfinished.unlink(missing_ok=True)
    return data


def load_report(path: Path, *, expected_digest: bytes | None = None) -> tuple[ValidationReport, bytes]:
    """A report and its digest; raises ReportAltered where that is not the expected one, and as `parse_report` does."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_REPORT_BYTES + 1)
    except OSError as error:
        raise ReportInvalid from error
    digest = report_digest(data)
    if expected_digest is not None and digest != expected_digest:
        raise ReportAltered
    return parse_report(data), digest


def _to_json(value: object) -> Any:
    if isinstance(value, Privacy):
        return privacy_members(value)
    if dataclasses.is_dataclass(value):
        return {field.name: _to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {name: _to_json(member) for name, member in value.items()}
    if isinstance(value, tuple):
        return [_to_json(member) for member in value]
    return value


def _from_json(type_: Any, value: object) -> Any:
    """What the dataclasses above are made of, and nothing else; raises ReportInvalid."""
    if type_ is Privacy:
        try:
            return parse_privacy(value)
        except CardInvalid as refused:
            if type(refused) is CardInvalid:
                raise ReportInvalid from refused
            raise
    kind, arguments = get_origin(type_), get_args(type_)
    if kind in (Union, UnionType):
        return _from_union(arguments, value)
    if kind is Literal:
        found = [choice for choice in arguments if type(choice) is type(value) and choice == value]
        if not found:
            raise ReportInvalid
        return found[0]
    if kind is tuple and isinstance(value, list):
        if arguments[-1] is Ellipsis:
            return tuple(_from_json(arguments[0], member) for member in value)
        if len(arguments) == len(value):
            return tuple(_from_json(each, member) for each, member in zip(arguments, value, strict=True))
    elif kind is not None and issubclass(kind, Mapping) and isinstance(value, dict):
        return {name: _from_json(arguments[1], member) for name, member in value.items()}
    elif dataclasses.is_dataclass(type_) and isinstance(value, dict):
        hints = get_type_hints(type_)
        names = [field.name for field in dataclasses.fields(type_)]
        if set(names) == set(value):
            made: Any = type_
            return made(**{name: _from_json(hints[name], value[name]) for name in names})
    elif (type_ is int and type(value) is int and abs(value) <= MAX_INTEGER) or (
        type_ is str and isinstance(value, str) and len(value) <= 500
    ):
        return value
    raise ReportInvalid


def _from_union(types: tuple[Any, ...], value: object) -> Any:
    for type_ in types:
        if type_ is NoneType:
            if value is None:
                return None
            continue
        try:
            return _from_json(type_, value)
        except ReportInvalid:
            continue
    raise ReportInvalid
