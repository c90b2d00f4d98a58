"""Nonces: ours, for one purpose, in time, and used once whoever tries at the same moment."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from api.store.database import open_engine, read_transaction
from api.store.nonces import NONCE_VALID_MS, NonceInvalid, NonceSpent, NonceStore
from api.store.tables import used_nonces
from identity.encoding import decode_base64url, encode_base64url

ROOT = Path(__file__).resolve().parents[2]
NOW_MS = 1_790_000_000_000
KEY = bytes(32)


@pytest.fixture
def engine(database):
    engine = open_engine(database)
    yield engine
    engine.dispose()


@pytest.fixture
def nonces(engine):
    return NonceStore(engine=engine, mac_key=KEY)


def test_a_nonce_is_used_once(nonces):
    first, second = (nonces.issue(purpose="p", now_ms=NOW_MS) for _ in range(2))
    assert first != second
    nonces.use(first, purpose="p", now_ms=NOW_MS)
    with pytest.raises(NonceSpent):
        nonces.use(first, purpose="p", now_ms=NOW_MS + 1)
    nonces.use(second, purpose="p", now_ms=NOW_MS + NONCE_VALID_MS - 1)


def test_a_nonce_is_for_one_purpose_and_for_a_time(nonces):
    nonce = nonces.issue(purpose="openid4vci/ten_1", now_ms=NOW_MS)
    for purpose, now_ms in (("openid4vci/ten_2", NOW_MS), ("openid4vci/ten_1", NOW_MS + NONCE_VALID_MS)):
        with pytest.raises(NonceInvalid):
            nonces.use(nonce, purpose=purpose, now_ms=now_ms)
    nonces.use(nonce, purpose="openid4vci/ten_1", now_ms=NOW_MS)


def test_a_nonce_of_another_service_is_unknown(nonces, engine):
    other = NonceStore(engine=engine, mac_key=bytes([1]) * 32)
    with pytest.raises(NonceInvalid):
        nonces.use(other.issue(purpose="p", now_ms=NOW_MS), purpose="p", now_ms=NOW_MS)


def test_a_nonce_that_differs_in_one_bit_is_unknown(nonces, engine):
    raw = decode_base64url(nonces.issue(purpose="p", now_ms=NOW_MS))
    for place in range(len(raw)):
        changed = raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]
        with pytest.raises(NonceInvalid):
            nonces.use(encode_base64url(changed), purpose="p", now_ms=NOW_MS)
    with read_transaction(engine) as transaction:
        assert transaction.execute(select(func.count()).select_from(used_nonces)).scalar_one() == 0


@given(st.one_of(st.text(), st.binary(max_size=80).map(encode_base64url)))
def test_whatever_is_sent_is_refused_as_a_nonce(text):
    unreachable = NonceStore(engine=None, mac_key=KEY)
    with pytest.raises(NonceInvalid):
        unreachable.use(text, purpose="p", now_ms=NOW_MS)


def test_of_many_threads_one_uses_a_nonce(nonces):
    nonce = nonces.issue(purpose="p", now_ms=NOW_MS)

    def use(_):
        try:
            nonces.use(nonce, purpose="p", now_ms=NOW_MS)
        except NonceSpent:
            return 0
        return 1

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(use, range(16))) == 1


def test_of_two_processes_one_uses_a_nonce(database, nonces):
    program = """
import sys
from api.store.database import open_engine
from api.store.nonces import NonceSpent, NonceStore
store = NonceStore(engine=open_engine(sys.argv[1]), mac_key=bytes(32))
used = 0
for nonce in sys.stdin.read().split():
    try:
        store.use(nonce, purpose="p", now_ms=int(sys.argv[2]))
        used += 1
    except NonceSpent:
        pass
print(used)
"""
    issued = [nonces.issue(purpose="p", now_ms=NOW_MS) for _ in range(40)]
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program, database, str(NOW_MS)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for each in started:
        each.stdin.write(" ".join(issued))
        each.stdin.close()
    assert sum(int(each.stdout.read()) for each in started) == len(issued)
    assert [each.wait() for each in started] == [0, 0]


def test_what_has_expired_is_swept_and_still_refused(nonces, engine):
    nonce = nonces.issue(purpose="p", now_ms=NOW_MS)
    nonces.use(nonce, purpose="p", now_ms=NOW_MS)
    assert nonces.sweep(NOW_MS + NONCE_VALID_MS) == 0
    later_ms = NOW_MS + 4 * NONCE_VALID_MS
    assert nonces.sweep(later_ms) == 1
    with pytest.raises(NonceInvalid):
        nonces.use(nonce, purpose="p", now_ms=later_ms)
