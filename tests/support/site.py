"""A server that answers each path as it is told: for what certified servers do not do, or not when asked."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Said = tuple[int, dict[str, str], Any]  # status, headers, JSON


class Site(ThreadingHTTPServer):
    """Notes what was asked: the path, and the credentials or else the form.

    Attributes:
        answers: by path; of a list, each answer but the last once; None cuts the connection.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.answers: dict[str, Said | list[Said | None]] = {}
        self.asked: list[tuple[str, str]] = []


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        site = self.server
        assert isinstance(site, Site)
        form = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        site.asked.append((self.path, self.headers.get("Authorization", "") or form))
        told = site.answers.get(self.path, (404, {}, {}))
        if isinstance(told, list):
            told = told.pop(0) if len(told) > 1 else told[0]
        if told is None:
            return
        status, headers, body = told
        content = json.dumps(body).encode()
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(content))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET

    def log_message(self, *args: object) -> None: ...
