"""Issuing over OpenID4VCI: from an offer to credentials that verify, and every way that it is refused."""

import base64
import hashlib
import json
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import event, func, select

from api.store import tables
from api.store.database import read_transaction
from api.store.offers import MAX_TX_CODE_FAILURES, TOKEN_VALID_MS
from chain.entry import commitment, parse_entry
from chain.merkle import leaf_hash
from identity.credential_types.types import load_credential_types
from identity.did import resolve_verification_key
from identity.did_resolver import DidResolver
from identity.disclosures import disclose_claims
from identity.encoding import encode_json, parse_json_object
from identity.errors import IdentityError
from identity.jws import parse_jws, sign_jws
from identity.key_proof import PROOF_TYP, make_key_proof
from identity.keys import SigningKey
from identity.openid4vci import PRE_AUTHORIZED_CODE, parse_credential_offer, parse_issuer_metadata, well_known_url
from identity.score_credential import verify_score_credential
from identity.sd_jwt import issuer_jwt_of, verify_sd_jwt
from identity.status_list import verify_status_list
from identity.trust import TrustedIssuer
from tests.api.conftest import DAY_MS, REPAYMENTS, VCT

TOKEN_ERROR = {"error", "error_description", "code"}


class Wallet:
    """A wallet that speaks OpenID4VCI over HTTP, one step a method."""

    def __init__(self, harness, created):
        self.harness, self.created = harness, created
        self.keys = [SigningKey.generate()]
        offered = harness.http.get(urlsplit(created["offer_uri"]).path)
        assert offered.status_code == 200, offered.text
        assert offered.headers["cache-control"] == "no-store"
        self.offer = parse_credential_offer(offered.content)
        self.issuer = self.offer.credential_issuer
        metadata = harness.http.get(well_known_url(self.issuer, "openid-credential-issuer"))
        self.metadata = parse_issuer_metadata(metadata.content, credential_issuer=self.issuer)
        server = harness.http.get(well_known_url(self.issuer, "oauth-authorization-server")).json()
        assert server["issuer"] == self.issuer
        self.token_endpoint = server["token_endpoint"]
        self.token = None

    def redeem(self, **changes):
        form = {
            "grant_type": PRE_AUTHORIZED_CODE,
            "pre-authorized_code": self.offer.pre_authorized_code,
            "tx_code": self.created["tx_code"],
        } | changes
        answer = self.harness.http.post(
            self.token_endpoint, data={name: value for name, value in form.items() if value is not None}
        )
        assert answer.headers["cache-control"] == "no-store"
        if answer.status_code == 200:
            self.token = answer.json()["access_token"]
        return answer

    def nonce(self):
        answer = self.harness.http.post(self.metadata.nonce_endpoint)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
        return answer.json()["c_nonce"]

    def proofs(self, nonce=None, issuer=None):
        nonce = nonce or self.nonce()
        now_ms = self.harness.clock()
        return [
            make_key_proof(key=key, credential_issuer=issuer or self.issuer, nonce=nonce, now_ms=now_ms)
            for key in self.keys
        ]

    def request(self, jwts=None, headers=None, **changes):
        body = {
            "credential_configuration_id": self.offer.configuration_ids[0],
            "proofs": {"jwt": self.proofs() if jwts is None else jwts},
        } | changes
        headers = {"Authorization": f"Bearer {self.token}"} if headers is None else headers
        answer = self.harness.http.post(
            self.metadata.credential_endpoint,
            json={name: value for name, value in body.items() if value is not None},
            headers=headers,
        )
        assert answer.status_code == 503 or answer.headers["cache-control"] == "no-store"
        return answer

    def obtain(self):
        assert self.redeem().status_code == 200
        answer = self.request()
        assert answer.status_code == 200, answer.text
        return answer.json()["credentials"]


def offer(harness, tenant="institution", **changes):
    body = {"type": VCT, "claims": REPAYMENTS} | changes
    answer = harness.http.post("/v1/credential-offers", json=body, headers=harness.token(tenant, ("issuer",)))
    assert answer.status_code == 201, answer.text
    return answer.json()


def state_of(harness, created, tenant="institution"):
    answer = harness.http.get(f"/v1/credential-offers/{created['id']}", headers=harness.token(tenant, ("issuer",)))
    assert answer.status_code == 200, answer.text
    return answer.json()


