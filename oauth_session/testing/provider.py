"""A provider and its API on a real socket, on loopback, for tests that want the truth."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import parse_qs, parse_qsl, urlsplit

from ..tokens import fingerprint
from .model import ProviderModel

Refusal = Literal["challenge", "bare401", "403", "body"]
_ANSWERS: dict[str, tuple[int, dict[str, str], bytes]] = {
    "500": (500, {}, b"oops"),
    "503": (503, {}, b"<html>down</html>"),
    "429": (429, {"Retry-After": "5"}, b""),
    "html_error": (400, {"Content-Type": "text/html"}, b"<html>Bad Request</html>"),
    "empty_error": (400, {}, b""),
    "error_200": (200, {}, b'{"error": "bad_refresh_token", "error_description": "no"}'),
    "invalid_grant": (400, {}, b'{"error": "invalid_grant"}'),
    "403_invalid_grant": (403, {}, b'{"error": "invalid_grant", "error_description": "Unknown refresh token."}'),
    "please_retry": (400, {}, b'{"error": "invalid_request", "error_hint": "Please retry the request"}'),
    "wrong_type": (200, {}, b'["not", "an", "object"]'),
    "empty": (200, {}, b""),
}


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that arrived at the API; `token` is the fingerprint of the access token, if there was one."""

    method: str
    path: str
    headers: Mapping[str, str]
    sha256: str
    length: int
    token: str | None
    status: int


