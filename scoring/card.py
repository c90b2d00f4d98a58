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
from scoring.network.arithmetic import ACTIVATION_BITS, WEIGHT_BITS
from scoring.network.serving import Network
from scoring.scorecard import (
    BASE_ODDS,
    BASE_POINTS,
    MAX_POINTS,
    MIN_POINTS,
    PDO,
    Band,
    PointsTable,
    Scorecard,
    Thresholds,
)

MAX_INTEGER = 2**53 - 1

DataKind = Literal["synthetic", "private", "public_benchmark"]
_DATA_KINDS: tuple[DataKind, ...] = ("synthetic", "private", "public_benchmark")
_SHA256 = re.compile("[0-9a-f]{64}")
_ARCHITECTURE = {"activation": "softsign", "activation_bits": ACTIVATION_BITS, "weight_bits": WEIGHT_BITS}
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
    """A model input and its reason code; of a cross that the fit chose also the names of its two columns."""

    name: str
    reason: str
    of: tuple[str, str] | None = None


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


@dataclass(frozen=True, kw_only=True)
class PublishedNetworkCard:
    """card.json of a network, parsed; `inputs` are the columns it looks at, in their order."""

    card: ModelCard
    schema_name: str
    schema_sha256: str
    weights_sha256: str
    inputs: tuple[str, ...]
    bands: tuple[Band, ...]
    thresholds: Thresholds


def encode_card(scorecard: Scorecard, card: ModelCard) -> bytes:
    """card.json of a model: canonical JSON, integers only; raises CardInvalid."""
    return _encode(
        {
            **_common_members(scorecard, card),
            "points_sha256": scorecard.points_digest.hex(),
            "scaling": {**_SCALING, "offset": scorecard.offset},
            "inputs": [_input_members(scorecard, table) for table in scorecard.tables],
        }
    )


def encode_network_card(network: Network, card: ModelCard) -> bytes:
    """card.json of a network; raises CardInvalid."""
    return _encode(
        {
            **_common_members(network, card),
            "weights_sha256": network.weights_digest.hex(),
            "scaling": _SCALING,
            "architecture": _ARCHITECTURE,
            "inputs": [table.feature for table in network.tables],
        }
    )


def _common_members(model: Scorecard | Network, card: ModelCard) -> dict[str, Any]:
    return {
        "v": 1,
        "name": card.name,
        "created_at": card.created_at_ms,
        "data_kind": card.data_kind,
        "population": card.population,
        "limits": list(card.limits),
        "privacy": privacy_members(card.privacy),
        "schema": {"name": model.schema.name, "sha256": model.schema.digest.hex()},
        "bands": [vars(band) for band in model.bands],
        "thresholds": {name: value for name, value in vars(model.thresholds).items() if value is not None},
    }


def _encode(document: Mapping[str, Any]) -> bytes:
    try:
        return rfc8785.dumps(dict(document))
    except rfc8785.CanonicalizationError as error:
        raise CardInvalid from error


def parse_card(data: bytes) -> PublishedCard:
    """Parse card.json; raises PrivacyUnstated, PrivacyUnderstated, NoiseNotFromSystem or CardInvalid."""
    document = _parse_document(data, "points_sha256 scaling inputs")
    scaling = _parse_scaling(document["scaling"], "offset")
    return PublishedCard(
        **_parse_common(document),
        points_sha256=_text(document["points_sha256"], CardInvalid),
        offset=_whole(scaling["offset"], CardInvalid, lowest=-MAX_INTEGER),
        inputs=tuple(_parse_input(one) for one in _list(document["inputs"], CardInvalid)),
    )


def is_network_card(data: bytes) -> bool:
    """Whether card.json is of a network; raises CardInvalid where it is no card at all."""
    return "weights_sha256" in _parse_canonical(data)


def parse_network_card(data: bytes) -> PublishedNetworkCard:
    """Parse card.json of a network, of this very architecture; raises as `parse_card` does."""
    document = _parse_document(data, "weights_sha256 scaling architecture inputs")
    _parse_scaling(document["scaling"])
    if document["architecture"] != _ARCHITECTURE:
        raise CardInvalid
    return PublishedNetworkCard(
        **_parse_common(document),
        weights_sha256=_text(document["weights_sha256"], CardInvalid),
        inputs=tuple(_text(name, CardInvalid) for name in _list(document["inputs"], CardInvalid)),
    )


