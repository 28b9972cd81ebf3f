"""The contract of stores, on each of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from oauth_session.stores import MemoryStore, RedisStore, SQLiteStore
from oauth_session.testing.stores import Open, StoreContract


class TestMemory(StoreContract):
    @pytest.fixture
    def open_store(self) -> Open:
        store = MemoryStore()
        return lambda: store


class TestSQLite(StoreContract):
    @pytest.fixture
    def open_store(self, tmp_path: Path) -> Iterator[Open]:
        made: list[SQLiteStore] = []

        def open_store() -> SQLiteStore:
            made.append(SQLiteStore(tmp_path / "grants.db"))
            return made[-1]

        yield open_store
        for store in made:
            store.close()


class TestRedis(StoreContract):
    @pytest.fixture(params=[2, 3])
    def open_store(self, redis_url: str, request: pytest.FixtureRequest) -> Iterator[Open]:
        client = redis.Redis.from_url(redis_url)
        client.flushall()
        made: list[RedisStore] = []

        def open_store() -> RedisStore:
            made.append(RedisStore(f"{redis_url}?protocol={request.param}"))
            return made[-1]

        yield open_store
        for store in made:
            store.close()
        client.flushall()
        client.close()


class TestRedisClientOfTheUser(StoreContract):
    @pytest.fixture(params=[False, True], ids=["bytes", "decoded"])
    def open_store(self, valkey_url: str, request: pytest.FixtureRequest) -> Iterator[Open]:
        client = redis.Redis.from_url(valkey_url, decode_responses=request.param)
        client.flushall()
        yield lambda: RedisStore(client)
        client.flushall()
        client.close()
