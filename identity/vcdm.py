"""The document rules of the W3C Verifiable Credentials Data Model, 2.0 and 1.1, whatever secures the document.

The model is open: issuers may add members, contexts and types as they like. What nobody here would act on is refused
instead, for a member that a verifier skips could have been a condition, and a context may change what all others mean.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from identity.bitstring import BitstringReference, parse_status_entry
from identity.credential_types.types import TERMS
from identity.encoding import MAX_URL_CHARS, JsonObject, JsonValue, is_url
from identity.errors import (
    BadTime,
    ContextNotAllowed,
    ContextNotFirst,
    CredentialSubjectInvalid,
    Expired,
    IdNotUrl,
    IssuerInvalid,
    LanguageValueInvalid,
    NotYetValid,
    ProofInvalid,
    RelatedObjectInvalid,
    SeveralSubjects,
    StatusEntryInvalid,
    TermsOfUseNotSupported,
    UndefinedTerm,
    UnknownMember,
    ValidityReversed,
    W3cPresentationInvalid,
    W3cTypeInvalid,
)
from identity.jwt import SKEW_S
from identity.keys import PublicKey

VcdmVersion = Literal["1.1", "2.0"]

CONTEXT_V2 = "https://www.w3.org/ns/credentials/v2"
CONTEXT_V1 = "https://www.w3.org/2018/credentials/v1"
CREDIT_HISTORY_CONTEXT = "urn:credence:contexts:credit-history:v1"
#: What may stand after the base context: our terms, and those of the proofs that we verify.
ALLOWED_CONTEXTS = frozenset(
    {
        CREDIT_HISTORY_CONTEXT,
        "https://w3id.org/security/data-integrity/v2",
        "https://w3id.org/security/suites/ed25519-2020/v1",
        "https://w3id.org/security/suites/jws-2020/v1",
    }
)

_VERSIONS: Mapping[str, VcdmVersion] = {CONTEXT_V1: "1.1", CONTEXT_V2: "2.0"}
_CREDENTIALS = "https://www.w3.org/2018/credentials#"
_CREDENTIAL = "VerifiableCredential"
_PRESENTATION = "VerifiablePresentation"
_ENVELOPED_CREDENTIAL = "EnvelopedVerifiableCredential"
_VALIDITY: Mapping[VcdmVersion, tuple[str, str]] = {
    "1.1": ("issuanceDate", "expirationDate"),
    "2.0": ("validFrom", "validUntil"),
}
# Told by type and id, never followed: our own schemas judge the claims, and nobody is asked for fresh ones.
_RELATED = ("credentialSchema", "evidence", "refreshService", "termsOfUse")
_MEMBERS = frozenset(
    {"@context", "id", "type", "name", "description", "issuer", "credentialSubject", "credentialStatus", "proof"}
).union(_RELATED)
_PRESENTATION_MEMBERS = frozenset({"@context", "id", "type", "holder", "verifiableCredential", "proof"})

_DATE_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:Z|[+-][0-9]{2}:[0-9]{2})"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_ITEMS = 16


@dataclass(frozen=True, kw_only=True)
class W3cCredential:
    """A credential document that keeps the model's rules; whether it is signed, trusted or current is not yet known.

    `claims` is `credentialSubject` without its `id`. Times are UTC milliseconds.
    """

    version: VcdmVersion
    contexts: tuple[str, ...]
    id: str | None
    types: frozenset[str]
    issuer: str
    subject_id: str | None
    claims: JsonObject
    valid_from_ms: int | None
    valid_until_ms: int | None
    statuses: tuple[BitstringReference, ...]

    @property
    def expanded_types(self) -> frozenset[str]:
        """The types as they stand and fully expanded, as far as the base context and ours define them."""
        base = _CREDENTIALS + _CREDENTIAL
        if CREDIT_HISTORY_CONTEXT not in self.contexts:
            return self.types | {base}
        return self.types | {base} | {TERMS + name for name in self.types - {_CREDENTIAL} if ":" not in name}

    def verify_times(self, now_ms: int) -> None:
        """Raises NotYetValid or Expired, each with a minute's grace."""
        if self.valid_from_ms is not None and now_ms < self.valid_from_ms - SKEW_S * 1000:
            raise NotYetValid
        if self.valid_until_ms is not None and now_ms >= self.valid_until_ms + SKEW_S * 1000:
            raise Expired


