"""credence did: a document that others read as we do, and credentials that verify by it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from openvc.did.did_web import DidWebResolver

from identity.did_resolver import DidResolver
from identity.errors import UnknownKid
from identity.fetch import GuardedFetcher
from identity.keys import PublicKey, parse_public_jwk
from identity.sd_jwt import ParsedIssuerJwt, VerifiedSdJwt, verify_sd_jwt
from identity.status_list import verify_status_list

Credence = Callable[..., Any]

DID = "did:web:bank.example:credit"
URL = "https://bank.example/credit/did.json"
LIST_URI = "https://bank.example/status/1"
MONTHS = ",".join(
    f"{claim}[{month}]" for claim in ("statement_minor", "paid_minor", "delay_months") for month in range(6)
)
ROWS = (
    f"period_from,period_to,currency,evidence_level,credit_line_minor,{MONTHS}\n"
    f"2026-04-01,2026-09-30,TWD,system_of_record,2000000,{','.join(['0'] * 18)}\n"
)


class Page(GuardedFetcher):
    """The document at the address that it was to be published at."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    def fetch(self, url: str, accept: str, *, max_bytes: int | None = None) -> bytes:
        assert url == URL
        return self.text.encode()


@pytest.fixture
def keys(credence: Credence) -> list[PublicKey]:
    """Two keys of a bank, in bank0.jwk and bank1.jwk, and one of a holder."""
    made = [
        credence("wallet", "keys", "--out", f"bank{number}.jwk", "--algorithm", algorithm, "--json").json["public_jwk"]
        for number, algorithm in enumerate(("ES256", "EdDSA"))
    ]
    credence("wallet", "keys", "--out", "holder.jwk")
    return [parse_public_jwk(jwk) for jwk in made]


def document(credence: Credence, *files: str, did: str = DID) -> Any:
    return credence("did", "document", did, *(part for file in files for part in ("--key", file)))


def test_the_document_holds_every_key_and_says_where_it_belongs(credence: Credence, keys: list[PublicKey]) -> None:
    ran = document(credence, "bank0.jwk.pub", "bank1.jwk.pub", "bank0.jwk.pub")
    assert (ran.code, ran.err) == (0, f"Publish this at {URL}\n")
    dids = DidResolver(Page(ran.out))
    theirs = DidWebResolver(lambda url: json.loads(ran.out) if url == URL else {}).resolve(DID)
    assert len(dids.resolve(DID, now_ms=0).verification_methods) == len(theirs.verification_methods) == 2
    for key in keys:
        kid = f"{DID}#{key.thumbprint}"
        assert dids.resolve_key(did=DID, kid=kid, relationship="assertionMethod", now_ms=0) == key
        found = theirs.key_for_purpose(kid, "assertionMethod")
        assert found is not None
        assert found.public_key_jwk == key.jwk


def issue(credence: Credence, tmp_path: Path, *, issuer: str, out: str) -> Any:
    (tmp_path / "rows.csv").write_text(ROWS)
    options = ("--type", "repayment-history", "--csv", "rows.csv", "--key", "bank0.jwk", "--holder", "holder.jwk.pub")
    return credence("issue", *options, "--status-uri", LIST_URI, "--issuer", issuer, "--out", out, "--json")


def verified(folder: Path, dids: DidResolver) -> VerifiedSdJwt:
    [path] = folder.glob("*.sd-jwt")
    now_ms = int(path.stat().st_mtime * 1000)

    def issuer_key_for(parsed: ParsedIssuerJwt) -> PublicKey:
        return dids.resolve_key(did=parsed.issuer, kid=parsed.kid, relationship="assertionMethod", now_ms=now_ms)

    token = (folder / "status-list.jwt").read_text()
    verify_status_list(token, uri=LIST_URI, issuer=DID, dids=dids, now_ms=now_ms + 1000)
    return verify_sd_jwt(path.read_text(), issuer_key_for=issuer_key_for, now_ms=now_ms + 1000, key_binding=None)


@pytest.mark.parametrize("kid", ["", "#key-1"])
def test_a_credential_and_its_list_issued_under_the_did_verify_by_the_document(
    credence: Credence, keys: list[PublicKey], tmp_path: Path, kid: str
) -> None:
    written = document(credence, "bank0.jwk.pub", "bank1.jwk.pub").out
    if kid:  # a document of the bank's own making, in which the key has another name
        written = written.replace("#" + keys[0].thumbprint, kid)
    assert issue(credence, tmp_path, issuer=DID + kid, out="out").json["issued"] == 1
    assert verified(tmp_path / "out", DidResolver(Page(written))).issuer == DID
    rotated = document(credence, "bank1.jwk.pub").out
    with pytest.raises(UnknownKid):
        verified(tmp_path / "out", DidResolver(Page(rotated)))


@pytest.mark.parametrize(
    "did", ["did:web:localhost", "did:web:127.0.0.1", "did:web:bank.example%3A8443", "did:key:z6Mk", "bank.example", ""]
)
def test_a_did_that_nobody_would_resolve_is_refused(
    credence: Credence, keys: list[PublicKey], tmp_path: Path, did: str
) -> None:
    for ran in (document(credence, "bank0.jwk.pub", did=did), issue(credence, tmp_path, issuer=did, out="out")):
        assert (ran.code, ran.out) == (2, "")
        assert "cannot be published" in ran.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kid", ["#", "#a b", "#%2e", "#../x", "#a#b"])
def test_a_method_name_that_no_kid_can_hold_is_refused(
    credence: Credence, keys: list[PublicKey], tmp_path: Path, kid: str
) -> None:
    ran = issue(credence, tmp_path, issuer=DID + kid, out="out")
    assert (ran.code, ran.out) == (2, "")
    assert not (tmp_path / "out").exists()


def test_a_private_key_and_what_is_no_key_stay_out_of_the_document(
    credence: Credence, keys: list[PublicKey], tmp_path: Path
) -> None:
    (tmp_path / "other.pub").write_text('{"kty":"RSA","n":"AQAB","e":"AQAB"}')
    for file, said in (("bank0.jwk", ".pub"), ("other.pub", "not a public JWK"), ("missing.pub", "cannot be read")):
        ran = document(credence, "bank1.jwk.pub", file)
        assert (ran.code, ran.out) == (2, "")
        assert said in ran.err


def test_a_development_origin_can_be_an_issuer(
    credence: Credence, keys: list[PublicKey], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENCE_ALLOW_HTTP_ORIGINS", "http://localhost:8443")
    ran = document(credence, "bank0.jwk.pub", did="did:web:localhost%3A8443")
    assert ran.err == "Publish this at http://localhost:8443/.well-known/did.json\n"
