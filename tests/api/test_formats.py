"""A lender asks for a W3C format over HTTP, and the same claims get the same score in every one."""

import json

import pytest

from identity.credential_types.types import load_credential_types
from identity.data_integrity import CRYPTOSUITES, add_proof
from identity.issuance import build_w3c_credential
from identity.key_binding import KeyBinding
from identity.keys import SigningKey
from identity.ldp_vc import sign_presentation_object
from identity.linked_data.workers import LinkedDataWorkers
from identity.trust import TrustedIssuer
from identity.vc_jwt import sign_credential_jwt, sign_presentation_jwt
from identity.vcdm import format_date_time
from tests.api.conftest import DAY_MS, REPAYMENTS, VCT

NAMES = ["credit_line_minor", "statement_minor", "paid_minor", "delay_months"]
W3C_QUERY = {
    "id": "history",
    "meta": {"type_values": [["VerifiableCredential", "RepaymentHistoryCredential"]]},
    "claims": [{"path": ["credentialSubject", name]} for name in NAMES],
}


@pytest.fixture(scope="module")
def linked_data():
    workers = LinkedDataWorkers()
    yield workers
    workers.close()


def present(harness, request, holder, way, linked_data):
    """A presentation by `holder` of the institution's credential, secured in one of the W3C ways."""
    institution, now_ms = harness.institution, harness.clock()
    if way in CRYPTOSUITES and CRYPTOSUITES[way][0] != institution.alg:
        institution = SigningKey.generate(CRYPTOSUITES[way][0])
        trusted = TrustedIssuer(did=institution.did, vct=VCT, valid_from_ms=0)
        tenant_id = harness.service.tenants.load_or_append_tenant("lender", now_ms)
        harness.trust(tenant_id, trusted)
    document = build_w3c_credential(
        type=load_credential_types()[VCT],
        claims=REPAYMENTS,
        holder=holder.did,
        issuer=institution.did,
        now_ms=now_ms - DAY_MS,
        expires_at_ms=now_ms + 30 * DAY_MS,
    )
    signed = {
        "holder": holder.did,
        "kid": holder.kid,
        "key_binding": KeyBinding(nonce=request["nonce"], audience=request["audience"]),
        "now_ms": now_ms,
    }
    if way == "jwt_vc_json":
        return sign_presentation_jwt(sign_credential_jwt(document, institution, kid=institution.kid), holder, **signed)
    suite = {"cryptosuite": way, "canonicalize": linked_data.canonicalize}
    credential = add_proof(
        document,
        institution,
        verification_method=institution.kid,
        purpose="assertionMethod",
        created=format_date_time(now_ms),
        **suite,
    )
    return sign_presentation_object(credential, holder, **signed, **suite)


def test_one_persons_claims_score_equally_in_every_format(shared, linked_data):
    scores = [shared.score()]
    for way in ("jwt_vc_json", *CRYPTOSUITES):
        format = "ldp_vc" if way in CRYPTOSUITES else way
        request = shared.ask(query={"credentials": [{**W3C_QUERY, "format": format}]})
        assert request["query"]["credentials"][0]["format"] == format
        holder = SigningKey.generate(CRYPTOSUITES[way][0] if way in CRYPTOSUITES else "ES256")
        answer = shared.submit(request, {"history": [present(shared, request, holder, way, linked_data)]})
        assert answer.status_code == 201, answer.text
        scores.append(answer.json())
    assert len(scores) == 6
    for name in ("points", "outcome", "reasons", "coverage"):
        assert all(score[name] == scores[0][name] for score in scores), name


def test_a_wallet_posts_a_json_object_and_a_refusal_says_where(shared, linked_data):
    holder = SigningKey.generate()
    request = shared.ask(query={"credentials": [{**W3C_QUERY, "format": "ldp_vc"}]})
    presented = present(shared, request, holder, "ecdsa-jcs-2019", linked_data)
    tampered = json.loads(json.dumps(presented))
    tampered["verifiableCredential"][0]["credentialSubject"]["paid_minor"][0] += 1
    refused = shared.post_response(request, {"history": [tampered]})
    assert (refused.status_code, refused.json()["code"]) == (422, "bad_signature")
    assert shared.poll(request)["refusals"] == 1
    assert shared.post_response(request, {"history": [presented]}).status_code == 200
    assert shared.poll(request)["status"] == "submitted"
