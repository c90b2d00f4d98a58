"""C2SP tlog-checkpoint: the specification's example, then what no trusted log of ours would have signed."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.checkpoint import (
    Checkpoint,
    check_origin,
    format_checkpoint,
    parse_checkpoint,
    sign_checkpoint,
    verify_checkpoint,
)
from chain.errors import (
    BadHash,
    BadOrigin,
    BadTreeSize,
    ChainError,
    LogKeyRetired,
    MalformedCheckpoint,
    NotSignedByOrigin,
)
from chain.merkle import EMPTY_ROOT, MAX_TREE_SIZE
from chain.note import LogSigner, VerifierKey, parse_note

# C2SP tlog-checkpoint v1.0.0, introduction. The key of its signature is not published.
SPEC_NOTE = (
    "example.com/behind-the-sofa\n"
    "20852163\n"
    "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    "\n"
    "— example.com/behind-the-sofa "
    "Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
)
ROOT = base64.b64encode(bytes(range(32))).decode()
TEXT = f"credence.example/log\n42\n{ROOT}\n"
CHECKPOINT = Checkpoint(origin="credence.example/log", size=42, root=bytes(range(32)))


def test_the_example_of_the_specification_is_read() -> None:
    text = parse_note(SPEC_NOTE).text
    checkpoint = parse_checkpoint(text)
    assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20_852_163)
    assert checkpoint.root.hex() == "0ac5186a91863e8e1d90c808014aa89bf5da8e3ee1d9f07630f0378f68f1ab62"
    assert format_checkpoint(checkpoint) == text


@given(st.integers(0, MAX_TREE_SIZE), st.binary(min_size=32, max_size=32))
def test_checkpoints_come_back(signer: LogSigner, size: int, root: bytes) -> None:
    checkpoint = Checkpoint(origin=signer.name, size=size, root=root)
    assert parse_checkpoint(format_checkpoint(checkpoint)) == checkpoint
    assert verify_checkpoint(sign_checkpoint(checkpoint, signer), [signer.verifier_key]) == checkpoint


def test_the_empty_log_has_a_checkpoint() -> None:
    text = format_checkpoint(Checkpoint(origin="credence.example/log", size=0, root=EMPTY_ROOT))
    assert text == "credence.example/log\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"
    assert parse_checkpoint(text).root == EMPTY_ROOT


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n\n",
        TEXT.removesuffix("\n"),
        TEXT + "extension\n",
        TEXT + "\n",
        "credence.example/log\n42\n",
        TEXT.replace("42", "042"),
        TEXT.replace("42", "00"),
        TEXT.replace("42", "-1"),
        TEXT.replace("42", "+42"),
        TEXT.replace("42", "4 2"),
        TEXT.replace("42", "4_2"),
        TEXT.replace("42", "٤٢"),
        TEXT.replace("42", ""),
        TEXT.replace("42", "9" * 5000),
        TEXT.replace("=", ""),
        TEXT.replace("=", "=="),
        TEXT.replace("8=", "9="),
        TEXT.replace("=", "= "),
        TEXT.replace(ROOT, "é"),
    ],
)
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(MalformedCheckpoint):
        parse_checkpoint(text)


def test_sizes_and_roots_out_of_range_are_refused() -> None:
    with pytest.raises(BadTreeSize):
        parse_checkpoint(TEXT.replace("42", str(MAX_TREE_SIZE + 1)))
    with pytest.raises(BadTreeSize):
        Checkpoint(origin="credence.example/log", size=-1, root=bytes(32))
    with pytest.raises(BadHash):
        parse_checkpoint(TEXT.replace(ROOT, base64.b64encode(bytes(31)).decode()))


@pytest.mark.parametrize(
    "origin", ["", "https://credence.example/log", "credence.example/log/", "a b", "a+b", "a\u2003b", "a\nb"]
)
def test_origins_other_than_schema_less_urls_are_refused(origin: str) -> None:
    with pytest.raises(BadOrigin):
        check_origin(origin)
    with pytest.raises(BadOrigin):
        Checkpoint(origin=origin, size=0, root=EMPTY_ROOT)


@given(st.text(max_size=60), st.text(max_size=30), st.text(max_size=60))
def test_hostile_checkpoints_raise_only_our_errors(origin: str, size: str, root: str) -> None:
    with pytest.raises(ChainError):
        parse_checkpoint(f"{origin}\n{size}\n{root}")


def test_a_log_signs_only_its_own_checkpoints(signer: LogSigner) -> None:
    other = LogSigner(name="other.example/log", private_key=bytes(32))
    with pytest.raises(NotSignedByOrigin):
        sign_checkpoint(CHECKPOINT, other)


def test_another_trusted_key_cannot_vouch_for_the_log(signer: LogSigner) -> None:
    other = LogSigner(name="other.example/log", private_key=bytes(32))
    note = other.sign(format_checkpoint(CHECKPOINT))
    with pytest.raises(NotSignedByOrigin):
        verify_checkpoint(note, [signer.verifier_key, other.verifier_key])


def test_a_cosignature_beside_the_logs_own_is_welcome(signer: LogSigner) -> None:
    witness = LogSigner(name="witness.example/w1", private_key=bytes(32))
    text = format_checkpoint(CHECKPOINT)
    note = sign_checkpoint(CHECKPOINT, signer) + witness.sign(text).removeprefix(f"{text}\n")
    assert verify_checkpoint(note, [signer.verifier_key, witness.verifier_key]) == CHECKPOINT
    assert verify_checkpoint(note, [signer.verifier_key]) == CHECKPOINT


def test_a_retired_key_counts_up_to_the_size_of_its_retirement(signer: LogSigner) -> None:
    key = signer.verifier_key
    note = sign_checkpoint(CHECKPOINT, signer)
    for retired_at_size in (42, 43):
        retired = VerifierKey(name=key.name, public_key=key.public_key, retired_at_size=retired_at_size)
        assert verify_checkpoint(note, [retired]) == CHECKPOINT
    for retired_at_size in (0, 41):
        retired = VerifierKey(name=key.name, public_key=key.public_key, retired_at_size=retired_at_size)
        with pytest.raises(LogKeyRetired):
            verify_checkpoint(note, [retired])


def test_the_key_that_followed_a_retired_one_counts(signer: LogSigner) -> None:
    follower = LogSigner(name=signer.name, private_key=bytes(32))
    key = signer.verifier_key
    keys = [
        VerifierKey(name=key.name, public_key=key.public_key, retired_at_size=7),
        follower.verifier_key,
    ]
    assert verify_checkpoint(sign_checkpoint(CHECKPOINT, follower), keys) == CHECKPOINT
    with pytest.raises(LogKeyRetired):
        verify_checkpoint(sign_checkpoint(CHECKPOINT, signer), keys)
