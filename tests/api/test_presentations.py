"""What a wallet does with a request over HTTP: each way in, encrypted or not, and what the lender hears of it."""

import base64
import hashlib
import json
import re
from urllib.parse import parse_qsl, urlsplit
from xml.etree import ElementTree

import pytest
import segno

from api.http.qr import draw_qr
from api.http.requests import verify_redirect_uri
from api.problems import LinkTooLong, RedirectUriNotAllowed
from identity.encoding import decode_base64url, encode_base64url, encode_json
from identity.holder import present
from identity.jwe import encrypt
from identity.jws import parse_jws
from identity.keys import SigningKey
from identity.openid4vp import parse_unsigned_request, verify_request_object

VCT = "urn:credence:repayment-history:1"
ENCRYPTED = {"response_mode": "direct_post.jwt"}


@pytest.fixture
def holder():
    return SigningKey.generate()


def read_as_wallet(harness, request):
    """The request as a wallet reads it, whatever the prefix."""
    link = dict(parse_qsl(urlsplit(request["request_link"]).query, strict_parsing=True))
    if request["request_uri"] is None:
        return parse_unsigned_request(link)
    fetched = harness.http.get(link["request_uri"])
    assert fetched.status_code == 200, fetched.text
    return verify_request_object(fetched.text, client_id=link["client_id"], now_ms=harness.clock())


def present_to(harness, request, holder, *credentials):
    asked = read_as_wallet(harness, request)
    vp_token = present(
        request=asked, credentials=credentials or (harness.credential(holder),), key=holder, now_ms=harness.clock()
    )
    return asked, dict(vp_token)


def post_encrypted(harness, request, asked, members):
    """The answer of a wallet that encrypts `members` to the key of the request."""
    response = encrypt(encode_json(members), asked.encryption.key, asked.encryption.encryption)
    return harness.http.post(request["response_uri"], data={"response": response})


# Who asks


@pytest.mark.parametrize("mode", ["direct_post", "direct_post.jwt"])
@pytest.mark.parametrize("prefix", ["decentralized_identifier", "x509_hash", "redirect_uri"])
def test_a_presentation_comes_in_by_every_prefix_in_both_modes(shared, holder, prefix, mode):
    request = shared.ask(client_id_prefix=prefix, response_mode=mode)
    assert (request["client_id_prefix"], request["response_mode"]) == (prefix, mode)
    assert request["audience"].startswith(f"{prefix}:")
    asked, vp_token = present_to(shared, request, holder)
    assert asked.client_id == request["audience"]
    if mode == "direct_post":
        answer = shared.post_response(request, vp_token)
    else:
        answer = post_encrypted(shared, request, asked, {"vp_token": vp_token, "state": asked.state})
    assert (answer.status_code, answer.json()) == (200, {})
    poll = shared.poll(request)
    assert (poll["status"], poll["step"]) == ("submitted", "a presentation was accepted and scored")
    assert poll["score_id"]


def test_the_client_identifier_of_a_certificate_is_its_hash(shared):
    request = shared.ask(client_id_prefix="x509_hash")
    header = json.loads(decode_base64url(shared.http.get(request["request_uri"]).text.split(".")[0]))
    der = base64.b64decode(header["x5c"][0])
    assert request["audience"] == "x509_hash:" + encode_base64url(hashlib.sha256(der).digest())
    assert shared.ask(client_id_prefix="x509_hash")["audience"] == request["audience"], "one certificate, made once"


def test_a_request_that_nobody_signs_has_no_object(shared):
    request = shared.ask(client_id_prefix="redirect_uri")
    assert request["audience"] == f"redirect_uri:{request['response_uri']}"
    for fetch in (shared.http.get, shared.http.post):
        refused = fetch(f"/v1/presentation-requests/{request['id']}/object")
        assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
    assert shared.poll(request)["step"] == "waiting for the wallet's answer"


