"""Flood the service with JSON-LD that takes for ever, beside lenders who present SD-JWTs, and compare what these wait.

    python -m bench.linked_data_flood [--rounds 6] [--seconds 4] [--rate 20] [--flood 8]

The service runs in a process of its own and answers over HTTP. In each round SD-JWT presentations come at a steady
rate, first alone, then beside a flood: as many clients as `--flood` post presentations of credentials whose blank nodes
look alike, each a tenth of a second after it hears what became of the last. Prints the latencies of the SD-JWT requests
in quiet and under the flood and the ratio of their p99, what became of the flood, and what a document costs in three
ways: an honest one with its arrays as JSON literals, the same with RDF lists, and a worker process that starts for it.
Many short rounds and not a few long ones, so that whatever else the machine does falls on every phase alike.

Between the two the same clients post the same bodies under the name of a query that was not made, so that they are
refused before anything is canonicalized: what the flood costs beyond these is the JSON-LD, and the rest is HTTP.
"""

import argparse
import copy
import itertools
import json
import multiprocessing
import os
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httpx

from api.cli.local_service import free_port
from api.clock import now_ms
from api.settings import Settings
from bench.crash import ServiceProcess, write_model
from bench.crash_load import CLAIMS, DAY_MS, QUERY, TENANTS, VCT, append_clients, bearer
from identity.credential_types.types import load_credential_types
from identity.encoding import JsonObject
from identity.holder import present
from identity.issuance import issue_credential
from identity.keys import SigningKey
from identity.linked_data.contexts import CREDENTIALS_V2, CREDIT_HISTORY_V1, load_contexts
from identity.linked_data.workers import LinkedDataWorkers
from identity.multikey import encode_base58
from identity.openid4vp import verify_request_object
from identity.vcdm import format_date_time

RAYS = 20
#: Longer than a document takes that is canonicalized until its time is up, behind others that do.
_WAVE_TIMEOUT_S = 60.0
LINKED_DATA_QUERY = {
    "credentials": [
        {
            "id": "history",
            "format": "ldp_vc",
            "meta": {"type_values": [["RepaymentHistoryCredential"]]},
            "claims": [{"path": ["credentialSubject", "credit_line_minor"]}],
        }
    ]
}


class Lender:
    """One client of the service, who asks, presents and listens."""

    def __init__(self, base_url: str, client: tuple[str, str], institution: SigningKey) -> None:
        self._http = httpx.Client(base_url=base_url, timeout=60, trust_env=False)
        self.headers = bearer(self._http, client)
        self._institution = institution
        self._holder = SigningKey.generate()
        issued_at_ms = now_ms() - DAY_MS
        self._credential = issue_credential(
            type=load_credential_types()[VCT],
            claims=CLAIMS,
            holder=self._holder.public,
            key=institution,
            now_ms=issued_at_ms,
            expires_at_ms=issued_at_ms + 30 * DAY_MS,
            status=None,
        )

    def prepare(self) -> dict[str, Any]:
        """The body of a presentation of an SD-JWT, to a request of its own."""
        request = self._ask(QUERY)
        text = self._http.get(f"/v1/presentation-requests/{request['id']}/object", headers=self.headers).text
        asked = verify_request_object(text, client_id=request["audience"], now_ms=now_ms())
        vp_token = present(request=asked, credentials=(self._credential,), key=self._holder, now_ms=now_ms())
        return {"request_id": request["id"], "vp_token": dict(vp_token)}

    def prepare_hostile(self) -> dict[str, Any]:
        """The body of a presentation of a credential that is canonicalized before its signature is refused."""
        request = self._ask(LINKED_DATA_QUERY)
        star = {"type": "VerifiableCredential", "evidence": [{"type": "VerifiableCredential"}] * RAYS}
        credential = {
            "@context": [CREDENTIALS_V2, CREDIT_HISTORY_V1],
            "type": ["VerifiableCredential", "RepaymentHistoryCredential"],
            "issuer": self._institution.did,
            "validFrom": format_date_time(now_ms() - DAY_MS),
            "credentialSubject": {"id": self._holder.did, **CLAIMS},
            "evidence": [star, star],
            "proof": self._proof(self._institution, "assertionMethod", {}),
        }
        asked_for = {"challenge": request["nonce"], "domain": request["audience"]}
        presentation = {
            "@context": [CREDENTIALS_V2],
            "type": "VerifiablePresentation",
            "holder": self._holder.did,
            "verifiableCredential": [credential],
            "proof": self._proof(self._holder, "authentication", asked_for),
        }
        return {"request_id": request["id"], "vp_token": {"history": [presentation]}}

    def post(self, body: Mapping[str, Any]) -> tuple[float, str]:
        """How many seconds the answer took, and what it was."""
        began = time.monotonic()
        answer = self._http.post("/v1/scores", json=body, headers=self.headers)
        took_s = time.monotonic() - began
        return took_s, "scored" if answer.status_code == 201 else str(answer.json().get("code"))

    def _ask(self, query: Mapping[str, Any]) -> dict[str, Any]:
        body = {"purpose": "credit_application", "query": query}
        answer = self._http.post("/v1/presentation-requests", json=body, headers=self.headers)
        answer.raise_for_status()
        request: dict[str, Any] = answer.json()
        return request

    def _proof(self, key: SigningKey, purpose: str, members: Mapping[str, str]) -> dict[str, str]:
        return {
            "type": "DataIntegrityProof",
            "cryptosuite": "ecdsa-rdfc-2019",
            "created": format_date_time(now_ms()),
            "verificationMethod": key.kid,
            "proofPurpose": purpose,
            "proofValue": "z" + encode_base58(b"\1" + os.urandom(63)),
            **members,
        }


