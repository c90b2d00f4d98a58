"""The applicant at the API: a proven key opens its own scores, receipts and consents, and nothing else does."""

import hashlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import delete, event, select

from api.receipt_document import verify_receipt_document, verify_receipt_of_score
from api.score_document import DocumentNotVerified, MalformedDocument, NotYetLogged, verify_document
from api.store import tables
from api.store.appends import AppendConsentChange, AppendScore
from api.store.database import write_transaction
from identity.consent_receipt import verify_consent_receipt
from identity.encoding import encode_base64url, encode_json
from identity.holder import add_key_binding
from identity.holder_proof import HOLDER_PROOF_TYP, sign_holder_proof
from identity.jws import sign_jws
from identity.keys import SigningKey
from identity.sd_jwt import select_disclosures
from tests.api.conftest import REPAYMENTS, VCT

NOWHERE = "0" * 32
LISTS = ("scores", "receipts", "requests", "consents")
READS = [
    *(f"/v1/holder/{name}" for name in LISTS),
    f"/v1/holder/scores/sco_{NOWHERE}",
    f"/v1/holder/receipts/rcp_{NOWHERE}",
]
CHANGES = [f"/v1/holder/consents/con_{NOWHERE}/{change}" for change in ("withdrawal", "renewal")]


@pytest.fixture
def holder():
    return SigningKey.generate()


@pytest.fixture
def nonce(shared):
    return shared.http.post("/v1/holder/nonce").json()["nonce"]


