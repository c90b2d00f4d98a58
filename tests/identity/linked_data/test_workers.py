"""The linked-data workers: an honest document in milliseconds, a hostile one stopped, and never a hang."""

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from identity.encoding import JsonObject
from identity.errors import IdentityError, LinkedDataBusy, LinkedDataFailed, RdfTooComplex, RelativeIri, UndefinedTerm
from identity.linked_data import workers as workers_module
from identity.linked_data.contexts import CREDENTIALS_V1, CREDENTIALS_V2, CREDIT_HISTORY_V1
from identity.linked_data.workers import LinkedDataWorkers

ROOT = Path(__file__).resolve().parents[3]
needs_proc = pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="no /proc to look at a process in")


def credential(**subject: Any) -> JsonObject:
    return {
        "@context": [CREDENTIALS_V2, CREDIT_HISTORY_V1],
        "type": ["VerifiableCredential", "AirtimeCredential"],
        "issuer": "did:example:operator",
        "credentialSubject": {"id": "did:example:holder", **subject},
    }


def twin_stars(rays: int) -> JsonObject:
    """Two blank nodes with as many blank children each: every order of the children is tried, for either."""
    star: JsonObject = {"type": "VerifiableCredential", "evidence": [{"type": "VerifiableCredential"}] * rays}
    return credential() | {"evidence": [star, star]}


def clique(size: int) -> JsonObject:
    """Every blank node of `size` linked to every other, which takes labels."""
    labels = [f"_:b{index}" for index in range(size)]
    nodes: list[Any] = [
        {"id": label, "type": "VerifiableCredential", "evidence": [other for other in labels if other != label]}
        for label in labels
    ]
    return credential() | {"evidence": nodes}


@pytest.fixture
def own(monkeypatch) -> Iterator[Callable[..., LinkedDataWorkers]]:
    """Workers of the test's own, which may be killed; with time by the clock, because tests run on busy machines."""
    made: list[LinkedDataWorkers] = []

    def make(*, wall_per_cpu: int = 100, **arguments: Any) -> LinkedDataWorkers:
        monkeypatch.setattr(workers_module, "_WALL_PER_CPU", wall_per_cpu)
        made.append(LinkedDataWorkers(**arguments))
        return made[-1]

    yield make
    for workers in made:
        workers.close()


def pid_of(workers: LinkedDataWorkers) -> int:
    (process,) = workers._started
    return process._process.pid


def wait_until(is_so: Callable[[], bool], *, for_s: float = 20.0) -> bool:
    deadline = time.monotonic() + for_s
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.01)
    return is_so()


