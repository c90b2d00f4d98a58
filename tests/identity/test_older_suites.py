"""VCDM 1.1 with the suites before Data Integrity, whole: issued and presented by didkit, verified by the verifier.

didkit says yes to each of the attacks below (notes in `identity.ldp_vc`): our own checks come first.
"""

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from identity.dcql import parse_dcql_query
from identity.did import did_key
from identity.encoding import JsonObject
from identity.errors import (
    BadSignature,
    ContextNotAllowed,
    Expired,
    NonceMismatch,
    NotYetValid,
    SubjectNotHolder,
)
from identity.keys import SigningKey
from identity.linked_data.contexts import load_contexts
from identity.linked_data.worker import write_out_contexts
from identity.presentation import PresentationRequest
from identity.trust import TrustedIssuer, TrustedIssuers
from identity.vcdm import CONTEXT_V1, CREDIT_HISTORY_CONTEXT, format_date_time

pytest.importorskip("didkit", reason="didkit has no wheel for this Python")

MOBILE_MONEY = "urn:credence:mobile-money:1"
DAY_MS = 86_400_000
SUITES = {
    "Ed25519Signature2018": ("EdDSA", []),
    "Ed25519Signature2020": ("EdDSA", ["https://w3id.org/security/suites/ed25519-2020/v1"]),
    "JsonWebSignature2020": ("ES256", ["https://w3id.org/security/suites/jws-2020/v1"]),
}
KEYS = {alg: (SigningKey.generate(alg), SigningKey.generate(alg)) for alg in ("EdDSA", "ES256")}
OTHER = SigningKey.generate("EdDSA")


def method_of(key: SigningKey) -> str:
    did = did_key(key.public)
    return f"{did}#{did.removeprefix('did:key:')}"


def sign(kind: str, document: JsonObject, key: SigningKey, suite: str, **options: Any) -> Any:
    """The document signed by didkit in a process of its own, which has to see our context written out."""
    purpose = "assertionMethod" if kind == "credential" else "authentication"
    request = {
        "kind": kind,
        "document": write_out_contexts(document, load_contexts()),
        "options": {"type": suite, "verificationMethod": method_of(key), "proofPurpose": purpose, **options},
        "key": key.to_private_jwk(),
    }
    script = Path(__file__).parent / "linked_data" / "didkit_issuer.py"
    done = subprocess.run([sys.executable, script], input=json.dumps([request]), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {**document, "proof": json.loads(done.stdout)[0]["proof"]}


def request_for(scene: Any) -> PresentationRequest:
    asked = {
        "id": "c0",
        "format": "ldp_vc",
        "meta": {"type_values": [["MobileMoneyCredential"]]},
        "claims": [{"path": ["credentialSubject", "currency"]}, {"path": ["credentialSubject", "in_n"]}],
    }
    request: PresentationRequest = scene.request(parse_dcql_query({"credentials": [asked]}))
    return request


def credential(scene: Any, suite: str, **changes: Any) -> Any:
    algorithm, contexts = SUITES[suite]
    issuer, holder = KEYS[algorithm]
    document = {
        "@context": [CONTEXT_V1, *contexts, CREDIT_HISTORY_CONTEXT],
        "type": ["VerifiableCredential", "MobileMoneyCredential"],
        "issuer": did_key(issuer.public),
        "issuanceDate": format_date_time(scene.now_ms - DAY_MS),
        "expirationDate": format_date_time(scene.now_ms + DAY_MS),
        "credentialSubject": {"id": did_key(holder.public), **scene.claims("mobile-money")},
        **changes,
    }
    return sign("credential", document, issuer, suite, created=format_date_time(scene.now_ms))


def present(scene: Any, suite: str, inner: Any, request: PresentationRequest, key: SigningKey | None = None) -> Any:
    algorithm, contexts = SUITES[suite]
    key = key or KEYS[algorithm][1]
    document = {
        "@context": [CONTEXT_V1, *contexts],
        "type": ["VerifiablePresentation"],
        "holder": did_key(key.public),
        "verifiableCredential": [inner],
    }
    options = {"created": format_date_time(scene.now_ms), "challenge": request.nonce, "domain": request.audience}
    return sign("presentation", document, key, suite, **options)


def verify(scene: Any, presented: Any, request: PresentationRequest) -> Any:
    issuers = [TrustedIssuer(did=did_key(key.public), vct=MOBILE_MONEY, valid_from_ms=0) for key, _ in KEYS.values()]
    return scene.verify({"c0": [presented]}, request, trusted=TrustedIssuers(tuple(issuers)))


@pytest.mark.parametrize("suite", SUITES)
def test_what_didkit_issued_and_presented_is_verified(scene: Any, suite: str) -> None:
    request = request_for(scene)
    presented = present(scene, suite, credential(scene, suite), request)
    verified = verify(scene, presented, request)
    claims = scene.claims("mobile-money")
    assert verified.credentials[0].claims == {"currency": claims["currency"], "in_n": claims["in_n"]}
    assert verified.holder == KEYS[SUITES[suite][0]][1].public
    with pytest.raises(NonceMismatch):
        verify(scene, presented, scene.request(request.query, nonce="other"))
    tampered = copy.deepcopy(presented)
    tampered["proof"]["created"] = format_date_time(scene.now_ms - 1000)
    with pytest.raises(BadSignature):
        verify(scene, tampered, request)


def test_what_didkit_would_let_pass(scene: Any) -> None:
    suite, request = "Ed25519Signature2018", request_for(scene)
    whole = credential(scene, suite)
    # Input 47: didkit does not verify the credential within a presentation.
    tampered = copy.deepcopy(whole)
    tampered["credentialSubject"]["currency"] = "UGX"
    with pytest.raises(BadSignature):
        verify(scene, present(scene, suite, tampered, request), request)
    # Nor whether its holder is the one who presents it.
    with pytest.raises(SubjectNotHolder):
        verify(scene, present(scene, suite, whole, request, OTHER), request)
    # Inputs 17 and 18: nor its dates.
    expired = credential(scene, suite, expirationDate=format_date_time(scene.now_ms - 61_000))
    with pytest.raises(Expired):
        verify(scene, present(scene, suite, expired, request), request)
    to_come = credential(scene, suite, issuanceDate=format_date_time(scene.now_ms + 62_000))
    with pytest.raises(NotYetValid):
        verify(scene, present(scene, suite, to_come, request), request)
    # Input 39: nor which contexts give the claims their meaning.
    swapped = copy.deepcopy(whole)
    swapped["@context"].append({"in_n": "urn:credence:terms#out_n", "out_n": "urn:credence:terms#in_n"})
    presented = present(scene, suite, whole, request)
    with pytest.raises(ContextNotAllowed):
        verify(scene, {**presented, "verifiableCredential": [swapped]}, request)
