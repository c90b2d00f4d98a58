"""Presentation requests over HTTP: what a lender may ask, and what is refused before anybody looks at it."""

import json
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlsplit

import pytest

from identity.encoding import parse_json_object
from identity.jws import parse_jws
from identity.keys import SigningKey

VCT = "urn:credence:repayment-history:1"
CREDENTIAL_A = {"id": "a", "format": "dc+sd-jwt", "meta": {"vct_values": [VCT]}, "claims": [{"path": ["currency"]}]}
QUERY = {"credentials": [CREDENTIAL_A]}
BODY = {"purpose": "credit_review", "query": QUERY}
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
def holder():
    return SigningKey.generate()


def test_a_request_says_who_asks_what_and_until_when(shared):
    made = shared.ask(expires_in_s=120)
    assert made["status"] == "requested"
    assert made["response_uri"] == f"http://testserver/v1/presentation-requests/{made['id']}/response"
    link = urlsplit(made["request_link"])
    assert link.scheme == "openid4vp"
    assert parse_qs(link.query) == {"client_id": [made["audience"]], "request_uri": [made["request_uri"]]}
    served = shared.http.get(made["request_uri"])
    assert served.headers["content-type"] == "application/oauth-authz-req+jwt"
    assert served.headers["cache-control"] == "no-store"
    payload = parse_json_object(parse_jws(served.text).payload)
    assert (payload["nonce"], payload["client_id"]) == (made["nonce"], made["audience"])
    assert payload["exp"] == shared.clock() // 1000 + 120
    assert payload["response_uri"] == made["response_uri"]
    assert "state" not in made, "the state is the wallet's to give back, and not the lender's"


def test_two_requests_share_nothing_that_an_answer_is_bound_to(shared):
    first, second = shared.ask(), shared.ask()
    assert first["nonce"] != second["nonce"]
    assert shared.state_of(first) != shared.state_of(second)


def test_the_answer_of_another_session_is_refused(shared, holder):
    """Input 34 of the list of inputs to refuse: the state, or the response URI, of another request."""
    asked, other = shared.ask(), shared.ask()
    vp_token = shared.vp_token(asked, holder)
    for request in (asked, other):
        wrong = shared.state_of(other if request is asked else asked)
        refused = shared.post_response(request, vp_token, state=wrong)
        assert (refused.status_code, refused.json()["code"]) == (409, "state_mismatch")
        assert shared.poll(request)["refusals"] == 0, "whoever does not know the state cannot use up the refusals"
    # Under the right state of the other request it is the nonce that gives it away.
    refused = shared.post_response(other, vp_token)
    assert (refused.status_code, refused.json()["code"]) == (422, "nonce_mismatch")
    assert shared.post_response(asked, vp_token).status_code == 200


def test_a_wallet_may_decline_and_the_lender_hears_of_it(shared, holder):
    request = shared.ask()
    answer = shared.post_response(request, None, error="access_denied", error_description="Not today.")
    assert (answer.status_code, answer.json()) == (200, {})
    poll = shared.poll(request)
    assert (poll["status"], poll["refusals"], poll["last_refusal"]) == ("requested", 1, "wallet_declined")
    (entry,) = [each for each in shared.entries(limit=200) if request["id"] in each["entry"]]
    assert json.loads(entry["entry"])["body"] == {"request_id": request["id"], "code": "wallet_declined"}
    assert "Not today" not in entry["entry"]
    # The holder may think again.
    assert shared.post_response(request, shared.vp_token(request, holder)).status_code == 200


def test_what_is_answered_or_over_cannot_be_declined(harness, holder):
    answered, over = harness.ask(), harness.ask()
    assert harness.post_response(answered, harness.vp_token(answered, holder)).status_code == 200
    refused = harness.post_response(answered, None, error="access_denied")
    assert (refused.status_code, refused.json()["code"]) == (409, "nonce_used")
    harness.clock.now_ms += 600_000
    refused = harness.post_response(over, None, error="access_denied")
    assert (refused.status_code, refused.json()["code"]) == (409, "request_expired")
    assert {harness.poll(each)["refusals"] for each in (answered, over)} == {0}


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"error": "access_denied", "vp_token": "{}"}, "response_invalid"),
        ({"error": "Not A Code"}, "response_invalid"),
        ({"error": "access_denied", "error_description": "\u2603"}, "response_invalid"),
        ({}, "response_invalid"),
        ({"response": "a.b.c.d.e"}, "encrypted_response_not_asked"),
        ({"vp_token": "{"}, "bad_json"),
        ({"vp_token": '{"a": ["b"], "a": ["c"]}'}, "json_duplicate_key"),
        ({"vp_token": '{"a": [NaN]}'}, "json_number"),
        ({"vp_token": "[" * 40 + "]" * 40}, "json_depth"),
        ({"vp_token": '{"a": "not a list"}'}, "vp_token_invalid"),
        ({"vp_token": '"a"'}, "vp_token_invalid"),
    ],
)
def test_a_malformed_answer_of_a_wallet_is_refused(shared, fields, code):
    request = shared.ask()
    refused = shared.post_response(request, None, **fields)
    assert (refused.status_code, refused.json()["code"]) == (400, code)
    assert refused.headers["content-type"] == "application/problem+json"
    # It came with the state, so it is this session's, and the lender hears of it; what cannot be opened has none.
    heard = [(each["code"], each["step"], each["query_id"]) for each in shared.poll(request)["last_refusals"]]
    assert heard == ([] if code == "encrypted_response_not_asked" else [(code, "response", None)])


