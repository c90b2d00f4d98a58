"""Fuzz targets: OpenID4VCI, proofs of possession, issuer lists, receipts, certificates."""

import json
from typing import Any

from identity import certificate, consent_receipt, encoding, holder_proof, issuer_list, key_proof, openid4vci
from identity.trust import TrustedIssuer
from tests.fuzz.mutations import dump_json, mutate_bytes, mutate_json_text, mutate_jws, mutate_lines
from tests.fuzz.targets import DIDS, HOLDER, ISSUER, NOW_MS, Target, _sign, _whole_token, taken, text_of

CREDENTIAL_ISSUER = "https://issuer.example/t/1"


def _run_offer(data: bytes) -> bool:
    offer = taken(lambda: openid4vci.parse_credential_offer(data))
    if offer is None:
        return False
    value = json.loads(data)
    assert offer.credential_issuer == value["credential_issuer"]
    assert list(offer.configuration_ids) == value["credential_configuration_ids"]
    return True


def _run_offer_link(data: bytes) -> bool:
    text = data.decode("utf-8", "replace")
    uri = taken(lambda: openid4vci.parse_offer_link(text))
    assert uri is None or openid4vci.parse_offer_link(openid4vci.offer_link(uri)) == uri
    return uri is not None


def _run_metadata(data: bytes) -> bool:
    metadata = taken(lambda: openid4vci.parse_issuer_metadata(data, credential_issuer=CREDENTIAL_ISSUER))
    assert metadata is None or json.loads(data)["credential_issuer"] == CREDENTIAL_ISSUER
    assert metadata is None or metadata.batch_size >= 1
    return metadata is not None


def _run_details(data: bytes) -> bool:
    details = taken(
        lambda: openid4vci.parse_authorization_details(
            encoding.parse_json(data), credential_issuer=CREDENTIAL_ISSUER, configuration_id="MobileMoney"
        )
    )
    assert details is None or all(each["credential_identifiers"] == ["MobileMoney"] for each in details)
    return details is not None


def _run_request(data: bytes) -> bool:
    request = taken(lambda: openid4vci.parse_credential_request(data))
    if request is None:
        return False
    assert (request.configuration_id is None) != (request.identifier is None)
    assert 1 <= len(request.proofs) <= openid4vci.MAX_BATCH
    assert list(request.proofs) == json.loads(data)["proofs"]["jwt"]
    return True


def _verify_key_proof(data: bytes) -> Any:
    return key_proof.verify_key_proof(text_of(data), credential_issuer=CREDENTIAL_ISSUER, now_ms=NOW_MS)


def _run_signed_key_proof(data: bytes) -> bool:
    """Header and payload are the fuzzer's, the signature the holder's: the key proven is always that one."""
    header, _, payload = data.partition(b"\n")
    proof = taken(lambda: _verify_key_proof(_sign(header, payload, HOLDER).encode()))
    if proof is None:
        return False
    claims = json.loads(payload)
    assert proof.key == HOLDER.public
    assert (claims["aud"], claims["nonce"]) == (CREDENTIAL_ISSUER, proof.nonce)
    assert "iss" not in claims
    assert -360 <= claims["iat"] - NOW_MS / 1000 <= 60
    assert json.loads(header)["typ"] == "openid4vci-proof+jwt"
    return True


def _verify_holder_proof(data: bytes) -> Any:
    return holder_proof.verify_holder_proof(text_of(data), audience=CREDENTIAL_ISSUER, now_ms=NOW_MS)


def _verify_issuer_list(data: bytes) -> Any:
    verified = issuer_list.verify_issuer_list(text_of(data), signer=ISSUER.did, dids=DIDS, now_ms=NOW_MS)
    return verified.issuer, verified.sequence, verified.issuers, verified.expires_at_ms


def _run_signed_issuer_list(data: bytes) -> bool:
    header, _, payload = data.partition(b"\n")
    said = taken(lambda: _verify_issuer_list(_sign(header, payload, ISSUER).encode()))
    if said is None:
        return False
    members = json.loads(payload)
    assert members["exp"] * 1000 > NOW_MS
    assert [(each.did, each.vct) for each in said[2]] == [(each["did"], each["vct"]) for each in members["issuers"]]
    return True


def _issuer_list() -> bytes:
    trusted = (TrustedIssuer(did=HOLDER.did, vct="urn:credence:mobile-money:1", valid_from_ms=0, valid_to_ms=10**12),)
    signed = issuer_list.sign_issuer_list(issuers=trusted, sequence=3, key=ISSUER, now_ms=NOW_MS, expires_in_s=900)
    return signed.encode()


