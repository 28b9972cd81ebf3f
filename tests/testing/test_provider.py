"""The provider over a real socket, asked with plain requests."""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from support.person import Person

from oauth_session import LoginFailed, OAuthClient
from oauth_session.stores import MemoryStore
from oauth_session.testing import Answer, FakeProvider
from oauth_session.tokens import fingerprint


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    with FakeProvider() as provider:
        yield provider


def refresh(provider: FakeProvider, token: str, session: requests.Session | None = None) -> requests.Response:
    auth = (provider.client_id, str(provider.client_secret))
    form = {"grant_type": "refresh_token", "refresh_token": token}
    post = session.post if session else requests.post
    return post(provider.token_url, data=form, auth=auth, timeout=10)


def bearer(pair: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {pair['access_token']}"}


def get(provider: FakeProvider, path: str, pair: dict[str, Any], **arguments: Any) -> requests.Response:
    return requests.get(provider.api_url + path, headers=bearer(pair), timeout=10, **arguments)


def test_refresh_and_reuse(provider: FakeProvider) -> None:
    """A refresh over the wire rotates; the old token again revokes the family, the access token included."""
    first = provider.issue()
    second = refresh(provider, first["refresh_token"]).json()
    assert get(provider, "me", second).status_code == 200
    answer = refresh(provider, first["refresh_token"])
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    assert get(provider, "me", second).status_code == 401
    assert provider.counters() == {
        "token_requests": 2,
        "token_calls": 2,
        "refresh_calls": 2,
        "generations": 1,
        "reuse_incidents": 1,
        "client_credentials_calls": 0,
        "api_requests": 2,
        "api_refusals": 1,
        "token_connections": 2,
        "api_connections": 2,
        "grant_alive": False,
    }


@pytest.mark.parametrize(
    ("grace", "good", "generations", "alive"),
    [("none", 1, 1, False), ("same_pair", 2, 1, True), ("new_pair", 2, 2, True), ("newest_only", 2, 2, True)],
)
def test_two_threads_present_one_token(grace: Any, good: int, generations: int, alive: bool) -> None:
    """Two refreshes at once with one token: without grace one wins and the family dies, with grace both win."""
    with FakeProvider(grace=grace, token_latency=0.2) as provider, ThreadPoolExecutor(2) as pool:
        token = provider.issue()["refresh_token"]
        barrier = threading.Barrier(2)

        def present(_: int) -> int:
            barrier.wait()
            return refresh(provider, token).status_code

        assert sorted(pool.map(present, range(2))) == [200] * good + [400] * (2 - good)
        assert provider.model.presented[fingerprint(token)] == 2
        assert (provider.model.generations, provider.model.grant_alive()) == (generations, alive)
        assert provider.model.reuse_incidents == (not alive)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_api_echo(provider: FakeProvider, method: str) -> None:
    """The API tells what it received: method, path, query, type, length and digest of the body, and which token."""
    pair = provider.issue()
    body = bytes(range(256)) * 1000
    answer = requests.request(
        method,
        provider.api_url + "a/b?x=1&x=2",
        data=body,
        headers={**bearer(pair), "Content-Type": "application/x-odd"},
        timeout=10,
    )
    assert answer.json() == {
        "method": method,
        "path": "/api/a/b",
        "query": "x=1&x=2",
        "sha256": hashlib.sha256(body).hexdigest(),
        "length": len(body),
        "content_type": "application/x-odd",
        "token": fingerprint(pair["access_token"]),
    }


def test_chunked_and_empty_bodies(provider: FakeProvider) -> None:
    """A generator's chunks arrive whole, and the connection stays in step for the next request."""
    pair = provider.issue()
    with requests.Session() as session:
        session.headers.update(bearer(pair))
        chunks = session.post(provider.api_url, data=iter([b"ab", b"c" * 70_000, b"d"]), timeout=10).json()
        assert chunks["length"] == 70_003
        assert chunks["sha256"] == hashlib.sha256(b"ab" + b"c" * 70_000 + b"d").hexdigest()
        assert session.post(provider.api_url, timeout=10).json()["length"] == 0
        head = session.head(provider.api_url, timeout=10)
        assert head.status_code == 200 and head.content == b""
        assert session.get(provider.api_url, timeout=10).status_code == 200
    assert provider.api_connections == 1


def test_refusals(provider: FakeProvider) -> None:
    """Each style of refusal looks as named, and an own one is told the verdict."""
    pair = provider.issue()
    assert requests.get(provider.api_url, timeout=10).headers["WWW-Authenticate"] == "Bearer"
    provider.expire()
    challenge = get(provider, "me", pair)
    assert challenge.status_code == 401 and 'error="invalid_token"' in challenge.headers["WWW-Authenticate"]
    provider.refusal = "bare401"
    bare = get(provider, "me", pair)
    assert (bare.status_code, bare.content) == (401, b"") and "WWW-Authenticate" not in bare.headers
    provider.refusal = "403"
    assert get(provider, "me", pair).json()["errors"][0]["details"] == "access token expired"
    assert get(provider, "me", pair).status_code == 403
    provider.refusal = "body"
    assert (get(provider, "me", pair).status_code, get(provider, "me", pair).json()["ok"]) == (200, False)
    provider.refusal = lambda verdict: Answer(498, {"X-Why": verdict}, b"no")
    assert (get(provider, "me", pair).status_code, get(provider, "me", pair).headers["X-Why"]) == (498, "expired")
    provider.revoke()
    assert get(provider, "me", pair).headers["X-Why"] == "revoked"
    assert provider.api_requests == provider.api_refusals == 10


def test_forbidden(provider: FakeProvider) -> None:
    """The forbidden area refuses a good token as it is told to, and a bad token like the rest of the API."""
    pair = provider.issue()
    assert get(provider, "forbidden/x", pair).status_code == 403
    provider.forbidden = Answer(401, {"WWW-Authenticate": 'Bearer error="insufficient_scope"'}, b"")
    assert "insufficient_scope" in get(provider, "forbidden", pair).headers["WWW-Authenticate"]
    provider.expire()
    assert "invalid_token" in get(provider, "forbidden", pair).headers["WWW-Authenticate"]


def test_redirect_and_slow(provider: FakeProvider) -> None:
    """Redirects go where they are told, for anybody at the root and for a good token below /api; slow is slow."""
    pair = provider.issue()
    there = requests.get(provider.url + "/redirect?to=http://x.test/%3Fa&status=307", allow_redirects=False, timeout=10)
    assert (there.status_code, there.headers["Location"]) == (307, "http://x.test/?a")
    inside = get(provider, "redirect?to=/api/me", pair)
    assert inside.json()["path"] == "/api/me" and inside.history[0].status_code == 302
    assert requests.get(provider.api_url + "redirect?to=/", timeout=10).status_code == 401
    start = time.monotonic()
    assert requests.get(provider.url + "/slow?seconds=0.2", timeout=10).status_code == 200
    assert time.monotonic() - start >= 0.2
    assert requests.get(provider.url + "/elsewhere", timeout=10).status_code == 404


def test_slow_judges_on_arrival(provider: FakeProvider) -> None:
    """A token that is replaced while a slow request waits is refused late, as it was judged on arrival."""
    pair = provider.issue()
    provider.expire()
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(get, provider, "slow?seconds=0.3", pair)
        refresh(provider, pair["refresh_token"])
        assert not late.done()
        assert late.result().status_code == 401


@pytest.mark.parametrize("kind", ["503", "500", "429", "wrong_type", "html_200", "html_error", "empty", "error_200"])
def test_answers_that_spend_nothing(provider: FakeProvider, kind: str) -> None:
    """A replaced answer comes as often as asked for, the server does nothing, and then all is as before."""
    expected: dict[str, Any] = {
        "503": lambda r: r.status_code == 503,
        "500": lambda r: r.status_code == 500 and r.content == b"",
        "429": lambda r: r.status_code == 429 and r.headers["Retry-After"] == "7",
        "wrong_type": lambda r: r.status_code == 200 and isinstance(r.json(), list),
        "html_200": lambda r: r.status_code == 200 and r.headers["Content-Type"] == "text/html",
        "html_error": lambda r: r.status_code == 502 and b"<html>" in r.content,
        "empty": lambda r: r.status_code == 200 and r.content == b"",
        "error_200": lambda r: r.status_code == 200 and r.json()["error"],
    }
    token = provider.issue()["refresh_token"]
    provider.fault(kind, times=2, retry_after=7 if kind == "429" else None)
    for _ in range(2):
        assert expected[kind](refresh(provider, token))
    assert provider.model.refresh_calls == 0
    assert refresh(provider, token).json()["refresh_token"]
    assert (provider.token_requests, provider.model.refresh_calls, provider.model.generations) == (3, 1, 1)


def test_own_fault_and_processing(provider: FakeProvider) -> None:
    """Any answer can be a fault, and a fault can be told to spend the refresh token all the same."""
    token = provider.issue()["refresh_token"]
    provider.fault((418, {"X-Odd": "1"}, b"teapot"), processed=True, retry_after="soon")
    answer = refresh(provider, token)
    assert (answer.status_code, answer.headers["X-Odd"], answer.headers["Retry-After"]) == (418, "1", "soon")
    assert provider.model.generations == 1
    assert refresh(provider, token).json()["error"] == "invalid_grant"
    with pytest.raises(ValueError, match="unknown fault"):
        provider.fault("504?")
    provider.fault("429")
    assert refresh(provider, token).headers["Retry-After"] == "1"
    provider.fault("503", times=5)
    provider.clear_faults()
    assert refresh(provider, token).status_code == 400


def test_drop_before(provider: FakeProvider) -> None:
    """drop_before closes without an answer and the refresh token is unspent."""
    token = provider.issue()["refresh_token"]
    provider.fault("drop_before")
    with pytest.raises(requests.ConnectionError):
        refresh(provider, token)
    assert (provider.model.generations, provider.requests[-1].status) == (0, None)
    assert refresh(provider, token).status_code == 200


def test_drop_after(provider: FakeProvider) -> None:
    """drop_after rotates and closes without an answer: the same token again is reuse."""
    token = provider.issue()["refresh_token"]
    provider.fault("drop_after")
    with pytest.raises(requests.ConnectionError):
        refresh(provider, token)
    assert provider.model.generations == 1 and provider.model.grant_alive()
    assert refresh(provider, token).status_code == 400
    assert provider.model.reuse_incidents == 1


def test_truncated_and_cut(provider: FakeProvider) -> None:
    """truncated is half the JSON in a whole answer, cut is an answer that ends too early; both spent the token."""
    provider.fault("truncated")
    half = refresh(provider, provider.issue()["refresh_token"])
    assert half.status_code == 200 and half.text.startswith('{"access_token"')
    with pytest.raises(requests.JSONDecodeError):
        half.json()
    provider.fault("cut")
    with pytest.raises(requests.exceptions.ChunkedEncodingError):  # ended, not timed out
        refresh(provider, provider.issue()["refresh_token"])
    assert provider.model.generations == 2


def test_drip(provider: FakeProvider) -> None:
    """A dripping answer outlasts a socket timeout that is longer than the gap between its bytes."""
    token = provider.issue()["refresh_token"]
    provider.fault("drip", interval=0.005)
    start = time.monotonic()
    form = {"grant_type": "refresh_token", "refresh_token": token}
    auth = (provider.client_id, str(provider.client_secret))
    answer = requests.post(provider.token_url, data=form, auth=auth, timeout=(5, 5))
    assert answer.json()["refresh_token"] and time.monotonic() - start > 0.005 * len(answer.content)


def test_token_endpoint_is_strict(provider: FakeProvider) -> None:
    """Only POST, and a repeated parameter is an invalid request that spends nothing."""
    token = provider.issue()["refresh_token"]
    assert requests.get(provider.token_url, timeout=10).status_code == 405
    form = [("grant_type", "refresh_token"), ("refresh_token", token), ("refresh_token", token)]
    auth = (provider.client_id, str(provider.client_secret))
    assert requests.post(provider.token_url, data=form, auth=auth, timeout=10).json()["error"] == "invalid_request"
    assert provider.model.generations == 0


def test_records(provider: FakeProvider) -> None:
    """Each request is recorded with headers, token and connection, and no secret shows in the records' repr."""
    pair = provider.issue()
    with requests.Session() as session:
        session.get(provider.api_url + "me?secret=in-the-query", headers={**bearer(pair), "X-A": "b"}, timeout=10)
        session.get(provider.api_url + "me", timeout=10)
        refresh(provider, pair["refresh_token"], session)
    mine, bare, token = provider.requests
    assert (mine.method, mine.path, mine.query, mine.status) == ("GET", "/api/me", "secret=in-the-query", 200)
    assert (mine.token, mine.authorization) == (fingerprint(pair["access_token"]), True)
    assert mine.headers["x-a"] == "b"
    assert (bare.token, bare.authorization, bare.status) == (None, False, 401)
    assert (token.path, token.form["grant_type"], token.token, token.authorization) == (
        "/token",
        "refresh_token",
        None,
        True,
    )
    assert mine.connection == bare.connection == token.connection
    assert (provider.api_connections, provider.token_connections) == (1, 1)
    secrets = [*pair.values(), provider.client_secret, "in-the-query"]
    shown = repr(provider.requests) + repr(provider) + repr(provider.model)
    assert not [s for s in secrets if isinstance(s, str) and s != "Bearer" and s in shown]


def test_injected_clock() -> None:
    """Expiry follows the injected clock, at once and in both directions."""
    now = [1_700_000_000.0]
    with FakeProvider(lifetime=10, clock=lambda: now[0]) as provider:
        pair = provider.issue()
        for moment, status in ((9, 200), (10, 401), (5, 200)):
            now[0] = 1_700_000_000.0 + moment
            assert get(provider, "me", pair).status_code == status


def test_latency_can_change_while_it_runs(provider: FakeProvider) -> None:
    """token_latency and api_latency take effect at the next request."""
    pair = provider.issue()
    provider.token_latency = provider.api_latency = 0.2
    start = time.monotonic()
    assert get(provider, "me", pair).status_code == 200
    between = time.monotonic()
    assert refresh(provider, pair["refresh_token"]).status_code == 200
    assert between - start >= 0.2 and time.monotonic() - between >= 0.2


def test_hang_up_and_close(provider: FakeProvider) -> None:
    """hang_up ends idle connections and serves on; close frees the port, interrupts the slow, and may come twice."""
    pair = provider.issue()
    with socket.create_connection(("127.0.0.1", int(provider.url.rpartition(":")[2])), timeout=10) as idle:
        idle.sendall(b"GET /elsewhere HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle.recv(65536).startswith(b"HTTP/1.1 404 Not Found\r\n")
        provider.hang_up()
        assert idle.recv(1) == b""
    with requests.Session() as session, ThreadPoolExecutor(1) as pool:
        assert session.get(provider.api_url + "me", headers=bearer(pair), timeout=10).status_code == 200
        slow = pool.submit(get, provider, "slow?seconds=9", pair)
        while provider.api_requests < 2:
            time.sleep(0.01)
        start = time.monotonic()
        provider.close()
        provider.close()
        assert isinstance(slow.exception(), requests.ConnectionError)
        assert time.monotonic() - start < 5
        with pytest.raises(requests.ConnectionError):
            session.get(provider.api_url + "me", headers=bearer(pair), timeout=3)
    with pytest.raises(requests.ConnectionError):
        get(provider, "me", pair)


def test_many_clients(provider: FakeProvider) -> None:
    """Sixteen threads with keep-alive: no request is lost, none counted twice, one connection each."""
    pair = provider.issue()

    def work(_: int) -> int:
        with requests.Session() as session:
            session.headers.update(bearer(pair))
            return sum(session.get(provider.api_url + "me", timeout=30).status_code == 200 for _ in range(25))

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(work, range(16))) == 400
    assert (provider.api_requests, provider.api_refusals, provider.api_connections) == (400, 0, 16)


def test_two_providers_share_nothing() -> None:
    """Two providers of one test issue different tokens and refuse each other's."""
    with FakeProvider() as one, FakeProvider() as two:
        pair = one.issue()
        assert pair["access_token"] != two.issue()["access_token"]
        assert (get(one, "me", pair).status_code, get(two, "me", pair).status_code) == (200, 401)


def test_wrong_arguments() -> None:
    """A misspelt refusal or rule is an error, and nothing is left listening."""
    before = threading.active_count()
    for wrong in ({"refusal": "401"}, {"grace": "some"}):
        with pytest.raises(ValueError):
            FakeProvider(**wrong)  # type: ignore[arg-type]
    assert threading.active_count() == before


@pytest.fixture
def login(provider: FakeProvider) -> Iterator[OAuthClient]:
    client = OAuthClient(
        issuer=provider.url,
        client_id=provider.client_id,
        client_secret=provider.client_secret,
        base_url=provider.api_url,
        store=MemoryStore(),
    )
    yield client
    client.close()


def test_a_person_logs_in_on_its_page(provider: FakeProvider, login: OAuthClient) -> None:
    """The page asks, Allow sends the browser back with a code, and the code buys a grant that can be revoked."""
    asked = login.authorize_url("http://127.0.0.1/callback", scope="read")
    login.exchange("one", Person().visit(asked.url), asked.pending)
    with login.session("one") as session:
        provider.expire()
        assert session.get("me").ok
    assert (provider.model.refresh_calls, login.token("one").scope) == (1, "read")
    login.revoke("one")
    assert not provider.model.grant_alive()


def test_consent_without_a_browser(provider: FakeProvider, login: OAuthClient) -> None:
    """`consent` decides as the page does; a code buys once, and the second time costs the grant."""
    asked = login.authorize_url("http://127.0.0.1/callback")
    back = provider.consent(asked.url)
    login.exchange("one", back, asked.pending)
    assert provider.model.grant_alive()
    with pytest.raises(LoginFailed, match="used before"):
        login.exchange("one", back, asked.pending)
    assert not provider.model.grant_alive()
    denied = login.authorize_url("http://127.0.0.1/callback")
    page = Person(consents=False).visit(denied.url)
    assert parse_qs(urlsplit(page).query)["error"] == ["access_denied"]
    with pytest.raises(LoginFailed, match="denied"):
        login.exchange("two", provider.consent(denied.url, allow=False), denied.pending)


def test_a_code_is_bound(provider: FakeProvider, login: OAuthClient) -> None:
    """A code buys nothing with another redirect_uri or verifier, nor after a minute; none is given without PKCE."""
    now = [1000.0]
    provider._clock = lambda: now[0]
    asked = login.authorize_url("http://127.0.0.1/callback")
    for changed, wrong in (
        ({"redirect_uri": "http://127.0.0.1/other"}, "redirect_uri"),
        ({"code_verifier": "x" * 43}, "verifier"),
    ):
        with pytest.raises(LoginFailed, match=wrong):
            login.exchange("one", provider.consent(asked.url), {**asked.pending, **changed})
    back = provider.consent(asked.url)
    now[0] += 60
    with pytest.raises(LoginFailed, match="expired"):
        login.exchange("one", back, asked.pending)
    bare = f"{provider.url}/authorize?response_type=code&client_id={provider.client_id}&redirect_uri=http://127.0.0.1/"
    assert "error=invalid_request" in provider.consent(bare)
    for wrong_url in (
        bare.replace("client_id=", "client_id=not-"),
        bare.replace("redirect_uri=http://", "redirect_uri="),
    ):
        page = requests.get(wrong_url, timeout=10, allow_redirects=False)
        assert (page.status_code, page.is_redirect) == (400, False)


def test_the_page_escapes(provider: FakeProvider) -> None:
    """What a request brings stands in the page as text."""
    query = {
        "client_id": provider.client_id,
        "redirect_uri": "http://127.0.0.1/",
        "scope": "<script>",
        "state": '"><script>',
    }
    page = requests.get(provider.url + "/authorize", params=query, timeout=10)
    assert page.status_code == 200
    assert "<script" not in page.text and "&lt;script&gt;" in page.text