def did_of(harness, tenant="institution"):
    return harness.http.get("/v1/issuer", headers=harness.token(tenant, ("issuer",))).json()["did"]


def refused(answer, error, code, status=400):
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.json()) == TOKEN_ERROR
    assert (answer.status_code, answer.json()["error"], answer.json()["code"]) == (status, error, code)


def engine_of(harness):
    return harness.service.issuance.offers._engine


# The way


def test_an_institution_without_an_issuer_gives_out_a_credential_that_scores(shared):
    created = offer(shared, tx_code=True)
    assert parse_qs(urlsplit(created["offer_link"]).query) == {"credential_offer_uri": [created["offer_uri"]]}
    assert created["tx_code"].isdecimal()
    assert len(created["tx_code"]) == 6
    wallet = Wallet(shared, created)
    assert wallet.offer.wants_tx_code
    assert state_of(shared, created)["state"] == "offered"
    assert wallet.redeem().json()["expires_in"] == TOKEN_VALID_MS // 1000
    assert state_of(shared, created)["state"] == "redeemed"
    answer = wallet.request()
    assert answer.status_code == 200, answer.text
    (issued,) = answer.json()["credentials"]
    seen = state_of(shared, created)
    assert (seen["state"], len(seen["credential_ids"]), seen["revoked_for"]) == ("issued", 1, None)

    tenant_id = shared.service.tenants.load_or_append_tenant("lender", shared.clock())
    trusted = TrustedIssuer(did=did_of(shared), vct=VCT, valid_from_ms=0)
    asked = shared.ask()
    vp_token = shared.vp_token(asked, wallet.keys[0], issued["credential"])
    before = shared.submit(asked, vp_token)
    assert (before.status_code, before.json()["code"]) == (422, "issuer_not_trusted")
    shared.trust(tenant_id, trusted)
    with pytest.MonkeyPatch.context() as patch:
        # The status list is ours, on an origin that no fetcher may reach from here.
        checker = shared.service.rooms.verifier._statuses
        served = lambda url, *_arguments, **_named: shared.http.get(urlsplit(url).path).content  # noqa: E731
        patch.setattr(checker._fetcher, "fetch", served)
        assert shared.submit(asked, vp_token).status_code == 201


def test_the_credential_is_the_holders_and_its_status_list_is_signed_by_its_issuer(shared):
    wallet = Wallet(shared, offer(shared))
    (issued,) = wallet.obtain()
    verified = verify_sd_jwt(
        issued["credential"],
        issuer_key_for=lambda parsed: resolve_verification_key(did=parsed.issuer, kid=parsed.kid),
        now_ms=shared.clock(),
        key_binding=None,
    )
    assert verified.issuer == did_of(shared) != shared.service.rooms.attest_key.did
    assert verified.holder == wallet.keys[0].public
    assert {name: verified.claims[name] for name in REPAYMENTS} == REPAYMENTS
    listed = shared.http.get(urlsplit(verified.status.uri).path).text
    named = {"uri": verified.status.uri, "dids": DidResolver(None), "now_ms": shared.clock()}
    verify_status_list(listed, issuer=verified.issuer, **named)
    with pytest.raises(IdentityError):
        verify_status_list(listed, issuer=shared.service.rooms.attest_key.did, **named)


def test_each_credential_is_in_the_log_and_comes_with_what_opens_its_entry(shared):
    created = offer(shared)
    (issued,) = Wallet(shared, created).obtain()
    shared.publish()
    proof = shared.http.get(f"/v1/log/proof/{issued['log']['index']}").json()
    assert proof["index"] == issued["log"]["index"]
    entry, salt = issued["log"]["entry"].encode(), base64.b64decode(issued["log"]["salt"])
    with read_transaction(engine_of(shared)) as transaction:
        stored = transaction.execute(
            select(tables.log_entries.c.commitment).where(tables.log_entries.c.log_index == issued["log"]["index"])
        ).scalar_one()
    assert commitment(entry, salt) == stored
    assert leaf_hash(stored)
    (credential_id,) = state_of(shared, created)["credential_ids"]
    parsed = parse_entry(entry)
    assert parsed.type == "credential"
    assert issued["log"]["entry"] in [each["entry"] for each in shared.entries("institution", type="credential")]
    assert parsed.body == {
        "credential_id": credential_id,
        "vct": VCT,
        "jwt_sha256": hashlib.sha256(issuer_jwt_of(issued["credential"]).encode()).hexdigest(),
    }


