"""Suspending and revoking: final or lifted, with every copy, told in the log, and seen by whoever asks the lists."""

import gzip
import json
import threading

import pytest
from sqlalchemy import insert, select, update

from api.keystore import append_key
from api.store import sequencer as sequencer_module
from api.store.database import read_transaction, write_transaction
from api.store.revocation import ScoreNotValid, verify_score_valid_in
from api.store.tables import issued_credentials, status_indices, status_lists
from identity.did_resolver import DidResolver
from identity.encoding import decode_base64url, parse_json_object
from identity.jws import parse_jws, verify_jws
from identity.keys import SigningKey
from identity.status_list import StatusChecker, StatusReference
from tests.api.conftest import running_service
from tests.api.test_issuance import Wallet
from tests.api.test_status import ServedLists


def put(harness, path, status, reason="issued_in_error", tenant="lender"):
    body = {"status": status, "reason": reason}
    return harness.http.put(f"/v1/{path}/status", json=body, headers=harness.token(tenant, ("operator",)))


def listed(harness, reference, issuer=None):
    """What a verifier that has never seen the list finds in it."""
    checker = StatusChecker(ServedLists(harness), DidResolver(None))
    found = checker.check_status(
        StatusReference(**reference), issuer=issuer or harness.service.rooms.attest_key.did, now_ms=harness.clock()
    )
    return found.status


