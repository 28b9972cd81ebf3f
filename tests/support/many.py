"""Stores of many grants, written at once as the store itself would write them."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis

from oauth_session import OAuthClient
from oauth_session.rules import record_json
from oauth_session.rules.record import Pair, Record
from oauth_session.sealed import key_of
from oauth_session.stores import open_store

Row = tuple[str, str, str]


def rows(client: OAuthClient, count: int, odd: dict[int, dict[str, Any]] | None = None) -> Iterator[Row]:
    """Digest, revision and text of so many grants; the fields of some are `odd`."""
    identity, now = client._registration.identity, time.time()
    for number in range(count):
        name = f"customer-{number:06}"
        pair = Pair(f"at-{number}" * 50, f"rt-{number}" * 10, issued_at=now, lifetime=3600.0 + number)
        more = {"outcome": "refreshed"} | (odd or {}).get(number, {})
        record = Record(name, identity, "lineage", number % 7, pair=pair, **more)
        yield key_of(identity, name, None).digest, "revision", record_json.dump(record)


def fill(client: OAuthClient, url: str, all_of_them: Iterator[Row]) -> None:
    """Into a SQLite file or a Redis."""
    if url.startswith("sqlite"):
        open_store(url).load(key_of("x", "x", None))  # makes the file
        path = Path(url.removeprefix("sqlite://"))
        with sqlite3.connect("/" + str(path).lstrip("/")) as file:
            file.executemany("INSERT INTO grants VALUES (?, ?, ?)", all_of_them)
        file.close()
        return
    prefix = open_store(url)._prefix
    with redis.Redis.from_url(url) as plain, plain.pipeline(transaction=False) as pipe:
        for number, (digest, revision, text) in enumerate(all_of_them, 1):
            pipe.hset(prefix + digest, mapping={"revision": revision, "record": text})
            if number % 5000 == 0:
                pipe.execute()
        pipe.execute()
