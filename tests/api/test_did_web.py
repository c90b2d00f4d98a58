"""An issuer of did:web at the API, over real HTTP on an allowed loopback origin."""

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from api.settings import Settings
from identity.did_web import build_did_document
from identity.keys import SigningKey
from identity.trust import TrustedIssuer
from tests.api.conftest import VCT, Harness, running_service

MINUTE_MS = 60_000


class Host:
    """A web server that publishes one document, or nothing, and counts who asks."""

    def __init__(self) -> None:
        self.document: dict[str, Any] | None = None
        self.asked: list[str] = []
        host = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                host.asked.append(self.path)
                body = json.dumps(host.document or {}).encode()
                self.send_response(200 if host.document else 503)
                self.send_header("Content-Type", "application/did+json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def did(self) -> str:
        return f"did:web:127.0.0.1%3A{self.port}:bank"

    def publish(self, *keys: SigningKey) -> None:
        self.document = build_did_document(self.did, [key.public for key in keys])

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def host() -> Iterator[Host]:
    serving = Host()
    yield serving
    serving.close()


@pytest.fixture
def harness(settings: Settings, host: Host) -> Iterator[Harness]:
    with running_service(replace(settings, allow_http_origins=frozenset({f"http://127.0.0.1:{host.port}"}))) as running:
        yield running


def trust(harness: Harness, host: Host, tenant: str = "lender") -> None:
    tenant_id = harness.service.tenants.load_or_append_tenant(tenant, harness.clock())
    issuer = TrustedIssuer(did=host.did, vct=VCT, valid_from_ms=0)
    harness.trust(tenant_id, issuer)


def test_a_did_web_issuer_from_the_first_score_to_the_rotation_of_its_key(harness: Harness, host: Host) -> None:
    old, new = SigningKey.generate(), SigningKey.generate("EdDSA")
    holder = SigningKey.generate()

    def present(key: SigningKey, tenant: str = "lender") -> Any:
        request = harness.ask(tenant)
        credential = harness.credential(holder, key=key.known_as(host.did))
        return lambda: harness.submit(request, harness.vp_token(request, holder, credential), tenant)

    host.publish(old)
    refused = present(old)()
    assert (refused.status_code, refused.json()["code"]) == (422, "issuer_not_trusted")
    assert host.asked == []

    trust(harness, host)
    assert present(old)().status_code == 201
    assert present(old)().status_code == 201
    assert host.asked == ["/bank/did.json"]
    elsewhere = present(old, "another")()
    assert (elsewhere.status_code, elsewhere.json()["code"]) == (422, "issuer_not_trusted")

    host.publish(old, new)
    harness.clock.now_ms += MINUTE_MS
    assert present(new)().status_code == 201
    assert len(host.asked) == 2

    host.publish(new)
    harness.clock.now_ms += 5 * MINUTE_MS
    rotated = present(old)()
    assert (rotated.status_code, rotated.json()["code"]) == (422, "unknown_kid")
    assert present(new)().status_code == 201

    host.document = None
    harness.clock.now_ms += 5 * MINUTE_MS
    again = present(new)
    away = again()
    assert (away.status_code, away.json()["code"]) == (503, "did_unavailable")
    assert int(away.headers["Retry-After"]) > 0
    host.publish(new)
    harness.clock.now_ms += 5_000
    assert again().status_code == 201