def test_claims_that_do_not_fit_are_refused_with_their_place(shared):
    body = {"type": VCT, "claims": REPAYMENTS | {"currency": "shillings"}}
    answer = shared.http.post("/v1/credential-offers", json=body, headers=shared.token("institution", ("issuer",)))
    assert (answer.status_code, answer.json()["code"]) == (422, "claims_do_not_fit")
    assert answer.json()["errors"] == [{"pointer": "/claims/currency", "code": "claims_do_not_fit"}]
    assert "shillings" not in answer.text


def test_the_metadata_names_what_every_tenant_issues(shared):
    wallet = Wallet(shared, offer(shared))
    names = {each.name for each in load_credential_types().values()}
    assert set(wallet.metadata.configurations) == names | {"score"}
    assert wallet.metadata.batch_size == 16
    assert wallet.metadata.authorization_servers == (wallet.issuer,)
    for name in ("openid-credential-issuer", "oauth-authorization-server"):
        nobody = shared.http.get(f"/.well-known/{name}/v1/issuers/ten_{'0' * 16}")
        assert (nobody.status_code, nobody.json()["code"]) == (404, "not_found")


def test_an_offer_is_drawn_as_a_qr_code(shared):
    created = offer(shared)
    drawn = shared.http.get(urlsplit(created["qr_uri"]).path)
    assert (drawn.status_code, drawn.headers["content-type"]) == (200, "image/svg+xml")
    assert drawn.text.startswith("<?xml")
    assert drawn.headers["cache-control"] == "no-store"


def test_a_credential_identifier_is_used_where_one_was_given(shared):
    wallet = Wallet(shared, offer(shared))
    details = [{"type": "openid_credential", "credential_configuration_id": "repayment-history"}]
    answer = wallet.redeem(authorization_details=json.dumps(details))
    (given,) = answer.json()["authorization_details"]
    by_configuration = wallet.request()
    refused(by_configuration, "unknown_credential_configuration", "unknown_credential_configuration")
    named = {"credential_configuration_id": None, "credential_identifier": given["credential_identifiers"][0]}
    assert wallet.request(**named).status_code == 200


def test_a_batch_binds_each_copy_to_a_key_of_its_own(shared):
    wallet = Wallet(shared, offer(shared))
    wallet.keys = [SigningKey.generate("EdDSA"), SigningKey.generate()]
    issued = wallet.obtain()
    payloads = [parse_json_object(parse_jws(issuer_jwt_of(each["credential"])).payload) for each in issued]
    assert [payload["cnf"]["jwk"] for payload in payloads] == [key.public.jwk for key in wallet.keys]
    assert payloads[0]["iat"] % 86_400 == 0
    assert payloads[0]["status"] != payloads[1]["status"]
    assert set(payloads[0]["_sd"]).isdisjoint(payloads[1]["_sd"])


# What an offer was made of


def test_the_claims_of_an_offer_are_sealed_and_then_gone(shared):
    created = offer(shared, tx_code=True)
    wallet = Wallet(shared, created)

    def stored():
        with read_transaction(engine_of(shared)) as transaction:
            row = transaction.execute(
                select(tables.credential_offers).where(tables.credential_offers.c.id == created["id"])
            ).one()
        with read_transaction(shared.service.issuance.offers._keystore) as transaction:
            keys = transaction.execute(
                select(func.count()).where(tables.offer_keys.c.offer_id == created["id"])
            ).scalar_one()
        return row, keys

    row, keys = stored()
    assert keys == 1
    for secret in (created["tx_code"], wallet.offer.pre_authorized_code, REPAYMENTS["period_from"]):
        assert secret.encode() not in b"".join(str(value).encode() for value in row)
    wallet.obtain()
    row, keys = stored()
    assert (row.sealed, keys) == (None, 0)


