"""The port that waits for the browser, and the pages that it writes (RFC 8252)."""

from __future__ import annotations

import errno
import socket
import threading
from http.server import HTTPServer
from urllib.parse import urlsplit

import pytest
import requests

from oauth_session import ConfigurationError, LoginFailed
from oauth_session.loopback import Loopback


def answer(door: Loopback, query: str) -> tuple[threading.Thread, list[requests.Response]]:
    """The browser comes back; the page is there when the thread has ended."""
    got: list[requests.Response] = []
    thread = threading.Thread(target=lambda: got.append(requests.get(f"{door.redirect_uri}?{query}", timeout=30)))
    thread.start()
    return thread, got


def test_the_first_answer_counts() -> None:
    """F5: the page waits for the verdict; others find that it is over; nothing is cached, and no script could run."""
    with Loopback() as door:
        assert requests.get(door.redirect_uri.replace("callback", "favicon.ico"), timeout=30).status_code == 404
        thread, got = answer(door, "code=a&state=b")
        assert door.wait(10) == f"{door.redirect_uri}?code=a&state=b"
        second = requests.get(f"{door.redirect_uri}?code=c&state=d", timeout=30)
        assert (second.status_code, "is over" in second.text) == (409, True)
        assert door.wait(0).endswith("code=a&state=b")
        door.tell(LoginFailed("<script>alert(1)</script>"))
        thread.join(10)
    assert "The login did not work" in got[0].text
    assert "<script" not in got[0].text
    assert got[0].headers["Cache-Control"] == "no-store"
    assert got[0].headers["Content-Security-Policy"].startswith("default-src 'none'")
    with pytest.raises(requests.ConnectionError):
        requests.get(door.redirect_uri, timeout=5)


def test_a_login_that_is_given_up() -> None:
    """F5: whoever comes when the program has stopped waiting is told so, and the port is closed."""
    with pytest.raises(LoginFailed, match="nobody came back"), Loopback() as door:
        door.wait(0.05)
    with Loopback() as door:
        thread, got = answer(door, "code=a")
        door.wait(10)
    thread.join(10)
    assert "given up" in got[0].text


def test_a_machine_without_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 8252 7.3: [::1] where 127.0.0.1 is not to be had; a clear message where neither is."""
    bind = HTTPServer.server_bind
    there = {socket.AF_INET6}

    def only(server: HTTPServer) -> None:
        if server.address_family not in there:
            raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
        bind(server)

    monkeypatch.setattr(HTTPServer, "server_bind", only)
    if _has_ipv6():
        with Loopback() as door:
            assert urlsplit(door.redirect_uri).hostname == "::1"
            thread, got = answer(door, "code=a")
            assert door.wait(10) == door.redirect_uri + "?code=a"
            door.tell(None)
            thread.join(10)
        assert "You are logged in" in got[0].text
    there.clear()
    with pytest.raises(ConfigurationError, match="cannot be opened"):
        Loopback()


def _has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True
