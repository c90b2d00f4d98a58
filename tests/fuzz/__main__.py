"""Fuzz parsers with atheris: `python -m tests.fuzz NAME … --seconds 600`; without a name, list them.

Each corpus is kept under var/fuzz/NAME/corpus, where the next run goes on from it, and an input that is a finding
beside it: `--input FILE` runs that one alone. The exit code is 0 where nothing was found.
"""

import argparse
import hashlib
import os
import sys
from pathlib import Path
from random import Random

import atheris

with atheris.instrument_imports(include=["identity"]):
    from tests.fuzz.all_targets import TARGETS

ROOT = Path(__file__).resolve().parents[2]
MAX_INPUT_BYTES = 16_384


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*TARGETS, []], metavar="NAME")
    parser.add_argument("--seconds", type=int, default=600, help="at most, for each")
    parser.add_argument("--runs", type=int, default=-1, help="at most, for each; -1 for no limit")
    parser.add_argument("--seed", type=int, default=0, help="0 for another one every time")
    parser.add_argument("--folder", type=Path, default=ROOT / "var" / "fuzz")
    parser.add_argument("--input", type=Path)
    options = parser.parse_args()
    if not options.names:
        print("\n".join(TARGETS))
    if options.input:
        print("accepted" if TARGETS[options.names[0]].run(options.input.read_bytes()) else "refused")
        return 0
    found = []
    for name in options.names:
        # The fuzzer ends its process, so each target has one of its own, forked from what is instrumented already.
        if not (child := os.fork()):
            fuzz(name, options)
        if os.waitpid(child, 0)[1]:
            found.append(name)
    if found:
        print(f"findings in: {' '.join(found)}", file=sys.stderr)
    return 1 if found else 0


def fuzz(name: str, options: argparse.Namespace) -> None:
    """Fuzz one target, and end this process."""
    target, folder = TARGETS[name], options.folder / name
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for seed in target.seeds:
        if not target.run(seed):
            sys.exit(f"a valid input of {name} is refused: {seed[:200]!r}")
        (corpus / hashlib.sha256(seed).hexdigest()).write_bytes(seed)

    def mutate(data: bytes, max_bytes: int, seed: int) -> bytes:
        random = Random(seed)
        if random.randrange(4) == 0:
            return bytes(atheris.Mutate(data, max_bytes))
        for _ in range(random.choice((1, 1, 1, 2, 4))):
            data = target.mutate(data, random)
        return data[:max_bytes]

    def run(data: bytes) -> None:
        target.run(data)

    arguments = [
        *(sys.argv[0], f"-max_total_time={options.seconds}", f"-runs={options.runs}", f"-seed={options.seed}"),
        *(f"-max_len={MAX_INPUT_BYTES}", "-timeout=20", "-rss_limit_mb=2048", "-print_final_stats=1"),
        *(f"-artifact_prefix={folder}/", str(corpus)),
    ]
    atheris.Setup(arguments, run, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