@pytest.mark.parametrize("state", ["", "x" * 257])
def test_a_state_that_we_never_sent_is_refused(shared, state):
    refused = shared.post_response(shared.ask(), None, error="access_denied", state=state)
    assert refused.status_code == 400


@pytest.mark.parametrize(
    ("content", "headers"),
    [
        (b"state=a&state=b", FORM),
        (b"state=%ff", FORM),
        (b"&".join(b"f%d=1" % n for n in range(17)), FORM),
        (b"\xff\xfe", FORM),
        (b"", FORM),
        (b'{"state": "a"}', JSON),
        (b"state=a", {}),
        (b"state=a", {"Content-Type": "multipart/form-data; boundary=x"}),
    ],
)
def test_what_is_no_form_is_refused(shared, content, headers):
    refused = shared.http.post(shared.ask()["response_uri"], content=content, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (400, "response_invalid")


def test_a_semicolon_separates_nothing(shared):
    refused = shared.http.post(shared.ask()["response_uri"], content=b"state=a;vp_token=b", headers=FORM)
    assert (refused.status_code, refused.json()["code"]) == (409, "state_mismatch")


def test_an_idempotency_key_makes_one_request(shared):
    headers = shared.token() | {"Idempotency-Key": "ask-once"}
    answers = [shared.http.post("/v1/presentation-requests", json=BODY, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    refused = shared.http.post("/v1/presentation-requests", json=BODY | {"expires_in_s": 61}, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (409, "idempotency_key_reused")
    theirs = shared.http.post(
        "/v1/presentation-requests",
        json=BODY,
        headers=shared.token("other") | headers | {"Authorization": shared.token("other")["Authorization"]},
    )
    assert theirs.status_code == 201
    assert theirs.json()["id"] != answers[0].json()["id"]


def test_two_idempotency_keys_are_refused(shared):
    body = {"purpose": "credit_review", "query": shared.ask()["query"]}
    headers = [*shared.token().items(), ("Idempotency-Key", "one"), ("Idempotency-Key", "two")]
    refused = shared.http.post("/v1/presentation-requests", json=body, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
    assert refused.json()["errors"] == [{"pointer": "Idempotency-Key", "code": "repeated"}]


def test_concurrent_posts_under_one_idempotency_key_make_one_request(shared):
    headers = shared.token() | {"Idempotency-Key": "ask-at-once"}

    def post(number):
        return shared.http.post("/v1/presentation-requests", json=BODY, headers=headers)

    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(post, range(12)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1


def with_change(path, value):
    changed = json.loads(json.dumps(BODY))
    place = changed
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    return changed


CREDENTIAL = ("query", "credentials", 0)


@pytest.mark.parametrize(
    ("path", "value", "pointer"),
    [
        (("purpose",), "marketing", "/purpose"),
        (("purpose",), 1, "/purpose"),
        (("expires_in_s",), 59, "/expires_in_s"),
        (("expires_in_s",), True, "/expires_in_s"),
        (("expires_in_s",), 10**30, None),
        (("holder_policy",), "none", "/holder_policy"),
        (("surprise",), 1, "/*"),
        (("query", "surprise"), 1, "/query/*"),
        (("query", "credentials"), [], "/query/credentials"),
        (("query", "credentials"), [QUERY["credentials"][0]] * 17, "/query/credentials"),
        ((*CREDENTIAL, "format"), "mso_mdoc", "/query/credentials/0/format"),
        ((*CREDENTIAL, "format"), [], "/query/credentials/0/format"),
        ((*CREDENTIAL, "format"), "ldp_vc", "/query/credentials/0/meta/type_values"),
        ((*CREDENTIAL, "meta"), {"type_values": [["VerifiableCredential"]]}, "/query/credentials/0/meta/vct_values"),
        ((*CREDENTIAL, "dc+sd-jwt"), 1, "/query/credentials/0"),
        ((*CREDENTIAL, "id"), "a b", "/query/credentials/0/id"),
        ((*CREDENTIAL, "meta", "vct_values"), ["urn:other:1"], "/query/credentials/0/meta/vct_values/0"),
        ((*CREDENTIAL, "claims", 0, "path"), [], "/query/credentials/0/claims/0/path"),
        ((*CREDENTIAL, "claims", 0, "path"), [1], "/query/credentials/0/claims/0/path/0"),
        ((*CREDENTIAL, "trusted_authorities"), [], "/query/credentials/0/*"),
    ],
)
def test_a_query_that_the_contract_does_not_have_is_refused_by_its_place(shared, path, value, pointer):
    refused = shared.http.post("/v1/presentation-requests", json=with_change(path, value), headers=shared.token())
    assert refused.status_code in (400, 422), refused.text
    assert refused.headers["content-type"] == "application/problem+json"
    if pointer is not None:
        assert refused.json()["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({"credentials": [CREDENTIAL_A, CREDENTIAL_A]}, "/query/credentials"),
        (
            {"credentials": [CREDENTIAL_A], "credential_sets": [{"options": [["unknown"]]}]},
            "/query/credential_sets/0/options/0",
        ),
    ],
)
def test_a_query_that_asks_for_what_cannot_be_is_refused_by_its_place(shared, query, pointer):
    refused = shared.http.post("/v1/presentation-requests", json=BODY | {"query": query}, headers=shared.token())
    assert refused.status_code == 422, refused.text
    assert refused.json()["code"].startswith("dcql_")
    assert refused.json()["errors"][0]["pointer"].startswith(pointer)


@pytest.mark.parametrize("path", ["/v1/presentation-requests", "/v1/scores", "/v1/issuers"])
@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", None),
        (b"{", "bad_json"),
        (b"\xff", "bad_json"),
        (b"\xef\xbb\xbf{}", "bad_json"),
        (b'{"purpose": "a", "purpose": "b"}', "json_duplicate_key"),
        (b'{"purpose": NaN}', "json_number"),
        (b'{"purpose": -Infinity}', "json_number"),
        (b'{"purpose": 1e400}', "json_number"),
        (b'{"purpose": ' + b"9" * 5000 + b"}", "json_number"),
        (b'{"purpose": ' + b"[" * 33 + b"]" * 33 + b"}", "json_depth"),
        (b"[" * 60_000, "json_depth"),
        (b'{"purpose": "\\ud800"}', "bad_json"),
        (b"null", None),
        (b"[]", None),
        (b'"text"', None),
    ],
)
def test_a_body_that_is_not_strict_json_is_a_problem_and_never_a_fault(shared, path, content, code):
    headers = shared.token(scopes=("lender", "operator")) | JSON
    refused = shared.http.post(path, content=content, headers=headers)
    assert refused.status_code in (400, 422)
    assert refused.headers["content-type"] == "application/problem+json"
    assert code in (None, refused.json()["code"])


@pytest.mark.parametrize("path", ["/v1/presentation-requests", "/v1/scores", "/v1/issuers"])
@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonx"])
def test_a_body_of_another_content_type_is_refused(shared, path, kind):
    headers = shared.token(scopes=("lender", "operator")) | ({"Content-Type": kind} if kind else {})
    refused = shared.http.post(path, content=json.dumps(BODY).encode(), headers=headers)
    assert refused.status_code in (400, 415, 422)
    assert refused.headers["content-type"] == "application/problem+json"


LIMIT = 64 * 1024


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/v1/scores", JSON),
        ("/v1/presentation-requests", JSON),
        ("/v1/issuers", JSON),
        ("/v1/oauth/token", FORM),
        ("RESPONSE", FORM),
    ],
)
def test_a_body_over_64_kib_is_refused(shared, path, headers):
    """Input 14 of the list of inputs to refuse, whether its length is declared or it just goes on."""
    path = shared.ask()["response_uri"] if path == "RESPONSE" else path
    headers = headers | shared.token(scopes=("lender", "operator"))
    taken = []

    def endless():
        while True:
            taken.append(1)
            assert len(taken) < 1000, "the body was read without end"
            yield b"a" * 4096

    declared = shared.http.post(path, content=b"a" * (LIMIT + 1), headers=headers)
    lied = shared.http.post(path, content=b"a", headers=headers | {"Content-Length": "9" * 30})
    chunked = shared.http.post(path, content=(b"a" * 4096 for _ in range(17)), headers=headers)
    for refused in (declared, lied, chunked):
        assert (refused.status_code, refused.json()["code"]) == (413, "body_too_large")
        assert refused.headers["content-type"] == "application/problem+json"
    assert declared.headers["connection"] == "close"
    fitting = shared.http.post(path, content=b"a" * LIMIT, headers=headers)
    assert fitting.status_code in (400, 422)
