"""credence wallet with issuers and verifiers of did:web, over real HTTP on loopback."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from api.clock import now_ms
from identity.credential_types.types import load_credential_types
from identity.dcql import parse_dcql_query
from identity.did_web import build_did_document
from identity.issuance import issue_credential
from identity.keys import SigningKey, parse_public_jwk
from identity.openid4vp import build_request_object, client_id_of, did_signer, request_link
from identity.presentation import PresentationRequest

Credence = Callable[..., Any]

VCT = "urn:credence:repayment-history:1"
CLAIMS: dict[str, Any] = {
    "period_from": "2026-04-01",
    "period_to": "2026-09-30",
    "currency": "TWD",
    "evidence_level": "system_of_record",
    "credit_line_minor": 20_000_00,
    "statement_minor": [3913_00, 3102_00, 689_00, 0, 0, 0],
    "paid_minor": [0, 689_00, 0, 0, 0, 0],
    "delay_months": [2, 2, -1, -1, -2, -2],
}


class Site:
    """A host on loopback with pages of JSON and of request objects, and a list of who asked for what."""

    def __init__(self) -> None:
        self.pages: dict[str, str] = {}
        self.asked: list[str] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked.append(self.path)
                page = site.pages.get(self.path)
                self.send_response(404 if page is None else 200)
                kind = "application/json" if self.path.endswith(".json") else "application/oauth-authz-req+jwt"
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(page or "")))
                self.end_headers()
                self.wfile.write((page or "").encode())

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.host = self.origin.removeprefix("http://").replace(":", "%3A")
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def publish(self, name: str, key: SigningKey, **members: Any) -> SigningKey:
        """The key as a method of the did:web of that name on this host, whose document is now there."""
        known = key.known_as(f"did:web:{self.host}:{name}")
        self.pages[f"/{name}/did.json"] = json.dumps({**build_did_document(known.did, [known.public]), **members})
        return known

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def site() -> Iterator[Site]:
    serving = Site()
    yield serving
    serving.close()


def write_credential(path: Path, bank: SigningKey, holder: Any) -> None:
    credential = issue_credential(
        type=load_credential_types()[VCT],
        claims=CLAIMS,
        holder=parse_public_jwk(holder),
        key=bank,
        now_ms=now_ms(),
        expires_at_ms=now_ms() + 86_400_000,
        status=None,
    )
    path.write_text(credential)


def test_a_wallet_receives_from_an_issuer_and_answers_a_verifier_of_did_web(
    credence: Credence, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = credence("wallet", "keys", "--out", "w/key.jwk", "--json").json["public_jwk"]
    bank = site.publish("bank", SigningKey.generate())
    write_credential(tmp_path / "credential", bank, holder)

    refused = credence("wallet", "receive", "--wallet", "w", "credential")
    assert (refused.code, refused.err.count("\n"), site.asked) == (1, 1, [])
    monkeypatch.setenv("CREDENCE_ALLOW_HTTP_ORIGINS", site.origin)
    assert credence("wallet", "receive", "--wallet", "w", "credential", "credential").code == 0
    assert site.asked == ["/bank/did.json"]
    monkeypatch.delenv("CREDENCE_ALLOW_HTTP_ORIGINS")  # the link that follows is of the host itself

    verifier = site.publish("lender", SigningKey.generate("EdDSA"))
    request = PresentationRequest(
        id="r1",
        nonce="n-0S6_WzA2Mj",
        state="af0ifjsldkj",
        audience=client_id_of(verifier),
        response_uri=f"{site.origin}/response",
        query=parse_dcql_query(
            {
                "credentials": [
                    {
                        "id": "history",
                        "format": "dc+sd-jwt",
                        "meta": {"vct_values": [VCT]},
                        "claims": [{"path": ["delay_months"]}],
                    }
                ]
            }
        ),
        purpose="credit_application",
        created_at_ms=now_ms(),
        expires_at_ms=now_ms() + 600_000,
    )
    site.pages["/object"] = build_request_object(request, did_signer(verifier), now_ms())
    link = request_link(request.audience, f"{site.origin}/object")

    unauthorized = credence("wallet", "present", "--wallet", "w", link, "--dry-run")
    assert (unauthorized.code, unauthorized.out) == (1, "")  # a key for assertions asks nothing
    site.publish("lender", verifier, authentication=[verifier.kid])
    shown = credence("wallet", "present", "--wallet", "w", link, "--dry-run")
    assert (shown.code, shown.err) == (0, "")
    assert request.audience in shown.out
    assert "discloses  delay_months" in shown.out
