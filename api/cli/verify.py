"""`credence verify`: is this score document genuine, with nothing but the file and the keys one trusts?"""

import json
from datetime import UTC, datetime
from pathlib import Path

from api.cli.terminal import FAILED, USAGE, CommandFailed, format_epsilon, print_json, print_rows, read_file
from api.score_document import (
    MAX_DOCUMENT_BYTES,
    AnchorStatement,
    MalformedDocument,
    ScoreDocumentError,
    Trust,
    VerifiedScoreDocument,
    parse_trust,
    verify_document,
)

MAX_TRUST_BYTES = 1024 * 1024

#: What `verify_document` holds a document to, in its order.
OFFLINE_CHECKS = (
    "The file is one canonical JSON text with no member missing, unknown or repeated",
    "The seal over the whole of it is by a key that you trust",
    "The credential is by an issuer that you trust and says what the document says",
    "The log entry commits to this very credential",
    "The entry stands in the log, under a checkpoint signed by a log key that you trust",
)
_ANCHOR_CHECK = "The anchor names that checkpoint, on a contract and log id that you trust"
_CHAIN_CHECKS = (
    "The node serves the chain that the anchor names, and the contract there is CheckpointAnchor",
    "The contract holds this size and this root under this log id",
    "The transaction succeeded in the stated block, that block is canonical, and it anchored this checkpoint",
)


def run_verification(file: Path, *, trust_path: Path, rpc_url: str | None, as_json: bool) -> None:
    """Verify a file and say so, check by check; raises `CommandFailed` where it is not verified."""
    trust = load_trust(trust_path)
    data = read_file(file, max_bytes=MAX_DOCUMENT_BYTES, too_large=FAILED)
    checks = list(OFFLINE_CHECKS)
    try:
        verified = verify_document(data, trust)
        if verified.anchor is not None:
            checks.append(_ANCHOR_CHECK)
        if rpc_url is not None:
            _verify_on_chain(verified, rpc_url)
            checks += _CHAIN_CHECKS
    except (ScoreDocumentError, CommandFailed) as refused:
        if as_json:
            print_json({"verified": False, "reason": str(refused)})
        raise CommandFailed(f"NOT VERIFIED: {refused}", exit_code=FAILED) from None
    valid_until = json.loads(data)["valid_until"]
    expired = datetime.fromisoformat(valid_until) <= datetime.now(UTC)
    unseen = _list_unseen(verified, expired=expired, asked_chain=rpc_url is not None)
    if as_json:
        validity = {"valid_until": valid_until, "expired": expired}
        print_json({"verified": True, **validity, "checks": checks, "not_checked": unseen, **_summary(verified)})
    else:
        print_report(verified, checks, unseen)


def print_report(verified: VerifiedScoreDocument, checks: list[str], unseen: list[str]) -> None:
    """The checks by number, what the document says, and what could not be seen."""
    for number, check in enumerate(checks, 1):
        print(f"  {number}  ok  {check}")
    print("\nVERIFIED")
    members, anchor = verified.members, verified.anchor
    privacy = members["privacy"]
    print_rows(
        [
            ("score", members["id"]),
            ("outcome", members["outcome"]),
            ("points", members["points"]),
            ("band", members["band"]),
            ("model", f"{members['model']['name']} on {members['model']['data']} data"),
            ("epsilon", f"{format_epsilon(privacy['epsilon_micro'])}, delta {privacy['delta_e12'] / 1e12:g}"),
            ("log index", f"{verified.index} of {verified.checkpoint.size} in {verified.checkpoint.origin}"),
            ("transaction", None if anchor is None else "0x" + anchor.transaction.hex()),
            ("block", None if anchor is None else f"{anchor.block_number} of chain {anchor.chain_id}"),
        ]
    )
    print("\nNot checked")
    for each in unseen:
        print(f"  -  {each}")


def load_trust(path: Path) -> Trust:
    """The keys that a file trusts; raises `CommandFailed`."""
    if not path.exists():
        raise CommandFailed(
            f"{path} is not there: get the keys once from GET /v1/keys of a service that you trust, and keep them.",
            exit_code=USAGE,
        )
    try:
        return parse_trust(read_file(path, max_bytes=MAX_TRUST_BYTES))
    except MalformedDocument as malformed:
        raise CommandFailed(f"{path}: {malformed}", exit_code=USAGE) from None


def _verify_on_chain(verified: VerifiedScoreDocument, rpc_url: str) -> None:
    # The chain's library is heavy, and the offline way does without it.
    from chain.anchor import AnchorReader
    from chain.errors import ChainError, ChainRefused, ChainUnavailable, ContractMissing, WrongChain

    anchor = verified.anchor
    if anchor is None:
        raise CommandFailed("The document names no anchor yet; read the score again when it is anchored.")
    try:
        reader = AnchorReader(
            rpc_url=rpc_url, chain_id=anchor.chain_id, contract_address=anchor.contract, log_id=anchor.log_id
        )
        reader.check_chain()
        if not reader.check_contract():
            raise CommandFailed("The code at the contract's address is not CheckpointAnchor.")
        held = reader.load_anchor(anchor.size)
        if held is None or held.root != verified.checkpoint.root:
            raise CommandFailed("The contract does not hold the document's checkpoint.")
        receipt = reader.load_receipt(anchor.transaction)
        if receipt is None or not receipt.succeeded:
            raise CommandFailed("The chain has no such transaction, or it did not succeed.")
        if not _is_stated_block(anchor, receipt.block_number, receipt.block_hash) or not reader.check_canonical(
            anchor.block_number, anchor.block_hash
        ):
            raise CommandFailed("The transaction is not in the stated block of the canonical chain.")
        if not reader.check_anchored_by(anchor.transaction, size=anchor.size, root=verified.checkpoint.root):
            raise CommandFailed("The transaction is not the one that anchored the checkpoint.")
    except (ChainUnavailable, ChainRefused):
        raise CommandFailed("The RPC endpoint cannot be reached or does not answer as an Ethereum node.") from None
    except WrongChain:
        raise CommandFailed("The RPC endpoint serves another chain than the anchor's.") from None
    except ContractMissing:
        raise CommandFailed("There is no contract at the anchor's address on this chain.") from None
    except ChainError as refused:
        raise CommandFailed(str(refused)) from None


def _is_stated_block(anchor: AnchorStatement, number: int, block_hash: bytes) -> bool:
    return (number, block_hash) == (anchor.block_number, anchor.block_hash)


def _list_unseen(verified: VerifiedScoreDocument, *, expired: bool, asked_chain: bool) -> list[str]:
    """What no offline verification can know, in words."""
    unseen = ["Whether the score was revoked since: its status list says so, and that is on the network"]
    if verified.anchor is None:
        unseen.append("An anchor: the document was read before its checkpoint was on the chain")
    elif not asked_chain:
        unseen.append("Whether the chain agrees with the anchor: --rpc URL asks a node")
    if expired:
        unseen.append("Whether it may still be relied on: it was valid when it was issued, and has expired since")
    return unseen


def _summary(verified: VerifiedScoreDocument) -> dict[str, object]:
    anchor = verified.anchor
    return {
        "score": dict(verified.members),
        "log": {
            "index": verified.index,
            "origin": verified.checkpoint.origin,
            "size": verified.checkpoint.size,
            "root": verified.checkpoint.root.hex(),
        },
        "anchor": None
        if anchor is None
        else {
            "chain_id": anchor.chain_id,
            "contract": anchor.contract,
            "transaction": "0x" + anchor.transaction.hex(),
            "block_number": anchor.block_number,
        },
    }
