"""Bad input and damaged records: named, mended where that is possible, and without a secret in any error."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from conftest import Make, MakeClient

from oauth_session import (
    ConfigurationError,
    StoreError,
    Token,
)
from oauth_session.stores import MemoryStore, SQLiteStore, open_store
from oauth_session.testing import FakeProvider

SENTINEL = "sentinel-of-a-secret"


def chain(error: BaseException) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__  # type: ignore[assignment]


def test_a_damaged_sqlite_row_gives_no_secret_away(
    provider: FakeProvider, make_client: MakeClient, tmp_path: Path
) -> None:
    """Section 8: no secret in an exception, not even when SQLite itself quotes the damaged text."""
    path = tmp_path / "grants.db"
    client = make_client(provider, store=f"sqlite:///{path}")
    client.put("g", {"access_token": SENTINEL, "refresh_token": SENTINEL})
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE grants SET record = CAST(CAST(record AS BLOB) || x'ff' AS TEXT)")
    connection.close()
    with pytest.raises(StoreError) as caught:
        make_client(provider, store=SQLiteStore(path)).token("g")
    assert SENTINEL[:6] not in str(caught.value)


def test_a_record_that_is_no_json_leaves_no_secret_in_the_chain(
    provider: FakeProvider, make_client: MakeClient
) -> None:
    """Section 8: no secret in an exception, its `__context__` included."""
    store = MemoryStore()
    client = make_client(provider, store=store)
    client.put("g", provider.issue())
    for digest, (revision, _) in store._rows.items():
        store._rows[digest] = (revision, '{"pair": {"refresh_token": "' + SENTINEL)
    with pytest.raises(StoreError) as caught:
        client.refresh("g")
    assert not any(SENTINEL in repr(vars(error)) + str(error) for error in chain(caught.value))
    assert not any(SENTINEL in str(getattr(error, "doc", "")) for error in chain(caught.value))


def test_a_bad_redis_url_leaves_no_password_in_the_chain() -> None:
    """Section 8: no secret in an exception, its `__context__` included."""
    with pytest.raises(ConfigurationError) as caught:
        open_store(f"redis://user:{SENTINEL}/x@127.0.0.1:1/0")
    assert not any(SENTINEL in str(error) for error in chain(caught.value))


def test_bytes_that_are_no_text_are_a_store_error(
    provider: FakeProvider, make_client: MakeClient, valkey_url: str
) -> None:
    """A damaged Redis hash is a `StoreError`, and a valid token in memory goes on being used (law 13)."""
    client = make_client(provider, store=valkey_url)
    client.put("g", provider.issue())
    server = redis.Redis.from_url(valkey_url)
    (key,) = server.scan_iter("oauth-session:*")
    server.hset(key, "record", b"\xff\xfe")
    server.close()
    with pytest.raises(StoreError):
        client.refresh("g")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"v":1,"grant":"g","lineage":"l","retry_at":1' + "0" * 400 + "}"])
def test_extreme_json_is_a_store_error(provider: FakeProvider, make_client: MakeClient, text: str) -> None:
    """A damaged record is a `StoreError`, whatever is wrong with it."""
    store = MemoryStore()
    client = make_client(provider, store=store)
    client.put("g", provider.issue())
    for digest, (revision, _) in store._rows.items():
        store._rows[digest] = (revision, text)
    with pytest.raises(StoreError):
        client.refresh("g")


def test_put_mends_a_damaged_record(provider: FakeProvider, make_client: MakeClient) -> None:
    """The error says "put() a new token there": then put() must do it."""
    store = MemoryStore()
    client = make_client(provider, store=store)
    client.put("g", provider.issue())
    for digest, (revision, _) in store._rows.items():
        store._rows[digest] = (revision, "damaged")
    client.put("g", provider.issue())
    assert client.token("g").access_token


def test_one_damaged_record_does_not_hide_the_others(provider: FakeProvider, make_client: MakeClient) -> None:
    """`grants` lists the grants that can be read, although one of ten thousand cannot."""
    store = MemoryStore()
    client = make_client(provider, store=store)
    for name in ("a", "b", "c"):
        client.put(name, provider.issue())
    digest = next(iter(store._rows))
    store._rows[digest] = ("r", "damaged")
    listed, _ = client.grants()
    assert {"a", "b", "c"} & {status.grant_id for status in listed}


BAD_TOKENS: list[Any] = [
    {"access_token": "a", "expires_at": float("inf")},
    {"access_token": "a", "expires_in": float("inf")},
    {"access_token": "a", "scope": 5},
    {"access_token": "a", "token_type": 5},
]


@pytest.mark.parametrize("token", BAD_TOKENS, ids=repr)
def test_put_writes_nothing_that_it_cannot_read(provider: FakeProvider, make_client: MakeClient, token: Any) -> None:
    """Bad input is refused with a `ConfigurationError` or made good, but never stored as a damaged record."""
    client = make_client(provider)
    try:
        client.put("g", token)
    except ConfigurationError:
        return
    assert client.token("g").access_token == "a"


@pytest.mark.parametrize(
    "token", [{"access_token": "a", "x": {1, 2}}, {"access_token": "a", "x": object()}], ids=["set", "object"]
)
def test_extra_members_that_are_no_json_have_a_named_error(
    provider: FakeProvider, make_client: MakeClient, token: Any
) -> None:
    """Bad input gives a clear, named result."""
    with pytest.raises(ConfigurationError):
        make_client(provider).put("g", token)


def test_a_token_with_milliseconds_has_a_repr() -> None:
    """A repr never raises, whatever the number in `expires_at`."""
    assert repr(Token("a", expires_at=1.7e12 * 1000))


@pytest.mark.parametrize(
    "settings", [{"refresh_token": ""}, {"refresh_token": 5}, {"token": "abc"}, {"token": {}}], ids=repr
)
def test_a_seed_that_is_none_is_refused_at_once(provider: FakeProvider, make_session: Make, settings: Any) -> None:
    """Bad input: a wrong seed is named by the constructor, not by the first call."""
    with pytest.raises(ConfigurationError):
        make_session(provider, **settings)