def present_steadily(lender: Lender, bodies: Sequence[Mapping[str, Any]], *, rate: float) -> list[float]:
    """The latencies in seconds of SD-JWT presentations that come at `rate` a second, whatever the last one took."""
    latencies: list[float] = []
    threads = []

    def post(body: Mapping[str, Any]) -> None:
        took_s, outcome = lender.post(body)
        if outcome != "scored":
            raise RuntimeError(f"an SD-JWT presentation ended in {outcome}")
        latencies.append(took_s)

    began = time.monotonic()
    for index, body in enumerate(bodies):
        time.sleep(max(0.0, began + index / rate - time.monotonic()))
        thread = threading.Thread(target=post, args=[body])
        thread.start()
        threads.append(thread)
    for thread in threads:
        thread.join()
    if len(latencies) != len(bodies):
        raise RuntimeError("an SD-JWT presentation was not scored")
    return latencies


class Flood:
    """Clients who post presentations that are refused, one after another, until they are told to stop.

    They have a process of their own, so that what they do is not measured as a wait of the lenders, and it makes way
    for the service and the lenders: whoever floods from elsewhere takes no CPU of the service's machine.
    """

    def __init__(self, base_url: str, headers: Mapping[str, str]) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve_flood, args=(base_url, dict(headers), theirs), daemon=True)
        self._process.start()

    @contextmanager
    def wave(self, bodies: list[list[dict[str, Any]]], outcomes: Counter[str]) -> Iterator[None]:
        """As many clients as there are lists of bodies post theirs over and over; adds what became of them.

        The block begins when the first answers have come, and so the others wait; what follows it begins in quiet.
        """
        self._pipe.send(bodies)
        if not self._pipe.poll(_WAVE_TIMEOUT_S):
            raise RuntimeError("the flood did not begin")
        self._pipe.recv()
        yield
        self._pipe.send(None)
        if not self._pipe.poll(_WAVE_TIMEOUT_S):
            raise RuntimeError("the flood did not end")
        outcomes += self._pipe.recv()

    def end(self) -> None:
        """End the process, at a wave or between two."""
        self._process.kill()
        self._process.join()


def _serve_flood(base_url: str, headers: dict[str, str], pipe: Connection) -> None:
    os.nice(10)
    while True:
        bodies: list[list[dict[str, Any]]] = pipe.recv()
        done, began = threading.Event(), threading.Event()
        outcomes: Counter[str] = Counter()
        arguments = (base_url, headers, began, done, outcomes)
        threads = [threading.Thread(target=_post_over_and_over, args=[own, *arguments]) for own in bodies]
        for thread in threads:
            thread.start()
        began.wait()
        pipe.send(None)
        pipe.recv()
        done.set()
        for thread in threads:
            thread.join()
        pipe.send(outcomes)


def _post_over_and_over(
    own: list[dict[str, Any]],
    base_url: str,
    headers: dict[str, str],
    began: threading.Event,
    done: threading.Event,
    outcomes: Counter[str],
) -> None:
    with httpx.Client(base_url=base_url, timeout=60, trust_env=False, headers=headers) as http:
        for body in itertools.cycle(own):
            answer = http.post("/v1/scores", json=body)
            outcomes[str(answer.json().get("code"))] += 1
            began.set()
            # Who is told to come back later waits a little, though far less than was asked for.
            if done.wait(0.1):
                return


