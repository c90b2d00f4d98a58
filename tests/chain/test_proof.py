"""Self-contained proofs: every entry of a log proves itself, and no altered byte of a proof goes through."""

import json
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from chain.checkpoint import Checkpoint, sign_checkpoint
from chain.entry import commitment, encode_entry
from chain.errors import (
    BadNoteSignature,
    BadSalt,
    ChainError,
    EntryNotCanonical,
    IndexNotInTree,
    LogKeyRetired,
    MalformedProof,
    NoTrustedSignature,
    ProofLengthWrong,
    RootMismatch,
    UnverifiedSignature,
)
from chain.merkle import leaf_hash
from chain.note import LogSigner, VerifierKey
from chain.proof import LogProof, format_log_proof, format_tlog_proof, parse_log_proof, verify_log_proof

SIZE = 300


def entry_of(index: int) -> bytes:
    body = {"note": "naïve — “ok”", "points": 300 + index}
    return encode_entry(type="score", at_ms=1_763_830_800_000 + index, tenant="t-1", seq=index, body=body)


def salt_of(index: int) -> bytes:
    return sha256(b"salt" + index.to_bytes(2, "big")).digest()


@pytest.fixture(scope="module")
def log(new_log: Callable[[], Any]) -> Any:
    log = new_log()
    log.append([commitment(entry_of(index), salt_of(index)) for index in range(SIZE)])
    return log


@pytest.fixture(scope="module")
def proof(log: Any) -> LogProof:
    return proof_of(log, 217)


def proof_of(log: Any, index: int) -> LogProof:
    return LogProof(
        index=index,
        entry=entry_of(index),
        salt=salt_of(index),
        inclusion=tuple(log.inclusion(index)),
        checkpoint=log.checkpoint(),
    )


def refused(encoded: bytes, keys: list[VerifierKey]) -> bool:
    """Whether a proof's canonical JSON text is refused, by the JSON reader, by its spelling or by us."""
    try:
        value = json.loads(encoded)
        proof = parse_log_proof(value)
        verify_log_proof(proof, keys)
    except (ValueError, ChainError):
        return True
    return False


def test_every_entry_proves_itself(log: Any, signer: LogSigner) -> None:
    for index in range(SIZE):
        proof = proof_of(log, index)
        verified = verify_log_proof(
            parse_log_proof(json.loads(json.dumps(format_log_proof(proof)))), [signer.verifier_key]
        )
        assert (verified.index, verified.entry.seq, verified.checkpoint.size) == (index, index, SIZE)
        assert verified.leaf_hash == leaf_hash(log.commitments[index])
        assert verified.entry.body["points"] == 300 + index


def test_an_entry_alone_in_its_log_needs_no_hashes(new_log: Callable[[], Any], signer: LogSigner) -> None:
    log = new_log()
    log.append([commitment(entry_of(0), salt_of(0))])
    assert proof_of(log, 0).inclusion == ()
    assert verify_log_proof(proof_of(log, 0), [signer.verifier_key]).index == 0


def test_every_altered_byte_of_the_text_is_refused(proof: LogProof, signer: LogSigner) -> None:
    encoded = rfc8785.dumps(format_log_proof(proof))  # type: ignore[arg-type]
    assert not refused(encoded, [signer.verifier_key])
    for at in range(len(encoded)):
        for mask in (0x01, 0x20):
            altered = encoded[:at] + bytes([encoded[at] ^ mask]) + encoded[at + 1 :]
            assert refused(altered, [signer.verifier_key]), altered[max(0, at - 20) : at + 20]


@given(st.data())
def test_any_other_byte_in_any_place_is_refused(proof: LogProof, signer: LogSigner, data: st.DataObject) -> None:
    encoded = rfc8785.dumps(format_log_proof(proof))  # type: ignore[arg-type]
    at, mask = data.draw(st.integers(0, len(encoded) - 1)), data.draw(st.integers(1, 255))
    assert refused(encoded[:at] + bytes([encoded[at] ^ mask]) + encoded[at + 1 :], [signer.verifier_key])


def test_each_part_is_bound_to_the_rest(log: Any, proof: LogProof, signer: LogSigner) -> None:
    other = proof_of(log, 218)
    keys = [signer.verifier_key]
    for altered in (
        replace(proof, index=218),
        replace(proof, entry=other.entry),
        replace(proof, salt=other.salt),
        replace(proof, inclusion=other.inclusion),
    ):
        with pytest.raises(RootMismatch):
            verify_log_proof(altered, keys)
    with pytest.raises(IndexNotInTree):
        verify_log_proof(replace(proof, index=SIZE), keys)
    with pytest.raises(ProofLengthWrong):
        verify_log_proof(replace(proof, inclusion=proof.inclusion[1:]), keys)
    with pytest.raises(BadSalt):
        verify_log_proof(replace(proof, salt=b""), keys)
    with pytest.raises(EntryNotCanonical):
        verify_log_proof(replace(proof, entry=proof.entry + b" "), keys)


