"""Redis as people run it: the contract of stores, a refresh and its waking on each kind of it, under both protocols."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
import redis
import redis.asyncio
from conftest import MakeClient
from redis.backoff import NoBackoff
from redis.retry import Retry
from support.deployments import Cluster, Sentinels, Tls, debian_redis, plain
from support.servers import RedisServer, redis_binary

from oauth_session import ConfigurationError, StoreError
from oauth_session.stores import RedisStore, open_store
from oauth_session.stores.values import GrantKey
from oauth_session.testing import FakeProvider
from oauth_session.testing.stores import Open, StoreContract

# What the README names as enough.
RIGHTS = [
    "+@connection",
    "+hmget",
    "+hset",
    "+hget",
    "+time",
    "+evalsha",
    "+script|load",
    "+publish",
    "+subscribe",
    "+scan",
]
ACL = {"keys": ["oauth-session:*"], "commands": RIGHTS}


class Deployment(NamedTuple):
    """A kind of Redis that runs, its URL, and how a client object of the user's own is made for it."""

    url: str
    client: Callable[..., Any]
    told: bool
    flush: Callable[[], None]
    stop: Callable[[], None]


def single(binary: str, folder: Path) -> Deployment:
    server = RedisServer(binary, folder)
    return _of(server, server.url)


def restricted(folder: Path, channels: list[str]) -> Deployment:
    server = RedisServer(redis_binary("redis-6.2"), folder)
    with plain(server) as client:
        client.acl_setuser("app", enabled=True, passwords=["+s3cret"], channels=channels, reset_channels=True, **ACL)
    return _of(server, server.url.replace("//", "//app:s3cret@"), told=bool(channels))


def tls(folder: Path, native: bool) -> Deployment:
    binary, env = redis_binary("valkey"), None
    if native:
        found = debian_redis()
        if found is None:
            pytest.skip("no Debian package of a server that speaks TLS")
        binary, env = found
    front = Tls(binary, folder, native=native, env=env)
    return _of(front.server, front.url)._replace(stop=front.stop)


def sentinel(folder: Path) -> Deployment:
    servers = Sentinels(redis_binary("valkey"), folder)
    nodes = [
        (part.rpartition(":")[0], int(part.rpartition(":")[2])) for part in urlsplit(servers.url).netloc.split(",")
    ]

    def client(**options: Any) -> Any:
        return redis.Sentinel(nodes).master_for("main", **options)

    return Deployment(servers.url, client, True, lambda: _flush(servers.primary), servers.stop)


def cluster(folder: Path) -> Deployment:
    servers = Cluster(redis_binary("valkey"), folder)

    def client(**options: Any) -> Any:
        return redis.RedisCluster(host="127.0.0.1", port=servers.primary.port, **options)

    return Deployment(servers.url, client, True, lambda: _flush(servers.primary), servers.stop)


def _of(server: RedisServer, url: str, told: bool = True) -> Deployment:
    return Deployment(
        url, lambda **options: redis.Redis.from_url(url, **options), told, lambda: _flush(server), server.stop
    )


def _flush(server: RedisServer) -> None:
    with plain(server) as client:
        client.flushall()


KINDS: dict[str, Callable[[Path], Deployment]] = {
    "redis 6.2": lambda folder: single(redis_binary("redis-6.2"), folder),
    "redis 8": lambda folder: single(redis_binary("redis-8"), folder),
    "valkey 8": lambda folder: single(redis_binary("valkey-8"), folder),
    "valkey 9": lambda folder: single(redis_binary("valkey"), folder),
    "least rights": lambda folder: restricted(folder, ["oauth-session:told:*"]),
    "no channel": lambda folder: restricted(folder, []),
    "tls": lambda folder: tls(folder, native=False),
    "tls of its own": lambda folder: tls(folder, native=True),
    "sentinel": sentinel,
    "cluster": cluster,
}


@pytest.fixture(scope="module", params=KINDS)
def deployment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    found = KINDS[request.param](tmp_path_factory.mktemp("deployment"))
    yield found
    found.stop()


@pytest.fixture(params=["url", "resp2", "resp3 decoded"])
def server(deployment: Deployment, request: pytest.FixtureRequest) -> Iterator[Any]:
    """What is given as `store=`: the URL, or clients of the user's own."""
    deployment.flush()
    if request.param == "url":
        yield deployment.url
        return
    protocol = {"protocol": 2} if request.param == "resp2" else {"protocol": 3, "decode_responses": True}
    client = deployment.client(socket_timeout=2, retry=Retry(NoBackoff(), 1), **protocol)
    yield client
    client.close()


class TestContract(StoreContract):
    """On each deployment."""

    @pytest.fixture
    def open_store(self, deployment: Deployment) -> Iterator[Open]:
        deployment.flush()
        made: list[RedisStore] = []

        def open_store() -> RedisStore:
            made.append(RedisStore(deployment.url))
            return made[-1]

        yield open_store
        for store in made:
            store.close()


def test_a_refresh_and_its_waking(
    provider: FakeProvider, make_client: MakeClient, deployment: Deployment, server: Any
) -> None:
    """Two holders refresh in turn; what one commits, the other sends soon: at once where it is told, else within the bound."""
    ours, theirs = make_client(provider, store=server), make_client(provider, store=server, on_event=lambda event: None)
    ours.put("g", provider.issue())
    theirs.token("g")
    time.sleep(0.3)  # both listen
    for _ in range(3 if deployment.told else 1):
        new = ours.refresh("g").access_token
        began = time.monotonic()
        while theirs.token("g").access_token != new:
            assert time.monotonic() - began < (2.0 if deployment.told else 10.0)
            time.sleep(0.005)
        ours, theirs = theirs, ours
    provider.expire()
    assert ours.session("g").get("me").status_code == 200
    assert theirs.session("g").get("me").status_code == 200
    assert provider.model.refresh_calls == provider.model.generations == (4 if deployment.told else 2)
    assert provider.model.reuse_incidents == 0
    page, cursor = ours.grants()
    while cursor is not None:
        more, cursor = ours.grants(cursor)
        page += more
    assert {status.grant_id for status in page} == {"g"}
    ours.close()


def test_a_foreign_authority_is_refused(tmp_path: Path) -> None:
    """A certificate of an authority that nobody vouches for is a StoreError, not a connection."""
    front = Tls(redis_binary("valkey"), tmp_path, native=False)
    try:
        with pytest.raises(StoreError):
            RedisStore(front.bare_url).load(GrantKey("ab", "g"))
    finally:
        front.stop()


@pytest.mark.parametrize("kind", [redis.asyncio.Redis, redis.asyncio.RedisCluster])
def test_an_asyncio_client_is_refused(kind: Any) -> None:
    """A client whose commands must be awaited is a ConfigurationError that says what to give instead."""
    client = kind(host="127.0.0.1", port=1)
    with pytest.raises(ConfigurationError, match=r"asyncio.*redis\.Redis"):
        open_store(client)
    with pytest.raises(ConfigurationError, match="asyncio"):
        RedisStore(client)
