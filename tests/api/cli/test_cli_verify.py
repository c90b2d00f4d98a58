"""credence verify: a good file verifies with nothing but keys, and any other exits 1."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api.cli.local_service import free_port
from api.score_document import AnchorStatement
from chain.anchor import AnchorClient, create_log, deploy_contract
from chain.anvil import Anvil, find_anvil
from chain.checkpoint import Checkpoint
from chain.errors import AnvilMissing
from chain.node import parse_account_key

ROOT = Path(__file__).resolve().parents[3]
KEY = b"\7" * 32
ORIGIN = "credence.test/log"

Credence = Callable[..., Any]
MakeDocument = Callable[..., Any]


@pytest.fixture
def made(make_document: MakeDocument, tmp_path: Path) -> Any:
    made = make_document()
    (tmp_path / "score.json").write_bytes(made.document)
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "trust.json").write_bytes(made.issuer.trust)
    return made


def test_a_good_file_verifies_and_says_what_was_not_checked(credence: Credence, made: Any) -> None:
    ran = credence("verify", "score.json")
    assert (ran.code, ran.err) == (0, "")
    assert "VERIFIED" in ran.out
    assert "revoked since" in ran.out
    assert "expired since" in ran.out
    assert [line.split()[0] for line in ran.out.splitlines() if "  ok  " in line] == list("123456")


def test_json_is_one_document_with_the_score(credence: Credence, made: Any) -> None:
    ran = credence("verify", "score.json", "--trust", "var/trust.json", "--json")
    assert ran.code == 0
    assert ran.json["verified"] is True
    assert ran.json["score"]["points"] == json.loads(made.document)["points"]
    assert (ran.json["valid_until"], ran.json["expired"]) == (json.loads(made.document)["valid_until"], True)
    assert len(ran.json["checks"]) == 6


def test_any_altered_byte_exits_1(credence: Credence, made: Any, tmp_path: Path) -> None:
    size = len(made.document)
    for position in [*range(0, size, max(1, size // 120)), size - 1]:
        altered = bytearray(made.document)
        altered[position] ^= 1
        (tmp_path / "altered.json").write_bytes(altered)
        ran = credence("verify", "altered.json")
        assert (ran.code, "NOT VERIFIED" in ran.err, ran.out) == (1, True, ""), f"byte {position}"
    for other in (made.document[:-1], made.document + b"\n", b"", b"[]", b"\xff", made.document * 100):
        (tmp_path / "altered.json").write_bytes(other)
        assert credence("verify", "altered.json").code == 1


def test_a_file_remade_with_other_keys_exits_1(
    credence: Credence, made: Any, make_document: MakeDocument, tmp_path: Path
) -> None:
    (tmp_path / "score.json").write_bytes(make_document().document)
    ran = credence("verify", "score.json", "--json")
    assert (ran.code, ran.json["verified"]) == (1, False)


def test_an_anchor_that_is_not_trusted_exits_1(
    credence: Credence, made: Any, make_document: MakeDocument, tmp_path: Path
) -> None:
    elsewhere = replace(made.issuer, anchor=replace(made.issuer.anchor, log_id=bytes(32)))
    (tmp_path / "score.json").write_bytes(make_document(elsewhere).document)
    ran = credence("verify", "score.json")
    assert ran.code == 1
    assert "not trusted" in ran.err


def test_without_a_file_or_keys_there_is_nothing_to_verify(credence: Credence, made: Any, tmp_path: Path) -> None:
    assert credence("verify", "nowhere.json").code == 2
    ran = credence("verify", "score.json", "--trust", "nowhere.json")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    (tmp_path / "var" / "trust.json").write_text("{}")
    assert credence("verify", "score.json").code == 2


def test_it_loads_no_network_no_database_and_nothing_heavy(made: Any, tmp_path: Path) -> None:
    program = """
import socket, sys
def refuse(*_): raise AssertionError("a socket was opened")
socket.socket.__init__ = refuse
sys.argv = ["credence", "verify", "score.json"]
from api.cli.main import main
try:
    main()
finally:
    heavy = {"web3", "sqlalchemy", "alembic", "fastapi", "uvicorn", "torch", "opendp", "httpx"} & set(sys.modules)
    assert not heavy, heavy
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr


# The chain


@pytest.fixture(scope="module")
def anvil(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Anvil]:
    try:
        binary = find_anvil(ROOT)
    except AnvilMissing as missing:
        pytest.skip(str(missing))
    with Anvil(binary=binary, state_directory=tmp_path_factory.mktemp("chain"), port=free_port()) as running:
        running.fund(parse_account_key(KEY).address)
        yield running


