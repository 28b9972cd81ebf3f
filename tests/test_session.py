"""One request, one way: attach, detect, renew, replay."""

from __future__ import annotations

import threading
import time

import pytest
import requests
from conftest import Make, MakeClient, MakeProvider

from oauth_session import NO_AUTH, Event, OAuthSession, OAuthSessionError, RefreshPolicy, Token, mount
from oauth_session.testing import FakeProvider


def test_a_call_outlives_its_token(provider: FakeProvider, make_session: Make) -> None:
    """The promise: a token that ends between two calls costs one refresh and no failure."""
    session = make_session(provider, token=provider.issue())
    assert session.get("me").json()["path"] == "/api/me"
    provider.expire()
    response = session.get("me")
    assert response.status_code == 200
    assert [r.status_code for r in response.history] == [401]
    assert provider.model.refresh_calls == provider.model.generations == 1


def test_fifty_threads_on_one_expired_token(make_oauth_provider: MakeProvider, make_session: Make) -> None:
    """Single flight: fifty threads released at once on an expired token cause one refresh, and none fails."""
    provider = make_oauth_provider(token_latency=0.1)
    session = make_session(provider, token=provider.issue())
    session.get("me")
    provider.expire()
    barrier, statuses = threading.Barrier(50), []

    def call() -> None:
        barrier.wait()
        statuses.append(session.get("me").status_code)

    threads = [threading.Thread(target=call) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 50
    assert provider.model.refresh_calls == 1
    assert provider.model.reuse_incidents == 0


def test_a_late_401_costs_no_refresh(provider: FakeProvider, make_session: Make, make_client: MakeClient) -> None:
    """Law 1: a refusal of a token that another worker has replaced already is answered with a replay alone."""
    session = make_session(provider, token=provider.issue())
    slow = session.prepare_request(requests.Request("GET", "me"))  # it carries the first token
    provider.expire()
    assert session.get("me").status_code == 200
    assert provider.model.refresh_calls == 1
    late = session.send(slow)
    assert late.status_code == 200
    assert len(late.history) == 1
    assert provider.model.refresh_calls == 1


def test_a_late_401_in_another_process_costs_no_refresh(
    provider: FakeProvider, store_url: str, make_session: Make
) -> None:
    """Law 1 across processes: a process that missed a refresh finds the new pair in the store."""
    seed = provider.issue()
    ours = make_session(provider, token=seed, store=store_url, grant_id=provider.url)
    theirs = make_session(provider, store=store_url, grant_id=provider.url, on_event=lambda event: None)
    assert ours.auth.source is not theirs.auth.source  # as in two processes
    assert ours.get("me").status_code == theirs.get("me").status_code == 200
    provider.expire()
    assert ours.get("me").status_code == 200
    assert theirs.get("me").status_code == 200  # told by now, or refused and replayed
    assert provider.model.refresh_calls == 1


def test_a_known_end_is_renewed_before_the_request(make_oauth_provider: MakeProvider, make_session: Make) -> None:
    """A token that is known to have ended is not sent: the request goes out once, with a new one."""
    provider = make_oauth_provider(lifetime=0.4)
    session = make_session(provider, refresh_token=provider.issue()["refresh_token"])
    for _ in range(3):
        response = session.get("me")
        assert (response.status_code, response.history) == (200, [])
        time.sleep(0.45)
    assert provider.model.refresh_calls == 3


def test_a_stale_token_is_renewed_behind_the_scenes(make_oauth_provider: MakeProvider, make_session: Make) -> None:
    """The advisory window: requests go on with the old token while a thread renews it."""
    provider = make_oauth_provider(lifetime=4.0, token_latency=0.3)
    session = make_session(provider, refresh_token=provider.issue()["refresh_token"])
    session.get("me")
    time.sleep(3.1)
    began = time.monotonic()
    session.get("me")
    assert time.monotonic() - began < 0.25
    end = time.monotonic() + 5
    while provider.model.generations < 2 and time.monotonic() < end:
        time.sleep(0.02)
    assert provider.model.refresh_calls == 2


def test_a_margin_of_none_waits_for_the_refusal(make_oauth_provider: MakeProvider, make_session: Make) -> None:
    """RefreshPolicy(margin=None): the clock never starts a refresh, only a refusal does."""
    provider = make_oauth_provider(lifetime=0.3)
    session = make_session(
        provider, refresh_token=provider.issue()["refresh_token"], refresh=RefreshPolicy(margin=None)
    )
    session.get("me")
    time.sleep(0.4)
    assert [r.status_code for r in session.get("me").history] == [401]


@pytest.mark.parametrize("refusal", ["challenge", "bare401"])
def test_the_default_rule(make_oauth_provider: MakeProvider, make_session: Make, refusal: str) -> None:
    """Section 7: a 401 is refreshed, with RFC 6750's error or without any."""
    provider = make_oauth_provider(refusal=refusal)
    session = make_session(provider, token=provider.issue())
    provider.expire()
    assert session.get("me").status_code == 200


def test_a_403_for_an_expired_token_needs_a_rule(make_oauth_provider: MakeProvider, make_session: Make) -> None:
    """Section 7: 403 is never expiry by default; `refresh_on` and an exact rule make it so."""
    provider = make_oauth_provider(refusal="403")
    seed = provider.issue()
    plain = make_session(provider, token=seed)
    provider.expire()
    assert plain.get("me").status_code == 403
    assert provider.model.refresh_calls == 0
    habit = make_session(provider, refresh_on={401, 403})
    assert habit.get("me").status_code == 200
    time.sleep(2.1)  # the new token's probation, which the next session could not tell from a refusal for good
    provider.expire()
    rule = {"status": 403, "path": "errors[0].details", "equals": "access token expired"}
    exact = make_session(provider, expired_when=[rule])
    assert exact.get("me").status_code == 200
    assert provider.model.refresh_calls == 2


def test_an_expiry_in_a_200_needs_a_rule(make_oauth_provider: MakeProvider, make_session: Make) -> None:
    """Section 7: a 200 with an error in its body is expiry by an exact rule, streamed or not."""
    provider = make_oauth_provider(refusal="body")
    session = make_session(
        provider, token=provider.issue(), expired_when=[{"status": 200, "path": "error", "equals": "token_expired"}]
    )
    for stream in (False, True):
        provider.expire()
        response = session.get("me", stream=stream)
        assert response.json()["path"] == "/api/me"
    assert provider.model.refresh_calls == 2


def test_what_wins_over_our_token(provider: FakeProvider, make_session: Make) -> None:
    """Section 5: `auth=`, an Authorization header and NO_AUTH win over the session's token, and are not followed up."""
    session = make_session(provider, token=provider.issue())
    for options in (
        {"auth": ("user", "password")},
        {"headers": {"Authorization": "Bearer mine"}},
        {"headers": {"authorization": "Bearer mine"}},
        {"auth": NO_AUTH},
    ):
        assert session.get("me", **options).status_code == 401
    session.headers["Authorization"] = "Bearer mine"
    assert session.get("me").status_code == 401
    assert provider.model.refresh_calls == 0
    sent = [seen.headers.get("authorization") for seen in provider.requests]
    assert sent == ["Basic dXNlcjpwYXNzd29yZA==", "Bearer mine", "Bearer mine", None, "Bearer mine"]


def test_request_hooks_see_the_whole_request(provider: FakeProvider, make_session: Make) -> None:
    """Section 5: hooks run once, in order, on a request complete but for its token; not again on the replay."""
    session = make_session(provider, token=provider.issue())
    seen = []

    def stamp(request: requests.PreparedRequest) -> None:
        seen.append(("stamp", request.headers.get("Authorization"), request.body))
        request.headers["X-Stamp"] = "1"

    def move(request: requests.PreparedRequest) -> requests.PreparedRequest:
        seen.append(("move", request.headers["X-Stamp"], None))
        moved = request.copy()
        moved.url = moved.url.replace("/me", "/you")
        return moved

    session.request_hooks += [stamp, move]
    provider.expire()
    response = session.post("me", data="payload")
    assert response.status_code == 200
    assert response.json()["path"] == "/api/you"
    assert seen == [("stamp", None, "payload"), ("move", "1", None)]
    assert [s.headers.get("x-stamp") for s in provider.requests if s.path != "/token"] == ["1", "1"]


def test_the_origin_is_checked_after_the_request_hooks(make_oauth_provider: MakeProvider, make_session: Make) -> None:
    """Section 5: a hook that leads a request to a foreign origin leads it there without the token."""
    provider, foreign = make_oauth_provider(), make_oauth_provider()
    session = make_session(provider, token=provider.issue())

    def elsewhere(request: requests.PreparedRequest) -> None:
        request.prepare_url(foreign.api_url + "trap", {})

    session.request_hooks.append(elsewhere)
    session.get("me")
    assert not foreign.requests[0].authorization


def test_response_hooks_see_the_final_response_only(provider: FakeProvider, make_session: Make) -> None:
    """A `raise_for_status` hook of the user's does not meet the refusal that is followed up."""
    session = make_session(provider, token=provider.issue())
    seen = []
    session.hooks["response"].append(lambda response, **_: seen.append(response.status_code))
    session.hooks["response"].append(lambda response, **_: response.raise_for_status())
    provider.expire()
    assert session.get("me").status_code == 200
    assert seen == [200]


def test_base_url(provider: FakeProvider, make_session: Make) -> None:
    """Section 5: URLs without a scheme are appended to the base's path, whatever they look like."""
    session = make_session(provider, token=provider.issue(), base_url=provider.api_url + "v1/")
    for url in (
        "me",
        "/me",
        "//evil.test/me",
        "a:b",
        "?q=1",
        "",
        provider.api_url + "v2/me",
        f" {provider.api_url}v2/me",
    ):
        assert session.get(url).status_code == 200
    below = ["/api/v1/me", "/api/v1/me", "/api/v1/evil.test/me", "/api/v1/a:b", "/api/v1", "/api/v1"]
    assert [seen.path for seen in provider.requests] == [*below, "/api/v2/me", "/api/v2/me"]
    assert [seen.query for seen in provider.requests] == ["", "", "", "", "q=1", "", "", ""]


def test_one_connection_each_over_many_expiries(make_oauth_provider: MakeProvider, make_session: Make) -> None:
    """`stream=True` over 200 expiries: one API connection, one token connection, even in a pool of one that blocks."""
    provider = make_oauth_provider()
    session = make_session(provider, token=provider.issue())
    session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=1, pool_block=True))
    for _ in range(200):
        provider.expire()
        with session.get("me", stream=True) as response:
            assert response.status_code == 200
            assert response.json()["path"] == "/api/me"
    assert provider.model.refresh_calls == 200
    assert (provider.api_connections, provider.token_connections) == (1, 1)


