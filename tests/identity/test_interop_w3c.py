"""npm's @digitalbazaar/vc 7.3.0 and we agree on VCDM 2.0 with eddsa-rdfc-2022, in both directions."""

import json
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from identity.data_integrity import add_proof
from identity.dcql import parse_dcql_query
from identity.did import did_key
from identity.errors import BadSignature, NonceMismatch
from identity.issuance import build_w3c_credential
from identity.key_binding import KeyBinding
from identity.keys import SigningKey
from identity.ldp_vc import sign_presentation_object
from identity.presentation import PresentationRequest
from identity.trust import TrustedIssuer, TrustedIssuers
from identity.vcdm import format_date_time

ROOT = Path(__file__).parents[2]
MOBILE_MONEY = "urn:credence:mobile-money:1"
ISSUER, HOLDER = SigningKey.generate("EdDSA"), SigningKey.generate("EdDSA")
#: The library judges a credential's dates, and takes its `now` from us; proofs are dated by it.
TRUSTED = TrustedIssuers((TrustedIssuer(did=did_key(ISSUER.public), vct=MOBILE_MONEY, valid_from_ms=0),))

Npm = Callable[..., Any]


@pytest.fixture(scope="session")
def npm() -> Npm:
    """Run one command of interop/w3c_vc.mjs."""
    package = ROOT / "node_modules" / "@digitalbazaar" / "vc" / "package.json"
    if not package.is_file():
        pytest.skip("node_modules is not here (npm ci): @digitalbazaar/vc cannot be run")
    node = shutil.which("node")
    assert node, "node_modules is here, but node is not on the PATH"
    assert json.loads(package.read_text())["version"] == "7.3.0"

    def run(command: str, **parameters: Any) -> Any:
        script = Path(__file__).parent / "interop" / "w3c_vc.mjs"
        text = json.dumps({"command": command, **parameters})
        done = subprocess.run([node, script], input=text, capture_output=True, text=True, timeout=60, cwd=ROOT)
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        assert "error" not in answer, answer["error"]
        return answer["result"]

    return run


def key_of(key: SigningKey, now_ms: int) -> dict[str, Any]:
    return {"did": did_key(key.public), "seed": key.to_private_jwk()["d"], "created": format_date_time(now_ms)}


def kid_of(key: SigningKey) -> str:
    did = did_key(key.public)
    return f"{did}#{did.removeprefix('did:key:')}"


def document(scene: Any) -> dict[str, Any]:
    return build_w3c_credential(
        type=scene.types[MOBILE_MONEY],
        claims=scene.claims("mobile-money"),
        holder=did_key(HOLDER.public),
        issuer=did_key(ISSUER.public),
        now_ms=scene.now_ms - 86_400_000,
        expires_at_ms=scene.now_ms + 86_400_000,
    )


def request_for(scene: Any) -> PresentationRequest:
    asked = {
        "id": "c0",
        "format": "ldp_vc",
        "meta": {"type_values": [["VerifiableCredential", "MobileMoneyCredential"]]},
        "claims": [{"path": ["credentialSubject", name]} for name in ("currency", "inflow_minor", "period_to")],
    }
    request: PresentationRequest = scene.request(parse_dcql_query({"credentials": [asked]}))
    return request


def test_what_npms_issuer_and_holder_signed_verifies_here(scene: Any, npm: Npm) -> None:
    request = request_for(scene)
    now = datetime.fromtimestamp(scene.now_ms / 1000, UTC).isoformat()
    credential = npm("issue", key=key_of(ISSUER, scene.now_ms), credential=document(scene), now=now)
    presented = npm(
        "present",
        key=key_of(HOLDER, scene.now_ms),
        credential=credential,
        challenge=request.nonce,
        domain=request.audience,
        now=now,
    )
    assert presented["proof"]["cryptosuite"] == "eddsa-rdfc-2022"
    verified = scene.verify({"c0": [presented]}, request, trusted=TRUSTED)
    claims = scene.claims("mobile-money")
    assert verified.credentials[0].claims == {name: claims[name] for name in ("currency", "inflow_minor", "period_to")}
    assert verified.holder == HOLDER.public

    months = claims["inflow_minor"]
    credential["credentialSubject"]["inflow_minor"] = months[::-1]
    assert months != months[::-1]
    tampered = npm(
        "present",
        key=key_of(HOLDER, scene.now_ms),
        credential=credential,
        challenge=request.nonce,
        domain=request.audience,
        now=now,
    )
    with pytest.raises(BadSignature):
        scene.verify({"c0": [tampered]}, request, trusted=TRUSTED)
    with pytest.raises(NonceMismatch):
        scene.verify({"c0": [presented]}, scene.request(request.query, nonce="other"), trusted=TRUSTED)


def test_what_we_signed_verifies_with_npms_verifier(scene: Any, npm: Npm) -> None:
    request = request_for(scene)
    secured = add_proof(
        document(scene),
        ISSUER,
        cryptosuite="eddsa-rdfc-2022",
        verification_method=kid_of(ISSUER),
        purpose="assertionMethod",
        created=format_date_time(scene.now_ms),
        canonicalize=scene.linked_data.canonicalize,
    )
    presented = sign_presentation_object(
        secured,
        HOLDER,
        holder=did_key(HOLDER.public),
        kid=kid_of(HOLDER),
        cryptosuite="eddsa-rdfc-2022",
        canonicalize=scene.linked_data.canonicalize,
        key_binding=KeyBinding(nonce=request.nonce, audience=request.audience),
        now_ms=scene.now_ms,
    )
    now = datetime.fromtimestamp(scene.now_ms / 1000, UTC).isoformat()
    common = {"challenge": request.nonce, "domain": request.audience, "now": now}
    found = npm("verify", presentation=presented, **common)
    assert found == {"verified": True, "error": None}
    presented["verifiableCredential"][0]["credentialSubject"]["currency"] = "UGX"
    assert npm("verify", presentation=presented, **common)["verified"] is False
