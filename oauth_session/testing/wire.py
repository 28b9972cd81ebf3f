"""Just enough HTTP/1.1 for a loopback server: keep-alive, lengths, chunks, one write per answer.

``http.server`` parses each header block with the ``email`` package and looks up the host's name when it binds; under a
few thousand requests per second the first would be what gets measured, and the second may leave the machine.
"""

from __future__ import annotations

import hashlib
import socket
import socketserver
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from email.utils import formatdate
from functools import cached_property
from http import HTTPStatus
from typing import Any, Protocol

from .answers import Answer


class Hangup(Exception):
    """Close the connection without an answer."""


@dataclass
class Request:
    """A request as it was read; header names are in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int
    keep_alive: bool

    @cached_property
    def sha256(self) -> str:
        """The digest of the body."""
        return hashlib.sha256(self.body).hexdigest()

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.target.partition('?')[0]}>"


@dataclass(slots=True)
class Delivery:
    """An answer and how it goes out."""

    answer: Answer
    cut: bool = False  # the head announces all, half of the body follows, then the connection closes
    drip: float = 0.0  # seconds between two bytes


class Application(Protocol):
    """What the server asks for each request."""

    def deliver(self, request: Request) -> Delivery:
        """Answer a request, or raise `Hangup`."""


class Server(socketserver.ThreadingTCPServer):
    """A thread per connection, on a free port of 127.0.0.1."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, application: Application) -> None:
        self.application = application
        self.closing = threading.Event()
        self._lock = threading.Lock()  # guards the two below
        self._open: set[socket.socket] = set()
        self._connections = 0
        super().__init__(("127.0.0.1", 0), _Connection)

    def enter(self, connection: socket.socket) -> int:
        """Remember an open connection; its number."""
        with self._lock:
            if self.closing.is_set():
                raise Hangup
            self._open.add(connection)
            self._connections += 1
            return self._connections

    def leave(self, connection: socket.socket) -> None:
        """Forget a connection that ended."""
        with self._lock:
            self._open.discard(connection)

    def hang_up(self) -> None:
        """Close all open connections, as a restart of the server would."""
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def stop(self) -> None:
        """Stop serving and close everything; waits for the accepting thread only."""
        self.closing.set()
        self.shutdown()
        self.server_close()
        self.hang_up()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are daily bread here; anything else is a fault of the kit and is shown."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Connection(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True
    server: Server

    def handle(self) -> None:
        try:
            number = self.server.enter(self.connection)
            while (request := self._read(number)) is not None:
                delivery = self.server.application.deliver(request)
                self._write(request, delivery)
                if delivery.cut or not request.keep_alive:
                    return
        except (Hangup, ConnectionError):
            return
        finally:
            self.server.leave(self.connection)

    def _read(self, number: int) -> Request | None:
        line = self.rfile.readline(65537)
        if line.count(b" ") != 2:
            return None  # the end, or not HTTP
        method, target, version = line.decode("latin-1").split()
        headers: dict[str, str] = {}
        while (line := self.rfile.readline(65537)) not in (b"\r\n", b"\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        if headers.get("expect", "").lower() == "100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if headers.get("transfer-encoding", "").lower() == "chunked":
            body = self._read_chunks()
        else:
            body = self._read_exactly(int(headers.get("content-length") or 0))
        hold = headers.get("connection", "keep-alive" if version == "HTTP/1.1" else "close").lower()
        return Request(method, target, headers, body, number, keep_alive=hold != "close")

    def _read_exactly(self, length: int) -> bytes:
        data = self.rfile.read(length) if length else b""
        if len(data) < length:
            raise Hangup
        return data

    def _read_chunks(self) -> bytes:
        chunks = []
        while size := int(self.rfile.readline(1024).partition(b";")[0], 16):
            chunks.append(self._read_exactly(size))
            self.rfile.readline(8)
        while self.rfile.readline(65537).strip():
            pass  # trailers
        return b"".join(chunks)

    def _write(self, request: Request, delivery: Delivery) -> None:
        status, headers, body = delivery.answer
        named = {name.lower() for name in headers}
        lines = [f"HTTP/1.1 {status} {_phrase(status)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if "content-length" not in named and status != 204:
            lines.append(f"Content-Length: {len(body)}")
        if "date" not in named:
            lines.append(f"Date: {formatdate(usegmt=True)}")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        if request.method == "HEAD" or status in (204, 304):
            body = b""
        if delivery.cut:
            self.wfile.write(head + body[: len(body) // 2])
        elif delivery.drip:
            self.wfile.write(head)
            for byte in body:
                if self.server.closing.wait(delivery.drip):
                    raise Hangup
                self.wfile.write(bytes([byte]))
        else:
            self.wfile.write(head + body)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unnamed"
