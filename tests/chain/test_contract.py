"""The committed contract: what the compiler makes of the sources, and what forge says of them."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from chain.contract import load_contract

CONTRACTS = Path("chain/contracts")


@pytest.fixture(scope="module")
def contracts(pytestconfig: pytest.Config) -> Path:
    if not (pytestconfig.rootpath / "node_modules" / "solc").exists():
        pytest.skip("node_modules is not there (npm ci): no Solidity compiler")
    if shutil.which("node") is None:
        pytest.skip("no node on the PATH: no Solidity compiler")
    return pytestconfig.rootpath / CONTRACTS


@pytest.fixture(scope="module")
def forge(contracts: Path) -> Path:
    for binary in (contracts.parents[1] / "node_modules" / "@foundry-rs").glob("forge-*/bin/forge"):
        return binary
    pytest.skip("npm installed no forge for this machine")


def run(command: list[str | Path], folder: Path) -> subprocess.CompletedProcess[str]:
    offline = {"PATH": os.environ["PATH"], "HOME": str(folder)}  # nothing of the user's foundry or npm settings
    return subprocess.run(command, cwd=folder, env=offline, capture_output=True, text=True, timeout=300)


def copy_sources(contracts: Path, folder: Path) -> Path:
    copy = folder / CONTRACTS
    shutil.copytree(contracts, copy, ignore=shutil.ignore_patterns("out", "cache"))
    (folder / "node_modules").symlink_to(contracts.parents[1] / "node_modules")
    return copy


def test_artifact_holds_the_sources_it_was_made_from(pytestconfig: pytest.Config) -> None:
    artifact = load_contract()
    path = "src/CheckpointAnchor.sol"
    source = (pytestconfig.rootpath / CONTRACTS / path).read_text()
    assert artifact.compiler_input["sources"] == {path: {"content": source}}
    assert artifact.compiler.startswith("0.8.37+")
    assert artifact.deployed_bytecode in artifact.bytecode
    assert {item["name"] for item in artifact.abi if item["type"] == "function"} >= {"createLog", "anchor", "latest"}


def test_artifact_is_what_the_sources_compile_to(contracts: Path) -> None:
    checked = run(["node", "compile.mjs", "check"], contracts)
    assert checked.returncode == 0, checked.stderr


def test_check_finds_altered_bytecode_and_an_altered_source(contracts: Path, tmp_path: Path) -> None:
    copy = copy_sources(contracts, tmp_path)
    committed = (copy / "CheckpointAnchor.json").read_text()
    artifact = json.loads(committed)
    artifact["deployedBytecode"] = artifact["deployedBytecode"][:-1] + "f"
    (copy / "CheckpointAnchor.json").write_text(json.dumps(artifact, indent=1) + "\n")
    assert run(["node", "compile.mjs", "check"], copy).returncode == 1
    assert run(["node", "compile.mjs", "build"], copy).returncode == 0
    assert (copy / "CheckpointAnchor.json").read_text() == committed

    source = copy / "src" / "CheckpointAnchor.sol"
    source.write_text(source.read_text().replace("size > log.latestSize", "size >= log.latestSize"))
    assert run(["node", "compile.mjs", "check"], copy).returncode == 1


def test_forge_tests_pass_on_the_committed_code(contracts: Path, forge: Path, tmp_path: Path) -> None:
    copy = copy_sources(contracts, tmp_path)
    tested = run([forge, "test"], copy)
    assert tested.returncode == 0, tested.stdout + tested.stderr
    summary = re.search(r"(\d+) tests passed, 0 failed, 0 skipped", tested.stdout)
    assert summary is not None, tested.stdout
    assert int(summary[1]) >= 27

    artifact = json.loads((copy / "out" / "CheckpointAnchor.sol" / "CheckpointAnchor.json").read_text())
    forged = bytes.fromhex(artifact["deployedBytecode"]["object"].removeprefix("0x"))
    assert without_metadata(forged) == without_metadata(load_contract().deployed_bytecode)

    snapshot = run([forge, "snapshot", "--check", "--no-match-test", "testFuzz|invariant"], copy)
    assert snapshot.returncode == 0, snapshot.stdout + snapshot.stderr


def without_metadata(code: bytes) -> bytes:
    """The code without its CBOR tail, which names the compiler's settings and whose length the last two bytes tell."""
    return code[: -2 - int.from_bytes(code[-2:], "big")]
