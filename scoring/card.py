"""The model card, card.json: what is said of a model beside its points, and what a privacy claim must say.

It holds no count, rate or digest of the data: each would tell whether somebody is in it.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import rfc8785

from scoring.dp.accounting import budget_rho_e12, gaussian_rho_e12
from scoring.errors import (
    CardInvalid,
    NoiseNotFromSystem,
    PrivacyParametersInvalid,
    PrivacyUnderstated,
    PrivacyUnstated,
)
from scoring.scorecard import (
    BASE_ODDS,
    BASE_POINTS,
    MAX_POINTS,
    MIN_POINTS,
    PDO,
    Band,
    Scorecard,
    Thresholds,
)

MAX_INTEGER = 2**53 - 1

DataKind = Literal["synthetic", "private", "public_benchmark"]
_DATA_KINDS: tuple[DataKind, ...] = ("synthetic", "private", "public_benchmark")
_SHA256 = re.compile("[0-9a-f]{64}")
_SCALING = {
    "pdo": PDO,
    "base_points": BASE_POINTS,
    "base_odds": BASE_ODDS,
    "min_points": MIN_POINTS,
    "max_points": MAX_POINTS,
}


@dataclass(frozen=True, kw_only=True)
class Mechanism:
    """One kind of noised release: so many of it, each an integer sum with discrete Gaussian noise.

    `sensitivity_squared` is the square of its L2 sensitivity to one row, in the sum's integer units, of which
    `scale` make one; `sigma_micro` is the noise's deviation in millionths of such a unit.
    """

    name: str
    releases: int
    sensitivity_squared: int
    scale: int
    sigma_micro: int


@dataclass(frozen=True, kw_only=True)
class LedgerReference:
    """An entry of the privacy ledger and the SHA-256 of its line, in hex."""

    id: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Privacy:
    """The privacy claim of a model: all of it, or the model does not load.

    (epsilon_micro / 10^6, delta_e12 / 10^12) for one person, add/remove, with at most `rows_per_person` rows at
    each of at most `institutions`.
    """

    epsilon_micro: int
    delta_e12: int
    unit: str = "person"
    adjacency: str = "add_remove"
    rows_per_person: int
    institutions: int
    accountant: str = "zcdp"
    sampler: str
    mechanisms: tuple[Mechanism, ...]
    ledger: tuple[LedgerReference, ...]


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What is said of a model beside its points. It holds no count, rate or digest of the data: each would tell."""

    name: str
    created_at_ms: int
    data_kind: DataKind
    population: str
    privacy: Privacy
    limits: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class CardInput:
    """A model input and its reason code."""

    name: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class PublishedCard:
    """card.json, parsed: the model card and what it says of the files beside it."""

    card: ModelCard
    schema_name: str
    schema_sha256: str
    points_sha256: str
    offset: int
    inputs: tuple[CardInput, ...]
    bands: tuple[Band, ...]
    thresholds: Thresholds


def encode_card(scorecard: Scorecard, card: ModelCard) -> bytes:
    """card.json of a model: canonical JSON, integers only; raises CardInvalid."""
    privacy = card.privacy
    document: dict[str, Any] = {
        "v": 1,
        "name": card.name,
        "created_at": card.created_at_ms,
        "data_kind": card.data_kind,
        "population": card.population,
        "limits": list(card.limits),
        "privacy": {
            **vars(privacy),
            "mechanisms": [vars(mechanism) for mechanism in privacy.mechanisms],
            "ledger": [vars(entry) for entry in privacy.ledger],
        },
        "schema": {"name": scorecard.schema.name, "sha256": scorecard.schema.digest.hex()},
        "points_sha256": scorecard.points_digest.hex(),
        "scaling": {**_SCALING, "offset": scorecard.offset},
        "inputs": [{"name": table.feature, "reason": table.reason} for table in scorecard.tables],
        "bands": [vars(band) for band in scorecard.bands],
        "thresholds": vars(scorecard.thresholds),
    }
    try:
        return rfc8785.dumps(document)
    except rfc8785.CanonicalizationError as error:
        raise CardInvalid from error


def parse_card(data: bytes) -> PublishedCard:
    """Parse card.json; raises PrivacyUnstated, PrivacyUnderstated, NoiseNotFromSystem or CardInvalid."""
    document = _parse_canonical(data)
    if "privacy" not in document:
        raise PrivacyUnstated
    _require_members(
        document,
        "v name created_at data_kind population limits privacy schema points_sha256 scaling inputs bands thresholds",
        CardInvalid,
    )
    data_kind = next((kind for kind in _DATA_KINDS if kind == document["data_kind"]), None)
    scaling = _require_members(document["scaling"], " ".join([*_SCALING, "offset"]), CardInvalid)
    version = _whole(document["v"], CardInvalid)
    if version != 1 or data_kind is None or any(scaling[name] != value for name, value in _SCALING.items()):
        raise CardInvalid
    schema = _require_members(document["schema"], "name sha256", CardInvalid)
    thresholds = _require_members(document["thresholds"], "unscorable_below_ppm refer_below_ppm", CardInvalid)
    return PublishedCard(
        card=ModelCard(
            name=_text(document["name"], CardInvalid),
            created_at_ms=_whole(document["created_at"], CardInvalid),
            data_kind=data_kind,
            population=_text(document["population"], CardInvalid),
            limits=tuple(_text(limit, CardInvalid) for limit in _list(document["limits"], CardInvalid)),
            privacy=_parse_privacy(document["privacy"]),
        ),
        schema_name=_text(schema["name"], CardInvalid),
        schema_sha256=_text(schema["sha256"], CardInvalid),
        points_sha256=_text(document["points_sha256"], CardInvalid),
        offset=_whole(scaling["offset"], CardInvalid, lowest=-MAX_INTEGER),
        inputs=tuple(_parse_input(one) for one in _list(document["inputs"], CardInvalid)),
        bands=tuple(_parse_band(one) for one in _list(document["bands"], CardInvalid)),
        thresholds=Thresholds(**{name: _whole(ppm, CardInvalid, lowest=0) for name, ppm in thresholds.items()}),
    )


