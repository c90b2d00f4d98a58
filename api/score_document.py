"""The score document: what a lender reads, and what anyone verifies offline.

It is one canonical JSON text (RFC 8785) that carries the score, its credential, its log entry with inclusion proof and
checkpoint, and its anchor. Every member is verified: the score's members against the credential that says the same, the
credential against the entry that commits to it, the entry against the checkpoint; the rest, such as the transaction
that anchored it, stands under the seal, a signature over the whole document.
"""

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Any

import rfc8785

from api.clock import format_time
from chain.checkpoint import Checkpoint
from chain.errors import ChainError
from chain.note import VerifierKey, format_verifier_key, parse_verifier_key
from chain.proof import LogProof, format_log_proof, parse_log_proof, verify_log_proof
from identity.encoding import encode_base64url, parse_json
from identity.errors import IdentityError
from identity.jws import parse_jws, sign_jws, verify_jws
from identity.keys import PublicKey, SigningKey, parse_public_jwk
from identity.score_credential import verify_score_credential
from identity.sd_jwt import issuer_jwt_of
from scoring.artifact import AnyArtifact
from scoring.interval import LEVEL_PPM
from scoring.scorecard import MAX_POINTS, MIN_POINTS, Score

SEAL_TYP = "credence-score-document"
MAX_DOCUMENT_BYTES = 256 * 1024
_SHA256 = re.compile(r"[0-9a-f]{64}")
#: Members of the document that say the score, and that the score credential holds as well.
_SCORE = frozenset(
    {"id", "request_id", "purpose", "outcome", "points", "scale", "pd_ppm", "interval", "band", "reasons", "coverage"}
    | {"model", "privacy", "supersedes", "test_mode"}
)
#: Of these, what documents do not have that are older than it is.
_LATER = frozenset({"interval"})
#: Members of the document that the score credential does not hold, and that something else therefore verifies.
_AROUND = frozenset({"v", "created_at", "valid_until", "status", "credential", "log", "anchor", "seal"})


class ScoreDocumentError(Exception):
    """The root of what verifying a document raises; the message says which check failed and echoes nothing."""


class MalformedDocument(ScoreDocumentError):
    """The text is not a canonical score document of a version that we know."""


class DocumentNotVerified(ScoreDocumentError):
    """A check failed: the document was altered, or other keys signed it."""


class NotYetLogged(ScoreDocumentError):
    """The score is recorded, but no checkpoint that covers it was published yet: read it again later."""


@dataclass(frozen=True, kw_only=True)
class TrustedScoreIssuer:
    """A DID that issues scores; a retired one counts for leaves below the size that the log had then."""

    did: str
    retired_at_size: int | None


@dataclass(frozen=True, kw_only=True)
class TrustedAnchor:
    """A contract and log id on a chain, by which anchors are known."""

    chain_id: int
    contract: str
    log_id: bytes


@dataclass(frozen=True, kw_only=True)
class Trust:
    """What a verifier trusts, obtained once and kept apart from anything that it verifies."""

    score_issuers: tuple[TrustedScoreIssuer, ...]
    log_keys: tuple[VerifierKey, ...]
    seal_keys: tuple[PublicKey, ...]
    receipt_keys: tuple[PublicKey, ...]
    anchors: tuple[TrustedAnchor, ...]


@dataclass(frozen=True, kw_only=True)
class AnchorStatement:
    """The transaction that anchored the document's checkpoint, as the document states it."""

    chain_id: int
    contract: str
    log_id: bytes
    size: int
    transaction: bytes
    block_number: int
    block_hash: bytes
    state: str


@dataclass(frozen=True, kw_only=True)
class VerifiedScoreDocument:
    """A document of which every member was verified.

    `receipt_sha256` is what the log commits to of the consent receipt; None for a score older than receipts are.
    """

    members: Mapping[str, Any]
    index: int
    checkpoint: Checkpoint
    anchor: AnchorStatement | None
    receipt_sha256: str | None


