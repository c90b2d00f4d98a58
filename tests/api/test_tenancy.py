"""Tenants and scopes: nobody reads, answers, replays or infers what is another's, and no operation is left open."""

import base64
import json

import argon2
import pytest
from fastapi.routing import APIRoute
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from api.store import tenants
from identity.encoding import parse_json_object
from identity.jws import parse_jws
from identity.keys import SigningKey
from identity.sd_jwt import issuer_jwt_of

NOWHERE = "0" * 32
SCOPES = ("lender", "compliance", "operator", "issuer", "metrics")
#: The scope of every operation: None takes any client's token, PUBLIC takes none, and HOLDER that of an applicant.
PUBLIC = object()
HOLDER = object()
OPERATIONS = {
    "createToken": PUBLIC,
    "createPresentationRequest": "lender",
    "readPresentationRequest": "lender",
    "readRequestObject": PUBLIC,
    "fetchRequestObject": PUBLIC,
    "readRequestQr": PUBLIC,
    "submitPresentation": PUBLIC,
    "createScore": "lender",
    "readScore": "lender",
    "createScoreOffer": "lender",
    "readScoreOffer": "lender",
    "createCredentialOffer": "issuer",
    "readCredentialOffer": "issuer",
    "revokeCredentialOffer": "issuer",
    "readOwnIssuer": "issuer",
    "readOfferDocument": PUBLIC,
    "readOfferQr": PUBLIC,
    "readIssuerMetadata": PUBLIC,
    "readAuthorizationServerMetadata": PUBLIC,
    "createNonce": PUBLIC,
    # These two take what an offer gave, which is no client's token.
    "redeemOffer": PUBLIC,
    "issueCredential": PUBLIC,
    "listAuditEntries": "compliance",
    "readCheckpoint": PUBLIC,
    "readTile": PUBLIC,
    "readInclusionProof": PUBLIC,
    "listModels": PUBLIC,
    "readModel": PUBLIC,
    "readScoreStatus": None,
    "changeScoreStatus": "operator",
    "readCredentialStatus": None,
    "changeCredentialStatus": "operator",
    "listIssuers": None,
    "trustIssuer": "operator",
    "distrustIssuer": "operator",
    "importIssuerList": "operator",
    "readStatusList": PUBLIC,
    "readBitstringStatusList": PUBLIC,
    "readKeys": PUBLIC,
    "readHealth": PUBLIC,
    "readReadiness": PUBLIC,
    "readMetrics": "metrics",
    "readContract": PUBLIC,
    "createHolderNonce": PUBLIC,
    "createHolderSession": PUBLIC,
    "listHolderScores": HOLDER,
    "readHolderScore": HOLDER,
    "listHolderReceipts": HOLDER,
    "readHolderReceipt": HOLDER,
    "listHolderRequests": HOLDER,
    "listHolderConsents": HOLDER,
    "withdrawConsent": HOLDER,
    "renewConsent": HOLDER,
}


def routes_of(router, prefix=""):
    """Every route below a router, and the path it answers at."""
    for route in router.routes:
        if isinstance(route, APIRoute):
            yield prefix + route.path, route
        elif hasattr(route, "original_router"):
            yield from routes_of(route.original_router, prefix + route.include_context.prefix)
        else:
            yield prefix + getattr(route, "path", ""), route


def protected_operations(app):
    for path, route in routes_of(app):
        needed = OPERATIONS[route.operation_id]
        if needed not in (PUBLIC, HOLDER):
            (method,) = route.methods
            ids = {"request_id": "req_", "score_id": "sco_", "credential_id": "crd_", "offer_id": "off_"}
            for name, value in {name: prefix + NOWHERE for name, prefix in ids.items()}.items():
                path = path.replace(f"{{{name}}}", value)
            yield method, path, needed


def call(shared, method, path, headers):
    return shared.http.request(method, path, headers=headers, **({} if method == "GET" else {"json": {}}))


def test_every_operation_is_listed_here(shared):
    found = [route for _, route in routes_of(shared.http.app)]
    assert all(isinstance(route, APIRoute) for route in found), "a route that is no operation"
    assert sorted(route.operation_id for route in found) == sorted(OPERATIONS)


def test_every_operation_that_takes_a_token_refuses_to_work_without(shared):
    operations = list(protected_operations(shared.http.app))
    assert len(operations) == sum(needed not in (PUBLIC, HOLDER) for needed in OPERATIONS.values())
    for method, path, _ in operations:
        for headers in ({}, {"Authorization": "Bearer"}, {"Authorization": "Basic YTpi"}, {"Authorization": "x"}):
            refused = call(shared, method, path, headers)
            assert (refused.status_code, refused.json()["code"]) == (401, "invalid_token"), (method, path)
            assert refused.headers["www-authenticate"].startswith("Bearer")
            assert refused.headers["content-type"] == "application/problem+json"