def test_what_an_offer_that_nobody_took_holds_is_swept(harness):
    created, other = offer(harness, expires_in_s=60), offer(harness)
    harness.clock.now_ms += 61_000
    assert state_of(harness, created)["state"] == "expired"
    assert harness.service.issuance.offers.sweep(harness.clock()) == 1
    assert harness.service.issuance.offers.sweep(harness.clock()) == 0
    with read_transaction(engine_of(harness)) as transaction:
        sealed = dict(
            transaction.execute(select(tables.credential_offers.c.id, tables.credential_offers.c.sealed)).all()
        )
    assert sealed[created["id"]] is None
    assert sealed[other["id"]] is not None
    over = harness.http.get(urlsplit(created["offer_uri"]).path)
    assert (over.status_code, over.json()["code"]) == (409, "offer_over")


def test_the_sweep_looks_through_no_offer_that_is_done(harness):
    engine, plans = engine_of(harness), []
    if engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL plans by statistics, and so small a table is read whole")

    def explain(connection, _cursor, statement, parameters, *_more):
        if statement.startswith("SELECT credential_offers.id"):
            asked = connection.connection.cursor().execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plans.append(asked.fetchone()[-1])

    event.listen(engine, "before_cursor_execute", explain)
    harness.service.issuance.offers.sweep(harness.clock())
    event.remove(engine, "before_cursor_execute", explain)
    assert plans
    assert all("ix_credential_offers_sealed" in plan for plan in plans)


def test_a_worker_sweeps(harness):
    offer(harness, expires_in_s=60)
    harness.settle()
    harness.clock.now_ms += 61_000
    give_up_at_s = time.monotonic() + 60
    unswept = select(func.count()).where(tables.credential_offers.c.sealed.is_not(None))
    while True:
        with read_transaction(engine_of(harness)) as transaction:
            if not transaction.execute(unswept).scalar_one():
                break
        assert time.monotonic() < give_up_at_s
        time.sleep(0.05)


# Tokens


def test_a_code_is_exchanged_once_and_a_second_time_revokes_its_token(shared):
    created = offer(shared)
    wallet = Wallet(shared, created)
    wallet.redeem()
    refused(wallet.redeem(), "invalid_grant", "pre_authorized_code_invalid")
    refused(wallet.request(), "invalid_token", "credential_token_invalid", 401)
    seen = state_of(shared, created)
    assert (seen["state"], seen["revoked_for"]) == ("revoked", "code_reused")


def test_of_many_wallets_one_gets_a_token(shared):
    wallet = Wallet(shared, offer(shared))
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: wallet.redeem().status_code, range(6)))
    assert sorted(answers) == [200, 400, 400, 400, 400, 400]
    refused(wallet.request(), "invalid_token", "credential_token_invalid", 401)


def test_a_transaction_code_has_five_tries(shared):
    created = offer(shared, tx_code={"length": 4})
    wallet = Wallet(shared, created)
    wrong = f"{(int(created['tx_code']) + 1) % 10_000:04}"
    for _ in range(MAX_TX_CODE_FAILURES - 1):
        refused(wallet.redeem(tx_code=wrong), "invalid_grant", "tx_code_wrong")
    refused(wallet.redeem(tx_code=wrong), "invalid_grant", "tx_code_wrong")
    refused(wallet.redeem(), "invalid_grant", "pre_authorized_code_invalid")
    seen = state_of(shared, created)
    assert (seen["state"], seen["revoked_for"]) == ("revoked", "tx_code")


def test_guesses_at_a_transaction_code_that_come_at_once_count_each(shared):
    created = offer(shared, tx_code=True)
    wallet = Wallet(shared, created)
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda number: wallet.redeem(tx_code=f"x{number}").json()["code"], range(12)))
    assert sorted(answers) == ["pre_authorized_code_invalid"] * 7 + ["tx_code_wrong"] * 5
    refused(wallet.redeem(), "invalid_grant", "pre_authorized_code_invalid")


def test_four_wrong_transaction_codes_leave_a_try(shared):
    created = offer(shared, tx_code=True)
    wallet = Wallet(shared, created)
    for number in range(MAX_TX_CODE_FAILURES - 1):
        refused(wallet.redeem(tx_code=f"x{number}"), "invalid_grant", "tx_code_wrong")
    assert wallet.redeem().status_code == 200