def _receipt() -> bytes:
    receipt = consent_receipt.ConsentReceipt(
        id="rcp_1",
        consent_id="con_1",
        principal_id="sub_1",
        controller=consent_receipt.Controller(
            id="t", name="A lender", contact=None, privacy_notice="https://lender.example/p", jurisdiction="KE"
        ),
        processor="https://credence.example",
        purpose="credit_application",
        information=(
            consent_receipt.PiiInformation(credential_type="urn:x", disclosed=("a",), unused=(), withheld=("b",)),
        ),
        retention_days=760,
        withdrawal="https://credence.example/v1/holder/consents/con_1/withdrawal",
        state="given",
        event_at_ms=NOW_MS,
        valid_days=30,
        request_id="req_1",
        score_id="sco_1",
    )
    signed = consent_receipt.issue_consent_receipt(receipt, key=ISSUER, random_bytes=bytes)
    return signed.encode()


def _verify_receipt(data: bytes) -> Any:
    return consent_receipt.verify_consent_receipt(text_of(data), trusted_keys=[ISSUER.public])


def _certificate() -> bytes:
    chain = certificate.parse_certificate_chain(
        certificate.issue_self_signed(ISSUER, name="verifier.example", now_ms=NOW_MS)
    )
    return chain.leaf.der


def _run_certificate(data: bytes) -> bool:
    parsed = taken(lambda: certificate.parse_certificate(data))
    assert parsed is None or parsed.der == data
    return parsed is not None


_CONFIGURATION = {
    "format": "dc+sd-jwt",
    "vct": "urn:credence:mobile-money:1",
    "proof_types_supported": {"jwt": {"proof_signing_alg_values_supported": ["ES256"]}},
    "credential_metadata": {"claims": [{"path": ["currency"], "display": [{"name": "Currency"}]}]},
}
_LIST_TEXT = encoding.decode_base64url(_issuer_list().decode().split(".")[1])

ISSUANCE_TARGETS: dict[str, Target] = {
    "credential-offer": Target(
        seeds=(
            dump_json(
                openid4vci.build_credential_offer(
                    credential_issuer=CREDENTIAL_ISSUER, configuration_id="MobileMoney", code="c", tx_code_length=6
                )
            ),
        ),
        run=_run_offer,
        mutate=mutate_json_text,
    ),
    "credential-offer-link": Target(
        seeds=(openid4vci.offer_link("https://[2001:db8::1]/o/1").encode(),), run=_run_offer_link, mutate=mutate_bytes
    ),
    "issuer-metadata": Target(
        seeds=(dump_json(openid4vci.build_issuer_metadata(CREDENTIAL_ISSUER, {"MobileMoney": _CONFIGURATION})),),
        run=_run_metadata,
        mutate=mutate_json_text,
    ),
    "authorization-details": Target(
        seeds=(dump_json([{"type": "openid_credential", "credential_configuration_id": "MobileMoney"}]),),
        run=_run_details,
        mutate=mutate_json_text,
    ),
    "credential-request": Target(
        seeds=(dump_json({"credential_configuration_id": "MobileMoney", "proofs": {"jwt": ["a.b.c", "d"]}}),),
        run=_run_request,
        mutate=mutate_json_text,
    ),
    "key-proof": _whole_token(
        _verify_key_proof,
        mutate_jws,
        key_proof.make_key_proof(key=HOLDER, credential_issuer=CREDENTIAL_ISSUER, nonce="n", now_ms=NOW_MS).encode(),
    ),
    "key-proof-signed": Target(
        seeds=(
            dump_json({"alg": "ES256", "typ": key_proof.PROOF_TYP, "jwk": HOLDER.public.jwk})
            + b"\n"
            + dump_json({"aud": CREDENTIAL_ISSUER, "iat": NOW_MS // 1000, "nonce": "n"}),
            dump_json({"alg": "ES256", "typ": key_proof.PROOF_TYP, "kid": HOLDER.kid})
            + b"\n"
            + dump_json({"aud": CREDENTIAL_ISSUER, "iat": NOW_MS // 1000, "nonce": "n"}),
        ),
        run=_run_signed_key_proof,
        mutate=mutate_lines,
    ),
    "holder-proof": _whole_token(
        _verify_holder_proof,
        mutate_jws,
        holder_proof.sign_holder_proof(audience=CREDENTIAL_ISSUER, nonce="n", key=HOLDER, now_ms=NOW_MS).encode(),
    ),
    "issuer-list": _whole_token(_verify_issuer_list, mutate_jws, _issuer_list()),
    "issuer-list-signed": Target(
        seeds=(
            dump_json({"alg": "ES256", "typ": issuer_list.ISSUER_LIST_TYP, "kid": ISSUER.kid}) + b"\n" + _LIST_TEXT,
        ),
        run=_run_signed_issuer_list,
        mutate=mutate_lines,
    ),
    "consent-receipt": _whole_token(_verify_receipt, mutate_jws, _receipt()),
    "certificate": Target(
        seeds=(_certificate(),),
        run=_run_certificate,
        mutate=mutate_bytes,
    ),
}
