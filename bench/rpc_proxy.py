"""A proxy before an Ethereum node that delays, drops and holds its JSON-RPC calls, on 127.0.0.1 only."""

import asyncio
import contextlib
import json
import random
import threading

_LONGEST_HEAD = 64 * 1024
_POLL_S = 0.01


class RpcProxy:
    """Passes calls on to the node at `node_port`, one connection a call.

    Other threads set how: each call waits up to `longest_delay_s`; of a hundred, `drop_percent` are cut off, half of
    them before the node has them and half after, so that only the answer is lost; a call of a method in `held` waits
    until it no longer is.
    """

    def __init__(self, *, node_port: int, seed: int) -> None:
        self.longest_delay_s = 0.0
        self.drop_percent = 0
        self.held: frozenset[str] = frozenset()
        self.waiting: list[str] = []
        self.calls = 0
        self.dropped = 0
        self.port = 0
        self._node_port = node_port
        self._random = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rpc proxy", daemon=True)

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()
        if not self._listening.wait(10):
            raise TimeoutError

    def stop(self) -> None:
        """Cut off every call and end."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0, limit=_LONGEST_HEAD))
        self.port = server.sockets[0].getsockname()[1]
        self._listening.set()
        self._loop.run_forever()
        server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # An upstream that is away, a caller that was killed: either way the call is cut off.
        with contextlib.suppress(OSError, EOFError, ValueError, asyncio.LimitOverrunError):
            await self._pass_on(reader, writer)
        writer.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.partition(b":")[2]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
        )
        body = await reader.readexactly(length)
        method = str(json.loads(body)["method"])
        self.calls += 1
        await asyncio.sleep(self._random.random() * self.longest_delay_s)
        self.waiting.append(method)
        while method in self.held:
            await asyncio.sleep(_POLL_S)
        self.waiting.remove(method)
        fate = self._random.randrange(200)
        if fate < self.drop_percent:
            self.dropped += 1
            return
        node_reader, node_writer = await asyncio.open_connection("127.0.0.1", self._node_port)
        try:
            node_writer.write(
                b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nConnection: close\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (length, body)
            )
            answer = await node_reader.read(-1)
        finally:
            node_writer.close()
        if fate >= 200 - self.drop_percent:
            self.dropped += 1
            return
        writer.write(answer)
        await writer.drain()
