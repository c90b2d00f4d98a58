"""The receipt document: a consent receipt, and the log entry that commits to it, as its holder keeps them.

What is in it is verified against keys that the reader holds, as a score document is, without network or service.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from api.score_document import DocumentNotVerified, MalformedDocument, NotYetLogged, Trust, VerifiedScoreDocument
from chain.checkpoint import Checkpoint
from chain.errors import ChainError
from chain.proof import parse_log_proof, verify_log_proof
from identity.consent_receipt import ConsentReceipt, verify_consent_receipt
from identity.encoding import parse_json
from identity.errors import IdentityError

MAX_RECEIPT_DOCUMENT_BYTES = 256 * 1024
#: The types of the entries that commit to receipts, and what the consent is after each.
_STATES = {"score": "given", "consent_renewed": "given", "consent_withdrawn": "withdrawn"}


@dataclass(frozen=True, kw_only=True)
class VerifiedReceipt:
    """A receipt of which everything was verified; `sha256` is of its signed text, `index` where its entry stands."""

    receipt: ConsentReceipt
    sha256: str
    index: int
    checkpoint: Checkpoint


def verify_receipt_document(data: bytes, trust: Trust) -> VerifiedReceipt:
    """Verify a receipt document `{v, receipt, log}`.

    1. The receipt is signed by a key that is trusted for receipts, and has every member and no other.
    2. The log entry is of the event that the receipt tells of: the same lender, moment, consent or score.
    3. The entry commits to this very receipt.
    4. The entry stands in the log under a checkpoint that a trusted log key signed.

    Raises `MalformedDocument`, `DocumentNotVerified` or `NotYetLogged`.
    """
    compact, log = _parse(data)
    try:
        # 1.
        receipt = verify_consent_receipt(compact, trusted_keys=trust.receipt_keys)
        # 4., which is what makes an entry of the text.
        if log.get("checkpoint") is None:
            raise NotYetLogged("No published checkpoint covers the receipt yet.")
        proven = verify_log_proof(parse_log_proof(log), trust.log_keys)
    except (IdentityError, ChainError) as error:
        raise DocumentNotVerified(str(error)) from error
    # 2.
    entry = proven.entry
    if _STATES.get(entry.type) != receipt.state or (entry.tenant, entry.at_ms) != (
        receipt.controller.id,
        receipt.event_at_ms,
    ):
        raise DocumentNotVerified("The log entry is not of the event that the receipt tells of.")
    if entry.type == "score":
        told = {"score_id": receipt.score_id, "request_id": receipt.request_id}
    else:
        told = {"consent_id": receipt.consent_id}
    if any(entry.body.get(name) != value for name, value in told.items()):
        raise DocumentNotVerified("The log entry is of another score or consent.")
    # 3.
    digest = sha256(compact.encode("ascii")).hexdigest()
    if entry.body.get("receipt_sha256") != digest:
        raise DocumentNotVerified("The log entry commits to another receipt.")
    return VerifiedReceipt(receipt=receipt, sha256=digest, index=proven.index, checkpoint=proven.checkpoint)


def verify_receipt_of_score(verified: VerifiedReceipt, document: VerifiedScoreDocument) -> None:
    """Verify that a score document is of the score that the receipt is of; raises `DocumentNotVerified`."""
    if document.receipt_sha256 != verified.sha256 or document.members["id"] != verified.receipt.score_id:
        raise DocumentNotVerified("The score document is of another receipt.")


def _parse(data: bytes) -> tuple[str, Mapping[str, Any]]:
    if len(data) > MAX_RECEIPT_DOCUMENT_BYTES:
        raise MalformedDocument("The file is larger than a receipt document can be.")
    try:
        document: Any = parse_json(data)
    except IdentityError:
        raise MalformedDocument("The file is not well-formed JSON.") from None
    if not isinstance(document, dict) or document.keys() != {"v", "receipt", "log"} or document["v"] != 1:
        raise MalformedDocument("The file is not a receipt document of this version.")
    compact, log = document["receipt"], document["log"]
    if not isinstance(compact, str) or not compact.isascii() or not isinstance(log, dict):
        raise MalformedDocument("The file is not a receipt document of this version.")
    return compact, log