def score_members(
    *, score_id: str, request_id: str, purpose: str, score: Score, artifact: AnyArtifact, supersedes: str | None = None
) -> dict[str, Any]:
    """The score as a lender reads it; the credential holds the same members, those that are null left out."""
    card = artifact.card
    return {
        "id": score_id,
        "request_id": request_id,
        "purpose": purpose,
        "outcome": score.outcome,
        "points": score.points,
        "scale": {"min": MIN_POINTS, "max": MAX_POINTS, "better": "higher"},
        "pd_ppm": score.pd_ppm,
        "interval": None if score.interval is None else {**vars(score.interval), "level_ppm": LEVEL_PPM},
        "band": score.band,
        "reasons": [{"code": reason.code, "text": reason.text} for reason in score.reasons],
        "coverage": {
            "features_present": score.coverage.features_present,
            "features_total": score.coverage.features_total,
            "credential_types": list(score.coverage.credential_types),
            "stale_types": list(score.coverage.stale_types),
        },
        "model": {"sha256": artifact.digest.hex(), "name": card.name, "data": card.data_kind},
        "privacy": {
            "epsilon_micro": card.privacy.epsilon_micro,
            "delta_e12": card.privacy.delta_e12,
            "unit": card.privacy.unit,
            "adjacency": card.privacy.adjacency,
            "accountant": card.privacy.accountant,
        },
        "supersedes": supersedes,
        "test_mode": card.data_kind == "synthetic",
    }


def compose_document(
    *,
    members: Mapping[str, Any],
    credential: str,
    issued_at_ms: int,
    valid_until_ms: int,
    status_uri: str,
    status_index: int,
    index: int,
    entry: str,
    salt: bytes,
    proof: LogProof | None,
    anchor: AnchorStatement | None,
    seal_key: SigningKey,
) -> bytes:
    """The sealed document; `proof` is None until a checkpoint covers the leaf, `anchor` until one is on the chain."""
    document = {
        **members,
        "v": 1,
        "created_at": format_time(issued_at_ms),
        "valid_until": format_time(valid_until_ms),
        "status": {"uri": status_uri, "index": status_index},
        "credential": credential,
        "log": format_log(index=index, entry=entry, salt=salt, proof=proof),
        "anchor": None if anchor is None else _format_anchor(anchor),
    }
    header, _, signature = sign_jws(
        {"typ": SEAL_TYP, "kid": seal_key.public.thumbprint}, rfc8785.dumps(document), seal_key
    ).split(".")
    return rfc8785.dumps({**document, "seal": f"{header}..{signature}"})


def format_log(*, index: int, entry: str, salt: bytes, proof: LogProof | None) -> dict[str, Any]:
    """A log entry with its proof, whose members are null until a checkpoint covers the leaf."""
    if proof is not None:
        return format_log_proof(proof)
    return {
        "v": 1,
        "index": index,
        "entry": entry,
        "salt": base64.b64encode(salt).decode(),
        "inclusion": None,
        "checkpoint": None,
    }


