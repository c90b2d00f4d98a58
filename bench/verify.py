"""How fast presentations verify: ours beside PyPI's sd-jwt, openvc-core and didkit's linked data, in one run.

    python -m bench.verify [--presentations 400] [--rounds 15]

One thread, one kind of credential (mobile money, every claim disclosed), each verification of a presentation of its own
and complete: the issuer's signature, time, disclosures, and the holder's signature over nonce and audience. `seen` are
presentations of credentials whose issuer's part was verified before, in another presentation. The kinds take turns, a
few dozen at a time, and only the process's own CPU time counts, so that whatever else the machine does falls on all of
them alike; the figure is the ratio of the medians. didkit verifies a presentation and the credential in it, for which
it has to be asked one by one.
"""

import argparse
import asyncio
import json
import secrets
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import didkit
from jwcrypto.jwk import JWK
from openvc import VerificationPolicy, verify_credential
from openvc.did.base import DidResolverRegistry
from openvc.did.did_jwk import DidJwkResolver
from sd_jwt.verifier import SDJWTVerifier

from identity.credential_types.types import load_credential_types
from identity.did_resolver import DidResolver
from identity.disclosures import digest_of
from identity.encoding import JsonValue, encode_json
from identity.issuance import issue_credential
from identity.issuer_parts import SeenIssuerParts
from identity.jws import sign_jws
from identity.key_binding import KeyBinding
from identity.keys import SigningKey
from identity.sd_jwt import verify_sd_jwt