def _parse_input(value: object) -> CardInput:
    members = _require_members(value, "name reason", CardInvalid)
    return CardInput(name=_text(members["name"], CardInvalid), reason=_text(members["reason"], CardInvalid))


def _parse_band(value: object) -> Band:
    members = _require_members(value, "name from_points", CardInvalid)
    return Band(name=_text(members["name"], CardInvalid), from_points=_whole(members["from_points"], CardInvalid))


def _parse_privacy(value: object) -> Privacy:
    privacy = _require_members(
        value,
        "epsilon_micro delta_e12 unit adjacency rows_per_person institutions accountant sampler mechanisms ledger",
        PrivacyUnstated,
    )
    if (privacy["unit"], privacy["adjacency"], privacy["accountant"]) != ("person", "add_remove", "zcdp"):
        raise PrivacyUnstated
    if privacy["sampler"] != "os":
        raise NoiseNotFromSystem
    mechanisms = []
    for one in _list(privacy["mechanisms"], PrivacyUnstated):
        members = _require_members(one, "name releases sensitivity_squared scale sigma_micro", PrivacyUnstated)
        name = _text(members["name"], PrivacyUnstated)
        figures = {key: _whole(figure, PrivacyUnstated) for key, figure in members.items() if key != "name"}
        mechanisms.append(Mechanism(name=name, **figures))
    ledger = []
    for one in _list(privacy["ledger"], PrivacyUnstated):
        members = _require_members(one, "id sha256", PrivacyUnstated)
        entry = LedgerReference(**{key: _text(text, PrivacyUnstated) for key, text in members.items()})
        if not _SHA256.fullmatch(entry.sha256):
            raise PrivacyUnstated
        ledger.append(entry)
    delta_e12 = _whole(privacy["delta_e12"], PrivacyUnstated)
    if not mechanisms or not ledger or delta_e12 >= 10**12:
        raise PrivacyUnstated
    parsed = Privacy(
        epsilon_micro=_whole(privacy["epsilon_micro"], PrivacyUnstated),
        delta_e12=delta_e12,
        rows_per_person=_whole(privacy["rows_per_person"], PrivacyUnstated),
        institutions=_whole(privacy["institutions"], PrivacyUnstated),
        sampler="os",
        mechanisms=tuple(mechanisms),
        ledger=tuple(ledger),
    )
    _verify_certificate(parsed)
    return parsed


def _verify_certificate(privacy: Privacy) -> None:
    """The noise that the card lists must be worth the (epsilon, delta) that it states; raises PrivacyUnderstated."""
    rows = privacy.rows_per_person * privacy.institutions
    spent_rho_e12 = sum(
        mechanism.releases
        * gaussian_rho_e12(
            sensitivity_squared=mechanism.sensitivity_squared * rows**2, sigma_micro=mechanism.sigma_micro
        )
        for mechanism in privacy.mechanisms
    )
    try:
        stated_rho_e12 = budget_rho_e12(privacy.epsilon_micro, privacy.delta_e12)
    except PrivacyParametersInvalid as error:
        raise PrivacyUnstated from error
    if spent_rho_e12 > stated_rho_e12:
        raise PrivacyUnderstated


def _parse_canonical(data: bytes) -> Mapping[str, object]:
    """JSON that is its own canonical form, which leaves no room for duplicate names or a second spelling."""
    try:
        value = json.loads(data)
        canonical = rfc8785.dumps(value)
    except (ValueError, RecursionError, rfc8785.CanonicalizationError) as error:
        raise CardInvalid from error
    if canonical != data or not isinstance(value, dict):
        raise CardInvalid
    return value


def _require_members(value: object, names: str, refusal: type[CardInvalid]) -> dict[str, object]:
    if not isinstance(value, dict) or set(value) != set(names.split()):
        raise refusal
    return value


def _list(value: object, refusal: type[CardInvalid]) -> list[object]:
    if not isinstance(value, list):
        raise refusal
    return value


def _text(value: object, refusal: type[CardInvalid]) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= 500:
        raise refusal
    return value


def _whole(value: object, refusal: type[CardInvalid], *, lowest: int = 1) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= MAX_INTEGER:
        raise refusal
    return value
