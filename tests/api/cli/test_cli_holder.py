"""credence wallet scores, receipts, consents, withdraw and renew, and verify-receipt, against a service over HTTP."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.app import create_app
from api.cli.http_server import http_server
from api.cli.wallet import create_key_file
from api.settings import Settings
from api.store.database import migrate, migrate_keystore
from identity.keys import SigningKey
from tests.api.conftest import Harness
from tests.conftest import SqliteDatabases

Credence = Callable[..., Any]


@pytest.fixture(scope="module")
def served(
    model: Path, sqlite_databases: SqliteDatabases, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Harness]:
    """A service on a port of its own, at the time that the command sees."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    with sqlite_databases.fresh(migrate) as database, sqlite_databases.fresh(migrate_keystore) as keystore:
        settings = Settings(
            var=tmp_path_factory.mktemp("var"),
            database_url=database,
            keystore_url=keystore,
            model=model,
            port=port,
            checkpoint_interval_ms=50,
        )
        clock = lambda: time.time_ns() // 1_000_000  # noqa: E731
        app = create_app(settings, clock)
        server = http_server(app)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        with httpx.Client(base_url=settings.base_url) as http:
            yield Harness(
                http=http,  # type: ignore[arg-type]
                service=app.state.service,
                clock=clock,  # type: ignore[arg-type]
                institution=SigningKey.generate(),
            )
        server.should_exit = True
        thread.join()


@pytest.fixture
def wallet(tmp_path: Path) -> Path:
    create_key_file(tmp_path / "wallet" / "key.jwk")
    return tmp_path / "wallet"


@pytest.fixture
def key(wallet: Path) -> SigningKey:
    return SigningKey.from_private_jwk(json.loads((wallet / "key.jwk").read_text()))


@pytest.fixture
def service(served: Harness) -> str:
    return served.service.base_url


def test_a_wallet_sees_its_scores_and_nobody_elses(
    credence: Credence, served: Harness, service: str, wallet: Path, key: SigningKey
) -> None:
    nothing = credence("wallet", "scores", "--wallet", wallet, "--service", service)
    assert (nothing.code, nothing.out, nothing.err) == (0, "0 scores.\n", "")
    score = served.score("A lender", key)
    served.score("A lender")
    ran = credence("wallet", "scores", "--wallet", wallet, "--service", service + "/", "--json")
    assert (ran.code, [each["id"] for each in ran.json["scores"]]) == (0, [score["id"]])
    said = credence("wallet", "scores", "--wallet", wallet, "--service", service).out
    for part in (score["id"], "A lender", str(score["points"]), score["reasons"][0]["text"], "1 score."):
        assert part in said


def test_receipts_are_kept_in_the_wallet_and_verify_offline(
    credence: Credence, served: Harness, service: str, wallet: Path, key: SigningKey, tmp_path: Path
) -> None:
    score = served.score("A lender", key)
    served.publish()
    ran = credence("wallet", "receipts", "--wallet", wallet, "--service", service, "--json")
    (receipt,) = ran.json["receipts"]
    assert (receipt["score"], receipt["state"], receipt["lender"]) == (score["id"], "given", "A lender")
    file = Path(receipt["file"])
    assert file.parent == wallet / "receipts"
    assert file.stat().st_mode & 0o077 == 0
    (tmp_path / "trust.json").write_bytes(served.http.get("/v1/keys").content)
    (tmp_path / "score.json").write_bytes(
        served.http.get(f"/v1/scores/{score['id']}", headers=served.token("A lender")).content
    )

    verified = credence("verify-receipt", file, "--trust", "trust.json", "--document", "score.json", "--json")
    assert (verified.code, verified.json["verified"], verified.json["score"]) == (0, True, score["id"])
    assert len(verified.json["checks"]) == 5
    said = credence("verify-receipt", file, "--trust", "trust.json")
    assert [line.split()[0] for line in said.out.splitlines() if "  ok  " in line] == list("1234")
    assert "withheld   period_from" in said.out

    other = served.score("A lender")
    served.publish()
    (tmp_path / "other.json").write_bytes(
        served.http.get(f"/v1/scores/{other['id']}", headers=served.token("A lender")).content
    )
    refused = credence("verify-receipt", file, "--trust", "trust.json", "--document", "other.json", "--json")
    assert (refused.code, refused.json["verified"]) == (1, False)
    document = json.loads(file.read_text())
    head, payload, signature = document["receipt"].split(".")
    changed = {**document, "receipt": f"{head}.{payload[:-8]}AAAAAAAA.{signature}"}
    (tmp_path / "changed.json").write_text(json.dumps(changed))
    refused = credence("verify-receipt", "changed.json", "--trust", "trust.json")
    assert (refused.code, refused.out) == (1, "")
    assert refused.err.startswith("credence: NOT VERIFIED: ")
    assert credence("verify-receipt", file, "--trust", "nowhere.json").code == 2


