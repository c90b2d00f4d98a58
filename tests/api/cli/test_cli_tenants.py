"""credence migrate, clients and issuers: what an operator sets up."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from api.cli.tenants import open_tenants
from api.settings import load_settings
from api.store.tenants import ClientNotAuthenticated
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


def test_a_disabled_client_gets_no_token(credence: Credence) -> None:
    made = credence("clients", "add", "till", "--scope", "lender", "--json").json
    assert credence("clients", "disable", made["client_id"], "--json").json["disabled"] is True
    with pytest.raises(ClientNotAuthenticated):
        open_tenants(load_settings({})).verify_client(made["client_id"], made["client_secret"])
    for unknown in (made["client_id"], "cli_0"):
        ran = credence("clients", "disable", unknown)
        assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)


def test_an_issuer_has_a_period_and_a_level_and_is_distrusted(credence: Credence) -> None:
    did = SigningKey.generate().did
    period = ("--valid-from", "2026-01-01T00:00:00Z", "--valid-to", "2030-01-01T00:00:00Z")
    ran = credence("issuers", "trust", did, "--type", "airtime", *period, "--evidence", "agent_attested", "--json")
    assert ran.code == 0, ran.err
    assert (ran.json["valid_to"], ran.json["evidence_level"]) == ("2030-01-01T00:00:00Z", "agent_attested")
    assert "agent_attested" in credence("issuers", "list").out
    assert credence("issuers", "distrust", did, "--type", "remittance").code == 1
    assert credence("issuers", "distrust", did, "--type", "airtime", "--json").json["ended"][0]["did"] == did
    assert credence("issuers", "distrust", did, "--type", "airtime").code == 1


def test_a_time_or_a_level_that_is_none_is_refused(credence: Credence) -> None:
    did = SigningKey.generate().did
    for wrong in (("--valid-from", "tomorrow"), ("--valid-to", "2030-02-30T00:00:00Z"), ("--evidence", "regulated")):
        ran = credence("issuers", "trust", did, "--type", "airtime", *wrong)
        assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    ran = credence("issuers", "trust", did, "--type", "airtime", "--valid-to", "2020-01-01T00:00:00Z")
    assert (ran.code, ran.err.count("\n")) == (1, 1)


def test_a_list_is_signed_pinned_and_imported(credence: Credence, tmp_path: Path) -> None:
    signer = credence("wallet", "keys", "--out", "registry.jwk", "--json").json["did"]
    bank, telco = SigningKey.generate().did, "did:web:telco.example"
    rows = [
        "did,type,valid_from,valid_to,evidence_level",
        f"{bank},airtime,2026-01-01T00:00:00Z,,agent_attested",
        f"{telco},remittance,2026-01-01T00:00:00Z,2030-01-01T00:00:00Z,",
    ]
    (tmp_path / "issuers.csv").write_text("\n".join(rows))
    sign = ("issuers", "sign", "--csv", "issuers.csv", "--key", "registry.jwk")
    ran = credence(*sign, "--sequence", "1", "--out", "1.jwt", "--json")
    assert (ran.code, ran.json["issuers"], ran.json["list_issuer"]) == (0, 2, signer), ran.err
    assert credence(*sign, "--sequence", "2", "--out", "1.jwt").code == 2  # what is signed is not written over

    assert credence("clients", "add", "till", "--scope", "lender").code == 0
    ran = credence("issuers", "import", "1.jwt")
    assert (ran.code, "pin" in ran.err) == (1, True)
    assert credence("issuers", "lists", "pin", signer).code == 0
    ran = credence("issuers", "import", "1.jwt", "--json")
    assert (ran.code, ran.json["issuers"], ran.json["sequence"]) == (0, 2, 1), ran.err
    listed = {each["did"]: each for each in credence("issuers", "list", "--json").json["issuers"]}
    assert listed[bank]["list_issuer"] == signer
    assert listed[telco]["evidence_level"] == "system_of_record"
    assert credence("issuers", "lists", "list", "--json").json["lists"][0]["sequence"] == 1
    assert credence("issuers", "lists", "unpin", signer).code == 0
    assert credence("issuers", "list", "--json").json["issuers"] == []
    assert credence("issuers", "lists", "unpin", signer).code == 1


def test_a_row_that_is_none_is_named(credence: Credence, tmp_path: Path) -> None:
    credence("wallet", "keys", "--out", "registry.jwk")
    header = "did,type,valid_from,valid_to,evidence_level"
    for row in (
        "did:web:a.example,horoscope,2026-01-01T00:00:00Z,,",
        "did:web:a.example,airtime,yesterday,,",
        "did:web:a.example,airtime,2026-01-01T00:00:00Z,2025-01-01T00:00:00Z,",
        "did:web:a.example,airtime,2026-01-01T00:00:00Z,,regulated",
        ",airtime,2026-01-01T00:00:00Z,,",
        "did:web:a.example,airtime,2026-01-01T00:00:00Z,,,more",
    ):
        (tmp_path / "issuers.csv").write_text(f"{header}\n{row}\n")
        sign = ("issuers", "sign", "--csv", "issuers.csv", "--key", "registry.jwk", "--sequence", "1")
        ran = credence(*sign, "--out", "list.jwt")
        assert (ran.code, ran.out, ran.err.count("\n"), "Row 1" in ran.err) == (2, "", 1, True), row
    (tmp_path / "issuers.csv").write_text("did,type\n")
    assert credence(*sign, "--out", "list.jwt").code == 2
    assert not (tmp_path / "list.jwt").exists()