def test_37_a_presentation_for_another_client_identifier_of_ours_is_refused(shared, holder):
    """Input 37 of the list of inputs to refuse: the audience is the request's own, and not any that is ours."""
    request, other = shared.ask(client_id_prefix="x509_hash"), shared.ask()
    asked, _ = present_to(shared, request, holder)
    changed = type(asked)(**{**vars(asked), "client_id": other["audience"]})
    credential = shared.credential(holder)
    vp_token = present(request=changed, credentials=[credential], key=holder, now_ms=shared.clock())
    refused = shared.post_response(request, vp_token)
    assert (refused.status_code, refused.json()["code"]) == (422, "client_id_mismatch")


# How the request is fetched


def test_a_wallet_may_fetch_by_post_with_a_nonce_of_its_own(shared):
    request = shared.ask(request_uri_method="post")
    link = dict(parse_qsl(urlsplit(request["request_link"]).query))
    assert link["request_uri_method"] == "post"
    fetched = shared.http.post(link["request_uri"], data={"wallet_nonce": "n-1", "wallet_metadata": "{}"})
    assert fetched.headers["content-type"] == "application/oauth-authz-req+jwt"
    arguments = {"client_id": request["audience"], "now_ms": shared.clock()}
    verify_request_object(fetched.text, **arguments, wallet_nonce="n-1")
    assert shared.poll(request)["status"] == "retrieved"
    # What is fetched without one has none; and by GET it can be fetched all the same.
    without = [
        shared.http.post(link["request_uri"]),
        shared.http.post(link["request_uri"], data={"of another specification": "", "wallet_metadata": ""}),
        shared.http.get(link["request_uri"]),
    ]
    for fetched in without:
        assert "wallet_nonce" not in json.loads(parse_jws(fetched.text).payload)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"wallet_nonce=", "application/x-www-form-urlencoded"),
        (b"wallet_nonce=a%20b", "application/x-www-form-urlencoded"),
        (b"wallet_nonce=" + b"a" * 257, "application/x-www-form-urlencoded"),
        (b"wallet_nonce=a&wallet_nonce=b", "application/x-www-form-urlencoded"),
        (b'{"wallet_nonce": "a"}', "application/json"),
    ],
)
def test_a_wallets_nonce_that_is_none_is_refused(shared, content, kind):
    request = shared.ask()
    refused = shared.http.post(request["request_uri"], content=content, headers={"Content-Type": kind})
    assert (refused.status_code, refused.json()["code"]) == (400, "response_invalid")
    assert shared.poll(request)["status"] == "requested"


def test_a_wallet_that_hangs_up_is_no_fault_of_ours(shared, caplog):
    path = urlsplit(shared.ask()["request_uri"]).path
    kind = (b"content-type", b"application/x-www-form-urlencoded")
    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": [kind]}
    sent = []

    async def receive():
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    shared.http.portal.call(shared.http.app, scope, receive, send)
    assert sent[0]["status"] == 400
    assert "internal error" not in caplog.text


# Encrypted answers


def test_38_an_answer_in_the_clear_is_refused_where_encryption_was_asked_and_the_lender_hears_of_it(shared, holder):
    request = shared.ask(**ENCRYPTED)
    _, vp_token = present_to(shared, request, holder)
    refused = shared.post_response(request, vp_token)
    assert (refused.status_code, refused.json()["code"]) == (400, "response_not_encrypted")
    (refusal,) = shared.poll(request)["last_refusals"]
    assert (refusal["code"], refusal["step"], refusal["query_id"]) == ("response_not_encrypted", "response", None)
    # Whoever does not know the state is not of this session.
    refused = shared.post_response(request, vp_token, state="another")
    assert (refused.status_code, refused.json()["code"]) == (409, "state_mismatch")
    assert shared.poll(request)["refusals"] == 1


