"""The sequencer: the one writer of a process, which groups appends and gives each entry its log index.

Requests hand it an append and wait. It takes whatever is waiting, at most `MAX_BATCH`, and makes all of it durable in
one transaction that holds the lock of the log's head row; so several processes and hosts can share one PostgreSQL, and
the log neither forks nor has gaps. The answer leaves after the commit.
"""

import queue
import secrets
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import rfc8785
from cryptography.hazmat.primitives.keywrap import aes_key_wrap
from sqlalchemy import Connection, Engine, bindparam, insert, select, tuple_, update
from sqlalchemy.exc import IntegrityError

from api.keystore import seal
from api.store.appends import (
    AlreadyAnswered,
    AlreadyChanged,
    Append,
    AppendChange,
    AppendConsentChange,
    AppendCredentials,
    Appended,
    AppendedCredentials,
    AppendRefusal,
    AppendScore,
    NotRecorded,
    Outcome,
    consent_ids_of,
)
from api.store.consents import ConsentWithdrawn, consent_id_of, load_withdrawals
from api.store.database import StoreError, StoreUnavailable, write_transaction
from api.store.idempotency import Idempotency, load_idempotency
from api.store.requests import RequestStore
from api.store.tables import (
    consent_receipts,
    consents,
    idempotency_keys,
    log_entries,
    log_head,
    log_tiles,
    presentation_refusals,
    presentation_requests,
    scores,
    tenants,
)
from chain.entry import commitment, encode_entry
from chain.merkle import Frontier, leaf_hash
from chain.tiles import TileKey, append_leaves
from identity.errors import IdentityError
from identity.presentation import Expired, Submitted, submit

MAX_BATCH = 256
#: A refusal of a live request is an entry too, but nobody may fill the log by failing.
MAX_REFUSALS_PER_REQUEST = 5


class SequencerStopped(StoreError):
    """The service is shutting down; nothing was stored."""

    code = "shutting_down"

    def __init__(self) -> None:
        super().__init__("The service is shutting down; nothing was stored. Try again.")


class Sequencer:
    """Appends entries in groups; `append` may be called from any thread."""

    def __init__(
        self,
        *,
        engine: Engine,
        requests: RequestStore,
        origin: str,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
        observe_batch: Callable[[int], None] = lambda _size: None,
    ) -> None:
        self._engine = engine
        self._requests = requests
        self._origin = origin
        self._random_bytes = random_bytes
        self._observe_batch = observe_batch
        self._waiting: queue.SimpleQueue[tuple[Append, Future[Outcome]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="sequencer", daemon=True)
        #: Held to put and to stop, so that nothing is put behind the end, where nobody would take it.
        self._door = threading.Lock()
        self._stopped = False

    def start(self) -> None:
        """Make the log's head where there is none, and begin to append; raises `OtherOrigin`."""
        try:
            self._append_head()
        except IntegrityError:
            self._append_head()  # Another process made it between our look and our insert: now we see it.
        self._thread.start()

    def _append_head(self) -> None:
        with write_transaction(self._engine) as transaction:
            origin = transaction.execute(select(log_head.c.origin)).scalar_one_or_none()
            if origin is None:
                transaction.execute(
                    insert(log_head).values(origin=self._origin, size=0, frontier=Frontier.empty().to_bytes())
                )
            elif origin != self._origin:
                raise OtherOrigin

    def stop(self) -> None:
        """Append what is waiting, then end."""
        with self._door:
            self._stopped = True
            self._waiting.put(None)
        if self._thread.is_alive():
            self._thread.join()

    def append(self, item: Append) -> Outcome:
        """Make one entry durable and say where it stands.

        Raises RequestExpired or NonceUsed of the identity room where the request was answered otherwise meanwhile,
        `ConsentWithdrawn` where the consent was withdrawn meanwhile, `IdempotencyKeyReused`, `SequencerStopped` or what
        a change raises, and then nothing of it is stored; or `StoreUnavailable`, and then the same item again says
        whether it is.
        """
        future: Future[Outcome] = Future()
        with self._door:
            if self._stopped:
                raise SequencerStopped
            self._waiting.put((item, future))
        return future.result()

    def _run(self) -> None:
        while True:
            first = self._waiting.get()
            if first is None:
                return
            batch = [first]
            last = False
            while len(batch) < MAX_BATCH and not self._waiting.empty():
                item = self._waiting.get()
                if item is None:
                    last = True
                    break
                batch.append(item)
            self._append_batch(batch)
            if last:
                return

    def _append_batch(self, batch: Sequence[tuple[Append, Future[Outcome]]], *, again: bool = False) -> None:
        try:
            with write_transaction(self._engine) as transaction:
                results = _Batch(transaction, self).append([item for item, _ in batch])
        except StoreUnavailable:
            for _, future in batch:
                future.set_exception(StoreUnavailable())
            return
        except Exception as error:  # noqa: BLE001  (whatever it is, a waiting request must hear of it)
            if len(batch) == 1 and (again or not isinstance(error, IntegrityError)):
                batch[0][1].set_exception(error)
                return
            # One item that cannot be appended must not take its neighbours down.
            # What another process inserted between our look and our insert is seen at the second look.
            for each in batch:
                self._append_batch([each], again=len(batch) == 1)
            return
        # A crash here leaves the entries durable and unanswered: the same presentation again gets its stored answer.
        for (_, future), result in zip(batch, results, strict=True):
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)
        self._observe_batch(len(batch))


