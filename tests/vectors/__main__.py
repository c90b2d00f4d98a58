"""Run every third-party vector and write docs/vectors.md and the committed list anew: `make vectors`."""

import os
import sys
from pathlib import Path

from tests.vectors.report import PAGE, REFUSED_VALID, committed, page
from tests.vectors.suites import ACCEPTED, run

if __name__ == "__main__":
    if not (folder := os.environ.get("CREDENCE_TEST_DATA")):
        sys.exit("CREDENCE_TEST_DATA is not set: the third-party vectors are not ours to commit")
    vectors = run(Path(folder).resolve())
    PAGE.write_text(page(vectors))
    REFUSED_VALID.write_text(committed(vectors))
    print(f"{len(vectors)} vectors: see {PAGE}")
    for vector in vectors:
        if (vector.outcome == ACCEPTED) != vector.valid and not vector.rule:
            print(f"no rule for {vector}", file=sys.stderr)