@dataclass(frozen=True, kw_only=True)
class W3cPresentation:
    """A presentation document that keeps the model's rules; nothing in it is verified.

    A credential is a JSON object with a proof of its own, or a JWT: as text in version 1.1, enveloped in 2.0.
    """

    version: VcdmVersion
    contexts: tuple[str, ...]
    id: str | None
    holder: str | None
    credentials: tuple[JsonObject | str, ...]


@dataclass(frozen=True, kw_only=True)
class VerifiedW3cCredential:
    """A W3C credential whose signature and times were verified, and with it, where it was presented, its holder.

    `expires_at_ms` is the earlier of the credential's end and its signature's. `digest` is by what the issuer signed.
    """

    credential: W3cCredential
    expires_at_ms: int | None
    holder: PublicKey | None
    digest: bytes


IssuerKeyFor = Callable[[W3cCredential, str | None], PublicKey]
"""Decides whether a credential's issuer is trusted and which of its keys signed (by the key id), or raises."""
HolderKeyFor = Callable[[str, str | None], PublicKey]
"""The key of a DID by which it authenticates, by the key id; raises IssuerKeyMismatch for a key id of another DID."""


def parse_credential(document: JsonObject, *, contexts: Collection[str] = ALLOWED_CONTEXTS) -> W3cCredential:
    """Hold a credential document against the rules of VCDM 2.0 section 4, or of 1.1 section 4, by its first context.

    `contexts` are those that may follow the base context. Raises ContextNotFirst, ContextNotAllowed, UnknownMember,
    IdNotUrl, W3cTypeInvalid, IssuerInvalid, CredentialSubjectInvalid, SeveralSubjects, BadTime, ValidityReversed,
    LanguageValueInvalid, RelatedObjectInvalid, TermsOfUseNotSupported, ProofInvalid, and as `parse_status_entry`.
    """
    version, named = _parse_context(document, contexts)
    from_name, until_name = _VALIDITY[version]
    if not document.keys() <= _MEMBERS | {from_name, until_name}:
        raise UnknownMember
    types = _parse_types(document, _CREDENTIAL)
    credential_id = _parse_id(document)
    issuer = _parse_issuer(document.get("issuer"))
    _check_proofs(document)
    for name in ("name", "description"):
        _check_language_value(document.get(name))
    for name in _RELATED:
        _check_related(document, name)
    valid_from_ms, valid_until_ms = _parse_validity(document, version)
    entries = _objects(document, "credentialStatus", StatusEntryInvalid)
    statuses = tuple(parse_status_entry(entry) for entry in entries)
    subject = _parse_subject(document.get("credentialSubject"))
    if "termsOfUse" in document:
        # They might forbid the very use that we make of the claims, and nobody here can read them.
        raise TermsOfUseNotSupported
    subject_id = subject.get("id")
    return W3cCredential(
        version=version,
        contexts=named,
        id=credential_id,
        types=types,
        issuer=issuer,
        subject_id=None if subject_id is None else str(subject_id),
        claims={name: value for name, value in subject.items() if name != "id"},
        valid_from_ms=valid_from_ms,
        valid_until_ms=valid_until_ms,
        statuses=statuses,
    )


