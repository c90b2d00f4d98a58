"""What must hold at the end of the crash bench: nothing acknowledged is lost, and whatever can be verified verifies."""

import importlib.util
import json
import secrets
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx

from api.score_document import ScoreDocumentError, Trust, parse_trust, verify_document
from bench.crash_load import Findings, bearer
from chain.anchor import AnchorClient
from chain.anvil import Anvil
from chain.note import format_verifier_key

ROOT = Path(__file__).resolve().parent.parent
ANCHORED_WITHIN_S = 60.0


def await_anchors(
    http: httpx.Client, clients: Mapping[str, tuple[str, str]], findings: Findings, *, since: float
) -> float:
    """Seconds from the chain's return until the last acknowledged score has an anchor."""
    last = max(findings.acknowledged, key=lambda each: findings.acknowledged[each][1]["log"]["index"])
    token = bearer(http, clients[findings.acknowledged[last][0]])
    while http.get(f"/v1/scores/{last}", headers=token).raise_for_status().json()["anchor"] is None:
        if time.monotonic() - since > ANCHORED_WITHIN_S:
            findings.violations["not anchored within 60 s of the chain's return"] += 1
            break
        time.sleep(0.1)
    return round(time.monotonic() - since, 1)


def check_everything(
    *,
    http: httpx.Client,
    anvil: Anvil,
    findings: Findings,
    clients: Mapping[str, tuple[str, str]],
    origin: str,
) -> dict[str, int]:
    """Read all there is as lenders, auditors and strangers do, and note each thing that is not as it must be."""
    violations = findings.violations
    trust = parse_trust(json.dumps(http.get("/v1/keys").raise_for_status().json()).encode())
    (place,) = trust.anchors
    chain = AnchorClient(
        rpc_url=anvil.rpc_url,
        chain_id=place.chain_id,
        contract_address=place.contract,
        log_id=place.log_id,
        key=secrets.token_bytes(32),
    )
    log = read_log_as_a_stranger(http, trust, origin, violations)

    # The chain: no size stands there twice, and every root is that of the log at its size.
    events = [
        each
        for each in anvil.request(
            "eth_getLogs",
            [{"fromBlock": "0x0", "address": place.contract, "topics": [None, "0x" + place.log_id.hex()]}],
        )
        if len(each["topics"]) == 3 and len(each["data"]) == 2 + 128
    ]
    anchored = Counter(int(each["topics"][2], 16) for each in events)
    violations["a size stands twice on the chain"] += sum(count - 1 for count in anchored.values())
    leaves = log.leaf_hashes()
    for each in events:
        root = sys.modules["spec_log_client"].merkle_tree_hash(leaves[: int(each["topics"][2], 16)])
        violations["an anchored root is not the log's"] += each["data"][2:66] != root.hex()

    # The lenders: every score that was acknowledged is there, verifies, and its anchor is on the chain.
    roots: dict[int, bytes | None] = {}
    tokens = {tenant: bearer(http, client) for tenant, client in clients.items()}
    for score_id, (tenant, score) in findings.acknowledged.items():
        answer = http.get(f"/v1/scores/{score_id}", headers=tokens[tenant])
        if answer.status_code != 200:
            violations["an acknowledged score is lost"] += 1
            continue
        try:
            document = verify_document(answer.content, trust)
        except ScoreDocumentError as error:
            violations[f"a document does not verify: {error}"] += 1
            continue
        if document.members["id"] != score_id or document.index != score["log"]["index"]:
            violations["a document is not the one that was acknowledged"] += 1
        if document.anchor is None:
            violations["an acknowledged score has no anchor"] += 1
            continue
        size = document.checkpoint.size
        if size not in roots:
            found = chain.load_anchor(size)
            canonical = chain.check_canonical(document.anchor.block_number, document.anchor.block_hash)
            roots[size] = found.root if found is not None and canonical else None
        violations["an anchor is not on the canonical chain"] += roots[size] != document.checkpoint.root

    # The auditors: no entry of a tenant's is missing, and all together are the log.
    entries = 0
    for tenant in clients:
        seqs, ids = read_audit(http, tokens[tenant])
        entries += len(seqs)
        violations["a tenant's entries are not 0, 1, 2, ..."] += seqs != list(range(len(seqs)))
        owned = {score_id for score_id, (owner, _) in findings.acknowledged.items() if owner == tenant}
        violations["an acknowledged score is not in the audit trail"] += len(owned - ids)
    violations["the log is not as long as its entries are many"] += entries != log.size
    return {"log_size": log.size, "anchored": len(events), "tiles_read": len(log.paths)}


def read_audit(http: httpx.Client, token: dict[str, str]) -> tuple[list[int], set[str]]:
    """The sequence numbers of all of a tenant's entries, and the ids of its scores."""
    seqs: list[int] = []
    ids: set[str] = set()
    cursor: int | None = 0
    while cursor is not None:
        answer = http.get("/v1/audit/entries", params={"cursor": cursor, "limit": 200}, headers=token)
        page = answer.raise_for_status().json()
        seqs += [each["seq"] for each in page["entries"]]
        ids |= {each["score"]["id"] for each in page["entries"] if each["score"] is not None}
        cursor = page["next_cursor"]
    return seqs, ids


def read_log_as_a_stranger(http: httpx.Client, trust: Trust, origin: str, violations: Counter[str]) -> Any:
    """The whole log, by the client that is written from the specifications alone."""
    client = load_spec_log_client()
    vkey = format_verifier_key(trust.log_keys[0])
    log = client.read_log(lambda path: http.get(f"/v1/log/{path}").raise_for_status().content, vkey)
    violations["the log is of another origin"] += log.origin != origin
    return log


def load_spec_log_client() -> ModuleType:
    """tests/chain/spec_log_client.py, which belongs to no package."""
    spec = importlib.util.spec_from_file_location("spec_log_client", ROOT / "tests" / "chain" / "spec_log_client.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["spec_log_client"] = module
    spec.loader.exec_module(module)
    return module