def anchor_on(anvil: Anvil) -> Callable[[Checkpoint], AnchorStatement]:
    """Anchor a checkpoint of one leaf; the log's id holds a salt, so that each has size 1 of its own."""

    def anchor(checkpoint: Checkpoint) -> AnchorStatement:
        where = {"rpc_url": anvil.rpc_url, "chain_id": 31337, "key": KEY}
        contract = deploy_contract(**where)  # type: ignore[arg-type]
        log_id = create_log(
            **where,  # type: ignore[arg-type]
            contract_address=contract,
            origin=f"{ORIGIN}/{checkpoint.root.hex()}",
            publishers=[parse_account_key(KEY).address],
        )
        client = AnchorClient(**where, contract_address=contract, log_id=log_id)  # type: ignore[arg-type]
        transaction = client.build_anchor_transaction(
            size=checkpoint.size, root=checkpoint.root, nonce=client.load_next_nonce(), fees=client.suggest_fees()
        )
        client.submit_transaction(transaction.raw)
        deadline = time.monotonic() + 30
        while (receipt := client.load_receipt(transaction.hash)) is None:  # anvil answers before it mines
            assert time.monotonic() < deadline, "it was not mined"
            time.sleep(0.01)
        return AnchorStatement(
            chain_id=31337,
            contract=contract,
            log_id=log_id,
            size=checkpoint.size,
            transaction=transaction.hash,
            block_number=receipt.block_number,
            block_hash=receipt.block_hash,
            state="mined",
        )

    return anchor


def test_rpc_asks_the_chain_and_believes_only_it(
    credence: Credence, make_document: MakeDocument, anvil: Anvil, tmp_path: Path
) -> None:
    anchored = make_document(anchor_of=anchor_on(anvil))
    (tmp_path / "trust.json").write_bytes(anchored.issuer.trust)

    def verify(document: bytes) -> Any:
        (tmp_path / "score.json").write_bytes(document)
        return credence("verify", "score.json", "--trust", "trust.json", "--rpc", anvil.rpc_url)

    ran = verify(anchored.document)
    assert ran.code == 0, ran.err
    assert "9  ok" in ran.out
    assert "--rpc" not in ran.out


@pytest.mark.parametrize(
    ("lie", "complaint"),
    [
        ({"block_hash": bytes(32)}, "stated block"),
        ({"transaction": bytes(32)}, "no such transaction"),
        ({"block_number": 0}, "stated block"),
    ],
)
def test_rpc_finds_a_false_statement_about_a_true_anchor(
    credence: Credence,
    make_document: MakeDocument,
    anvil: Anvil,
    tmp_path: Path,
    lie: dict[str, Any],
    complaint: str,
) -> None:
    anchored = make_document(anchor_of=lambda checkpoint: replace(anchor_on(anvil)(checkpoint), **lie))
    (tmp_path / "trust.json").write_bytes(anchored.issuer.trust)
    (tmp_path / "score.json").write_bytes(anchored.document)
    ran = credence("verify", "score.json", "--trust", "trust.json", "--rpc", anvil.rpc_url)
    assert ran.code == 1
    assert complaint in ran.err


def test_a_transaction_that_did_something_else_is_not_the_anchor(
    credence: Credence, make_document: MakeDocument, anvil: Anvil, tmp_path: Path
) -> None:
    def anchor_and_name_another(checkpoint: Checkpoint) -> AnchorStatement:
        other = anchor_on(anvil)(replace(checkpoint, root=bytes(32)))
        return replace(other, log_id=anchor_on(anvil)(checkpoint).log_id)

    anchored = make_document(anchor_of=anchor_and_name_another)
    (tmp_path / "trust.json").write_bytes(anchored.issuer.trust)
    (tmp_path / "score.json").write_bytes(anchored.document)
    ran = credence("verify", "score.json", "--trust", "trust.json", "--rpc", anvil.rpc_url)
    assert ran.code == 1
    assert "not the one" in ran.err


def test_a_checkpoint_that_the_contract_does_not_hold_exits_1(
    credence: Credence, make_document: MakeDocument, anvil: Anvil, tmp_path: Path
) -> None:
    anchored = make_document(anchor_of=anchor_on(anvil))
    forked = make_document(anchored.issuer)  # the same keys, size and place, but another root
    (tmp_path / "trust.json").write_bytes(anchored.issuer.trust)
    (tmp_path / "score.json").write_bytes(forked.document)
    assert credence("verify", "score.json", "--trust", "trust.json").code == 0
    ran = credence("verify", "score.json", "--trust", "trust.json", "--rpc", anvil.rpc_url)
    assert ran.code == 1
    assert "does not hold" in ran.err


def test_an_rpc_that_cannot_be_reached_exits_1(credence: Credence, made: Any) -> None:
    ran = credence("verify", "score.json", "--rpc", "http://127.0.0.1:9")
    assert (ran.code, "cannot be reached" in ran.err, ran.err.count("\n")) == (1, True, 1)
