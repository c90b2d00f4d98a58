"""A wallet that we did not write answers a service that runs: npm's @openid4vc/openid4vp with @sd-jwt, over HTTP."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from api.cli.lender import ApiClient
from api.cli.local_service import free_port, running_service
from api.cli.tenants import open_stores
from api.clock import now_ms
from api.keystore import load_keyring
from api.settings import Settings, load_settings
from identity.credential_types.types import load_credential_types
from identity.encoding import decode_base64url
from identity.issuance import issue_credential
from identity.jwe import decrypt, derive_decryption_key
from identity.keys import SigningKey
from identity.trust import TrustedIssuer
from tests.api.conftest import REPAYMENTS, ROOT, VCT

ASKED = ("credit_line_minor", "delay_months")
Wallet = Callable[..., dict[str, Any]]


@dataclass
class Running:
    """A service process, a lender of it, and the bank that the lender trusts."""

    settings: Settings
    lender: ApiClient
    bank: SigningKey

    def ask(self, **changes: Any) -> dict[str, Any]:
        query = {
            "credentials": [
                {
                    "id": "history",
                    "format": "dc+sd-jwt",
                    "meta": {"vct_values": [VCT]},
                    "claims": [{"path": [name]} for name in ASKED],
                }
            ]
        }
        body = {"purpose": "credit_application", "query": query, **changes}
        asked: dict[str, Any] = self.lender.post("/v1/presentation-requests", body).json()
        return asked


@pytest.fixture(scope="module")
def running(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    var = tmp_path_factory.mktemp("service")
    environment = {
        "CREDENCE_VAR": str(var),
        "CREDENCE_MODEL": str(model),
        "CREDENCE_PORT": str(free_port()),
        "CREDENCE_RPC_URL": "http://127.0.0.1:9",  # a chain that nobody answers for
    }
    settings = load_settings(environment)
    bank = SigningKey.generate()
    with open_stores(settings) as stores:
        tenant_id = stores.tenants.load_or_append_tenant("t", now_ms())
        client = stores.tenants.append_client(
            tenant_id=tenant_id, name="l", scopes=frozenset({"lender"}), now_ms=now_ms()
        )
        stores.trust.append_trusted(tenant_id, TrustedIssuer(did=bank.did, vct=VCT, valid_from_ms=0), now_ms())
    with running_service(settings, environment, log=var / "log"):
        lender = ApiClient(settings.base_url, client_id=client.client_id, client_secret=client.client_secret)
        yield Running(settings=settings, lender=lender, bank=bank)
        lender.close()


@pytest.fixture(scope="module")
def wallet(running: Running) -> Wallet:
    """Run interop/openid4vp.mjs on a link, with a credential of the bank's."""
    modules = ROOT / "node_modules" / "@openid4vc" / "openid4vp"
    if not modules.is_dir():
        pytest.skip("node_modules is not here (npm ci): @openid4vc/openid4vp cannot be run")
    node = shutil.which("node")
    assert node, "node_modules is here, but node is not on the PATH"
    assert json.loads((modules / "package.json").read_text())["version"] == "0.4.6"
    holder = SigningKey.generate()
    credential = issue_credential(
        type=load_credential_types()[VCT],
        claims=REPAYMENTS,
        holder=holder.public,
        key=running.bank,
        now_ms=now_ms(),
        expires_at_ms=now_ms() + 86_400_000,
        status=None,
    )

    def present(link: str, **changes: Any) -> dict[str, Any]:
        script = Path(__file__).parent / "interop" / "openid4vp.mjs"
        text = json.dumps({"link": link, "credential": credential, "key": holder.to_private_jwk(), **changes})
        done = subprocess.run([node, script], input=text, capture_output=True, text=True, timeout=60, cwd=ROOT)
        assert done.returncode == 0, done.stderr[-2000:]
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    return present


def disclosed_names(vp_token: dict[str, list[str]]) -> set[str]:
    """The claims that a presentation discloses, which is all that anybody learns of them."""
    (presentation,) = vp_token["history"]
    return {json.loads(decode_base64url(part))[1] for part in presentation.split("~")[1:-1]}


@pytest.mark.parametrize("prefix", ["decentralized_identifier", "x509_hash", "redirect_uri"])
@pytest.mark.parametrize("mode", ["direct_post", "direct_post.jwt"])
def test_npms_wallet_presents_what_is_asked_and_nothing_else(
    running: Running, wallet: Wallet, prefix: str, mode: str
) -> None:
    asked = running.ask(client_id_prefix=prefix, response_mode=mode)
    told = wallet(asked["request_link"])
    assert (told["version"], told["prefix"], told["purpose"]) == (100, prefix, "credit_application")
    assert (told["status"], told["answer"]) == (200, {})
    # All that left the wallet: the request object was fetched, where there is one, and one form was posted.
    *fetched, posted = told["sent"]
    assert [each["url"] for each in fetched] == ([] if prefix == "redirect_uri" else [asked["request_uri"]])
    assert posted["url"] == asked["response_uri"]
    form = dict(parse_qsl(posted["body"], strict_parsing=True))
    if mode == "direct_post":
        vp_token = json.loads(form["vp_token"])
    else:
        assert form.keys() == {"response"}
        secret = load_keyring(running.settings.var / "keys").active("response").secret
        members = json.loads(decrypt(form["response"], [derive_decryption_key(secret, asked["id"].encode())]))
        assert members.keys() == {"vp_token", "state"}
        vp_token = members["vp_token"]
    assert disclosed_names(vp_token) == set(ASKED)
    polled = running.lender.get(f"/v1/presentation-requests/{asked['id']}").json()
    assert (polled["status"], polled["refusals"]) == ("submitted", 0)
    document = running.lender.get(f"/v1/scores/{polled['score_id']}").json()
    assert document["coverage"]["credential_types"] == [VCT]


def test_npms_wallet_fetches_by_post_encrypts_the_other_way_and_is_sent_on(running: Running, wallet: Wallet) -> None:
    asked = running.ask(
        response_mode="direct_post.jwt", request_uri_method="post", redirect_uri="https://lender.example/done"
    )
    told = wallet(asked["request_link"], enc="A256GCM")
    assert told["status"] == 200
    # That version posts its metadata, and forgets its nonce.
    assert told["sent"][0]["method"].upper() == "POST"
    assert "vp_formats_supported" in dict(parse_qsl(told["sent"][0]["body"]))
    assert told["wallet_nonce"] is None
    polled = running.lender.get(f"/v1/presentation-requests/{asked['id']}").json()
    assert told["answer"] == {"redirect_uri": f"https://lender.example/done#response_code={polled['response_code']}"}


def test_npms_wallet_hears_why_nothing_was_taken(running: Running, wallet: Wallet) -> None:
    stranger = SigningKey.generate()
    asked = running.ask(trusted_issuers=[{"did": stranger.did, "vct": VCT}])
    told = wallet(asked["request_link"])
    assert (told["status"], told["answer"]["code"]) == (422, "issuer_not_trusted")
    polled = running.lender.get(f"/v1/presentation-requests/{asked['id']}").json()
    (refusal,) = polled["last_refusals"]
    assert (refusal["step"], refusal["query_id"]) == ("issuer", "history")
