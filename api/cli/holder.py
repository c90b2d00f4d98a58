"""`credence wallet scores`, `receipts`, `consents`, `withdraw`, `renew`: what a service has of the wallet's key."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from api.cli.lender import CALL_TIMEOUT_S, checked
from api.cli.terminal import USAGE, CommandFailed, print_json, print_rows
from api.cli.wallet import KEY_FILE, load_key
from api.clock import format_time, now_ms
from identity.consent_receipt import ConsentReceipt, peek_consent_receipt
from identity.holder_proof import sign_holder_proof
from identity.keys import SigningKey

RECEIPTS = "receipts"
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


class HolderClient:
    """A session with a service for what belongs to one key; every refusal raises `CommandFailed`."""

    def __init__(self, service: str, key: SigningKey) -> None:
        origin = _origin(service)
        self._http = httpx.Client(base_url=origin, timeout=CALL_TIMEOUT_S, trust_env=False)
        nonce = self.post("/v1/holder/nonce")["nonce"]
        proof = sign_holder_proof(audience=origin, nonce=nonce, key=key, now_ms=now_ms())
        session = self.post("/v1/holder/sessions", {"format": "jwt", "proof": proof})
        self._http.headers["Authorization"] = f"Bearer {session['access_token']}"

    def get(self, path: str, **parameters: str | int) -> httpx.Response:
        """GET a path."""
        return self._call("GET", path, params=parameters)

    def post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """POST a JSON body, or none."""
        return self._call("POST", path, json=body).json() if body else self._call("POST", path).json()

    def list(self, name: str) -> Iterator[dict[str, Any]]:
        """Every item of a list, page after page."""
        page = self.get(f"/v1/holder/{name}").json()
        yield from page[name]
        while page.get("next_cursor") is not None:
            page = self.get(f"/v1/holder/{name}", cursor=page["next_cursor"]).json()
            yield from page[name]

    def _call(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        try:
            return checked(self._http.request(method, path, **arguments))
        except httpx.HTTPError:
            raise CommandFailed("The service cannot be reached.") from None


def list_scores(folder: Path, service: str, *, as_json: bool) -> None:
    """Print the key's scores, at every lender of the service."""
    scores = list(_open(folder, service).list("scores"))
    if as_json:
        print_json({"scores": scores})
        return
    for score in scores:
        reasons = score["reasons"] or []
        print_rows(
            [
                ("score", score["id"]),
                ("lender", score["lender"]),
                ("purpose", score["purpose"]),
                ("at", score["created_at"]),
                ("outcome", score["outcome"] or "erased"),
                ("points", score["points"]),
                ("band", score["band"]),
                ("status", score["status"]),
                ("valid until", score["valid_until"]),
                *(("because" if number == 0 else "", reason["text"]) for number, reason in enumerate(reasons)),
            ],
            indent=0,
        )
        print()
    _say_how_many(len(scores), "score")


def keep_receipts(folder: Path, service: str, *, as_json: bool) -> None:
    """Fetch the key's consent receipts into the wallet, each with its proof once there is one, and print them."""
    client = _open(folder, service)
    (folder / RECEIPTS).mkdir(mode=0o700, exist_ok=True)
    kept = []
    for listed in client.list("receipts"):
        if listed["receipt"] is None:
            continue
        path = folder / RECEIPTS / f"{listed['id']}.json"
        if not _is_proven(path):
            _write_whole(path, client.get(f"/v1/holder/receipts/{listed['id']}").content)
        kept.append((path, peek_consent_receipt(listed["receipt"])))
    if as_json:
        print_json({"receipts": [_describe(path, receipt) for path, receipt in kept]})
        return
    for path, receipt in kept:
        print_rows([(name.replace("_", " "), value) for name, value in _describe(path, receipt).items()], indent=0)
        for each in receipt.information:
            print(f"  {each.credential_type}")
            print(f"    disclosed  {', '.join(each.disclosed) or 'nothing'}")
            print(f"    withheld   {', '.join(each.withheld) or 'nothing'}")
        print()
    _say_how_many(len(kept), "receipt")


def list_consents(folder: Path, service: str, *, as_json: bool) -> None:
    """Print what the key allows whom."""
    consents = list(_open(folder, service).list("consents"))
    if as_json:
        print_json({"consents": consents})
        return
    for consent in consents:
        print_rows([(name.replace("_", " "), value) for name, value in consent.items()], indent=0)
        print()
    _say_how_many(len(consents), "consent")


def change_consent(folder: Path, service: str, consent_id: str, *, change: str, as_json: bool) -> None:
    """Withdraw a consent (`change` is "withdrawal"), or give it again ("renewal")."""
    if not consent_id.isascii() or not consent_id.replace("_", "").isalnum():
        raise CommandFailed("This is not the id of a consent: `credence wallet consents` lists them.", exit_code=USAGE)
    changed = _open(folder, service).post(f"/v1/holder/consents/{consent_id}/{change}")
    if as_json:
        print_json(changed)
    else:
        consent = changed["consent"]
        print(f"The consent to {consent['purpose']} for {consent['lender']} is {consent['state']}.")


def _open(folder: Path, service: str) -> HolderClient:
    return HolderClient(service, load_key(folder / KEY_FILE))


def _origin(service: str) -> str:
    """The origin of a service's URL, which is what a proof is made for."""
    try:
        parts = urlsplit(service)
        host = parts.hostname or ""
    except ValueError:
        host = ""
    if not host or parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise CommandFailed("The service's URL is such as https://credence.example.", exit_code=USAGE)
    if parts.scheme != "https" and not (parts.scheme == "http" and host in _LOOPBACK):
        raise CommandFailed("The service's URL must be https, unless it is on this machine.", exit_code=USAGE)
    return f"{parts.scheme}://{parts.netloc}"


def _describe(path: Path, receipt: ConsentReceipt) -> dict[str, Any]:
    return {
        "receipt": receipt.id,
        "consent": receipt.consent_id,
        "state": receipt.state,
        "lender": receipt.controller.name,
        "purpose": receipt.purpose,
        "at": format_time(receipt.event_at_ms),
        "score": receipt.score_id,
        "file": str(path),
    }


def _is_proven(path: Path) -> bool:
    try:
        return json.loads(path.read_bytes())["log"]["checkpoint"] is not None
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _write_whole(path: Path, data: bytes) -> None:
    new = path.with_suffix(".new")
    new.write_bytes(data)
    new.chmod(0o600)
    new.replace(path)


def _say_how_many(count: int, what: str) -> None:
    print(f"{count} {what}{'' if count == 1 else 's'}.")