def bits(harness, reference):
    """The bits of the two Bitstring lists at the index."""
    found = {}
    for purpose in ("revocation", "suspension"):
        answer = harness.http.get(f"{reference['uri']}/{purpose}")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/vc+jwt")
        key = harness.service.rooms.attest_key
        credential = parse_json_object(verify_jws(parse_jws(answer.text), key.public, typ="vc+jwt"))
        assert (credential["id"], credential["issuer"]) == (f"{reference['uri']}/{purpose}", key.did)
        subject = credential["credentialSubject"]
        assert subject["statusPurpose"] == purpose
        packed = gzip.decompress(decode_base64url(subject["encodedList"].removeprefix("u")))
        assert len(packed) == 16_384
        found[purpose] = packed[reference["index"] // 8] >> 7 - reference["index"] % 8 & 1
    return found["revocation"], found["suspension"]


def add_copies(harness, score, count, tenant="lender"):
    """Copies of a score, issued over OpenID4VCI; gives where the status of each stands."""
    offered = harness.http.post(f"/v1/scores/{score['id']}/offers", json={}, headers=harness.token(tenant))
    assert offered.status_code == 201, offered.text
    wallet = Wallet(harness, offered.json())
    wallet.keys = [SigningKey.generate() for _ in range(count)]
    assert len(wallet.obtain()) == count
    with read_transaction(harness.service.health._engine) as transaction:
        rows = transaction.execute(select(issued_credentials).where(issued_credentials.c.score_id == score["id"])).all()
    prefix = harness.service.rooms.status_list_prefix
    return {row.id: {"uri": prefix + row.status_list_id, "index": row.status_index} for row in rows}


def changes_of(harness, tenant="lender"):
    return [json.loads(entry["entry"])["body"] for entry in harness.entries(tenant, type="status")]


def test_a_score_is_suspended_reinstated_and_revoked_and_everybody_sees_it(harness):
    score, other = harness.score(), harness.score()
    path, headers = f"scores/{score['id']}", harness.token()
    read = harness.http.get(f"/v1/{path}/status", headers=headers).json()
    assert read == {"id": score["id"], "status": "valid", "reason": None, "changed_at": None}
    seen = []
    for status, reason in (("suspended", "under_review"), ("valid", "review_closed"), ("revoked", "data_corrected")):
        harness.clock.now_ms += 1_000
        answer = put(harness, path, status, reason)
        assert answer.status_code == 200, answer.text
        assert (answer.json()["status"], answer.json()["reason"]) == (status, reason)
        assert answer.json()["changed_at"].endswith("Z")
        assert harness.http.get(f"/v1/{path}/status", headers=headers).json() == answer.json()
        seen.append((listed(harness, score["status"]), *bits(harness, score["status"])))
        assert listed(harness, other["status"]) == "valid"
        assert bits(harness, other["status"]) == (0, 0)
    assert seen == [("suspended", 0, 1), ("valid", 0, 0), ("invalid", 1, 0)]
    assert changes_of(harness) == [
        {"score_id": score["id"], "status": "suspended", "reason": "under_review"},
        {"score_id": score["id"], "status": "valid", "reason": "review_closed"},
        {"score_id": score["id"], "status": "revoked", "reason": "data_corrected"},
    ]
    # The document is evidence of what was issued: it says where the status stands, not what it is.
    again = harness.http.get(f"/v1/scores/{score['id']}", headers=headers).json()
    assert (again["status"], again["credential"]) == (score["status"], score["credential"])


def test_what_is_so_already_is_not_told_again(shared):
    score = shared.score("again")
    first = put(shared, f"scores/{score['id']}", "suspended", "under_review", "again").json()
    for reason in ("under_review", "fraud_suspected"):
        assert put(shared, f"scores/{score['id']}", "suspended", reason, "again").json() == first
    assert len(changes_of(shared, "again")) == 1


def test_revocation_is_final(shared):
    score = shared.score("final")
    assert put(shared, f"scores/{score['id']}", "revoked", tenant="final").status_code == 200
    for status in ("valid", "suspended"):
        refused = put(shared, f"scores/{score['id']}", status, tenant="final")
        assert (refused.status_code, refused.json()["code"]) == (409, "revocation_final")
    assert put(shared, f"scores/{score['id']}", "revoked", "superseded", tenant="final").status_code == 200
    assert len(changes_of(shared, "final")) == 1
    assert listed(shared, score["status"]) == "invalid"


def test_every_copy_goes_with_its_score_and_one_that_was_revoked_by_itself_stays_so(shared):
    score, other = shared.score("copies"), shared.score("copies")
    copies, others = add_copies(shared, score, 3, "copies"), add_copies(shared, other, 1, "copies")
    (first, *_) = copies
    assert put(shared, f"credentials/{first}", "revoked", "requested_by_holder", "copies").status_code == 200
    found = lambda: [listed(shared, each) for each in (score["status"], *copies.values(), *others.values())]  # noqa: E731
    assert found() == ["valid", "invalid", "valid", "valid", "valid"]
    put(shared, f"scores/{score['id']}", "suspended", "under_review", "copies")
    assert found() == ["suspended", "invalid", "suspended", "suspended", "valid"]
    put(shared, f"scores/{score['id']}", "valid", "review_closed", "copies")
    assert found() == ["valid", "invalid", "valid", "valid", "valid"]
    put(shared, f"scores/{score['id']}", "revoked", "consent_withdrawn", "copies")
    assert found() == ["invalid", "invalid", "invalid", "invalid", "valid"]
    assert changes_of(shared, "copies")[0] == {
        "credential_id": first,
        "status": "revoked",
        "reason": "requested_by_holder",
    }
    read = shared.http.get(f"/v1/credentials/{first}/status", headers=shared.token("copies")).json()
    assert (read["id"], read["status"], read["reason"]) == (first, "revoked", "requested_by_holder")


def test_a_score_goes_with_however_many_copies_it_has(shared):
    score = shared.score("many")
    (copy,) = add_copies(shared, score, 1, "many").values()
    with write_transaction(shared.service.health._engine) as transaction:
        model = transaction.execute(
            select(issued_credentials).where(issued_credentials.c.score_id == score["id"])
        ).one()
        list_id = copy["uri"].removeprefix(shared.service.rooms.status_list_prefix)
        of_list = select(status_indices.c.list_index).where(status_indices.c.list_id == list_id)
        taken = set(transaction.execute(of_list).scalars())
        more = [index for index in range(3_000) if index not in taken]
        indices = {"list_id": list_id, "tenant_id": model.tenant_id, "status": 0}
        transaction.execute(insert(status_indices), [indices | {"list_index": index} for index in more])
        copies = model._asdict() | {"holder_mac": None}
        transaction.execute(
            insert(issued_credentials), [copies | {"id": f"crd_{index:032x}", "status_index": index} for index in more]
        )
    assert put(shared, f"scores/{score['id']}", "revoked", tenant="many").status_code == 200
    assert {listed(shared, copy | {"index": index}) for index in (copy["index"], more[0], more[-1])} == {"invalid"}
    assert listed(shared, score["status"]) == "invalid"


def test_another_tenants_credential_is_not_there(shared):
    (credential_id,) = add_copies(shared, shared.score("mine"), 1, "mine")
    refused = put(shared, f"credentials/{credential_id}", "revoked", tenant="theirs")
    assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
    read = shared.http.get(f"/v1/credentials/{credential_id}/status", headers=shared.token("theirs"))
    assert read.status_code == 404
    assert changes_of(shared, "theirs") == []
    read = shared.http.get(f"/v1/credentials/{credential_id}/status", headers=shared.token("mine"))
    assert read.json()["status"] == "valid"


@pytest.mark.parametrize(
    "change",
    [
        {"status": "invalid"},
        {"status": "REVOKED"},
        {"status": None},
        {"reason": "his phone number is +254712345678"},
        {"reason": None},
        {"more": 1},
    ],
)
def test_a_status_or_a_reason_that_is_none_of_ours_is_refused(shared, change):
    body = {"status": "revoked", "reason": "issued_in_error"} | change
    headers = shared.token(scopes=("operator",))
    refused = shared.http.put(f"/v1/scores/sco_{'0' * 32}/status", json=body, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
    assert "254712345678" not in refused.text


def test_a_status_whose_entry_cannot_be_written_does_not_change(harness, monkeypatch):
    score = harness.score()

    def fail(*_arguments):
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(sequencer_module, "append_leaves", fail)
        assert put(harness, f"scores/{score['id']}", "revoked").status_code == 500
    assert listed(harness, score["status"]) == "valid"
    assert changes_of(harness) == []
    assert put(harness, f"scores/{score['id']}", "revoked").status_code == 200
    assert (listed(harness, score["status"]), len(changes_of(harness))) == ("invalid", 1)


def test_no_copy_is_issued_of_a_score_that_does_not_hold(shared):
    score = shared.score("issue")
    engine, tenant_id = shared.service.health._engine, shared.service.tenants.load_tenant_id("issue")

    def require():
        with write_transaction(engine) as transaction:
            verify_score_valid_in(transaction, tenant_id, score["id"])

    require()
    for status in ("suspended", "revoked"):
        put(shared, f"scores/{score['id']}", status, tenant="issue")
        with pytest.raises(ScoreNotValid):
            require()
    for other in ((tenant_id, "sco_0"), ("ten_0", score["id"])):
        with pytest.raises(ScoreNotValid), write_transaction(engine) as transaction:
            verify_score_valid_in(transaction, *other)


def test_a_copy_that_is_being_issued_while_its_score_is_revoked_is_revoked_too(harness):
    score = harness.score()
    engine, tenant_id = harness.service.health._engine, harness.service.tenants.load_tenant_id("lender")
    allotted = harness.service.statuses.allot(tenant_id, 0)
    offered = harness.http.post(f"/v1/scores/{score['id']}/offers", json={}, headers=harness.token()).json()
    answers = []
    revoking = threading.Thread(target=lambda: answers.append(put(harness, f"scores/{score['id']}", "revoked")))
    harness.token("lender", ("operator",))  # made beforehand, or it would wait for the lock
    with write_transaction(engine) as transaction:
        verify_score_valid_in(transaction, tenant_id, score["id"])
        revoking.start()
        revoking.join(0.3)
        assert revoking.is_alive()
        transaction.execute(
            insert(issued_credentials).values(
                id="crd_" + "0" * 32,
                tenant_id=tenant_id,
                vct="urn:credence:score:1",
                score_id=score["id"],
                offer_id=offered["id"],
                status_list_id=allotted.list_id,
                status_index=allotted.index,
                issued_at_ms=0,
                expires_at_ms=1,
            )
        )
    revoking.join(30)
    assert answers[0].status_code == 200
    copy = {"uri": harness.service.rooms.status_list_prefix + allotted.list_id, "index": allotted.index}
    assert listed(harness, copy) == "invalid"


def test_after_another_key_came_the_lists_of_the_first_are_still_its_own(settings):
    with running_service(settings) as service:
        old, first = service.score(), service.service.rooms.attest_key.did
        # As a database from before the key was written down has it.
        with write_transaction(service.service.health._engine) as transaction:
            transaction.execute(update(status_lists).values(issuer=None))
        unnamed = service.score()
        with read_transaction(service.service.health._engine) as transaction:
            issuers = transaction.execute(select(status_lists.c.issuer)).scalars().all()
        assert set(issuers) == {None}
    append_key(settings.var / "keys", "attest", service.clock() + 1)
    with running_service(settings) as service:
        second = service.service.rooms.attest_key.did
        new = service.score()
        assert second != first
        assert new["status"]["uri"] not in {old["status"]["uri"], unnamed["status"]["uri"]}
        assert put(service, f"scores/{old['id']}", "revoked").status_code == 200
        assert listed(service, old["status"], issuer=first) == "invalid"
        assert listed(service, new["status"], issuer=second) == "valid"
    append_key(settings.var / "keys", "attest", service.clock() + 2)
    with running_service(settings) as service:
        assert service.service.rooms.attest_key.did not in {first, second}
        assert listed(service, old["status"], issuer=first) == "invalid"
        assert listed(service, new["status"], issuer=second) == "valid"


def test_a_list_that_is_not_there_is_not_found(shared):
    for path in ("0" * 16, f"{'0' * 16}/revocation"):
        assert shared.http.get(f"/v1/status-lists/{path}").status_code == 404
    uri = shared.score()["status"]["uri"]
    for path in ("refresh", "message", "Revocation", ""):
        assert shared.http.get(f"{uri}/{path}").status_code in (404, 422)


def test_a_disabled_client_gets_no_token_and_uses_none(harness):
    tenant_id = harness.service.tenants.load_or_append_tenant("lender", 0)
    client = harness.service.tenants.append_client(
        tenant_id=tenant_id, name="leaver", scopes=frozenset({"lender"}), now_ms=0
    )

    def ask():
        return harness.http.post(
            "/v1/oauth/token",
            data={"grant_type": "client_credentials"},
            auth=(client.client_id, client.client_secret),
        )

    headers = {"Authorization": f"Bearer {ask().json()['access_token']}"}
    assert harness.http.get("/v1/issuers", headers=headers).status_code == 200
    assert harness.service.tenants.disable_client(client.client_id, 5)
    assert not harness.service.tenants.disable_client(client.client_id, 6)
    assert not harness.service.tenants.disable_client("cli_0", 6)
    refused = harness.http.get("/v1/issuers", headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (401, "invalid_token")
    assert (ask().status_code, ask().json()["error"]) == (401, "invalid_client")
    assert harness.http.get("/v1/issuers", headers=harness.token()).status_code == 200
