"""Issuers' parts that were seen before: one signature less, and every other check as ever."""

import gc
import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from identity.disclosures import digest_of
from identity.encoding import encode_json
from identity.errors import (
    AudienceMismatch,
    BadSignature,
    DisclosureNotReferenced,
    Expired,
    IssuerNotTrusted,
    KbStale,
    KeyBindingMissing,
    NonceMismatch,
    NotYetValid,
    SdHashMismatch,
)
from identity.issuer_parts import MAX_SEALED_BYTES, SeenIssuerParts
from identity.jws import sign_jws
from identity.keys import PublicKey, SigningKey
from identity.sd_jwt import (
    KeyBinding,
    ParsedIssuerJwt,
    VerifiedSdJwt,
    issue_sd_jwt,
    select_disclosures,
    verify_sd_jwt,
)

ISSUER, HOLDER = SigningKey.generate(), SigningKey.generate()
NOW_S = 1_790_000_000
AUDIENCE, NONCE = "https://verifier.example", "nonce 1"
CLAIMS = {"region": "a valley that nobody else names", "ratio": 0.1, "months": [1, 2, {"deep": [None, True]}]}


def issued(**changes: Any) -> str:
    registered = {
        **{"iss": ISSUER.did, "vct": "urn:x", "iat": NOW_S - 9, "exp": NOW_S + 900},
        "cnf": {"jwk": HOLDER.public.jwk},
    }
    disclosed = CLAIMS | {name: value for name, value in changes.items() if name not in registered and name != "nbf"}
    return issue_sd_jwt(
        claims={**registered, **disclosed, **changes},
        disclosable=disclosed,
        key=ISSUER,
        random_bytes=secrets.token_bytes,
    )


def bound(credential: str, *, key: SigningKey = HOLDER, **changes: Any) -> str:
    payload = {"iat": NOW_S, "aud": AUDIENCE, "nonce": NONCE, "sd_hash": digest_of(credential)} | changes
    return credential + sign_jws({"typ": "kb+jwt"}, encode_json(payload), key)


def verify(presentation: str, seen: SeenIssuerParts | None, **changes: Any) -> VerifiedSdJwt:
    arguments: dict[str, Any] = {
        "issuer_key_for": lambda _: ISSUER.public,
        "now_ms": NOW_S * 1000,
        "key_binding": KeyBinding(nonce=NONCE, audience=AUDIENCE),
    }
    return verify_sd_jwt(presentation, seen=seen, **(arguments | changes))


@pytest.fixture
def signatures(monkeypatch: pytest.MonkeyPatch) -> list[PublicKey]:
    """The keys with which signatures were verified."""
    made: list[PublicKey] = []
    verify_signature = PublicKey.verify

    def count(key: PublicKey, signature: bytes, data: bytes) -> None:
        made.append(key)
        verify_signature(key, signature, data)

    monkeypatch.setattr(PublicKey, "verify", count)
    return made


def test_a_part_that_was_seen_says_the_same_and_its_signature_is_verified_once(signatures: list[PublicKey]) -> None:
    seen, credential = SeenIssuerParts(), issued()
    first = verify(bound(credential), seen)
    again = verify(bound(credential, nonce="another"), seen, key_binding=KeyBinding(nonce="another", audience=AUDIENCE))
    assert first == again == verify(bound(credential), None)
    assert signatures == [ISSUER.public, HOLDER.public, HOLDER.public, ISSUER.public, HOLDER.public]
    assert len(seen) == 1


def test_what_was_seen_cannot_be_changed_by_whoever_was_given_it() -> None:
    seen, credential = SeenIssuerParts(), issued()
    verify(bound(credential), seen).claims["months"] = "forged"
    claims = verify(bound(credential), seen).claims
    assert claims["months"] == CLAIMS["months"]
    claims.clear()
    assert verify(bound(credential), seen).claims["months"] == CLAIMS["months"]


def test_trust_is_asked_every_time_with_what_the_jwt_says_of_itself() -> None:
    seen, credential, asked = SeenIssuerParts(), issued(), []

    def issuer_key_for(parsed: ParsedIssuerJwt) -> PublicKey:
        asked.append(parsed)
        if len(asked) > 2:
            raise IssuerNotTrusted
        return ISSUER.public

    for _ in range(2):
        verify(bound(credential), seen, issuer_key_for=issuer_key_for)
    with pytest.raises(IssuerNotTrusted):
        verify(bound(credential), seen, issuer_key_for=issuer_key_for)
    assert asked == [ParsedIssuerJwt(issuer=ISSUER.did, vct="urn:x", kid=ISSUER.kid)] * 3


