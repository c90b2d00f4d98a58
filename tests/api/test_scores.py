"""The way of one score over HTTP, on every database."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from identity.holder import add_key_binding
from identity.keys import SigningKey
from identity.sd_jwt import issuer_jwt_of, select_disclosures
from identity.trust import TrustedIssuer
from scoring.features import ClaimSet, extract_features

VCT = "urn:credence:repayment-history:1"
CLAIMS = ["credit_line_minor", "statement_minor", "paid_minor", "delay_months"]


@pytest.fixture
def holder():
    return SigningKey.generate()


def test_a_presentation_becomes_a_durable_score(shared, holder):
    request = shared.ask()
    answer = shared.submit(request, shared.vp_token(request, holder))
    assert answer.status_code == 201
    score = answer.json()
    assert answer.headers["location"] == f"/v1/scores/{score['id']}"
    assert score["outcome"] == "scored"
    assert 300 <= score["points"] <= 850
    assert 1 <= len(score["reasons"]) <= 4
    assert score["anchor"] is None
    assert score["test_mode"] is True

    poll = shared.poll(request)
    assert (poll["status"], poll["score_id"], poll["refusals"]) == ("submitted", score["id"], 0)
    read = shared.http.get(answer.headers["location"], headers=shared.token())
    assert read.status_code == 200
    # No checkpoint covers it yet; nothing else may differ.
    changing = ("log", "seal")
    assert [{n: v for n, v in each.items() if n not in changing} for each in (read.json(), score)] == [
        {n: v for n, v in score.items() if n not in changing}
    ] * 2


def test_the_points_are_those_that_the_scorecard_gives_the_same_claims(shared, holder, model):
    claims = {
        "period_from": "2026-04-01",
        "period_to": "2026-09-30",
        "currency": "TWD",
        "evidence_level": "system_of_record",
        "credit_line_minor": 500_000_00,
        "statement_minor": [100_00 * n for n in range(6)],
        "paid_minor": [90_00 * n for n in range(6)],
        "delay_months": [0, 0, 1, 2, -1, -1],
    }
    request = shared.ask()
    score = shared.submit(request, shared.vp_token(request, holder, shared.credential(holder, claims))).json()
    scorecard = shared.service.rooms.artifact.scorecard
    shown = {name: claims[name] for name in CLAIMS}
    issued_at_ms = shared.clock() - 86_400_000
    features = extract_features(
        scorecard.schema, {VCT: [ClaimSet(issued_at_ms=issued_at_ms, claims=shown)]}, shared.clock()
    )
    expected = scorecard.score(features)
    assert (score["points"], score["pd_ppm"], score["band"]) == (expected.points, expected.pd_ppm, expected.band)
    assert [reason["code"] for reason in score["reasons"]] == [reason.code for reason in expected.reasons]
    assert score["interval"] == {**vars(expected.interval), "level_ppm": 900_000}
    assert score["interval"]["low_points"] < score["points"] < score["interval"]["high_points"]


def test_a_wallet_answers_by_direct_post_and_learns_nothing(shared, holder):
    request = shared.ask()
    assert shared.poll(request)["status"] == "requested"
    vp_token = shared.vp_token(request, holder)
    assert shared.poll(request)["status"] == "retrieved"
    answer = shared.post_response(request, vp_token)
    assert (answer.status_code, answer.json()) == (200, {})
    poll = shared.poll(request)
    assert poll["status"] == "submitted"
    score = shared.http.get(f"/v1/scores/{poll['score_id']}", headers=shared.token()).json()
    assert (score["outcome"], score["request_id"]) == ("scored", request["id"])


def test_the_same_presentation_again_gets_the_same_score(shared, holder):
    request = shared.ask()
    vp_token = shared.vp_token(request, holder)
    first = shared.submit(request, vp_token)
    again = shared.submit(request, vp_token)
    assert (again.status_code, again.headers["location"]) == (201, first.headers["location"])
    assert again.json()["credential"] == first.json()["credential"]
    # The way in does not matter, nor how the JSON around it is written.
    assert shared.post_response(request, vp_token).status_code == 200
    spaced = json.dumps({"vp_token": vp_token, "request_id": request["id"]}, indent=3)
    headers = shared.token() | {"Content-Type": "application/json"}
    assert shared.http.post("/v1/scores", content=spaced, headers=headers).json()["id"] == first.json()["id"]
    entries = [e for e in shared.entries(limit=200) if request["id"] in e["entry"]]
    assert [entry["type"] for entry in entries] == ["score"]


def test_the_same_presentation_again_is_answered_when_all_has_expired(harness, holder):
    request = harness.ask()
    vp_token = harness.vp_token(request, holder)
    first = harness.submit(request, vp_token).json()
    harness.clock.now_ms += 90 * 86_400_000
    harness.tokens.clear()
    assert harness.submit(request, vp_token).json()["id"] == first["id"]
    assert harness.submit(request, {"history": ["x~"]}).status_code == 409


def test_another_presentation_under_a_used_nonce_is_refused(shared, holder):
    """Input 33 of the list of inputs to refuse."""
    request = shared.ask()
    vp_token = shared.vp_token(request, holder)
    # Of the same credential, by the same holder, under the same nonce: only the signature is another.
    other = shared.vp_token(request, holder)
    assert other != vp_token
    assert shared.submit(request, vp_token).status_code == 201
    for refused in (shared.submit(request, other), shared.post_response(request, other)):
        assert (refused.status_code, refused.json()["code"]) == (409, "nonce_used")
        assert refused.headers["content-type"] == "application/problem+json"
    poll = shared.poll(request)
    assert (poll["refusals"], poll["last_refusal"]) == (0, None)
    late = shared.http.get(f"/v1/presentation-requests/{request['id']}/object")
    assert (late.status_code, late.json()["code"]) == (409, "nonce_used")


@pytest.mark.parametrize("identical", [True, False])
def test_twenty_concurrent_presentations_make_one_score(shared, holder, identical):
    request = shared.ask()
    tokens = [shared.vp_token(request, holder)] * 20
    if not identical:
        tokens = [shared.vp_token(request, holder) for _ in range(20)]
    shared.token()
    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(lambda vp_token: shared.submit(request, vp_token), tokens))
    taken = [answer for answer in answers if answer.status_code == 201]
    assert len({answer.json()["id"] for answer in taken}) == 1
    assert len(taken) == (20 if identical else 1)
    assert all(answer.json()["code"] == "nonce_used" for answer in answers if answer.status_code != 201)
    entries = [entry for entry in shared.entries(limit=200) if request["id"] in entry["entry"]]
    assert [entry["type"] for entry in entries] == ["score"]


def test_an_unscorable_applicant_is_a_result_with_reasons(shared, holder):
    request = shared.ask(
        query={
            "credentials": [
                {
                    "id": "history",
                    "format": "dc+sd-jwt",
                    "meta": {"vct_values": [VCT]},
                    "claims": [{"path": ["currency"]}],
                }
            ]
        }
    )
    answer = shared.submit(request, shared.vp_token(request, holder))
    assert answer.status_code == 201
    score = answer.json()
    assert (score["outcome"], score["points"], score["pd_ppm"], score["band"]) == ("unscorable", None, None, None)
    assert 1 <= len(score["reasons"]) <= 4
    assert all(reason["code"] and reason["text"] for reason in score["reasons"])
    assert score["coverage"]["features_present"] < score["coverage"]["features_total"]
    shared.publish()


def alter(vp_token, change):
    return {name: [change(each) for each in presented] for name, presented in vp_token.items()}


def test_each_refusal_is_an_entry_without_what_was_submitted_and_five_are_kept(shared, holder):
    request = shared.ask()
    vp_token = shared.vp_token(request, holder)
    unsigned = alter(vp_token, lambda each: each[:-4] + ("AAAA" if each[-4:] != "AAAA" else "BBBB"))
    for count in range(1, 8):
        refused = shared.submit(request, unsigned) if count % 2 else shared.post_response(request, unsigned)
        assert refused.status_code == 422, refused.text
        poll = shared.poll(request)
        assert poll["refusals"] == min(count, 5)
        assert poll["last_refusal"] == refused.json()["code"]
    entries = [entry for entry in shared.entries(limit=200) if request["id"] in entry["entry"]]
    assert [entry["type"] for entry in entries] == ["refusal"] * 5
    for entry in entries:
        body = json.loads(entry["entry"])["body"]
        assert body == {"request_id": request["id"], "code": refused.json()["code"], "step": "proof"}
        assert entry["score"] is None
    # It was the presentation that was wrong, not the request: it can still be answered.
    assert shared.submit(request, vp_token).status_code == 201


def test_a_refusal_beyond_those_that_are_kept_does_not_ask_the_one_writer(shared, holder, monkeypatch):
    request = shared.ask()
    misnamed = {"another": shared.vp_token(request, holder)["history"]}
    asked = []
    append = shared.service.rooms.sequencer.append
    monkeypatch.setattr(shared.service.rooms.sequencer, "append", lambda item: asked.append(item) or append(item))
    assert {shared.submit(request, misnamed).json()["code"] for _ in range(8)} == {"unknown_query_id"}
    assert len(asked) == shared.poll(request)["refusals"] == 5


def test_a_refused_presentation_says_which_rule_it_breaks(shared, holder):
    def other_nonce(request):
        return add_key_binding(
            select_disclosures(shared.credential(holder), CLAIMS),
            nonce="another nonce",
            audience=request["audience"],
            key=holder,
            now_ms=shared.clock(),
        )

    def other_audience(request):
        return add_key_binding(
            select_disclosures(shared.credential(holder), CLAIMS),
            nonce=request["nonce"],
            audience="decentralized_identifier:did:jwk:another",
            key=holder,
            now_ms=shared.clock(),
        )

    def stale(request):
        return add_key_binding(
            select_disclosures(shared.credential(holder), CLAIMS),
            nonce=request["nonce"],
            audience=request["audience"],
            key=holder,
            now_ms=shared.clock() - 301_000,
        )

    def without_key_binding(request):
        return select_disclosures(shared.credential(holder), CLAIMS)

    def expired(request):
        old = shared.credential(holder, expires_at_ms=shared.clock() - 61_000)
        return add_key_binding(
            select_disclosures(old, CLAIMS),
            nonce=request["nonce"],
            audience=request["audience"],
            key=holder,
            now_ms=shared.clock(),
        )

    def by_a_stranger(request):
        strange = shared.credential(holder, key=SigningKey.generate())
        return shared.vp_token(request, holder, strange)["history"][0]

    def showing_too_little(request):
        return add_key_binding(
            select_disclosures(shared.credential(holder), CLAIMS[:1]),
            nonce=request["nonce"],
            audience=request["audience"],
            key=holder,
            now_ms=shared.clock(),
        )

    expected = {
        other_nonce: "nonce_mismatch",
        other_audience: "client_id_mismatch",
        stale: "kb_stale",
        without_key_binding: "key_binding_missing",
        expired: "expired",
        by_a_stranger: "issuer_not_trusted",
        showing_too_little: "claim_missing",
    }
    for make, code in expected.items():
        request = shared.ask()
        refused = shared.submit(request, {"history": [make(request)]})
        assert (refused.status_code, refused.json()["code"]) == (422, code), make.__name__
        assert refused.json()["type"] == f"urn:credence:problem:{code}"
        assert shared.poll(request)["last_refusal"] == code


@pytest.mark.parametrize(
    ("vp_token", "code"),
    [
        ({"history": ["not a credential"]}, "bad_jws"),
        ({"history": ["a.b.c~"]}, "key_binding_missing"),
        ({"history": ["a.b.c~d.e.f"]}, "bad_base64"),
        ({"another": ["a.b.c~"]}, "unknown_query_id"),
        ({"history": ["a~", "b~"]}, "too_many_presentations"),
    ],
)
def test_what_is_no_presentation_at_all_is_refused(shared, vp_token, code):
    request = shared.ask()
    refused = shared.submit(request, vp_token)
    assert refused.status_code in (400, 422), refused.text
    assert refused.json()["code"] == code
    assert shared.poll(request)["last_refusal"] == refused.json()["code"]


def test_an_expired_request_takes_no_presentation_and_no_entry(harness, holder):
    request = harness.ask(expires_in_s=60)
    vp_token = harness.vp_token(request, holder)
    harness.clock.now_ms += 60_000
    for refused in (
        harness.submit(request, vp_token),
        harness.post_response(request, vp_token),
        harness.http.get(f"/v1/presentation-requests/{request['id']}/object"),
    ):
        assert (refused.status_code, refused.json()["code"]) == (409, "request_expired")
    assert harness.poll(request)["status"] == "expired"
    harness.post_response(request, None, error="access_denied")
    assert harness.entries() == []


def test_credentials_of_several_holders_are_refused_unless_the_request_allows_them(shared):
    names = [{"path": [name]} for name in CLAIMS]
    query = {
        "credentials": [
            {"id": name, "format": "dc+sd-jwt", "meta": {"vct_values": [VCT]}, "claims": names} for name in ("a", "b")
        ]
    }

    def present_by_two(request):
        presented = {}
        for query_id, age_ms in (("a", 1000), ("b", 2000)):  # of one time they would be one credential for two keys
            holder = SigningKey.generate()
            presented[query_id] = [
                add_key_binding(
                    select_disclosures(shared.credential(holder, now_ms=shared.clock() - age_ms), CLAIMS),
                    nonce=request["nonce"],
                    audience=request["audience"],
                    key=holder,
                    now_ms=shared.clock(),
                )
            ]
        return presented

    refused = shared.submit(request := shared.ask(query=query), present_by_two(request))
    assert (refused.status_code, refused.json()["code"]) == (422, "holder_mismatch")
    taken = shared.submit(request := shared.ask(query=query, holder_policy="any"), present_by_two(request))
    # The policy lets it through; that the model reads only one history is another rule.
    assert taken.json().get("code") != "holder_mismatch"


def test_an_idempotency_key_repeats_the_answer_and_refuses_another_body(shared, holder):
    request, other = shared.ask(), shared.ask()
    vp_token = shared.vp_token(request, holder)
    first = shared.submit(request, vp_token, Idempotency_Key="key-1")
    again = shared.submit(request, vp_token, Idempotency_Key="key-1")
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json()["id"] == again.json()["id"]
    refused = shared.submit(other, shared.vp_token(other, holder), Idempotency_Key="key-1")
    assert (refused.status_code, refused.json()["code"]) == (409, "idempotency_key_reused")
    assert shared.poll(other)["status"] == "retrieved"
    # The key of one operation is not free for another, and that of one tenant is for another.
    body = {"purpose": "credit_review", "query": request["query"]}
    headers = shared.token() | {"Idempotency-Key": "key-1"}
    refused = shared.http.post("/v1/presentation-requests", json=body, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (409, "idempotency_key_reused")
    theirs = shared.ask("another")
    taken = shared.submit(theirs, shared.vp_token(theirs, holder), "another", Idempotency_Key="key-1")
    assert taken.status_code == 201


def test_a_refused_presentation_does_not_use_up_its_idempotency_key(shared, holder):
    request = shared.ask()
    assert shared.submit(request, {"history": ["x~"]}, Idempotency_Key="once").status_code in (400, 422)
    vp_token = shared.vp_token(request, holder)
    assert shared.submit(request, vp_token, Idempotency_Key="once").status_code == 201


def test_concurrent_posts_under_one_idempotency_key_make_one_score(shared, holder):
    request = shared.ask()
    vp_token = shared.vp_token(request, holder)
    shared.token()
    with ThreadPoolExecutor(10) as threads:
        posts = [threads.submit(shared.submit, request, vp_token, Idempotency_Key="at-once") for _ in range(10)]
        answers = [post.result() for post in posts]
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1


@pytest.mark.parametrize("key", ["", " ", "a b", "k" * 256, "schl\u00fcssel"])
def test_a_malformed_idempotency_key_is_refused(shared, key):
    headers = shared.token() | {"Idempotency-Key": key.encode("latin-1")}
    body = {"request_id": "req_" + "0" * 32, "vp_token": {"a": ["b"]}}
    refused = shared.http.post("/v1/scores", json=body, headers=headers)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "Idempotency-Key")


def test_the_score_credential_can_be_shown_in_part_and_keeps_its_entry(shared, holder):
    score = shared.score(holder=holder)
    (entry,) = [each for each in shared.entries(limit=200) if score["id"] in each["entry"]]
    shown = select_disclosures(score["credential"], ["band"])
    assert len(shown) < len(score["credential"])
    digest = hashlib.sha256(issuer_jwt_of(shown).encode()).hexdigest()
    assert json.loads(entry["entry"])["body"]["jwt_sha256"] == digest


def test_two_credentials_of_one_kind_that_the_model_reads_once_are_refused_by_name(shared, holder):
    names = [{"path": [name]} for name in CLAIMS]
    query = {
        "credentials": [
            {"id": "a", "format": "dc+sd-jwt", "meta": {"vct_values": [VCT]}, "claims": names, "multiple": True}
        ]
    }
    request = shared.ask(query=query)
    vp_token = shared.vp_token(request, holder, shared.credential(holder), shared.credential(holder))
    assert len(vp_token["a"]) == 2
    refused = shared.submit(request, vp_token)
    assert refused.status_code == 422
    assert shared.poll(request)["last_refusal"] == refused.json()["code"]


def test_a_credential_of_another_type_than_its_issuer_is_trusted_for_is_refused(shared, holder):
    issuer = SigningKey.generate()
    tenant_id = shared.service.tenants.load_or_append_tenant("lender", shared.clock())
    shared.trust(tenant_id, TrustedIssuer(did=issuer.did, vct="urn:credence:airtime:1", valid_from_ms=0))
    request = shared.ask()
    refused = shared.submit(request, shared.vp_token(request, holder, shared.credential(holder, key=issuer)))
    assert refused.json()["code"] == "issuer_not_trusted"


def test_what_is_a_tenants_is_kept_by_no_cache(shared):
    score = shared.score()
    shared.publish()
    officer = shared.token(scopes=("compliance",))
    for path, headers, kept in (
        (f"/v1/scores/{score['id']}", shared.token(), "no-store"),
        (f"/v1/presentation-requests/{score['request_id']}", shared.token(), "no-store"),
        ("/v1/audit/entries", officer, "no-store"),
        ("/v1/scores/unknown", shared.token(), "no-store"),
        ("/v1/log/checkpoint", {}, "no-cache"),
    ):
        assert shared.http.get(path, headers=headers).headers.get_list("cache-control") == [kept], path


def test_a_presentation_that_is_an_object_is_read_strictly_and_refused_where_text_was_asked(shared):
    request = shared.ask()
    for presentation, status, code in (
        ({"@context": ["https://www.w3.org/ns/credentials/v2"]}, 422, "presentation_format_mismatch"),
        ({"n": 2**53}, 400, "json_number"),
        ({}, 422, "invalid_request"),
        ([], 422, "invalid_request"),
        (1, 422, "invalid_request"),
    ):
        refused = shared.submit(request, {"history": [presentation]})
        assert (refused.status_code, refused.json()["code"]) == (status, code)
    posted = shared.post_response(request, {"history": [{"@context": []}]})
    assert (posted.status_code, posted.json()["code"]) == (422, "presentation_format_mismatch")