def parse_presentation(document: JsonObject, *, contexts: Collection[str] = ALLOWED_CONTEXTS) -> W3cPresentation:
    """Hold a presentation document against VCDM 2.0 section 4.13, or 1.1 section 4.10; looks into no credential.

    Raises as `parse_credential`, and W3cPresentationInvalid for a holder or credentials of another form.
    """
    version, named = _parse_context(document, contexts)
    if not document.keys() <= _PRESENTATION_MEMBERS:
        raise UnknownMember
    _parse_types(document, _PRESENTATION)
    _check_proofs(document)
    holder = document.get("holder")
    if isinstance(holder, dict):
        holder = holder.get("id")
    if "holder" in document and not is_url(holder):
        raise W3cPresentationInvalid
    value = document.get("verifiableCredential", [])
    listed = value if isinstance(value, list) else [value]
    if len(listed) > _MAX_ITEMS:
        raise W3cPresentationInvalid
    return W3cPresentation(
        version=version,
        contexts=named,
        id=_parse_id(document),
        holder=None if holder is None else str(holder),
        credentials=tuple(_parse_presented_credential(item, version) for item in listed),
    )


def require_credit_history_terms(credential: W3cCredential) -> None:
    """Raises UndefinedTerm when no context of the credential says what the type and the claims of ours mean."""
    if CREDIT_HISTORY_CONTEXT not in credential.contexts:
        raise UndefinedTerm


def parse_date_time(value: JsonValue) -> int:
    """An RFC 3339 date-time with a zone, in UTC milliseconds; raises BadTime (no zone, no such day, a leap second)."""
    if not isinstance(value, str) or not _DATE_TIME.fullmatch(value):
        raise BadTime
    try:
        return (datetime.fromisoformat(value) - _EPOCH) // timedelta(milliseconds=1)
    except (ValueError, OverflowError):
        raise BadTime from None