def verify_document(data: bytes, trust: Trust) -> VerifiedScoreDocument:
    """Verify every member of a score document against keys that the caller holds.

    1. It is canonical JSON with exactly the members of a score document, or of one that is older than some of them.
    2. The seal over all of it is by a trusted key.
    3. The credential is by a trusted score issuer, shows every claim, and says what the document says.
    4. The log entry commits to this very credential, for this score and request, and to a consent receipt, which
       the document does not hold: its holder does.
    5. The entry stands in the log under a checkpoint that a trusted log key signed, where the issuer still counted.
    6. The anchor names that checkpoint, on a contract and log id that are trusted.

    Whether the score was revoked since, and whether the chain agrees, cannot be seen offline.
    Raises `MalformedDocument`, `DocumentNotVerified` or `NotYetLogged`.
    """
    # 1.
    document = _parse_canonical(data)
    try:
        # 2.
        header, detached, signature = document["seal"].split(".")
        if detached:
            raise DocumentNotVerified("The seal carries a payload of its own.")
        sealed = rfc8785.dumps({name: value for name, value in document.items() if name != "seal"})
        seal = parse_jws(f"{header}.{encode_base64url(sealed)}.{signature}", max_chars=2 * MAX_DOCUMENT_BYTES)
        keys = {key.thumbprint: key for key in trust.seal_keys}
        verify_jws(seal, keys[str(seal.header.get("kid"))], typ=SEAL_TYP)
        # 3.
        credential = verify_score_credential(
            document["credential"], trusted_issuers={issuer.did for issuer in trust.score_issuers}, now_ms=None
        )
        members = {name: document[name] for name in _SCORE & document.keys()}
        shown = {name: value for name, value in members.items() if value is not None}
        claims = {name: credential.claims[name] for name in credential.disclosed}
        if rfc8785.dumps(shown) != rfc8785.dumps(claims):
            raise DocumentNotVerified("The credential does not say what the document says.")
        _verify_envelope(document, credential.issued_at_ms, credential.expires_at_ms, credential.status)
        # 4.
        if document["log"]["checkpoint"] is None:
            raise NotYetLogged("No published checkpoint covers the score yet.")
        proof = parse_log_proof(document["log"])
        entry = verify_log_proof(proof, trust.log_keys)
        committed = {
            "score_id": document["id"],
            "request_id": document["request_id"],
            "model_sha256": document["model"]["sha256"],
            "jwt_sha256": hashlib.sha256(issuer_jwt_of(document["credential"]).encode()).hexdigest(),
        }
        body = dict(entry.entry.body)
        receipt_sha256 = _parse_receipt_digest(body.pop("receipt_sha256", None))
        if entry.entry.type != "score" or body != committed:
            raise DocumentNotVerified("The log entry is not of this credential.")
        # 5.
        retired = [each.retired_at_size for each in trust.score_issuers if each.did == credential.issuer]
        if not any(size is None or entry.index < size for size in retired):
            raise DocumentNotVerified("The score's issuer was retired before the score was logged.")
        # 6.
        anchor = None if document["anchor"] is None else _parse_anchor(document["anchor"])
    except (IdentityError, ChainError) as error:
        raise DocumentNotVerified(str(error)) from error
    except (KeyError, TypeError, ValueError, AttributeError):
        raise DocumentNotVerified(
            "A member is missing, of another form, or signed by a key that is not trusted."
        ) from None
    if anchor is not None:
        place = TrustedAnchor(chain_id=anchor.chain_id, contract=anchor.contract, log_id=anchor.log_id)
        if place not in trust.anchors:
            raise DocumentNotVerified("The anchor is on a contract or log id that is not trusted.")
        if anchor.size != entry.checkpoint.size:
            raise DocumentNotVerified("The anchor is of another checkpoint.")
    return VerifiedScoreDocument(
        members=members,
        index=entry.index,
        checkpoint=entry.checkpoint,
        anchor=anchor,
        receipt_sha256=receipt_sha256,
    )


def format_trust(trust: Trust) -> dict[str, Any]:
    """Trust as a JSON object, as a service publishes its own and a verifier keeps it."""
    return {
        "v": 1,
        "score_issuers": [{"did": each.did, "retired_at_size": each.retired_at_size} for each in trust.score_issuers],
        "log_keys": [
            {"vkey": format_verifier_key(key), "retired_at_size": key.retired_at_size} for key in trust.log_keys
        ],
        "seal_keys": [key.jwk for key in trust.seal_keys],
        "receipt_keys": [key.jwk for key in trust.receipt_keys],
        "anchors": [
            {"chain_id": each.chain_id, "contract": each.contract, "log_id": each.log_id.hex()}
            for each in trust.anchors
        ],
    }


