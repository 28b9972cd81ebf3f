"""A person's login with a browser on this machine (RFC 8252): a port that is open only while it is needed."""

from __future__ import annotations

import errno
import html
import socket
import threading
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from .errors import ConfigurationError, LoginFailed

PATH = "/callback"
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>body{{font:1.1rem/1.6 system-ui,sans-serif;max-width:34rem;margin:18vh auto;padding:0 1.5rem;
color:#222;background:#fafafa}}h1{{font-size:1.6rem;color:{color}}}@media(prefers-color-scheme:dark){{body{{color:#ddd;
background:#181818}}h1{{filter:brightness(1.7)}}}}</style><h1>{title}</h1><p>{text}</p></html>"""


class Loopback:
    """A server on 127.0.0.1, or [::1] where that is all there is, that takes one answer. Use it with `with`.

    Args:
        port: 0 for any free one, which servers must allow (RFC 8252 section 7.3).

    Raises:
        ConfigurationError: the port cannot be had.
    """

    def __init__(self, port: int = 0) -> None:
        self._answered, self._said = threading.Event(), threading.Event()
        self._answer = ""
        self._verdict: tuple[str, str, str] = ("", "", "")
        self._lock = threading.Lock()  # guards _answer: the first one counts
        self._server = _bound(port, self)
        host, number = self._server.server_address[:2]
        shown = f"[{host!s}]" if ":" in str(host) else str(host)
        self.redirect_uri = f"http://{shown}:{number}{PATH}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Loopback:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._said.set()
        self._server.shutdown()
        self._server.server_close()

    def wait(self, timeout: float) -> str:
        """The URL to which the browser came back.

        Raises:
            LoginFailed: nobody came in time.
        """
        if not self._answered.wait(timeout):
            raise LoginFailed(
                f"nobody came back from the browser within {timeout:g} s: begin the login again, "
                "or use the device login where no browser can reach this machine"
            )
        return self._answer

    def tell(self, error: Exception | None) -> None:
        """What the person shall read in the browser."""
        if error is None:
            self._verdict = ("You are logged in", "You may close this window and go back to the program.", "#16794c")
        else:
            self._verdict = ("The login did not work", str(error), "#b3261e")
        self._said.set()

    def _take(self, path: str) -> tuple[int, str]:
        """The page for a request: the verdict for the first answer, which it waits for; nothing for favicons and others."""
        if urlsplit(path).path != PATH:
            return 404, ""
        with self._lock:
            first = not self._answered.is_set()
            if first:
                self._answer = self.redirect_uri.removesuffix(PATH) + path
                self._answered.set()
        if not first:
            return 409, _page("This login is over", "Begin it again in the program.", "#b3261e")
        self._said.wait(60.0)
        title, text, color = self._verdict
        return 200, _page(
            title or "The login was given up", text or "Begin it again in the program.", color or "#b3261e"
        )


def open_browser(url: str) -> bool:
    """Whether a browser was opened."""
    with suppress(webbrowser.Error, OSError):
        return webbrowser.open(url)
    return False


Open = Callable[[str], object]


def _page(title: str, text: str, color: str) -> str:
    return _PAGE.format(title=html.escape(title), text=html.escape(text), color=color)


def _bound(port: int, loopback: Loopback) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10.0

        def do_GET(self) -> None:
            status, text = loopback._take(self.path)
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("Referrer-Policy", "no-referrer")
            self.send_header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
            self.send_header("Connection", "close")
            self.end_headers()
            with suppress(OSError):  # the person has closed the window
                self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """The request line holds the code."""

    class Server(ThreadingHTTPServer):
        daemon_threads = False  # closing waits until the page is written

    class Server6(Server):
        address_family = socket.AF_INET6

    try:
        return Server(("127.0.0.1", port), Handler)
    except OSError as error:
        reason = error
    if reason.errno == errno.EADDRNOTAVAIL:  # a machine without IPv4
        with suppress(OSError):
            return Server6(("::1", port), Handler)
    says = "is taken: choose another, or none for any free one" if port else "cannot be opened"
    raise ConfigurationError(f"port {port} of 127.0.0.1 {says} ({reason.strerror})")
