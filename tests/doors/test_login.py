"""What holds at every door: the login lasts, and requests stays requests."""

from __future__ import annotations

import datetime
import threading
import time
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

import pytest
import requests
from conftest import MakeProvider

from oauth_session import InvalidGrant
from oauth_session.testing import Answer, FakeProvider

from .conftest import Open


def led(url: str, to: str, status: int = 302) -> str:
    """A URL that redirects."""
    return f"{url}redirect?status={status}&to={quote(to, safe='')}"


def test_a_call_outlives_its_token(provider: FakeProvider, open_door: Open) -> None:
    """A token that ends between two calls costs one refresh; the refusal stands in the history, read and closed."""
    session = open_door(provider)
    assert session.get(provider.api_url + "me").json()["path"] == "/api/me"
    provider.expire()
    response = session.get(provider.api_url + "me", params={"q": "1"}, headers={"X-Mine": "2"})
    assert response.json()["query"] == "q=1"
    assert [r.status_code for r in response.history] == [401]
    assert b"invalid_token" in response.history[0].content
    assert response.request.headers["Authorization"] != response.history[0].request.headers["Authorization"]
    assert [seen.headers.get("x-mine") for seen in provider.requests if seen.path == "/api/me"] == [None, "2", "2"]
    assert provider.model.refresh_calls == provider.model.generations == 1


