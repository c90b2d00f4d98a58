"""Data Integrity proofs (W3C VC Data Integrity 1.0, 2025) of the suites for Ed25519 and P-256, made and verified.

A proof here is one object, of one suite, for one purpose, by one key. What the model allows beyond that (several
proofs, proofs that build on others, contexts of the proof's own) has a refusal of its own.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import rfc8785

from identity.did import Relationship
from identity.encoding import JsonObject, JsonValue, is_url
from identity.errors import (
    AlgKeyMismatch,
    AudienceMismatch,
    BadMultibase,
    BadProofValue,
    Expired,
    IssuedInFuture,
    JsonNumber,
    NonceMismatch,
    ProofChainNotAllowed,
    ProofContextMismatch,
    ProofInvalid,
    ProofMissing,
    ProofPurposeMismatch,
    ProofSetNotAllowed,
    UnknownMember,
    UnsupportedSuite,
)
from identity.jwt import SKEW_S
from identity.key_binding import KeyBinding
from identity.keys import Algorithm, PublicKey, SigningKey
from identity.multikey import decode_base58, encode_base58
from identity.vcdm import parse_date_time

Canonicalize = Callable[[JsonObject], bytes]
"""RDF dataset canonicalization of a JSON-LD document to N-Quads, as `LinkedDataWorkers.canonicalize`."""

PROOF_TYPE = "DataIntegrityProof"
#: The suites by name: the signature's algorithm, and whether the canonical form is RDF's or JSON's (JCS, RFC 8785).
CRYPTOSUITES: Mapping[str, tuple[Algorithm, bool]] = {
    "eddsa-jcs-2022": ("EdDSA", False),
    "eddsa-rdfc-2022": ("EdDSA", True),
    "ecdsa-jcs-2019": ("ES256", False),
    "ecdsa-rdfc-2019": ("ES256", True),
}

_REQUIRED = frozenset({"type", "cryptosuite", "verificationMethod", "proofPurpose", "proofValue"})
_OPTIONAL = frozenset({"@context", "id", "created", "expires", "challenge", "domain", "nonce"})
# 96 bytes in base58, which P-384 signs with, so that its keys are refused by name. Decoding is quadratic.
_MAX_PROOF_VALUE_CHARS = 140


@dataclass(frozen=True, kw_only=True)
class DataIntegrityProof:
    """A proof taken off its document and NOT yet verified. Times are UTC milliseconds.

    `document` is what it secures, without it; `options` is the proof without its value.
    """

    cryptosuite: str
    verification_method: str
    purpose: str
    created_ms: int | None
    expires_ms: int | None
    challenge: str | None
    domain: str | None
    signature: bytes
    options: JsonObject
    document: JsonObject


def parse_proof(secured: JsonObject) -> DataIntegrityProof:
    """Take the one proof off a document.

    Raises ProofMissing, ProofSetNotAllowed, ProofChainNotAllowed, UnsupportedSuite, ProofInvalid, UnknownMember,
    BadTime, BadProofValue (not base58 in multibase, or too long) and ProofContextMismatch.
    """
    proof = sole_proof(secured)
    if "previousProof" in proof:
        raise ProofChainNotAllowed
    if proof.get("type") != PROOF_TYPE:
        raise UnsupportedSuite
    if not proof.keys() >= _REQUIRED:
        raise ProofInvalid
    if not proof.keys() <= _REQUIRED | _OPTIONAL:
        raise UnknownMember
    if not isinstance(proof["cryptosuite"], str) or proof["cryptosuite"] not in CRYPTOSUITES:
        raise UnsupportedSuite
    method, purpose = proof["verificationMethod"], proof["proofPurpose"]
    if not is_url(method) or not isinstance(purpose, str):  # a relative method would be anybody's
        raise ProofInvalid
    if "id" in proof and not is_url(proof["id"]):
        raise ProofInvalid
    document = {name: value for name, value in secured.items() if name != "proof"}
    if "@context" in proof and proof["@context"] != document.get("@context"):
        # The suites let a document gain contexts after it was signed. What they would define, nobody signed.
        raise ProofContextMismatch
    return DataIntegrityProof(
        cryptosuite=proof["cryptosuite"],
        verification_method=str(method),
        purpose=purpose,
        created_ms=parse_date_time(proof["created"]) if "created" in proof else None,
        expires_ms=parse_date_time(proof["expires"]) if "expires" in proof else None,
        challenge=_text(proof, "challenge"),
        domain=_text(proof, "domain"),
        signature=_decode_signature(proof["proofValue"]),
        options={name: value for name, value in proof.items() if name != "proofValue"},
        document=document,
    )


def sole_proof(secured: Mapping[str, JsonValue]) -> JsonObject:
    """The one proof of a document, of whatever type; raises ProofMissing, ProofSetNotAllowed, ProofInvalid."""
    proof = secured.get("proof")
    if isinstance(proof, list):
        if len(proof) > 1:
            raise ProofSetNotAllowed
        proof = proof[0] if proof else None
    if proof is None:
        raise ProofMissing
    if not isinstance(proof, dict):
        raise ProofInvalid
    return proof


def verify_proof(proof: DataIntegrityProof, key: PublicKey, *, canonicalize: Canonicalize) -> bytes:
    """Verify the signature of a proof over its document and itself; returns the canonical document's SHA-256.

    VC DI EdDSA 1.0 and VC DI ECDSA 1.0, section 3 of each. Raises AlgKeyMismatch, BadSignatureEncoding (not 64 bytes
    long), BadSignature, JsonNumber for a number that JCS cannot write, and as `canonicalize`.
    """
    algorithm, _ = CRYPTOSUITES[proof.cryptosuite]
    if algorithm != key.alg:
        raise AlgKeyMismatch
    signed = _hash(proof.document, proof.options, proof.cryptosuite, canonicalize)
    key.verify(proof.signature, signed)
    return signed[32:]


def check_proof_claims(
    proof: DataIntegrityProof, *, purpose: Relationship, key_binding: KeyBinding | None, now_ms: int
) -> None:
    """Check what a proof says of itself: its purpose, its times, and that it is for this request or for none.

    Raises ProofPurposeMismatch, NonceMismatch (`challenge`), AudienceMismatch (`domain`), IssuedInFuture and Expired.
    How old a proof for a request may be is for the caller to judge.
    """
    if proof.purpose != purpose:
        raise ProofPurposeMismatch
    if proof.domain != (None if key_binding is None else key_binding.audience):
        raise AudienceMismatch
    if proof.challenge != (None if key_binding is None else key_binding.nonce):
        raise NonceMismatch
    if proof.created_ms is not None and now_ms < proof.created_ms - SKEW_S * 1000:
        raise IssuedInFuture
    if proof.expires_ms is not None and now_ms >= proof.expires_ms + SKEW_S * 1000:
        raise Expired


def add_proof(
    document: JsonObject,
    key: SigningKey,
    *,
    cryptosuite: str,
    verification_method: str,
    purpose: Relationship,
    created: str,
    canonicalize: Canonicalize,
    members: Mapping[str, JsonValue] | None = None,
) -> JsonObject:
    """The document with a proof by `key`; `created` is RFC 3339, `members` are more of the proof (`challenge`, say)."""
    if CRYPTOSUITES[cryptosuite][0] != key.alg:
        raise AlgKeyMismatch
    options: JsonObject = {
        "type": PROOF_TYPE,
        "cryptosuite": cryptosuite,
        "created": created,
        "verificationMethod": verification_method,
        "proofPurpose": purpose,
        **(members or {}),
    }
    if not CRYPTOSUITES[cryptosuite][1]:
        options["@context"] = document["@context"]
    signature = key.sign(_hash(document, options, cryptosuite, canonicalize))
    return {**document, "proof": {**options, "proofValue": "z" + encode_base58(signature)}}


def canonical_json(value: JsonValue) -> bytes:
    """JSON as JCS writes it (RFC 8785); raises JsonNumber for an integer that a double cannot hold."""
    try:
        return rfc8785.dumps(value)
    except rfc8785.CanonicalizationError:
        raise JsonNumber from None


def _hash(document: JsonObject, options: JsonObject, cryptosuite: str, canonicalize: Canonicalize) -> bytes:
    """The proof's options first, then the document, each canonical and hashed (sections 3.2.4 and 3.3.4)."""
    if CRYPTOSUITES[cryptosuite][1]:
        options = {**options, "@context": document["@context"]}
        written = canonicalize(options), canonicalize(document)
    else:
        written = canonical_json(options), canonical_json(document)
    return b"".join(hashlib.sha256(each).digest() for each in written)


def _decode_signature(value: JsonValue) -> bytes:
    # The four suites write base58 and nothing else, so a signature has one spelling.
    if not isinstance(value, str) or not value.startswith("z"):
        raise BadProofValue
    try:
        return decode_base58(value[1:], max_chars=_MAX_PROOF_VALUE_CHARS)
    except BadMultibase:
        raise BadProofValue from None


def _text(proof: JsonObject, name: str) -> str | None:
    value = proof.get(name)
    if name in proof and not isinstance(value, str):
        raise ProofInvalid
    return None if value is None else str(value)
