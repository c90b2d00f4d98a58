"""A whole service in one process, over real databases, with the counterparties that a test needs."""

import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from api.http.service import Service
from api.settings import Settings
from identity.credential_types.types import load_credential_types
from identity.holder import present
from identity.issuance import issue_credential
from identity.keys import SigningKey
from identity.openid4vp import verify_request_object
from identity.trust import TrustedIssuer
from scoring.artifact import write_artifact
from scoring.card import LedgerReference, Mechanism, ModelCard, Privacy
from scoring.schema import parse_schema
from scoring.scorecard import Scorecard, points_table

ROOT = Path(__file__).resolve().parents[2]
VCT = "urn:credence:repayment-history:1"
DAY_MS = 86_400_000
REPAYMENTS: dict[str, Any] = {
    "period_from": "2026-04-01",
    "period_to": "2026-09-30",
    "currency": "TWD",
    "evidence_level": "system_of_record",
    "credit_line_minor": 20_000_00,
    "statement_minor": [3913_00, 3102_00, 689_00, 0, 0, 0],
    "paid_minor": [0, 689_00, 0, 0, 0, 0],
    "delay_months": [2, 2, -1, -1, -2, -2],
}


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model written by hand: no privacy is claimed of it but what an artifact must say."""
    schema = parse_schema((ROOT / "scoring" / "schemas" / "taiwan.toml").read_bytes())
    tables = []
    for column in schema.inputs:
        count = column.cells.count
        tables.append(
            points_table(
                schema,
                column.name,
                bins=tuple(range(count)),
                points=tuple((7 * cell) % 23 - 11 for cell in range(count)),
            )
        )
    scorecard = Scorecard(schema=schema, tables=tuple(tables), offset=560)
    card = ModelCard(
        name="handwritten",
        created_at_ms=1,
        data_kind="synthetic",
        population="nobody",
        privacy=Privacy(
            epsilon_micro=1,
            delta_e12=1,
            rows_per_person=1,
            institutions=1,
            sampler="os",
            mechanisms=(Mechanism(name="none", releases=1, sensitivity_squared=1, scale=1, sigma_micro=1),),
            ledger=(LedgerReference(id="1", sha256="0" * 64),),
        ),
    )
    directory = tmp_path_factory.mktemp("models") / "handwritten"
    write_artifact(directory, scorecard=scorecard, card=card)
    return directory


@dataclass
class Clock:
    """A clock that a test moves."""

    now_ms: int = 1_790_000_000_000

    def __call__(self) -> int:
        return self.now_ms


@dataclass
class Harness:
    """A running service, a lender with a token, and an institution that it trusts."""

    http: TestClient
    service: Service
    clock: Clock
    institution: SigningKey
    tokens: dict[str, str] = field(default_factory=dict)

    def token(self, tenant: str = "lender", scopes: Sequence[str] = ("lender",)) -> dict[str, str]:
        """The headers of a client of that tenant with those scopes."""
        name = f"{tenant}/{' '.join(sorted(scopes))}"
        if name not in self.tokens:
            tenant_id = self.service.tenants.load_or_append_tenant(tenant, self.clock())
            client = self.service.tenants.append_client(
                tenant_id=tenant_id, name=name, scopes=frozenset(scopes), now_ms=self.clock()
            )
            self.service.tenants.append_trusted_issuer(
                tenant_id, TrustedIssuer(did=self.institution.did, vct=VCT, valid_from_ms=0)
            )
            answer = self.http.post(
                "/v1/oauth/token",
                data={"grant_type": "client_credentials"},
                auth=(client.client_id, client.client_secret),
            )
            assert answer.status_code == 200, answer.text
            self.tokens[name] = answer.json()["access_token"]
        return {"Authorization": f"Bearer {self.tokens[name]}"}

    def ask(self, tenant: str = "lender", **changes: Any) -> dict[str, Any]:
        """A presentation request of a lender's."""
        names = ["credit_line_minor", "statement_minor", "paid_minor", "delay_months"]
        body = {
            "purpose": "credit_application",
            "query": {
                "credentials": [
                    {
                        "id": "history",
                        "format": "dc+sd-jwt",
                        "meta": {"vct_values": [VCT]},
                        "claims": [{"path": [name]} for name in names],
                    }
                ]
            },
        } | changes
        answer = self.http.post("/v1/presentation-requests", json=body, headers=self.token(tenant))
        assert answer.status_code == 201, answer.text
        created: dict[str, Any] = answer.json()
        return created

    def credential(self, holder: SigningKey, claims: Mapping[str, Any] = REPAYMENTS, **changes: Any) -> str:
        """A repayment-history credential of the institution's."""
        arguments: dict[str, Any] = {
            "type": load_credential_types()[VCT],
            "claims": claims,
            "holder": holder.public,
            "key": self.institution,
            "now_ms": self.clock() - DAY_MS,
            "expires_at_ms": self.clock() + 30 * DAY_MS,
            "status": None,
        }
        return issue_credential(**(arguments | changes))

    def vp_token(self, request: Mapping[str, Any], holder: SigningKey, *credentials: str) -> dict[str, list[str]]:
        """What the holder's wallet presents, having fetched and verified the request object."""
        request_object = self.http.get(f"/v1/presentation-requests/{request['id']}/object")
        assert request_object.status_code == 200, request_object.text
        verified = verify_request_object(request_object.text, client_id=request["audience"], now_ms=self.clock())
        return dict(
            present(
                request=verified,
                credentials=credentials or (self.credential(holder),),
                key=holder,
                now_ms=self.clock(),
            )
        )

    def score(self, tenant: str = "lender", holder: SigningKey | None = None) -> dict[str, Any]:
        """A score, the whole way."""
        request = self.ask(tenant)
        vp_token = self.vp_token(request, holder or SigningKey.generate())
        answer = self.http.post(
            "/v1/scores", json={"request_id": request["id"], "vp_token": vp_token}, headers=self.token(tenant)
        )
        assert answer.status_code == 201, answer.text
        document: dict[str, Any] = answer.json()
        return document


@pytest.fixture
def settings(tmp_path: Path, database: str, model: Path) -> Settings:
    """The settings of a service over the database of the test."""
    return Settings(
        var=tmp_path / "var",
        database_url=database,
        keystore_url=f"sqlite:///{tmp_path}/keystore.sqlite3",
        model=model,
        base_url="http://testserver",
        checkpoint_interval_ms=50,
        anchor_poll_ms=100,
        anchor_interval_ms=100,
    )


@pytest.fixture
def harness(settings: Settings) -> Iterator[Harness]:
    """A running service."""
    clock = Clock()
    app = create_app(settings, clock)
    with TestClient(app, raise_server_exceptions=False) as http:
        yield Harness(http=http, service=app.state.service, clock=clock, institution=SigningKey.generate())
