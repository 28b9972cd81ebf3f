"""Many grants: bytes in Redis and in memory, round trips and CPU of a refresh, listing."""

from __future__ import annotations

import gc
import json
import resource
import secrets
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis

from oauth_session import OAuthClient
from oauth_session.rules import lineage, record_json
from oauth_session.rules.record import Pair
from oauth_session.stores import MemoryStore, RedisStore
from oauth_session.stores.redis_push import shard_of
from oauth_session.stores.values import GrantKey
from oauth_session.testing import FakeProvider

BATCH = 2000


def _client(provider: FakeProvider, store: Any) -> OAuthClient:
    return OAuthClient(
        token_url=provider.token_url,
        client_id=provider.client_id,
        client_secret=provider.client_secret,
        base_url=provider.api_url,
        store=store,
    )


def _response(provider: FakeProvider) -> dict[str, Any]:
    return {"access_token": secrets.token_urlsafe(300), "refresh_token": secrets.token_urlsafe(60), "expires_in": 3600}


def fill(plain: Any, client: OAuthClient, provider: FakeProvider, first: int, last: int) -> int:
    """Write grants as the store would, in batches; the bytes of their token JSON."""
    registration, sizes = client._registration, 0
    with plain.pipeline(transaction=False) as pipe:
        for number in range(first, last):
            response = _response(provider)
            sizes += len(json.dumps(response))
            name = f"customer-{number}"
            pair = Pair(response["access_token"], response["refresh_token"], issued_at=time.time(), lifetime=3600.0)
            record = lineage.begin(name, registration.identity, secrets.token_hex(8), pair)
            where = "oauth-session:" + registration.key(name).digest
            pipe.hset(where, mapping={"revision": secrets.token_hex(8), "record": record_json.dump(record)})
            if number % BATCH == 0:
                pipe.execute()
        pipe.execute()
    return sizes


def _refreshes(clients: dict[str, OAuthClient], provider: FakeProvider, count: int) -> dict[str, float]:
    """Milliseconds of a refresh for each client, in turns, refresh by refresh."""
    took: dict[str, list[float]] = {which: [] for which in clients}
    for client in clients.values():
        for number in range(count):
            client.put(f"customer-{number}", provider.issue())
    for number in range(count):
        for which in sorted(clients, reverse=bool(number % 2)):
            began = time.perf_counter()
            clients[which].refresh(f"customer-{number}")
            took[which].append(time.perf_counter() - began)
    return {which: statistics.median(times) * 1e3 for which, times in took.items()}


def _server(plain: Any, client: OAuthClient, count: int) -> dict[str, float]:
    """What a refresh costs the server: scripts, round trips of any kind, and CPU."""
    before = plain.info("all")
    for number in range(count):
        client.refresh(f"customer-{number}")
    after = plain.info("all")
    scripts = after["cmdstat_evalsha"]["calls"] - before["cmdstat_evalsha"]["calls"]
    cpu = sum(after[name] - before[name] for name in ("used_cpu_user", "used_cpu_sys"))
    trips = after["total_reads_processed"] - before["total_reads_processed"] - 1  # but for the question itself
    return {"scripts": scripts / count, "round_trips": trips / count, "server_cpu_microseconds": cpu / count * 1e6}


def in_redis(url: str, few: int, many: int, refreshes: int) -> dict[str, Any]:
    """The same refreshes beside few grants and beside many, in turn on two databases of one server."""
    found: dict[str, Any] = {}
    with FakeProvider(lifetime=3600, token_latency=0.0) as provider:
        small, large = (redis.Redis.from_url(url.rsplit("/", 1)[0] + f"/{db}") for db in (1, 2))
        clients = {"few": _client(provider, RedisStore(small)), "many": _client(provider, RedisStore(large))}
        fill(small, clients["few"], provider, 0, few)
        empty = large.info("memory")["used_memory"]
        tokens = fill(large, clients["many"], provider, 0, many)
        used = large.info("memory")["used_memory"] - empty
        found["grants"], found["bytes_per_grant"], found["token_json"] = many, used / many, tokens / many
        took = _refreshes(clients, provider, refreshes)
        for which, plain in (("few", small), ("many", large)):
            found[which] = {"milliseconds": took[which], **_server(plain, clients[which], refreshes)}
        found["ratio"] = found["many"]["milliseconds"] / found["few"]["milliseconds"]
        began, cursor, pages, listed, slowest = time.perf_counter(), None, 0, 0, 0.0
        while pages < 50:
            page_began = time.perf_counter()
            page, cursor = clients["many"].grants(cursor)
            slowest = max(slowest, time.perf_counter() - page_began)
            pages, listed = pages + 1, listed + len(page)
            if cursor is None:
                break
        found["listing"] = {
            "grants_per_second": listed / (time.perf_counter() - began),
            "slowest_page_milliseconds": slowest * 1e3,
        }
        found["parallel"] = _parallel(clients["many"], provider, many)
    return found


