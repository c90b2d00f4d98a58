"""The settings of a Credence service, and the only reader of the environment.

Every setting is an environment variable ``CREDENCE_<NAME>`` with a default that makes a development service under
``var/`` on loopback. An unknown ``CREDENCE_`` variable is refused, because it is most often a misspelt one.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

#: Read by the tests and by the Makefile, not by the service.
_NOT_OURS = frozenset({"CREDENCE_TEST_DATA"})
_DATABASES = ("sqlite:///", "postgresql+psycopg://")
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_RANGES = {
    "port": (1, 65_535),
    "chain_port": (1, 65_535),
    "score_valid_days": (1, 3_650),
    "retention_days": (1, 36_500),
}


class SettingsError(Exception):
    """A setting is unknown, malformed, or unsafe together with another; names the variable, never its value."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a service is configured with; see docs/operations.md for each."""

    var: Path = field(default=Path("var"), metadata={"help": "folder that everything which runs writes under"})
    bind: str = field(default="127.0.0.1", metadata={"help": "address to listen on"})
    port: int = field(default=8700, metadata={"help": "port to listen on"})
    base_url: str = field(default="", metadata={"help": "public URL of the service, without a trailing slash"})
    database_url: str = field(default="", repr=False, metadata={"help": "SQLAlchemy URL of the database"})
    keystore_url: str = field(default="", repr=False, metadata={"help": "SQLAlchemy URL of the subject-key store"})
    model: Path = field(default=Path(), metadata={"help": "folder of the model artifact to score with"})
    model_sha256: str = field(default="", metadata={"help": "digest that the artifact must have, in hex; else any"})
    log_origin: str = field(default="credence.invalid/log", metadata={"help": "origin line of the log's checkpoints"})
    rpc_url: str = field(default="", repr=False, metadata={"help": "EVM JSON-RPC URL; empty means the embedded anvil"})
    chain_port: int = field(default=8701, metadata={"help": "port of the embedded anvil"})
    anchor_contract: str = field(default="", metadata={"help": "address of a deployed CheckpointAnchor"})
    anchor_confirmations: int = field(default=12, metadata={"help": "blocks on top after which an anchor is final"})
    anchor_interval_ms: int = field(default=10_000, metadata={"help": "least time between two anchored checkpoints"})
    anchor_poll_ms: int = field(default=1_000, metadata={"help": "time between two looks at the chain"})
    anchor_resend_after_ms: int = field(default=30_000, metadata={"help": "wait before a higher fee is offered"})
    checkpoint_interval_ms: int = field(default=1_000, metadata={"help": "time between two checkpoints of the log"})
    request_certificate: Path = field(
        default=Path(), metadata={"help": "PEM chain whose leaf is for the active request key; else self-signed"}
    )
    score_valid_days: int = field(default=30, metadata={"help": "days that a score may be relied on"})
    retention_days: int = field(
        default=760, metadata={"help": "days that a lender keeps scores, where the tenant does not say"}
    )
    allow_http_origins: frozenset[str] = field(
        default=frozenset(), metadata={"help": "loopback origins that may be fetched over http; development only"}
    )

    def __post_init__(self) -> None:
        """Fill in what follows from other settings, and refuse what would be unsafe."""
        set_default = object.__setattr__
        if not self.base_url:
            host = f"[{self.bind}]" if ":" in self.bind else self.bind
            set_default(self, "base_url", f"http://{host}:{self.port}")
        if not self.database_url:
            set_default(self, "database_url", f"sqlite:///{self.var}/credence.sqlite3")
        if not self.keystore_url:
            if not self.database_url.startswith("sqlite"):
                raise SettingsError("CREDENCE_KEYSTORE_URL is required when the database is not SQLite.")
            set_default(self, "keystore_url", f"sqlite:///{self.var}/keystore.sqlite3")
        for url in ("database_url", "keystore_url"):
            if not getattr(self, url).startswith(_DATABASES):
                raise SettingsError(f"CREDENCE_{url.upper()} must begin with {' or '.join(_DATABASES)}.")
        if self.keystore_url == self.database_url:
            raise SettingsError("CREDENCE_KEYSTORE_URL must name another database than CREDENCE_DATABASE_URL.")
        if self.anchor_contract and not _ADDRESS.fullmatch(self.anchor_contract):
            raise SettingsError("CREDENCE_ANCHOR_CONTRACT must be an address: 0x and 40 hexadecimal digits.")
        if self.model_sha256 and not _SHA256.fullmatch(self.model_sha256):
            raise SettingsError("CREDENCE_MODEL_SHA256 must be 64 hexadecimal digits in lower case.")
        if self.model == Path():
            set_default(self, "model", self.var / "models" / "default")
        for each in fields(self):
            value = getattr(self, each.name)
            least, most = _RANGES.get(each.name, (0, 10**9))
            if isinstance(value, int) and not least <= value <= most:
                raise SettingsError(f"CREDENCE_{each.name.upper()} must be from {least} to {most}.")
        try:
            base = urlsplit(self.base_url)
        except ValueError:
            raise SettingsError("CREDENCE_BASE_URL must be an origin, such as https://credence.example.") from None
        if base.scheme not in {"http", "https"} or not base.netloc or base.path or base.query or base.fragment:
            raise SettingsError("CREDENCE_BASE_URL must be an origin, such as https://credence.example.")
        if not all(_is_loopback_origin(origin) for origin in self.allow_http_origins):
            raise SettingsError("CREDENCE_ALLOW_HTTP_ORIGINS takes loopback origins, such as http://127.0.0.1:9000.")
        if not _is_loopback(self.bind):
            if self.allow_http_origins:
                raise SettingsError("CREDENCE_ALLOW_HTTP_ORIGINS is for development: it is refused off loopback.")
            if base.scheme != "https":
                raise SettingsError("CREDENCE_BASE_URL must be https when the service is not bound to loopback.")


def _is_loopback_origin(origin: str) -> bool:
    try:
        parts = urlsplit(origin)
        host = parts.hostname or ""
    except ValueError:
        return False
    return parts.scheme == "http" and _is_loopback(host) and origin == f"http://{parts.netloc}" and "@" not in origin


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def load_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings from ``environment``; raises `SettingsError`."""
    known = {f"CREDENCE_{each.name.upper()}": each for each in fields(Settings)}
    values: dict[str, object] = {}
    for variable, text in environment.items():
        if not variable.startswith("CREDENCE_") or variable in _NOT_OURS:
            continue
        if variable not in known:
            raise SettingsError(f"{variable} is not a setting of this version.")
        name, default = known[variable].name, known[variable].default
        try:
            if isinstance(default, bool | int):
                values[name] = int(text)
            elif isinstance(default, Path):
                values[name] = Path(text)
            elif isinstance(default, frozenset):
                values[name] = frozenset(text.split())
            else:
                values[name] = text
        except ValueError:
            raise SettingsError(f"{variable} is not a whole number.") from None
    return Settings(**values)  # type: ignore[arg-type]