def parse_trust(data: bytes) -> Trust:
    """Read a trust file; raises `MalformedDocument`."""
    try:
        given = parse_json(data)
        if isinstance(given, dict):
            given.setdefault("receipt_keys", [])  # a file that is older than receipts are trusts no key for them
        lists = dict.fromkeys(("score_issuers", "log_keys", "seal_keys", "receipt_keys", "anchors"), list)
        value = _members(given, v=int, **lists)
        if value["v"] != 1:
            raise ValueError
        issuers = [_members(each, did=str, retired_at_size=int | None) for each in value["score_issuers"]]
        log_keys = [_members(each, vkey=str, retired_at_size=int | None) for each in value["log_keys"]]
        anchors = [_members(each, chain_id=int, contract=str, log_id=str) for each in value["anchors"]]
        return Trust(
            score_issuers=tuple(TrustedScoreIssuer(**each) for each in issuers),
            log_keys=tuple(
                parse_verifier_key(each["vkey"], retired_at_size=each["retired_at_size"]) for each in log_keys
            ),
            seal_keys=tuple(parse_public_jwk(each) for each in value["seal_keys"]),
            receipt_keys=tuple(parse_public_jwk(each) for each in value["receipt_keys"]),
            anchors=tuple(
                TrustedAnchor(
                    chain_id=each["chain_id"], contract=each["contract"], log_id=bytes.fromhex(each["log_id"])
                )
                for each in anchors
            ),
        )
    except (IdentityError, ChainError, ValueError):
        raise MalformedDocument("The trust file is not one of this version.") from None


def _members(value: object, **types: type | UnionType) -> dict[str, Any]:
    """The object, if it has exactly these members, each of its type; raises ValueError."""
    if not isinstance(value, dict) or value.keys() != types.keys():
        raise ValueError
    if not all(isinstance(value[name], types[name]) and not isinstance(value[name], bool) for name in types):
        raise ValueError
    return value


def _parse_receipt_digest(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not _SHA256.fullmatch(value):
        raise DocumentNotVerified("The log entry does not commit to a consent receipt as entries do.")
    return value


def _parse_canonical(data: bytes) -> dict[str, Any]:
    if len(data) > MAX_DOCUMENT_BYTES:
        raise MalformedDocument("The file is larger than a score document can be.")
    try:
        document: Any = parse_json(data)
        canonical = rfc8785.dumps(document)
    except (IdentityError, rfc8785.CanonicalizationError):
        raise MalformedDocument("The file is not well-formed JSON.") from None
    if canonical != data:
        raise MalformedDocument("The file is not in its canonical form (RFC 8785): a byte of it was changed.")
    if not isinstance(document, dict) or document.keys() | _LATER != _SCORE | _AROUND or type(document["v"]) is not int:
        raise MalformedDocument("The file is not a score document.")
    if document["v"] != 1:
        raise MalformedDocument("The score document is of another version.")
    return document


def _verify_envelope(document: Mapping[str, Any], issued_at_ms: int, expires_at_ms: int | None, status: Any) -> None:
    same = (
        expires_at_ms is not None
        and status is not None
        and document["created_at"] == format_time(issued_at_ms)
        and document["valid_until"] == format_time(expires_at_ms)
        and document["status"] == {"uri": status.uri, "index": status.index}
    )
    if not same:
        raise DocumentNotVerified("The document's times or status are not the credential's.")


def _format_anchor(anchor: AnchorStatement) -> dict[str, Any]:
    return {
        "chain_id": anchor.chain_id,
        "contract": anchor.contract,
        "log_id": anchor.log_id.hex(),
        "size": anchor.size,
        "transaction": "0x" + anchor.transaction.hex(),
        "block_number": anchor.block_number,
        "block_hash": "0x" + anchor.block_hash.hex(),
        "state": anchor.state,
    }


def _parse_anchor(value: object) -> AnchorStatement:
    value = _members(
        value,
        chain_id=int,
        contract=str,
        log_id=str,
        size=int,
        transaction=str,
        block_number=int,
        block_hash=str,
        state=str,
    )
    anchor = AnchorStatement(
        chain_id=value["chain_id"],
        contract=value["contract"],
        log_id=bytes.fromhex(value["log_id"]),
        size=value["size"],
        transaction=bytes.fromhex(value["transaction"].removeprefix("0x")),
        block_number=value["block_number"],
        block_hash=bytes.fromhex(value["block_hash"].removeprefix("0x")),
        state=value["state"],
    )
    if _format_anchor(anchor) != value:
        raise DocumentNotVerified("The anchor is not written as anchors are.")
    return anchor
