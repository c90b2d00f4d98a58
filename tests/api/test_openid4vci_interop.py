"""A third party's wallet obtains credentials over real HTTP: npm's @openid4vc/openid4vci, which knows nothing of us."""

import json
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

import httpx
import pytest

from api.app import create_app
from api.cli.http_server import http_server
from api.clock import now_ms
from api.settings import Settings
from api.store.database import migrate
from identity.did import resolve_verification_key
from identity.keys import SigningKey
from identity.score_credential import verify_score_credential
from identity.sd_jwt import verify_sd_jwt
from tests.api.conftest import REPAYMENTS, VCT, Harness

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "node_modules" / "@openid4vc" / "openid4vci"


@pytest.fixture(scope="module")
def real(model, sqlite_databases, tmp_path_factory):
    """A service on a port of its own, by the clock of the machine, whose public URL is where it is."""
    folder = tmp_path_factory.mktemp("real")
    listener = socket.create_server(("127.0.0.1", 0))
    base_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with sqlite_databases.fresh(migrate) as database:
        app = create_app(
            Settings(
                var=folder,
                database_url=database,
                keystore_url=f"sqlite:///{folder}/keystore.sqlite3",
                model=model,
                base_url=base_url,
                checkpoint_interval_ms=50,
            )
        )
        server = http_server(app)
        thread = threading.Thread(target=server.run, args=([listener],), name="uvicorn")
        thread.start()
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            time.sleep(0.01)
        with httpx.Client(base_url=base_url) as http:
            yield Harness(http=http, service=app.state.service, clock=now_ms, institution=SigningKey.generate())
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def npm_wallet():
    """Run the wallet of interop/openid4vci.mjs."""
    if not PACKAGE.is_dir():
        pytest.skip("node_modules is not here (npm ci): @openid4vc/openid4vci cannot be run")
    assert json.loads((PACKAGE / "package.json").read_text())["version"] == "0.4.6"
    node = shutil.which("node")
    assert node, "node_modules is here, but node is not on the PATH"

    def obtain(created, copies=1, **changes):
        asked = {"offer_link": created["offer_link"], "tx_code": created["tx_code"], "copies": copies} | changes
        script = Path(__file__).parent / "interop" / "openid4vci.mjs"
        return subprocess.run(
            [node, script], input=json.dumps(asked), capture_output=True, text=True, timeout=60, cwd=ROOT
        )

    return obtain


def offer(real, **changes):
    answer = real.http.post(
        "/v1/credential-offers",
        json={"type": VCT, "claims": REPAYMENTS} | changes,
        headers=real.token("institution", ("issuer",)),
    )
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_it_obtains_an_institutions_credential_by_a_code_and_a_transaction_code(real, npm_wallet):
    created = offer(real, tx_code=True)
    ran = npm_wallet(created)
    assert ran.returncode == 0, ran.stderr
    got = json.loads(ran.stdout)
    # Not a draft by another name: the client tells them by the shape of the metadata.
    assert (got["version"], got["batch_size"], got["token_type"]) == ("V1", 16, "Bearer")
    assert len(got["known_configurations"]) == 10
    (credential,) = got["credentials"]
    verified = verify_sd_jwt(
        credential,
        issuer_key_for=lambda parsed: resolve_verification_key(did=parsed.issuer, kid=parsed.kid),
        now_ms=now_ms(),
        key_binding=None,
    )
    assert {name: verified.claims[name] for name in REPAYMENTS} == REPAYMENTS
    assert verified.holder == SigningKey.from_private_jwk(got["keys"][0]).public
    state = real.http.get(f"/v1/credential-offers/{created['id']}", headers=real.token("institution", ("issuer",)))
    assert state.json()["state"] == "issued"


def test_it_obtains_copies_of_a_score_in_one_batch(real, npm_wallet):
    score = real.score()
    created = real.http.post(f"/v1/scores/{score['id']}/offers", json={}, headers=real.token()).json()
    ran = npm_wallet(created, copies=5)
    assert ran.returncode == 0, ran.stderr
    got = json.loads(ran.stdout)
    holders = [
        verify_score_credential(each, trusted_issuers={real.service.rooms.attest_key.did}, now_ms=now_ms()).holder
        for each in got["credentials"]
    ]
    assert holders == [SigningKey.from_private_jwk(each).public for each in got["keys"]]
    assert len(set(map(str, holders))) == 5


def test_it_is_told_in_the_protocols_words_what_is_wrong(real, npm_wallet):
    created = offer(real, tx_code=True)
    wrong = npm_wallet(created, tx_code=f"x{created['tx_code']}")
    assert wrong.returncode != 0
    assert "invalid_grant" in wrong.stderr
