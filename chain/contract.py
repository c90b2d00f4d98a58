"""The CheckpointAnchor contract as it is committed: its ABI and bytecode, which nothing compiles at run time."""

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any


@dataclass(frozen=True, kw_only=True)
class ContractArtifact:
    """What `chain/contracts/compile.mjs` wrote: compiler version, its input, ABI, and both kinds of bytecode."""

    compiler: str
    compiler_input: dict[str, Any]
    abi: list[dict[str, Any]]
    bytecode: bytes
    deployed_bytecode: bytes


def load_contract() -> ContractArtifact:
    """The committed artifact of CheckpointAnchor."""
    artifact = json.loads(files("chain").joinpath("contracts/CheckpointAnchor.json").read_bytes())
    return ContractArtifact(
        compiler=artifact["compiler"],
        compiler_input=artifact["input"],
        abi=artifact["abi"],
        bytecode=bytes.fromhex(artifact["bytecode"].removeprefix("0x")),
        deployed_bytecode=bytes.fromhex(artifact["deployedBytecode"].removeprefix("0x")),
    )
