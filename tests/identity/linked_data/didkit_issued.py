"""Credentials and presentations that didkit signed, once for each suite, key and DID method that it can."""

import copy
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from identity.did import did_jwk, did_key, resolve_did
from identity.encoding import JsonObject, encode_base64url
from identity.keys import PublicKey, parse_public_jwk
from identity.linked_data.contexts import (
    CREDENTIALS_V1,
    CREDIT_HISTORY_V1,
    ED25519_2020_V1,
    JWS_2020_V1,
    load_contexts,
)
from identity.linked_data.worker import write_out_contexts
from identity.vcdm import format_date_time

CONTEXTS = load_contexts()
DAY_MS = 86_400_000
CHALLENGE, DOMAIN = "n-0S6_WzA2Mj", "x509_hash:verifier"
SUITE_CONTEXTS = {"Ed25519Signature2020": [ED25519_2020_V1], "JsonWebSignature2020": [JWS_2020_V1]}
SUITES = {
    "Ed25519": ("Ed25519Signature2018", "Ed25519Signature2020", "JsonWebSignature2020"),
    "P-256": ("EcdsaSecp256r1Signature2019", "JsonWebSignature2020"),
}
Case = tuple[str, str, str]
CASES: list[Case] = [
    (suite, curve, method) for curve, suites in SUITES.items() for suite in suites for method in ("did:key", "did:jwk")
]


def private_jwk(curve: str) -> dict[str, str]:
    if curve == "Ed25519":
        key = ed25519.Ed25519PrivateKey.generate()
        public = key.public_key().public_bytes_raw()
        return {
            "kty": "OKP",
            "crv": curve,
            "x": encode_base64url(public),
            "d": encode_base64url(key.private_bytes_raw()),
        }
    numbers = ec.generate_private_key(ec.SECP256R1()).private_numbers()
    x, y, d = numbers.public_numbers.x, numbers.public_numbers.y, numbers.private_value
    return {
        "kty": "EC",
        "crv": curve,
        **{n: encode_base64url(v.to_bytes(32)) for n, v in (("x", x), ("y", y), ("d", d))},
    }


class Signer:
    def __init__(self, curve: str, method: str) -> None:
        self.jwk = private_jwk(curve)
        self.public: PublicKey = parse_public_jwk({name: value for name, value in self.jwk.items() if name != "d"})
        self.did = did_key(self.public) if method == "did:key" else did_jwk(self.public)
        self.verification_method = next(iter(resolve_did(self.did).verification_methods))


def credential(suite: str, issuer: str, subject: str, issued_at_ms: int, **changes: Any) -> JsonObject:
    return {
        "@context": [CREDENTIALS_V1, *SUITE_CONTEXTS.get(suite, []), CREDIT_HISTORY_V1],
        "type": ["VerifiableCredential", "AirtimeCredential"],
        "issuer": issuer,
        "issuanceDate": format_date_time(issued_at_ms - DAY_MS),
        "expirationDate": format_date_time(issued_at_ms + 30 * DAY_MS),
        "credentialSubject": {"id": subject, "currency": "KES", "advance_minor": 5, "topup_n": [3, 2, 1]},
        **changes,
    }


def issue(*asked: tuple[str, JsonObject, Signer, str]) -> list[JsonObject]:
    """Each of kind, document, signer and suite signed by didkit, which has to see our context written out."""
    requests = []
    for kind, document, signer, suite in asked:
        options = {"type": suite, "verificationMethod": signer.verification_method}
        if kind == "credential":
            options |= {"proofPurpose": "assertionMethod"}
        else:
            options |= {"proofPurpose": "authentication", "challenge": CHALLENGE, "domain": DOMAIN}
        written = write_out_contexts(document, CONTEXTS)
        requests.append({"kind": kind, "document": written, "options": options, "key": signer.jwk})
    script = Path(__file__).with_name("didkit_issuer.py")
    answer = subprocess.run([sys.executable, script], input=json.dumps(requests), capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    return [
        document | {"proof": signed["proof"]}
        for (_, document, _, _), signed in zip(asked, json.loads(answer.stdout), strict=True)
    ]


class Issued:
    """A credential and a presentation of it by its holder for each case; and two that didkit should have refused."""

    def __init__(self) -> None:
        #: didkit says by its own clock when it signed.
        self.issued_at_ms = time.time_ns() // 1_000_000
        self.signers = {(curve, method): Signer(curve, method) for _, curve, method in CASES}
        in_a_year = {
            "issuanceDate": format_date_time(self.issued_at_ms + 365 * DAY_MS),
            "expirationDate": format_date_time(self.issued_at_ms + 366 * DAY_MS),
        }
        *credentials, self.of_the_future = issue(
            *(self._asked("credential", case, self._credential(case)) for case in CASES),
            self._asked("credential", CASES[0], self._credential(CASES[0]) | in_a_year),
        )
        self.credentials = dict(zip(CASES, credentials, strict=True))
        altered: Any = copy.deepcopy(credentials[0])
        altered["credentialSubject"]["advance_minor"] = 6
        *presentations, self.over_an_altered_credential = issue(
            *(self._asked("presentation", case, self._presentation(case, self.credentials[case])) for case in CASES),
            self._asked("presentation", CASES[0], self._presentation(CASES[0], altered)),
        )
        self.presentations = dict(zip(CASES, presentations, strict=True))

    def _asked(self, kind: str, case: Case, document: JsonObject) -> tuple[str, JsonObject, Signer, str]:
        suite, curve, method = case
        return kind, document, self.signers[curve, method], suite

    def _credential(self, case: Case) -> JsonObject:
        suite, curve, method = case
        did = self.signers[curve, method].did
        return credential(suite, did, did, self.issued_at_ms)

    def _presentation(self, case: Case, inner: JsonObject) -> JsonObject:
        suite, curve, method = case
        return {
            "@context": [CREDENTIALS_V1, *SUITE_CONTEXTS.get(suite, [])],
            "type": ["VerifiablePresentation"],
            "holder": self.signers[curve, method].did,
            "verifiableCredential": [inner],
        }