def test_an_answer_that_is_encrypted_to_another_request_or_to_nobody_is_refused_and_not_counted(shared, holder):
    request, other = shared.ask(**ENCRYPTED), shared.ask(**ENCRYPTED)
    asked, vp_token = present_to(shared, request, holder)
    theirs = read_as_wallet(shared, other)
    assert theirs.encryption.key != asked.encryption.key
    members = {"vp_token": vp_token, "state": asked.state}
    refused = post_encrypted(shared, request, theirs, members)
    assert (refused.status_code, refused.json()["code"]) == (422, "jwe_key_mismatch")
    # 34: rightly encrypted, with the state of another session.
    refused = post_encrypted(shared, request, asked, {**members, "state": theirs.state})
    assert (refused.status_code, refused.json()["code"]) == (409, "state_mismatch")
    good = encrypt(encode_json(members), asked.encryption.key, "A256GCM").split(".")
    for response, status, code in (
        (".".join([*good[:3], encode_base64url(b"other"), good[4]]), 422, "not_decrypted"),
        (".".join(good[:4]), 400, "bad_jwe"),
        (".".join([encode_base64url(b'{"alg":"dir","enc":"A256GCM"}'), *good[1:]]), 422, "jwe_not_allowed"),
        (".".join([good[0] + "=", *good[1:]]), 400, "bad_base64"),
    ):
        refused = shared.http.post(request["response_uri"], data={"response": response})
        assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert shared.poll(request)["refusals"] == 0
    assert post_encrypted(shared, request, asked, members).status_code == 200


def test_a_wallet_may_decline_encrypted_or_in_the_clear(shared):
    request = shared.ask(**ENCRYPTED)
    asked = read_as_wallet(shared, request)
    assert post_encrypted(shared, request, asked, {"error": "access_denied", "state": asked.state}).status_code == 200
    assert shared.post_response(request, None, error="access_denied").status_code == 200
    poll = shared.poll(request)
    assert (poll["refusals"], poll["step"]) == (2, "the wallet declined, and may still answer")


# Where the applicant goes on to


def test_the_applicant_comes_back_with_a_code_that_the_lender_knows(shared, holder):
    request = shared.ask(redirect_uri="https://lender.example/done?loan=1")
    assert (request["redirect_uri"], request["response_code"]) == ("https://lender.example/done?loan=1", None)
    declined = shared.post_response(request, None, error="access_denied").json()
    assert declined == {"redirect_uri": "https://lender.example/done?loan=1"}
    vp_token = shared.vp_token(request, holder)
    answer = shared.post_response(request, vp_token)
    page, _, fragment = answer.json()["redirect_uri"].partition("#")
    assert page == "https://lender.example/done?loan=1"
    code = shared.poll(request)["response_code"]
    assert fragment == f"response_code={code}"
    assert len(decode_base64url(code)) == 32
    # The same presentation again gets the same answer; another one gets none.
    assert shared.post_response(request, vp_token).json() == answer.json()
    other = shared.vp_token_of(request, SigningKey.generate())
    refused = shared.post_response(request, other)
    assert (refused.status_code, "redirect_uri" in refused.json()) == (409, False)
    # Nobody else is told it.
    hidden = shared.http.get(f"/v1/presentation-requests/{request['id']}", headers=shared.token("other"))
    assert hidden.status_code == 404
    another = shared.ask(redirect_uri="https://lender.example/done?loan=1")
    shared.post_response(another, shared.vp_token(another, holder))
    assert shared.poll(another)["response_code"] != code


def test_without_a_page_there_is_no_code(shared, holder):
    request = shared.ask()
    assert shared.post_response(request, shared.vp_token(request, holder)).json() == {}
    assert shared.poll(request)["response_code"] is None


@pytest.mark.parametrize(
    "uri",
    [
        "http://lender.example/done",
        "http://127.0.0.1:9000/done",
        "https:///done",
        "https://user@lender.example/",
        "https://lender.example/#mine",
        "https://lender.example/#",
        "https://lender.example\\@attacker.example/",
        "https://lender.example/a b",
        "https://[::1",
        "javascript:alert(1)",
        "lender://done",
        "https://l\u00e9nder.example/",
    ],
)
def test_a_page_that_no_applicant_may_be_sent_to_is_refused(shared, uri):
    body = {"purpose": "credit_review", "query": shared.ask()["query"], "redirect_uri": uri}
    refused = shared.http.post("/v1/presentation-requests", json=body, headers=shared.token())
    assert (refused.status_code, refused.json()["code"]) == (422, "redirect_uri_not_allowed")


