"""What an attacker tries so that a token leaves: every header, URL and body that reaches a foreign server is looked through."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
import redis
import requests
from conftest import MakeClient, MakeProvider

from oauth_session import ConfigurationError, OAuthClient, OAuthSessionError, Token
from oauth_session.dpop import new_key
from oauth_session.stores import RedisStore
from oauth_session.testing import FakeProvider
from oauth_session.tokens import DPOP_KEY

Open = Callable[..., requests.Session]


def reached(foreign: FakeProvider) -> str:
    """All that a server has been sent."""
    return str([(one.path, one.query, one.headers, one.form) for one in foreign.requests])


@pytest.mark.parametrize(("kind", "userinfo"), [("Bearer", "user:pw@"), ("DPoP", "")])
def test_no_header_takes_a_token_elsewhere(
    make_oauth_provider: MakeProvider, make_client: MakeClient, open_door: Open, door: str, kind: str, userinfo: str
) -> None:
    """After a redirect to another host no token travels in whatever header, nor a proof from the doors that can take it off."""
    provider, foreign = make_oauth_provider(), make_oauth_provider()
    session = open_door(provider, origins=[foreign.url])
    token = "the-token-of-this-test"
    extra = {DPOP_KEY: new_key()} if kind == "DPoP" else {}
    make_client(provider).put("g", Token(token, token_type=kind, extra=extra))
    to = foreign.api_url.replace("//", f"//{userinfo}") + "me"
    answer = session.get(f"{provider.url}/redirect?status=307&to={quote(to, safe='')}")
    sent = provider.requests[-1].headers
    assert sent["authorization"] == f"{kind} {token}"
    assert len(foreign.requests) == 1
    assert answer.status_code == 401
    assert token not in reached(foreign)
    assert ("dpop" in foreign.requests[0].headers) == (kind == "DPoP" and door in ("auth", "call"))
    assert provider.token_requests == 0


BAD = "good\r\nX-Evil: yes"
Brings = Callable[[OAuthClient, str], object]
WAYS: dict[str, Brings] = {
    "put": lambda client, url: client.put("g", {"access_token": BAD}),
    "a Token": lambda client, url: client.put("g", Token(BAD)),
    "a callable": lambda client, url: client.token("g"),
    "the import key": lambda client, url: client.token("g"),
    "the store": lambda client, url: client.session("g").get(url),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_line_break_in_a_token(provider: FakeProvider, make_client: MakeClient, valkey_url: str, way: str) -> None:
    """A token that would make a header of its own is refused wherever it comes from, by a named error that shows it not."""
    settings: dict[str, Any] = {"store": RedisStore(valkey_url, import_key="left:{grant_id}")}
    with redis.Redis.from_url(valkey_url) as plain:
        if way == "a callable":
            settings["token"] = lambda grant_id: {"access_token": BAD}
        elif way == "the import key":
            plain.set("left:g", json.dumps({"access_token": BAD}))
        client = make_client(provider, **settings)
        if way == "the store":
            client.put("g", {"access_token": "planted"})
            name = f"oauth-session:{client._registration.key('g').digest}"
            text = str(plain.hget(name, "record").decode())
            plain.hset(name, mapping={"record": text.replace("planted", json.dumps(BAD)[1:-1]), "revision": "another"})
            client = make_client(provider, **settings | {"store": RedisStore(valkey_url)})
        with pytest.raises(OAuthSessionError) as caught:
            WAYS[way](client, provider.api_url + "me")
    assert "X-Evil" not in repr(caught.value)
    assert provider.api_requests == 0


def test_a_line_break_in_a_refresh_token_stays_in_the_body(provider: FakeProvider, make_client: MakeClient) -> None:
    """What is sent in a form may hold anything: it makes neither a header nor a parameter."""
    client = make_client(provider)
    client.put("g", {"access_token": "a", "refresh_token": BAD + "&scope=all"})
    with pytest.raises(OAuthSessionError):
        client.refresh("g")
    first = next(one for one in provider.requests if one.path == "/token")
    assert first.form == {"grant_type": "refresh_token", "refresh_token": BAD + "&scope=all"}
    assert "x-evil" not in first.headers


@pytest.mark.parametrize("kind", ["Bearer\r\nX-Evil: yes", "Basic", "DPoP", "mac"])
def test_a_type_makes_no_header(provider: FakeProvider, make_client: MakeClient, kind: str) -> None:
    """The token's type, which nobody seals, chooses among the schemes that are known, and is never sent itself."""
    client = make_client(provider)
    client.put("g", {"access_token": "a", "token_type": kind})
    try:
        client.session("g").get(provider.api_url + "me")
    except ConfigurationError:
        assert kind in ("DPoP", "mac")
        assert provider.requests == []
    else:
        assert provider.requests[0].headers["authorization"] == "Bearer a"
        assert "x-evil" not in provider.requests[0].headers
