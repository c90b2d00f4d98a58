"""The two verifiers, each asked the same: is this what somebody signed, for us, now, and what does it say?"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, tzinfo
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from openvc import OpenvcError, VerificationPolicy, verify_credential
from openvc.did.base import DidResolverRegistry
from openvc.did.did_jwk import DidJwkResolver
from openvc.did.did_key import DidKeyResolver

from identity.did import resolve_verification_key
from identity.errors import IdentityError
from identity.sd_jwt import KeyBinding, verify_sd_jwt
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
    policy = VerificationPolicy(
        audience=AUDIENCE,
        nonce=NONCE,
        require_key_binding=case.format == "dc+sd-jwt",
        require_status=False,
    )
    try:
        result = verify_credential(case.presented, policy=policy, resolver=_RESOLVER)
    except OpenvcError as refused:
        return Outcome(said=type(refused).__name__)
    return Outcome(said="accepted", issuer=result.issuer, claims=result.credential)


def _our_sd_jwt(presented: str) -> Outcome:
    verified = verify_sd_jwt(
        presented,
        issuer_key_for=lambda parsed: resolve_verification_key(did=parsed.issuer, kid=parsed.kid),
        now_ms=NOW_S * 1000,
        key_binding=KeyBinding(nonce=NONCE, audience=AUDIENCE),
    )
    return Outcome(said="accepted", issuer=verified.issuer, claims=verified.claims)


_OURS: dict[str, Callable[[Any], Outcome]] = {"dc+sd-jwt": _our_sd_jwt}
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