def test_on_loopback_a_page_may_be_served_over_http_where_the_settings_say_so():
    allowed = frozenset({"http://127.0.0.1:9000"})
    verify_redirect_uri("http://127.0.0.1:9000/done", allowed)
    for uri in ("http://127.0.0.1:9001/done", "http://127.0.0.1:9000.attacker.example/", "http://127.0.0.1:9000/#x"):
        with pytest.raises(RedirectUriNotAllowed):
            verify_redirect_uri(uri, allowed)


# Who may answer


def test_a_request_may_accept_fewer_issuers_than_the_tenant_trusts_and_never_more(shared, holder):
    stranger = SigningKey.generate()

    def issued_by(key):
        return shared.credential(holder, key=key)

    cases = [
        ([shared.institution.did], shared.institution, 200),
        ([shared.institution.did, stranger.did], shared.institution, 200),
        ([stranger.did], shared.institution, 422),
        ([stranger.did], stranger, 422),
    ]
    for accepted, issuer, status in cases:
        trusted_issuers = [{"did": did, "vct": VCT} for did in accepted]
        request = shared.ask(trusted_issuers=trusted_issuers)
        assert sorted(each["did"] for each in request["trusted_issuers"]) == sorted(accepted)
        vp_token = shared.vp_token(request, holder, issued_by(issuer))
        answer = shared.post_response(request, vp_token)
        assert answer.status_code == status, answer.text
        if status == 422:
            assert answer.json()["code"] == "issuer_not_trusted"
            assert answer.json()["errors"] == [{"pointer": "/vp_token/history", "code": "issuer_not_trusted"}]
            (refusal,) = shared.poll(request)["last_refusals"]
            assert (refusal["step"], refusal["query_id"]) == ("issuer", "history")


# What the lender polls


def test_the_lender_hears_at_which_step_and_why_and_nothing_of_what_was_presented(harness, holder):
    request = harness.ask()
    assert harness.poll(request)["step"] == "waiting for the wallet to fetch the request"
    vp_token = harness.vp_token(request, holder)
    assert harness.poll(request)["step"] == "waiting for the wallet's answer"
    expired = harness.credential(holder, expires_at_ms=harness.clock() - 120_000)
    refused = harness.post_response(request, harness.vp_token_of(request, holder, expired))
    assert refused.json()["code"] == "expired"
    harness.clock.now_ms += 1000
    assert harness.post_response(request, {"other": vp_token["history"]}).json()["code"] == "unknown_query_id"
    poll = harness.poll(request)
    assert poll["step"] == "the last presentation was refused, and another may still come"
    first, second = poll["last_refusals"]
    assert first == {
        "code": "expired",
        "detail": "The token has expired.",
        "step": "proof",
        "query_id": "history",
        "at": "2026-09-21T14:13:20Z",
    }
    assert (second["code"], second["step"], second["query_id"]) == ("unknown_query_id", "query", None)
    assert second["at"] == "2026-09-21T14:13:21Z"
    bodies = [json.loads(each["entry"])["body"] for each in harness.entries() if request["id"] in each["entry"]]
    assert bodies == [
        {"request_id": request["id"], "code": "expired", "step": "proof"},
        {"request_id": request["id"], "code": "unknown_query_id", "step": "query"},
    ]
    assert harness.post_response(request, vp_token).status_code == 200
    poll = harness.poll(request)
    assert (poll["step"], len(poll["last_refusals"])) == ("a presentation was accepted and scored", 2)


def test_a_request_that_is_over_says_how_it_ended(harness, holder):
    never, fetched, declined, refused, by_value = (
        harness.ask(client_id_prefix="redirect_uri" if n == 4 else "decentralized_identifier") for n in range(5)
    )
    for each in (fetched, declined, refused):
        harness.vp_token(each, holder)
    harness.post_response(declined, None, error="access_denied")
    assert harness.poll(declined)["step"] == "the wallet declined, and may still answer"
    harness.post_response(refused, {"other": ["x"]})
    harness.clock.now_ms += 600_000
    assert [harness.poll(each)["step"] for each in (never, fetched, declined, refused, by_value)] == [
        "expired before a wallet fetched the request",
        "expired before the wallet answered",
        "expired after the wallet declined",
        "expired after a presentation was refused",
        "expired before the wallet answered",
    ]
    assert {harness.poll(each)["status"] for each in (never, fetched, declined, refused, by_value)} == {"expired"}