def get(harness, headers, path, **query):
    answer = harness.http.get(f"/v1/holder/{path}", headers=headers, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def change(harness, headers, consent_id, what):
    return harness.http.post(f"/v1/holder/consents/{consent_id}/{what}", headers=headers)


def withdraw(harness, holder, tenant="lender"):
    headers = harness.holder(holder)
    (consent,) = [each for each in get(harness, headers, "consents")["consents"] if each["lender"] == tenant]
    answer = change(harness, headers, consent["id"], "withdrawal")
    assert answer.status_code == 200, answer.text
    return answer.json()


def receipt_of(shared, compact):
    return verify_consent_receipt(compact, trusted_keys=shared.service.load_trust().receipt_keys)


def open_session(shared, proof, format="jwt"):
    return shared.http.post("/v1/holder/sessions", json={"format": format, "proof": proof})


def test_a_holder_sees_own_scores_at_every_lender_and_nobody_elses(shared, holder):
    mine = [shared.score(tenant, holder) for tenant in ("one", "two", "one")]
    shared.score("one"), shared.score("two")
    headers = shared.holder(holder)
    listed = get(shared, headers, "scores")
    assert listed["next_cursor"] is None
    assert [each["id"] for each in listed["scores"]] == [score["id"] for score in reversed(mine)]
    assert [each["lender"] for each in listed["scores"]] == ["one", "two", "one"]
    for each, score in zip(listed["scores"], reversed(mine), strict=True):
        assert {name: each[name] for name in ("purpose", "request_id", "points", "band", "outcome", "reasons")} == {
            name: score[name] for name in ("purpose", "request_id", "points", "band", "outcome", "reasons")
        }
        assert (each["status"], each["valid_until"]) == ("valid", score["valid_until"])
        whole = shared.http.get(f"/v1/holder/scores/{each['id']}", headers=headers)
        assert whole.json()["credential"] == score["credential"]
        assert whole.headers["cache-control"] == "no-store"


def test_a_key_that_nobody_knows_finds_nothing_and_learns_nothing(shared, holder):
    score = shared.score(holder=holder)
    stranger = shared.holder(SigningKey.generate())
    for name in LISTS:
        assert get(shared, stranger, name)[name] == []
    (consent,) = get(shared, shared.holder(holder), "consents")["consents"]
    (receipt,) = get(shared, shared.holder(holder), "receipts")["receipts"]
    for real, made_up in (
        (f"scores/{score['id']}", f"scores/sco_{NOWHERE}"),
        (f"receipts/{receipt['id']}", f"receipts/rcp_{NOWHERE}"),
    ):
        answers = [shared.http.get(f"/v1/holder/{path}", headers=stranger) for path in (real, made_up)]
        assert answers[0].status_code == 404
        assert answers[0].content == answers[1].content
    for what in ("withdrawal", "renewal"):
        answers = [change(shared, stranger, each, what) for each in (consent["id"], f"con_{NOWHERE}")]
        assert answers[0].status_code == 404
        assert answers[0].content == answers[1].content
    assert get(shared, shared.holder(holder), "consents")["consents"] == [consent]


def test_lists_come_in_pages_newest_first(shared, holder):
    made = [shared.score(holder=holder)["id"] for _ in range(5)]
    headers = shared.holder(holder)
    for name in ("scores", "receipts", "requests"):
        seen, cursor, pages = [], None, 0
        while pages == 0 or cursor is not None:
            page = get(shared, headers, name, limit=2, **({} if cursor is None else {"cursor": cursor}))
            seen += page[name]
            cursor, pages = page["next_cursor"], pages + 1
        assert (len(seen), pages) == (5, 3)
        if name != "receipts":
            assert [each["id" if name == "scores" else "score_id"] for each in seen] == made[::-1]
        else:
            assert [receipt_of(shared, each["receipt"]).score_id for each in seen] == made[::-1]


def test_a_receipt_names_what_was_disclosed_and_what_withheld_and_no_value(shared, holder):
    score = shared.score("Savings and Loan", holder)
    (listed,) = get(shared, shared.holder(holder), "receipts")["receipts"]
    receipt = receipt_of(shared, listed["receipt"])
    assert (receipt.id, receipt.consent_id, receipt.state) == (listed["id"], listed["consent_id"], "given")
    assert (receipt.request_id, receipt.score_id) == (score["request_id"], score["id"])
    assert (receipt.controller.name, receipt.purpose, receipt.retention_days) == (
        "Savings and Loan", "credit_application", 760,
    )  # fmt: skip
    (information,) = receipt.information
    assert information.credential_type == VCT
    assert set(information.disclosed) == {"credit_line_minor", "statement_minor", "paid_minor", "delay_months"}
    assert set(information.withheld) == {"period_from", "period_to", "currency", "evidence_level"}
    assert information.unused == ()
    payload = listed["receipt"].split(".")[1]
    for value in REPAYMENTS.values():
        assert encode_base64url(json.dumps(value).encode())[:-2] not in payload
    assert receipt.withdrawal == f"http://testserver/v1/holder/consents/{receipt.consent_id}/withdrawal"


def test_a_receipt_names_what_arrived_without_being_asked_for(shared, holder):
    asked = shared.ask()
    shown = select_disclosures(shared.credential(holder), [*REPAYMENTS.keys() - {"period_from"}])
    bound = add_key_binding(shown, nonce=asked["nonce"], audience=asked["audience"], key=holder, now_ms=shared.clock())
    assert shared.submit(asked, {"history": [bound]}).status_code == 201
    (listed,) = get(shared, shared.holder(holder), "receipts")["receipts"]
    (information,) = receipt_of(shared, listed["receipt"]).information
    assert set(information.disclosed) == {"credit_line_minor", "statement_minor", "paid_minor", "delay_months"}
    assert set(information.unused) == {"period_to", "currency", "evidence_level"}
    assert information.withheld == ("period_from",)


def test_a_consent_that_any_of_the_presented_keys_withdrew_counts(shared, holder):
    names = [{"path": [name]} for name in ("credit_line_minor", "statement_minor", "paid_minor", "delay_months")]
    query = {
        "credentials": [
            {"id": name, "format": "dc+sd-jwt", "meta": {"vct_values": [VCT]}, "claims": names} for name in ("a", "b")
        ]
    }

    def present_by(request, keys):
        return {
            query_id: [
                add_key_binding(
                    # Issued at two times, or they would be one credential for two keys.
                    select_disclosures(
                        shared.credential(key, now_ms=shared.clock() - age_ms), [name["path"][0] for name in names]
                    ),
                    nonce=request["nonce"],
                    audience=request["audience"],
                    key=key,
                    now_ms=shared.clock(),
                )
            ]
            for query_id, key, age_ms in zip(("a", "b"), keys, (1000, 2000), strict=True)
        }

    shared.score("any", holder)
    other = SigningKey.generate()
    codes = []
    for _ in range(2):
        request = shared.ask("any", query=query, holder_policy="any")
        codes += [shared.submit(request, present_by(request, (other, holder)), "any").json()["code"]]
        withdraw(shared, holder, "any")
    assert codes == ["several_credentials", "consent_withdrawn"]


def test_a_receipt_says_what_its_lender_says_of_itself(shared, holder):
    tenant_id = shared.service.tenants.load_or_append_tenant("described", shared.clock())
    described = {
        "display_name": "Described Bank",
        "contact": "mailto:privacy@bank.example",
        "privacy_notice": "https://bank.example/privacy",
        "jurisdiction": "KE",
        "retention_days": 90,
    }
    shared.service.tenants.describe_tenant(tenant_id, described)
    shared.score("described", holder)
    headers = shared.holder(holder)
    (listed,) = get(shared, headers, "receipts")["receipts"]
    receipt = receipt_of(shared, listed["receipt"])
    controller = receipt.controller
    assert (controller.name, controller.contact, controller.privacy_notice, controller.jurisdiction) == (
        "Described Bank", "mailto:privacy@bank.example", "https://bank.example/privacy", "KE",
    )  # fmt: skip
    assert receipt.retention_days == 90
    assert get(shared, headers, "scores")["scores"][0]["lender"] == "Described Bank"


def test_the_log_commits_to_the_receipt_and_the_score_document_still_verifies(shared, holder):
    score = shared.score(holder=holder)
    headers = shared.holder(holder)
    (listed,) = get(shared, headers, "receipts")["receipts"]
    path = f"/v1/holder/receipts/{listed['id']}"
    early = shared.http.get(path, headers=headers).content
    shared.publish()
    document = shared.http.get(path, headers=headers).content
    trust = shared.service.load_trust()
    verified = verify_receipt_document(document, trust)
    assert verified.index == score["log"]["index"] == listed["log_index"]
    assert verified.sha256 == hashlib.sha256(listed["receipt"].encode()).hexdigest()
    if json.loads(early)["log"]["checkpoint"] is None:
        with pytest.raises(NotYetLogged):
            verify_receipt_document(early, trust)
    whole = shared.http.get(f"/v1/holder/scores/{score['id']}", headers=headers).content
    of_score = verify_document(whole, trust)
    verify_receipt_of_score(verified, of_score)
    other = shared.score()
    shared.publish()
    another = verify_document(shared.http.get(f"/v1/scores/{other['id']}", headers=shared.token()).content, trust)
    with pytest.raises(DocumentNotVerified):
        verify_receipt_of_score(verified, another)


def test_a_receipt_document_with_anything_exchanged_is_not_verified(shared, holder):
    first, second = shared.score(holder=holder), shared.score(holder=holder)
    withdraw(shared, holder)
    shared.publish()
    headers = shared.holder(holder)
    listed = get(shared, headers, "receipts")["receipts"]
    documents = [shared.http.get(f"/v1/holder/receipts/{each['id']}", headers=headers).json() for each in listed]
    trust = shared.service.load_trust()
    states = [verify_receipt_document(json.dumps(each).encode(), trust).receipt.state for each in documents]
    assert states == ["withdrawn", "given", "given"]
    assert first["id"] != second["id"]
    for one in documents:
        for other in documents:
            if one is not other:
                with pytest.raises(DocumentNotVerified):
                    verify_receipt_document(json.dumps({**one, "receipt": other["receipt"]}).encode(), trust)
    with pytest.raises(DocumentNotVerified):
        verify_receipt_document(json.dumps(documents[0]).encode(), replace(trust, receipt_keys=trust.seal_keys))
    with pytest.raises(DocumentNotVerified):
        verify_receipt_document(json.dumps(documents[0]).encode(), replace(trust, log_keys=()))
    for malformed in (b"{}", b"[", b'{"v":1,"receipt":"a.b.c","log":null}', b'{"v":2,"receipt":"a","log":{}}',
                      b" " * 300_000, json.dumps({**documents[0], "more": 1}).encode()):  # fmt: skip
        with pytest.raises(MalformedDocument):
            verify_receipt_document(malformed, trust)


def test_a_withdrawn_consent_stops_every_further_score_for_its_purpose_until_it_is_given_again(shared, holder):
    asked = shared.ask("wd")
    presented = shared.vp_token(asked, holder)
    assert shared.submit(asked, presented, "wd", Idempotency_Key="wd-1").status_code == 201
    changed = withdraw(shared, holder, "wd")
    assert (changed["consent"]["state"], receipt_of(shared, changed["receipt"]).state) == ("withdrawn", "withdrawn")

    def refused(answer):
        assert (answer.status_code, answer.json()["code"]) == (403, "consent_withdrawn"), answer.text
        assert "www-authenticate" not in answer.headers  # no other token would do
        return True

    # The very presentation that was scored, with its Idempotency-Key and without; by the lender and by the wallet.
    assert refused(shared.submit(asked, presented, "wd"))
    assert refused(shared.submit(asked, presented, "wd", Idempotency_Key="wd-1"))
    assert refused(shared.submit(asked, presented, "wd", Idempotency_Key="wd-2"))
    assert refused(shared.post_response(asked, presented))
    again = shared.ask("wd")
    assert refused(shared.submit(again, shared.vp_token(again, holder), "wd"))
    assert refused(shared.post_response(again, shared.vp_token(again, holder)))
    polled = shared.poll(again, "wd")
    assert (polled["score_id"], polled["refusals"], polled["last_refusal"]) == (None, 2, "consent_withdrawn")
    # Another purpose, another lender and another person are other consents.
    review = shared.ask("wd", purpose="credit_review")
    assert shared.submit(review, shared.vp_token(review, holder), "wd").status_code == 201
    shared.score("wd2", holder)
    shared.score("wd")

    headers = shared.holder(holder)
    renewed = change(shared, headers, changed["consent"]["id"], "renewal")
    assert (renewed.status_code, renewed.json()["consent"]["state"]) == (200, "given")
    assert receipt_of(shared, renewed.json()["receipt"]).state == "given"
    assert shared.submit(again, shared.vp_token(again, holder), "wd").status_code == 201
    assert shared.submit(asked, presented, "wd", Idempotency_Key="wd-1").status_code == 201
    told = [each for each in shared.entries("wd") if each["type"].startswith("consent")]
    assert [(each["type"], each["score"]) for each in told] == [("consent_withdrawn", None), ("consent_renewed", None)]
    for each, receipt in zip(told, (changed["receipt"], renewed.json()["receipt"]), strict=True):
        assert json.loads(each["entry"])["body"] == {
            "consent_id": changed["consent"]["id"],
            "receipt_sha256": hashlib.sha256(receipt.encode()).hexdigest(),
        }
        assert each["receipt"] == receipt


def test_withdrawing_again_changes_nothing(shared, holder):
    shared.score("again", holder)
    first = withdraw(shared, holder, "again")
    assert withdraw(shared, holder, "again") == first
    headers = shared.holder(holder)
    assert [each["type"] for each in shared.entries("again")] == ["score", "consent_withdrawn"]
    renewed = change(shared, headers, first["consent"]["id"], "renewal").json()
    assert change(shared, headers, first["consent"]["id"], "renewal").json() == renewed
    assert len(get(shared, headers, "receipts")["receipts"]) == 3


def test_twenty_concurrent_withdrawals_are_one(shared, holder):
    shared.score("crowd", holder)
    headers = shared.holder(holder)
    (consent,) = get(shared, headers, "consents")["consents"]
    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(lambda _: change(shared, headers, consent["id"], "withdrawal"), range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["receipt"] for answer in answers}) == 1
    assert [each["type"] for each in shared.entries("crowd")] == ["score", "consent_withdrawn"]


