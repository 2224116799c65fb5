"""A small HTTP/1.1 server on the loopback interface, in a thread of its own.

Keep-alive, pipelining (answers leave in the order of the requests), bodies with a Content-Length. An answer
can also be late, slow, cut short or a TCP reset, which is why this is not `http.server`.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from http import HTTPStatus

MAX_HEAD_BYTES = 256 * 1024
MAX_BODY_BYTES = 16 * 1024 * 1024
DRIP_PIECES = 50
REASONS = {status.value: status.phrase for status in HTTPStatus}


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request as it came over the wire: `target` is raw, header names are in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int
    received_at: float

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]


@dataclass(frozen=True, slots=True)
class HttpReply:
    """An answer, and what happens to it on its way."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    """Seconds before the first byte."""
    drip: float = 0.0
    """Seconds over which the body leaves, piece by piece."""
    truncated: bool = False
    """Half of the promised body, then the end of the connection."""
    reset: bool = False
    """No byte at all: the connection is reset."""

    def head(self, *, close: bool) -> bytes:
        lines = [
            f"HTTP/1.1 {self.status} {REASONS.get(self.status, 'Unknown')}",
            f"Content-Type: {self.content_type}",
            f"Content-Length: {len(self.body)}",
            f"Connection: {'close' if close else 'keep-alive'}",
            *(f"{name}: {value}" for name, value in self.headers.items()),
        ]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class BadRequestError(Exception):
    """What arrived is not a request that this server reads."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass(frozen=True, slots=True)
class Head:
    method: str
    target: str
    headers: dict[str, str]
    content_length: int
    keep_alive: bool


def parse_head(raw: bytes) -> Head:
    """Read a request line and its headers; repeated headers are joined with commas (RFC 9110, 5.3)."""
    request_line, *lines = raw.decode("latin-1").split("\r\n")
    try:
        method, target, version = request_line.split(" ")
    except ValueError:
        raise BadRequestError(400) from None
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise BadRequestError(400)
        name, value = name.lower(), value.strip()
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    if "transfer-encoding" in headers:
        raise BadRequestError(501)
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()):
        raise BadRequestError(400)
    if int(length) > MAX_BODY_BYTES:
        raise BadRequestError(413)
    connection = headers.get("connection", "").lower()
    keep_alive = connection == "keep-alive" if version == "HTTP/1.0" else connection != "close"
    return Head(method, target, headers, int(length), keep_alive)


class Connection(asyncio.Protocol):
    """One TCP connection: takes requests off the buffer, one at a time, and writes their answers in order."""

    def __init__(self, server: HttpServer) -> None:
        self.server = server
        self.buffer = bytearray()
        self.head: Head | None = None
        self.answering = False
        self.last = False
        self.ended = False
        self.timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.number = self.server.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.timer:
            self.timer.cancel()
        self.server.closed(self)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        self._advance()

    def eof_received(self) -> bool:
        """A client that only closed its sending side still gets the answers that it waits for."""
        self.ended = True
        return self.answering

    def _advance(self) -> None:
        while not self.answering and not self.transport.is_closing():
            try:
                request = self._take_request()
            except BadRequestError as error:
                self.last = True
                self._answer(HttpReply(error.status, content_type="text/plain"))
                return
            if request is None:
                if self.ended:
                    self.transport.close()
                return
            self._answer(self.server.handle(request))

    def _take_request(self) -> HttpRequest | None:
        """The next complete request of the buffer, if there is one."""
        if self.head is None:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                if len(self.buffer) > MAX_HEAD_BYTES:
                    raise BadRequestError(431)
                return None
            self.head = parse_head(bytes(self.buffer[:end]))
            del self.buffer[: end + 4]
            if self.head.headers.get("expect", "").lower() == "100-continue":
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        head = self.head
        if len(self.buffer) < head.content_length:
            return None
        body = bytes(self.buffer[: head.content_length])
        del self.buffer[: head.content_length]
        self.head = None
        self.last = self.last or not head.keep_alive
        return HttpRequest(head.method, head.target, head.headers, body, self.number, time.time())

    def _answer(self, reply: HttpReply) -> None:
        self.answering = True
        if reply.delay > 0:
            self.timer = asyncio.get_running_loop().call_later(reply.delay, self._write_and_advance, reply)
        else:
            self._write(reply)

    def _write_and_advance(self, reply: HttpReply) -> None:
        self._write(reply)
        self._advance()

    def _write(self, reply: HttpReply) -> None:
        if reply.reset:
            self.reset()
            return
        head = reply.head(close=self.last or reply.truncated)
        if reply.truncated:
            self.transport.write(head + reply.body[: len(reply.body) // 2])
            self.transport.close()
        elif reply.drip > 0 and reply.body:
            self.transport.write(head)
            piece = max(1, len(reply.body) // DRIP_PIECES)
            self._drip(reply.body, piece, reply.drip * piece / len(reply.body))
        else:
            self.transport.write(head + reply.body)
            self._finish()

    def _drip(self, rest: bytes, piece: int, pause: float) -> None:
        if rest:
            self.transport.write(rest[:piece])
            self.timer = asyncio.get_running_loop().call_later(pause, self._drip, rest[piece:], piece, pause)
        else:
            self._finish()
            self._advance()

    def _finish(self) -> None:
        self.answering = False
        if self.last:
            self.transport.close()

    def reset(self) -> None:
        """Close with RST: a zero linger time drops what is unsent and skips the FIN (socket(7), SO_LINGER)."""
        connection = self.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


class HttpServer:
    """Calls `handle` in its own thread, for one request after the other.

    A stopped server refuses connections and can be started again on the same port.
    """

    def __init__(self, handle: Callable[[HttpRequest], HttpReply], *, port: int = 0) -> None:
        self.handle = handle
        self.port = port
        self.connections = 0
        self._open: set[Connection] = set()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Listen. Raises OSError when the port is taken."""
        listening: Future[None] = Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(listening)), name="simulator", daemon=True
        )
        self._thread.start()
        listening.result()

    def stop(self) -> None:
        """Close the port and reset what is still connected."""
        if self._thread and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()
        self._thread = None

    def opened(self, connection: Connection) -> int:
        self._open.add(connection)
        self.connections += 1
        return self.connections

    def closed(self, connection: Connection) -> None:
        self._open.discard(connection)

    async def _serve(self, listening: Future[None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        try:
            server = await self._loop.create_server(lambda: Connection(self), "127.0.0.1", self.port, backlog=1024)
        except OSError as error:
            listening.set_exception(error)
            return
        self.port = server.sockets[0].getsockname()[1]
        listening.set_result(None)
        await self._stopping.wait()
        server.close()
        for connection in list(self._open):
            connection.reset()
        await asyncio.sleep(0)  # the resets leave with the next turn of the loop
