"""What a linked-data proof of W3C VC 1.1 has to say before didkit is asked whether its signature holds.

didkit alone takes a proof of any purpose by any key that it can find, if need be over the network. So who signed what,
for whom and with which algorithm is settled here, and didkit's answer is about the signature and nothing else.
"""

import re
from typing import Final, Literal

from identity.did import resolve_verification_key
from identity.encoding import JsonObject, JsonValue, decode_base64url, parse_json_object
from identity.errors import (
    AlgKeyMismatch,
    AlgNotAllowed,
    AudienceMismatch,
    BadLinkedDataProof,
    BadSignatureEncoding,
    IssuerKeyMismatch,
    NonceMismatch,
    UnsupportedCrit,
    UnsupportedSuite,
)

Kind = Literal["credential", "presentation"]

#: Suite to the algorithms that it may use (W3C CCG Linked Data Cryptographic Suite Registry).
_ALGORITHMS: Final = {
    "Ed25519Signature2018": frozenset({"EdDSA"}),
    "Ed25519Signature2020": frozenset({"EdDSA"}),
    "JsonWebSignature2020": frozenset({"EdDSA", "ES256"}),
    "EcdsaSecp256r1Signature2019": frozenset({"ES256"}),
}
LEGACY_SUITES: Final = tuple(_ALGORITHMS)
_PURPOSES: Final = {"credential": "assertionMethod", "presentation": "authentication"}
_MEMBERS: Final = frozenset({"type", "created", "verificationMethod", "proofPurpose"})
# 64 bytes in base58btc.
_PROOF_VALUE = re.compile(r"z[1-9A-HJ-NP-Za-km-z]{64,88}")
_SIGNATURE_BYTES: Final = 64


def verify_legacy_proof_claims(
    document: JsonObject, *, kind: Kind, challenge: str | None, domain: str | None
) -> dict[str, str]:
    """Verifies all that a document's one proof says of itself; returns the options that didkit has to hold it to.

    The signer of a credential is its issuer, that of a presentation its holder. Raises BadLinkedDataProof (none,
    several, another purpose, an unknown member, no such signer), UnsupportedSuite, IssuerKeyMismatch, NonceMismatch
    and AudienceMismatch (challenge and domain), AlgNotAllowed, AlgKeyMismatch, UnsupportedCrit, BadSignatureEncoding,
    and as `identity.did.resolve_verification_key`, which knows no method that needs a network.
    """
    proof = document.get("proof")
    if not isinstance(proof, dict):
        raise BadLinkedDataProof
    suite, purpose, method = proof.get("type"), proof.get("proofPurpose"), proof.get("verificationMethod")
    if not isinstance(suite, str) or suite not in _ALGORITHMS:
        raise UnsupportedSuite
    members = _MEMBERS | {"proofValue" if suite == "Ed25519Signature2020" else "jws"}
    if kind == "presentation":
        members |= {"challenge", "domain"}
    if set(proof) != members or purpose != _PURPOSES[kind] or not isinstance(method, str):
        raise BadLinkedDataProof
    options = {"proofPurpose": _PURPOSES[kind], "verificationMethod": method}
    if kind == "presentation":
        if challenge is None or proof["challenge"] != challenge:
            raise NonceMismatch
        if domain is None or proof["domain"] != domain:
            raise AudienceMismatch
        options |= {"challenge": challenge, "domain": domain}

    signer = _signer_of(document, kind)
    if method.partition("#")[0] != signer:
        raise IssuerKeyMismatch if kind == "credential" else BadLinkedDataProof
    key = resolve_verification_key(did=signer, kid=method)
    algorithm = _algorithm_of(suite, proof)
    if not isinstance(algorithm, str) or algorithm not in _ALGORITHMS[suite]:
        raise AlgNotAllowed
    if algorithm != key.alg:
        raise AlgKeyMismatch
    return options


def _signer_of(document: JsonObject, kind: Kind) -> str:
    signer: JsonValue = document.get("issuer" if kind == "credential" else "holder")
    if isinstance(signer, dict):
        signer = signer.get("id")
    if not isinstance(signer, str):
        raise BadLinkedDataProof
    return signer


def _algorithm_of(suite: str, proof: JsonObject) -> JsonValue:
    """The algorithm of a proof whose signature is spelt as its suite spells it."""
    if suite == "Ed25519Signature2020":
        value = proof["proofValue"]
        if not isinstance(value, str) or not _PROOF_VALUE.fullmatch(value):
            raise BadSignatureEncoding
        return "EdDSA"
    jws = proof["jws"]
    if not isinstance(jws, str) or len(jws) > 512 or jws.count(".") != 2:
        raise BadSignatureEncoding
    encoded_header, payload, signature = jws.split(".")
    header = parse_json_object(decode_base64url(encoded_header))
    # RFC 7797: the payload stands apart and is not encoded. An `alg` that the key does not have comes next.
    if header.get("crit") != ["b64"] or header.get("b64") is not False or set(header) != {"alg", "b64", "crit"}:
        raise UnsupportedCrit
    if payload or len(decode_base64url(signature)) != _SIGNATURE_BYTES:
        raise BadSignatureEncoding
    return header["alg"]
