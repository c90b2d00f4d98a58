"""credence offers, issue --offer and wallet accept, against a real service process."""

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from api.cli.lender import ApiClient
from api.cli.local_service import free_port, running_service
from api.cli.tenants import open_stores
from api.clock import now_ms
from api.settings import load_settings
from identity.keys import SigningKey
from identity.trust import TrustedIssuer
from tests.api.cli.test_cli_issue import HEADER, ROW
from tests.api.cli.test_cli_wallet import CLAIMS, VCT, Lender, write_credential

Credence = Callable[..., Any]


@dataclass
class Running:
    """A running service, a lender at it, and what reaches its databases from the command line."""

    lender: Lender
    environment: dict[str, str]


@pytest.fixture(scope="module")
def running(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    var = tmp_path_factory.mktemp("service")
    environment = {"CREDENCE_VAR": str(var), "CREDENCE_MODEL": str(model), "CREDENCE_PORT": str(free_port())}
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
        yield Running(lender=Lender(client=api, bank=bank), environment=environment)
        api.close()


@pytest.fixture
def institution(
    credence: Credence, running: Running, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., Any]:
    """The command line of an institution that the service issues for, and a wallet beside it."""
    for name, value in running.environment.items():
        monkeypatch.setenv(name, value)
    credence("wallet", "keys", "--out", "w/key.jwk")
    (tmp_path / "claims.json").write_text(json.dumps(CLAIMS))

    def offer(*options: object) -> Any:
        arguments = ("--type", "repayment-history", "--claims", "claims.json", "--tenant", "cooperative")
        return credence("offers", "create", *arguments, *options)

    return offer


def test_an_offer_is_made_and_accepted(credence: Credence, institution: Callable[..., Any]) -> None:
    made = institution("--tx-code", "--json").json
    assert made["offer_link"].startswith("openid-credential-offer://?credential_offer_uri=http")
    without = credence("wallet", "accept", made["offer_link"], "--wallet", "w")
    assert (without.code, "--tx-code" in without.err) == (1, True)
    wrong = credence("wallet", "accept", made["offer_link"], "--wallet", "w", "--tx-code", f"x{made['tx_code']}")
    assert (wrong.code, "invalid_grant" in wrong.err) == (1, True)
    assert made["tx_code"] not in wrong.err
    ran = credence("wallet", "accept", made["offer_link"], "--wallet", "w", "--tx-code", made["tx_code"], "--json")
    assert (ran.code, ran.json) == (0, {"received": 1, "vct": VCT})
    (listed,) = credence("wallet", "list", "--wallet", "w", "--json").json["credentials"]
    assert (listed["vct"], listed["issuer"]) == (VCT, made["issuer"])
    again = credence("wallet", "accept", made["offer_link"], "--wallet", "w", "--tx-code", made["tx_code"])
    assert again.code == 1


def test_copies_of_a_score_get_keys_of_their_own(
    credence: Credence, institution: Callable[..., Any], running: Running, tmp_path: Path
) -> None:
    lender = running.lender
    holder = SigningKey.from_private_jwk(json.loads((tmp_path / "w/key.jwk").read_text()))
    write_credential(tmp_path / "credential", lender.bank, holder.public)
    credence("wallet", "receive", "--wallet", "w", "credential")
    asked = lender.ask("credit_line_minor", "statement_minor", "paid_minor", "delay_months")
    assert credence("wallet", "present", "--wallet", "w", asked["request_link"]).code == 0
    score_id = lender.poll(asked)["score_id"]
    offered = lender.client.post(f"/v1/scores/{score_id}/offers", {}).json()
    ran = credence("wallet", "accept", offered["offer_link"], "--wallet", "w", "--copies", 3, "--json")
    assert (ran.code, ran.json) == (0, {"received": 3, "vct": "urn:credence:score:1"})
    keys = sorted((tmp_path / "w/credentials").glob("*.key.jwk"))
    assert len({path.read_text() for path in keys}) == 3
    assert {path.stat().st_mode & 0o777 for path in keys} == {0o600}
    assert all(path.with_name(path.name.replace(".key.jwk", ".sd-jwt")).exists() for path in keys)
    # A copy of a score answers no request for histories, and does not stand in the way of one.
    asked = lender.ask("credit_line_minor", "statement_minor", "paid_minor", "delay_months")
    assert credence("wallet", "present", "--wallet", "w", asked["request_link"]).code == 0


@pytest.mark.parametrize(
    ("link", "code"),
    [
        ("openid4vp://?client_id=a&request_uri=b", 1),
        ("openid-credential-offer://?credential_offer_uri=http%3A%2F%2F192.168.0.1%2Foffer", 1),
        ("openid-credential-offer://?credential_offer_uri=https%3A%2F%2F127.0.0.1%2Foffer", 1),
    ],
)
def test_a_link_that_is_none_or_leads_inside_is_refused(
    credence: Credence, institution: Callable[..., Any], link: str, code: int
) -> None:
    ran = credence("wallet", "accept", link, "--wallet", "w")
    assert (ran.code, ran.out, ran.err.count("\n")) == (code, "", 1)


def test_claims_that_do_not_fit_are_named_by_their_place(
    credence: Credence, institution: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "claims.json").write_text(json.dumps(CLAIMS | {"currency": "SECRET"}))
    ran = institution()
    assert (ran.code, "/currency" in ran.err, "SECRET" in ran.err) == (1, True, False)
    (tmp_path / "claims.json").write_text("[")
    assert institution().code == 2


def test_each_row_of_a_file_becomes_an_offer(
    credence: Credence, institution: Callable[..., Any], tmp_path: Path
) -> None:
    rows = [ROW, ROW.replace("TWD", "SECRET"), ROW]
    (tmp_path / "rows.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    options = ("--type", "repayment-history", "--csv", "rows.csv", "--offer", "--tenant", "cooperative", "--tx-code")
    ran = credence("issue", *options, "--out", "links.csv", "--json")
    assert (ran.code, ran.json["offered"]) == (1, 2)
    assert ran.json["refused"] == [{"row": 2, "pointer": "/currency"}]
    assert (tmp_path / "links.csv").stat().st_mode & 0o777 == 0o600
    listed = list(csv.DictReader((tmp_path / "links.csv").open()))
    assert [each["row"] for each in listed] == ["1", "3"]
    assert (tmp_path / "links.csv.refused.csv").read_text() == "row,pointer,column\n2,/currency,currency\n"
    accepted = credence("wallet", "accept", listed[1]["offer_link"], "--wallet", "w", "--tx-code", listed[1]["tx_code"])
    assert accepted.code == 0
    assert credence("issue", *options, "--out", "links.csv").code == 2
    assert not list(tmp_path.glob("*.partial"))


def test_offers_and_files_take_different_options(credence: Credence, institution: Callable[..., Any]) -> None:
    common = ("issue", "--type", "repayment-history", "--csv", "rows.csv", "--out", "o")
    for options in (("--offer", "--key", "k"), ("--key", "k"), ("--holder", "h"), ("--tx-code", "--key", "k")):
        assert credence(*common, *options).code == 2
