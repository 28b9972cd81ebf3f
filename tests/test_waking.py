"""Waking and healing: what one process commits, the others know soon; what the store forgets, they know still."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
import redis
from conftest import Make, MakeClient, MakeProvider
from support.proxy import Proxy
from support.servers import RedisServer, redis_binaries
from support.shaky import eventually

from oauth_session import InvalidGrant, OAuthClient
from oauth_session.stores.redis_push import shard_of
from oauth_session.testing import FakeProvider


def commands(url: str) -> int:
    """How many commands the server has run, the subscriber's pings and our own asking left out."""
    with redis.Redis.from_url(url) as plain:
        stats = plain.info("commandstats")
    ignored = {
        "ping",
        "info",
        "client",
        "hello",
        "subscribe",
        "config",
        "flushall",
        "script",
        "publish",
        "hset",
        "hmget",
        "time",
    }
    return sum(s["calls"] for name, s in stats.items() if name.removeprefix("cmdstat_").split("|")[0] not in ignored)


def two(make_client: MakeClient, provider: FakeProvider, store: str) -> tuple[OAuthClient, OAuthClient]:
    """Two clients with sources of their own, as in two processes."""
    return make_client(provider, store=store), make_client(provider, store=store, on_event=lambda event: None)


def fresh(server: RedisServer) -> redis.Redis:
    return redis.Redis.from_url(server.url, decode_responses=True)


@pytest.fixture
def server(tmp_path: Path) -> Any:
    server = RedisServer(redis_binaries()["valkey"], tmp_path)
    yield server
    server.stop()


@pytest.mark.alone
def test_a_commit_is_seen_elsewhere_at_once(
    provider: FakeProvider, make_client: MakeClient, server: RedisServer
) -> None:
    """Law 12: with Redis a new login is what the other holder sends within milliseconds (median; the bound is generous)."""
    ours, theirs = two(make_client, provider, server.url)
    ours.put("g", provider.issue())
    theirs.token("g")
    time.sleep(0.3)  # both listen
    delays = []
    for _ in range(30):
        new = provider.issue()
        ours.put("g", new)
        began = time.monotonic()
        while theirs.token("g").access_token != new["access_token"]:
            assert time.monotonic() - began < 4
            time.sleep(0.0005)
        delays.append(time.monotonic() - began)
    assert sorted(delays)[15] < 0.05


def test_without_push_it_is_seen_within_the_bound(
    provider: FakeProvider, make_client: MakeClient, server: RedisServer
) -> None:
    """Law 14: under an ACL without channels writes stand, and a new login is seen within the freshness bound."""
    with fresh(server) as plain:
        plain.acl_setuser("app", enabled=True, nopass=True, keys="*", commands=["+@all"], reset_channels=True)
    url = server.url.replace("//", "//app:x@")
    ours, theirs = two(make_client, provider, url)
    ours.put("g", provider.issue())
    theirs.token("g")
    new = provider.issue()
    ours.put("g", new)
    began = time.monotonic()
    while theirs.token("g").access_token != new["access_token"]:
        assert time.monotonic() - began < 10
        time.sleep(0.02)


def test_an_ordinary_request_asks_the_store_nothing(
    provider: FakeProvider, make_client: MakeClient, server: RedisServer
) -> None:
    """Law 14: while push lives, 0 store commands per request, also beyond the freshness bound."""
    client = make_client(provider, store=server.url)
    client.put("g", provider.issue())
    session = client.session("g")
    session.get("me")
    time.sleep(0.5)
    session.get("me")
    before = commands(server.url)
    end = time.monotonic() + 6
    while time.monotonic() < end:
        session.get("me")
    assert commands(server.url) == before


