"""A whole service in one process, over real databases, with the counterparties that a test needs."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import argon2
import httpx
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, or_, select

from api.app import create_app
from api.http.service import Service
from api.settings import Settings
from api.store import tables, tenants
from api.store.database import migrate, migrate_keystore, write_transaction
from api.store.trust import append_trusted_in
from identity.credential_types.types import load_credential_types
from identity.holder import add_key_binding, present
from identity.holder_proof import sign_holder_proof
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
                deviations=(*(1_000 + 50 * cell for cell in range(count - 1)), 6_000),
            )
        )
    scorecard = Scorecard(schema=schema, tables=tuple(tables), offset=560)
    card = ModelCard(
        name="handwritten",
        created_at_ms=1,
        data_kind="synthetic",
        population="nobody",
        privacy=Privacy(
            epsilon_micro=1_000_000,
            delta_e12=1_000_000,
            rows_per_person=1,
            institutions=1,
            sampler="os",
            mechanisms=(Mechanism(name="none", releases=1, sensitivity_squared=1, scale=1, sigma_micro=20_000_000),),
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
            self.trust(tenant_id, TrustedIssuer(did=self.institution.did, vct=VCT, valid_from_ms=0))
            answer = self.http.post(
                "/v1/oauth/token",
                data={"grant_type": "client_credentials"},
                auth=(client.client_id, client.client_secret),
            )
            assert answer.status_code == 200, answer.text
            self.tokens[name] = answer.json()["access_token"]
        return {"Authorization": f"Bearer {self.tokens[name]}"}

    def trust(self, tenant_id: str, issuer: TrustedIssuer) -> None:
        """Have a tenant trust an issuer as if ever since: without an entry of the log, which a test may count."""
        with write_transaction(self.service.trust._engine) as transaction:
            append_trusted_in(transaction, tenant_id, issuer)

    def settle(self) -> None:
        """Wait until each worker step ran once: none runs again before the clock moves."""
        give_up_at_s = time.monotonic() + 60
        with self.service.health._engine.connect() as connection:
            while connection.execute(
                select(func.count()).where(or_(tables.jobs.c.fence == 0, tables.jobs.c.lease_owner.is_not(None)))
            ).scalar_one():
                assert time.monotonic() < give_up_at_s
                connection.rollback()
                time.sleep(0.01)

    def publish(self) -> None:
        """Publish a checkpoint over everything that is in the log, as the worker does every second."""
        self.service.log.append_checkpoint(self.clock())

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

    def vp_token_of(self, request: Mapping[str, Any], holder: SigningKey, *credentials: str) -> dict[str, list[str]]:
        """What a careless wallet presents: bound to the request, and otherwise neither chosen nor looked at."""
        binding = {"nonce": request["nonce"], "audience": request["audience"], "key": holder, "now_ms": self.clock()}
        held = credentials or (self.credential(holder),)
        return {request["query"]["credentials"][0]["id"]: [add_key_binding(each, **binding) for each in held]}

    def submit(
        self, request: Mapping[str, Any], vp_token: Mapping[str, Any], tenant: str = "lender", **headers: str
    ) -> httpx.Response:
        """The answer to a lender that carries a presentation itself."""
        body = {"request_id": request["id"], "vp_token": vp_token}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.http.post("/v1/scores", json=body, headers=self.token(tenant) | named)

    def post_response(
        self, request: Mapping[str, Any], vp_token: Mapping[str, Any] | None, /, **fields: str
    ) -> httpx.Response:
        """The answer to a wallet that posts to the response URI, as OpenID4VP's direct_post has it."""
        presented = {} if vp_token is None else {"vp_token": json.dumps(vp_token)}
        return self.http.post(request["response_uri"], data={"state": self.state_of(request)} | presented | fields)

    def state_of(self, request: Mapping[str, Any]) -> str:
        """The state that the request object carries, wherever the request stands now."""
        stored = self.service.requests.load_request(request["id"], tenant_id=None, now_ms=self.clock())
        assert stored is not None
        return stored.request.state

    def poll(self, request: Mapping[str, Any], tenant: str = "lender") -> dict[str, Any]:
        """The request as its lender sees it now."""
        answer = self.http.get(f"/v1/presentation-requests/{request['id']}", headers=self.token(tenant))
        assert answer.status_code == 200, answer.text
        seen: dict[str, Any] = answer.json()
        return seen

    def holder(self, key: SigningKey) -> dict[str, str]:
        """The headers of an applicant who proved this key."""
        nonce = self.http.post("/v1/holder/nonce").json()["nonce"]
        audience = self.service.base_url
        proof = sign_holder_proof(audience=audience, nonce=nonce, key=key, now_ms=self.clock())
        answer = self.http.post("/v1/holder/sessions", json={"format": "jwt", "proof": proof})
        assert answer.status_code == 201, answer.text
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}

    def entries(self, tenant: str = "lender", **query: Any) -> list[dict[str, Any]]:
        """The tenant's audit entries."""
        answer = self.http.get("/v1/audit/entries", params=query, headers=self.token(tenant, ("compliance",)))
        assert answer.status_code == 200, answer.text
        listed: list[dict[str, Any]] = answer.json()["entries"]
        return listed

    def score(self, tenant: str = "lender", holder: SigningKey | None = None) -> dict[str, Any]:
        """A score, the whole way."""
        request = self.ask(tenant)
        answer = self.submit(request, self.vp_token(request, holder or SigningKey.generate()), tenant)
        assert answer.status_code == 201, answer.text
        document: dict[str, Any] = answer.json()
        return document


