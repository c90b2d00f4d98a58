"""credence wallet, against a real service process: keys, receive, list, present."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.cli.lender import ApiClient
from api.cli.local_service import free_port, running_service
from api.cli.tenants import open_stores
from api.cli.terminal import printable
from api.cli.wallet import store_credentials
from api.clock import now_ms
from api.settings import load_settings
from identity.credential_types.types import load_credential_types
from identity.issuance import issue_credential
from identity.keys import SigningKey
from identity.trust import TrustedIssuer

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
Credence = Callable[..., Any]


@dataclass
class Lender:
    """A lender of a running service, and the bank that it trusts."""

    client: ApiClient
    bank: SigningKey

    def ask(self, *names: str, **changes: Any) -> dict[str, Any]:
        query = {
            "credentials": [
                {
                    "id": "history",
                    "format": "dc+sd-jwt",
                    "meta": {"vct_values": [VCT]},
                    "claims": [{"path": [name]} for name in names or ("credit_line_minor", "delay_months")],
                }
            ]
        }
        asked: dict[str, Any] = self.client.post(
            "/v1/presentation-requests", {"purpose": "credit_application", "query": query, **changes}
        ).json()
        return asked

    def poll(self, asked: dict[str, Any]) -> dict[str, Any]:
        seen: dict[str, Any] = self.client.get(f"/v1/presentation-requests/{asked['id']}").json()
        return seen


@pytest.fixture(scope="module")
def lender(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lender]:
    port = free_port()
    var = tmp_path_factory.mktemp("service")
    environment = {"CREDENCE_VAR": str(var), "CREDENCE_MODEL": str(model), "CREDENCE_PORT": str(port)}
    # A chain that nobody answers for: scores are issued all the same.
    environment["CREDENCE_RPC_URL"] = "http://127.0.0.1:9"
    settings = load_settings(environment)
    bank = SigningKey.generate()
    with open_stores(settings) as stores:
        tenant_id = stores.tenants.load_or_append_tenant("t", now_ms())
        client = stores.tenants.append_client(
            tenant_id=tenant_id, name="l", scopes=frozenset({"lender"}), now_ms=now_ms()
        )
        stores.trust.append_trusted(tenant_id, TrustedIssuer(did=bank.did, vct=VCT, valid_from_ms=0), now_ms())
    with running_service(settings, environment, log=var / "log"):
        api = ApiClient(settings.base_url, client_id=client.client_id, client_secret=client.client_secret)
        yield Lender(client=api, bank=bank)
        api.close()


def write_credential(path: Path, bank: SigningKey, holder: Any, *, made_ms: int | None = None) -> None:
    made_ms = now_ms() if made_ms is None else made_ms
    credential = issue_credential(
        type=load_credential_types()[VCT],
        claims=CLAIMS,
        holder=holder,
        key=bank,
        now_ms=made_ms,
        expires_at_ms=made_ms + 86_400_000,
        status=None,
    )
    path.write_text(credential + "\n")


@pytest.fixture
def holder(credence: Credence, tmp_path: Path) -> SigningKey:
    assert credence("wallet", "keys", "--out", "w/key.jwk").code == 0
    return SigningKey.from_private_jwk(json.loads((tmp_path / "w/key.jwk").read_text()))


def test_the_key_of_a_copy_is_private_from_its_first_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "chmod", lambda *_: None)  # as if we died before it
    store_credentials(tmp_path, ["a.b.c~"], keys=[SigningKey.generate()])
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "credentials").iterdir()} == {0o600}


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA"])
def test_a_key_is_private_to_its_owner_and_never_shown(credence: Credence, tmp_path: Path, algorithm: str) -> None:
    ran = credence("wallet", "keys", "--out", "key.jwk", "--algorithm", algorithm, "--json")
    assert ran.code == 0
    private = json.loads((tmp_path / "key.jwk").read_text())
    assert (tmp_path / "key.jwk").stat().st_mode & 0o777 == 0o600
    assert private["d"] not in ran.out
    assert json.loads((tmp_path / "key.jwk.pub").read_text()) == ran.json["public_jwk"]
    assert SigningKey.from_private_jwk(private).did == ran.json["did"]
    before = (tmp_path / "key.jwk").read_bytes()
    assert credence("wallet", "keys", "--out", "key.jwk").code == 1
    assert (tmp_path / "key.jwk").read_bytes() == before
    assert credence("wallet", "keys", "--out", "other.jwk", "--algorithm", "RS256").code == 2


def test_receive_takes_what_is_verified_and_its_own_and_nothing_else(
    credence: Credence, holder: SigningKey, tmp_path: Path
) -> None:
    bank = SigningKey.generate()
    write_credential(tmp_path / "good", bank, holder.public)
    write_credential(tmp_path / "another's", bank, SigningKey.generate().public)
    write_credential(tmp_path / "expired", bank, holder.public, made_ms=now_ms() - 10 * 86_400_000)
    text = (tmp_path / "good").read_text()
    (tmp_path / "altered").write_text(text[:400] + ("A" if text[400] != "A" else "B") + text[401:])
    (tmp_path / "other").write_bytes(b"\xff\x00")
    for bad in ("another's", "expired", "altered", "other"):
        ran = credence("wallet", "receive", "--wallet", "w", "good", bad)
        assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert credence("wallet", "list", "--wallet", "w", "--json").json == {"credentials": []}

    assert credence("wallet", "receive", "--wallet", "w", "good", "good", "--json").code == 0
    listed = credence("wallet", "list", "--wallet", "w", "--json").json["credentials"]
    assert [each["vct"] for each in listed] == [VCT]
    assert listed[0]["issuer"] == bank.did
    assert set(listed[0]["claims"]) == set(CLAIMS)
    shown = credence("wallet", "list", "--wallet", "w").out
    assert "credit_line_minor" in shown
    assert "2000000" not in shown


def test_present_discloses_only_what_is_asked_and_posts_it(
    credence: Credence, holder: SigningKey, lender: Lender, tmp_path: Path
) -> None:
    write_credential(tmp_path / "credential", lender.bank, holder.public)
    assert credence("wallet", "receive", "--wallet", "w", "credential").code == 0
    asked = lender.ask("credit_line_minor", "delay_months")

    dry = credence("wallet", "present", "--wallet", "w", asked["request_link"], "--dry-run")
    assert dry.code == 0, dry.err
    assert "Nothing was sent" in dry.out
    assert asked["audience"] in dry.out
    assert "credit_application" in dry.out
    assert "on behalf of    t\n" in dry.out
    assert "credit_line_minor, delay_months\n" in dry.out
    assert "paid_minor" not in dry.out
    assert lender.poll(asked)["status"] == "retrieved"

    ran = credence("wallet", "present", "--wallet", "w", asked["request_link"])
    assert (ran.code, ran.err) == (0, "")
    polled = lender.poll(asked)
    assert polled["status"] == "submitted"
    document = lender.client.get(f"/v1/scores/{polled['score_id']}").json()
    assert document["coverage"]["credential_types"] == [VCT]

    # A request is answered once.
    ran = credence("wallet", "present", "--wallet", "w", asked["request_link"])
    assert (ran.code, ran.err.count("\n")) == (1, 1)


def test_what_a_verifier_says_of_itself_commands_no_terminal() -> None:
    assert printable("Bank\x1b[2J\u202e of\nall") == "Bank?[2J? of?all"
    assert printable(None) is None


@pytest.mark.parametrize("prefix", ["x509_hash", "redirect_uri"])
def test_present_answers_whoever_asks_and_encrypts_where_asked(
    credence: Credence, holder: SigningKey, lender: Lender, tmp_path: Path, prefix: str
) -> None:
    write_credential(tmp_path / "credential", lender.bank, holder.public)
    assert credence("wallet", "receive", "--wallet", "w", "credential").code == 0
    page = "https://lender.example/done"
    asked = lender.ask(
        client_id_prefix=prefix, response_mode="direct_post.jwt", redirect_uri=page, request_uri_method="post"
    )
    dry = credence("wallet", "present", "--wallet", "w", asked["request_link"], "--dry-run")
    assert ("on behalf of" in dry.out) == (prefix == "x509_hash")
    assert (dry.code, dry.err) == (0, "")
    assert asked["audience"] in dry.out
    ran = credence("wallet", "present", "--wallet", "w", asked["request_link"])
    assert (ran.code, ran.err) == (0, "")
    polled = lender.poll(asked)
    assert polled["status"] == "submitted"
    assert ran.out.endswith(f"Sent. Go on at {page}#response_code={polled['response_code']}\n")


def test_a_link_that_holds_another_answer_address_is_refused(
    credence: Credence, holder: SigningKey, lender: Lender
) -> None:
    link = httpx.URL(lender.ask(client_id_prefix="redirect_uri")["request_link"])
    for changed in (
        link.copy_set_param("response_uri", "http://127.0.0.1:9/"),
        link.copy_add_param("nonce", "another"),
        link.copy_add_param("request_uri", "http://127.0.0.1:9/"),
    ):
        ran = credence("wallet", "present", "--wallet", "w", str(changed))
        assert ran.code in {1, 2}
        assert (ran.out, ran.err.count("\n")) == ("", 1)


def test_a_lender_may_carry_the_presentation(
    credence: Credence, holder: SigningKey, lender: Lender, tmp_path: Path
) -> None:
    write_credential(tmp_path / "credential", lender.bank, holder.public)
    credence("wallet", "receive", "--wallet", "w", "credential")
    asked = lender.ask()
    carried = credence("wallet", "present", "--wallet", "w", asked["request_link"], "--json").json
    assert lender.poll(asked)["score_id"] is None
    answer = lender.client.post("/v1/scores", {"request_id": asked["id"], "vp_token": carried["vp_token"]})
    assert answer.status_code == 201


def test_a_wallet_that_holds_too_little_sends_nothing(credence: Credence, holder: SigningKey, lender: Lender) -> None:
    asked = lender.ask()
    ran = credence("wallet", "present", "--wallet", "w", asked["request_link"])
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert lender.poll(asked)["refusals"] == 0


def test_a_link_that_names_another_verifier_is_refused(credence: Credence, holder: SigningKey, lender: Lender) -> None:
    link = httpx.URL(lender.ask()["request_link"])
    other = link.copy_set_param("client_id", "decentralized_identifier:" + SigningKey.generate().did)
    ran = credence("wallet", "present", "--wallet", "w", str(other))
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
    for wrong in ("https://example.com", "openid4vp://?client_id=x", "openid4vp://?request_uri=http://127.0.0.1:9/"):
        assert credence("wallet", "present", "--wallet", "w", wrong).code == 2
    elsewhere = str(link.copy_set_param("request_uri", "http://10.0.0.1/object"))
    assert credence("wallet", "present", "--wallet", "w", elsewhere).code == 1


def test_without_a_key_there_is_no_wallet(credence: Credence) -> None:
    ran = credence("wallet", "list", "--wallet", "nowhere", "--json")
    assert ran.json == {"credentials": []}
    assert credence("wallet", "present", "--wallet", "nowhere", "openid4vp://?client_id=a&request_uri=b").code == 2
    assert not os.path.exists("nowhere")  # noqa: PTH110