def test_a_withdrawal_while_a_score_is_in_flight_is_decided_where_the_log_is_written(shared, holder, monkeypatch):
    """The presentation passed every look at the consent; then it was withdrawn; then the score came to be stored."""
    shared.score("race", holder)
    sequencer = shared.service.rooms.sequencer
    append, withdrawn = sequencer.append, []

    def append_late(item):
        if isinstance(item, AppendScore) and not withdrawn:
            withdrawn.append(withdraw(shared, holder, "race"))
        return append(item)

    asked = shared.ask("race")
    monkeypatch.setattr(sequencer, "append", append_late)
    refused = shared.submit(asked, shared.vp_token(asked, holder), "race")
    monkeypatch.undo()
    assert withdrawn
    assert (refused.status_code, refused.json()["code"]) == (403, "consent_withdrawn")
    assert [each["type"] for each in shared.entries("race")] == ["score", "consent_withdrawn", "refusal"]
    assert shared.poll(asked, "race")["last_refusal"] == "consent_withdrawn"


def test_a_score_that_came_first_stands(shared, holder, monkeypatch):
    shared.score("race2", holder)
    sequencer = shared.service.rooms.sequencer
    append = sequencer.append
    asked = shared.ask("race2")
    presented = shared.vp_token(asked, holder)

    def append_late(item):
        if isinstance(item, AppendConsentChange):
            assert shared.submit(asked, presented, "race2").status_code == 201
        return append(item)

    monkeypatch.setattr(sequencer, "append", append_late)
    withdraw(shared, holder, "race2")
    monkeypatch.undo()
    assert [each["type"] for each in shared.entries("race2")] == ["score", "score", "consent_withdrawn"]