def _parallel(client: OAuthClient, provider: FakeProvider, many: int) -> dict[str, float]:
    """Refreshes of different grants per second, from eight threads of one process; the provider runs in it too."""
    names = [f"customer-{number}" for number in range(many - 800, many)]
    for name in names:
        client.put(name, provider.issue())
    parts = [names[number::8] for number in range(8)]

    def run(part: list[str]) -> None:
        for name in part:
            client.refresh(name)

    return {"refreshes_per_second": len(names) / _timed([lambda part=part: run(part) for part in parts])}  # type: ignore[misc]


def _timed(works: list[Callable[[], None]]) -> float:
    threads = [threading.Thread(target=work) for work in works]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - began


def push(url: str, count: int) -> dict[str, float]:
    """What a commit of somebody else's grant costs those who hear it because it shares the channel of one of theirs."""
    store = RedisStore(url)
    key, heard = GrantKey("0" * 64, "push"), Heard()
    store.watch(key, heard.told)
    give_up = time.monotonic() + 10
    while not store.is_told(key):
        assert time.monotonic() < give_up, "no push"
        time.sleep(0.01)
    script = "for _ = 1, ARGV[1] do redis.call('PUBLISH', KEYS[1], ARGV[2]) end redis.call('PUBLISH', KEYS[1], ARGV[3])"
    channel = shard_of("oauth-session:", key.digest)
    with redis.Redis.from_url(url) as plain:
        other, own = f"{'f' * 64} {secrets.token_hex(8)}", f"{key.digest} {secrets.token_hex(8)}"
        heard.event.clear()
        before, began = plain.info("cpu"), time.process_time()
        plain.eval(script, 1, channel, count, other, own)
        assert heard.event.wait(60), "the last one was not heard"
        used, after = time.process_time() - began, plain.info("cpu")
    cpu = sum(after[name] - before[name] for name in ("used_cpu_user", "used_cpu_sys"))
    return {"listener_microseconds": used / count * 1e6, "server_microseconds": cpu / count * 1e6}


class Heard:
    """A watcher."""

    def __init__(self) -> None:
        self.event = threading.Event()

    def told(self, revision: str) -> None:
        if revision:
            self.event.set()


def in_memory(count: int) -> dict[str, float]:
    """Bytes of this process for each grant of one client, of which the last thousand are warm."""
    with FakeProvider(lifetime=3600, token_latency=0.0) as provider:
        client = _client(provider, MemoryStore())
        response = _response(provider)
        client.put("first", response)
        before = _resident()
        for number in range(count):
            client.put(f"customer-{number}", response | {"access_token": secrets.token_urlsafe(300)})
        used = _resident() - before
        client.close()
    return {"grants": count, "bytes_per_grant": used / count}


def _resident() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def sealed(count: int) -> dict[str, dict[str, float]]:
    """What encryption at rest costs: bytes of a record, and CPU of a refresh, in turn."""
    from oauth_session.sealing import new

    found: dict[str, dict[str, float]] = {}
    cpu: dict[str, list[float]] = {"plain": [], "sealed": []}
    with FakeProvider(lifetime=3600, token_latency=0.0) as provider:
        settings = {
            "token_url": provider.token_url,
            "client_id": provider.client_id,
            "client_secret": provider.client_secret,
            "base_url": provider.api_url,
        }
        clients = {
            "plain": OAuthClient(**settings, store=MemoryStore()),
            "sealed": OAuthClient(**settings, store=MemoryStore(), keys=new()),
        }
        for name, client in clients.items():
            client.put("g", provider.issue())
            text = client._registration.store.load(client._registration.key("g")).text
            found[name] = {"bytes": float(len(text or ""))}
        for turn in range(9):
            for name in sorted(clients, reverse=bool(turn % 2)):
                began = time.process_time()
                for _ in range(count):
                    clients[name].refresh("g")
                cpu[name].append(time.process_time() - began)
    for name, used in cpu.items():
        found[name]["cpu_milliseconds"] = statistics.median(used) / count * 1e3
    found["ratio"] = {
        "bytes": found["sealed"]["bytes"] / found["plain"]["bytes"],
        "cpu": statistics.median(mine / base for mine, base in zip(cpu["sealed"], cpu["plain"], strict=True)),
    }
    return found