def test_every_operation_takes_its_own_scope_and_no_other(shared):
    for method, path, needed in protected_operations(shared.http.app):
        for scope in SCOPES:
            answer = call(shared, method, path, shared.token("scoped", (scope,)))
            if needed in (None, scope):
                assert answer.status_code not in (401, 403), (method, path, scope)
            else:
                assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope"), (method, path, scope)
                assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]  # RFC 6750, section 3
        others = tuple(scope for scope in SCOPES if scope != needed)
        if needed is not None:
            assert call(shared, method, path, shared.token("scoped", others)).status_code == 403


def test_another_tenants_resources_look_as_if_they_were_not_there(shared):
    holder = SigningKey.generate()
    request = shared.ask("a")
    vp_token = shared.vp_token(request, holder)
    score = shared.submit(request, vp_token, "a").json()
    theirs = shared.token("b", SCOPES)

    def as_b(method, path, **arguments):
        answer = shared.http.request(method, path, headers=theirs, **arguments)
        return answer.status_code, answer.content, dict(answer.headers)

    real_and_made_up = [
        (f"/v1/presentation-requests/{request['id']}", f"/v1/presentation-requests/req_{NOWHERE}"),
        (f"/v1/scores/{score['id']}", f"/v1/scores/sco_{NOWHERE}"),
        (f"/v1/scores/{score['id']}/status", f"/v1/scores/sco_{NOWHERE}/status"),
    ]
    for real, made_up in real_and_made_up:
        assert as_b("GET", real) == as_b("GET", made_up)
        assert as_b("GET", real)[0] == 404

    change = {"status": "revoked", "reason": "issued_in_error"}
    for score_id in (score["id"], "sco_" + NOWHERE):
        assert as_b("PUT", f"/v1/scores/{score_id}/status", json=change)[0] == 404
    assert shared.http.get(f"/v1/scores/{score['id']}/status", headers=shared.token("a")).json()["status"] == "valid"

    # To answer it again, with the very presentation or another, is to ask for what is not there.
    for presented in (vp_token, {"history": ["x~"]}):
        asked = [
            as_b("POST", "/v1/scores", json={"request_id": request_id, "vp_token": presented})
            for request_id in (request["id"], "req_" + NOWHERE)
        ]
        assert asked[0] == asked[1]
        assert asked[0][0] == 404
    assert shared.poll(request, "a")["refusals"] == 0

    # Their presentation is worth nothing under a request of one's own.
    own = shared.ask("b")
    refused = shared.submit(own, vp_token, "b")
    assert (refused.status_code, refused.json()["code"]) == (422, "nonce_mismatch")


def test_a_tenant_lists_its_own_entries_only_and_they_name_no_tenant(shared):
    scores = {tenant: [shared.score(tenant) for _ in range(3)] for tenant in ("c", "d")}
    references = {}
    for tenant, made in scores.items():
        entries = shared.entries(tenant)
        assert [entry["seq"] for entry in entries] == [0, 1, 2]
        assert [entry["score"]["id"] for entry in entries] == [score["id"] for score in made]
        (references[tenant],) = {json.loads(entry["entry"])["tenant"] for entry in entries}
        tenant_id = shared.service.tenants.load_or_append_tenant(tenant, 0)
        assert tenant_id not in "".join(entry["entry"] for entry in entries)
    assert references["c"] != references["d"]


def test_one_person_is_another_to_every_tenant(shared):
    holder = SigningKey.generate()
    credentials = [shared.score(tenant, holder)["credential"] for tenant in ("e", "f", "e")]
    subjects = [parse_json_object(parse_jws(issuer_jwt_of(each)).payload)["sub"] for each in credentials]
    assert subjects[0] == subjects[2] != subjects[1]
    lists = [parse_json_object(parse_jws(issuer_jwt_of(each)).payload)["status"] for each in credentials]
    assert lists[0]["status_list"]["uri"] != lists[1]["status_list"]["uri"]


def test_a_tenant_trusts_its_own_issuers_only(shared):
    stranger = SigningKey.generate()
    body = {"did": stranger.did, "vct": "urn:credence:repayment-history:1"}
    trusted = shared.http.post("/v1/issuers", json=body, headers=shared.token("g", ("operator",)))
    assert trusted.status_code == 201
    holder = SigningKey.generate()
    for tenant, status in (("g", 201), ("h", 422)):
        request = shared.ask(tenant)
        credential = shared.credential(holder, key=stranger)
        assert shared.submit(request, shared.vp_token(request, holder, credential), tenant).status_code == status
        listed = shared.http.get("/v1/issuers", headers=shared.token(tenant)).json()["issuers"]
        assert (stranger.did in [issuer["did"] for issuer in listed]) is (tenant == "g")


