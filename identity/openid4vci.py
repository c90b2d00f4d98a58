"""OpenID4VCI 1.0 on the wire: issuer metadata, credential offers, token details and credential requests.

Only the pre-authorized code flow, keys proven by `proofs.jwt`, and answers in the clear; no deferred issuance,
notification or DPoP.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast
from urllib.parse import parse_qs, urlencode, urlsplit

from identity.credential_types.types import CredentialType
from identity.encoding import JsonObject, JsonValue, parse_json_object
from identity.errors import (
    CredentialOfferInvalid,
    CredentialRequestInvalid,
    IdentityError,
    IssuerMetadataInvalid,
    KeyProofMissing,
    ProofTypeNotSupported,
    ResponseEncryptionNotOffered,
    TooManyKeyProofs,
    UnknownCredentialConfiguration,
    UnknownCredentialIdentifier,
)
from identity.key_proof import PROOF_ALGORITHMS

PRE_AUTHORIZED_CODE = "urn:ietf:params:oauth:grant-type:pre-authorized_code"
OFFER_SCHEME = "openid-credential-offer"
SD_JWT_VC = "dc+sd-jwt"
MAX_BATCH = 16
MAX_TX_CODE_CHARS = 12
_MAX_TEXT = 4_096
_MAX_CONFIGURATIONS = 256


@dataclass(frozen=True, kw_only=True)
class ClaimDescription:
    """A claim as issuer metadata tells of it: its name, its words, and whether every credential has it."""

    name: str
    text: str
    mandatory: bool


@dataclass(frozen=True, kw_only=True)
class CredentialConfiguration:
    """One thing that an issuer issues, as a wallet reads it (section 12.2.4 and appendix A)."""

    id: str
    format: str
    vct: str | None
    proof_algorithms: tuple[str, ...]
    needs_key_attestation: bool
    claim_paths: tuple[tuple[JsonValue, ...], ...]


@dataclass(frozen=True, kw_only=True)
class IssuerMetadata:
    """An issuer's metadata as a wallet reads it; `batch_size` is how many copies it issues at once."""

    credential_issuer: str
    credential_endpoint: str
    nonce_endpoint: str | None
    authorization_servers: tuple[str, ...]
    batch_size: int
    encryption_required: bool
    configurations: Mapping[str, CredentialConfiguration]


@dataclass(frozen=True, kw_only=True)
class CredentialOffer:
    """An offer with a pre-authorized code (section 4.1.1); `wants_tx_code` says that a second code came another way."""

    credential_issuer: str
    configuration_ids: tuple[str, ...]
    pre_authorized_code: str
    wants_tx_code: bool


@dataclass(frozen=True, kw_only=True)
class CredentialRequest:
    """What a wallet asks for with an access token (section 8.2): the proofs are not verified yet."""

    configuration_id: str | None
    identifier: str | None
    proofs: tuple[str, ...]

    def verify_asks_for(self, configuration_id: str, *, by_identifier: bool) -> None:
        """Raise unless this asks for what was offered, by the name that the token response gave for it.

        `by_identifier`: credential identifiers were given with the token, and then one must be used; here it is the
        configuration's own id. Raises UnknownCredentialConfiguration or UnknownCredentialIdentifier.
        """
        if self.identifier is not None and (not by_identifier or self.identifier != configuration_id):
            raise UnknownCredentialIdentifier
        if self.configuration_id is not None and (by_identifier or self.configuration_id != configuration_id):
            raise UnknownCredentialConfiguration


def describe_claims(type: CredentialType) -> tuple[ClaimDescription, ...]:
    """The claims of a credential type in the words of its schema."""
    required = type.schema["required"]
    return tuple(
        ClaimDescription(name=name, text=str(member.get("description", name)), mandatory=name in required)
        for name, member in type.schema["properties"].items()
    )


def build_credential_configuration(
    *, vct: str, title: str, claims: Sequence[ClaimDescription], algorithm: str
) -> JsonObject:
    """One entry of `credential_configurations_supported`, for an SD-JWT VC signed with `algorithm` (appendix A.3)."""
    return {
        "format": SD_JWT_VC,
        "vct": vct,
        "cryptographic_binding_methods_supported": ["jwk", "did:key", "did:jwk"],
        "credential_signing_alg_values_supported": [algorithm],
        "proof_types_supported": {"jwt": {"proof_signing_alg_values_supported": list(PROOF_ALGORITHMS)}},
        "credential_metadata": {
            "display": [{"name": title, "locale": "en"}],
            "claims": [
                {
                    "path": [claim.name],
                    "mandatory": claim.mandatory,
                    "display": [{"name": claim.text.rstrip("."), "locale": "en"}],
                }
                for claim in claims
            ],
        },
    }


