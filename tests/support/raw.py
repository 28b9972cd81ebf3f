"""A store as somebody sees it who has access to it, but is none of our programs."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any, Protocol

import redis

PREFIX = "oauth-session:"


class Raw(Protocol):
    """Its records by digest; `write` makes a new revision, as an attacker would."""

    url: str

    def records(self) -> dict[str, str]: ...
    def read(self, digest: str) -> str: ...
    def write(self, digest: str, text: str) -> None: ...
    def everything(self) -> bytes: ...


def raw_store(url: str) -> Raw:
    return RawRedis(url) if url.startswith("redis") else RawSQLite(url)


class RawRedis:
    def __init__(self, url: str) -> None:
        self.url = url

    def _do(self, *command: Any) -> Any:
        with redis.Redis.from_url(self.url) as plain:
            return plain.execute_command(*command)

    def records(self) -> dict[str, str]:
        keys = [key.decode().removeprefix(PREFIX) for key in self._do("KEYS", PREFIX + "*")]
        return {key: self.read(key) for key in keys}

    def read(self, digest: str) -> str:
        return str(self._do("HGET", PREFIX + digest, "record").decode())

    def write(self, digest: str, text: str) -> None:
        self._do("HSET", PREFIX + digest, "record", text, "revision", f"forged-{hash(text)}")

    def everything(self) -> bytes:
        keys = self._do("KEYS", "*")
        parts: list[bytes] = list(keys)
        for key in keys:
            kind = self._do("TYPE", key)
            found = self._do("HGETALL", key) if kind == b"hash" else {b"": self._do("GET", key)}
            parts += [part for pair in found.items() for part in pair]
        return b"\n".join(parts)


class RawSQLite:
    def __init__(self, url: str) -> None:
        self.url, self.path = url, Path(url.removeprefix("sqlite:///"))

    def _do(self, statement: str, *args: Any) -> list[Any]:
        connection = sqlite3.connect(self.path)
        try:
            with connection:
                return connection.execute(statement, args).fetchall()
        finally:
            connection.close()

    def records(self) -> dict[str, str]:
        return dict(self._do("SELECT digest, record FROM grants"))

    def read(self, digest: str) -> str:
        return str(self._do("SELECT record FROM grants WHERE digest = ?", digest)[0][0])

    def write(self, digest: str, text: str) -> None:
        self._do("INSERT OR REPLACE INTO grants VALUES (?, ?, ?)", digest, f"forged-{hash(text)}", text)

    def everything(self) -> bytes:
        return b"".join(path.read_bytes() for path in self.path.parent.iterdir() if path.is_file())
