"""Two other implementations agree with ours, in both directions and with key binding: npm's and PyPI's SD-JWT."""

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from jwcrypto.jwk import JWK
from sd_jwt.common import SDObj
from sd_jwt.holder import SDJWTHolder
from sd_jwt.issuer import SDJWTIssuer
from sd_jwt.verifier import SDJWTVerifier

from identity.errors import CredentialRevoked, NonceMismatch
from identity.holder import add_key_binding
from identity.jws import parse_jws
from identity.key_binding import KeyBinding
from identity.keys import SigningKey, parse_public_jwk
from identity.score_credential import issue_score_credential
from identity.sd_jwt import select_disclosures, verify_sd_jwt
from identity.status_list import StatusReference, issue_status_list

ROOT = Path(__file__).parents[2]
MOBILE_MONEY = "urn:credence:mobile-money:1"
ASKED = ("currency", "inflow_minor", "period_to")
LIST_URI = "https://issuer.example/status/1"

Npm = Callable[..., Any]


@pytest.fixture(scope="session")
def npm() -> Npm:
    """Run one command of interop/sd_jwt_vc.mjs."""
    if not (ROOT / "node_modules" / "@sd-jwt" / "sd-jwt-vc").is_dir():
        pytest.skip("node_modules is not here (npm ci): @sd-jwt/sd-jwt-vc cannot be run")
    node = shutil.which("node")
    assert node, "node_modules is here, but node is not on the PATH"
    version = json.loads((ROOT / "node_modules" / "@sd-jwt" / "sd-jwt-vc" / "package.json").read_text())["version"]
    assert version == "0.19.0"

    def run(command: str, **parameters: Any) -> Any:
        script = Path(__file__).parent / "interop" / "sd_jwt_vc.mjs"
        text = json.dumps({"command": command, **parameters})
        done = subprocess.run([node, script], input=text, capture_output=True, text=True, timeout=60, cwd=ROOT)
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        assert "error" not in answer, answer["error"]
        return answer["result"]

    return run


def credential_claims(scene: Any, **members: Any) -> dict[str, Any]:
    return {
        "iss": scene.issuer.did,
        "iat": scene.now_ms // 1000,
        "exp": scene.now_ms // 1000 + 86_400,
        "vct": MOBILE_MONEY,
        "cnf": {"jwk": scene.holder.public.jwk},
        **members,
        **scene.claims("mobile-money"),
    }


def asked_claims(scene: Any) -> dict[str, Any]:
    return {name: scene.claims("mobile-money")[name] for name in ASKED}


# npm: @sd-jwt/sd-jwt-vc 0.19.0