@pytest.mark.parametrize(
    ("tx_code", "changes", "error", "code"),
    [
        (True, {"tx_code": None}, "invalid_request", "tx_code_missing"),
        (False, {"tx_code": "1234"}, "invalid_request", "tx_code_not_expected"),
        (False, {"pre-authorized_code": "0" * 64}, "invalid_grant", "pre_authorized_code_invalid"),
        (False, {"pre-authorized_code": None}, "invalid_request", "invalid_request"),
        (False, {"grant_type": None}, "invalid_request", "invalid_request"),
        (False, {"grant_type": "authorization_code"}, "unsupported_grant_type", "unsupported_grant_type"),
        (False, {"authorization_details": "["}, "invalid_request", "bad_json"),
        (False, {"authorization_details": "[]"}, "invalid_request", "credential_request_invalid"),
        (
            False,
            {"authorization_details": '[{"type":"openid_credential","credential_configuration_id":"score"}]'},
            "invalid_request",
            "unknown_credential_configuration",
        ),
    ],
)
def test_a_token_request_is_refused_and_may_be_made_again(shared, tx_code, changes, error, code):
    wallet = Wallet(shared, offer(shared, tx_code=tx_code))
    refused(wallet.redeem(**changes), error, code)
    assert wallet.redeem().status_code == 200


def test_a_code_expires(harness):
    wallet = Wallet(harness, offer(harness, expires_in_s=60))
    harness.clock.now_ms += 60_000
    refused(wallet.redeem(), "invalid_grant", "pre_authorized_code_invalid")


def test_a_token_expires(harness):
    created = offer(harness)
    wallet = Wallet(harness, created)
    wallet.redeem()
    harness.clock.now_ms += TOKEN_VALID_MS
    refused(wallet.request(), "invalid_token", "credential_token_invalid", 401)
    harness.tokens.clear()
    assert state_of(harness, created)["state"] == "expired"


def test_codes_and_tokens_are_of_one_tenant(shared):
    theirs, ours = Wallet(shared, offer(shared, "other")), Wallet(shared, offer(shared))
    mine = ours.token_endpoint
    ours.token_endpoint = theirs.token_endpoint
    refused(ours.redeem(), "invalid_grant", "pre_authorized_code_invalid")
    ours.token_endpoint = mine
    ours.redeem()
    theirs.redeem()
    ours.token, theirs.token = theirs.token, ours.token
    for wallet in (ours, theirs):
        refused(wallet.request(), "invalid_token", "credential_token_invalid", 401)
    ours.token = theirs.token
    assert ours.request().status_code == 200


def test_another_tenants_offers_are_not_there(shared):
    created = offer(shared)
    for method in ("GET", "DELETE"):
        answer = shared.http.request(
            method, f"/v1/credential-offers/{created['id']}", headers=shared.token("other", ("issuer",))
        )
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert state_of(shared, created)["state"] == "offered"


def test_an_offer_is_taken_back_until_it_is_issued(shared):
    headers = shared.token("institution", ("issuer",))
    fresh, redeemed, issued = offer(shared), offer(shared), offer(shared)
    taken = Wallet(shared, redeemed)
    taken.redeem()
    Wallet(shared, issued).obtain()
    for created in (fresh, redeemed, fresh):
        answer = shared.http.delete(f"/v1/credential-offers/{created['id']}", headers=headers)
        assert (answer.status_code, answer.json()["state"]) == (200, "revoked")
        assert answer.json()["revoked_for"] == "issuer"
    refused(taken.request(), "invalid_token", "credential_token_invalid", 401)
    late = shared.http.delete(f"/v1/credential-offers/{issued['id']}", headers=headers)
    assert (late.status_code, late.json()["code"]) == (409, "offer_over")


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer"}, {"Authorization": "Basic YTpi"}])
def test_a_credential_is_not_issued_without_a_token(shared, headers):
    wallet = Wallet(shared, offer(shared))
    answer = wallet.request(headers=headers)
    refused(answer, "invalid_token", "credential_token_invalid", 401)
    assert answer.headers["www-authenticate"].startswith("Bearer")


# Proofs


def test_a_credential_request_that_is_sent_again_issues_nothing_twice(shared):
    created = offer(shared)
    wallet = Wallet(shared, created)
    wallet.redeem()
    proofs = wallet.proofs()
    assert wallet.request(proofs).status_code == 200
    refused(wallet.request(proofs), "credential_request_denied", "already_issued")
    refused(wallet.request(), "credential_request_denied", "already_issued")
    assert len(state_of(shared, created)["credential_ids"]) == 1


