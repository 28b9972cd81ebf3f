"""The public API as type checkers see it; `mypy` reads this file, nobody runs it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, assert_type

import requests

from oauth_session import (
    NO_AUTH,
    Detection,
    Event,
    GrantStatus,
    OAuthAdapter,
    OAuthClient,
    OAuthSession,
    RefreshPolicy,
    TemporarilyUnavailable,
    Token,
    TokenAuth,
    mount,
)


def listen(event: Event) -> None:
    assert_type(event.outcome, str)


def find(grant_id: str) -> Token | None:
    return Token("a", expires_at=1.5)


def stamp(request: requests.PreparedRequest) -> None: ...


def replace(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request.copy()


session = OAuthSession(
    base_url="https://api.example.com/",
    token_url="https://auth.example.com/token",
    client_id="app",
    client_secret=lambda: "secret",
    token=find,
    origins=["https://other.example.com"],
    refresh=RefreshPolicy(margin=None, rotation="always"),
    detect=Detection(refresh_on={401, 403}, expired_when=[{"status": 403, "error": "invalid_token"}]),
    on_event=listen,
)
session.request_hooks += [stamp, replace]
assert_type(session.get("me", auth=NO_AUTH), requests.Response)
plain: requests.Session = session

client = OAuthClient(token_url="https://auth.example.com/token", client_id="app", origins="*")
OAuthSession(provider="shopify", provider_params={"shop": "acme"}, client_id="app")
OAuthClient(provider=Path("acme.toml"), client_id="app")
OAuthClient(provider={"extends": "xero", "reuse_grace": 60}, client_id="app")
OAuthSession(provider=7, client_id="app")  # type: ignore[arg-type]
OAuthSession(provider="shopify", provider_params={"shop": 7}, client_id="app")  # type: ignore[dict-item]
assert_type(client.session("g"), OAuthSession)
assert_type(client.auth("g"), TokenAuth)
assert_type(client.token("g", timeout=1.0), Token)
assert_type(client.refresh("g", force=True), Token)
assert_type(client.grants(), tuple[list[GrantStatus], str | None])
client.put("g", Token("a"))
response: Mapping[str, Any] = {"access_token": "a", "expires_in": 3600}
client.put("g", response)
mount(plain, "https://api.example.com/", client.auth("g"))
adapter = OAuthAdapter(requests.adapters.HTTPAdapter(), client.auth("g"))
requests.get("https://api.example.com/", auth=client.auth("g"))


def caught(error: TemporarilyUnavailable) -> None:
    assert_type(error.retry_after, float | None)
    assert_type(error.error, str | None)


OAuthSession("https://api.example.com/")  # type: ignore[call-arg]
RefreshPolicy(rotation="sometimes")  # type: ignore[arg-type]
client.token(5)  # type: ignore[arg-type]
Token(None)  # type: ignore[arg-type]
