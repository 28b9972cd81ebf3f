"""How soon a commit is known in the other processes: with push, measured beside a plain PUBLISH; with push gone silent."""

from __future__ import annotations

import socket
import statistics
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from conftest import MakeClient
from support.crowd import crowd, settings_of
from support.ears import CHANNEL, listen
from support.proxy import Proxy
from support.servers import RedisServer, redis_binaries
from support.shaky import eventually

from oauth_session.policy import FRESHNESS
from oauth_session.rules.record import Pair
from oauth_session.stores import RedisStore, redis_push
from oauth_session.stores.values import GrantKey
from oauth_session.testing import FakeProvider


@pytest.mark.alone
@pytest.mark.parametrize(
    ("processes", "commits"),
    [
        pytest.param(2, 100, id="short"),
        pytest.param(4, 1000, id="long", marks=[pytest.mark.soak, pytest.mark.timeout(300)]),
    ],
)
def test_a_commit_is_known_in_other_processes_within_milliseconds(
    provider: FakeProvider, make_client: MakeClient, valkey_url: str, processes: int, commits: int
) -> None:
    """Law 12: from before a login's two round trips until another process would send its token: under 10 ms at the 99th
    percentile on a quiet machine, and in any case a small multiple of a plain PUBLISH and GET beside it."""
    settings = settings_of(provider, valkey_url)
    client = make_client(provider, store=valkey_url)
    client.put(provider.url, provider.issue())
    source = client.auth(provider.url).source
    began: dict[str, float] = {}
    with redis.Redis.from_url(valkey_url) as plain:
        plain.delete("listening")

        def commit() -> None:
            assert eventually(lambda: int(plain.get("listening") or 0) == processes, 40)
            time.sleep(1.0)  # what was missed before they listened is told once
            for number in range(commits):
                pair = provider.issue()
                access, refresh = pair["access_token"], pair["refresh_token"]
                began[access] = time.monotonic()
                source.put(lambda now, access=access, refresh=refresh: Pair(access, refresh))
                time.sleep(0.015)
                began[str(number)] = time.monotonic()
                plain.publish(CHANNEL, str(number))
                time.sleep(0.015)

        committer = threading.Thread(target=commit)
        committer.start()
        parts = crowd(processes, listen, settings, commits)
        committer.join()
    took: dict[str, list[float]] = {"ours": [], "raw": []}
    for kind, name, at in (entry for part in parts for entry in part):
        took[kind].append((at - began[name]) * 1000)

    def percentiles(kind: str) -> tuple[float, float, float]:
        cuts = statistics.quantiles(took[kind], n=100)
        return cuts[49], cuts[89], cuts[98]

    ours, raw = percentiles("ours"), percentiles("raw")
    print("visible, and raw, in ms at p50, p90, p99:", *([round(ms, 2) for ms in each] for each in (ours, raw)))
    # Two commits may come so close that one is never seen, above all on a machine that is busy.
    assert len(took["ours"]) > (0.95 if commits >= 1000 else 0.8) * processes * commits
    assert ours[0] < max(5.0, 6 * raw[0])
    assert ours[1] < max(10.0, 6 * raw[1])
    if commits >= 1000:  # of fewer, the 99th percentile is what else the machine did
        assert ours[2] < max(10.0, 3 * raw[2])


