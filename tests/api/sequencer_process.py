"""Appends scores to a log that other processes append to as well: DATABASE KEYSTORE TENANT FIRST COUNT."""

import sys
from concurrent.futures import ThreadPoolExecutor

from api.store.appends import Appended, AppendScore
from api.store.database import open_engine
from api.store.requests import RequestStore
from api.store.sequencer import Sequencer

ROUNDS = 5


def main(database: str, tenant_id: str, subject_id: str, first: int, count: int) -> None:
    engine = open_engine(database)
    requests = RequestStore(engine=engine, audience="a", base_url="http://b")
    sequencer = Sequencer(engine=engine, requests=requests, origin="log.example/shared")
    sequencer.start()

    def append(number: int) -> int:
        outcome = sequencer.append(
            AppendScore(
                tenant_id=tenant_id,
                request_id=f"req_{number}",
                purpose="credit_application",
                receipt_id=f"rcp_{number}",
                presentation_mac=b"mac",
                at_ms=1,
                score_id=f"sco_{number}",
                subject_id=subject_id,
                subject_key=b"k" * 32,
                status_list_id="s",
                status_index=number,
                valid_until_ms=2,
                body={"score_id": f"sco_{number}"},
                answer={},
            )
        )
        assert isinstance(outcome, Appended)
        return outcome.log_index

    print("ready", flush=True)
    indices: list[int] = []
    with ThreadPoolExecutor(64) as threads:
        # In rounds that begin together: SQLite's lock is not fair, and one process could be through before the other.
        for begin in range(first, first + count, count // ROUNDS):
            sys.stdin.readline()
            indices += threads.map(append, range(begin, begin + count // ROUNDS))
            print("done", flush=True)
    sequencer.stop()
    print(",".join(map(str, indices)))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
