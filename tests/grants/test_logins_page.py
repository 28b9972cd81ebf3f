"""The page on logins runs against a real authorization server."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from support.grants_server import CALLBACK, GrantsServer
from support.person import Person
from support.snippets import run_snippets

from oauth_session.testing import FakeProvider

pytestmark = pytest.mark.timeout(300)  # the first run installs the server

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "logins.rst"


def run_page(server: GrantsServer, client_id: str, store: str) -> dict[str, Any]:
    with FakeProvider() as unused:
        return run_snippets(
            PAGE,
            unused,
            store,
            {
                "https://auth.example.com": server.issuer,
                "https://api.example.com/v1/": server.issuer + "/",
                "https://app.example.com/callback": CALLBACK,
                'client_id="app"': f'client_id="{client_id}"',
            },
        )


def test_logins(server: GrantsServer, valkey_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through a web application, on this machine, on another device, from elsewhere, and without a person."""
    monkeypatch.setenv("APP_SECRET", server.clients["app"]["client_secret"])
    page = run_page(server, "app", valkey_url)
    client, web_session = page["client"], {}
    answer = Person().visit(page["connect"](web_session))
    assert page["callback"](web_session, answer, 7) == "You are connected."
    assert page["callback"](web_session, answer, 7).startswith("That did not work")
    assert client.session("user-7").get("me").json() == {"sub": "user"}
    page["connected"](8, {"access_token": client.token("user-7").access_token, "expires_in": 60})
    assert client.session("user-8").get("me").ok
    client.close()
    page["robot"].close()


def test_logins_of_a_public_client(server: GrantsServer, valkey_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a browser on this machine, and with one elsewhere."""
    monkeypatch.setenv("APP_SECRET", server.clients["app"]["client_secret"])
    page = run_page(server, "app", valkey_url)
    arrived: list[threading.Thread] = []

    def browser(url: str) -> None:
        def follow() -> None:
            back = Person().visit(url, until=parse_qs(urlsplit(url).query)["redirect_uri"][0])
            requests.get(back, timeout=30)

        arrived.append(threading.Thread(target=follow))
        arrived[-1].start()

    assert page["log_in"](browser).refresh_token
    arrived[-1].join()
    shown: list[str] = []

    def show(line: str) -> None:
        shown.append(line)
        server.enter(line.split()[1])

    assert page["log_in_elsewhere"](show).refresh_token
    assert "enter" in shown[0]
    page["client"].close()
    page["robot"].close()
