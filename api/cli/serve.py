"""`credence serve`: the service on one port, with an embedded chain where no other is named."""

import dataclasses
import json
import logging
import signal
import socket
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType, TracebackType

from api.active_model import has_promoted
from api.app import create_app
from api.cli.http_server import http_server
from api.cli.terminal import FAILED, USAGE, CommandFailed
from api.clock import format_time, now_ms
from api.keystore import load_or_create_keyring
from api.settings import Settings, SettingsError, load_settings
from chain.anvil import Anvil, find_anvil
from chain.errors import AnvilPortInUse, AnvilRunning, ChainError, ChainRefused, ChainUnavailable
from chain.node import parse_account_key

_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


def run_service(*, log_as_json: bool) -> None:
    """Serve until SIGINT or SIGTERM; raises `CommandFailed` where the service could not work."""
    try:
        settings = load_settings()
    except SettingsError as wrong:
        raise CommandFailed(str(wrong), exit_code=USAGE) from None
    if not settings.model.is_dir() and not has_promoted(settings):
        raise CommandFailed(
            f"There is no model at {settings.model}: run `credence train` or `credence demo` first.", exit_code=USAGE
        )
    configure_logging(as_json=log_as_json)
    # SIGTERM ends the process by an exception, so that what was started is stopped on the way out.
    signal.signal(signal.SIGTERM, _leave)
    listener = _listen(settings)
    try:
        with embedded_chain(settings) as rpc_url:
            app = create_app(dataclasses.replace(settings, rpc_url=rpc_url))
            server = http_server(app)
            logging.getLogger("credence").info("serving on %s", settings.base_url)
            server.run(sockets=[listener])
            if not server.started:
                raise CommandFailed("The service did not start; the lines above say why.")
    except KeyboardInterrupt:
        return
    finally:
        listener.close()


@contextmanager
def embedded_chain(settings: Settings) -> Iterator[str]:
    """The RPC URL that the settings name; else that of an anvil with its state in `var/chain`, funded to anchor.

    An anvil that answers on the port already is used, and left running. Raises `CommandFailed`.
    """
    if settings.rpc_url:
        yield settings.rpc_url
        return
    try:
        binary = find_anvil(Path(__file__).resolve().parents[2])
        anvil = Anvil(binary=binary, state_directory=settings.var / "chain", port=settings.chain_port)
        keyring = load_or_create_keyring(settings.var / "keys", now_ms())
        publisher = parse_account_key(keyring.active("anchor").secret).address
        started = _start_or_reuse(anvil)
        try:
            anvil.fund(publisher)
            yield anvil.rpc_url
        finally:
            if started:
                anvil.stop()
    except AnvilRunning:
        raise CommandFailed(
            f"A service that works in {settings.var} is running already: stop it, or set CREDENCE_VAR."
        ) from None
    except ChainError as refused:
        raise CommandFailed(f"The embedded chain: {refused}") from None


def _start_or_reuse(anvil: Anvil) -> bool:
    """Whether it was started here."""
    try:
        anvil.start()
    except AnvilPortInUse:
        try:
            if str(anvil.request("web3_clientVersion", [])).startswith("anvil"):
                return False
        except (ChainUnavailable, ChainRefused):
            pass
        raise CommandFailed(
            f"Something that is no anvil listens on port {anvil.port}: set CREDENCE_CHAIN_PORT, or CREDENCE_RPC_URL."
        ) from None
    return True


def _listen(settings: Settings) -> socket.socket:
    """The port, taken before anything else is begun."""
    family = socket.AF_INET6 if ":" in settings.bind else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.bind, settings.port))
    except OSError as error:
        listener.close()
        raise CommandFailed(
            f"Port {settings.port} of {settings.bind} cannot be had ({error.strerror}): set CREDENCE_PORT.",
            exit_code=FAILED,
        ) from None
    return listener


def _leave(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


def configure_logging(*, as_json: bool) -> None:
    """One line an event on standard error, and no content: of an exception its type and place, not its message."""
    handler = logging.StreamHandler()
    handler.setFormatter(_JsonLines() if as_json else _PlainLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in ("credence", "uvicorn"):
        logging.getLogger(name).setLevel(logging.INFO)


class _PlainLines(logging.Formatter):
    """time level logger message name=value ..."""

    def format(self, record: logging.LogRecord) -> str:
        extra = "".join(f" {name}={value}" for name, value in _members_of(record).items())
        message = " ".join(record.getMessage().split())
        return f"{_time_of(record)} {record.levelname:<7} {record.name}: {message}{extra}"


class _JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(
            {
                "at": _time_of(record),
                "level": record.levelname.lower(),
                "logger": record.name,
                "message": record.getMessage(),
                **_members_of(record),
            }
        )


def _members_of(record: logging.LogRecord) -> dict[str, str]:
    """Where an exception came from, and not what it says."""
    members: dict[str, str] = {}
    information: _ExcInfo | None = record.exc_info
    if information is not None and information[0] is not None:
        frames = traceback.extract_tb(information[2])
        members["exception"] = information[0].__name__
        members["from"] = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames[-6:]))
    return members


def _time_of(record: logging.LogRecord) -> str:
    return format_time(int(datetime.fromtimestamp(record.created, UTC).timestamp() * 1000))