def test_a_consent_is_withdrawn_and_given_again(
    credence: Credence, served: Harness, service: str, wallet: Path, key: SigningKey
) -> None:
    served.score("Another lender", key)
    listed = credence("wallet", "consents", "--wallet", wallet, "--service", service, "--json").json["consents"]
    (consent,) = listed
    at = ("--wallet", wallet, "--service", service)
    withdrawn = credence("wallet", "withdraw", consent["id"], *at)
    assert (withdrawn.code, withdrawn.out) == (
        0,
        "The consent to credit_application for Another lender is withdrawn.\n",
    )
    asked = served.ask("Another lender")
    refused = served.submit(asked, served.vp_token(asked, key), "Another lender")
    assert (refused.status_code, refused.json()["code"]) == (403, "consent_withdrawn")
    assert "withdrawn" in credence("wallet", "consents", *at).out
    again = credence("wallet", "renew", consent["id"], *at, "--json")
    assert (again.code, again.json["consent"]["state"]) == (0, "given")
    states = [each["state"] for each in credence("wallet", "receipts", *at, "--json").json["receipts"]]
    assert states == ["given", "withdrawn", "given"]
    served.score("Another lender", key)
    stranger = credence("wallet", "withdraw", "con_" + "0" * 32, *at)
    assert (stranger.code, stranger.out) == (1, "")
    assert "404 not_found" in stranger.err


@pytest.mark.parametrize(
    "service",
    [
        "http://credence.example",
        "credence.example",
        "https://credence.example/path",
        "https://u@credence.example",
        "x:[",
    ],
)
def test_a_service_that_could_not_be_proven_a_key_is_not_asked(credence: Credence, wallet: Path, service: str) -> None:
    ran = credence("wallet", "scores", "--wallet", wallet, "--service", service)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("credence: The service's URL")


def test_a_service_that_is_away_is_one_line(credence: Credence, wallet: Path) -> None:
    ran = credence("wallet", "scores", "--wallet", wallet, "--service", "http://127.0.0.1:1")
    assert (ran.code, ran.err) == (1, "credence: The service cannot be reached.\n")


def test_an_id_that_is_none_is_not_sent(credence: Credence, wallet: Path, service: str) -> None:
    ran = credence("wallet", "withdraw", "../../scores", "--wallet", wallet, "--service", service)
    assert (ran.code, ran.out) == (2, "")


def test_a_tenant_is_described_and_what_is_not_given_stays(credence: Credence) -> None:
    assert credence("migrate").code == 0
    first = credence(
        "tenants", "describe", "t", "--display-name", "A bank", "--contact", "mailto:a@b.example", "--json"
    )
    assert (first.code, first.json["display_name"], first.json["retention_days"]) == (0, "A bank", 760)
    given = ("--privacy-notice", "https://b.example/p", "--jurisdiction", "KE", "--retention-days", 90)
    second = credence("tenants", "describe", "t", *given, "--json")
    assert second.json == {
        "tenant": "t",
        "display_name": "A bank",
        "contact": "mailto:a@b.example",
        "privacy_notice": "https://b.example/p",
        "jurisdiction": "KE",
        "retention_days": 90,
    }


def test_what_no_receipt_could_say_is_refused(credence: Credence) -> None:
    assert credence("migrate").code == 0
    for given in (
        ("--display-name", " "),
        ("--contact", "javascript:alert(1)"),
        ("--contact", "phone"),
        ("--privacy-notice", "http://b.example"),
        ("--jurisdiction", "Kenya"),
        ("--retention-days", 0),
    ):
        assert credence("tenants", "describe", "t", *given).code == 2, given