class FakeProvider:
    """A token endpoint and an API, threaded, on a free port of 127.0.0.1; a context manager.

    Args:
        lifetime, **model: as in `ProviderModel`, which says what the provider believes.
        latency: seconds that the token endpoint takes.
        api_latency: seconds that the API takes.
        refusal: how the API says that a token has ended: "challenge" (401 with RFC 6750's error), "bare401", "403", or
            "body" (200 with an error in the JSON).

    Attributes:
        model: the `ProviderModel`; its counters are the truth about what was asked.
        requests: what arrived at the API, in order.
        api_connections, token_connections: TCP connections by what was asked on them first.
        forbidden: (status, headers) of what lies under ``/api/forbidden``.
    """

    def __init__(
        self,
        *,
        lifetime: float = 3600.0,
        latency: float = 0.0,
        api_latency: float = 0.0,
        refusal: Refusal = "challenge",
        keep_requests: bool = True,
        **model: Any,
    ) -> None:
        self.model = ProviderModel(lifetime=lifetime, **model)
        self.latency, self.api_latency, self.refusal = latency, api_latency, refusal
        self.requests: list[Seen] = []
        self.forbidden: tuple[int, Mapping[str, str]] = (403, {})
        self.api_connections = self.token_connections = 0
        self.max_concurrent_token_calls = 0
        self._keep = keep_requests
        self._faults: deque[str | tuple[int, dict[str, str], bytes]] = deque()
        self._lock = threading.Lock()  # guards the model, the faults and the counters
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        self.port: int = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.token_url = self.url + "/token"
        self.api_url = self.url + "/api/"

    @property
    def client_id(self) -> str:
        """As registered."""
        return self.model.client_id

    @property
    def client_secret(self) -> str | None:
        """As registered; None for a public client."""
        return self.model.client_secret

    def __enter__(self) -> FakeProvider:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop; the port is free afterwards."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def issue(self) -> dict[str, Any]:
        """A login: the token response."""
        with self._lock:
            return self.model.issue(time.time())

    def expire(self) -> None:
        """All access tokens end at once."""
        with self._lock:
            self.model.expire()

    def revoke(self) -> None:
        """All logins end."""
        with self._lock:
            self.model.revoke()

    def fault(self, what: str | tuple[int, dict[str, str], bytes], times: int = 1) -> None:
        """Let the token endpoint fail for the next calls.

        Args:
            what: "500", "503", "429", "html_error", "empty_error", "error_200", "invalid_grant",
                "403_invalid_grant", "please_retry", "wrong_type", "empty" (none of these reaches the model);
                "drop_before", "drop_after" (processed, then no answer), "truncated" (processed), "drip" (processed,
                then a byte per 150 ms), "hang" (accepted, never answered); or (status, headers, body).
        """
        if isinstance(what, str) and what not in _ANSWERS and what not in _BREAKS:
            raise ValueError(f"no such fault: {what!r}")
        with self._lock:
            self._faults.extend([what] * times)

    # -- for the handler ---------------------------------------------------------------------------------------------

    def _token(self, handler: _Handler, form: Mapping[str, str]) -> None:
        if self.latency:
            time.sleep(self.latency)
        with self._lock:
            fault = self._faults.popleft() if self._faults else None
        if fault == "hang":
            time.sleep(60)
            return handler.drop()
        if fault == "drop_before":
            return handler.drop()
        if isinstance(fault, tuple):
            return handler.answer(*fault)
        if fault in _ANSWERS:
            return handler.answer(*_ANSWERS[fault])
        with self._lock:
            status, body = self.model.token(form, handler.headers.get("Authorization"), time.time())
        if fault == "drop_after":
            return handler.drop()
        headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
        if status == 401:
            headers["WWW-Authenticate"] = 'Basic realm="token"'
        data = json.dumps(body).encode()
        if fault == "truncated":
            return handler.answer(status, headers, data[: len(data) // 2])
        if fault == "drip":
            return handler.drip(status, headers, data)
        handler.answer(status, headers, data)

    def _api(self, handler: _Handler, body: bytes) -> None:
        if self.api_latency:
            time.sleep(self.api_latency)
        path = urlsplit(handler.path)
        scheme, _, token = handler.headers.get("Authorization", "").partition(" ")
        with self._lock:
            good = scheme == "Bearer" and self.model.accepts(token, time.time())
        status, headers, answer = self._verdict(good, path.path)
        digest = hashlib.sha256(body).hexdigest()
        name = fingerprint(token) if token else None
        if self._keep:
            seen = Seen(handler.command, handler.path, dict(handler.headers), digest, len(body), name, status)
            with self._lock:
                self.requests.append(seen)
        if answer is None:
            answer = {
                "method": handler.command,
                "path": path.path,
                "query": parse_qs(path.query),
                "sha256": digest,
                "length": len(body),
                "content_type": handler.headers.get("Content-Type"),
                "token": name,
            }
        handler.answer(status, {"Content-Type": "application/json", **headers}, json.dumps(answer).encode())

    def _verdict(self, good: bool, path: str) -> tuple[int, Mapping[str, str], Any]:
        if good and not path.startswith("/api/forbidden"):
            return 200, {}, None
        if good:
            return self.forbidden[0], self.forbidden[1], {"error": "not allowed"}
        said = {"error": "invalid_token", "errors": [{"details": "The access token you provided has expired."}]}
        if self.refusal == "challenge":
            return 401, {"WWW-Authenticate": 'Bearer realm="api", error="invalid_token"'}, said
        if self.refusal == "bare401":
            return 401, {}, said
        return (403 if self.refusal == "403" else 200), {}, said


_BREAKS = {"drop_before", "drop_after", "truncated", "drip", "hang"}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    provider: FakeProvider
    first = True

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""

    def _serve(self) -> None:
        body = b"".join(self._body())
        token = self.path.partition("?")[0] == "/token"
        if self.first:
            self.first = False
            with self.provider._lock:
                self.provider.token_connections += token
                self.provider.api_connections += not token
        if token and self.command == "POST":
            form = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
            self.provider._token(self, form)
        elif self.path.startswith("/api/redirect"):
            query = parse_qs(urlsplit(self.path).query)
            self.answer(int(query.get("status", ["302"])[0]), {"Location": query["to"][0]}, b"")
        elif self.path.startswith("/api/"):
            self.provider._api(self, body)
        else:
            self.answer(404, {}, b"")

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_OPTIONS = _serve

    def _body(self) -> Iterator[bytes]:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := int(self.rfile.readline().split(b";")[0] or b"0", 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            yield self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def drip(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        for byte in body:
            self.wfile.write(bytes([byte]))
            time.sleep(0.15)

    def drop(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)


def _handler(owner: FakeProvider) -> Callable[..., _Handler]:
    return type("Handler", (_Handler,), {"provider": owner})
