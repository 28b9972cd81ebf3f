"""The few things in which the doors differ, as `docs/doors.rst` lists them."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
import requests
from conftest import Make, MakeClient, MakeProvider
from requests.auth import HTTPDigestAuth

from oauth_session import NO_AUTH, mount
from oauth_session.testing import FakeProvider

from .conftest import Open
from .test_login import led


@pytest.fixture
def netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials for every host of the tests."""
    path = tmp_path / "netrc"
    path.write_text("machine 127.0.0.1 login someone password hunter2\n")
    path.chmod(0o600)
    monkeypatch.setenv("NETRC", str(path))


@pytest.mark.usefixtures("netrc")
def test_netrc(provider: FakeProvider, open_door: Open, door: str) -> None:
    """`.netrc` never displaces the session's token; it wins over `auth=` after a redirect, and always over the adapter."""
    session = open_door(provider)
    session.get(led(provider.api_url, provider.api_url + "me"))
    schemes = [seen.headers["authorization"].partition(" ")[0] for seen in provider.requests]
    basic = {"session": ["Bearer", "Bearer"], "adapter": ["Basic"]}
    assert schemes == basic.get(door, ["Bearer", "Basic"])


@pytest.mark.usefixtures("netrc")
def test_no_auth(provider: FakeProvider, open_door: Open, door: str) -> None:
    """`NO_AUTH` sends nothing through any door; on redirects `.netrc` is kept out by the session alone."""
    session = open_door(provider)
    assert session.get(provider.api_url + "me", auth=NO_AUTH).status_code == 401
    session.get(led(provider.url + "/", "/api/me"), auth=NO_AUTH)
    sent = [seen.headers.get("authorization", "").partition(" ")[0] for seen in provider.requests]
    assert sent == ["", "", "" if door == "session" else "Basic"]
    assert provider.model.refresh_calls == 0


def test_no_auth_with_a_header(make_oauth_provider: MakeProvider, make_session: Make) -> None:
    """An explicit header beside `NO_AUTH` stays within its origin and is taken off beyond it."""
    provider, foreign = make_oauth_provider(), make_oauth_provider()
    session = make_session(provider, token=provider.issue())
    mine = {"Authorization": "Bearer mine"}
    session.get(led(provider.url + "/", "/api/me"), auth=NO_AUTH, headers=mine)
    session.get(led(provider.url + "/", foreign.api_url + "me"), auth=NO_AUTH, headers=mine)
    assert [seen.headers.get("authorization") for seen in provider.requests] == ["Bearer mine"] * 3
    assert not foreign.requests[0].authorization


@pytest.mark.doors("adapter")
def test_the_adapter_sees_each_hop_by_itself(make_oauth_provider: MakeProvider, open_door: Open) -> None:
    """A redirect away and back comes back with the token: the adapter knows no redirects."""
    provider, foreign = make_oauth_provider(), make_oauth_provider()
    session = open_door(provider)
    assert session.get(led(provider.url + "/", led(foreign.url + "/", provider.api_url + "me"))).ok
    assert not foreign.requests[0].authorization


@pytest.mark.doors("adapter")
def test_the_adapter_cannot_know_of_an_auth_that_waits(provider: FakeProvider, open_door: Open) -> None:
    """An `auth=` that sends nothing at first, such as digest, meets our token there; give it to a session of its own."""
    session = open_door(provider)
    assert session.get(provider.api_url + "me", auth=HTTPDigestAuth("user", "password")).ok
    assert provider.requests[0].headers["authorization"].startswith("Bearer ")


def test_a_request_that_was_prepared_elsewhere(provider: FakeProvider, open_door: Open, door: str) -> None:
    """A `PreparedRequest` that no session has prepared carries no token, but through the adapter, as requests has it."""
    session = open_door(provider)
    foundling = requests.Request("GET", provider.api_url + "me").prepare()
    assert session.send(foundling).status_code == (200 if door == "adapter" else 401)
    assert "Authorization" not in foundling.headers


@pytest.mark.doors("adapter")
def test_elapsed_at_the_adapter(make_oauth_provider: MakeProvider, open_door: Open) -> None:
    """`elapsed` is what the session measures around its adapter: the refusal and the refresh are in it."""
    provider = make_oauth_provider(token_latency=0.3)
    session = open_door(provider)
    provider.expire()
    assert session.get(provider.api_url + "me").elapsed.total_seconds() > 0.3


def test_two_doors_in_one_wall(provider: FakeProvider, make_session: Make, make_client: MakeClient) -> None:
    """An adapter leaves alone what another door has marked: its own token goes neither on top nor along a redirect."""
    client = make_client(provider)
    other = provider.issue()
    client.put("other", other)
    session = make_session(provider, token=provider.issue(), grant_id="mine")
    mount(session, provider.url, client.auth("other"))
    back = f"{provider.url.replace('127.0.0.1', 'localhost')}/redirect?to={quote(provider.api_url + 'me', safe='')}"
    mine = session.get(provider.api_url + "me").json()["token"]
    assert session.get(led(provider.url + "/", back)).status_code == 401
    assert provider.requests[0].token == mine
    assert [seen.authorization for seen in provider.requests[-2:]] == [False, False]
    assert client.token("other").access_token == other["access_token"]


def test_what_only_the_session_has(provider: FakeProvider, open_door: Open, door: str) -> None:
    """Only the session has a `base_url` and `request_hooks`; the others leave their session as it is."""
    session = open_door(provider)
    assert hasattr(session, "request_hooks") is (door == "session")
    if door == "session":
        assert session.get("me").ok
    else:
        with pytest.raises(requests.exceptions.MissingSchema):
            session.get("me")