def test_a_grant_is_watched_while_a_subscription_is_heard_of(valkey_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that begins to watch just when the listener goes through all watchers does not end the listening."""
    store, other = RedisStore(valkey_url), GrantKey("1" * 40, "g")

    class Ear:
        def hear(self, revision: str) -> None: ...

    ear = Ear()
    for number in range(3):
        store.watch(GrantKey(f"{number:040d}", "g"), ear.hear)
    subscriber, shard_of = store._subscriber(), redis_push.shard_of
    threads = [threading.Thread(target=store.watch, args=(other, ear.hear))]

    def meanwhile(prefix: str, digest: str) -> str:
        if threads:
            threads.pop().start()
            time.sleep(0.1)
        return shard_of(prefix, digest)

    with monkeypatch.context() as patch:
        patch.setattr(redis_push, "shard_of", meanwhile)
        subscriber._hear({"type": "subscribe", "channel": "any"})
    assert eventually(lambda: store.is_told(other), 20)
    store.close()


class Muffler(Proxy):
    """A proxy before Redis whose subscriptions go silent at `silent`, while commands go on."""

    def __init__(self, target: int) -> None:
        self.silent, self._subscribed = False, set[socket.socket]()
        super().__init__(target)

    def _pump(self, source: socket.socket, sink: socket.socket, losing: threading.Event, forward: bool) -> None:
        class Tap:
            """The receiving end: bytes of a subscription vanish while it is silent."""

            def recv(tap, size: int) -> bytes:  # noqa: N805
                while data := source.recv(size):
                    if forward and b"SUBSCRIBE" in data:
                        self._subscribed |= {source, sink}
                    if not (self.silent and source in self._subscribed):
                        return data
                return b""

            def shutdown(tap, how: int) -> None:  # noqa: N805
                source.shutdown(how)

        super()._pump(Tap(), sink, losing, forward)  # type: ignore[arg-type]


@pytest.fixture
def muffler(tmp_path: Path) -> Iterator[Muffler]:
    server = RedisServer(redis_binaries()["valkey"], tmp_path)
    proxy = Muffler(server.port)
    yield proxy
    proxy.close()
    server.stop()


@pytest.mark.timeout(120)
def test_with_push_gone_silent_a_commit_is_known_within_the_bound(
    provider: FakeProvider, make_client: MakeClient, muffler: Muffler
) -> None:
    """Law 14: a push channel that becomes a black hole is noticed; whenever a process has looked last, it knows of a commit
    no later than the freshness bound after it."""
    theirs = make_client(provider, store=muffler.url)
    ours = make_client(provider, store=f"redis://127.0.0.1:{muffler.target}/0")
    grants = [f"g{number}" for number in range(10)]
    sources = []
    for grant in grants:  # one looks every half second, so that each moment of the bound is met
        ours.put(grant, provider.issue())
        sources.append(theirs.auth(grant).source)
        sources[-1].token()
        time.sleep(FRESHNESS / len(grants))
        sources[-1].token()  # what was committed before it listened, it asks for now
    assert eventually(lambda: all(source.ledger.store.is_told(source.ledger.key) for source in sources))
    muffler.silent = True
    new, began, took = {}, {}, {}
    for grant in grants:
        new[grant] = provider.issue()
        ours.put(grant, new[grant])
        began[grant] = time.monotonic()
    while len(took) < len(grants):
        for grant, source in zip(grants, sources, strict=True):
            if grant not in took and source.token().token.access_token == new[grant]["access_token"]:
                took[grant] = time.monotonic() - began[grant]
        assert time.monotonic() - min(began.values()) < 4 * FRESHNESS
        time.sleep(0.005)
    assert sorted(took.values())[len(grants) // 2] > 1.0  # nobody was told; a look may have been due just then
    assert max(took.values()) < FRESHNESS + 0.5, took


class Holder:
    """Holds a grant and is told of it."""

    def hear(self, revision: str) -> None:
        """As `Memory.told`."""


def test_one_listener_however_grants_come_and_go(valkey_url: str) -> None:
    """Law 14: when the last grant goes and the next one comes while its listener rests, one thread listens, and what it has
    subscribed to counts."""
    before = set(threading.enumerate())

    def listeners() -> int:
        return [thread.name for thread in set(threading.enumerate()) - before].count("oauth-session-push")

    store, key = RedisStore(valkey_url), GrantKey("0123456789abcdef", "g")
    holder = Holder()
    store.watch(key, holder.hear)
    assert eventually(lambda: store.is_told(key))
    del holder
    assert eventually(lambda: store._push is not None and store._push[1]._thread is None)
    holder = Holder()
    store.watch(key, holder.hear)
    time.sleep(1.0)  # longer than the pause between two connections
    assert listeners() == 1
    assert store.is_told(key)
    store.close()
    assert eventually(lambda: listeners() == 0)


def test_channels_that_nobody_needs_any_more_are_left(valkey_url: str) -> None:
    """Scale: who goes through many grants hears of those in use, not of all; who comes back to one is told again."""
    store = RedisStore(valkey_url, prefix="leaving:")
    keys = [GrantKey(f"{number:08x}" + "0" * 56, "g") for number in range(40)]
    holders = [Holder() for _ in keys]
    for key, holder in zip(keys, holders, strict=True):
        store.watch(key, holder.hear)
    with redis.Redis.from_url(valkey_url, decode_responses=True) as plain:
        channels = [redis_push.shard_of("leaving:", key.digest) for key in keys]

        def listened() -> set[str]:
            return {channel for channel, count in plain.pubsub_numsub(*channels) if count}

        assert eventually(lambda: all(map(store.is_told, keys)), 20)
        del holders[1:], holder
        assert eventually(lambda: listened() == {channels[0]}, 20)
        assert [store.is_told(key) for key in keys[:2]] == [True, False]
        store.watch(keys[1], holders[0].hear)
        assert eventually(lambda: store.is_told(keys[1]), 20)
        assert listened() == set(channels[:2])
    store.close()


def test_a_client_that_is_closed_under_the_listener(valkey_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What redis-py says when another thread has just closed its connection is a lost connection: it is made anew."""
    store, key, holder = RedisStore(valkey_url), GrantKey("fedcba9876543210", "g"), Holder()
    store.watch(key, holder.hear)
    assert eventually(lambda: store.is_told(key))
    closed = threading.Event()
    get_message = redis.client.PubSub.get_message

    def close(pubsub: redis.client.PubSub, **options: float) -> object:
        if not closed.is_set():
            closed.set()
            raise AttributeError(
                "'NoneType' object has no attribute 'readline'"
            )  # seen with redis 8.1, once in a while
        return get_message(pubsub, **options)

    monkeypatch.setattr(redis.client.PubSub, "get_message", close)
    assert closed.wait(20)
    assert eventually(lambda: store.is_told(key))
    thread = store._subscriber()._thread
    assert thread is not None
    assert thread.is_alive()
    store.close()
