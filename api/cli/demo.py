"""`credence demo`: one score the whole way, with real parts and synthetic data."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any, cast

import httpx

from api.cli.demo_report import Steps, print_outcome, write_whole
from api.cli.institutions import Institution, issue_to, load_institutions, published_status_lists
from api.cli.lender import ApiClient, await_anchored, build_query
from api.cli.local_service import free_port, running_service
from api.cli.tenants import open_stores
from api.cli.terminal import FAILED, CommandFailed
from api.cli.train import (
    SYNTHETIC_SEED,
    ModelInTheWay,
    TrainingRun,
    load_synthetic_schema,
    synthetic_rows,
    train,
)
from api.cli.wallet import (
    KEY_FILE,
    create_key_file,
    fetch_request,
    load_credentials,
    parse_request_link,
    post_presentation,
    store_credentials,
    verify_received,
)
from api.clock import now_ms
from api.settings import Settings, load_settings
from identity.did_resolver import DidResolver
from identity.encoding import JsonValue
from identity.holder import present
from identity.keys import SigningKey
from identity.trust import TrustedIssuer
from scoring.artifact import load_artifact
from scoring.dp.ledger import Account
from scoring.population import Person, synthetic_population
from scoring.schema import Schema
from scoring.training import Trained

POPULATION = "synthetic-demo"
TENANT = "demo-lender"
EPSILON_MICRO, DELTA_E12, BUDGET_MICRO, ROW_CAP = 3_000_000, 1_000_000, 30_000_000, 12_000
LEAST_TYPES = 5


def run_demo(*, as_json: bool) -> None:
    """Run all of it and leave `var/demo/score.json` and `var/trust.json`; raises `CommandFailed` where a step fails."""
    signal.signal(signal.SIGTERM, _leave)
    steps = Steps(quiet=as_json)
    steps.say("Everything here is SYNTHETIC: no figure comes from a real person or institution.\n")
    settings = load_settings()
    folder = settings.var / "demo"
    document_path, trust_path = folder / "score.json", settings.var / "trust.json"

    with steps.step("train under differential privacy, or find the model of the same training"):
        trained, account = _train(settings)
    # Only now: a port that is free may be another's when the training is done.
    status_port = free_port()
    environment = _environment(settings, status_port) | {"CREDENCE_MODEL": str(trained.directory)}
    settings = load_settings({**os.environ, **environment})
    with steps.step("migrate; make two clients; make the institutions' keys and trust them"):
        origin = f"http://127.0.0.1:{status_port}"
        institutions = load_institutions(folder / "institutions", origin)
        lender, officer = _set_up_tenant(settings, institutions)
    with steps.step("issue credentials to a holder"):
        key, issued = _issue(institutions, folder / "wallet")
    with ExitStack() as running:
        with steps.step("start the chain, the service and the institutions' status lists"):
            running.enter_context(published_status_lists(institutions, port=status_port, made_ms=now_ms()))
            running.enter_context(running_service(settings, environment, log=folder / "service.log"))
        schema = trained.artifact.model.schema
        with steps.step("ask, present, score, anchor"):
            document, trust, presented = _walk(
                settings, schema, folder / "wallet", key, issued, lender=lender, officer=officer
            )
            write_whole(document_path, document)
            write_whole(trust_path, trust)
        with steps.step("verify, and ask the chain"):
            _verify(document_path, trust_path, "--rpc", settings.rpc_url or f"http://127.0.0.1:{settings.chain_port}")
    with steps.step("verify offline, with everything stopped"):
        verification = _verify(document_path, trust_path)
    print_outcome(
        document_path,
        trust_path,
        epsilon_micro=0 if trained.reused else EPSILON_MICRO,
        account=account,
        issued=issued,
        presented=presented,
        verification=verification,
        seconds=steps.seconds(),
        as_json=as_json,
    )


def _environment(settings: Settings, status_port: int) -> dict[str, str]:
    """What the demonstration's service is told beside what the environment says: free ports, and no long waits."""
    port = free_port(settings.port)
    return {
        "CREDENCE_BIND": "127.0.0.1",
        "CREDENCE_PORT": str(port),
        "CREDENCE_BASE_URL": f"http://127.0.0.1:{port}",
        "CREDENCE_CHAIN_PORT": str(free_port(settings.chain_port)),
        "CREDENCE_ALLOW_HTTP_ORIGINS": f"http://127.0.0.1:{status_port}",
        "CREDENCE_CHECKPOINT_INTERVAL_MS": "200",
        "CREDENCE_ANCHOR_INTERVAL_MS": "500",
        "CREDENCE_ANCHOR_POLL_MS": "200",
    }


def _train(settings: Settings) -> tuple[Trained, Account]:
    schema = load_synthetic_schema()
    run = TrainingRun(
        kind="scorecard",
        load_rows=lambda: synthetic_rows(schema),
        schema=schema,
        population=POPULATION,
        holder="synthetic",
        data_kind="synthetic",
        epsilon_micro=EPSILON_MICRO,
        delta_e12=DELTA_E12,
        budget_micro=BUDGET_MICRO,
        row_cap=ROW_CAP,
        out=_model_folder(settings),
    )
    try:
        return train(run, settings)
    except ModelInTheWay:
        # A model of an earlier version of this demonstration: scores name it by its digest, so it is kept.
        digest = load_artifact(run.out).digest.hex()
        run.out.rename(run.out.with_name(f"{run.out.name}-{digest[:12]}"))
        return train(run, settings)