def test_a_part_that_was_signed_with_a_key_that_is_no_longer_the_issuers_is_verified_anew() -> None:
    seen, credential = SeenIssuerParts(), issued()
    verify(bound(credential), seen)
    with pytest.raises(BadSignature):
        verify(bound(credential), seen, issuer_key_for=lambda _: HOLDER.public)


def test_time_and_binding_are_checked_every_time() -> None:
    seen, credential = SeenIssuerParts(), issued(nbf=NOW_S - 100)
    verify(bound(credential), seen)
    for refusal, presentation, changes in (
        (Expired, bound(credential), {"now_ms": (NOW_S + 960) * 1000}),
        (NotYetValid, bound(credential), {"now_ms": (NOW_S - 161) * 1000}),
        (KbStale, bound(credential, iat=NOW_S - 301), {}),
        (NonceMismatch, bound(credential, nonce="other"), {}),
        (AudienceMismatch, bound(credential, aud="other"), {}),
        (SdHashMismatch, bound(credential, sd_hash=digest_of("other")), {}),
        (BadSignature, bound(credential, key=SigningKey.generate()), {}),
        (KeyBindingMissing, credential, {}),
    ):
        with pytest.raises(refusal):
            verify(presentation, seen, **changes)
    assert verify(bound(credential), seen).disclosed == verify(bound(credential), None).disclosed


def test_a_restricted_audience_is_asked_every_time() -> None:
    seen, credential = SeenIssuerParts(), issued(aud=AUDIENCE)
    verify(bound(credential), seen)
    with pytest.raises(AudienceMismatch):
        verify(credential, seen, key_binding=None)


def test_other_disclosures_are_another_part() -> None:
    seen, credential = SeenIssuerParts(), issued()
    verify(bound(credential), seen)
    fewer = select_disclosures(credential, ["ratio"])
    assert verify(bound(fewer), seen).claims.keys() & CLAIMS.keys() == {"ratio"}
    forged = f"{fewer}{issued().split('~')[1]}~"
    for _ in range(2):
        with pytest.raises(DisclosureNotReferenced):
            verify(bound(forged), seen)
    assert len(seen) == 2


def test_what_was_refused_is_not_remembered() -> None:
    seen = SeenIssuerParts()
    credential = issued()
    for _ in range(2):
        with pytest.raises(BadSignature):
            verify(bound(credential), seen, issuer_key_for=lambda _: HOLDER.public)
        with pytest.raises(DisclosureNotReferenced):
            verify(bound(f"{credential}{issued().split('~')[1]}~"), seen)
    assert len(seen) == 0


def test_nothing_that_is_kept_can_be_read() -> None:
    seen, credential = SeenIssuerParts(), issued()
    verify(bound(credential), seen)
    gc.collect()
    kept = repr([(name, sealed) for name, sealed in seen._sealed.items()]).encode() + b"".join(
        bytes(part) for item in seen._sealed.items() for part in item
    )
    readable = [CLAIMS["region"], HOLDER.public.jwk["x"], HOLDER.public.point.hex(), ISSUER.did, digest_of(credential)]
    readable += credential.split("~")[:-1]
    assert not [text for text in readable if str(text).encode() in kept]
    # Under another process's secret the same part has another name.
    other = SeenIssuerParts()
    verify(bound(credential), other)
    assert not seen._sealed.keys() & other._sealed.keys()


def test_only_the_most_recent_are_kept_and_none_that_is_large() -> None:
    seen = SeenIssuerParts(most=3)
    credentials = [issued() for _ in range(4)]
    for credential in credentials[:3]:
        verify(bound(credential), seen)
    names = list(seen._sealed)
    verify(bound(credentials[0]), seen)  # used again, so the second is now the oldest
    verify(bound(credentials[3]), seen)
    assert len(seen) == 3
    assert (names[0] in seen._sealed, names[1] in seen._sealed) == (True, False)
    verify(bound(issued(large="x" * MAX_SEALED_BYTES)), seen)
    assert names[0] in seen._sealed


def test_threads_share_it() -> None:
    seen, credentials = SeenIssuerParts(most=2), [issued() for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        presented = [threads.submit(verify, bound(credential), seen) for credential in credentials * 20]
    assert all(each.result().claims["months"] == CLAIMS["months"] for each in presented)
    assert len(seen) == 2
