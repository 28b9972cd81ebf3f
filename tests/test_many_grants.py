"""One registration, one pool, any number of grants."""

from __future__ import annotations

import gc
import pickle
import threading
import time
import tracemalloc
from pathlib import Path
from timeit import timeit

import pytest
import redis
import requests
from conftest import Make, MakeClient, MakeProvider

from oauth_session import policy
from oauth_session.stores import MemoryStore
from oauth_session.testing import FakeProvider


class Counting(MemoryStore):
    """A store that says how often it is looked at; `shared`, as Redis is."""

    shared = True

    def __init__(self) -> None:
        super().__init__()
        self.loads = 0

    def load(self, key):  # type: ignore[no-untyped-def]
        self.loads += 1
        return super().load(key)


def test_a_door_per_request_costs_no_look(provider: FakeProvider, make_client: MakeClient) -> None:
    """`client.auth(grant_id)` per request, held by nobody, does not ask the store again and again."""
    store = Counting()
    client = make_client(provider, store=store)
    client.put("g", provider.issue())
    requests.get(provider.api_url + "me", auth=client.auth("g")).raise_for_status()
    before = store.loads
    for _ in range(20):
        requests.get(provider.api_url + "me", auth=client.auth("g")).raise_for_status()
    assert store.loads - before <= 1  # the freshness bound, if the machine is slow


def test_a_door_per_request_costs_next_to_nothing(provider: FakeProvider, make_client: MakeClient) -> None:
    """Making the door takes a small part of what requests takes to prepare a request."""
    client = make_client(provider)
    session, request = requests.Session(), requests.Request("GET", provider.api_url + "me")
    client.auth("g")
    door = min(timeit(lambda: client.auth("g"), number=300) for _ in range(5))
    prepare = min(timeit(lambda: session.prepare_request(request), number=300) for _ in range(5))
    assert door < prepare / 4


def test_what_is_kept_is_bounded(
    provider: FakeProvider, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The grants used last stay in memory; one that was dropped comes back from the store, without a refresh."""
    monkeypatch.setattr("oauth_session.client.RECENT", 10)
    client = make_client(provider)
    for number in range(30):
        client.put(f"g{number}", provider.issue())
    client.token("g20")  # used again, so kept
    for number in range(30, 39):
        client.put(f"g{number}", provider.issue())
    assert list(client._recent) == ["g20", *(f"g{number}" for number in range(30, 39))]
    assert client.token("g0").access_token != client.token("g1").access_token
    assert provider.model.refresh_calls == 0


@pytest.mark.parametrize(
    ("recent", "times"), [(100, 4), pytest.param(policy.RECENT, 99, marks=[pytest.mark.soak, pytest.mark.timeout(900)])]
)
def test_memory_is_bounded(
    provider: FakeProvider,
    make_client: MakeClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    recent: int,
    times: int,
) -> None:
    """Grants that pass by leave nothing behind: beyond the bound memory does not grow, and each kept one takes a few KB."""
    monkeypatch.setattr("oauth_session.client.RECENT", recent)
    client = make_client(provider, store=f"sqlite:///{tmp_path}/grants.db")
    token = {"access_token": "a" * 40, "refresh_token": "r" * 40, "expires_in": 3600}
    client.put("first", token)
    gc.collect()
    tracemalloc.start(1)
    try:
        for number in range(recent):
            client.put(f"g{number}", token)
        gc.collect()
        full = tracemalloc.get_traced_memory()[0]
        for number in range(recent, recent * (times + 1)):
            client.put(f"g{number}", token)
        gc.collect()
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert client.auth(f"g{number}").source.held() is not None
    assert full / recent < 6_000  # bytes
    assert after < 1.2 * full


def test_a_thousand_sessions_share_one_of_each(provider: FakeProvider, make_session: Make, valkey_url: str) -> None:
    """1,000 sessions with equal settings: one source, one store with its pool, one listener, a handful of connections."""
    seed = provider.issue()
    sessions = [make_session(provider, token=seed, store=valkey_url, grant_id=provider.url) for _ in range(1000)]
    for session in sessions[::100]:
        assert session.get("me").ok
    sources = {id(session.auth.source) for session in sessions}
    stores = {id(session.auth.source.ledger.store) for session in sessions}
    listeners = [thread for thread in threading.enumerate() if thread.name == "oauth-session-push"]
    with redis.Redis.from_url(valkey_url) as plain:
        connections = len(plain.client_list()) - 1
    assert (len(sources), len(stores), len(listeners)) == (1, 1, 1)
    assert connections <= 4
    provider.expire()
    assert all(session.get("me").ok for session in sessions[::200])
    assert provider.model.refresh_calls == 1


def test_refreshes_of_different_grants_run_in_parallel(
    make_oauth_provider: MakeProvider, make_client: MakeClient
) -> None:
    """Ten grants that end together are renewed at the same time, over connections of one pool: no lock is common to them."""
    provider = make_oauth_provider(token_latency=0.5)
    client = make_client(provider)
    names = [f"g{number}" for number in range(10)]
    for name in names:
        client.put(name, provider.issue())
    provider.expire()
    answers: list[int] = []

    def call(name: str) -> None:
        answers.append(requests.get(provider.api_url + "me", auth=client.auth(name)).status_code)

    threads = [threading.Thread(target=call, args=(name,)) for name in names]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 10
    assert time.monotonic() - began < 10 * 0.5 * 0.8
    assert provider.model.refresh_calls == 10
    assert len({client.auth(name).source.endpoint for name in names}) == 1
    provider.expire()
    for name in names[:3]:
        call(name)
    assert provider.token_connections <= 10


def test_nobody_refreshes_for_the_absent(make_oauth_provider: MakeProvider, make_client: MakeClient) -> None:
    """A grant that nobody uses is left alone when its token ends."""
    provider = make_oauth_provider(lifetime=0.5)
    client = make_client(provider)
    for name in ("used", "idle"):
        client.put(name, provider.issue())
        client.token(name)
    for _ in range(4):
        time.sleep(0.3)
        client.token("used")
    statuses, _ = client.grants()
    assert {status.grant_id: status.generation > 0 for status in statuses} == {"used": True, "idle": False}


def test_a_client_travels(provider: FakeProvider, make_client: MakeClient, tmp_path: Path) -> None:
    """A client is pickled as its settings; its grants come from the store again."""
    client = make_client(provider, store=f"sqlite:///{tmp_path}/grants.db")
    client.put("g", provider.issue())
    again = pickle.loads(pickle.dumps(client))
    assert requests.get(provider.api_url + "me", auth=again.auth("g")).ok