def _model_folder(settings: Settings) -> Path:
    """Where the service looks for its model; elsewhere when that is a model of other data."""
    if settings.model.exists() and load_artifact(settings.model).card.population != POPULATION:
        return settings.var / "models" / POPULATION
    return settings.model


def _set_up_tenant(settings: Settings, institutions: tuple[Institution, ...]) -> tuple[dict[str, str], dict[str, str]]:
    """A lender's client and a compliance officer's, of a tenant that trusts the institutions."""
    with open_stores(settings) as stores:
        tenant_id = stores.tenants.load_or_append_tenant(TENANT, now_ms())
        for institution in institutions:
            for vct in institution.vcts:
                trusted = TrustedIssuer(did=institution.key.did, vct=vct, valid_from_ms=now_ms())
                stores.trust.append_trusted(tenant_id, trusted, now_ms())
        lender, officer = (
            stores.tenants.append_client(
                tenant_id=tenant_id, name=f"demo {scope}", scopes=frozenset({scope}), now_ms=now_ms()
            )
            for scope in ("lender", "compliance")
        )
    return (
        {"client_id": lender.client_id, "client_secret": lender.client_secret},
        {"client_id": officer.client_id, "client_secret": officer.client_secret},
    )


def _issue(institutions: tuple[Institution, ...], wallet: Path) -> tuple[SigningKey, list[str]]:
    """A new wallet with a credential of each type that one synthetic person carries; also those types."""
    shutil.rmtree(wallet, ignore_errors=True)
    key = create_key_file(wallet / KEY_FILE)
    person = _choose_person()
    claims = cast(Mapping[str, Mapping[str, JsonValue]], person.claims)
    credentials = issue_to(institutions, claims, key.public, made_ms=now_ms())
    for credential in credentials:
        verify_received(credential, key, DidResolver(None))
    store_credentials(wallet, credentials)
    return key, list(person.claims)


def _choose_person() -> Person:
    """Somebody whom the model was not trained on, with several credentials up to last month."""
    last_month: date = datetime.now(UTC).date().replace(day=1) - timedelta(days=1)
    people = synthetic_population(50, SYNTHETIC_SEED + 1, period_to=last_month)
    return next(person for person in people if len(person.claims) >= LEAST_TYPES)


def _walk(
    settings: Settings,
    schema: Schema,
    wallet: Path,
    key: SigningKey,
    vcts: list[str],
    *,
    lender: Mapping[str, str],
    officer: Mapping[str, str],
) -> tuple[bytes, bytes, int]:
    """From a lender's question to an anchored score, all of it over HTTP.

    Returns the exact bytes of the score's document and of the service's keys, and how many claims were disclosed.
    """
    client = ApiClient(settings.base_url, **lender)
    asked = client.post(
        "/v1/presentation-requests", {"purpose": "credit_application", "query": build_query(schema, vcts)}
    ).json()

    request = fetch_request(parse_request_link(asked["request_link"]))
    vp_token = present(request=request, credentials=load_credentials(wallet), key=key, now_ms=now_ms())
    post_presentation(request, vp_token)

    polled = client.get(f"/v1/presentation-requests/{asked['id']}").json()
    if polled["score_id"] is None:
        raise CommandFailed(f"The request is {polled['status']} and has no score.")
    document = await_anchored(client, polled["score_id"])
    trust = httpx.get(f"{settings.base_url}/v1/keys", timeout=10.0, trust_env=False).content
    audit_seq = json.loads(json.loads(document)["log"]["entry"])["seq"]
    compliance = ApiClient(settings.base_url, **officer)
    entries = compliance.get("/v1/audit/entries", cursor=audit_seq, limit=1).json()["entries"]
    if [entry["score"]["id"] for entry in entries] != [polled["score_id"]]:
        raise CommandFailed("The audit trail does not hold the score.")
    client.close()
    compliance.close()
    disclosed = sum(len(str(one).split("~")) - 2 for presented in vp_token.values() for one in presented)
    return document, trust, disclosed


def _verify(document: Path, trust: Path, *options: str) -> dict[str, Any]:
    """What `credence verify` says, in a process of its own."""
    verified = subprocess.run(
        [sys.executable, "-m", "api.cli.main", "verify", str(document), "--trust", str(trust), "--json", *options],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )
    if verified.returncode != 0:
        raise CommandFailed(verified.stderr.strip().removeprefix("credence: ") or "The document is not verified.")
    result: dict[str, Any] = json.loads(verified.stdout)
    return result


def _leave(_signal: int, _frame: FrameType | None) -> None:
    # An exception, so that whatever was started is stopped on the way out.
    raise SystemExit(FAILED)
