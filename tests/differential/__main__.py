"""Have both verifiers judge a seeded corpus: `python -m tests.differential --credentials 20000`.

Prints the figures as JSON. The exit code is 1 where a disagreement has no reason in the committed file; `--write` puts
the run's counts there, and an empty reason for what has none yet.
"""

import argparse
import json
import sys
from dataclasses import asdict
from importlib.metadata import version

from tests.differential.comparison import COMMITTED, committed_reasons, compare
from tests.differential.corpus import cases

SEED = 7


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--credentials", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--write", action="store_true", help="write the committed file anew")
    parser.add_argument("--examples", action="store_true", help="show one case of each rule")
    options = parser.parse_args()
    run = compare(cases(options.seed, options.credentials))
    reasons = committed_reasons() if COMMITTED.exists() else {}
    figures = {
        "openvc_core": version("openvc-core"),
        "seed": options.seed,
        "credentials": run.cases,
        "both_accept": run.both_accept,
        "both_refuse": run.both_refuse,
        "disagree": sum(counts.total() for counts in run.disagreements.values()),
    }
    rules = [
        {
            **{name: value for name, value in asdict(rule).items() if value is not None},
            "count": run.disagreements[rule].total(),
            "changes": dict(run.disagreements[rule].most_common()),
            "reason": reasons.get(rule, ""),
        }
        for rule in sorted(
            run.disagreements, key=lambda rule: (rule.format, rule.ours, rule.theirs, rule.mutation or "")
        )
    ]
    if options.write:
        COMMITTED.write_text(json.dumps({**figures, "disagreements": rules}, indent=1, ensure_ascii=False) + "\n")
    if options.examples:
        for rule, case in run.examples.items():
            print(rule, case.mutation, str(case.presented)[:6000], sep="\n", end="\n\n")
    print(json.dumps(figures, indent=1))
    without = [rule for rule in run.disagreements if not reasons.get(rule)]
    for rule in without:
        print(f"no reason is given for {rule}: {dict(run.disagreements[rule].most_common(6))}", file=sys.stderr)
    return 1 if without else 0


if __name__ == "__main__":
    sys.exit(main())
