"""`credence scores` and `credence credentials`: suspend, reinstate and revoke."""

from api.cli.tenants import open_stores
from api.cli.terminal import USAGE, CommandFailed, print_json
from api.clock import format_time, now_ms
from api.settings import load_settings
from api.store.revocation import REASONS, Reason, Status, StatusNow


def change_score(score_id: str, *, status: Status, reason: str, tenant: str, as_json: bool) -> None:
    """Give a score and every copy of it a status; raises `CommandFailed` where the tenant has no such score."""
    code = _read_reason(reason)
    with open_stores(load_settings()) as stores:
        stands = stores.revocations.change_score_status(
            stores.load_tenant_id(tenant), score_id, status=status, reason=code, now_ms=now_ms()
        )
    _report(score_id, stands, as_json=as_json)


def change_credential(credential_id: str, *, status: Status, reason: str, tenant: str, as_json: bool) -> None:
    """Give an issued credential a status; raises `CommandFailed` where the tenant has no such credential."""
    code = _read_reason(reason)
    with open_stores(load_settings()) as stores:
        stands = stores.revocations.change_credential_status(
            stores.load_tenant_id(tenant), credential_id, status=status, reason=code, now_ms=now_ms()
        )
    _report(credential_id, stands, as_json=as_json)


def _read_reason(text: str) -> Reason:
    for reason in REASONS:
        if text == reason:
            return reason
    raise CommandFailed(f"The reasons are {', '.join(REASONS)}.", exit_code=USAGE)


def _report(id: str, stands: StatusNow | None, *, as_json: bool) -> None:
    if stands is None:
        raise CommandFailed("The tenant has none of that id.")
    if as_json:
        changed_at = None if stands.changed_at_ms is None else format_time(stands.changed_at_ms)
        print_json({"id": id, "status": stands.status, "reason": stands.reason, "changed_at": changed_at})
    else:
        print(f"{id} is {stands.status}; verifiers see it within the status list's ttl, five minutes.")
