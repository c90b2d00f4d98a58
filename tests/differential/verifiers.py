"""The two verifiers, each asked the same: is this what somebody signed, for us, now, and what does it say?"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, tzinfo
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import patch

from openvc import OpenvcError, VerificationPolicy, verify_credential
from openvc.did.base import DidResolverRegistry
from openvc.did.did_jwk import DidJwkResolver
from openvc.did.did_key import DidKeyResolver

from identity.did import resolve_verification_key
from identity.encoding import JsonObject, encode_json, parse_json_object
from identity.errors import IdentityError, LinkedDataFailed
from identity.key_binding import KeyBinding
from identity.keys import PublicKey
from identity.ldp_vc import verify_credential_object
from identity.linked_data.workers import LinkedDataWorkers
from identity.sd_jwt import verify_sd_jwt
from identity.vc_jwt import verify_credential_jwt
from identity.vcdm import W3cCredential
from tests.differential.corpus import AUDIENCE, NONCE, NOW_S, Case


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one verifier made of a case: `said` is "accepted" or its name for the refusal."""

    said: str
    issuer: str | None = None
    claims: Any = None


def ours(case: Case) -> Outcome:
    """Verify a case as the house does, with every issuer trusted and no query; only IdentityError may come out."""
    try:
        return _OURS[case.format](case.presented)
    except IdentityError as refused:
        return Outcome(said=refused.code)


def theirs(case: Case) -> Outcome:
    """Verify a case with openvc-core; asks it for no more and no less than of ours."""
    # A presentation is for somebody; the W3C credential in one is for nobody in particular.
    bound = {"audience": AUDIENCE, "nonce": NONCE, "require_key_binding": True} if case.format == "dc+sd-jwt" else {}
    policy = VerificationPolicy(require_status=False, **bound)
    try:
        result = verify_credential(case.presented, policy=policy, resolver=_RESOLVER)
    except OpenvcError as refused:
        return Outcome(said=type(refused).__name__)
    claims = result.credential if case.format == "dc+sd-jwt" else _claims_of(result.credential)
    return Outcome(said="accepted", issuer=result.issuer, claims=claims)


def _our_sd_jwt(presented: str) -> Outcome:
    verified = verify_sd_jwt(
        presented,
        issuer_key_for=lambda parsed: resolve_verification_key(did=parsed.issuer, kid=parsed.kid),
        now_ms=NOW_S * 1000,
        key_binding=KeyBinding(nonce=NONCE, audience=AUDIENCE),
    )
    return Outcome(said="accepted", issuer=verified.issuer, claims=verified.claims)


def _our_credential_jwt(presented: str) -> Outcome:
    verified = verify_credential_jwt(presented, issuer_key_for=_issuer_key, now_ms=NOW_S * 1000)
    return Outcome(said="accepted", issuer=verified.credential.issuer, claims=verified.credential.claims)


def _our_credential_object(presented: JsonObject) -> Outcome:
    arrived = parse_json_object(encode_json(presented))  # as it comes out of a vp_token
    verified = verify_credential_object(
        arrived, issuer_key_for=_issuer_key, linked_data=cast(LinkedDataWorkers, _NoLinkedData()), now_ms=NOW_S * 1000
    )
    return Outcome(said="accepted", issuer=verified.credential.issuer, claims=verified.credential.claims)


def _issuer_key(credential: W3cCredential, kid: str | None) -> PublicKey:
    return resolve_verification_key(did=credential.issuer, kid=kid)


class _NoLinkedData:
    """Refuses what only RDF could say: no case of the corpus is signed so."""

    def canonicalize(self, _document: JsonObject) -> bytes:
        raise LinkedDataFailed

    def verify_legacy_proof(self, *_arguments: object, **_named: object) -> None:
        raise LinkedDataFailed


def _claims_of(document: JsonObject) -> Any:
    """What a W3C credential says of its subject, as ours has it."""
    subject = document.get("credentialSubject")
    if isinstance(subject, list) and len(subject) == 1:
        subject = subject[0]
    return {name: value for name, value in subject.items() if name != "id"} if isinstance(subject, dict) else subject


_OURS: dict[str, Callable[[Any], Outcome]] = {
    "dc+sd-jwt": _our_sd_jwt,
    "jwt_vc_json": _our_credential_jwt,
    "ldp_vc": _our_credential_object,
}
_RESOLVER = DidResolverRegistry([DidKeyResolver(), DidJwkResolver()])


class _Then(datetime):
    """A `datetime` whose now is the corpus's."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> "_Then":
        return cls.fromtimestamp(NOW_S, tz)


@contextmanager
def at_the_corpus_time() -> Iterator[None]:
    """Let openvc-core, which reads the machine's clock, read the corpus's."""
    clock = SimpleNamespace(**{name: getattr(time, name) for name in dir(time)} | {"time": lambda: float(NOW_S)})
    with (
        patch("openvc.proof._verify_common.time", clock),
        patch("openvc.proof._verify_common.datetime", _Then),
        patch("openvc.proof.sd_jwt.time", clock),
        patch("jwt.api_jwt.datetime", _Then),
    ):
        yield