def is_running(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def in_background(call: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(call())
        except IdentityError as refusal:
            outcome.append(type(refusal))

    thread = threading.Thread(target=run)
    thread.start()
    return thread, outcome


def test_a_credential_is_canonicalized(workers):
    assert workers.canonicalize(credential(currency="KES", topup_n=[3, 2, 1], advance_minor=5)).decode() == (
        '<did:example:holder> <urn:credence:terms#advance_minor> "5"^^<http://www.w3.org/2001/XMLSchema#integer> .\n'
        '<did:example:holder> <urn:credence:terms#currency> "KES" .\n'
        "<did:example:holder> <urn:credence:terms#topup_n> "
        '"[3,2,1]"^^<http://www.w3.org/1999/02/22-rdf-syntax-ns#JSON> .\n'
        "_:c14n0 <http://www.w3.org/1999/02/22-rdf-syntax-ns#type> "
        "<https://www.w3.org/2018/credentials#VerifiableCredential> .\n"
        "_:c14n0 <http://www.w3.org/1999/02/22-rdf-syntax-ns#type> <urn:credence:terms#AirtimeCredential> .\n"
        "_:c14n0 <https://www.w3.org/2018/credentials#credentialSubject> <did:example:holder> .\n"
        "_:c14n0 <https://www.w3.org/2018/credentials#issuer> <did:example:operator> .\n"
    )


def test_an_honest_document_takes_no_part_worth_naming_of_its_time(workers):
    """The longest statement there is, with nothing in it: as RDF lists its 168 equal months would take a second."""
    names = ("inflow_minor", "outflow_minor", "in_n", "out_n", "bill_payment_n", "balance_median_minor", "reversal_n")
    document = credential(**{name: [0] * 24 for name in names})
    workers.canonicalize(document)
    (process,) = workers._started
    before_s = cpu_s(process._process.pid)
    for _ in range(10):
        workers.canonicalize(document)
    assert (cpu_s(process._process.pid) - before_s) / 10 < 0.05


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("size", [6, 7, 8])
def test_a_clique_of_blank_nodes_is_refused_before_it_costs_anything(workers, size):
    started = time.monotonic()
    with pytest.raises(RelativeIri):
        workers.canonicalize(clique(size))
    assert time.monotonic() - started < 0.1


@pytest.mark.parametrize("rays", [8, 20])
def test_what_takes_too_long_is_stopped_and_the_next_document_is_served(own, rays):
    """Within 64 blank nodes and without a label there are documents that would take hours."""
    workers = own(timeout_s=0.2)
    with pytest.raises(RdfTooComplex):
        workers.canonicalize(twin_stars(rays))
    assert workers.canonicalize(credential(currency="KES"))


def test_a_worker_that_is_killed_fails_one_document(own):
    workers = own(timeout_s=20)
    workers.canonicalize(credential(currency="KES"))
    pid = pid_of(workers)
    thread, outcome = in_background(lambda: workers.canonicalize(twin_stars(20)))
    time.sleep(0.1)
    os.kill(pid, signal.SIGKILL)
    thread.join(20)
    assert outcome == [LinkedDataFailed]
    assert workers.canonicalize(credential(currency="KES"))
    assert pid_of(workers) != pid


def test_a_worker_that_is_killed_while_it_waits_fails_one_document(own):
    workers = own()
    workers.canonicalize(credential(currency="KES"))
    os.kill(pid_of(workers), signal.SIGKILL)
    with pytest.raises(LinkedDataFailed):
        workers.canonicalize(credential(currency="KES"))
    assert workers.canonicalize(credential(currency="KES"))


def test_a_worker_that_hangs_is_given_up(own):
    workers = own(timeout_s=1, wall_per_cpu=1)
    workers.canonicalize(credential(currency="KES"))
    os.kill(pid_of(workers), signal.SIGSTOP)
    started = time.monotonic()
    with pytest.raises(LinkedDataFailed):
        workers.canonicalize(credential(currency="KES"))
    assert time.monotonic() - started < 5
    assert workers.canonicalize(credential(currency="KES"))


def test_a_worker_that_does_not_start_is_no_hang(own, monkeypatch):
    for executable in ("/bin/false", "/nonexistent"):
        monkeypatch.setattr(sys, "executable", executable)
        workers = own()
        for _ in range(2):
            with pytest.raises(LinkedDataFailed):
                workers.canonicalize(credential())
    monkeypatch.undo()
    assert workers.canonicalize(credential())


def test_a_worker_that_talks_nonsense_is_replaced(own, monkeypatch):
    workers = own(timeout_s=1, wall_per_cpu=1)
    for frame in (b"\xff\xff\xff\xff", b"\x00\x00\x00\x01{", b"\x00\x00\x00\x02[]", b"\x00"):
        workers._idle.clear()
        process = workers._start_process()
        workers._idle.append(process)
        process._connection.close()
        process._connection, other = socket.socketpair()
        process._is_ready = True
        other.sendall(frame)
        with pytest.raises(LinkedDataFailed):
            workers.canonicalize(credential())
        assert workers.canonicalize(credential())


def test_a_flood_waits_in_a_short_queue_and_the_rest_is_sent_away_at_once(own):
    workers = own(timeout_s=0.1, most_waiting=4)
    workers.canonicalize(credential())
    refused_after_s: list[float] = []
    outcomes: Counter[type] = Counter()
    start = threading.Barrier(50)

    def call() -> None:
        start.wait()
        started = time.monotonic()
        try:
            workers.canonicalize(twin_stars(20))
        except LinkedDataBusy:
            refused_after_s.append(time.monotonic() - started)
            outcomes[LinkedDataBusy] += 1
        except IdentityError as refusal:
            outcomes[type(refusal)] += 1

    threads = [threading.Thread(target=call) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sum(outcomes.values()) == 50
    assert outcomes[LinkedDataBusy] >= 45
    assert sum(after_s < 1 for after_s in refused_after_s) >= 45
    assert outcomes[RdfTooComplex] >= 1
    assert workers._waiting == 0
    assert workers.canonicalize(credential())


def test_several_processes_serve_several_callers(own):
    workers = own(processes=2, timeout_s=20)
    thread, outcome = in_background(lambda: workers.canonicalize(twin_stars(20)))
    assert wait_until(lambda: len(workers._started) == 1)
    assert workers.canonicalize(credential())
    assert thread.is_alive()
    workers.close()
    thread.join(20)
    assert outcome == [LinkedDataFailed]


def test_closed_workers_serve_nobody(own):
    workers = own()
    workers.canonicalize(credential())
    pid = pid_of(workers)
    workers.close()
    assert not is_running(pid)
    with pytest.raises(LinkedDataFailed):
        workers.canonicalize(credential())


def test_whoever_waits_is_told_when_the_workers_close(own):
    workers = own(timeout_s=20)
    workers.canonicalize(credential())
    callers = [in_background(lambda: workers.canonicalize(twin_stars(20))) for _ in range(4)]
    assert wait_until(lambda: workers._waiting == 3)
    workers.close()
    for thread, outcome in callers:
        thread.join(20)
        assert outcome == [LinkedDataFailed]


@needs_proc
def test_a_worker_has_no_secret_no_file_no_socket_and_no_priority(own, monkeypatch):
    monkeypatch.setenv("CREDENCE_DATABASE_URL", "postgresql+psycopg://user:secret@host/credence")
    workers = own()
    workers.canonicalize(credential())
    pid = pid_of(workers)
    environment = Path(f"/proc/{pid}/environ").read_bytes()
    assert b"secret" not in environment
    assert {name.partition(b"=")[0] for name in environment.split(b"\0") if name} == {
        *(name.encode() for name in workers_module._ENVIRONMENT)
    }
    limits = {line[:26].strip(): line[26:].split()[:2] for line in Path(f"/proc/{pid}/limits").read_text().splitlines()}
    assert limits["Max open files"] == ["0", "0"]
    assert limits["Max address space"] == ["1073741824", "1073741824"]
    assert os.getpriority(os.PRIO_PROCESS, pid) == 19
    # Its priority is one beside the service's in the same session; a Ctrl-C is for the service's group.
    assert (os.getsid(pid), os.getpgid(pid)) == (os.getsid(0), pid)
    links = {str(link.readlink()).partition(":")[0] for link in Path(f"/proc/{pid}/fd").iterdir()}
    assert links <= {"socket", "/dev/null", "anon_inode"}


@needs_proc
def test_a_worker_grows_no_larger(own):
    workers = own()

    def resident_kb() -> int:
        status = Path(f"/proc/{pid_of(workers)}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0])

    for index in range(30):
        workers.canonicalize(credential(currency=f"{index:03}"))
    before_kb = resident_kb()
    for index in range(100):
        workers.canonicalize(credential(currency=f"{index:03}", topup_n=list(range(24))))
    assert resident_kb() - before_kb < 4 * 1024


@needs_proc
@pytest.mark.parametrize("document", [credential(), twin_stars(20)], ids=["waiting", "busy"])
def test_a_worker_ends_with_the_process_that_started_it(document):
    """It is killed with no time to tell anybody; a worker that is busy ends when its time is up."""
    program = (
        "import json, sys, threading, time\n"
        "from identity.linked_data.workers import LinkedDataWorkers\n"
        "workers = LinkedDataWorkers(timeout_s=0.2)\n"
        f"workers.canonicalize({credential()!r})\n"
        f"threading.Thread(target=workers.canonicalize, args=[{document!r}], daemon=True).start()\n"
        "print(next(iter(workers._started))._process.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
        parent.wait()
    assert wait_until(lambda: not is_running(pid), for_s=10)


def test_a_worker_that_has_asked_didkit_ends_without_a_crash(own):
    """didkit's threads crash an interpreter that ends in the ordinary way, which this one does not."""
    workers = own()
    workers.canonicalize(credential())
    (process,) = workers._started
    process._connection.close()
    assert process._process.wait(20) == 0


def hostile_documents(number: int) -> Iterator[JsonObject]:
    """Credentials and presentations with one to four of their parts replaced by something else."""
    choose = random.Random(45)
    plain: list[Any] = [None, True, 0, -1, 2**70, 1.5, "", "a", "@id", "_:b0", "urn:x:1", "\ud800", "\0", "é" * 999]
    nested: list[Any] = [[], {}, [[]], [{}], {"id": "_:b0"}, {"type": "@json"}, ["urn:x:1"] * 200]
    keywords: list[Any] = [{"@value": 1}, {"@list": [1]}, {"@set": []}, {"@graph": []}]
    strange = [*plain, *nested, *keywords]
    terms = ["@context", "id", "type", "issuer", "proof", "evidence", "credentialSubject", "name", "holder", "@nest"]

    def spoil(value: Any, depth: int = 0) -> Any:
        if not isinstance(value, dict | list) or not value or choose.random() < 0.2 * depth:
            return choose.choice(strange)
        if isinstance(value, list):
            place = choose.randrange(len(value))
            return [spoil(item, depth + 1) if index == place else item for index, item in enumerate(value)]
        spoilt = dict(value)
        name = choose.choice([*value, *terms])
        spoilt[name] = spoil(value[name], depth + 1) if name in value else choose.choice(strange)
        return spoilt

    proof = {"type": "DataIntegrityProof", "cryptosuite": "eddsa-rdfc-2022", "proofPurpose": "assertionMethod"}
    signed = credential(currency="KES", topup_n=[1, 2]) | {"proof": proof}
    presented = {"@context": [CREDENTIALS_V1], "type": "VerifiablePresentation", "verifiableCredential": [signed]}
    for _ in range(number):
        document: Any = choose.choice([signed, presented, twin_stars(3)])
        for _ in range(choose.randint(1, 4)):
            document = spoil(document)
            if not isinstance(document, dict):
                document = dict(signed)
        yield document


def test_nothing_but_our_errors_comes_of_hostile_documents(workers):
    outcomes: Counter[str] = Counter()
    for document in hostile_documents(300):
        try:
            workers.canonicalize(document)
            outcomes["canonicalized"] += 1
        except IdentityError as refusal:
            outcomes[refusal.code] += 1
    assert outcomes["canonicalized"] < 100
    assert len(outcomes) > 6, outcomes
    assert outcomes["linked_data_failed"] == outcomes["linked_data_busy"] == 0


def test_an_undefined_term_is_refused_in_whatever_node_it_stands(workers):
    for document in (
        credential() | {"income": 5},
        credential(nested={"income": 5}),
        credential() | {"evidence": [{"type": "VerifiableCredential", "evidence": {"income": 5}}]},
    ):
        with pytest.raises(UndefinedTerm):
            workers.canonicalize(document)
