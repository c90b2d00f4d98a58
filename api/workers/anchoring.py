"""The anchoring step: brings the newest checkpoint onto the chain and keeps it there, whatever happens in between.

One call of `anchor_step` looks at what is stored and at what the chain says, moves every transaction to the state that
the chain proves, and sends at most one new transaction. It holds nothing in memory between calls: it can be killed at
any instruction and run again, here or in another process, and it never sends anything before asking the chain.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

from api.store.anchors import (
    ANCHORED,
    PENDING,
    AnchorState,
    AnchorStore,
    ForkedLog,
    NotAPublisher,
    OtherChain,
    StoredAnchor,
    Target,
)
from api.store.jobs import Lease
from api.store.log import LogStore
from chain.anchor import AnchorClient, AnchoredCheckpoint
from chain.errors import AccountUnfunded, ContractMissing
from chain.node import ChainHead, Fees, Receipt, Submission

#: A chain that stands still takes no transaction at any price: nobody offers more than this many times what the node
#: suggests, however long it stood.
MOST_TIMES_SUGGESTED = 10
_TAKEN = (Submission.ACCEPTED, Submission.ALREADY_KNOWN)


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

    Raises a ChainError where the chain cannot be asked; `OtherChain`, `NotAPublisher` or `ForkedLog` where somebody
    has to look before it may be written to; `LeaseLost` where another process has taken over. In each case the next
    call goes on from what is stored.
    """
    client = _open_client(rooms, lease)
    # The nonce is read before the receipts: one that was taken by then, and by none of ours, was taken by others.
    head, next_nonce = client.check_chain(), client.load_next_nonce()
    for anchor in rooms.anchors.load_unsettled():
        if anchor.state == "finalized":
            _settle_finalized(rooms, client, lease, anchor, head=head, now_ms=now_ms)
        else:
            _settle(rooms, client, lease, anchor, head=head, now_ms=now_ms)
    _give_up_replaced(rooms, client, lease, head=head, next_nonce=next_nonce)
    anchored = client.load_latest_anchor()
    if anchored is not None:
        _recognize(rooms, client, lease, anchored)

    waiting = [each for each in rooms.anchors.load_unsettled() if each.state in PENDING and each.nonce >= next_nonce]
    offers = {each.nonce: each for each in sorted(waiting, key=lambda each: each.max_fee_per_gas)}
    if next_nonce in offers:
        best = offers[next_nonce]
        try:
            for nonce in sorted(offers):
                _resend(rooms, client, lease, offers[nonce], now_ms)
        except AccountUnfunded:
            # The node has none of them. What was signed while fees were high must not be waited for when they are not.
            cheaper = _prepare(rooms, client, lease, nonce=next_nonce, undercut=best, anchored=anchored, now_ms=now_ms)
            if cheaper is None:
                raise
            # A crash here leaves the dear one to the next step, which comes here again.
            rooms.anchors.move(lease, best, "replaced")
            _resend(rooms, client, lease, cheaper, now_ms)
            return
        if _has_passed(rooms.policy.resend_after_ms, best.sent_at_ms or best.prepared_at_ms, now_ms):
            _send(rooms, client, lease, nonce=next_nonce, outbid=best, anchored=anchored, now_ms=now_ms)
        return
    last_ms = rooms.anchors.load_last_prepared_at_ms(now_ms)
    due = last_ms is None or _has_passed(rooms.policy.interval_ms, last_ms, now_ms)
    # Transactions may wait behind a nonce that nobody holds any more: then the newest checkpoint takes it at once.
    # Where the nonce was taken while we looked, the next step sees what by.
    if (waiting or due) and client.load_next_nonce() == next_nonce:
        _send(rooms, client, lease, nonce=next_nonce, outbid=None, anchored=anchored, now_ms=now_ms)


def _open_client(rooms: AnchorRooms, lease: Lease) -> AnchorClient:
    """A client of the log's contract, on the chain that it was decided for, where it may write."""
    target = rooms.anchors.load_target()
    if target is None:
        target = rooms.open_target()
        rooms.anchors.append_target(lease, target)
    client = rooms.client_for(target)
    if not client.check_canonical(0, target.genesis_hash):
        raise OtherChain
    # A chain that lost its last blocks may have lost contract and log with them. Both have the addresses that they had,
    # so that making them again brings back what every document names.
    if not _log_exists(client) and rooms.open_target() != target:
        raise OtherChain
    if not client.check_publisher(client.publisher):
        raise NotAPublisher
    return client


def _log_exists(client: AnchorClient) -> bool:
    """Whether contract and log are there; a call of an address without code would do nothing."""
    try:
        return client.load_admin() is not None
    except ContractMissing:
        return False


def _settle(
    rooms: AnchorRooms, client: AnchorClient, lease: Lease, anchor: StoredAnchor, *, head: ChainHead, now_ms: int
) -> None:
    """Move one transaction to the state that its receipt, or the loss of it, proves."""
    receipt = client.load_receipt(anchor.hash)
    if receipt is not None:
        state = _state_of(receipt, head, rooms.policy.confirmations)
        if (state, receipt.block_hash) != (anchor.state, anchor.block_hash):
            rooms.anchors.move(lease, anchor, state, block_number=receipt.block_number, block_hash=receipt.block_hash)
    elif anchor.state in ANCHORED:
        # Its block is no longer canonical; the wait for a higher fee starts anew.
        rooms.anchors.move(lease, anchor, "sent", sent_at_ms=now_ms)