def test_a_holder_sees_who_asked_and_what_became_of_the_answers(shared, holder):
    score = shared.score("asker", holder)
    withdraw(shared, holder, "asker")
    refused = shared.ask("asker", purpose="credit_application")
    shared.submit(refused, shared.vp_token(refused, holder), "asker")
    # One that never proved a key is nobody's.
    unproven = shared.ask("asker")
    shared.submit(unproven, {"history": ["x~"]}, "asker")
    listed = get(shared, shared.holder(holder), "requests")["requests"]
    assert [(each["outcome"], each["request_id"], each["refusal"], each["score_id"]) for each in listed] == [
        ("refused", refused["id"], "consent_withdrawn", None),
        ("accepted", score["request_id"], None, score["id"]),
    ]
    assert {each["lender"] for each in listed} == {"asker"}
    assert {each["purpose"] for each in listed} == {"credit_application"}


def test_a_score_credential_proves_its_holders_key(shared, holder, nonce):
    score = shared.score(holder=holder)
    shown = select_disclosures(score["credential"], [])
    bound = add_key_binding(shown, nonce=nonce, audience=shared.service.base_url, key=holder, now_ms=shared.clock())
    answer = open_session(shared, bound, "dc+sd-jwt")
    assert (answer.status_code, answer.json()["scope"], answer.json()["expires_in"]) == (201, "holder", 600)
    headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    assert [each["id"] for each in get(shared, headers, "scores")["scores"]] == [score["id"]]
    spent = open_session(shared, bound, "dc+sd-jwt")
    assert (spent.status_code, spent.json()["code"]) == (409, "nonce_spent")


