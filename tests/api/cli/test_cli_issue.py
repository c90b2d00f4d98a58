"""credence issue: a credential a row, a report of what was refused, a status list."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from identity.did import resolve_verification_key
from identity.did_resolver import DidResolver
from identity.keys import SigningKey
from identity.sd_jwt import VerifiedSdJwt, verify_sd_jwt
from identity.status_list import verify_status_list

Credence = Callable[..., Any]

HEADER = (
    "period_from,period_to,currency,evidence_level,credit_line_minor,"
    + ",".join(f"statement_minor[{month}]" for month in range(6))
    + ","
    + ",".join(f"paid_minor[{month}]" for month in range(6))
    + ","
    + ",".join(f"delay_months[{month}]" for month in range(6))
)
ROW = "2026-04-01,2026-09-30,TWD,system_of_record,2000000,391300,310200,68900,0,0,-500,0,68900,0,0,0,0,2,2,-1,-1,-2,-2"
URI = "https://bank.example/status/1"


def verified(text: str, now_ms: int) -> VerifiedSdJwt:
    return verify_sd_jwt(
        text,
        issuer_key_for=lambda parsed: resolve_verification_key(did=parsed.issuer, kid=parsed.kid),
        now_ms=now_ms,
        key_binding=None,
    )


@pytest.fixture
def bank(credence: Credence) -> str:
    did: str = credence("wallet", "keys", "--out", "bank.jwk", "--json").json["did"]
    credence("wallet", "keys", "--out", "holder.jwk")
    return did


def issue(credence: Credence, *options: object, out: str = "out") -> Any:
    arguments = ("--type", "repayment-history", "--csv", "rows.csv", "--key", "bank.jwk", "--out", out)
    return credence("issue", *arguments, *options)


def test_each_row_becomes_a_credential_bound_to_the_holder(credence: Credence, bank: str, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(f"{HEADER}\n{ROW}\n{ROW}\n")
    ran = issue(credence, "--holder", "holder.jwk.pub", "--status-uri", URI, "--valid-days", 30, "--json")
    assert (ran.code, ran.json["issued"], ran.json["refused"]) == (0, 2, [])
    credentials = sorted((tmp_path / "out").glob("*.sd-jwt"))
    assert len(credentials) == 2
    now_ms = int(credentials[0].stat().st_mtime * 1000)
    seen = [verified(path.read_text(), now_ms) for path in credentials]
    holder = json.loads((tmp_path / "holder.jwk.pub").read_text())
    for each in seen:
        assert each.issuer == bank
        assert each.holder is not None
        assert each.holder.jwk == holder
        assert each.claims["statement_minor"] == [391300, 310200, 68900, 0, 0, -500]
        assert each.claims["currency"] == "TWD"
        assert each.expires_at_ms is not None
        assert 29 < (each.expires_at_ms - each.issued_at_ms) / 86_400_000 < 31

    status_list = verify_status_list(
        (tmp_path / "out/status-list.jwt").read_text(),
        uri=URI,
        issuer=bank,
        dids=DidResolver(None),
        now_ms=now_ms + 1000,
    )
    indexes = {each.status.index for each in seen if each.status is not None}
    assert len(indexes) == 2
    assert {status_list.status(index) for index in indexes} == {0}
    report = (tmp_path / "out/issued.csv").read_text().splitlines()
    assert {int(line.split(",")[2]) for line in report[1:]} == indexes


def test_refused_rows_are_reported_by_number_and_place_and_the_others_issued(
    credence: Credence, bank: str, tmp_path: Path
) -> None:
    rows = [
        ROW,
        ROW.replace("TWD", "SECRET"),
        ROW.replace("2000000", "2000000.5"),
        ROW.replace(",0,0,-500", ",0,,-500"),
        ROW.replace("2026-09-30", "2025-09-30"),
    ]
    (tmp_path / "rows.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    ran = issue(credence, "--holder", "holder.jwk.pub", "--json")
    assert (ran.code, ran.json["issued"]) == (1, 1)
    assert ran.json["refused"] == [
        {"row": 2, "pointer": "/currency"},
        {"row": 3, "pointer": "/credit_line_minor"},
        {"row": 4, "pointer": "/statement_minor"},
        {"row": 5, "pointer": "/period_to"},
    ]
    assert len(list((tmp_path / "out").glob("*.sd-jwt"))) == 1
    again = issue(credence, "--holder", "holder.jwk.pub", out="out2")
    assert again.code == 1
    assert "row 2: /currency" in again.out
    assert "SECRET" not in again.out + again.err


def test_a_column_may_hold_the_holders(credence: Credence, bank: str, tmp_path: Path) -> None:
    holders = [SigningKey.generate("ES256"), SigningKey.generate("EdDSA")]
    quoted = [json.dumps(key.public.jwk).replace('"', '""') for key in holders]
    private = json.dumps(holders[0].to_private_jwk()).replace('"', '""')
    lines = [f"holder,{HEADER}", *(f'"{jwk}",{ROW}' for jwk in quoted), f'"{private}",{ROW}', f"nobody,{ROW}"]
    (tmp_path / "rows.csv").write_text("\n".join(lines) + "\n")
    ran = issue(credence, "--holder", "holder", "--json")
    assert ran.code == 1
    assert ran.json["refused"] == [{"row": 3, "pointer": "/cnf/jwk"}, {"row": 4, "pointer": "/cnf/jwk"}]
    paths = sorted((tmp_path / "out").glob("*.sd-jwt"))
    bound = [verified(path.read_text(), int(path.stat().st_mtime * 1000)).holder for path in paths]
    assert bound == [key.public for key in holders]


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"{HEADER},shoe_size\n{ROW},43\n",
        f"{HEADER}\n{ROW},1\n",
        HEADER.replace("statement_minor[0]", "statement_minor"),
    ],
)
def test_a_file_that_is_not_of_the_type_issues_nothing(
    credence: Credence, bank: str, tmp_path: Path, text: str
) -> None:
    (tmp_path / "rows.csv").write_text(text)
    ran = issue(credence, "--holder", "holder.jwk.pub")
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert not (tmp_path / "out").exists()


def test_a_key_that_others_can_read_does_not_sign(credence: Credence, bank: str, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(f"{HEADER}\n{ROW}\n")
    (tmp_path / "bank.jwk").chmod(0o644)
    ran = issue(credence, "--holder", "holder.jwk.pub")
    assert (ran.code, "0600" in ran.err) == (1, True)


def test_an_earlier_run_is_never_written_over(credence: Credence, bank: str, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(f"{HEADER}\n{ROW}\n")
    assert issue(credence, "--holder", "holder.jwk.pub").code == 0
    assert issue(credence, "--holder", "holder.jwk.pub").code == 2


def test_refused_rows_are_in_a_file_with_their_column_and_never_their_value(
    credence: Credence, bank: str, tmp_path: Path
) -> None:
    rows = [ROW.replace(",0,0,-500", ",0,SECRET,-500")] * 30
    (tmp_path / "rows.csv").write_text("\n".join([HEADER, *rows, ROW]) + "\n")
    ran = issue(credence, "--holder", "holder.jwk.pub")
    assert ran.code == 1
    lines = (tmp_path / "out/refused.csv").read_text().splitlines()
    assert lines[:2] == ["row,pointer,column", "1,/statement_minor/4,statement_minor[4]"]
    assert len(lines) == 31
    assert "and 10 more: out/refused.csv" in ran.out
    assert "SECRET" not in ran.out + ran.err + "\n".join(lines)


def test_a_run_that_was_ended_leaves_no_folder_and_the_next_one_replaces_its_rest(
    credence: Credence, bank: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rows.csv").write_text(f"{HEADER}\n{ROW}\n{ROW}\n")

    def be_ended(*_arguments: object, **_named: object) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("api.cli.issue.issue_credential", be_ended)
        assert issue(credence, "--holder", "holder.jwk.pub").code == 130
    assert not (tmp_path / "out").exists()
    assert (tmp_path / "out.partial").is_dir()
    assert issue(credence, "--holder", "holder.jwk.pub").code == 0
    assert len(list((tmp_path / "out").glob("*.sd-jwt"))) == 2
    assert not (tmp_path / "out.partial").exists()