def test_of_many_requests_one_is_issued(shared):
    created = offer(shared)
    wallet = Wallet(shared, created)
    wallet.redeem()
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: wallet.request().status_code, range(6)))
    assert sorted(answers) == [200, 400, 400, 400, 400, 400]
    assert len(state_of(shared, created)["credential_ids"]) == 1


def test_a_nonce_is_of_one_tenant_and_for_one_request(shared):
    tenants = ("institution", "institution", "other")
    first, second, theirs = (Wallet(shared, offer(shared, tenant)) for tenant in tenants)
    for wallet in (first, second):
        wallet.redeem()
    nonce = first.nonce()
    assert first.request(first.proofs(nonce)).status_code == 200
    refused(second.request(second.proofs(nonce)), "invalid_nonce", "nonce_spent")
    refused(second.request(second.proofs(theirs.nonce())), "invalid_nonce", "nonce_invalid")
    refused(second.request(second.proofs("made-up")), "invalid_nonce", "nonce_invalid")
    assert second.request().status_code == 200


def test_a_proof_is_refused_by_its_own_name_and_the_wallet_may_try_again(shared):
    wallet = Wallet(shared, offer(shared))
    wallet.redeem()
    key, now_s = wallet.keys[0], shared.clock() // 1000

    def proof(header=None, **changes):
        claims = {"aud": wallet.issuer, "iat": now_s, "nonce": wallet.nonce()} | changes
        header = {"typ": PROOF_TYP, "jwk": key.public.jwk} if header is None else header
        claims = {name: value for name, value in claims.items() if value is not None}
        return sign_jws(header, encode_json(claims), key)

    for compact, code in (
        (proof(nonce=None), "key_proof_nonce_missing"),
        (proof(aud="https://other.example"), "key_proof_audience_mismatch"),
        (proof(aud=wallet.issuer.rpartition("/")[0] + "/ten_0000000000000000"), "key_proof_audience_mismatch"),
        (proof(iat=now_s - 400), "key_proof_stale"),
        (proof(iss="me"), "key_proof_issuer_not_allowed"),
        (proof(header={"typ": PROOF_TYP}), "key_proof_key_ambiguous"),
        (proof(header={"typ": "JWT", "jwk": key.public.jwk}), "wrong_typ"),
        (proof(header={"typ": PROOF_TYP, "jwk": key.to_private_jwk()}), "private_key_in_jwk"),
        ("eyJhbGciOiJub25lIn0.e30.", "alg_not_allowed"),
        ("a.b.c", "bad_base64"),
    ):
        refused(wallet.request([compact]), "invalid_proof", code)
    same = wallet.nonce()
    refused(wallet.request([proof(nonce=same), proof(nonce=same)]), "invalid_proof", "holder_key_repeated")
    refused(wallet.request([]), "invalid_proof", "key_proof_missing")
    refused(wallet.request([proof()] * 17), "invalid_proof", "too_many_key_proofs")
    assert wallet.request().status_code == 200


@pytest.mark.parametrize(
    ("changes", "error", "code"),
    [
        ({"credential_configuration_id": "score"}, "unknown_credential_configuration", None),
        ({"credential_configuration_id": None}, "invalid_credential_request", "credential_request_invalid"),
        (
            {"credential_configuration_id": None, "credential_identifier": "repayment-history"},
            "unknown_credential_identifier",
            None,
        ),
        ({"credential_response_encryption": {}}, "invalid_encryption_parameters", "response_encryption_not_offered"),
        ({"proofs": None}, "invalid_proof", "key_proof_missing"),
        ({"proofs": {"attestation": ["a"]}}, "invalid_proof", "proof_type_not_supported"),
    ],
)
def test_a_credential_request_is_refused(shared, changes, error, code):
    wallet = Wallet(shared, offer(shared))
    wallet.redeem()
    refused(wallet.request(**changes), error, code or error)


def test_what_is_no_json_is_no_credential_request(shared):
    wallet = Wallet(shared, offer(shared))
    wallet.redeem()
    headers = {"Authorization": f"Bearer {wallet.token}"}
    for content, media_type, code in (
        (b'{"a": 1, "a": 2}', "application/json", "json_duplicate_key"),
        (b"[", "application/json", "bad_json"),
        (b"{}", "text/plain", "bad_json"),
    ):
        answer = shared.http.post(
            wallet.metadata.credential_endpoint, content=content, headers=headers | {"Content-Type": media_type}
        )
        refused(answer, "invalid_credential_request", code)


