"""credence migrate, clients and issuers: what an operator sets up."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from api.cli.tenants import open_tenants
from api.settings import load_settings
from identity.keys import SigningKey

Credence = Callable[..., Any]


def test_migrating_makes_both_databases_and_may_be_repeated(credence: Credence, tmp_path: Path) -> None:
    for _ in range(2):
        assert credence("migrate", "--json").json == {"migrated": True}
    assert {path.name for path in (tmp_path / "var").glob("*.sqlite3")} == {"credence.sqlite3", "keystore.sqlite3"}


def test_what_is_written_is_its_owners_alone(credence: Credence, tmp_path: Path) -> None:
    assert credence("clients", "add", "till", "--scope", "lender").code == 0
    written = list((tmp_path / "var").rglob("*"))
    assert len(written) > 10
    assert {path.name: oct(path.stat().st_mode) for path in written if path.stat().st_mode & 0o077} == {}


def test_a_clients_secret_is_shown_once_and_opens_its_scopes(credence: Credence, tmp_path: Path) -> None:
    ran = credence("clients", "add", "till", "--scope", "lender", "--scope", "compliance", "--json")
    assert ran.code == 0, ran.err
    assert (ran.json["scope"], ran.json["tenant"]) == ("compliance lender", "default")
    client = open_tenants(load_settings({})).verify_client(ran.json["client_id"], ran.json["client_secret"])
    assert client.scopes == {"lender", "compliance"}
    stored = b"".join(path.read_bytes() for path in (tmp_path / "var").glob("*.sqlite3*"))
    assert ran.json["client_secret"].encode() not in stored

    other = credence("clients", "add", "till", "--scope", "operator", "--tenant", "other")
    assert other.code == 0
    assert other.out.count("client_secret") == 1


def test_an_unknown_scope_makes_no_client(credence: Credence, tmp_path: Path) -> None:
    ran = credence("clients", "add", "till", "--scope", "admin")
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert not (tmp_path / "var").exists()
    assert credence("clients", "add", "till").code == 2


def test_issuers_are_trusted_for_one_type_and_one_tenant(credence: Credence) -> None:
    did = SigningKey.generate().did
    for name in ("urn:credence:airtime:1", "airtime", "remittance"):
        ran = credence("issuers", "trust", did, "--type", name, "--tenant", "bank")
        assert ran.code == 0, ran.err
    listed = credence("issuers", "list", "--tenant", "bank", "--json").json["issuers"]
    assert [(each["did"], each["vct"]) for each in listed] == [
        (did, "urn:credence:airtime:1"),
        (did, "urn:credence:remittance:1"),
    ]
    assert credence("clients", "add", "till", "--scope", "lender").code == 0
    assert credence("issuers", "list", "--json").json["issuers"] == []
    assert did in credence("issuers", "list", "--tenant", "bank").out


def test_listing_makes_no_tenant(credence: Credence) -> None:
    for _ in range(2):
        ran = credence("issuers", "list", "--tenant", "bnak")
        assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)


def test_an_issuer_that_does_not_resolve_or_an_unknown_type_is_refused(credence: Credence) -> None:
    did = SigningKey.generate().did
    ran = credence("issuers", "trust", did, "--type", "horoscope")
    assert (ran.code, "mobile-money" in ran.err) == (2, True)
    for bad in ("did:web:example.com", "did:jwk:e30", did[:-4]):
        ran = credence("issuers", "trust", bad, "--type", "airtime")
        assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
        assert bad not in ran.err


def test_a_misspelt_setting_is_refused_in_one_line(credence: Credence, monkeypatch: Any) -> None:
    monkeypatch.setenv("CREDENCE_DATABSE_URL", "sqlite:///x")
    ran = credence("migrate")
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