def test_a_credential_of_npms_issuer_presented_by_npms_holder_verifies_here(
    scene: Any, npm: Npm, published_lists: Any
) -> None:
    request = scene.request(scene.query(claims=ASKED))
    list_header = {"kid": scene.issuer.kid, "typ": "statuslist+jwt"}
    list_payload = {
        "iss": scene.issuer.did,
        "sub": LIST_URI,
        "iat": scene.now_ms // 1000,
        "exp": scene.now_ms // 1000 + 3600,
    }
    issuer_key = scene.issuer.to_private_jwk()
    token = npm("publish", key=issuer_key, payload=list_payload, statuses=[0, 1, 0, 2], header=list_header)
    for index, error in ((2, None), (1, CredentialRevoked)):
        status = {"status_list": {"idx": index, "uri": LIST_URI}}
        sd_jwt = npm(
            "issue",
            key=issuer_key,
            claims=credential_claims(scene, status=status),
            disclosable=list(scene.claims("mobile-money")),
            header={"kid": scene.issuer.kid},
        )
        binding = {"iat": scene.now_ms // 1000, "aud": request.audience, "nonce": request.nonce}
        presentation = npm(
            "present", key=scene.holder.to_private_jwk(), sd_jwt=sd_jwt, names=list(ASKED), binding=binding
        )
        lists = published_lists({LIST_URI: token})
        if error is None:
            verified = scene.verify({"c0": [presentation]}, request, lists=lists)
            assert verified.credentials[0].claims == asked_claims(scene)
            assert verified.holder == scene.holder.public
        else:
            with pytest.raises(error):
                scene.verify({"c0": [presentation]}, request, lists=lists)


def test_a_credential_of_ours_presented_by_our_holder_verifies_with_npm(scene: Any, npm: Npm) -> None:
    request = scene.request(scene.query(claims=ASKED))
    sd_jwt = scene.credential(status=StatusReference(uri=LIST_URI, index=1))
    (presentation,) = scene.present(request, sd_jwt)["c0"]
    token = issue_status_list(
        uri=LIST_URI,
        statuses=bytes([1, 0]),
        bits=1,
        key=scene.issuer,
        now_ms=scene.now_ms,
        ttl_s=60,
        expires_in_s=3600,
    )
    verified = npm(
        "verify",
        issuer_jwk=scene.issuer.public.jwk,
        presentation=presentation,
        nonce=request.nonce,
        now_s=scene.now_ms // 1000,
        status_list=token,
    )
    claims = scene.claims("mobile-money").keys()
    assert {name: value for name, value in verified["payload"].items() if name in claims} == asked_claims(scene)
    assert verified["payload"]["cnf"] == {"jwk": scene.holder.public.jwk}
    assert (verified["binding"]["nonce"], verified["binding"]["aud"]) == (request.nonce, request.audience)


def test_our_score_credential_verifies_with_npm_whole_and_in_part(scene: Any, npm: Npm) -> None:
    score = {"outcome": "scored", "points": 612, "band": "C"}
    issued = issue_score_credential(
        score=score,
        holder=scene.holder.public,
        subject="s-1",
        status=StatusReference(uri=LIST_URI, index=0),
        issued_at_ms=scene.now_ms,
        valid_until_ms=scene.now_ms + 86_400_000,
        key=scene.verifier_key,
    )
    token = issue_status_list(
        uri=LIST_URI,
        statuses=bytes(2),
        bits=1,
        key=scene.verifier_key,
        now_ms=scene.now_ms,
        ttl_s=60,
        expires_in_s=3600,
    )
    for names in (("outcome", "points", "band"), ("band",)):
        verified = npm(
            "verify",
            issuer_jwk=scene.verifier_key.public.jwk,
            presentation=select_disclosures(issued.sd_jwt, names),
            now_s=scene.now_ms // 1000,
            status_list=token,
        )
        assert {name: verified["payload"][name] for name in score if name in verified["payload"]} == {
            name: score[name] for name in names
        }


# PyPI: sd-jwt 0.10.4


def jwk(key: SigningKey) -> JWK:
    return JWK(**key.to_private_jwk())


def test_a_credential_of_pypis_issuer_presented_by_pypis_holder_verifies_here(scene: Any) -> None:
    request = scene.request(scene.query(claims=ASKED))
    claims = credential_claims(scene, exp=2_000_000_000)
    del claims["cnf"]
    own = scene.claims("mobile-money")
    issuer = SDJWTIssuer(
        user_claims={SDObj(name) if name in own else name: value for name, value in claims.items()},
        issuer_key=jwk(scene.issuer),
        holder_key=jwk(scene.holder),
        add_decoy_claims=True,
        extra_header_parameters={"typ": "dc+sd-jwt", "kid": scene.issuer.kid},
    )
    holder = SDJWTHolder(issuer.sd_jwt_issuance)
    holder.create_presentation(
        dict.fromkeys(ASKED, True), nonce=request.nonce, aud=request.audience, holder_key=jwk(scene.holder)
    )
    # That holder stamps the binding with its own clock, so the clock of this test is set by it.
    binding = json.loads(parse_jws(holder.sd_jwt_presentation.rpartition("~")[2]).payload)
    now_ms = binding["iat"] * 1000
    request = replace(request, expires_at_ms=now_ms + 60_000)
    verified = scene.verify({"c0": [holder.sd_jwt_presentation]}, request, now_ms=now_ms)
    assert verified.credentials[0].claims == asked_claims(scene)
    with pytest.raises(NonceMismatch):
        scene.verify({"c0": [holder.sd_jwt_presentation]}, replace(request, nonce="another"), now_ms=now_ms)


def test_a_credential_of_ours_presented_by_our_holder_verifies_with_pypi(scene: Any) -> None:
    request = scene.request(scene.query(claims=ASKED))
    (presentation,) = scene.present(request, scene.credential())["c0"]

    def issuer_key(did: str, header: dict[str, Any]) -> JWK:
        assert (did, header["kid"], header["typ"]) == (scene.issuer.did, scene.issuer.kid, "dc+sd-jwt")
        return JWK(**scene.issuer.public.jwk)

    payload = SDJWTVerifier(presentation, issuer_key, request.audience, request.nonce).get_verified_payload()
    claims = scene.claims("mobile-money").keys()
    assert {name: value for name, value in payload.items() if name in claims} == asked_claims(scene)
    assert payload["vct"] == MOBILE_MONEY


# The specification's own presentation (OpenID4VP 1.0, examples/sd_jwt_vcld/01), made by the same PyPI library


def test_the_specifications_presentation_verifies_and_our_holder_makes_its_like(test_data: Path) -> None:
    folder = test_data / "vectors" / "openid4vp-1.0"
    texts = json.loads((folder / "_texts.json").read_text())
    example = folder / "1.0" / "examples" / "sd_jwt_vcld" / "01"
    presented, issuance = (
        texts[f"1.0/examples/sd_jwt_vcld/01/sd_jwt_{name}.txt"].replace("\n", "")
        for name in ("presentation", "issuance")
    )
    settings = yaml.safe_load(texts["1.0/examples/sd_jwt_vcld/settings.yml"])
    binding = json.loads((example / "kb_jwt_payload.json").read_text())
    issuer_jwk = {name: value for name, value in settings["key_settings"]["issuer_keys"][0].items() if name != "d"}
    arguments: dict[str, Any] = {
        "issuer_key_for": lambda _: parse_public_jwk(issuer_jwk),
        "now_ms": binding["iat"] * 1000,
        "key_binding": KeyBinding(nonce=binding["nonce"], audience=binding["aud"]),
    }
    verified = verify_sd_jwt(presented, **arguments)
    assert verified.claims == json.loads((example / "verified_contents.json").read_text())

    ours = add_key_binding(
        select_disclosures(issuance, ["ld"]),
        nonce=binding["nonce"],
        audience=binding["aud"],
        key=SigningKey.from_private_jwk(settings["key_settings"]["holder_key"]),
        now_ms=binding["iat"] * 1000,
    )
    subject = json.loads((example / "user_claims.json").read_text())["ld"]["credentialSubject"]
    assert verify_sd_jwt(ours, **arguments).claims["ld"]["credentialSubject"] == subject