def test_an_issuer_is_trusted_from_the_first_time_on(harness):
    body = {"did": SigningKey.generate().did, "vct": "urn:credence:airtime:1"}
    headers = harness.token(scopes=("operator",))
    first = harness.http.post("/v1/issuers", json=body, headers=headers).json()
    harness.clock.now_ms += 60_000
    assert harness.http.post("/v1/issuers", json=body, headers=headers).json() == first


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"did": "did:pkh:eip155:1:0xab16a96d359ec26a11e2c2b3d8f8b8942d5bfcdb"}, 422),
        ({"did": "did:key:zzzz"}, 422),
        ({"vct": "urn:credence:unheard-of:1"}, 422),
        ({"vct": "urn:other:airtime:1"}, 422),
        ({"more": 1}, 422),
    ],
)
def test_an_issuer_that_nobody_could_verify_is_not_trusted(shared, change, status):
    body = {"did": SigningKey.generate().did, "vct": "urn:credence:airtime:1"} | change
    refused = shared.http.post("/v1/issuers", json=body, headers=shared.token(scopes=("operator",)))
    assert refused.status_code == status, refused.text


def claims_of(token):
    return json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))


def refused_token(shared, token):
    answer = shared.http.get("/v1/issuers", headers={"Authorization": f"Bearer {token}"})
    return (answer.status_code, answer.json().get("code")) == (401, "invalid_token")


def test_a_token_altered_in_any_character_is_refused(shared):
    token = shared.token()["Authorization"].removeprefix("Bearer ")
    assert not refused_token(shared, token)
    for place, character in enumerate(token):
        other = "A" if character != "A" else "="
        assert refused_token(shared, token[:place] + other + token[place + 1 :]), place
    # The last character has bits that no byte needs.
    for other in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_":
        assert other == token[-1] or refused_token(shared, token[:-1] + other)


def test_a_token_by_another_key_of_another_kind_or_of_nobody_is_refused(shared):
    token = shared.token()["Authorization"].removeprefix("Bearer ")
    header, payload, signature = token.split(".")
    claims = claims_of(token)
    key = OctKey.import_key(shared.service.token_key)

    def encode(changed_header, changed_claims, by=key):
        return jwt.encode(changed_header, changed_claims, by, algorithms=[changed_header["alg"]])

    good = {"alg": "HS256", "typ": "at+jwt"}
    assert not refused_token(shared, encode(good, claims))
    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"at+jwt"}').decode().rstrip("=")
    refused = [
        encode(good, claims, OctKey.import_key(b"k" * 32)),
        encode({"alg": "HS512", "typ": "at+jwt"}, claims),
        encode({"alg": "RS256", "typ": "at+jwt"}, claims, RSAKey.generate_key(2048)),
        encode({"alg": "HS256"}, claims),
        encode({"alg": "HS256", "typ": "JWT"}, claims),
        encode(good, claims | {"iss": "http://another.example"}),
        *(encode(good, {name: value for name, value in claims.items() if name != left_out}) for left_out in (
            "iss", "exp", "sub", "tenant", "scope",
        )),
        encode(good, claims | {"exp": "soon"}),
        f"{none}.{payload}.",
        f"{none}.{payload}.{signature}",
        f"{header}.{payload}.",
        f"{header}.{payload}",
        f"{token}.{signature}",
        f"{token}=",
        "\u00fc".encode("latin-1").decode("latin-1"),
        base64.urlsafe_b64encode(b"[" * 30_000).decode().rstrip("=") + ".e30.AAAA",
        "",
    ]  # fmt: skip
    for each in refused:
        answer = shared.http.get("/v1/issuers", headers={"Authorization": f"Bearer {each}".encode("latin-1")})
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token"), each[:80]


def test_two_tokens_are_none(shared):
    twice = [*shared.token().items(), *shared.token("other").items()]
    refused = shared.http.get("/v1/issuers", headers=twice)
    assert (refused.status_code, refused.json()["code"]) == (401, "invalid_token")