def test_auth_for_any_call(provider: FakeProvider, make_client: MakeClient) -> None:
    """`client.auth` serves a plain `requests.get`, with the same follow-up."""
    client = make_client(provider)
    client.put("customer-42", provider.issue())
    provider.expire()
    assert requests.get(provider.api_url + "me", auth=client.auth("customer-42")).status_code == 200
    assert provider.model.refresh_calls == 1


def test_mount_on_a_session_that_exists(make_oauth_provider: MakeProvider, make_client: MakeClient) -> None:
    """`mount` gives a plain session a login for exactly the prefix's origin, around the adapter that is there."""
    provider, foreign = make_oauth_provider(), make_oauth_provider()
    client = make_client(provider, origins=[foreign.url])
    client.put("customer-42", provider.issue())
    session = requests.Session()
    mount(session, provider.url, client.auth("customer-42"))
    provider.expire()
    assert session.get(provider.api_url + "me").status_code == 200
    session.get(foreign.api_url + "me")
    assert not foreign.requests[0].authorization
    with session:
        assert session.post(provider.api_url + "me", data=b"x" * 10).json()["length"] == 10


def test_token_for_other_tools(provider: FakeProvider, make_client: MakeClient) -> None:
    """`client.token` gives a token fit to send; `client.refresh` another one, shared by whoever asks meanwhile."""
    client = make_client(provider)
    client.put("g", provider.issue())
    first = client.token("g")
    assert isinstance(first, Token)
    assert client.token("g") == first
    second = client.refresh("g")
    assert second.access_token != first.access_token
    assert client.token("g") == second
    assert provider.model.refresh_calls == 1