VCT = "urn:credence:mobile-money:1"
NONCE, AUDIENCE = "n-0S6_WzA2Mj", "https://verifier.example"
BINDING = KeyBinding(nonce=NONCE, audience=AUDIENCE)
DIDS = DidResolver(None)
CLAIMS: dict[str, JsonValue] = {
    "period_from": "2026-03-01",
    "period_to": "2026-08-31",
    "currency": "KES",
    "evidence_level": "system_of_record",
    "inflow_minor": [410_000, 385_000, 402_500, 398_000, 415_000, 377_000],
    "outflow_minor": [395_000, 380_000, 401_000, 388_000, 402_000, 371_000],
    "in_n": [21, 19, 24, 22, 20, 18],
    "out_n": [44, 39, 51, 47, 42, 40],
    "merchant_payment_n": [12, 9, 15, 11, 13, 10],
    "bill_payment_n": [3, 3, 2, 3, 3, 3],
    "balance_median_minor": [21_000, 19_500, 22_500, 20_000, 23_000, 18_000],
    "floor_minor": 5_000,
    "days_below_floor": [2, 4, 1, 3, 2, 5],
    "reversal_n": [0, 1, 0, 0, 0, 0],
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presentations", type=int, default=400, help="of each kind")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    result = asyncio.run(measure(presentations=options.presentations, rounds=options.rounds))
    print(json.dumps(result, indent=2))
    return 0


async def measure(*, presentations: int, rounds: int) -> dict[str, Any]:
    """Microseconds a verification by kind, and the ratios."""
    issuer = SigningKey.generate()
    per_round = max(1, presentations // rounds)
    issuer_jwk = JWK.from_json(json.dumps(issuer.public.jwk))
    resolver = DidResolverRegistry([DidJwkResolver()])
    policy = VerificationPolicy(audience=AUDIENCE, nonce=NONCE, require_key_binding=True)
    linked = await linked_data_presentations(per_round)
    seen = SeenIssuerParts()

    def ours(presentation: str) -> object:
        return verify_sd_jwt(
            presentation,
            issuer_key_for=lambda parsed: DIDS.resolve_key(
                did=parsed.issuer, kid=parsed.kid, relationship="assertionMethod", now_ms=now_ms()
            ),
            now_ms=now_ms(),
            key_binding=BINDING,
            seen=seen,
        )

    def sd_jwt(presentation: str) -> object:
        return SDJWTVerifier(presentation, lambda *_: issuer_jwk, AUDIENCE, NONCE).get_verified_payload()

    def openvc(presentation: str) -> object:
        return verify_credential(presentation, policy=policy, resolver=resolver)

    taken: dict[str, list[float]] = {name: [] for name in ("ours", "ours_seen", "sd_jwt", "openvc_core", "didkit")}
    for _ in range(rounds):
        # New credentials each time: none of their issuer's parts was seen, until the second presentation.
        first, second = presented_twice(issuer, per_round)
        taken["ours"].append(timed(ours, first))
        taken["sd_jwt"].append(timed(sd_jwt, first))
        taken["didkit"].append(await timed_linked_data(linked))
        taken["ours_seen"].append(timed(ours, second))
        taken["openvc_core"].append(timed(openvc, first))
    await asyncio.sleep(0.5)  # didkit crashes a process that ends right after it was asked

    median = {name: statistics.median(times) for name, times in taken.items()}
    return {
        "bench": "verify",
        "note": "CPU time of one thread; trust the ratios, not the times",
        "presentations": per_round * rounds,
        "disclosures": len(CLAIMS),
        "microseconds": {name: round(value * 1e6) for name, value in median.items()},
        "times_as_fast": {
            "ours / sd_jwt": round(median["sd_jwt"] / median["ours"], 2),
            "ours / openvc_core": round(median["openvc_core"] / median["ours"], 2),
            "ours / didkit": round(median["didkit"] / median["ours"], 2),
            "ours_seen / ours": round(median["ours"] / median["ours_seen"], 2),
            "ours_seen / sd_jwt": round(median["sd_jwt"] / median["ours_seen"], 2),
            "ours_seen / didkit": round(median["didkit"] / median["ours_seen"], 2),
        },
    }


def presented_twice(issuer: SigningKey, count: int) -> tuple[list[str], list[str]]:
    """Two presentations each of new credentials, each of a holder of its own."""
    type_, issued_at_ms = load_credential_types()[VCT], now_ms() - 1000
    first, second = [], []
    for _ in range(count):
        holder = SigningKey.generate()
        credential = issue_credential(
            type=type_,
            claims=CLAIMS,
            holder=holder.public,
            key=issuer,
            now_ms=issued_at_ms,
            expires_at_ms=issued_at_ms + 86_400_000,
            status=None,
        )
        first.append(credential + key_binding(credential, holder))
        second.append(credential + key_binding(credential, holder))
    return first, second


def key_binding(credential: str, holder: SigningKey) -> str:
    """The holder's signature over our nonce and audience, made now."""
    payload = {"iat": now_ms() // 1000, "aud": AUDIENCE, "nonce": NONCE, "sd_hash": digest_of(credential)}
    return sign_jws({"typ": "kb+jwt"}, encode_json({**payload, "jti": secrets.token_hex(8)}), holder)


async def linked_data_presentations(count: int) -> list[tuple[str, str]]:
    """Presentations of W3C VC 1.1 credentials with Ed25519Signature2018 proofs by didkit, and what each holds."""
    issuer_key, made = didkit.generate_ed25519_key(), []
    issuer = didkit.key_to_did("key", issuer_key)
    method = f"{issuer}#{issuer.removeprefix('did:key:')}"
    for _ in range(count):
        holder_key = didkit.generate_ed25519_key()
        holder = didkit.key_to_did("key", holder_key)
        document = {
            "@context": ["https://www.w3.org/2018/credentials/v1", {"@vocab": "urn:credence:terms#"}],
            "type": ["VerifiableCredential", "MobileMoneyCredential"],
            "issuer": issuer,
            "issuanceDate": "2026-09-01T00:00:00Z",
            "credentialSubject": {"id": holder, **CLAIMS},
        }
        options = {"proofPurpose": "assertionMethod", "verificationMethod": method}
        credential = await didkit.issue_credential(json.dumps(document), json.dumps(options), issuer_key)
        presentation = {
            "@context": ["https://www.w3.org/2018/credentials/v1"],
            "type": ["VerifiablePresentation"],
            "holder": holder,
            "verifiableCredential": json.loads(credential),
        }
        options = {
            **{"proofPurpose": "authentication", "challenge": NONCE, "domain": AUDIENCE},
            "verificationMethod": f"{holder}#{holder.removeprefix('did:key:')}",
        }
        signed = await didkit.issue_presentation(json.dumps(presentation), json.dumps(options), holder_key)
        made.append((signed, credential))
    return made


async def timed_linked_data(presentations: Sequence[tuple[str, str]]) -> float:
    """CPU seconds that didkit takes for a presentation and the credential in it."""
    options = {"proofPurpose": "authentication", "challenge": NONCE, "domain": AUDIENCE}
    presented, issued = json.dumps(options), json.dumps({"proofPurpose": "assertionMethod"})
    began_s = time.process_time()
    for presentation, credential in presentations:
        for answer in (
            await didkit.verify_presentation(presentation, presented),
            await didkit.verify_credential(credential, issued),
        ):
            if json.loads(answer)["errors"]:
                raise RuntimeError(f"didkit refuses its own: {answer}")
    return (time.process_time() - began_s) / len(presentations)


def timed(verify: Callable[[str], object], presentations: Sequence[str]) -> float:
    """CPU seconds a verification; all of them succeed."""
    began_s = time.process_time()
    for presentation in presentations:
        verify(presentation)
    return (time.process_time() - began_s) / len(presentations)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    sys.exit(main())