def build_issuer_metadata(credential_issuer: str, configurations: Mapping[str, JsonObject]) -> JsonObject:
    """The metadata of an issuer that is its own authorization server (section 12.2.4)."""
    return {
        "credential_issuer": credential_issuer,
        "authorization_servers": [credential_issuer],
        "credential_endpoint": credential_issuer + "/credential",
        "nonce_endpoint": credential_issuer + "/nonce",
        "batch_credential_issuance": {"batch_size": MAX_BATCH},
        "credential_configurations_supported": dict(configurations),
    }


def build_authorization_server_metadata(credential_issuer: str) -> JsonObject:
    """The metadata of its authorization server (RFC 8414 section 2, OpenID4VCI section 12.3)."""
    return {
        "issuer": credential_issuer,
        "token_endpoint": credential_issuer + "/token",
        "response_types_supported": [],
        "grant_types_supported": [PRE_AUTHORIZED_CODE],
        "token_endpoint_auth_methods_supported": ["none"],
        "pre-authorized_grant_anonymous_access_supported": True,
    }


def well_known_url(credential_issuer: str, name: str) -> str:
    """Where the metadata called `name` lies: between host and path (section 12.2.2, RFC 8414 section 3.1).

    Raises CredentialOfferInvalid for an identifier that is no URL, or has a query or fragment.
    """
    try:
        parts = urlsplit(credential_issuer)
        host = parts.hostname
    except ValueError:
        raise CredentialOfferInvalid from None
    if parts.scheme not in ("https", "http") or not host or parts.query or parts.fragment:
        raise CredentialOfferInvalid
    return f"{parts.scheme}://{parts.netloc}/.well-known/{name}{parts.path.rstrip('/')}"


def build_credential_offer(
    *, credential_issuer: str, configuration_id: str, code: str, tx_code_length: int | None
) -> JsonObject:
    """An offer of one credential (section 4.1.1); `tx_code_length` None: no second code is needed."""
    grant: JsonObject = {"pre-authorized_code": code}
    if tx_code_length is not None:
        grant["tx_code"] = {"input_mode": "numeric", "length": tx_code_length}
    return {
        "credential_issuer": credential_issuer,
        "credential_configuration_ids": [configuration_id],
        "grants": {PRE_AUTHORIZED_CODE: grant},
    }


def offer_link(credential_offer_uri: str) -> str:
    """The link that a wallet opens, for an offer by reference (section 4.1.3)."""
    return f"{OFFER_SCHEME}://?{urlencode({'credential_offer_uri': credential_offer_uri})}"


def parse_offer_link(link: str) -> str:
    """The URL that a link names its offer by; raises CredentialOfferInvalid, for an offer by value too."""
    try:
        parts = urlsplit(link)
    except ValueError:  # a bracket where a host would be
        raise CredentialOfferInvalid from None
    members = parse_qs(parts.query)
    if parts.scheme != OFFER_SCHEME or set(members) != {"credential_offer_uri"}:
        raise CredentialOfferInvalid
    uris = members["credential_offer_uri"]
    if len(uris) != 1:
        raise CredentialOfferInvalid
    return uris[0]


def parse_credential_offer(data: bytes | str) -> CredentialOffer:
    """Read an offer as a wallet does; raises CredentialOfferInvalid, also where no pre-authorized code is offered."""
    try:
        offer = parse_json_object(data)
        issuer = _text(offer["credential_issuer"])
        ids = tuple(_text(each) for each in _array(offer["credential_configuration_ids"]))
        grant = _object(_object(offer["grants"])[PRE_AUTHORIZED_CODE])
        code = _text(grant["pre-authorized_code"])
        if "tx_code" in grant:
            _object(grant["tx_code"])
    except (IdentityError, KeyError, ValueError):
        raise CredentialOfferInvalid from None
    if not ids or len(set(ids)) != len(ids):
        raise CredentialOfferInvalid
    return CredentialOffer(
        credential_issuer=issuer, configuration_ids=ids, pre_authorized_code=code, wants_tx_code="tx_code" in grant
    )


def parse_issuer_metadata(data: bytes | str, *, credential_issuer: str) -> IssuerMetadata:
    """Read the metadata of the issuer that an offer names; raises IssuerMetadataInvalid.

    Members that are not known are ignored, as section 12.2.4 wants; another issuer's metadata is refused.
    """
    try:
        metadata = parse_json_object(data)
        if metadata["credential_issuer"] != credential_issuer:
            raise IssuerMetadataInvalid
        batch = _object(metadata.get("batch_credential_issuance", {})).get("batch_size", 1)
        if type(batch) is not int or batch < 1:
            raise IssuerMetadataInvalid
        encryption = _object(metadata.get("credential_response_encryption", {}))
        nonce_endpoint = metadata.get("nonce_endpoint")
        return IssuerMetadata(
            credential_issuer=credential_issuer,
            credential_endpoint=_text(metadata["credential_endpoint"]),
            nonce_endpoint=None if nonce_endpoint is None else _text(nonce_endpoint),
            authorization_servers=tuple(
                _text(each) for each in _array(metadata.get("authorization_servers", [credential_issuer]))
            ),
            batch_size=batch,
            encryption_required=encryption.get("encryption_required", False) is not False,
            configurations=parse_credential_configurations(metadata["credential_configurations_supported"]),
        )
    except (IdentityError, KeyError, ValueError):
        raise IssuerMetadataInvalid from None