def test_a_proof_that_does_not_hold_opens_nothing(shared, holder, nonce):
    now_s = shared.clock() // 1000
    claims = {"iss": holder.did, "aud": shared.service.base_url, "nonce": nonce, "iat": now_s}

    def signed(changes=(), typ=HOLDER_PROOF_TYP, key=holder, kid=holder.kid):
        return sign_jws({"typ": typ, "kid": kid}, encode_json(claims | dict(changes)), key)

    none = encode_base64url(encode_json({"alg": "none", "typ": HOLDER_PROOF_TYP}))
    other = SigningKey.generate()
    score = shared.score(holder=holder)
    theirs = add_key_binding(
        score["credential"], nonce=nonce, audience=shared.service.base_url, key=other, now_ms=shared.clock()
    )
    elsewhere = add_key_binding(
        score["credential"], nonce=nonce, audience="https://another.example", key=holder, now_ms=shared.clock()
    )
    request_id = shared.ask()["id"]
    of_request = shared.service.requests.load_request(request_id, tenant_id=None, now_ms=shared.clock()).request.nonce
    for format, proof, status, code in (
        ("jwt", signed({"aud": "https://another.example"}), 422, "audience_mismatch"),
        ("jwt", signed({"iat": now_s - 301}), 422, "holder_proof_stale"),
        ("jwt", signed({"iat": now_s + 61}), 422, "issued_in_future"),
        ("jwt", signed({"nonce": "x"}), 422, "nonce_invalid"),
        ("jwt", signed({"nonce": of_request}), 422, "nonce_invalid"),
        ("jwt", signed(typ="kb+jwt"), 422, "wrong_typ"),
        ("jwt", signed(key=other), 422, "bad_signature"),
        ("jwt", signed(key=other, kid=other.kid), 422, "issuer_key_mismatch"),
        ("jwt", f"{none}.{signed().split('.')[1]}.", 422, "alg_not_allowed"),
        ("jwt", "x", 400, "bad_jws"),
        ("jwt", score["credential"], 413, "too_large"),
        ("dc+sd-jwt", score["credential"], 422, "key_binding_missing"),
        ("dc+sd-jwt", theirs, 422, "bad_signature"),
        ("dc+sd-jwt", elsewhere, 422, "audience_mismatch"),
        ("dc+sd-jwt", signed(), 422, None),
    ):
        answer = open_session(shared, proof, format)
        assert answer.status_code in (status, 400, 422), answer.text
        assert "access_token" not in answer.json()
        if code is not None and (status, code) != (413, "too_large"):
            assert (answer.status_code, answer.json()["code"]) == (status, code), (code, answer.text)
    # None of them used the nonce up; once used, it is.
    assert open_session(shared, signed()).status_code == 201
    answer = open_session(shared, signed())
    assert (answer.status_code, answer.json()["code"]) == (409, "nonce_spent")


