"""DCQL, the query language of OpenID4VP 1.0 (section 6): what a verifier asks for, and whether it was given.

This is the part of the language that a scoring request needs, for the formats that the house speaks. OpenID4VP lets a
wallet skip members it does not know; a verifier's own query is refused instead, since a member that nobody acts on
(`trusted_authorities`, say) would look like a protection.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import cast, get_args

from identity.credential import CredentialFormat
from identity.encoding import JsonValue
from identity.errors import (
    ClaimMissing,
    CredentialMissing,
    CredentialSetIncomplete,
    DcqlInvalid,
    DcqlNotSupported,
    TooManyPresentations,
    UnknownQueryId,
    VctNotAsked,
)

_FORMATS: Mapping[str, CredentialFormat] = {name: name for name in get_args(CredentialFormat)}
# The claims of a W3C credential, which a path has to begin with: nothing else of it is ever passed on.
_SUBJECT = "credentialSubject"

_IDENTIFIER = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MAX_CREDENTIALS = 16
_MAX_CLAIMS = 64
_MAX_SETS = 16
_MAX_VALUES = 64
_MAX_PATH = 8
_MAX_TEXT = 256

ClaimValue = str | int | bool
ClaimsPath = tuple[str | None, ...]
"""A claims path pointer (section 7): a string selects a member, None every item of an array."""


@dataclass(frozen=True, kw_only=True)
class ClaimsQuery:
    """One claim that is asked for; with `values`, only when it is one of them."""

    id: str | None
    path: ClaimsPath
    values: tuple[ClaimValue, ...] | None


@dataclass(frozen=True, kw_only=True)
class CredentialQuery:
    """One credential that is asked for, by type, and the claims wanted of it.

    An SD-JWT VC answers when its type is one of `vct_values`, a W3C credential when it is of all the types in one of
    `type_values` (appendices B.1.1 and B.3.5); of the two members one is filled, by `format`. Paths into a W3C
    credential begin at its root, with "credentialSubject".
    """

    id: str
    format: CredentialFormat
    vct_values: tuple[str, ...]
    type_values: tuple[tuple[str, ...], ...]
    claims: tuple[ClaimsQuery, ...]
    claim_sets: tuple[tuple[str, ...], ...] | None
    multiple: bool

    @property
    def claim_options(self) -> tuple[tuple[ClaimsQuery, ...], ...]:
        """The combinations of claims that answer this query, the preferred one first."""
        if self.claim_sets is None:
            return (self.claims,)
        by_id = {claim.id: claim for claim in self.claims}
        return tuple(tuple(by_id[id] for id in option) for option in self.claim_sets)

    def accepts(self, types: Collection[str]) -> bool:
        """Whether a credential of these types, a single `vct` or W3C types in every spelling, is what is asked for."""
        if self.format == "dc+sd-jwt":
            return any(vct in self.vct_values for vct in types)
        return any(set(alternative) <= set(types) for alternative in self.type_values)


@dataclass(frozen=True, kw_only=True)
class CredentialSetQuery:
    """Combinations of credential queries, one of which answers; optional when not `required`."""

    options: tuple[tuple[str, ...], ...]
    required: bool


@dataclass(frozen=True, kw_only=True)
class DcqlQuery:
    """A whole query. Without `credential_sets` every credential is required."""

    credentials: tuple[CredentialQuery, ...]
    credential_sets: tuple[CredentialSetQuery, ...] | None

    def credential(self, id: str) -> CredentialQuery | None:
        """The credential query of that id, or None."""
        return next((query for query in self.credentials if query.id == id), None)

    @property
    def required_options(self) -> tuple[tuple[tuple[str, ...], ...], ...]:
        """For each thing required, the combinations of query ids that give it."""
        if self.credential_sets is None:
            return tuple(((query.id,),) for query in self.credentials)
        return tuple(wanted.options for wanted in self.credential_sets if wanted.required)

    def to_json(self) -> dict[str, JsonValue]:
        """The query as a `dcql_query` JSON value; `parse_dcql_query` reads it back to an equal query."""
        value: dict[str, JsonValue] = {"credentials": [_credential_to_json(query) for query in self.credentials]}
        if self.credential_sets is not None:
            value["credential_sets"] = [
                {"options": [list(option) for option in wanted.options], "required": wanted.required}
                for wanted in self.credential_sets
            ]
        return value


def parse_dcql_query(value: JsonValue) -> DcqlQuery:
    """Reads a `dcql_query` JSON value.

    Raises DcqlInvalid (with the JSON pointer of the fault) where the value is no query, and DcqlNotSupported where it
    is one that this verifier does not answer: another format, no `claims` (a score uses only what is asked by name),
    array positions in a path, trusted_authorities, presentations without holder binding.
    """
    members = _members(value, "", required={"credentials"}, optional={"credential_sets"})
    credentials = tuple(
        _parse_credential(item, f"/credentials/{index}")
        for index, item in enumerate(_items(members["credentials"], "/credentials", _MAX_CREDENTIALS))
    )
    ids = [query.id for query in credentials]
    if len(set(ids)) != len(ids):
        raise DcqlInvalid(pointer="/credentials")
    sets = None
    if "credential_sets" in members:
        sets = tuple(
            _parse_credential_set(item, f"/credential_sets/{index}", ids)
            for index, item in enumerate(_items(members["credential_sets"], "/credential_sets", _MAX_SETS))
        )
        # A credential that no set names would be asked for by nobody.
        if {id for wanted in sets for option in wanted.options for id in option} != set(ids):
            raise DcqlInvalid(pointer="/credential_sets")
    return DcqlQuery(credentials=credentials, credential_sets=sets)


def verify_answered_ids(query: DcqlQuery, presented: Mapping[str, int]) -> None:
    """Raises unless `presented` (presentations by query id) answers the whole query; looks at no presentation.

    A set of credentials that is optional is answered whole or not at all: a credential that belongs to no option of
    which every other is there was not asked for. Raises UnknownQueryId, TooManyPresentations, CredentialMissing or
    CredentialSetIncomplete (OpenID4VP 1.0, sections 6.4.2 and 8.1).
    """
    if not presented:
        raise CredentialMissing
    for id, count in presented.items():
        asked = query.credential(id)
        if asked is None:
            raise UnknownQueryId
        if count == 0:
            raise CredentialMissing
        if count > 1 and not asked.multiple:
            raise TooManyPresentations
    for options in query.required_options:
        if not any(all(id in presented for id in option) for option in options):
            raise CredentialMissing
    if query.credential_sets is not None:
        every = [option for wanted in query.credential_sets for option in wanted.options]
        answered = {id for option in every if all(each in presented for each in option) for id in option}
        if not presented.keys() <= answered:
            raise CredentialSetIncomplete


def select_claims(
    query: CredentialQuery, types: Collection[str], claims: Mapping[str, JsonValue]
) -> dict[str, JsonValue]:
    """The asked claims of one credential and no others, by the first option of the query that it satisfies.

    `types` as `CredentialQuery.accepts` has them; `claims` are the type's own, in every format. Raises VctNotAsked
    when the credential is of another type, ClaimMissing when no option is satisfied. A claim whose value is none of the
    asked values counts as missing (section 6.4.1).
    """
    if not query.accepts(types):
        raise VctNotAsked
    # A path starts at the credential's root, and there a W3C credential has its claims in a member of their own.
    root: JsonValue = dict(claims) if query.format == "dc+sd-jwt" else {_SUBJECT: dict(claims)}
    for option in query.claim_options:
        if all(_claim_is_there(claim, root) for claim in option):
            selected = cast(dict[str, JsonValue], _prune(root, [claim.path for claim in option]))
            return selected if query.format == "dc+sd-jwt" else cast(dict[str, JsonValue], selected[_SUBJECT])
    raise ClaimMissing


def _claim_is_there(claim: ClaimsQuery, root: JsonValue) -> bool:
    selected = [root]
    for step in claim.path:
        if step is None:
            if not all(isinstance(value, list) for value in selected):
                return False
            selected = [item for value in selected for item in cast(list[JsonValue], value)]
        else:
            if not all(isinstance(value, dict) for value in selected):
                return False
            selected = [value[step] for value in cast(list[dict[str, JsonValue]], selected) if step in value]
    if claim.values is None:
        return bool(selected)
    # True == 1 in Python but not in DCQL: type and value must both match.
    return any(type(value) is type(asked) and value == asked for value in selected for asked in claim.values)


def _prune(value: JsonValue, paths: Sequence[ClaimsPath]) -> JsonValue:
    """`value` with only what the paths lead to; lists keep their length and order."""
    if () in paths:
        return value
    if isinstance(value, list):
        tails = [path[1:] for path in paths if path[0] is None]
        return [_prune(item, tails) for item in value]
    if isinstance(value, dict):
        return {
            name: _prune(item, tails)
            for name, item in value.items()
            if (tails := [path[1:] for path in paths if path[0] == name])
        }
    return None


def _parse_credential(value: JsonValue, at: str) -> CredentialQuery:
    members = _members(
        value,
        at,
        required={"id", "format", "meta"},
        optional={"claims", "claim_sets", "multiple", "require_cryptographic_holder_binding"},
        unsupported={"trusted_authorities"},
    )
    format = _FORMATS.get(_text(members["format"], f"{at}/format"))
    if format is None:
        raise DcqlNotSupported(pointer=f"{at}/format")
    if _boolean(members.get("require_cryptographic_holder_binding", True), at) is False:
        raise DcqlNotSupported(pointer=f"{at}/require_cryptographic_holder_binding")
    if "claims" not in members:
        raise DcqlNotSupported(pointer=f"{at}/claims")
    vct_values, type_values = _parse_meta(members["meta"], f"{at}/meta", format)
    claims = tuple(
        _parse_claim(item, f"{at}/claims/{index}", format)
        for index, item in enumerate(_items(members["claims"], f"{at}/claims", _MAX_CLAIMS))
    )
    ids = [claim.id for claim in claims if claim.id is not None]
    paths = [claim.path for claim in claims]
    if len(set(ids)) != len(ids) or len(set(paths)) != len(paths):
        raise DcqlInvalid(pointer=f"{at}/claims")
    claim_sets = None
    if "claim_sets" in members:
        if len(ids) != len(claims):
            raise DcqlInvalid(pointer=f"{at}/claims")
        claim_sets = tuple(
            _references(item, f"{at}/claim_sets/{index}", ids)
            for index, item in enumerate(_items(members["claim_sets"], f"{at}/claim_sets", _MAX_SETS))
        )
    return CredentialQuery(
        id=_identifier(members["id"], f"{at}/id"),
        format=format,
        vct_values=vct_values,
        type_values=type_values,
        claims=claims,
        claim_sets=claim_sets,
        multiple=_boolean(members.get("multiple", False), f"{at}/multiple"),
    )


def _parse_meta(
    value: JsonValue, at: str, format: CredentialFormat
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """The `vct_values` of an SD-JWT VC, or the `type_values` of a W3C credential."""
    name = "vct_values" if format == "dc+sd-jwt" else "type_values"
    values = _items(_members(value, at, required={name})[name], f"{at}/{name}", _MAX_SETS)
    if format == "dc+sd-jwt":
        return tuple(_text(item, f"{at}/{name}") for item in values), ()
    alternatives = [_items(item, f"{at}/{name}", _MAX_SETS) for item in values]
    return (), tuple(tuple(_text(type, f"{at}/{name}") for type in alternative) for alternative in alternatives)


def _parse_claim(value: JsonValue, at: str, format: CredentialFormat) -> ClaimsQuery:
    members = _members(value, at, required={"path"}, optional={"id", "values"})
    path: list[str | None] = []
    for step in _items(members["path"], f"{at}/path", _MAX_PATH):
        if isinstance(step, int) and not isinstance(step, bool) and step >= 0:
            # A single item would be passed on without its position, and positions are months here.
            raise DcqlNotSupported(pointer=f"{at}/path")
        path.append(None if step is None else _text(step, f"{at}/path"))
    if path[0] is None:
        raise DcqlInvalid(pointer=f"{at}/path")
    if format != "dc+sd-jwt" and (path[0] != _SUBJECT or len(path) == 1):
        # Whoever asks for the whole subject, or for what stands beside it, would get what no schema of ours describes.
        raise DcqlNotSupported(pointer=f"{at}/path")
    values = None
    if "values" in members:
        values = tuple(_items(members["values"], f"{at}/values", _MAX_VALUES))
        if not all(isinstance(item, str | int) for item in values):  # bool is an int; float and null are not
            raise DcqlInvalid(pointer=f"{at}/values")
    return ClaimsQuery(
        id=_identifier(members["id"], f"{at}/id") if "id" in members else None,
        path=tuple(path),
        values=cast(tuple[ClaimValue, ...] | None, values),
    )


def _parse_credential_set(value: JsonValue, at: str, ids: Sequence[str]) -> CredentialSetQuery:
    members = _members(value, at, required={"options"}, optional={"required"})
    return CredentialSetQuery(
        options=tuple(
            _references(item, f"{at}/options/{index}", ids)
            for index, item in enumerate(_items(members["options"], f"{at}/options", _MAX_SETS))
        ),
        required=_boolean(members.get("required", True), f"{at}/required"),
    )


def _members(
    value: JsonValue,
    at: str,
    *,
    required: set[str],
    optional: frozenset[str] | set[str] = frozenset(),
    unsupported: frozenset[str] | set[str] = frozenset(),
) -> dict[str, JsonValue]:
    if not isinstance(value, dict) or not required <= value.keys():
        raise DcqlInvalid(pointer=at)
    if value.keys() & unsupported:
        raise DcqlNotSupported(pointer=at)
    if not value.keys() <= required | optional:
        raise DcqlInvalid(pointer=at)
    return value


def _items(value: JsonValue, at: str, most: int) -> list[JsonValue]:
    if not isinstance(value, list) or not 1 <= len(value) <= most:
        raise DcqlInvalid(pointer=at)
    return value


def _references(value: JsonValue, at: str, ids: Sequence[str]) -> tuple[str, ...]:
    references = tuple(_identifier(item, at) for item in _items(value, at, max(_MAX_CLAIMS, _MAX_CREDENTIALS)))
    if not set(references) <= set(ids) or len(set(references)) != len(references):
        raise DcqlInvalid(pointer=at)
    return references


def _text(value: JsonValue, at: str) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= _MAX_TEXT:
        raise DcqlInvalid(pointer=at)
    return value


def _identifier(value: JsonValue, at: str) -> str:
    if not isinstance(value, str) or not _IDENTIFIER.fullmatch(value):
        raise DcqlInvalid(pointer=at)
    return value


def _boolean(value: JsonValue, at: str) -> bool:
    if not isinstance(value, bool):
        raise DcqlInvalid(pointer=at)
    return value


def _credential_to_json(query: CredentialQuery) -> dict[str, JsonValue]:
    meta: dict[str, JsonValue] = (
        {"vct_values": list(query.vct_values)}
        if query.format == "dc+sd-jwt"
        else {"type_values": [list(alternative) for alternative in query.type_values]}
    )
    value: dict[str, JsonValue] = {
        "id": query.id,
        "format": query.format,
        "meta": meta,
        "claims": [_claim_to_json(claim) for claim in query.claims],
    }
    if query.claim_sets is not None:
        value["claim_sets"] = [list(option) for option in query.claim_sets]
    if query.multiple:
        value["multiple"] = True
    return value


def _claim_to_json(claim: ClaimsQuery) -> dict[str, JsonValue]:
    value: dict[str, JsonValue] = {"path": list(claim.path)}
    if claim.id is not None:
        value["id"] = claim.id
    if claim.values is not None:
        value["values"] = list(claim.values)
    return value