def test_threads_share_one_refresh(make_oauth_provider: MakeProvider, open_door: Open) -> None:
    """Twenty threads on one expired token: one refresh, no failure."""
    provider = make_oauth_provider(token_latency=0.1)
    session = open_door(provider)
    session.get(provider.api_url + "me")
    provider.expire()
    barrier, statuses = threading.Barrier(20), []

    def call() -> None:
        barrier.wait()
        statuses.append(session.get(provider.api_url + "me").status_code)

    threads = [threading.Thread(target=call) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 20
    assert provider.model.refresh_calls == 1


def test_cookies_of_the_refusal(make_oauth_provider: MakeProvider, open_door: Open) -> None:
    """A cookie that the 401 sets is sent with the replay and stays in the session's jar."""
    provider = make_oauth_provider(refusal=lambda verdict: Answer(401, {"Set-Cookie": "seen=refusal; Path=/"}, b""))
    session = open_door(provider)
    session.cookies.set("mine", "1")
    provider.expire()
    assert session.get(provider.api_url + "me").ok
    sent = [seen.headers.get("cookie") for seen in provider.requests if seen.path == "/api/me"]
    assert sent[0] == "mine=1"
    assert sorted((sent[1] or "").split("; ")) == ["mine=1", "seen=refusal"]
    assert session.cookies.get_dict() == {"mine": "1", "seen": "refusal"}


def test_response_hooks_see_the_final_response(provider: FakeProvider, open_door: Open) -> None:
    """The user's hooks, `raise_for_status` included, of the session and of the call, do not meet the refusal."""
    session = open_door(provider)
    seen: list[tuple[str, int]] = []
    session.hooks["response"] += [
        lambda response, **_: response.raise_for_status(),
        lambda response, **_: seen.append(("session", response.status_code)),
    ]
    provider.expire()
    assert session.get(provider.api_url + "me").ok
    provider.expire()
    hook = {"response": lambda response, **_: seen.append(("call", response.status_code))}
    assert session.get(provider.api_url + "me", hooks=hook).ok
    assert seen == [("session", 200), ("call", 200)]


def test_a_streamed_answer_is_not_read(make_oauth_provider: MakeProvider, open_door: Open) -> None:
    """`stream=True` reads the refusal only; the replay's body waits for the caller, on the same connection."""
    provider = make_oauth_provider()
    session = open_door(provider)
    session.get(provider.api_url + "me")
    provider.expire()
    with session.get(provider.api_url + "me", stream=True) as response:
        assert response._content is False
        assert response.json()["path"] == "/api/me"
    assert provider.api_connections == 1


def test_nothing_of_the_callers_is_written_to(provider: FakeProvider, open_door: Open) -> None:
    """Headers, parameters and options stay as they were given, read-only mappings included."""
    session = open_door(provider)
    headers = MappingProxyType({"X-Mine": "1"})
    options: dict[str, Any] = {"params": {"a": "1"}, "data": {"b": "2"}, "cookies": {"c": "3"}, "proxies": {}}
    before = repr(options)
    session_headers = dict(session.headers)
    for _ in range(2):
        assert session.post(provider.api_url + "me", headers=headers, **options).ok  # type: ignore[arg-type]
        provider.expire()
    assert (repr(options), dict(session.headers)) == (before, session_headers)
    assert dict(headers) == {"X-Mine": "1"}


@pytest.mark.parametrize("header", ["Authorization", "authorization"])
def test_an_authorization_of_the_callers_wins(make_oauth_provider: MakeProvider, open_door: Open, header: str) -> None:
    """An explicit header is sent as it is, is not followed up, and stays on redirects within the origin."""
    provider = make_oauth_provider()
    session = open_door(provider)
    for url in (provider.api_url + "me", led(provider.url + "/", "/api/me")):
        assert session.get(url, headers={header: "Bearer mine"}).status_code == 401
    session.headers[header] = "Bearer mine"
    assert session.get(led(provider.url + "/", "/api/me")).status_code == 401
    assert {seen.headers["authorization"] for seen in provider.requests} == {"Bearer mine"}
    assert provider.model.refresh_calls == 0


def test_an_auth_of_the_callers_wins(provider: FakeProvider, open_door: Open) -> None:
    """`auth=` on a call wins, whichever it is, also after a redirect; its refusal is not followed up."""
    session = open_door(provider)
    for url in (provider.api_url + "me", led(provider.url + "/", "/api/me")):
        assert session.get(url, auth=("user", "password")).status_code == 401
    assert {seen.headers["authorization"] for seen in provider.requests} == {"Basic dXNlcjpwYXNzd29yZA=="}
    assert provider.model.refresh_calls == 0


@pytest.mark.doors("session", "auth", "adapter")
def test_a_session_auth_of_the_users_wins(provider: FakeProvider, open_door: Open) -> None:
    """What a user puts into `session.auth` replaces the login."""
    session = open_door(provider)
    session.auth = ("user", "password")
    assert session.get(led(provider.url + "/", "/api/me")).status_code == 401
    assert {seen.headers["authorization"] for seen in provider.requests} == {"Basic dXNlcjpwYXNzd29yZA=="}
    assert provider.model.refresh_calls == 0


def test_redirects_within_the_origin(provider: FakeProvider, open_door: Open) -> None:
    """Within its origin the token goes along, in each kind of redirect, and a refusal at the end is followed up."""
    session = open_door(provider)
    for status in (301, 302, 303, 307, 308):
        response = session.post(led(provider.url + "/", "/api/me", status), data=b"body")
        assert response.json()["length"] == (4 if status in (307, 308) else 0)
        provider.expire()
    assert session.get(led(provider.url + "/", "/api/me")).ok
    assert provider.model.refresh_calls == 5


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_to_another_origin(make_oauth_provider: MakeProvider, open_door: Open, status: int) -> None:
    """To another host or port no token travels, allowed or not, and its refusal refreshes nothing."""
    provider, foreign = make_oauth_provider(), make_oauth_provider()
    session = open_door(provider, origins=[foreign.url])
    for target in (foreign.api_url + "me", provider.api_url.replace("127.0.0.1", "localhost") + "me"):
        assert session.get(led(provider.api_url, target, status)).status_code == 401
    assert not foreign.requests[0].authorization
    assert not provider.requests[-1].authorization
    assert provider.model.refresh_calls == 0


@pytest.mark.doors("session", "auth", "call")
def test_there_and_back_again(make_oauth_provider: MakeProvider, open_door: Open) -> None:
    """A redirect that leads away and back comes back without a token."""
    provider, foreign = make_oauth_provider(), make_oauth_provider()
    session = open_door(provider, origins=[foreign.url])
    assert session.get(led(provider.api_url, led(foreign.url + "/", provider.api_url + "me"))).status_code == 401
    assert not provider.requests[-1].authorization
    assert provider.model.refresh_calls == 0


def test_foreign_origins_called_directly(make_oauth_provider: MakeProvider, open_door: Open) -> None:
    """Look-alikes and other ports get nothing, and their 401 refreshes nothing."""
    provider, foreign = make_oauth_provider(), make_oauth_provider()
    session = open_door(provider)
    assert session.get(foreign.api_url + "me").status_code == 401
    assert session.get(provider.api_url.replace("127.0.0.1", "localhost") + "me").status_code == 401
    assert not any(seen.authorization for seen in foreign.requests + provider.requests)
    assert provider.model.refresh_calls == 0


def test_a_dead_grant_is_named(provider: FakeProvider, open_door: Open) -> None:
    """A conclusive refusal raises `InvalidGrant`, a `requests` exception; while the endpoint is down the 401 is returned."""
    session = open_door(provider)
    provider.expire()
    provider.fault("503")
    assert session.get(provider.api_url + "me").status_code == 401
    session = open_door(provider)
    provider.revoke()
    with pytest.raises(InvalidGrant) as caught:
        session.get(provider.api_url + "me")
    assert isinstance(caught.value, requests.RequestException)


def test_a_prepared_request_can_be_sent_twice(provider: FakeProvider, open_door: Open, door: str) -> None:
    """`Session.send` takes a prepared request, twice and in copies: each time it is followed up."""
    session = open_door(provider)
    auth = session.request.keywords["auth"] if door == "call" else None  # type: ignore[attr-defined]
    prepared = session.prepare_request(requests.Request("POST", provider.api_url + "me", data=b"body", auth=auth))
    assert session.send(prepared).json()["length"] == 4
    provider.expire()
    for again in (prepared.copy(), prepared):
        assert session.send(again).json()["length"] == 4
    assert provider.model.refresh_calls == 1


def test_the_callers_hooks_are_their_own(provider: FakeProvider, open_door: Open, door: str) -> None:
    """A prepared request has the user's response hooks and no other to be seen; adding and removing works."""

    def hook(response: requests.Response, **_: Any) -> None: ...

    session = open_door(provider)
    auth = session.request.keywords["auth"] if door == "call" else None  # type: ignore[attr-defined]
    session.hooks["response"].append(hook)
    prepared = session.prepare_request(requests.Request("GET", provider.api_url + "me", auth=auth))
    assert prepared.hooks["response"] == [hook]
    assert prepared.deregister_hook("response", hook)
    assert prepared.hooks["response"] == []
    provider.expire()
    assert session.send(prepared).ok


@pytest.mark.doors("session", "auth", "call")
def test_elapsed_is_the_replays(make_oauth_provider: MakeProvider, open_door: Open) -> None:
    """`elapsed` is the time of the request that was answered, without the refusal and the refresh."""
    provider = make_oauth_provider(token_latency=0.5)
    session = open_door(provider)
    provider.expire()
    began = time.monotonic()
    response = session.get(provider.api_url + "me")
    assert datetime.timedelta(0) < response.elapsed < datetime.timedelta(seconds=0.4)
    assert time.monotonic() - began > 0.5


def test_options_reach_the_replay(provider: FakeProvider, open_door: Open) -> None:
    """`timeout`, `verify`, `cert`, `proxies` and `stream` are the same on the replay."""
    given: list[dict[str, Any]] = []

    class Recording(requests.adapters.HTTPAdapter):
        def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
            given.append(options)
            return super().send(request, *args, **options)

    session = open_door(provider)
    adapter = session.get_adapter(provider.url)
    if hasattr(adapter, "inner"):
        adapter.inner = Recording()
    else:
        session.mount(provider.url, Recording())
    provider.expire()
    assert session.get(provider.api_url + "me", timeout=(7, 8), verify=False, stream=True).ok
    assert given[0] == given[1]
    assert (given[0]["timeout"], given[0]["verify"], given[0]["stream"]) == ((7, 8), False, True)
