"""`credence verify-receipt`: is this consent receipt genuine, with nothing but the file and the keys one trusts?"""

from pathlib import Path

from api.cli.terminal import FAILED, CommandFailed, print_json, print_rows, read_file
from api.cli.verify import load_trust
from api.clock import format_time
from api.receipt_document import (
    MAX_RECEIPT_DOCUMENT_BYTES,
    VerifiedReceipt,
    verify_receipt_document,
    verify_receipt_of_score,
)
from api.score_document import MAX_DOCUMENT_BYTES, ScoreDocumentError, verify_document

#: What `verify_receipt_document` holds a document to, in its order.
CHECKS = (
    "The receipt is signed by a key that you trust for receipts, with no member missing or unknown",
    "The log entry is of the lender, moment and event that the receipt tells of",
    "The entry commits to this very receipt",
    "The entry stands in the log, under a checkpoint signed by a log key that you trust",
)
_SCORE_CHECK = "The score document is genuine, and its entry commits to this receipt"


def run_receipt_verification(file: Path, *, trust_path: Path, document: Path | None, as_json: bool) -> None:
    """Verify a receipt document and say so, check by check; raises `CommandFailed` where it is not verified."""
    trust = load_trust(trust_path)
    data = read_file(file, max_bytes=MAX_RECEIPT_DOCUMENT_BYTES, too_large=FAILED)
    checks = list(CHECKS)
    try:
        verified = verify_receipt_document(data, trust)
        if document is not None:
            score = read_file(document, max_bytes=MAX_DOCUMENT_BYTES, too_large=FAILED)
            verify_receipt_of_score(verified, verify_document(score, trust))
            checks.append(_SCORE_CHECK)
    except ScoreDocumentError as refused:
        if as_json:
            print_json({"verified": False, "reason": str(refused)})
        raise CommandFailed(f"NOT VERIFIED: {refused}", exit_code=FAILED) from None
    if as_json:
        print_json({"verified": True, "checks": checks, "not_checked": [_UNSEEN], **_summary(verified)})
        return
    for number, check in enumerate(checks, 1):
        print(f"  {number}  ok  {check}")
    print("\nVERIFIED")
    print_rows([(name.replace("_", " "), value) for name, value in _summary(verified).items()])
    for each in verified.receipt.information:
        print(f"\n  {each.credential_type}")
        print(f"    disclosed  {', '.join(each.disclosed) or 'nothing'}")
        print(f"    unused     {', '.join(each.unused) or 'nothing'}")
        print(f"    withheld   {', '.join(each.withheld) or 'nothing'}")
    print(f"\nNot checked\n  -  {_UNSEEN}")


_UNSEEN = "Whether the consent was withdrawn or given again since: ask the service, with the key"


def _summary(verified: VerifiedReceipt) -> dict[str, object]:
    receipt = verified.receipt
    return {
        "receipt": receipt.id,
        "consent": receipt.consent_id,
        "state": receipt.state,
        "at": format_time(receipt.event_at_ms),
        "lender": receipt.controller.name,
        "purpose": receipt.purpose,
        "score": receipt.score_id,
        "retention_days": receipt.retention_days,
        "log_index": f"{verified.index} of {verified.checkpoint.size} in {verified.checkpoint.origin}",
    }
