"""Two releases on one store: what an older one does with what a newer one has written."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
import redis
from conftest import MakeClient

from oauth_session import StoreError
from oauth_session.testing import FakeProvider

Rows = Callable[..., list[str]]


@pytest.fixture
def rows(store_url: str) -> Rows:
    """The texts of all records; given members are put into each, as another program would write it."""

    def of_sqlite(**members: Any) -> list[str]:
        with closing(sqlite3.connect(store_url.removeprefix("sqlite:///"))) as store, store:
            for digest, text in store.execute("SELECT digest, record FROM grants").fetchall() if members else ():
                changed = json.dumps(json.loads(text) | members)
                store.execute("UPDATE grants SET record = ?, revision = 'r' WHERE digest = ?", (changed, digest))
            return [text for (text,) in store.execute("SELECT record FROM grants")]

    def of_redis(**members: Any) -> list[str]:
        with closing(redis.Redis.from_url(store_url, decode_responses=True)) as store:
            for key in store.keys("oauth-session:*") if members else ():
                changed = json.dumps(json.loads(store.hget(key, "record")) | members)
                store.hset(key, mapping={"record": changed, "revision": "r"})
            return [store.hget(key, "record") for key in store.keys("oauth-session:*")]

    return of_sqlite if store_url.startswith("sqlite") else of_redis


def test_a_record_of_a_newer_version_is_read_only(
    provider: FakeProvider, make_client: MakeClient, store_url: str, rows: Rows
) -> None:
    """Section 8: nothing that an older release does changes the record or spends its refresh token; the error says why."""
    with closing(make_client(provider, store=store_url)) as newer:
        newer.put("g", provider.issue())
    before = rows(v=2, later={"x": 1})
    client = make_client(provider, store=store_url)
    for act in (
        lambda: client.token("g"),
        lambda: client.session("g").get("me"),
        lambda: client.refresh("g"),
        lambda: client.refresh("g", force=True),
        lambda: client.put("g", provider.issue()),
        lambda: client.forget("g"),
        lambda: client.revoke("g"),
    ):
        with pytest.raises(StoreError, match="version 2, this release knows 1: upgrade"):
            act()
        assert rows() == before
    (status,) = client.grants()[0]
    assert (status.state, "version 2" in status.last_error) == ("damaged", True)
    assert (rows(), provider.token_requests) == (before, 0)


def test_a_process_that_holds_a_token_goes_on_with_it(
    provider: FakeProvider, make_client: MakeClient, store_url: str, rows: Rows
) -> None:
    """Law 13: an older release uses the access token in its memory to its end, and then gives the API's own refusal."""
    client = make_client(provider, store=store_url)
    client.put("g", provider.issue())
    with client.session("g") as session:
        assert session.get("me").ok
        before = rows(v=2)
        assert session.get("me").ok
        provider.expire()
        assert session.get("me").status_code == 401
    assert (rows(), provider.token_requests) == (before, 0)


def test_a_member_that_is_not_known_is_dropped(
    provider: FakeProvider, make_client: MakeClient, store_url: str, rows: Rows
) -> None:
    """Within a version, an older release reads past a member of a newer one, and its next write leaves it out."""
    client = make_client(provider, store=store_url)
    client.put("g", provider.issue())
    (text,) = rows(later={"x": 1})
    assert "later" in text
    assert client.token("g").access_token
    assert client.refresh("g").access_token
    (text,) = rows()
    assert "later" not in text
    assert json.loads(text)["v"] == 1
