"""What the tests of presentations share: one scene with an issuer, a holder and a verifier who know each other."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import pytest

from identity.credential_types.types import CredentialType, load_credential_types
from identity.dcql import DcqlQuery, parse_dcql_query
from identity.did_resolver import DidResolver
from identity.errors import FetchFailed
from identity.fetch import GuardedFetcher
from identity.holder import present
from identity.issuance import issue_credential
from identity.keys import SigningKey
from identity.linked_data.workers import LinkedDataWorkers
from identity.openid4vp import build_request_object, client_id_of, did_signer, verify_request_object
from identity.presentation import PresentationRequest
from identity.status_list import StatusChecker
from identity.trust import TrustedIssuer, TrustedIssuers
from identity.verifier import VerifiedPresentation, Verifier

NOW_MS = 1_790_000_000_000
DAY_MS = 86_400_000
MOBILE_MONEY = "urn:credence:mobile-money:1"
GIG_INCOME = "urn:credence:gig-income:1"


def example_value(schema: Mapping[str, Any], definitions: Mapping[str, Any], months: int) -> Any:
    """One value that fits a property of our schemas."""
    if "$ref" in schema:
        schema = definitions[schema["$ref"].removeprefix("#/$defs/")]
    if "enum" in schema:
        return schema["enum"][0]
    if schema["type"] == "array":
        return [schema["items"]["maximum"] // (2 + month) for month in range(6 if schema["maxItems"] == 6 else months)]
    if schema["type"] == "integer":
        return schema["maximum"] // 2
    by_pattern = {"^[A-Z]{2}$": "KE", "^[A-Z]{3}$": "KES", "^[0-9]{4}[A-Z]?$": "2026A"}
    return by_pattern.get(schema.get("pattern", ""), "maize")


class PublishedLists:
    """Stands for the network of status lists: tokens by URL, and what was asked for. No list means an outage."""

    def __init__(self, tokens: Mapping[str, str] | None = None) -> None:
        self.tokens = tokens or {}
        self.asked: list[str] = []

    def fetch(self, url: str, accept: str, *, max_bytes: int | None = None) -> bytes:
        self.asked.append(url)
        if url not in self.tokens:
            raise FetchFailed
        return self.tokens[url].encode()


@dataclass(frozen=True, kw_only=True)
class Scene:
    """An issuer trusted for every type, a holder, and a verifier that asks for mobile money."""

    types: Mapping[str, CredentialType]
    issuer: SigningKey
    holder: SigningKey
    verifier_key: SigningKey
    linked_data: LinkedDataWorkers
    now_ms: int = NOW_MS

    def claims(self, name: str, *, months: int = 6) -> dict[str, Any]:
        schema = self.types[f"urn:credence:{name}:1"].schema
        dates = {"period_from": "2026-03-01", "period_to": "2026-08-31"}
        return {
            key: dates.get(key) or example_value(value, schema.get("$defs", {}), months)
            for key, value in schema["properties"].items()
        }

    def credential(self, name: str = "mobile-money", **changes: Any) -> str:
        arguments: dict[str, Any] = {
            "type": self.types[f"urn:credence:{name}:1"],
            "claims": self.claims(name),
            "holder": self.holder.public,
            "key": self.issuer,
            "now_ms": self.now_ms - DAY_MS,
            "expires_at_ms": self.now_ms + 90 * DAY_MS,
            "status": None,
        }
        return issue_credential(**{**arguments, **changes})

    def query(self, *vcts: str, claims: Sequence[str] = ("currency", "period_to"), **changes: Any) -> DcqlQuery:
        """Ask one credential of each type, as c0, c1, ..."""
        credentials = [
            {
                "id": f"c{index}",
                "format": "dc+sd-jwt",
                "meta": {"vct_values": [vct]},
                "claims": [{"path": [name]} for name in claims],
                **changes,
            }
            for index, vct in enumerate(vcts or (MOBILE_MONEY,))
        ]
        return parse_dcql_query({"credentials": credentials})

    def request(self, query: DcqlQuery | None = None, **changes: Any) -> PresentationRequest:
        request = PresentationRequest(
            id="r1",
            nonce="n-0S6_WzA2Mj",
            state="af0ifjsldkj",
            audience=client_id_of(self.verifier_key),
            response_uri="https://verifier.example/v1/presentation-requests/r1/response",
            query=query or self.query(),
            purpose="a loan",
            created_at_ms=self.now_ms - 1000,
            expires_at_ms=self.now_ms + 600_000,
        )
        return replace(request, **changes)

    def present(
        self, request: PresentationRequest, *credentials: str, key: SigningKey | None = None, now_ms: int | None = None
    ) -> dict[str, list[str]]:
        """Answer a request as the wallet does: fetch and verify the request object, choose, disclose, bind."""
        now_ms = now_ms or self.now_ms
        compact = build_request_object(request, did_signer(self.verifier_key), now_ms)
        asked = verify_request_object(compact, client_id=request.audience, now_ms=now_ms)
        return dict(present(request=asked, credentials=credentials, key=key or self.holder, now_ms=now_ms))

    @property
    def trusted(self) -> TrustedIssuers:
        return TrustedIssuers(tuple(TrustedIssuer(did=self.issuer.did, vct=vct, valid_from_ms=0) for vct in self.types))

    def verify(
        self,
        vp_token: Mapping[str, list[str]],
        request: PresentationRequest,
        *,
        lists: PublishedLists | None = None,
        trusted: TrustedIssuers | None = None,
        now_ms: int | None = None,
    ) -> VerifiedPresentation:
        dids = DidResolver(None)
        checker = StatusChecker(cast(GuardedFetcher, lists or PublishedLists()), dids, self.linked_data)
        verifier = Verifier(statuses=checker, dids=dids, linked_data=self.linked_data, types=self.types)
        return verifier.verify(vp_token, request, self.trusted if trusted is None else trusted, now_ms or self.now_ms)


@pytest.fixture(scope="session")
def scene() -> Iterator[Scene]:
    linked_data = LinkedDataWorkers()  # its processes start with the first document
    yield Scene(
        types=load_credential_types(),
        issuer=SigningKey.generate(),
        holder=SigningKey.generate(),
        verifier_key=SigningKey.generate(),
        linked_data=linked_data,
    )
    linked_data.close()


@pytest.fixture(scope="session")
def published_lists() -> type[PublishedLists]:
    return PublishedLists
