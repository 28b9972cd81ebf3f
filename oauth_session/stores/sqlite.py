"""Records in one SQLite file: for all processes of one machine, without any set-up."""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..errors import StoreError
from ..policy import STORE_TIMEOUT
from .values import GrantKey, Snapshot, Swapped

SCHEMA = 1
_POLL_FIRST, _POLL_MOST = 0.002, 0.01  # seconds; a look at data_version costs about 5 microseconds
_POOL_MOST = 8  # idle connections that are kept


class SQLiteStore:
    """Safe for threads and processes; the file is readable by its owner only.

    A connection is used by one thread at a time and never on the other side of a fork.

    Args:
        path: of the file; it is made when it is first needed, and its folder too.
    """

    name = "sqlite"
    rest = 0.0
    shared = True

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).expanduser().absolute()  # a daemon may change its directory
        self._idle: list[sqlite3.Connection] = []  # append and pop are atomic
        self._pid = os.getpid()

    def __repr__(self) -> str:
        return f"<SQLiteStore {self.path.name}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self.path),)

    def load(self, key: GrantKey) -> Snapshot:
        """The text, its revision and this machine's clock."""
        with self._connection() as connection:
            return self._load(connection, key)

    def swap(
        self, key: GrantKey, expected: str, revision: str, text: str, mirror: str | None = None, tell: bool = True
    ) -> Swapped:
        """Write if the revision is still `expected`, or already `revision`."""
        with self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                there = self._load(connection, key)
                if there.revision == expected:
                    connection.execute(
                        "INSERT INTO grants VALUES (?, ?, ?) ON CONFLICT (digest) "
                        "DO UPDATE SET revision = excluded.revision, record = excluded.record",
                        (key.digest, revision, text),
                    )
                    there = Snapshot(text, revision, time.time())
                connection.execute("COMMIT")
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            return Swapped(there.revision == revision, there)

    def wait(self, key: GrantKey, revision: str, timeout: float) -> None:
        """Return once the revision is another, or after `timeout` seconds."""
        end, pause, version = time.monotonic() + timeout, _POLL_FIRST, None
        with self._connection() as connection:
            while True:
                now = connection.execute("PRAGMA data_version").fetchone()[0]
                if now != version:  # somebody has written somewhere: look whether it was here
                    version = now
                    if self._load(connection, key).revision != revision:
                        return
                left = end - time.monotonic()
                if left <= 0:
                    return
                time.sleep(min(pause, left))
                pause = min(pause * 1.5, _POLL_MOST)

    def watch(self, key: GrantKey, told: Callable[[str], None]) -> None:
        """Nobody is told here."""

    def is_told(self, key: GrantKey) -> bool:
        """Nobody is told here."""
        return False

    def scan(self, cursor: str | None, count: int = 100) -> tuple[list[str], str | None]:
        """The texts behind the cursor, in the order of their keys."""
        with self._connection() as connection:
            rows = connection.execute(
                "SELECT digest, record FROM grants WHERE digest > ? ORDER BY digest LIMIT ?", (cursor or "", count + 1)
            ).fetchall()
        return [row[1] for row in rows[:count]], rows[count - 1][0] if len(rows) > count else None

    def inherited(self, grant_id: str) -> str | None:
        """Nothing: no other program writes here."""
        return None

    def close(self) -> None:
        """Close idle connections; the store stays usable."""
        idle, self._idle = self._idle, []
        if self._pid == os.getpid():
            for connection in idle:
                connection.close()

    def __del__(self) -> None:
        with suppress(Exception):  # half made, or the interpreter is ending
            if self._pid == os.getpid():
                self.close()
            else:
                _inherited.extend(self._idle)

    def _load(self, connection: sqlite3.Connection, key: GrantKey) -> Snapshot:
        row = connection.execute("SELECT revision, record FROM grants WHERE digest = ?", (key.digest,)).fetchone()
        if row is None:
            return Snapshot(None, "", time.time())
        if not isinstance(row[0], str) or not row[0] or not isinstance(row[1], str):
            raise StoreError(f"row {key.digest} of {self.path} is damaged; it was left alone: restore or delete it")
        return Snapshot(row[1], row[0], time.time())

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """An idle connection or a new one; what SQLite says becomes a `StoreError`."""
        try:
            if self._pid != os.getpid():
                _inherited.extend(self._idle)  # closing them here would drop the parent's locks
                self._idle, self._pid = [], os.getpid()
            connection = self._idle.pop() if self._idle else self._open()
        except IndexError:
            connection = self._open()
        except (sqlite3.Error, OSError) as error:
            raise self._error(error) from None
        pid = os.getpid()
        try:
            yield connection
        except sqlite3.Error as error:
            connection.close()
            raise self._error(error) from None
        except BaseException:
            connection.close()
            raise
        if pid == os.getpid() and len(self._idle) < _POOL_MOST:
            self._idle.append(connection)
        else:
            connection.close()

    def _open(self) -> sqlite3.Connection:
        if not self.path.exists():
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite gives its other files the same mode
        if stat.S_IMODE(self.path.stat().st_mode) & 0o077:
            os.chmod(self.path, 0o600)
        connection = sqlite3.connect(self.path, timeout=STORE_TIMEOUT, isolation_level=None, check_same_thread=False)
        try:
            self._write_ahead(connection)
            connection.execute("PRAGMA synchronous = FULL")  # a rotated refresh token must outlive a power cut
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > SCHEMA:
                raise StoreError(f"{self.path} was written by a newer release of oauth_session: upgrade this one")
            if version < SCHEMA:
                connection.execute(
                    "CREATE TABLE IF NOT EXISTS grants "
                    "(digest TEXT PRIMARY KEY, revision TEXT NOT NULL, record TEXT NOT NULL) WITHOUT ROWID"
                )
                connection.execute(f"PRAGMA user_version = {SCHEMA}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _write_ahead(self, connection: sqlite3.Connection) -> None:
        """WAL mode; SQLite's own timeout does not hold for this one statement, so two that make the file would clash."""
        end = time.monotonic() + STORE_TIMEOUT
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= end:
                    raise
            time.sleep(_POLL_FIRST)

    def _error(self, error: Exception) -> StoreError:
        says = (
            str(error).partition(" with text ")[0]
            if isinstance(error, sqlite3.Error)
            else getattr(error, "strerror", None) or "not usable"
        )
        error.args = (says,)  # it stays in the chain of ours, and may quote a record
        return StoreError(
            f"the SQLite store {self.path}: {says}; check that it is a file of this store, writable, with room"
        )


_inherited: list[sqlite3.Connection] = []  # connections of a parent process, never touched again