class OtherOrigin(StoreError):
    """The database holds a log of another origin."""

    code = "other_origin"

    def __init__(self) -> None:
        super().__init__("The database holds the log of another origin than the settings name.")


class _Batch:
    """The statements of one transaction, gathered entry by entry and executed table by table."""

    def __init__(self, transaction: Connection, sequencer: Sequencer) -> None:
        self._transaction = transaction
        self._requests = sequencer._requests
        self._random_bytes = sequencer._random_bytes
        self._origin = sequencer._origin
        self._leaves: list[bytes] = []
        self._entries: list[dict[str, Any]] = []
        self._scores: list[dict[str, Any]] = []
        self._refusals: dict[str, tuple[int, str]] = {}
        self._refusal_rows: list[dict[str, Any]] = []
        self._answered: dict[str, tuple[bytes, str]] = {}
        self._idempotency: list[dict[str, Any]] = []
        self._new_consents: list[dict[str, Any]] = []
        self._changed_consents: dict[str, dict[str, Any]] = {}
        self._receipts: list[dict[str, Any]] = []

    def append(self, items: Sequence[Append]) -> list[Outcome | Exception]:
        head = self._transaction.execute(
            select(log_head).where(log_head.c.origin == self._origin).with_for_update()
        ).one()
        frontier = Frontier.from_bytes(head.frontier)
        self._size = frontier.size
        tenant_ids = {item.tenant_id for item in items}
        rows = self._transaction.execute(
            select(tenants.c.id, tenants.c.log_ref, tenants.c.next_seq).where(tenants.c.id.in_(tenant_ids))
        )
        self._tenants = {row.id: [row.log_ref, row.next_seq] for row in rows}
        # When each consent of the batch was withdrawn, None while it is given: read under the head's lock, so that no
        # score comes after a withdrawal that was acknowledged.
        self._withdrawals = load_withdrawals(
            self._transaction,
            {consent_id for item in items for consent_id in consent_ids_of(item)},
        )
        results: list[Outcome | Exception] = []
        for item in items:
            try:
                match item:
                    case AppendScore():
                        results.append(self._append_score(item))
                    case AppendRefusal():
                        results.append(self._append_refusal(item))
                    case AppendConsentChange():
                        results.append(self._append_consent_change(item))
                    case AppendChange():
                        results.append(self._append_change(item))
                    case AppendCredentials():
                        results.append(self._append_credentials(item))
            except (IdentityError, StoreError) as refused:
                results.append(refused)
        if self._leaves:
            self._write(frontier)
        return results

    def _append_score(self, item: AppendScore) -> Outcome:
        consent_id, *others = consent_ids_of(item)
        if any(self._withdrawals.get(each) is not None for each in (consent_id, *others)):
            raise ConsentWithdrawn
        if item.idempotency is not None:
            made = self._load_idempotency(item.tenant_id, item.idempotency)
            if made is not None:
                return AlreadyAnswered(score_id=made)
        stored = self._requests.load_request_in(
            self._transaction, item.request_id, tenant_id=item.tenant_id, now_ms=item.at_ms
        )
        assert stored is not None
        state, score_id = stored.state, stored.score_id
        if item.request_id in self._answered:
            fingerprint, score_id = self._answered[item.request_id]
            state = Submitted(request=stored.request, submitted_at_ms=item.at_ms, fingerprint=fingerprint)
        submit(state, item.presentation_mac, item.at_ms)
        if isinstance(state, Submitted):
            assert score_id is not None
            return AlreadyAnswered(score_id=score_id)
        self._answered[item.request_id] = (item.presentation_mac, item.score_id)
        appended = self._append_entry(
            item, "score", item.body, subject_id=item.subject_id, key=item.subject_key, answer=item.answer
        )
        self._transaction.execute(
            update(presentation_requests)
            .where(presentation_requests.c.id == item.request_id)
            .values(
                status="submitted",
                submitted_at_ms=item.at_ms,
                presentation_mac=item.presentation_mac,
                score_id=item.score_id,
            )
        )
        self._scores.append(
            {
                "id": item.score_id,
                "tenant_id": item.tenant_id,
                "request_id": item.request_id,
                "subject_id": item.subject_id,
                "log_index": appended.log_index,
                "status_list_id": item.status_list_id,
                "status_index": item.status_index,
                "supersedes": None,
                "valid_until_ms": item.valid_until_ms,
            }
        )
        if consent_id not in self._withdrawals:
            self._withdrawals[consent_id] = None
            self._new_consents.append(
                {
                    "id": consent_id,
                    "tenant_id": item.tenant_id,
                    "subject_id": item.subject_id,
                    "purpose": item.purpose,
                    "given_at_ms": item.at_ms,
                }
            )
        self._append_receipt(item, consent_id, appended)
        if item.idempotency is not None:
            self._idempotency.append(item.idempotency.to_row(item.tenant_id, item.score_id, item.at_ms))
        return appended

    def _load_idempotency(self, tenant_id: str, idempotency: Idempotency) -> str | None:
        for row in self._idempotency:
            if row["tenant_id"] == tenant_id and row["key_mac"] == idempotency.key_mac:
                return idempotency.verify_same(row["operation"], row["body_mac"], row["resource_id"])
        return load_idempotency(self._transaction, tenant_id, idempotency)

    def _append_refusal(self, item: AppendRefusal) -> Outcome:
        stored = self._requests.load_request_in(
            self._transaction, item.request_id, tenant_id=item.tenant_id, now_ms=item.at_ms
        )
        assert stored is not None
        refusal = item.refusal
        refusals, _ = self._refusals.get(item.request_id, (stored.refusals, refusal.code))
        over = isinstance(stored.state, Submitted | Expired) or item.request_id in self._answered
        if over or refusals >= MAX_REFUSALS_PER_REQUEST:
            return NotRecorded()
        self._refusals[item.request_id] = (refusals + 1, refusal.code)
        self._refusal_rows.append(
            {
                "request_id": item.request_id,
                "number": refusals + 1,
                "tenant_id": item.tenant_id,
                "code": refusal.code,
                "detail": refusal.detail,
                "step": refusal.step,
                "query_id": refusal.query_id,
                "at_ms": refusal.at_ms,
            }
        )
        body = {"request_id": item.request_id, "code": refusal.code}
        if refusal.step is not None:
            body["step"] = refusal.step
        return self._append_entry(item, "refusal", body, subject_id=item.subject_id, key=item.key, answer=None)

    def _append_consent_change(self, item: AppendConsentChange) -> Outcome:
        consent_id = consent_id_of(item.subject_id, item.purpose)
        if (self._withdrawals[consent_id] is not None) == item.withdraws:
            return AlreadyChanged()
        appended = self._append_entry(
            item,
            "consent_withdrawn" if item.withdraws else "consent_renewed",
            item.body,
            subject_id=item.subject_id,
            key=item.subject_key,
            answer=item.answer,
        )
        self._withdrawals[consent_id] = item.at_ms if item.withdraws else None
        # Of several changes in one batch the last stands; a renewal among them leaves its time.
        changed = self._changed_consents.setdefault(consent_id, {})
        changed["withdrawn_at_ms"] = self._withdrawals[consent_id]
        if not item.withdraws:
            changed["given_at_ms"] = item.at_ms
        self._append_receipt(item, consent_id, appended)
        return appended

    def _append_receipt(self, item: AppendScore | AppendConsentChange, consent_id: str, appended: Appended) -> None:
        self._receipts.append(
            {
                "id": item.receipt_id,
                "tenant_id": item.tenant_id,
                "consent_id": consent_id,
                "log_index": appended.log_index,
            }
        )

    def _append_change(self, item: AppendChange) -> Outcome:
        with self._transaction.begin_nested():
            body = item.change(self._transaction)
        if body is None:
            return NotRecorded()
        return self._append_entry(item, item.type, body, subject_id=None, key=item.tenant_key, answer=None)

    def _append_credentials(self, item: AppendCredentials) -> Outcome:
        with self._transaction.begin_nested():
            item.take(self._transaction)
        return AppendedCredentials(
            entries=tuple(
                self._append_entry(item, item.type, body, subject_id=item.subject_id, key=item.key, answer=None)
                for body in item.bodies
            )
        )

    def _append_entry(
        self,
        item: Append,
        entry_type: str,
        body: Mapping[str, Any],
        *,
        subject_id: str | None,
        key: bytes,
        answer: Mapping[str, Any] | None,
    ) -> Appended:
        log_ref, seq = self._tenants[item.tenant_id]
        self._tenants[item.tenant_id][1] = seq + 1
        entry = encode_entry(type=entry_type, at_ms=item.at_ms, tenant=log_ref, seq=seq, body=body)
        salt = self._random_bytes(32)
        committed = commitment(entry, salt)
        leaf = leaf_hash(committed)
        log_index = self._size + len(self._leaves)
        payload_key = self._random_bytes(32)
        payload = rfc8785.dumps({"entry": entry.decode(), "salt": salt.hex(), "answer": answer})
        self._leaves.append(leaf)
        self._entries.append(
            {
                "log_index": log_index,
                "tenant_id": item.tenant_id,
                "seq": seq,
                "type": entry_type,
                "at_ms": item.at_ms,
                "commitment": committed,
                "subject_id": subject_id,
                "wrapped_key": aes_key_wrap(key, payload_key),
                "sealed": seal(payload_key, payload, committed),
            }
        )
        return Appended(log_index=log_index, seq=seq, leaf_hash=leaf, entry=entry, salt=salt)

    def _write(self, frontier: Frontier) -> None:
        stored: dict[TileKey, bytes] = {}

        def load_tiles(keys: Collection[TileKey]) -> Mapping[TileKey, bytes]:
            stored.update(load_tiles_in(self._transaction, keys))
            return stored

        grown = append_leaves(frontier, self._leaves, load_tiles)
        execute = self._transaction.execute
        execute(insert(log_entries), self._entries)
        if self._scores:
            execute(insert(scores), self._scores)
        if self._new_consents:
            execute(insert(consents), self._new_consents)
        for consent_id, changed in self._changed_consents.items():
            execute(update(consents).where(consents.c.id == consent_id).values(changed))
        if self._receipts:
            execute(insert(consent_receipts), self._receipts)
        if self._idempotency:
            execute(insert(idempotency_keys), self._idempotency)
        if self._refusal_rows:
            execute(insert(presentation_refusals), self._refusal_rows)
        for request_id, (refusals, code) in self._refusals.items():
            execute(
                update(presentation_requests)
                .where(presentation_requests.c.id == request_id)
                .values(refusals=refusals, last_refusal=code)
            )
        new = [
            {"level": level, "tile_index": index, "hashes": hashes}
            for (level, index), hashes in grown.tiles.items()
            if (level, index) not in stored
        ]
        if new:
            execute(insert(log_tiles), new)
        for (level, index), hashes in grown.tiles.items():
            if (level, index) in stored:
                execute(
                    update(log_tiles)
                    .where(log_tiles.c.level == level, log_tiles.c.tile_index == index)
                    .values(hashes=hashes)
                )
        execute(
            update(tenants).where(tenants.c.id == bindparam("tenant")).values(next_seq=bindparam("next_seq")),
            [{"tenant": tenant_id, "next_seq": seq} for tenant_id, (_, seq) in self._tenants.items()],
        )
        execute(
            update(log_head)
            .where(log_head.c.origin == self._origin)
            .values(size=grown.frontier.size, frontier=grown.frontier.to_bytes())
        )


def load_tiles_in(transaction: Connection, keys: Collection[TileKey]) -> dict[TileKey, bytes]:
    """The stored hashes of each tile that is there."""
    rows = transaction.execute(
        select(log_tiles).where(tuple_(log_tiles.c.level, log_tiles.c.tile_index).in_(list(keys)))
    )
    return {(row.level, row.tile_index): row.hashes for row in rows}
