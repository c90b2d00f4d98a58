"""credence status-list sign: an institution's own list, changed and signed anew."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from identity.did_resolver import DidResolver
from identity.status_list import StatusList, issue_status_list, verify_status_list
from tests.api.cli.test_cli_issue import HEADER, ROW, URI

Credence = Callable[..., Any]
FILE = "out/status-list.jwt"


@pytest.fixture
def bank(credence: Credence, tmp_path: Path) -> str:
    did: str = credence("wallet", "keys", "--out", "bank.jwk", "--json").json["did"]
    credence("wallet", "keys", "--out", "holder.jwk")
    (tmp_path / "rows.csv").write_text(f"{HEADER}\n{ROW}\n{ROW}\n")
    arguments = ("--type", "repayment-history", "--csv", "rows.csv", "--key", "bank.jwk", "--holder", "holder.jwk.pub")
    assert credence("issue", *arguments, "--out", "out", "--status-uri", URI).code == 0
    return did


def published(tmp_path: Path, did: str) -> StatusList:
    file = tmp_path / FILE
    now_ms = int(file.stat().st_mtime * 1000)
    return verify_status_list(file.read_text(), uri=URI, issuer=did, dids=DidResolver(None), now_ms=now_ms)


def issued(tmp_path: Path) -> list[int]:
    return [int(line.rsplit(",", 1)[1]) for line in (tmp_path / "out/issued.csv").read_text().splitlines()[1:]]


def sign(credence: Credence, *options: object) -> Any:
    return credence("status-list", "sign", FILE, "--key", "bank.jwk", *options)


def test_a_credential_is_suspended_reinstated_and_revoked_for_good(
    credence: Credence, bank: str, tmp_path: Path
) -> None:
    first, second = issued(tmp_path)
    ran = sign(credence, "--suspend", first, "--revoke", second, "--json")
    assert (ran.code, ran.json) == (0, {"uri": URI, "changed": 2, "invalid": 1, "suspended": 1})
    assert (published(tmp_path, bank).status(first), published(tmp_path, bank).status(second)) == (2, 1)
    assert sign(credence, "--reinstate", first).code == 0
    changed = published(tmp_path, bank)
    assert (changed.status(first), sum(changed.statuses)) == (0, 1)
    before = (tmp_path / FILE).read_text()
    for change in (("--reinstate", second), ("--suspend", second), ("--revoke", first, "--reinstate", second)):
        assert sign(credence, *change).code == 1
    assert (tmp_path / FILE).read_text() == before
    assert sign(credence, "--revoke", second).code == 0


def test_a_list_whose_time_is_over_is_renewed(credence: Credence, bank: str, tmp_path: Path) -> None:
    from api.cli.wallet import load_key

    key = load_key(tmp_path / "bank.jwk")
    statuses = bytes([0, 1, 2, 0])
    old = issue_status_list(uri=URI, statuses=statuses, bits=8, key=key, now_ms=0, ttl_s=60, expires_in_s=1)
    (tmp_path / FILE).write_text(old)
    assert sign(credence, "--valid-days", 2).code == 0
    renewed = published(tmp_path, bank)
    assert (renewed.statuses, renewed.bits, renewed.ttl_s) == (statuses, 8, 60)
    assert renewed.expires_at_ms - renewed.issued_at_ms == 2 * 86_400_000


@pytest.mark.parametrize("options", [("--revoke", 1 << 20), ("--revoke", -1), ("--revoke", 7, "--suspend", 7)])
def test_an_index_of_no_credential_or_with_two_changes_is_refused(
    credence: Credence, bank: str, tmp_path: Path, options: tuple[object, ...]
) -> None:
    before = (tmp_path / FILE).read_text()
    assert sign(credence, *options).code == 2
    assert (tmp_path / FILE).read_text() == before


def test_a_list_of_another_key_or_none_is_not_signed(credence: Credence, bank: str, tmp_path: Path) -> None:
    credence("wallet", "keys", "--out", "other.jwk")
    assert credence("status-list", "sign", FILE, "--key", "other.jwk", "--revoke", 1).code == 1
    for text in ("", "a.b.c", json.dumps({}), "\u00e9"):
        (tmp_path / FILE).write_text(text)
        assert sign(credence, "--revoke", 1).code == 1


def test_the_list_of_a_did_web_stays_its_own(credence: Credence, bank: str, tmp_path: Path) -> None:
    arguments = ("--type", "repayment-history", "--csv", "rows.csv", "--key", "bank.jwk", "--holder", "holder.jwk.pub")
    did = "did:web:bank.example"
    ran = credence("issue", *arguments, "--out", "web", "--status-uri", URI, "--issuer", did)
    assert ran.code == 0
    os.replace(tmp_path / "web/status-list.jwt", tmp_path / FILE)  # noqa: PTH105
    assert sign(credence, "--revoke", 1).code == 1
    assert sign(credence, "--revoke", 1, "--issuer", did).code == 0
