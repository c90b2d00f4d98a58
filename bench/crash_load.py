"""The load of the crash bench: lenders who present real credentials over HTTP and remember what was acknowledged."""

import random
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from api.cli.tenants import open_stores
from api.clock import now_ms
from api.settings import Settings
from identity.credential_types.types import load_credential_types
from identity.holder import present
from identity.issuance import issue_credential
from identity.keys import SigningKey
from identity.openid4vp import verify_request_object
from identity.trust import TrustedIssuer

VCT = "urn:credence:repayment-history:1"
DAY_MS = 86_400_000
TENANTS = ("lender one", "lender two")
ANSWER_WITHIN_S = 120.0
CLAIMS: Mapping[str, Any] = {
    "period_from": "2026-04-01",
    "period_to": "2026-09-30",
    "currency": "TWD",
    "evidence_level": "system_of_record",
    "credit_line_minor": 20_000_00,
    "statement_minor": [3913_00, 3102_00, 689_00, 0, 0, 0],
    "paid_minor": [0, 689_00, 0, 0, 0, 0],
    "delay_months": [2, 2, -1, -1, -2, -2],
}
QUERY = {
    "credentials": [
        {
            "id": "history",
            "format": "dc+sd-jwt",
            "meta": {"vct_values": [VCT]},
            "claims": [
                {"path": [name]} for name in ("credit_line_minor", "statement_minor", "paid_minor", "delay_months")
            ],
        }
    ]
}


def append_clients(settings: Settings, institution: SigningKey) -> dict[str, tuple[str, str]]:
    """A client of each tenant's, with every scope that the bench needs."""
    clients = {}
    with open_stores(settings) as stores:
        for name in TENANTS:
            tenant_id = stores.tenants.load_or_append_tenant(name, now_ms())
            trusted = TrustedIssuer(did=institution.did, vct=VCT, valid_from_ms=0)
            stores.trust.append_trusted(tenant_id, trusted, now_ms())
            client = stores.tenants.append_client(
                tenant_id=tenant_id, name="bench", scopes=frozenset({"lender", "compliance"}), now_ms=now_ms()
            )
            clients[name] = (client.client_id, client.client_secret)
    return clients


@dataclass
class Findings:
    """What the lenders saw, and what was found wrong."""

    acknowledged: dict[str, tuple[str, dict[str, Any]]] = field(default_factory=dict)
    asked_again: int = 0
    violations: Counter[str] = field(default_factory=Counter)


class Lender(threading.Thread):
    """Asks, presents and scores over HTTP; what it does not hear the answer to, it sends again."""

    def __init__(
        self,
        *,
        base_url: str,
        tenant: str,
        client: tuple[str, str],
        institution: SigningKey,
        findings: Findings,
        seed: int,
    ) -> None:
        super().__init__(name=f"lender {seed}", daemon=True)
        self._http = httpx.Client(base_url=base_url, timeout=10, trust_env=False)
        self._tenant = tenant
        self._client = client
        self._findings = findings
        self._random = random.Random(seed)
        self._done = threading.Event()
        self._token: dict[str, str] = {}
        self._holder = SigningKey.generate()
        issued_at_ms = now_ms() - DAY_MS
        self._credential = issue_credential(
            type=load_credential_types()[VCT],
            claims=CLAIMS,
            holder=self._holder.public,
            key=institution,
            now_ms=issued_at_ms,
            expires_at_ms=issued_at_ms + 30 * DAY_MS,
            status=None,
        )

    def finish(self) -> None:
        """End after the score that is on its way."""
        self._done.set()

    def run(self) -> None:
        """One score after another."""
        while not self._done.is_set():
            try:
                self._score()
            except Exception as error:  # noqa: BLE001  (whatever it is, it is a finding)
                self._findings.violations[f"lender: {type(error).__name__}: {error}"] += 1
            self._done.wait(self._random.uniform(0.05, 0.25))

    def _score(self) -> None:
        request = self._send("POST", "/v1/presentation-requests", {"purpose": "credit_application", "query": QUERY})
        request_object = self._send("GET", f"/v1/presentation-requests/{request['id']}/object", None)
        asked = verify_request_object(request_object, client_id=request["audience"], now_ms=now_ms())
        vp_token = present(request=asked, credentials=(self._credential,), key=self._holder, now_ms=now_ms())
        body = {"request_id": request["id"], "vp_token": dict(vp_token)}
        score = self._send("POST", "/v1/scores", body)
        self._findings.acknowledged[score["id"]] = (self._tenant, score)
        if self._random.random() < 0.1:
            again = self._send("POST", "/v1/scores", body)
            if (again["id"], again["credential"], again["log"]["index"]) != (
                score["id"],
                score["credential"],
                score["log"]["index"],
            ):
                self._findings.violations["the same presentation got another answer"] += 1

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None) -> Any:
        """The answer, however often it is lost on the way."""
        deadline = time.monotonic() + ANSWER_WITHIN_S
        while True:
            try:
                if not self._token:
                    self._token = bearer(self._http, self._client)
                answer = self._http.request(method, path, json=body, headers=self._token)
            except httpx.TransportError:
                if time.monotonic() > deadline:
                    raise
                self._findings.asked_again += 1
                time.sleep(0.05)
                continue
            if answer.status_code == 401:
                self._token = {}
                continue
            if answer.status_code not in (200, 201):
                raise RuntimeError(f"{method} answered {answer.status_code}")
            return answer.json() if "json" in answer.headers["content-type"] else answer.text


def bearer(http: httpx.Client, client: tuple[str, str]) -> dict[str, str]:
    """The headers of a client that has just got a token."""
    answer = http.post("/v1/oauth/token", data={"grant_type": "client_credentials"}, auth=client)
    answer.raise_for_status()
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}
