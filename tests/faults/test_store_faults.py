"""Faults of the real server, while processes and threads are at work on a provider that forgives nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis
from conftest import MakeProvider
from support.deployments import Cluster, Sentinels
from support.proxy import Proxy
from support.servers import RedisServer, free_port, redis_binaries
from support.siege import Siege

from oauth_session.testing import FakeProvider

AOF = ("--appendfsync", "always", "--appendonly", "yes")


class Single:
    """A server behind a proxy, and what can be done to it for some seconds."""

    def __init__(self, folder: Path) -> None:
        self.server = RedisServer(redis_binaries()["valkey"], folder, *AOF)
        self.proxy = Proxy(self.server.port)

    def close(self) -> None:
        self.proxy.close()
        self.server.stop()

    def command(self, *words: object) -> None:
        with redis.Redis.from_url(self.server.url) as client:
            client.execute_command(*words)

    def restart_with_aof(self, seconds: float) -> None:
        self._restart(seconds, "yes")

    def restart_empty(self, seconds: float) -> None:
        self._restart(seconds, "no")

    def _restart(self, seconds: float, aof: str) -> None:
        self.server.kill()
        time.sleep(seconds)
        self.server.start_with("--appendonly", aof)

    def client_pause(self, seconds: float) -> None:
        self.command("CLIENT", "PAUSE", int(seconds * 1000))
        time.sleep(seconds)

    def black_hole(self, seconds: float) -> None:
        self.proxy.swallowing = True
        time.sleep(seconds)
        self.proxy.swallowing = False

    def lost_replies(self, seconds: float) -> None:
        self.proxy.loss = 0.3
        time.sleep(seconds)
        self.proxy.loss = 0.0
        assert self.proxy.lost > 5

    def read_only(self, seconds: float) -> None:
        self.command("REPLICAOF", "127.0.0.1", free_port())
        time.sleep(seconds)
        self.command("REPLICAOF", "NO", "ONE")

    def out_of_memory(self, seconds: float) -> None:
        self.command("CONFIG", "SET", "maxmemory", 1)
        time.sleep(seconds)
        self.command("CONFIG", "SET", "maxmemory", 0)

    def script_flush(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.command("SCRIPT", "FLUSH")
            time.sleep(0.2)

    def flushall(self, seconds: float) -> None:
        time.sleep(seconds / 2)  # what was logged out or replaced before is known by then
        self.command("FLUSHALL")
        time.sleep(seconds / 2)


FAULTS: dict[str, Callable[[Single, float], None]] = {
    "CLIENT PAUSE": Single.client_pause,
    "black hole": Single.black_hole,
    "lost replies": Single.lost_replies,
    "read-only": Single.read_only,
    "out of memory": Single.out_of_memory,
    "SCRIPT FLUSH": Single.script_flush,
    "FLUSHALL": Single.flushall,
    "kill -9, AOF": Single.restart_with_aof,
    "kill -9, no AOF": Single.restart_empty,
}


@pytest.fixture
def keep() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def held_up(siege: Siege) -> None:
    print(siege.report())
    wrong = siege.verdict()
    assert not wrong, "\n".join([*wrong[:40], siege.report()])


@pytest.mark.alone
@pytest.mark.timeout(120)
def test_one_fault_after_the_other(make_oauth_provider: MakeProvider, tmp_path: Path, keep: ExitStack) -> None:
    """Laws 2 to 13: no grant is lost, none comes back, no refresh is made twice, valid tokens go on, no call hangs."""
    single = Single(tmp_path)
    keep.callback(single.close)
    with Siege(make_oauth_provider(token_latency=0.1), single.proxy.url, 3, 4) as siege:
        for name, fault in FAULTS.items():
            siege.login("ended")
            with siege.fault(name):
                fault(single, 1.5)
    held_up(siege)


@pytest.mark.soak
@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", FAULTS)
def test_thirty_two_workers(make_oauth_provider: MakeProvider, tmp_path: Path, keep: ExitStack, name: str) -> None:
    """The same with 8 processes x 4 threads, for longer than a lease, and three times each."""
    single = Single(tmp_path)
    keep.callback(single.close)
    with Siege(make_oauth_provider(token_latency=0.3), single.proxy.url, 8, 4) as siege:
        for turn in range(3):
            siege.login("ended")
            with siege.fault(f"{name} {turn}"):
                FAULTS[name](single, 8.0)
    held_up(siege)


DEPLOYMENTS: list[type[Sentinels] | type[Cluster]] = [Sentinels, Cluster]


@pytest.mark.alone
@pytest.mark.timeout(120)
def test_a_failover_that_loses_a_commit(make_oauth_provider: MakeProvider, tmp_path: Path) -> None:
    """Law 11: the replica that takes over has not seen the last commits; whoever holds the newer pair writes it back."""
    providers = [make_oauth_provider(token_latency=0.1) for _ in DEPLOYMENTS]
    with ThreadPoolExecutor(len(DEPLOYMENTS)) as pool:  # side by side, since most of it is waiting
        for done in [pool.submit(fail_over, *both, tmp_path, 3) for both in zip(DEPLOYMENTS, providers, strict=True)]:
            done.result()


@pytest.mark.soak
@pytest.mark.timeout(240)
@pytest.mark.parametrize("deployment", DEPLOYMENTS)
@pytest.mark.parametrize("turn", range(3))
def test_a_failover_under_thirty_two_workers(
    make_oauth_provider: MakeProvider, tmp_path: Path, deployment: type[Sentinels] | type[Cluster], turn: int
) -> None:
    """The same with 8 processes x 4 threads."""
    fail_over(deployment, make_oauth_provider(token_latency=0.3), tmp_path, 8)


def fail_over(
    deployment: type[Sentinels] | type[Cluster], provider: FakeProvider, folder: Path, processes: int
) -> None:
    home = folder / deployment.__name__
    home.mkdir()
    with ExitStack() as keep:
        servers = deployment(redis_binaries()["valkey"], home)
        keep.callback(servers.stop)
        with Siege(provider, servers.url, processes, 4) as siege, siege.fault(f"failover, {deployment.__name__}"):
            generations = provider.model.generations

            def commits() -> None:
                while provider.model.generations < generations + 2:
                    time.sleep(0.02)
                time.sleep(0.7)  # the last one, a login and a logout are known to somebody, and to be lost

            servers.lose(commits)
            while not servers.taken_over():
                time.sleep(0.05)
        held_up(siege)