def test_a_proof_made_anew_by_another_log_is_refused(log: Any, proof: LogProof, signer: LogSigner) -> None:
    head = Checkpoint(origin=signer.name, size=SIZE, root=log.frontier.root())
    impostor = LogSigner(name=signer.name, private_key=bytes(32))
    with pytest.raises(NoTrustedSignature):
        verify_log_proof(replace(proof, checkpoint=sign_checkpoint(head, impostor)), [signer.verifier_key])


def test_a_commitment_leaf_cannot_stand_for_an_entry_that_was_not_logged(proof: LogProof, signer: LogSigner) -> None:
    forged = encode_entry(type="score", at_ms=1, tenant="t-1", seq=217, body={"points": 850})
    with pytest.raises(RootMismatch):
        verify_log_proof(replace(proof, entry=forged), [signer.verifier_key])


def test_a_note_may_carry_only_signatures_that_were_verified(proof: LogProof, signer: LogSigner) -> None:
    text, _, line = proof.checkpoint.rpartition("\n\n")
    witness = LogSigner(name="witness.example/w1", private_key=bytes(32))
    cosigned = replace(proof, checkpoint=proof.checkpoint + witness.sign(f"{text}\n").removeprefix(f"{text}\n\n"))
    with pytest.raises(UnverifiedSignature):
        verify_log_proof(cosigned, [signer.verifier_key])
    assert verify_log_proof(cosigned, [signer.verifier_key, witness.verifier_key]).index == 217
    with pytest.raises(UnverifiedSignature):
        verify_log_proof(replace(proof, checkpoint=proof.checkpoint + line), [signer.verifier_key])


def test_a_proof_under_a_key_retired_before_it_is_refused(proof: LogProof, signer: LogSigner) -> None:
    key = signer.verifier_key
    retired = VerifierKey(name=key.name, public_key=key.public_key, retired_at_size=SIZE - 1)
    with pytest.raises(LogKeyRetired):
        verify_log_proof(proof, [retired])


def test_a_failing_signature_of_a_trusted_key_is_refused(proof: LogProof, signer: LogSigner) -> None:
    with pytest.raises(BadNoteSignature):
        verify_log_proof(
            replace(proof, checkpoint=proof.checkpoint.replace(f"\n{SIZE}\n", "\n299\n")), [signer.verifier_key]
        )


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"v": True},
        {"v": None},
        {"extra": 1},
        {"index": -1},
        {"index": "217"},
        {"index": 217.0},
        {"index": True},
        {"index": 2**53},
        {"entry": {}},
        {"entry": "x" * 70_000},
        {"entry": "\ud800"},
        {"salt": None},
        {"salt": ""},
        {"salt": "A" * 43},
        {"salt": "A" * 44},
        {"salt": "A" * 42 + "B="},
        {"salt": "\u00e9" * 44},
        {"inclusion": {}},
        {"inclusion": [1]},
        {"inclusion": ["AAAA"]},
        {"inclusion": ["A" * 43 + "="] * 64},
        {"checkpoint": None},
        {"checkpoint": "x" * 300_000},
    ],
)
def test_members_of_another_form_are_refused(proof: LogProof, change: dict[str, object]) -> None:
    with pytest.raises(MalformedProof):
        parse_log_proof({**format_log_proof(proof), **change})


@pytest.mark.parametrize("member", ["v", "index", "entry", "salt", "inclusion", "checkpoint"])
def test_a_missing_member_is_refused(proof: LogProof, member: str) -> None:
    value = format_log_proof(proof)
    del value[member]
    with pytest.raises(MalformedProof):
        parse_log_proof(value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)


@given(JSON | st.fixed_dictionaries(dict.fromkeys(("index", "entry", "salt", "inclusion", "checkpoint"), JSON)))
def test_hostile_values_raise_only_our_errors(value: Any) -> None:
    for candidate in (value, {**value, "v": 1} if isinstance(value, dict) else value):
        with pytest.raises(ChainError):
            parse_log_proof(candidate)


@given(st.integers(), st.binary(max_size=60), st.binary(max_size=40), st.lists(st.binary(max_size=40), max_size=12))
def test_hostile_proofs_raise_only_our_errors(
    proof: LogProof, signer: LogSigner, index: int, entry: bytes, salt: bytes, inclusion: list[bytes]
) -> None:
    hostile = (
        replace(proof, index=index % SIZE + SIZE * (index > 0)),
        replace(proof, entry=entry),
        replace(proof, salt=salt),
        replace(proof, inclusion=tuple(inclusion)),
    )
    for altered in hostile:
        if altered != proof:
            with pytest.raises(ChainError):
                verify_log_proof(altered, [signer.verifier_key])


def test_the_text_form_is_that_of_tlog_proof(proof: LogProof) -> None:
    text = format_tlog_proof(index=proof.index, inclusion=proof.inclusion, checkpoint=proof.checkpoint)
    head, _, checkpoint = text.partition("\n\n")
    assert head.split("\n")[:2] == ["c2sp.org/tlog-proof@v1", "index 217"]
    assert len(head.split("\n")) == 2 + len(proof.inclusion)
    assert checkpoint == proof.checkpoint
