"""credence scores and credentials: what an operator takes back, beside a service on the same databases."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.conftest import Harness, running_service, settings_for
from tests.api.test_revocation import add_copies, changes_of, listed

Credence = Callable[..., Any]


@pytest.fixture
def service(credence: Credence, tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Harness]:
    """A service whose settings the commands share."""
    var = tmp_path / "var"
    var.mkdir()
    settings = settings_for(var, f"sqlite:///{var}/credence.sqlite3", f"sqlite:///{var}/keystore.sqlite3", model)
    for name in ("var", "database_url", "keystore_url", "base_url"):
        monkeypatch.setenv(f"CREDENCE_{name.upper()}", str(getattr(settings, name)))
    with running_service(settings) as running:
        yield running


def test_a_score_is_revoked_beside_the_running_service(credence: Credence, service: Harness) -> None:
    score = service.score()
    (copy_id, copy), *_ = add_copies(service, score, 2).items()
    change = ("--tenant", "lender", "--json")
    ran = credence("credentials", "suspend", copy_id, "--reason", "under_review", *change)
    assert (ran.code, ran.json["status"]) == (0, "suspended"), ran.err
    assert (listed(service, copy), listed(service, score["status"])) == ("suspended", "valid")
    for command, status in (("suspend", "suspended"), ("reinstate", "valid"), ("revoke", "revoked")):
        ran = credence("scores", command, score["id"], "--reason", "data_corrected", *change)
        assert (ran.code, ran.json["status"], ran.json["reason"]) == (0, status, "data_corrected"), ran.err
    assert (listed(service, copy), listed(service, score["status"])) == ("invalid", "invalid")
    assert [each["status"] for each in changes_of(service)] == ["suspended", "suspended", "valid", "revoked"]
    ran = credence("scores", "reinstate", score["id"], "--reason", "review_closed", "--tenant", "lender")
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert "final" in ran.err


def test_what_is_not_there_or_no_reason_is_refused(credence: Credence, service: Harness) -> None:
    score = service.score()
    for arguments, code in (
        (("sco_0", "--reason", "superseded", "--tenant", "lender"), 1),
        ((score["id"], "--reason", "superseded", "--tenant", "nobody"), 1),
        ((score["id"], "--reason", "+254712345678", "--tenant", "lender"), 2),
        ((score["id"], "--tenant", "lender"), 2),
    ):
        ran = credence("scores", "revoke", *arguments)
        assert (ran.code, ran.out) == (code, ""), arguments
        assert "254712345678" not in ran.err
    assert listed(service, score["status"]) == "valid"
