"""The nine credential types, and whether claims fit them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import jsonschema_rs

from identity.encoding import JsonValue
from identity.errors import ClaimsDoNotFit

TERMS = "urn:credence:terms#"
"""What the terms of our JSON-LD context expand to: of the types and of their claims."""

_VCT_PREFIX = "urn:credence:"
_W3C_CREDENTIALS = "https://www.w3.org/2018/credentials#"


@dataclass(frozen=True, kw_only=True)
class CredentialType:
    """A credential type: its `vct`, its name in the file system, and its JSON Schema (2020-12).

    The schema speaks of the type's own claims. The envelope (iss, iat, exp, vct, cnf, status, sub) is SD-JWT VC's, and
    everything but `credentialSubject` of a W3C credential, whose `type` names the type by `w3c_name`.
    """

    vct: str
    name: str
    schema: Mapping[str, Any]
    _whole: jsonschema_rs.Draft202012Validator
    _part: jsonschema_rs.Draft202012Validator

    def verify_claims(self, claims: Mapping[str, JsonValue]) -> None:
        """Raises ClaimsDoNotFit unless `claims` are a whole credential of this type, as at issuance."""
        _verify(self._whole, claims)

    def verify_disclosed_claims(self, claims: Mapping[str, JsonValue]) -> None:
        """Raises ClaimsDoNotFit unless `claims` could be a part of such a credential, as in a presentation."""
        _verify(self._part, claims)

    @property
    def w3c_name(self) -> str:
        """The type's term in our JSON-LD context: "mobile-money" is "MobileMoneyCredential"."""
        return "".join(word.capitalize() for word in self.name.split("-")) + "Credential"

    @property
    def w3c_types(self) -> frozenset[str]:
        """The W3C types of such a credential, as terms and fully expanded (OpenID4VP 1.0, appendix B.1.1)."""
        base = "VerifiableCredential"
        return frozenset({base, _W3C_CREDENTIALS + base, self.w3c_name, TERMS + self.w3c_name})

    @property
    def claim_names(self) -> tuple[str, ...]:
        """The names of the type's claims, in the schema's order."""
        return tuple(self.schema["properties"])


def load_credential_types() -> Mapping[str, CredentialType]:
    """The nine types by `vct`, read from the schemas beside this file."""
    loaded = {}
    for file in sorted(files(__package__).iterdir(), key=lambda entry: entry.name):
        if not file.name.endswith(".json"):
            continue
        schema = json.loads(file.read_text("utf-8"))
        vct = schema["$id"]
        disclosed = {keyword: value for keyword, value in schema.items() if keyword != "required"}
        loaded[vct] = CredentialType(
            vct=vct,
            name=vct.removeprefix(_VCT_PREFIX).rsplit(":", 1)[0],
            schema=schema,
            _whole=jsonschema_rs.Draft202012Validator(schema, validate_formats=True),
            _part=jsonschema_rs.Draft202012Validator(disclosed, validate_formats=True),
        )
    return loaded


def _verify(validator: jsonschema_rs.Draft202012Validator, claims: Mapping[str, JsonValue]) -> None:
    try:
        error = next(iter(validator.iter_errors(dict(claims))), None)
    except (ValueError, TypeError, RecursionError):  # a value that no JSON text has
        raise ClaimsDoNotFit(pointer="") from None
    if error is not None:
        # A member the schema lacks is reported at its parent, so the pointer holds only the schema's own names.
        raise ClaimsDoNotFit(pointer="".join(f"/{step}" for step in error.instance_path))
    _verify_no_floats(claims)
    _verify_same_months(claims)
    period_from, period_to = claims.get("period_from"), claims.get("period_to")
    # Both are `format: date` by now, and ISO dates order as text.
    if isinstance(period_from, str) and isinstance(period_to, str) and period_from > period_to:
        raise ClaimsDoNotFit(pointer="/period_to")


def _verify_no_floats(claims: Mapping[str, JsonValue]) -> None:
    """JSON Schema takes 1.0 for an integer; RFC 8785 writes it as 1, so the same claims would have two encodings."""
    for name, value in claims.items():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, float):
                raise ClaimsDoNotFit(pointer=f"/{name}")


def _verify_same_months(claims: Mapping[str, JsonValue]) -> None:
    """Every array of a credential runs over the same months, so arrays of unequal length contradict each other."""
    lengths = {name: len(value) for name, value in claims.items() if isinstance(value, list)}
    if len(set(lengths.values())) > 1:
        raise ClaimsDoNotFit(pointer=f"/{min(lengths, key=lengths.__getitem__)}")
