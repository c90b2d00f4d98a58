"""The story of a wallet that we did not write: it obtains a credential, presents it, and takes the score along."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from api.cli.lender import ApiClient
from api.cli.local_service import free_port, running_service
from api.cli.tenants import open_stores
from api.clock import now_ms
from api.settings import load_settings
from tests.api.conftest import REPAYMENTS, VCT, model

__all__ = ["model"]
ROOT = Path(__file__).resolve().parents[2]
INTEROP = ROOT / "tests" / "api" / "interop"


def run_npm(script: str, asked: dict[str, Any]) -> dict[str, Any]:
    node = shutil.which("node")
    assert node, "node_modules is here, but node is not on the PATH"
    done = subprocess.run(
        [node, INTEROP / script], input=json.dumps(asked), capture_output=True, text=True, timeout=60, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr[-2000:]
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_a_third_partys_wallet_gets_a_credential_is_scored_by_it_and_keeps_the_score(
    model: Path, tmp_path: Path
) -> None:
    if not (ROOT / "node_modules" / "@openid4vc").is_dir():
        pytest.skip("node_modules is not here (npm ci): no third party's wallet can be run")
    port = free_port()
    environment = {
        "CREDENCE_VAR": str(tmp_path / "var"),
        "CREDENCE_MODEL": str(model),
        "CREDENCE_PORT": str(port),
        "CREDENCE_RPC_URL": "http://127.0.0.1:9",
        # The credential's status list is this service's own, on loopback.
        "CREDENCE_ALLOW_HTTP_ORIGINS": f"http://127.0.0.1:{port}",
    }
    settings = load_settings(environment)
    clients = {}
    with open_stores(settings) as stores:
        for tenant, scopes in (("cooperative", {"issuer"}), ("lender", {"lender", "operator"})):
            tenant_id = stores.tenants.load_or_append_tenant(tenant, now_ms())
            clients[tenant] = stores.tenants.append_client(
                tenant_id=tenant_id, name=tenant, scopes=frozenset(scopes), now_ms=now_ms()
            )
    with running_service(settings, environment, log=tmp_path / "log"):
        cooperative, lender = (
            ApiClient(settings.base_url, client_id=each.client_id, client_secret=each.client_secret)
            for each in clients.values()
        )
        # An institution without an issuer of its own offers what it knows; a lender trusts it for that.
        offered = cooperative.post("/v1/credential-offers", {"type": VCT, "claims": REPAYMENTS, "tx_code": True}).json()
        lender.post("/v1/issuers", {"did": cooperative.get("/v1/issuer").json()["did"], "vct": VCT})
        got = run_npm(
            "openid4vci.mjs", {"offer_link": offered["offer_link"], "tx_code": offered["tx_code"], "copies": 1}
        )

        # The lender asks for two claims, and gets a score of what else was not said.
        query = {
            "id": "history",
            "format": "dc+sd-jwt",
            "meta": {"vct_values": [VCT]},
            "claims": [{"path": [name]} for name in ("credit_line_minor", "delay_months")],
        }
        for mode in ("direct_post", "direct_post.jwt"):
            asked = lender.post(
                "/v1/presentation-requests",
                {"purpose": "credit_application", "query": {"credentials": [query]}, "response_mode": mode},
            ).json()
            told = run_npm(
                "openid4vp.mjs",
                {"link": asked["request_link"], "credential": got["credentials"][0], "key": got["keys"][0]},
            )
            assert told["status"] == 200
            polled = lender.get(f"/v1/presentation-requests/{asked['id']}").json()
            assert polled["status"] == "submitted", polled
        score = lender.get(f"/v1/scores/{polled['score_id']}").json()

        # The applicant takes the score along, in copies for one use each.
        offered = lender.post(f"/v1/scores/{score['id']}/offers", {}).json()
        copies = run_npm("openid4vci.mjs", {"offer_link": offered["offer_link"], "tx_code": None, "copies": 3})
        assert len(set(copies["credentials"])) == 3
        state = lender.get(f"/v1/scores/{score['id']}/offers/{offered['id']}").json()
        assert (state["state"], len(state["credential_ids"])) == ("issued", 3)
        cooperative.close()
        lender.close()