def test_client_credentials(provider: FakeProvider, make_session: Make) -> None:
    """A client-credentials grant needs no seed and is run again when its token ends (RFC 6749 4.4.3)."""
    session = make_session(provider, grant_type="client_credentials", scope="read")
    assert session.get("me").status_code == 200
    provider.expire()
    assert session.get("me").status_code == 200
    assert (provider.model.token_calls, provider.model.refresh_calls) == (2, 0)


def test_scopes_of_client_credentials_do_not_mix(provider: FakeProvider, make_session: Make) -> None:
    """Two sessions with other scopes never share a client-credentials token."""
    one = make_session(provider, grant_type="client_credentials", scope="read")
    two = make_session(provider, grant_type="client_credentials", scope="write")
    assert one.get("me").json()["token"] != two.get("me").json()["token"]


def test_many_grants_one_client(provider: FakeProvider, make_client: MakeClient) -> None:
    """Each grant keeps its own token, and `grants` lists them in pages without secrets."""
    client = make_client(provider)
    for number in range(150):
        client.put(f"customer-{number}", provider.issue())
    tokens = {client.token(f"customer-{number}").access_token for number in range(150)}
    assert len(tokens) == 150
    listed, cursor = client.grants()
    while cursor is not None:
        page, cursor = client.grants(cursor)
        listed += page
    assert {status.grant_id for status in listed} == {f"customer-{number}" for number in range(150)}
    assert all(status.state == "live" and status.has_refresh_token for status in listed)
    assert "access-" not in repr(listed)
    assert "refresh-" not in repr(listed)


def test_equal_sessions_share_one_source(provider: FakeProvider, make_session: Make) -> None:
    """A session per task is no rival: equal settings give one source within a process."""
    seed = provider.issue()
    sessions = [make_session(provider, token=seed) for _ in range(20)]
    assert len({id(session.auth.source) for session in sessions}) == 1


def test_events_say_what_happened(provider: FakeProvider, make_session: Make) -> None:
    """Each thing that matters is told, and a callback that raises breaks nothing."""
    seen: list[Event] = []

    def listen(event: Event) -> None:
        seen.append(event)
        raise RuntimeError("a broken callback")

    session = make_session(provider, token=provider.issue(), on_event=listen)
    provider.expire()
    assert session.get("me").status_code == 200
    names = [event.name for event in seen]
    assert "refresh_ended" in names
    assert "replayed" in names


def test_the_session_is_a_requests_session(provider: FakeProvider, make_session: Make) -> None:
    """A drop-in: a `requests.Session`, usable as a context manager, with its errors below requests' own."""
    with make_session(provider, token=provider.issue()) as session:
        assert isinstance(session, requests.Session)
        assert session.get("me", params={"q": "1"}).json()["query"] == "q=1"
    assert issubclass(OAuthSessionError, requests.RequestException)
    assert isinstance(OAuthSession.__attrs__, list)
