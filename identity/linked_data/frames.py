"""The one way in which the service and its linked-data workers speak: length, then as many bytes of JSON."""

import json
import socket
import time
from typing import Any

#: More than any document or answer needs.
MAX_FRAME_BYTES = 8 * 1024 * 1024
_LENGTH_BYTES = 4


def send_frame(connection: socket.socket, message: dict[str, Any], *, deadline: float | None = None) -> None:
    """Send one message, by `deadline` (monotonic seconds) where one is given; raises OSError."""
    body = json.dumps(message, separators=(",", ":")).encode()
    connection.settimeout(_remaining_s(deadline))
    connection.sendall(len(body).to_bytes(_LENGTH_BYTES) + body)


def receive_frame(connection: socket.socket, *, deadline: float | None = None) -> dict[str, Any]:
    """Receive one message; raises EOFError when the other side is gone, TimeoutError, OSError, ValueError."""
    length = int.from_bytes(_receive(connection, _LENGTH_BYTES, deadline))
    if length > MAX_FRAME_BYTES:
        raise ValueError("a frame is longer than any may be")
    message = json.loads(_receive(connection, length, deadline))
    if not isinstance(message, dict):
        raise ValueError("a message is a JSON object")  # noqa: TRY004 (what was received is at fault, not the caller)
    return message


def _receive(connection: socket.socket, length: int, deadline: float | None) -> bytes:
    received = bytearray()
    while len(received) < length:
        connection.settimeout(_remaining_s(deadline))
        part = connection.recv(length - len(received))
        if not part:
            raise EOFError
        received += part
    return bytes(received)


def _remaining_s(deadline: float | None) -> float | None:
    if deadline is None:
        return None
    remaining_s = deadline - time.monotonic()
    if remaining_s <= 0:
        raise TimeoutError
    return remaining_s