def settings_for(var: Path, database: str, keystore_database: str, model: Path) -> Settings:
    """The settings of a service that works fast, with no chain."""
    return Settings(
        var=var,
        database_url=database,
        keystore_url=keystore_database,
        model=model,
        base_url="http://testserver",
        checkpoint_interval_ms=50,
        anchor_poll_ms=100,
        anchor_interval_ms=100,
    )


@contextmanager
def running_service(settings: Settings) -> Iterator[Harness]:
    """A service that runs within the block."""
    clock = Clock()
    app = create_app(settings, clock)
    with TestClient(app, raise_server_exceptions=False, follow_redirects=False) as http:
        yield Harness(http=http, service=app.state.service, clock=clock, institution=SigningKey.generate())


@pytest.fixture
def settings(tmp_path: Path, database: str, keystore_database: str, model: Path) -> Settings:
    """The settings of a service over the databases of the test."""
    return settings_for(tmp_path / "var", database, keystore_database, model)


@pytest.fixture
def harness(settings: Settings) -> Iterator[Harness]:
    """A running service of the test's own."""
    with running_service(settings) as running:
        yield running


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def module_harness(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, model: Path
) -> Iterator[Harness]:
    databases = request.getfixturevalue(f"{'postgres' if request.param == 'postgresql' else 'sqlite'}_databases")
    with databases.fresh(migrate) as database, databases.fresh(migrate_keystore) as keystore_database:
        settings = settings_for(tmp_path_factory.mktemp("var"), database, keystore_database, model)
        with running_service(settings) as running:
            yield running


@pytest.fixture
def shared(request: pytest.FixtureRequest, module_harness: Harness) -> Harness:
    """A running service that the tests of a module share: for those that look only at what they made."""
    request.node.user_properties.append(("database", request.node.callspec.params["module_harness"]))
    return module_harness


@pytest.fixture(scope="session", autouse=True)
def _cheap_secrets() -> Iterator[None]:
    """Hash secrets by argon2id as ever, but at the least cost: what it costs in production has a test of its own."""
    with pytest.MonkeyPatch.context() as patch:
        cheap = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
        patch.setattr(tenants, "_HASHER", cheap)
        patch.setattr(tenants, "_NOBODY", cheap.hash("nobody"))
        yield
