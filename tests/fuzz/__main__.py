"""Fuzz one parser with atheris: `python -m tests.fuzz NAME --seconds 600`; without a name, list them.

The corpus is kept under var/fuzz/NAME/corpus, where the next run goes on from it, and an input that is a finding beside
it. The exit code is 0 where nothing was found.
"""

import argparse
import hashlib
import sys
from pathlib import Path
from random import Random

import atheris

with atheris.instrument_imports(include=["identity"]):
    from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).resolve().parents[2]
MAX_INPUT_BYTES = 16_384


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="?", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0, help="0 for another one every time")
    parser.add_argument("--folder", type=Path, default=ROOT / "var" / "fuzz")
    parser.add_argument("input", nargs="?", type=Path, help="run this one input, and nothing else")
    options = parser.parse_args()
    if options.name is None:
        print("\n".join(TARGETS))
        return
    target = TARGETS[options.name]
    if options.input:
        print("accepted" if target.run(options.input.read_bytes()) else "refused")
        return
    folder = options.folder / options.name
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for seed in target.seeds:
        assert target.run(seed), f"a valid input of {options.name} is refused: {seed[:200]!r}"
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
        *(sys.argv[0], f"-max_total_time={options.seconds}", f"-max_len={MAX_INPUT_BYTES}", f"-seed={options.seed}"),
        *("-timeout=20", "-rss_limit_mb=2048", f"-artifact_prefix={folder}/", "-print_final_stats=1", str(corpus)),
    ]
    atheris.Setup(arguments, run, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