def _parse_document(data: bytes, own_members: str) -> Mapping[str, object]:
    document = _parse_canonical(data)
    if "privacy" not in document:
        raise PrivacyUnstated
    members = "v name created_at data_kind population limits privacy schema bands thresholds"
    _require_members(document, f"{members} {own_members}", CardInvalid)
    if _whole(document["v"], CardInvalid) != 1:
        raise CardInvalid
    return document


def _parse_scaling(value: object, *own_members: str) -> Mapping[str, object]:
    scaling = _require_members(value, " ".join([*_SCALING, *own_members]), CardInvalid)
    if any(scaling[name] != value for name, value in _SCALING.items()):
        raise CardInvalid
    return scaling


def _parse_common(document: Mapping[str, object]) -> dict[str, Any]:
    """What the cards of both kinds of model say, as their dataclasses have it."""
    data_kind = next((kind for kind in _DATA_KINDS if kind == document["data_kind"]), None)
    if data_kind is None:
        raise CardInvalid
    schema = _require_members(document["schema"], "name sha256", CardInvalid)
    return {
        "card": ModelCard(
            name=_text(document["name"], CardInvalid),
            created_at_ms=_whole(document["created_at"], CardInvalid),
            data_kind=data_kind,
            population=_text(document["population"], CardInvalid),
            limits=tuple(_text(limit, CardInvalid) for limit in _list(document["limits"], CardInvalid)),
            privacy=parse_privacy(document["privacy"]),
        ),
        "schema_name": _text(schema["name"], CardInvalid),
        "schema_sha256": _text(schema["sha256"], CardInvalid),
        "bands": tuple(_parse_band(one) for one in _list(document["bands"], CardInvalid)),
        "thresholds": _parse_thresholds(document["thresholds"]),
    }


def _parse_thresholds(value: object) -> Thresholds:
    """Cards older than intervals, and models without them, say no width."""
    wide = isinstance(value, dict) and "refer_above_points" in value
    names = "unscorable_below_ppm refer_below_ppm" + (" refer_above_points" if wide else "")
    members = _require_members(value, names, CardInvalid)
    figures = {name: _whole(figure, CardInvalid, lowest=0) for name, figure in members.items()}
    return Thresholds(**figures) if wide else Thresholds(**figures, refer_above_points=None)


def _input_members(scorecard: Scorecard, table: PointsTable) -> dict[str, Any]:
    crosses = {cross.name: cross for cross in scorecard.crosses}
    members: dict[str, Any] = {"name": table.feature, "reason": table.reason}
    if table.feature in crosses:
        members["of"] = [scorecard.columns[place].name for place in crosses[table.feature].of]
    return members


def _parse_input(value: object) -> CardInput:
    of = None
    if isinstance(value, dict) and "of" in value:
        members = _require_members(value, "name reason of", CardInvalid)
        names = [_text(name, CardInvalid) for name in _list(members["of"], CardInvalid)]
        if len(names) != 2:
            raise CardInvalid
        of = (names[0], names[1])
    else:
        members = _require_members(value, "name reason", CardInvalid)
    return CardInput(name=_text(members["name"], CardInvalid), reason=_text(members["reason"], CardInvalid), of=of)


def _parse_band(value: object) -> Band:
    members = _require_members(value, "name from_points", CardInvalid)
    return Band(name=_text(members["name"], CardInvalid), from_points=_whole(members["from_points"], CardInvalid))


def privacy_members(privacy: Privacy) -> dict[str, Any]:
    """A privacy claim as JSON has it."""
    return {
        **vars(privacy),
        "mechanisms": [vars(mechanism) for mechanism in privacy.mechanisms],
        "ledger": [vars(entry) for entry in privacy.ledger],
    }


def parse_privacy(value: object) -> Privacy:
    """Parse a claim and verify its certificate; raises PrivacyUnstated, PrivacyUnderstated or NoiseNotFromSystem."""
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
