"""docs/trust-lists.md: its JSON Schema says of a list what the code does."""

import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from identity.encoding import parse_json_object
from identity.errors import IdentityError
from identity.issuer_list import sign_issuer_list
from identity.jws import parse_jws
from identity.trust import EVIDENCE_LEVELS, TrustedIssuer
from tests.identity.test_issuer_list import MISSING, MISSING_IN_ENTRY, NOW_MS, SIGNER, entry, payload, signed, verify

PAGE = Path(__file__).resolve().parents[2] / "docs" / "trust-lists.md"


@pytest.fixture(scope="module")
def schema() -> Any:
    (text,) = re.findall(r"```json\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return jsonschema_rs.validator_for(text)


def test_what_is_signed_fits_the_schema(schema: Any) -> None:
    issuers = [
        TrustedIssuer(did=f"did:web:{level}.example", vct="v", valid_from_ms=0, evidence_level=level)
        for level in EVIDENCE_LEVELS
    ]
    token = sign_issuer_list(issuers=issuers, sequence=1, key=SIGNER, now_ms=NOW_MS, expires_in_s=1)
    schema.validate(parse_json_object(parse_jws(token).payload))


@pytest.mark.parametrize(
    "value",
    [
        *MISSING,
        *MISSING_IN_ENTRY,
        payload(more=1),
        payload(sequence=-1),
        payload(sequence=2**53),
        payload(sequence=True),
        payload(issuers=[entry(more=1)]),
        payload(issuers=[entry(did="did:ion:x")]),
        payload(issuers=[entry(vct="a b")]),
        payload(issuers=[entry(evidence_level="regulated")]),
        payload(issuers=[entry(valid_from=-1)]),
        payload(iat="now"),
    ],
)
def test_what_the_schema_refuses_is_refused(schema: Any, value: dict[str, Any]) -> None:
    assert not schema.is_valid(value)
    with pytest.raises(IdentityError):
        verify(signed(value))