def _settle_finalized(
    rooms: AnchorRooms, client: AnchorClient, lease: Lease, newest: StoredAnchor, *, head: ChainHead, now_ms: int
) -> None:
    """Where the chain undid what was final, move all that is not in its block any more."""
    if _stands(client, newest):
        return
    # An account's transactions are mined in the order of their nonces, so all before one that stands stand too.
    undone = list(itertools.takewhile(lambda each: not _stands(client, each), rooms.anchors.load_finalized()))
    # The newest last: after a crash in between it is still the one that tells of the others.
    for each in reversed(undone):
        _settle(rooms, client, lease, each, head=head, now_ms=now_ms)


def _stands(client: AnchorClient, anchor: StoredAnchor) -> bool:
    """Whether a transaction is still in the block that it was found in."""
    receipt = client.load_receipt(anchor.hash)
    return receipt is not None and receipt.block_hash == anchor.block_hash


def _state_of(receipt: Receipt, head: ChainHead, confirmations: int) -> AnchorState:
    if not receipt.succeeded:
        return "failed"
    return "finalized" if head.number - receipt.block_number >= confirmations else "mined"


def _give_up_replaced(
    rooms: AnchorRooms, client: AnchorClient, lease: Lease, *, head: ChainHead, next_nonce: int
) -> None:
    """Give up what can no longer be mined, because another transaction has its nonce."""
    overtaken = [each for each in rooms.anchors.load_unsettled() if each.state in PENDING and each.nonce < next_nonce]
    if overtaken and client.check_chain() == head:  # else a reorganisation between our questions could look the same
        for anchor in overtaken:
            # Where one of ours has the nonce in a block that may still be undone, this one may yet be mined.
            if all(rival.state != "mined" for rival in rooms.anchors.load_rivals(anchor)):
                rooms.anchors.move(lease, anchor, "replaced")


def _recognize(rooms: AnchorRooms, client: AnchorClient, lease: Lease, anchored: AnchoredCheckpoint) -> None:
    """Make sure that the contract's newest checkpoint is this log's, and that its transaction is stored as mined.

    A transaction that was given up can be mined after all, where a reorganisation undid what had taken its place.
    """
    published = rooms.log.load_checkpoint(anchored.size)
    if published is None or published.root != anchored.root:
        raise ForkedLog
    candidates = rooms.anchors.load_anchors_of_size(anchored.size)
    if any(each.state in ANCHORED for each in candidates):
        return
    for each in candidates:
        receipt = client.load_receipt(each.hash)
        if receipt is not None and receipt.succeeded:
            rooms.anchors.move(lease, each, "mined", block_number=receipt.block_number, block_hash=receipt.block_hash)


def _resend(rooms: AnchorRooms, client: AnchorClient, lease: Lease, anchor: StoredAnchor, now_ms: int) -> None:
    """Hand a waiting transaction to the node, unless the node has it."""
    has_it = client.transaction_known(anchor.hash) or client.submit_transaction(anchor.raw) in _TAKEN
    # A crash here leaves it prepared: the next step finds that the node has it.
    if has_it and anchor.state == "prepared":
        rooms.anchors.move(lease, anchor, "sent", sent_at_ms=now_ms)


def _send(
    rooms: AnchorRooms,
    client: AnchorClient,
    lease: Lease,
    *,
    nonce: int,
    outbid: StoredAnchor | None,
    anchored: AnchoredCheckpoint | None,
    now_ms: int,
) -> None:
    """Anchor the newest checkpoint under a nonce, unless the contract has it; pay more than `outbid` did."""
    prepared = _prepare(rooms, client, lease, nonce=nonce, outbid=outbid, anchored=anchored, now_ms=now_ms)
    if prepared is not None:
        # A crash here leaves it prepared and unsent: the next step asks the node, which does not have it, and sends it.
        _resend(rooms, client, lease, prepared, now_ms)


def _prepare(
    rooms: AnchorRooms,
    client: AnchorClient,
    lease: Lease,
    *,
    nonce: int,
    outbid: StoredAnchor | None = None,
    undercut: StoredAnchor | None = None,
    anchored: AnchoredCheckpoint | None,
    now_ms: int,
) -> StoredAnchor | None:
    """Sign and store the anchoring of the newest checkpoint; None where there is nothing to do, or not at such fees.

    It pays more than `outbid` did, or what the node suggests where that is clearly less than `undercut` pays.
    """
    checkpoint = rooms.log.load_newest_checkpoint()
    if checkpoint is None or checkpoint.size <= (anchored.size if anchored is not None else 0):
        return None
    fees = client.suggest_fees()
    if undercut is not None and fees.bump().max_fee_per_gas > undercut.max_fee_per_gas:
        return None
    if outbid is not None:
        higher = Fees(
            max_fee_per_gas=outbid.max_fee_per_gas, max_priority_fee_per_gas=outbid.max_priority_fee_per_gas
        ).bump()
        if higher.max_fee_per_gas > MOST_TIMES_SUGGESTED * fees.max_fee_per_gas:
            return None
        fees = Fees(
            max_fee_per_gas=max(fees.max_fee_per_gas, higher.max_fee_per_gas),
            max_priority_fee_per_gas=max(fees.max_priority_fee_per_gas, higher.max_priority_fee_per_gas),
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
    return prepared


def _has_passed(wait_ms: int, since_ms: int, now_ms: int) -> bool:
    """Whether a wait is over; it is, too, where the clock was set back before its beginning."""
    return not 0 <= now_ms - since_ms < wait_ms