# Copies of a score


def offer_copies(harness, score, tenant="lender", **body):
    return harness.http.post(f"/v1/scores/{score['id']}/offers", json=body, headers=harness.token(tenant))


def test_copies_of_a_score_have_nothing_in_common_that_tells_them(shared):
    score = shared.score()
    created = offer_copies(shared, score, tx_code=True).json()
    wallet = Wallet(shared, created)
    wallet.keys = [SigningKey.generate() for _ in range(8)]
    issued = wallet.obtain()
    assert len(issued) == 8
    seen = shared.http.get(f"/v1/scores/{score['id']}/offers/{created['id']}", headers=shared.token()).json()
    assert (seen["state"], seen["score_id"], len(seen["credential_ids"])) == ("issued", score["id"], 8)

    original = parse_json_object(parse_jws(issuer_jwt_of(score["credential"])).payload)
    payloads = [parse_json_object(parse_jws(issuer_jwt_of(each["credential"])).payload) for each in issued]
    entries = [parse_entry(each["log"]["entry"].encode()).body for each in issued]
    common = {"iss", "vct", "_sd_alg", "iat", "exp"}
    for payload in payloads:
        assert {name for name in payload if payload[name] == payloads[0][name] and payload is not payloads[0]} <= common
        assert (payload["iat"] % 86_400, payload["exp"] % 86_400) == (0, 0)
        assert payload["exp"] * 1000 <= shared.clock() + 30 * DAY_MS
    texts = [json.dumps([payload, entry]) for payload, entry in zip(payloads, entries, strict=True)]
    for payload in (*payloads, original):
        others = [text for text, each in zip(texts, payloads, strict=True) if each is not payload]
        unique = [payload["sub"], payload["cnf"]["jwk"]["x"], *payload["_sd"]]
        assert not [value for value in unique if any(value in text for text in others)]
    indices = {(each["status"]["status_list"]["uri"], each["status"]["status_list"]["idx"]) for each in payloads}
    assert len(indices) == 8
    assert all(score["id"] not in text and score["request_id"] not in text for text in texts)
    salts = [
        json.loads(base64.urlsafe_b64decode(part + "=="))[0]
        for each in issued
        for part in each["credential"].split("~")[1:-1]
    ]
    assert len(set(salts)) == len(salts)

    for each, key in zip(issued, wallet.keys, strict=True):
        verified = verify_score_credential(
            each["credential"], trusted_issuers={shared.service.rooms.attest_key.did}, now_ms=shared.clock()
        )
        assert verified.holder == key.public
        assert (verified.claims["points"], verified.claims["band"]) == (score["points"], score["band"])
        assert entries[issued.index(each)]["jwt_sha256"] == (
            hashlib.sha256(issuer_jwt_of(each["credential"]).encode()).hexdigest()
        )
    assert len(shared.entries(limit=200, type="score_copy")) >= 8


def test_the_key_of_a_copy_opens_its_score_to_the_holder_and_no_consent(shared):
    holder = SigningKey.generate()
    score = shared.score(holder=holder)
    shared.score(holder=holder)
    wallet = Wallet(shared, offer_copies(shared, score).json())
    wallet.obtain()
    held = shared.holder(wallet.keys[0])

    def listed(name):
        return shared.http.get(f"/v1/holder/{name}", headers=held).json()[name]

    assert [each["id"] for each in listed("scores")] == [score["id"]]
    assert [each["score_id"] for each in listed("requests")] == [score["id"]]
    (receipt,) = listed("receipts")
    assert shared.http.get(f"/v1/holder/receipts/{receipt['id']}", headers=held).status_code == 200
    assert shared.http.get(f"/v1/holder/scores/{score['id']}", headers=held).json()["id"] == score["id"]
    assert listed("consents") == []
    for change in ("withdrawal", "renewal"):
        answer = shared.http.post(f"/v1/holder/consents/{receipt['consent_id']}/{change}", headers=held)
        assert answer.status_code == 404