def parse_credential_configurations(value: JsonValue) -> Mapping[str, CredentialConfiguration]:
    """Read `credential_configurations_supported`, of whatever formats; raises IssuerMetadataInvalid."""
    try:
        members = _object(value)
        if len(members) > _MAX_CONFIGURATIONS:
            raise IssuerMetadataInvalid
        return {id: _configuration(id, _object(each)) for id, each in members.items()}
    except (KeyError, ValueError):
        raise IssuerMetadataInvalid from None


def parse_authorization_details(
    value: JsonValue, *, credential_issuer: str, configuration_id: str
) -> tuple[JsonObject, ...]:
    """Read `authorization_details` of a token request (section 5.1.1) for the one configuration that is offered.

    Returns what the token response says of each. Raises CredentialRequestInvalid or UnknownCredentialConfiguration.
    """
    try:
        details = [_object(each) for each in _array(value)]
        if not 1 <= len(details) <= MAX_BATCH:
            raise CredentialRequestInvalid
        for each in details:
            locations = _array(each.get("locations", [credential_issuer]))
            claims = [_object(claim)["path"] for claim in _array(each.get("claims", []))]
            if each["type"] != "openid_credential" or locations != [credential_issuer] or not all(map(_array, claims)):
                raise CredentialRequestInvalid
            if _text(each["credential_configuration_id"]) != configuration_id:
                raise UnknownCredentialConfiguration
    except (KeyError, ValueError):
        raise CredentialRequestInvalid from None
    # Which claims were named is not followed: a credential is issued whole, and its holder withholds.
    return (
        {
            "type": "openid_credential",
            "credential_configuration_id": configuration_id,
            "credential_identifiers": [configuration_id],
        },
    )


def parse_credential_request(data: bytes | str) -> CredentialRequest:
    """Read a credential request (section 8.2).

    Raises CredentialRequestInvalid, ResponseEncryptionNotOffered, KeyProofMissing, ProofTypeNotSupported,
    TooManyKeyProofs, and the JSON errors.
    """
    request = parse_json_object(data)
    if "credential_response_encryption" in request:
        raise ResponseEncryptionNotOffered
    configuration_id, identifier = request.get("credential_configuration_id"), request.get("credential_identifier")
    if (configuration_id is None) == (identifier is None):
        raise CredentialRequestInvalid
    if not isinstance(configuration_id or identifier, str):
        raise CredentialRequestInvalid
    if "proofs" not in request:
        raise CredentialRequestInvalid if "proof" in request else KeyProofMissing
    proofs = request["proofs"]
    if not isinstance(proofs, dict) or len(proofs) != 1:
        raise CredentialRequestInvalid
    if "jwt" not in proofs:
        raise ProofTypeNotSupported
    compact = proofs["jwt"]
    if not isinstance(compact, list) or not all(isinstance(each, str) for each in compact):
        raise CredentialRequestInvalid
    if not compact:
        raise KeyProofMissing
    if len(compact) > MAX_BATCH:
        raise TooManyKeyProofs
    return CredentialRequest(
        configuration_id=cast(str | None, configuration_id),
        identifier=cast(str | None, identifier),
        proofs=tuple(cast(list[str], compact)),
    )


def _configuration(id: str, value: JsonObject) -> CredentialConfiguration:
    format = _text(value["format"])
    proofs = _object(_object(value.get("proof_types_supported", {})).get("jwt", {}))
    claims = _array(_object(value.get("credential_metadata", {})).get("claims", []))
    return CredentialConfiguration(
        id=id,
        format=format,
        vct=_text(value["vct"]) if format == SD_JWT_VC else None,
        proof_algorithms=tuple(_text(each) for each in _array(proofs.get("proof_signing_alg_values_supported", []))),
        needs_key_attestation="key_attestations_required" in proofs,
        claim_paths=tuple(tuple(_array(_object(claim)["path"])) for claim in claims),
    )


def _object(value: JsonValue) -> JsonObject:
    if isinstance(value, dict):
        return value
    raise ValueError


def _array(value: JsonValue) -> list[JsonValue]:
    if isinstance(value, list):
        return value
    raise ValueError


def _text(value: JsonValue) -> str:
    if isinstance(value, str) and 0 < len(value) <= _MAX_TEXT:
        return value
    raise ValueError
