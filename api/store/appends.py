"""What the sequencer appends, and what becomes of it: each kind of entry with all that becomes durable beside it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from api.store.consents import consent_id_of
from api.store.idempotency import Idempotency
from api.store.requests import Refusal


@dataclass(frozen=True, kw_only=True)
class AppendScore:
    """An issued score on its way to being durable, and the request that it answers.

    It is stored under the subject's consent to `purpose`, which it gives where there is none; `receipt_id` is of the
    consent receipt in `answer`. A consent that any of `presented_subject_ids` withdrew, whose keys were
    presented too, stops it as well.
    """

    tenant_id: str
    request_id: str
    purpose: str
    receipt_id: str
    presentation_mac: bytes
    at_ms: int
    score_id: str
    subject_id: str
    subject_key: bytes = field(repr=False)
    presented_subject_ids: Sequence[str] = ()
    status_list_id: str
    status_index: int
    valid_until_ms: int
    body: Mapping[str, Any]
    answer: Mapping[str, Any] = field(repr=False)
    idempotency: Idempotency | None = None


@dataclass(frozen=True, kw_only=True)
class AppendRefusal:
    """A refused presentation of a live request: why, in our own words, and nothing of what was submitted.

    `subject_id` is of the person whose key it proved, where it got so far and the tenant knows that person; `key` is
    that person's, or else the tenant's own.
    """

    tenant_id: str
    request_id: str
    at_ms: int
    refusal: Refusal
    subject_id: str | None = None
    key: bytes = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class AppendConsentChange:
    """A consent on its way to being withdrawn, or given again, by the person whose it is; `answer` has the receipt."""

    tenant_id: str
    subject_id: str
    subject_key: bytes = field(repr=False)
    purpose: str
    withdraws: bool
    receipt_id: str
    at_ms: int
    body: Mapping[str, Any]
    answer: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class AppendChange:
    """A change of a tenant's rows, and the entry that tells of it: both become durable, or neither.

    `change` makes its statements in the transaction of the append, one change after the other in the whole log, and
    returns the entry's body; or None where everything is so already, and then there is nothing to tell. What it raises
    undoes its own statements only. It may run twice, the first time in a transaction that came to nothing.
    """

    tenant_id: str
    at_ms: int
    type: str
    tenant_key: bytes = field(repr=False)
    change: Callable[[Connection], Mapping[str, Any] | None] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class AppendCredentials:
    """Credentials that answer one offer, an entry for each `body`: all of them become durable, or none.

    `take` makes their rows in the transaction of the append, under the rules of `AppendChange`.
    """

    tenant_id: str
    at_ms: int
    type: str
    subject_id: str | None
    key: bytes = field(repr=False)
    bodies: Sequence[Mapping[str, Any]]
    take: Callable[[Connection], None] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Appended:
    """Where an entry stands, durably, and what opens its commitment."""

    log_index: int
    seq: int
    leaf_hash: bytes
    entry: bytes = field(repr=False)
    salt: bytes = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class AppendedCredentials:
    """Where the entry of each credential stands, in the order of the bodies."""

    entries: tuple[Appended, ...]


@dataclass(frozen=True, kw_only=True)
class AlreadyAnswered:
    """The very same presentation was answered before, with this score."""

    score_id: str


@dataclass(frozen=True, kw_only=True)
class NotRecorded:
    """The request is over, or has as many refusals as are recorded; or nothing was to be changed."""


@dataclass(frozen=True, kw_only=True)
class AlreadyChanged:
    """The consent stands already as it was to be: another request was quicker."""


Outcome = Appended | AppendedCredentials | AlreadyAnswered | NotRecorded | AlreadyChanged
Append = AppendScore | AppendRefusal | AppendConsentChange | AppendChange | AppendCredentials


def consent_ids_of(item: Append) -> list[str]:
    """The consents that an item is stored under, or changes, its own first."""
    match item:
        case AppendScore():
            return [consent_id_of(each, item.purpose) for each in (item.subject_id, *item.presented_subject_ids)]
        case AppendConsentChange():
            return [consent_id_of(item.subject_id, item.purpose)]
        case _:
            return []