def test_a_token_ends(harness):
    headers = harness.token()
    harness.clock.now_ms += 899_999
    assert harness.http.get("/v1/issuers", headers=headers).status_code == 200
    harness.clock.now_ms += 1
    refused = harness.http.get("/v1/issuers", headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (401, "invalid_token")


@pytest.fixture
def client(shared):
    tenant_id = shared.service.tenants.load_or_append_tenant("lender", shared.clock())
    return shared.service.tenants.append_client(
        tenant_id=tenant_id, name="two scopes", scopes=frozenset({"lender", "compliance"}), now_ms=shared.clock()
    )


def ask_token(shared, form, **arguments):
    return shared.http.post("/v1/oauth/token", data={"grant_type": "client_credentials"} | form, **arguments)


def test_a_token_may_have_fewer_scopes_than_its_client_and_never_more(shared, client):
    auth = (client.client_id, client.client_secret)
    assert ask_token(shared, {}, auth=auth).json()["scope"] == "compliance lender"
    fewer = ask_token(shared, {"scope": "lender"}, auth=auth).json()
    assert fewer["scope"] == "lender"
    headers = {"Authorization": f"Bearer {fewer['access_token']}"}
    assert shared.http.get("/v1/audit/entries", headers=headers).status_code == 403
    for scope in ("operator", "lender operator", "everything", " ", "lender  compliance"):
        refused = ask_token(shared, {"scope": scope}, auth=auth)
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_scope"), scope


def test_a_client_names_itself_in_one_place_and_rightly(shared, client):
    form = {"client_id": client.client_id, "client_secret": client.client_secret}
    taken = ask_token(shared, form)
    assert (taken.status_code, taken.headers["cache-control"]) == (200, "no-store")
    for change in ({"client_secret": "wrong"}, {"client_id": "cli_0"}, {"client_secret": ""}, {"client_id": ""}):
        refused = ask_token(shared, form | change)
        assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
        assert refused.headers["www-authenticate"].startswith("Basic")
    for malformed in (
        ask_token(shared, form, auth=(client.client_id, client.client_secret)),
        ask_token(shared, form | {"client_id": "a\0b"}),
        ask_token(shared, form | {"client_id": "a\u2603"}),
        ask_token(shared, {}, headers={"Authorization": "Basic !!!"}),
        ask_token(shared, {}, headers={"Authorization": "Basic " + base64.b64encode(b"no colon").decode()}),
        shared.http.post("/v1/oauth/token", json=form),
    ):
        assert (malformed.status_code, malformed.json()["error"]) == (400, "invalid_request")
    refused = ask_token(shared, form | {"grant_type": "password"})
    assert (refused.status_code, refused.json()["error"]) == (400, "unsupported_grant_type")


def test_a_token_request_is_read_as_rfc_6749_says(shared, client):
    auth = (client.client_id, client.client_secret)
    # Section 3.2: a parameter without a value counts as left out, and one that nobody knows is passed over.
    for nothing in ({"scope": ""}, {"client_secret": ""}, {"client_id": ""}, {"resource": "x"}):
        answer = ask_token(shared, nothing, auth=auth)
        assert (answer.status_code, answer.json().get("scope")) == (200, "compliance lender"), nothing
    assert ask_token(shared, {"client_id": client.client_id}, auth=auth).status_code == 200
    # Section 5.2: what is missing or contradicts itself is a malformed request.
    for malformed in ({"grant_type": ""}, {"client_id": "cli_0"}):
        answer = ask_token(shared, malformed, auth=auth)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request"), malformed
    twice = [("Authorization", "Basic eDp5"), ("Authorization", "Basic eDp6")]
    refused = shared.http.post("/v1/oauth/token", data={"grant_type": "client_credentials"}, headers=twice)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_request")
    missing = shared.http.post("/v1/oauth/token", data={"scope": "lender"}, auth=auth)
    assert (missing.status_code, missing.json()["error"]) == (400, "invalid_request")


def test_basic_credentials_are_percent_decoded(shared, client):
    # Section 2.3.1 with appendix B: both parts are form-encoded before they are joined.
    encoded = "".join(f"%{ord(character):02x}" for character in client.client_secret)
    assert ask_token(shared, {}, auth=(client.client_id, encoded)).status_code == 200
    refused = ask_token(shared, {}, auth=(client.client_id, encoded.replace("%", "%25")))
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")


def test_a_secret_is_stored_as_what_argon2id_makes_of_it_at_full_cost():
    asked = argon2.PasswordHasher()
    # RFC 9106, section 4: the second recommended option, 64 MiB.
    assert (asked.type, asked.memory_cost, asked.time_cost) == (argon2.Type.ID, 65_536, 3)
    source = tenants.__spec__.loader.get_source(tenants.__name__)
    assert "_HASHER = argon2.PasswordHasher()" in source