def test_only_a_holders_token_opens_what_is_a_holders_and_nothing_else(shared, holder):
    shared.score(holder=holder)
    held = shared.holder(holder)
    lender = shared.token(scopes=("lender", "compliance", "operator", "metrics"))
    for headers in ({}, lender, {"Authorization": "Bearer x"}, {"Authorization": "Basic YTpi"}):
        for path in READS:
            refused = shared.http.get(path, headers=headers)
            assert (refused.status_code, refused.json()["code"]) == (401, "invalid_token"), path
        for path in CHANGES:
            refused = shared.http.post(path, headers=headers)
            assert (refused.status_code, refused.json()["code"]) == (401, "invalid_token"), path
    for method, path in (
        ("GET", "/v1/issuers"),
        ("GET", "/v1/audit/entries"),
        ("GET", "/v1/metrics"),
        ("GET", f"/v1/scores/sco_{NOWHERE}"),
        ("GET", f"/v1/presentation-requests/req_{NOWHERE}"),
        ("POST", "/v1/scores"),
        ("POST", "/v1/presentation-requests"),
    ):
        refused = shared.http.request(method, path, headers=held, **({"json": {}} if method == "POST" else {}))
        assert (refused.status_code, refused.json()["code"]) == (401, "invalid_token"), path


def test_a_nonce_and_a_session_end(harness, holder):
    nonce = harness.http.post("/v1/holder/nonce").json()
    headers = harness.holder(holder)
    harness.clock.now_ms += nonce["expires_in"] * 1000
    proof = sign_holder_proof(
        audience=harness.service.base_url, nonce=nonce["nonce"], key=holder, now_ms=harness.clock()
    )
    answer = open_session(harness, proof)
    assert (answer.status_code, answer.json()["code"]) == (422, "nonce_invalid")
    harness.clock.now_ms += 299_999
    assert harness.http.get("/v1/holder/scores", headers=headers).status_code == 200
    harness.clock.now_ms += 1
    refused = harness.http.get("/v1/holder/scores", headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (401, "invalid_token")


def test_a_holder_sees_that_a_payload_was_erased_and_that_the_leaf_stays(harness, holder):
    harness.settle()
    score = harness.score(holder=holder)
    headers = harness.holder(holder)
    (receipt,) = get(harness, headers, "receipts")["receipts"]
    subjects = harness.service.rooms.subjects
    with write_transaction(subjects._keystore) as transaction:
        transaction.execute(delete(tables.subject_keys).where(tables.subject_keys.c.subject_id != ""))
    (listed,) = get(harness, headers, "scores")["scores"]
    assert (listed["id"], listed["points"], listed["reasons"], listed["outcome"]) == (score["id"], None, None, None)
    (kept,) = get(harness, headers, "receipts")["receipts"]
    assert (kept["id"], kept["receipt"]) == (receipt["id"], None)
    (asked,) = get(harness, headers, "requests")["requests"]
    assert (asked["outcome"], asked["request_id"], asked["purpose"]) == ("accepted", None, None)
    for path in (f"scores/{score['id']}", f"receipts/{receipt['id']}"):
        gone = harness.http.get(f"/v1/holder/{path}", headers=headers)
        assert (gone.status_code, gone.json()["code"]) == (410, "payload_erased")
    assert get(harness, headers, "consents")["consents"][0]["state"] == "given"


def test_a_score_that_was_taken_back_shows_it(shared, holder):
    shared.score(holder=holder)
    headers = shared.holder(holder)
    engine = shared.service.scores._engine
    (score,) = get(shared, headers, "scores")["scores"]
    with write_transaction(engine) as transaction:
        row = transaction.execute(select(tables.scores).where(tables.scores.c.id == score["id"])).one()
    for status, word in ((1, "revoked"), (2, "suspended"), (0, "valid")):
        with write_transaction(engine) as transaction:
            transaction.execute(
                tables.status_indices.update()
                .where(
                    tables.status_indices.c.list_id == row.status_list_id,
                    tables.status_indices.c.list_index == row.status_index,
                )
                .values(status=status)
            )
        assert get(shared, headers, "scores")["scores"][0]["status"] == word


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_withdrawal_that_fails_anywhere_leaves_all_or_nothing(harness, holder, when):
    """Killed at any statement of its transaction, it is withdrawn with its entry and receipt, or not at all."""
    harness.settle()
    harness.score(holder=holder)
    headers = harness.holder(holder)
    (consent,) = get(harness, headers, "consents")["consents"]
    engine = harness.service.health._engine

    def run(fail_at):
        seen = []

        def on_statement(*arguments):
            if threading.current_thread().name == "sequencer":
                seen.append(1)
                if len(seen) == fail_at + 1:
                    raise RuntimeError("killed here")

        event.listen(engine, f"{when}_cursor_execute", on_statement)
        try:
            return change(harness, headers, consent["id"], "withdrawal"), len(seen)
        finally:
            event.remove(engine, f"{when}_cursor_execute", on_statement)

    statements, failures = 0, 0
    while True:
        answer, seen = run(statements)
        if answer.status_code == 200:
            break
        assert answer.status_code == 500
        failures += 1
        assert get(harness, headers, "consents")["consents"] == [consent]
        assert len(get(harness, headers, "receipts")["receipts"]) == 1
        assert [each["type"] for each in harness.entries()] == ["score"]
        statements += 1
    assert failures == seen >= 8
    assert [each["type"] for each in harness.entries()] == ["score", "consent_withdrawn"]
    assert len(get(harness, headers, "receipts")["receipts"]) == 2


def test_a_holder_is_known_by_no_identifier_across_lenders(shared, holder):
    for tenant in ("x1", "x2"):
        shared.score(tenant, holder)
    receipts = get(shared, shared.holder(holder), "receipts")["receipts"]
    read = [receipt_of(shared, each["receipt"]) for each in receipts]
    assert len({each.principal_id for each in read}) == len({each.consent_id for each in read}) == 2
    assert len({each.controller.id for each in read}) == 2
    with write_transaction(shared.service.scores._engine) as transaction:
        rows = transaction.execute(
            select(tables.subjects).where(tables.subjects.c.id.in_([each.principal_id for each in read]))
        ).all()
    assert len({row.holder_mac for row in rows}) == 2