def run(*, rounds: int, seconds: float, rate: float, flood: int, directory: Path) -> dict[str, Any]:
    """The three phases, one after another, `rounds` times, against one service."""
    write_model(directory / "model")
    settings = Settings(var=directory / "var", model=directory / "model", port=free_port(), rpc_url="")
    institution = SigningKey.generate()
    client = append_clients(settings, institution)[TENANTS[0]]
    service = ServiceProcess(settings)
    service.start()
    lender = Lender(settings.base_url, client, institution)
    clients = Flood(settings.base_url, lender.headers)
    latencies: dict[str, list[float]] = {"quiet": [], "refused": [], "flooded": []}
    outcomes: dict[str, Counter[str]] = {"refused": Counter(), "flooded": Counter()}
    try:
        present_steadily(lender, [lender.prepare() for _ in range(int(2 * rate))], rate=rate)
        for _ in range(rounds):
            hostile = [[lender.prepare_hostile() for _ in range(4)] for _ in range(flood)]
            posted = {"quiet": [], "refused": [[misnamed(body) for body in own] for own in hostile], "flooded": hostile}
            for phase, bodies in posted.items():
                presented = [lender.prepare() for _ in range(int(seconds * rate))]
                with clients.wave(bodies, outcomes[phase]) if bodies else nullcontext():
                    latencies[phase] += present_steadily(lender, presented, rate=rate)
    finally:
        clients.end()
        service.kill()
    waits = {f"{phase}_ms": _quantiles(took_s) for phase, took_s in latencies.items()}
    p99 = {phase: waits[f"{phase}_ms"]["p99"] for phase in latencies}
    return {
        **waits,
        "samples": rounds * int(seconds * rate),
        "p99_ratio": round(p99["flooded"] / p99["quiet"], 2),
        "p99_ratio_to_refused": round(p99["flooded"] / p99["refused"], 2),
        "flood": {phase: dict(counts.most_common()) for phase, counts in outcomes.items()},
        "document_ms": measure_documents(),
    }


def misnamed(body: Mapping[str, Any]) -> dict[str, Any]:
    """The same presentation as an answer to a query that was not made."""
    return {**body, "vp_token": {"another": body["vp_token"]["history"]}}


def measure_documents() -> dict[str, float]:
    """What one honest document costs: with literals, with RDF lists, and with a process that starts for it."""
    names = ("inflow_minor", "outflow_minor", "in_n", "out_n", "bill_payment_n", "balance_median_minor", "reversal_n")
    document: JsonObject = {
        "@context": [CREDENTIALS_V2, CREDIT_HISTORY_V1],
        "type": ["VerifiableCredential", "MobileMoneyCredential"],
        "issuer": "did:example:operator",
        "credentialSubject": {"id": "did:example:holder", **{name: [0] * 24 for name in names}},
    }
    lists = copy.deepcopy(dict(load_contexts()[CREDIT_HISTORY_V1]))
    for name in names:
        lists["@context"][name] = {"@id": f"urn:credence:terms#{name}", "@container": "@list"}
    costs = {}
    for label, contexts in (("literals", {}), ("lists", {CREDIT_HISTORY_V1: lists})):
        workers = LinkedDataWorkers(timeout_s=60, extra_contexts=contexts)
        began = time.monotonic()
        workers.canonicalize(document)
        first_s = time.monotonic() - began
        took_s = []
        for _ in range(5):
            began = time.monotonic()
            workers.canonicalize(document)
            took_s.append(time.monotonic() - began)
        workers.close()
        costs[label] = round(statistics.median(took_s) * 1000, 1)
        if label == "literals":
            costs["literals, and a process that starts"] = round(first_s * 1000, 1)
    return costs


def _quantiles(latencies_s: list[float]) -> dict[str, float]:
    ordered = sorted(latencies_s)
    at = {"p50": 0.50, "p95": 0.95, "p99": 0.99}
    return {name: round(ordered[min(len(ordered) - 1, int(q * len(ordered)))] * 1000, 1) for name, q in at.items()}


def main() -> None:
    """Run the bench and print a line of JSON after what a person reads."""
    parser = argparse.ArgumentParser(description="SD-JWT latencies in quiet and under a flood of JSON-LD.")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rate", type=float, default=20.0)
    parser.add_argument("--flood", type=int, default=8)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        found = run(
            rounds=asked.rounds,
            seconds=asked.seconds,
            rate=asked.rate,
            flood=asked.flood,
            directory=Path(directory),
        )
    for phase in ("quiet_ms", "refused_ms", "flooded_ms", "flood", "document_ms"):
        print(f"{phase}: " + ", ".join(f"{name} {value}" for name, value in found[phase].items()))
    print(f"{found['samples']} SD-JWT presentations in each phase")
    print(f"p99 under the flood is {found['p99_ratio']} times that in quiet (wanted: at most 1.5)")
    print(f"and {found['p99_ratio_to_refused']} times that beside as many posts that are refused at once")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