def test_every_claim_of_a_copy_is_disclosed_by_itself(shared):
    wallet = Wallet(shared, offer_copies(shared, shared.score()).json())
    (issued,) = wallet.obtain()
    parts = issued["credential"].split("~")
    payload = parse_json_object(parse_jws(parts[0]).payload)
    assert {"id", "request_id", "points", "band"}.isdisjoint(payload)
    claims, _ = disclose_claims(payload, parts[1:-1])
    assert {"id", "request_id", "points", "band", "reasons"} <= set(claims)


def test_a_key_is_used_for_one_copy_at_whatever_tenant(shared):
    first = Wallet(shared, offer_copies(shared, shared.score()).json())
    first.obtain()
    second = Wallet(shared, offer_copies(shared, shared.score("another lender"), "another lender").json())
    second.redeem()
    second.keys = [SigningKey.generate(), first.keys[0]]
    refused(second.request(), "invalid_proof", "holder_key_used_before")
    second.keys = second.keys[:1]
    assert second.request().status_code == 200


def test_a_key_that_presented_credentials_anywhere_is_used_for_no_copy(shared):
    holder, elsewhere = SigningKey.generate(), SigningKey.generate()
    score = shared.score(holder=holder)
    shared.score("another lender", holder=elsewhere)
    wallet = Wallet(shared, offer_copies(shared, score).json())
    wallet.redeem()
    for known in (holder, elsewhere):
        wallet.keys = [SigningKey.generate(), known]
        refused(wallet.request(), "invalid_proof", "holder_key_used_before")
    wallet.keys = wallet.keys[:1]
    assert wallet.request().status_code == 200


def test_a_score_that_is_not_ones_own_is_not_offered(shared):
    score = shared.score()
    answer = offer_copies(shared, score, "another lender")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_a_score_that_was_revoked_is_neither_offered_nor_copied(shared):
    score = shared.score()
    wallet = Wallet(shared, offer_copies(shared, score).json())
    wallet.redeem()
    revoked = shared.http.put(
        f"/v1/scores/{score['id']}/status",
        json={"status": "revoked", "reason": "issued_in_error"},
        headers=shared.token("lender", ("operator",)),
    )
    assert revoked.status_code == 200, revoked.text
    keys = select(tables.offer_keys.c.offer_id)
    with read_transaction(shared.service.issuance.offers._keystore) as transaction:
        before = set(transaction.execute(keys).scalars())
    answer = offer_copies(shared, score)
    assert (answer.status_code, answer.json()["code"]) == (409, "score_not_valid")
    with read_transaction(shared.service.issuance.offers._keystore) as transaction:
        assert set(transaction.execute(keys).scalars()) == before
    refused(wallet.request(), "credential_request_denied", "score_not_valid")


def test_a_score_on_its_last_day_is_not_offered(harness):
    score = harness.score()
    harness.clock.now_ms += 30 * DAY_MS - 1
    harness.tokens.clear()
    answer = offer_copies(harness, score)
    assert (answer.status_code, answer.json()["code"]) == (409, "score_over")


def test_a_database_that_fails_while_issuing_issues_nothing(harness, monkeypatch):
    from api.store.database import StoreUnavailable

    created = offer(harness)
    wallet = Wallet(harness, created)
    wallet.redeem()
    offers = harness.service.issuance.offers
    whole = offers.issue_in

    def fail(transaction, *arguments):
        whole(transaction, *arguments)
        raise StoreUnavailable

    monkeypatch.setattr(offers, "issue_in", fail)
    proofs = wallet.proofs()
    answer = wallet.request(proofs)
    assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
    monkeypatch.undo()
    assert state_of(harness, created)["credential_ids"] == []
    refused(wallet.request(proofs), "invalid_nonce", "nonce_spent")
    assert wallet.request().status_code == 200


def test_an_issuer_key_is_made_once_and_comes_back_after_a_restart(harness):
    keys = harness.service.issuance.issuer_keys
    with ThreadPoolExecutor(4) as threads:
        made = set(threads.map(lambda _: keys.load_or_append_key("ten_1", 1).did, range(8)))
    assert len(made) == 1
    again = type(keys)(keystore=keys._keystore, master_keys=[bytes(32), *keys._master_keys])
    assert {again.load_or_append_key("ten_1", 2).did} == made
    assert again.load_key_of(made.pop()) is not None
    assert again.load_key_of(SigningKey.generate().did) is None
    assert keys.load_or_append_key("ten_2", 1).did != again.load_or_append_key("ten_1", 1).did