def format_date_time(at_ms: int) -> str:
    """A time in UTC milliseconds as RFC 3339, to the second."""
    return datetime.fromtimestamp(at_ms // 1000, UTC).isoformat().replace("+00:00", "Z")


def _parse_context(document: JsonObject, allowed: Collection[str]) -> tuple[VcdmVersion, tuple[str, ...]]:
    value = document.get("@context")
    contexts = value if isinstance(value, list) else [value]
    version = _VERSIONS.get(contexts[0]) if contexts and isinstance(contexts[0], str) else None
    if version is None:
        raise ContextNotFirst
    named = [context for context in contexts if isinstance(context, str)]
    # An inline context is never allowed: by one, whoever presents could give two claims each other's meaning.
    if len(named) != len(contexts) or len(set(named)) != len(named) or not set(named[1:]) <= set(allowed):
        raise ContextNotAllowed
    return version, tuple(named)


def _parse_types(document: JsonObject, base: str) -> frozenset[str]:
    value = document.get("type")
    listed = value if isinstance(value, list) else [value]
    types = [type for type in listed if isinstance(type, str) and 0 < len(type) <= MAX_URL_CHARS]
    if len(types) != len(listed) or len(set(types)) != len(types) or base not in types or len(types) > _MAX_ITEMS:
        raise W3cTypeInvalid
    return frozenset(types)


def _parse_id(document: JsonObject) -> str | None:
    if "id" not in document:
        return None
    if not is_url(document["id"]):
        raise IdNotUrl
    return str(document["id"])


def _parse_issuer(value: JsonValue) -> str:
    issuer = value
    if isinstance(value, dict):
        issuer = value.get("id")
        if not value.keys() <= {"id", "type", "name", "description", "image", "url"}:
            raise UnknownMember
        for name in ("name", "description"):
            _check_language_value(value.get(name))
    if not is_url(issuer):
        raise IssuerInvalid
    return str(issuer)


def _parse_subject(value: JsonValue) -> JsonObject:
    subjects = value if isinstance(value, list) else [value]
    for subject in subjects:
        if not isinstance(subject, dict) or not subject:
            raise CredentialSubjectInvalid
        if "id" in subject and not is_url(subject["id"]):
            raise IdNotUrl
    if not subjects:
        raise CredentialSubjectInvalid
    if len(subjects) > 1:
        # Whose months would they be? A credential about two people is about neither of them.
        raise SeveralSubjects
    return dict(subjects[0]) if isinstance(subjects[0], dict) else {}


def _parse_validity(document: JsonObject, version: VcdmVersion) -> tuple[int | None, int | None]:
    from_name, until_name = _VALIDITY[version]
    valid_from_ms = parse_date_time(document[from_name]) if from_name in document else None
    valid_until_ms = parse_date_time(document[until_name]) if until_name in document else None
    if version == "1.1" and valid_from_ms is None:  # 1.1 section 4.6: required
        raise BadTime
    if valid_from_ms is not None and valid_until_ms is not None and valid_until_ms < valid_from_ms:
        raise ValidityReversed
    return valid_from_ms, valid_until_ms


def _check_proofs(document: JsonObject) -> None:
    """That whatever secures the document names its kind; which kinds are verified is for `identity.data_integrity`."""
    for proof in _objects(document, "proof", ProofInvalid):
        if not isinstance(proof.get("type"), str):
            raise ProofInvalid


def _check_related(document: JsonObject, name: str) -> None:
    for related in _objects(document, name, RelatedObjectInvalid):
        types = related.get("type")
        listed: Sequence[JsonValue] = types if isinstance(types, list) else [types]
        if not listed or not all(isinstance(type, str) and type for type in listed):
            raise RelatedObjectInvalid
        if ("id" in related and not is_url(related["id"])) or (name == "credentialSchema" and "id" not in related):
            raise RelatedObjectInvalid


def _check_language_value(value: JsonValue) -> None:
    """A text, or language value objects (VCDM 2.0 section 11.1)."""
    for item in value if isinstance(value, list) else [value]:
        if item is None or isinstance(item, str):
            continue
        if not isinstance(item, dict) or not {"@value"} <= item.keys() <= {"@value", "@language", "@direction"}:
            raise LanguageValueInvalid
        if not all(isinstance(member, str) for member in item.values()):
            raise LanguageValueInvalid


def _parse_presented_credential(value: JsonValue, version: VcdmVersion) -> JsonObject | str:
    if version == "1.1" and isinstance(value, str):
        return value
    if not isinstance(value, dict):
        raise W3cPresentationInvalid
    types = value.get("type")
    if types == _ENVELOPED_CREDENTIAL or (isinstance(types, list) and _ENVELOPED_CREDENTIAL in types):
        return _open_envelope(value)
    if not isinstance(types, str | list) or _CREDENTIAL not in (types if isinstance(types, list) else [types]):
        raise W3cTypeInvalid
    return value


def _open_envelope(value: JsonObject) -> str:
    """The JWT within an EnvelopedVerifiableCredential, a `data:` URL (VCDM 2.0 section 4.13)."""
    url, prefix = value.get("id"), "data:application/vc+jwt,"
    if value.keys() != {"@context", "id", "type"} or value["@context"] not in (CONTEXT_V2, [CONTEXT_V2]):
        raise W3cPresentationInvalid
    if value["type"] not in (_ENVELOPED_CREDENTIAL, [_ENVELOPED_CREDENTIAL]):
        raise W3cTypeInvalid
    if not isinstance(url, str) or not url.startswith(prefix):
        raise W3cPresentationInvalid
    return url.removeprefix(prefix)


def _objects(document: JsonObject, name: str, refusal: type[Exception]) -> list[JsonObject]:
    """The member's value as one object or several; none when the member is absent."""
    if name not in document:
        return []
    value = document[name]
    listed = value if isinstance(value, list) else [value]
    objects = [item for item in listed if isinstance(item, dict)]
    if not objects or len(objects) != len(listed) or len(objects) > _MAX_ITEMS:
        raise refusal
    return objects