def test_a_refresh_takes_few_round_trips(provider: FakeProvider, make_client: MakeClient, server: RedisServer) -> None:
    """The holder needs at most four round trips, a process that waits at most two."""
    provider.token_latency = 0.5
    ours, theirs = two(make_client, provider, server.url)
    ours.put("g", provider.issue())
    sessions = [ours.session("g"), theirs.session("g")]
    for session in sessions:
        session.get("me")
    time.sleep(0.5)
    for session in sessions:
        session.get("me")
    provider.expire()
    before = commands(server.url)
    threads = [threading.Thread(target=session.get, args=("me",)) for session in sessions]
    for thread in threads:
        thread.start()
        time.sleep(0.1)
    for thread in threads:
        thread.join()
    assert provider.model.refresh_calls == 1
    assert commands(server.url) - before <= 6


@pytest.mark.parametrize("loss", ["wiped", "rolled back"])
def test_what_the_store_forgets_is_brought_back(
    provider: FakeProvider, make_client: MakeClient, server: RedisServer, loss: str
) -> None:
    """Law 11: after a failover that lost the last commit, or a wipe, the holder's newer pair is written back."""
    client = make_client(provider, store=server.url)
    client.put("g", provider.issue())
    session = client.session("g")
    session.get("me")
    with fresh(server) as plain:
        key = plain.keys("oauth-session:*")[0]
        old = plain.hgetall(key)
        provider.expire()
        assert session.get("me").status_code == 200
        plain.delete(key)
        if loss == "rolled back":
            plain.hset(key, mapping=old)
        provider.expire()
        assert session.get("me").status_code == 200
        assert plain.hget(key, "record").count('"generation":2,"pair"') == 1
    assert provider.model.reuse_incidents == 0
    assert provider.model.refresh_calls == 2


def test_a_newer_holder_speaks_before_an_old_seed_is_used(
    provider: FakeProvider, make_session: Make, server: RedisServer
) -> None:
    """Law 11: after a wipe, a process that has only the first seed waits; the one that holds the newest pair brings it back."""
    seed = {"refresh_token": provider.issue()["refresh_token"]}
    holder = make_session(provider, token=seed, store=server.url)
    for _ in range(3):
        assert holder.get("me").status_code == 200
        provider.expire()
    assert holder.get("me").status_code == 200
    time.sleep(0.3)
    with fresh(server) as plain:
        plain.flushall()
    stop = threading.Event()

    def go_on() -> None:
        while not stop.wait(0.05):
            holder.get("me")

    thread = threading.Thread(target=go_on)
    thread.start()
    newcomer = make_session(provider, token=seed, store=server.url, on_event=lambda event: None)
    assert newcomer.get("me").status_code == 200
    stop.set()
    thread.join()
    assert provider.model.reuse_incidents == 0
    assert provider.model.grant_alive()


def test_a_logout_is_not_undone(provider: FakeProvider, make_client: MakeClient, server: RedisServer) -> None:
    """Law 11: nothing that was logged out or replaced comes back from somebody's memory."""
    ours, theirs = two(make_client, provider, server.url)
    first = provider.issue()
    ours.put("g", first)
    theirs.token("g")
    time.sleep(0.3)
    ours.forget("g")
    time.sleep(0.3)
    with pytest.raises(InvalidGrant, match="logged out"):
        theirs.token("g")
    second = provider.issue()
    ours.put("g", second)
    time.sleep(0.3)
    assert theirs.token("g").access_token == second["access_token"]


def test_the_listener_ends_with_its_grants(
    make_oauth_provider: MakeProvider, make_session: Make, server: RedisServer
) -> None:
    """No thread lives while nothing is watched."""
    before = threading.enumerate()
    provider = make_oauth_provider()
    session = make_session(provider, token=provider.issue(), store=server.url)
    session.get("me")
    fresh = [t for t in threading.enumerate() if t.name == "oauth-session-push" and t not in before]
    assert len(fresh) == 1
    session.auth.source.ledger.store.close()
    fresh[0].join(5)
    assert not fresh[0].is_alive()