# QR codes


@pytest.mark.parametrize("prefix", ["decentralized_identifier", "x509_hash", "redirect_uri"])
def test_the_link_is_shown_as_a_qr_code(shared, prefix):
    request = shared.ask(client_id_prefix=prefix)
    shown = shared.http.get(request["qr_uri"])
    assert shown.status_code == 200
    assert shown.headers["content-type"] == "image/svg+xml"
    assert shown.headers["cache-control"] == "no-store"
    assert shown.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert shown.headers["x-content-type-options"] == "nosniff"
    root = ElementTree.fromstring(shown.content)
    assert {each.tag.rpartition("}")[2] for each in root.iter()} == {"svg", "title", "path"}
    assert modules_of(root) == [
        list(map(bool, row)) for row in segno.make_qr(request["request_link"], error="m").matrix
    ]
    assert shared.poll(request)["status"] == "requested", "to look at it is not to fetch the request"


def modules_of(root):
    """The dark modules of a drawn symbol, row by row, its quiet zone of four cut off: what a camera sees."""
    size = int(root.attrib["viewBox"].split()[2])
    (path,) = [each for each in root.iter() if each.get("stroke")]
    dark = [[False] * size for _ in range(size)]
    x, y = 0.0, 0.0
    for command, *rest in re.findall(r"([MmhH])(-?[\d.]+)(?:[ ,]?(-?[\d.]+))?", path.attrib["d"]):
        numbers = [float(each) for each in rest if each]
        if command in "Mm":
            x, y = (numbers[0], numbers[1]) if command == "M" else (x + numbers[0], y + numbers[1])
        else:
            for column in range(int(x), int(x + numbers[0])):
                dark[int(y)][column] = True
            x += numbers[0]
    border = [any(row[:4] + row[-4:]) for row in dark] + [any(row) for row in dark[:4] + dark[-4:]]
    assert not any(border)
    return [row[4:-4] for row in dark[4:-4]]


def test_a_code_holds_what_it_can_and_no_more():
    short, long = (draw_qr("openid4vp://?" + "a" * size, "t") for size in (100, 2900))
    assert len(short) < len(long)
    with pytest.raises(LinkTooLong):
        draw_qr("openid4vp://?" + "a" * 2960, "t")


def test_a_link_that_is_too_long_for_a_code_is_refused(shared):
    query = {"credentials": [{**shared.ask()["query"]["credentials"][0], "id": f"history-{n}"} for n in range(16)]}
    request = shared.ask(client_id_prefix="redirect_uri", query=query)
    refused = shared.http.get(request["qr_uri"])
    assert (refused.status_code, refused.json()["code"]) == (422, "link_too_long")


def test_a_code_is_shown_only_while_the_request_can_be_answered(harness, holder):
    answered, over = harness.ask(), harness.ask()
    assert harness.post_response(answered, harness.vp_token(answered, holder)).status_code == 200
    refused = harness.http.get(answered["qr_uri"])
    assert (refused.status_code, refused.json()["code"]) == (409, "nonce_used")
    harness.clock.now_ms += 600_000
    refused = harness.http.get(over["qr_uri"])
    assert (refused.status_code, refused.json()["code"]) == (409, "request_expired")
    assert harness.http.get("/v1/presentation-requests/req_" + "0" * 32 + "/qr").status_code == 404


# Rows


def test_a_request_of_before_has_the_client_identifier_of_the_request_key(harness, holder):
    request = harness.ask()
    with harness.service.health._engine.begin() as connection:
        connection.exec_driver_sql("UPDATE presentation_requests SET client_id = NULL")
    assert harness.poll(request)["audience"] == request["audience"]
    assert harness.post_response(request, harness.vp_token(request, holder)).status_code == 200
