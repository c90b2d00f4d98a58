"""Fetch what a credential points at, without becoming anyone's way into our network.

https only, to public addresses only; the name is resolved once and the connection goes to the addresses that were
judged, so a second DNS answer changes nothing; no redirects, no userinfo, no other port; one deadline for the whole
request (name, connection, TLS, headers, body), however slowly the other side drips; a cap on the body.
"""

import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Sequence

import certifi
import httpcore

from identity.errors import (
    AddressNotPublic,
    FetchFailed,
    FetchTimeout,
    RedirectNotFollowed,
    ResponseTooLarge,
    UrlNotAllowed,
    UrlNotFound,
    WrongContentType,
)
from identity.hosts import is_public_address, is_public_name

MAX_URL_CHARS = 2048

_PATH = r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?"
_HTTPS_URL = re.compile(rf"https://(?P<host>[^/:]*)(?::443)?{_PATH}")
_LOOPBACK_ORIGIN = r"http://(?P<host>localhost|127\.0\.0\.1|\[::1\])(?::(?P<port>[1-9][0-9]{0,4}))?"
_LOOPBACK_URL = re.compile(rf"(?P<origin>{_LOOPBACK_ORIGIN}){_PATH}")


def resolve_addresses(host: str, port: int) -> Sequence[str]:
    """All addresses that the system's resolver gives for a name, in its order; raises OSError."""
    answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(answer[4][0]) for answer in answers))


class GuardedFetcher:
    """Fetches one URL at a time under the rules of this module; safe to share between threads.

    `allow_http_origins` are exact loopback origins such as "http://127.0.0.1:8080", for development. `resolve`,
    `ssl_context` and `network` are the seams of the tests; the defaults are the system's.
    """

    def __init__(
        self,
        *,
        allow_http_origins: frozenset[str] = frozenset(),
        timeout_s: float = 3.0,
        max_bytes: int = 65_536,
        resolve: Callable[[str, int], Sequence[str]] = resolve_addresses,
        ssl_context: ssl.SSLContext | None = None,
        network: httpcore.NetworkBackend | None = None,
    ) -> None:
        if not all(re.fullmatch(_LOOPBACK_ORIGIN, origin) for origin in allow_http_origins):
            raise ValueError("an allowed http origin must be a loopback origin")
        self.allow_http_origins = allow_http_origins
        self._timeout_s = timeout_s
        self._max_bytes = max_bytes
        self._resolve = resolve
        self._ssl_context = ssl_context or ssl.create_default_context(cafile=certifi.where())
        self._network = network or httpcore.SyncBackend()

    def fetch(self, url: str, accept: str, *, max_bytes: int | None = None) -> bytes:
        """The body of a 200 answer of a media type that `accept` names, at most `max_bytes` long.

        `accept` is one media type, or several with ", " between them. Raises UrlNotAllowed, AddressNotPublic,
        RedirectNotFollowed, ResponseTooLarge, WrongContentType (leaves of FetchRefused), UrlNotFound (404 and 410),
        FetchTimeout and FetchFailed (retriable).
        """
        deadline = time.monotonic() + self._timeout_s
        network = _PinnedNetwork(self._network, self._judge_addresses(url, deadline), deadline)
        limit = self._max_bytes if max_bytes is None else max_bytes
        headers = [("Accept", accept), ("Accept-Encoding", "identity"), ("Connection", "close")]
        try:
            with (
                httpcore.ConnectionPool(self._ssl_context, network_backend=network) as pool,
                pool.stream("GET", url, headers=headers) as response,
            ):
                _check_response(response, accept, limit)
                body = bytearray()
                for chunk in response.iter_stream():
                    body += chunk
                    if len(body) > limit:
                        raise ResponseTooLarge
                return bytes(body)
        except httpcore.TimeoutException:
            raise FetchTimeout from None
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError):
            raise FetchFailed from None

    def _judge_addresses(self, url: str, deadline: float) -> Sequence[str]:
        if len(url) > MAX_URL_CHARS:
            raise UrlNotAllowed
        if match := _LOOPBACK_URL.fullmatch(url):
            if match["origin"] not in self.allow_http_origins:
                raise UrlNotAllowed
            # "localhost" is not asked of a resolver, which might say anything.
            return ["127.0.0.1", "::1"] if match["host"] == "localhost" else [match["host"].strip("[]")]
        match = _HTTPS_URL.fullmatch(url)
        if match is None or not is_public_name(match["host"]):
            raise UrlNotAllowed
        addresses = _resolve_before(deadline, self._resolve, match["host"])
        if not all(map(is_public_address, addresses)):
            raise AddressNotPublic
        return addresses


def _resolve_before(deadline: float, resolve: Callable[[str, int], Sequence[str]], host: str) -> Sequence[str]:
    # The system's resolver knows no timeout, so it is left behind in a thread of its own when it is late.
    answers: list[Sequence[str]] = []

    def ask() -> None:
        try:
            answers.append(resolve(host, 443))
        except (OSError, UnicodeError):
            answers.append([])

    thread = threading.Thread(target=ask, name="identity-resolve", daemon=True)
    thread.start()
    thread.join(max(0.0, deadline - time.monotonic()))
    if not answers:
        raise FetchTimeout
    if not answers[0]:
        raise FetchFailed
    return answers[0]


def _check_response(response: httpcore.Response, accept: str, limit: int) -> None:
    if 300 <= response.status < 400:
        raise RedirectNotFollowed
    if response.status in (404, 410):
        raise UrlNotFound
    if response.status != 200:
        raise FetchFailed
    headers = {name.lower(): value for name, value in response.headers}
    media_type = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    encoding = headers.get(b"content-encoding", b"identity").lower()
    if media_type not in accept.encode("ascii").split(b", ") or encoding != b"identity":
        raise WrongContentType
    length = headers.get(b"content-length", b"0")
    if not length.isdigit() or len(length) > 12 or int(length) > limit:
        raise ResponseTooLarge


class _PinnedNetwork(httpcore.NetworkBackend):
    """Connects to the judged addresses whatever name is asked for; Host, SNI and certificate stay the name's."""

    def __init__(self, network: httpcore.NetworkBackend, addresses: Sequence[str], deadline: float) -> None:
        self._network = network
        self._addresses = addresses
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,  # noqa: ARG002 (the name is not asked again)
        port: int,
        timeout: float | None = None,  # noqa: ARG002
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        failure: httpcore.ConnectError | None = None
        for address in self._addresses:
            remaining_s = _remaining_s(self._deadline)
            try:
                stream = self._network.connect_tcp(address, port, remaining_s, local_address, socket_options)
            except httpcore.ConnectError as error:
                failure = error
            else:
                return _DeadlineStream(stream, self._deadline)
        raise failure or httpcore.ConnectError


class _DeadlineStream(httpcore.NetworkStream):
    """A stream whose every wait ends at the one deadline of its request."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        return self._stream.read(max_bytes, _remaining_s(self._deadline))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        self._stream.write(buffer, _remaining_s(self._deadline))

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        stream = self._stream.start_tls(ssl_context, server_hostname, _remaining_s(self._deadline))
        return _DeadlineStream(stream, self._deadline)

    def close(self) -> None:
        self._stream.close()

    def get_extra_info(self, info: str) -> object:
        return self._stream.get_extra_info(info)


def _remaining_s(deadline: float) -> float:
    remaining_s = deadline - time.monotonic()
    if remaining_s <= 0:
        raise httpcore.TimeoutException
    return remaining_s
