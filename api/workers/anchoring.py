"""The anchoring step: brings the newest checkpoint onto the chain and keeps it there, whatever happens in between.

One call of `anchor_step` looks at what is stored and at what the chain says, moves every transaction to the state that
the chain proves, and sends at most one new transaction. It holds nothing in memory between calls: it can be killed at
any instruction and run again, here or in another process, and it never sends anything before asking the chain.
"""

from collections.abc import Callable
from dataclasses import dataclass

from api.store.anchors import PENDING, AnchorState, AnchorStore, StoredAnchor, Target
from api.store.jobs import Lease
from api.store.log import LogStore
from chain.anchor import AnchorClient
from chain.node import ChainHead, Fees, Submission


@dataclass(frozen=True, kw_only=True)
class AnchorPolicy:
    """When an anchor counts as final, how often one is made, and when a higher fee is offered."""

    confirmations: int
    interval_ms: int
    resend_after_ms: int


@dataclass(frozen=True, kw_only=True)
class AnchorRooms:
    """What the step works on; `open_target` makes sure of contract and log, and says where they are."""

    anchors: AnchorStore
    log: LogStore
    policy: AnchorPolicy
    open_target: Callable[[], Target]
    client_for: Callable[[Target], AnchorClient]


def anchor_step(rooms: AnchorRooms, lease: Lease, now_ms: int) -> None:
    """Move every anchoring transaction to the state that the chain proves, then anchor the newest checkpoint.

    Raises a ChainError where the chain cannot be asked, and `LeaseLost` where another process has taken over; either
    way the next call goes on from what is stored.
    """
    target = rooms.anchors.load_target()
    if target is None:
        target = rooms.open_target()
        rooms.anchors.append_target(lease, target)
    client = rooms.client_for(target)
    head = client.check_chain()
    # The nonce is read before the receipts: a nonce that was taken by then, and by none of ours, was taken by others.
    next_nonce = client.load_next_nonce()
    for anchor in rooms.anchors.load_unsettled():
        _settle(rooms, client, lease, anchor, head=head, next_nonce=next_nonce, now_ms=now_ms)

    unsettled = rooms.anchors.load_unsettled()
    waiting = [anchor for anchor in unsettled if anchor.state in PENDING and anchor.nonce >= next_nonce]
    rivals = [anchor for anchor in waiting if anchor.nonce == next_nonce]
    if rivals:
        for anchor in sorted(waiting, key=lambda each: each.nonce):
            _resend(rooms, client, lease, anchor, now_ms)
        _offer_more(rooms, client, lease, rivals, now_ms)
        return
    last_ms = max((anchor.prepared_at_ms for anchor in unsettled), default=0)
    if waiting or now_ms - last_ms >= rooms.policy.interval_ms:
        # Transactions may wait behind a nonce that nobody holds any more: then the newest checkpoint takes it at once.
        _send(rooms, client, lease, nonce=next_nonce, least=None, now_ms=now_ms)


def _settle(
    rooms: AnchorRooms,
    client: AnchorClient,
    lease: Lease,
    anchor: StoredAnchor,
    *,
    head: ChainHead,
    next_nonce: int,
    now_ms: int,
) -> None:
    """Move one transaction to the state that its receipt, or the lack of one, proves."""
    move = rooms.anchors.move
    receipt = client.load_receipt(anchor.hash)
    if receipt is not None:
        state: AnchorState = "mined"
        if not receipt.succeeded:
            state = "failed"
        elif head.number - receipt.block_number >= rooms.policy.confirmations:
            state = "finalized"
        if (state, receipt.block_hash) != (anchor.state, anchor.block_hash):
            move(lease, anchor, state, block_number=receipt.block_number, block_hash=receipt.block_hash)
    elif anchor.state == "mined":
        # Its block is no longer canonical; the wait for a higher fee starts anew.
        move(lease, anchor, "sent", sent_at_ms=now_ms)
    elif anchor.state == "finalized":
        # The chain lost what was final, and perhaps more with it: everything goes back that is not there any more.
        for each in rooms.anchors.load_finalized():
            if client.load_receipt(each.hash) is None:
                move(lease, each, "sent", sent_at_ms=now_ms)
    elif anchor.nonce < next_nonce and client.check_chain().hash == head.hash:
        # Another transaction has its nonce. Where that is one of ours and may still be undone, this one must wait.
        states = {rival.state for rival in rooms.anchors.load_rivals(anchor)}
        if not states & {"prepared", "sent", "mined"} or "finalized" in states:
            move(lease, anchor, "replaced")


def _resend(rooms: AnchorRooms, client: AnchorClient, lease: Lease, anchor: StoredAnchor, now_ms: int) -> None:
    """Hand a waiting transaction to the node again, unless the node has it."""
    if client.transaction_known(anchor.hash):
        if anchor.state == "prepared":
            rooms.anchors.move(lease, anchor, "sent", sent_at_ms=now_ms)
        return
    submission = client.submit_transaction(anchor.raw)
    # A crash here leaves it prepared: the next step finds that the node has it.
    if submission in (Submission.ACCEPTED, Submission.ALREADY_KNOWN) and anchor.state == "prepared":
        rooms.anchors.move(lease, anchor, "sent", sent_at_ms=now_ms)


def _offer_more(
    rooms: AnchorRooms, client: AnchorClient, lease: Lease, rivals: list[StoredAnchor], now_ms: int
) -> None:
    """Replace what has waited long by the newest checkpoint, at a higher fee and under the same nonce."""
    best = max(rivals, key=lambda each: each.max_fee_per_gas)
    if now_ms - (best.sent_at_ms or best.prepared_at_ms) >= rooms.policy.resend_after_ms:
        paid = Fees(max_fee_per_gas=best.max_fee_per_gas, max_priority_fee_per_gas=best.max_priority_fee_per_gas)
        _send(rooms, client, lease, nonce=best.nonce, least=paid.bump(), now_ms=now_ms)


def _send(
    rooms: AnchorRooms, client: AnchorClient, lease: Lease, *, nonce: int, least: Fees | None, now_ms: int
) -> None:
    """Anchor the newest checkpoint under a nonce, unless the contract has it or a larger one."""
    checkpoint = rooms.log.load_newest_checkpoint()
    anchored = client.load_latest_anchor()
    if checkpoint is None or checkpoint.size <= (anchored.size if anchored is not None else 0):
        return
    fees = client.suggest_fees()
    if least is not None:
        fees = Fees(
            max_fee_per_gas=max(fees.max_fee_per_gas, least.max_fee_per_gas),
            max_priority_fee_per_gas=max(fees.max_priority_fee_per_gas, least.max_priority_fee_per_gas),
        )
    transaction = client.build_anchor_transaction(size=checkpoint.size, root=checkpoint.root, nonce=nonce, fees=fees)
    prepared = StoredAnchor(
        hash=transaction.hash,
        chain_id=client.chain_id,
        contract=client.contract_address,
        checkpoint_size=checkpoint.size,
        nonce=nonce,
        raw=transaction.raw,
        max_fee_per_gas=fees.max_fee_per_gas,
        max_priority_fee_per_gas=fees.max_priority_fee_per_gas,
        state="prepared",
        prepared_at_ms=now_ms,
        sent_at_ms=None,
        block_number=None,
        block_hash=None,
    )
    rooms.anchors.append_prepared(lease, prepared)
    # A crash here leaves it prepared and unsent: the next step asks the node, which does not have it, and sends it.
    _resend(rooms, client, lease, prepared, now_ms)
