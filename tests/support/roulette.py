"""Rounds in which workers of a grant are killed or frozen at random moments around a refresh."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import requests

from oauth_session import OAuthSession
from oauth_session.policy import LEASE, PROBATION

PROGRAM = Path(__file__).parent / "doomed.py"
PATIENCE = 60.0  # seconds until everything must be well again


class Worker:
    """A process that calls the API; `said` counts its answers."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.said: Counter[str] = Counter()
        env = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        command = [sys.executable, str(PROGRAM), json.dumps(settings)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def end(self) -> None:
        self._process.kill()
        self._process.wait(10)
        self._reader.join(10)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self.said[line.strip()] += 1


class Lane:
    """One grant, its workers, and the caller's own session on it.

    Args:
        settings: of a session, as they travel to another process.
        expire: makes a refresh happen soon.
        moment: from and to, in seconds after `expire`: when the shot falls.
        alive: whether the provider would go on with the grant.
    """

    def __init__(
        self,
        settings: dict[str, Any],
        expire: Callable[[], None],
        moment: tuple[float, float],
        alive: Callable[[], bool],
        workers: int,
        seed: str,
    ) -> None:
        self._settings, self._expire, self._moment, self._alive = settings, expire, moment, alive
        self._random = random.Random(seed)
        self._session = OAuthSession(**settings)
        store = str(settings["store"])
        self._file = store.removeprefix("sqlite:///") if store.startswith("sqlite:") else None
        self._count, self._workers = workers, [Worker(settings) for _ in range(workers)]
        self.ends: Counter[str] = Counter()
        self.shots: Counter[str] = Counter()

    def play(self, rounds: int) -> None:
        """So many rounds; raises if the grant is lost, or not well soon after a shot."""
        try:
            for _ in range(rounds):
                self._round()
        finally:
            for worker in self._workers:
                self._retire(worker)
            self._session.close()

    def _round(self) -> None:
        self._well()
        victims = self._random.sample(self._workers, self._random.randint(1, self._count))
        freeze = self._random.random() < 0.5
        if self.shots:
            time.sleep(PROBATION)  # the last round's refresh may have been for a refusal
        self._expire()
        time.sleep(self._random.uniform(*self._moment))
        self.shots["frozen" if freeze else "killed"] += 1
        if freeze:
            for victim in victims:
                victim.signal(signal.SIGSTOP)
            thawing = time.monotonic() + LEASE + 1.0
            self._call_or_locked()
            time.sleep(max(0.0, thawing - time.monotonic()))
            for victim in victims:
                victim.signal(signal.SIGCONT)
        else:
            for victim in victims:
                victim.signal(signal.SIGKILL)
                self._retire(victim)
            self._workers = [w for w in self._workers if w not in victims]
            self._workers += [Worker(self._settings) for _ in victims]
        self._well()
        assert self._alive()

    def _well(self) -> None:
        """Everybody gets a 200 from now on."""
        before = [worker.said["200"] for worker in self._workers]
        self._call(PATIENCE)
        end = time.monotonic() + PATIENCE
        while any(worker.said["200"] <= count for worker, count in zip(self._workers, before, strict=True)):
            assert time.monotonic() < end, [worker.said for worker in self._workers]
            time.sleep(0.02)

    def _call_or_locked(self) -> None:
        """As `_call`; who was frozen in the middle of a write to SQLite keeps everybody else from writing."""
        try:
            self._call(PATIENCE if self._file is None else 2 * LEASE)
        except AssertionError:
            if self._file is None:
                raise
            file = sqlite3.connect(self._file, timeout=0, isolation_level=None)
            with closing(file), suppress(sqlite3.OperationalError):
                file.execute("BEGIN IMMEDIATE")
                raise
            self.shots["locked"] += 1

    def _call(self, patience: float) -> None:
        """Until a 200; what a store that a frozen process keeps locked says meanwhile is no answer."""
        end, said = time.monotonic() + patience, []
        while time.monotonic() < end:
            try:
                said.append(str(self._session.get("work").status_code))
            except requests.RequestException as error:
                said.append(type(error).__name__)
            if said[-1] == "200":
                return
            assert said[-1] != "InvalidGrant", self.shots
            time.sleep(0.05)
        raise AssertionError(f"no 200, but {Counter(said)}")

    def _retire(self, worker: Worker) -> None:
        worker.end()
        self.ends += worker.said