def test_a_store_that_is_away_at_the_commit(
    provider: FakeProvider, make_client: MakeClient, server: RedisServer
) -> None:
    """Law 10: the new token is used at once, the pair is kept in memory, and committed when the store is back."""
    events: list[str] = []
    client = make_client(provider, store=server.url, on_event=lambda event: events.append(event.name))
    client.put("g", provider.issue())
    session = client.session("g")
    session.get("me")
    provider.token_latency = 1.5
    provider.expire()
    threading.Timer(0.7, server.pause).start()
    began = time.monotonic()
    assert session.get("me").status_code == 200
    assert time.monotonic() - began < 6
    assert eventually(lambda: "unpersisted" in events)
    assert session.get("me").status_code == 200
    server.resume()
    end = time.monotonic() + 10
    while True:
        with fresh(server) as plain:
            if '"generation":1' in plain.hget(plain.keys("oauth-session:*")[0], "record"):
                break
        assert time.monotonic() < end
        time.sleep(0.1)
    provider.token_latency = 0.0
    provider.expire()
    assert session.get("me").status_code == 200
    assert provider.model.reuse_incidents == 0
    assert provider.model.refresh_calls == 2


def test_a_valid_token_outlives_its_store(provider: FakeProvider, make_client: MakeClient, server: RedisServer) -> None:
    """Law 13: with the store down a valid token goes on being used, and no request waits for the store for long."""
    client = make_client(provider, store=server.url)
    client.put("g", provider.issue())
    session = client.session("g")
    session.get("me")
    server.kill()
    end = time.monotonic() + 8
    slowest = 0.0
    while time.monotonic() < end:
        began = time.monotonic()
        assert session.get("me").status_code == 200
        slowest = max(slowest, time.monotonic() - began)
        time.sleep(0.02)
    assert slowest < 5
    provider.expire()
    assert session.get("me").status_code == 401  # nothing is refreshed without a claim
    assert provider.model.refresh_calls == 0


def test_what_was_committed_while_nobody_heard_is_found(
    provider: FakeProvider, make_client: MakeClient, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Law 12: who has subscribed again looks again, also at a grant that it has never written; nothing else tells it."""
    ours, theirs = make_client(provider, store=server.url), make_client(provider, store=server.url + "?client_name=b")
    ours.put("g", provider.issue())
    session = theirs.session("g")  # a source lives no longer than who uses it
    theirs.token("g")
    ledger = session.auth.source.ledger
    end = time.monotonic() + 5
    while not ledger.store.is_told(ledger.key):
        assert time.monotonic() < end
        time.sleep(0.02)
    time.sleep(0.1)  # and what it was told at first has been said
    theirs.token("g")
    subscriber = ledger.store._subscriber()
    with monkeypatch.context() as deaf:
        deaf.setattr(subscriber, "_hear", lambda message: None)
        new = provider.issue()
        ours.put("g", new)
        time.sleep(0.3)
        assert theirs.token("g").access_token != new["access_token"]
    subscriber._hear({"type": "subscribe", "channel": shard_of("oauth-session:", ledger.key.digest)})
    assert theirs.token("g").access_token == new["access_token"]


def test_a_holder_that_was_cut_off_speaks_before_its_lapsed_lease_is_taken_over(
    make_oauth_provider: MakeProvider, make_client: MakeClient, server: RedisServer
) -> None:
    """Laws 5 and 10: the holder lives, with a pair that it cannot commit; who finds its lease lapsed lets it speak first."""
    provider, proxy = make_oauth_provider(), Proxy(server.port)
    ours, theirs = make_client(provider, store=proxy.url), make_client(provider, store=server.url)
    ours.put("g", provider.issue())
    sessions = ours.session("g"), theirs.session("g")
    for session in sessions:
        assert session.get("me").status_code == 200
    provider.token_latency = 0.6
    provider.expire()
    began = time.monotonic()
    threading.Timer(0.3, lambda: setattr(proxy, "swallowing", True)).start()
    assert sessions[0].get("me").status_code == 200  # with what nobody else has
    time.sleep(began + 5.6 - time.monotonic())
    threading.Timer(0.3, lambda: setattr(proxy, "swallowing", False)).start()
    assert sessions[1].get("me").status_code == 200
    assert sessions[0].get("me").status_code == 200
    assert provider.model.reuse_incidents == 0
    assert provider.model.refresh_calls == 1
    proxy.close()
