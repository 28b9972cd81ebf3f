"""Records in this process's memory: for one process, for tests, and as the model of the others."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from typing import NoReturn

from ..child import at_birth
from .values import GrantKey, Snapshot, Swapped


class MemoryStore:
    """Safe for threads. After a fork, each side goes on with its own copy, and the child's is known for a copy."""

    name = "memory"
    rest = 0.0
    shared = False

    def __init__(self) -> None:
        self._rows: dict[str, tuple[str, str]] = {}
        self._remake()
        _stores.add(self)

    def _remake(self) -> None:
        self._forked = set(self._rows)  # what the parent of a fork wrote; empty at first
        self._changed = threading.Condition(threading.RLock())  # guards _rows; notified of each write

    def __reduce__(self) -> NoReturn:
        raise TypeError('a MemoryStore cannot be pickled: it is one process\'s memory; give store="memory:" instead')

    def load(self, key: GrantKey) -> Snapshot:
        """The text, its revision and the clock."""
        revision, text = self._rows.get(key.digest, ("", None))
        return Snapshot(text, revision, time.time(), key.digest in self._forked)

    def swap(
        self, key: GrantKey, expected: str, revision: str, text: str, mirror: str | None = None, tell: bool = True
    ) -> Swapped:
        """Write if the revision is still `expected`, or already `revision`."""
        with self._changed:
            there = self._rows.get(key.digest, ("", ""))[0]
            done = there in (expected, revision)
            if done and there != revision:
                self._rows[key.digest] = (revision, text)
                self._forked.discard(key.digest)
                self._changed.notify_all()
        return Swapped(done, self.load(key))

    def wait(self, key: GrantKey, revision: str, timeout: float) -> None:
        """Return once the revision is another, or after `timeout` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._rows.get(key.digest, ("", ""))[0] != revision, timeout)

    def watch(self, key: GrantKey, told: Callable[[str], None]) -> None:
        """Nobody is told here."""

    def is_told(self, key: GrantKey) -> bool:
        """Nobody is told here."""
        return False

    def scan(self, cursor: str | None, count: int = 100) -> tuple[list[str], str | None]:
        """The texts behind the cursor, in the order of their keys."""
        with self._changed:
            keys = sorted(digest for digest in self._rows if cursor is None or digest > cursor)[: count + 1]
            texts = [self._rows[digest][1] for digest in keys[:count]]
        return texts, keys[count - 1] if len(keys) > count else None

    def inherited(self, grant_id: str) -> str | None:
        """Nothing: no other program writes here."""
        return None

    def close(self) -> None:
        """Nothing to let go of."""


_stores: weakref.WeakSet[MemoryStore] = weakref.WeakSet()


def _after_fork() -> None:
    for store in list(_stores):
        store._remake()


at_birth(_after_fork)
