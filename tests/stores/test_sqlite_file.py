"""The one file that many processes share: made by several at once, frozen under a writer's hand."""

from __future__ import annotations

import multiprocessing
import sqlite3
import threading
import time
from pathlib import Path

import pytest
from conftest import MakeClient
from support.crowd import crowd, make_files

from oauth_session import StoreError
from oauth_session.stores.sqlite import SQLiteStore
from oauth_session.stores.values import GrantKey
from oauth_session.testing import FakeProvider

KEY = GrantKey("d", "g")


def test_many_processes_make_one_file(tmp_path: Path) -> None:
    """Processes that start together on a new file wait for each other; none is told that it is locked."""
    together = multiprocessing.get_context("spawn").Barrier(6)
    assert crowd(6, make_files, {}, str(tmp_path), together) == [[]] * 6


def test_a_file_that_another_is_just_making_is_waited_for(tmp_path: Path) -> None:
    """Within the store's own timeout, also for the one statement that SQLite's timeout does not hold for."""
    path = tmp_path / "grants.db"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("CREATE TABLE t (x)")
    other.execute("BEGIN IMMEDIATE")  # not yet in WAL mode
    end = threading.Timer(0.3, other.execute, ["COMMIT"])
    end.start()
    store = SQLiteStore(path)
    assert store.swap(KEY, "", "r", "{}").done
    end.join()
    other.close()
    store.close()


def test_a_writer_that_hangs_blocks_nobody_for_long(
    provider: FakeProvider, make_client: MakeClient, tmp_path: Path
) -> None:
    """Law 13: while a program sits on the write lock, valid tokens are used, and a refresh ends in time and by name."""
    client = make_client(provider, store=f"sqlite:///{tmp_path}/grants.db")
    client.put("a", provider.issue())
    session = client.session("a")
    assert session.get("me").status_code == 200
    other = sqlite3.connect(tmp_path / "grants.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    calls = provider.model.token_calls
    assert session.get("me").status_code == 200
    provider.expire()
    began = time.monotonic()
    assert session.get("me").status_code == 401  # a rotating grant is not refreshed without a claim
    with pytest.raises(StoreError, match="locked"):
        client.refresh("a", force=True)
    assert time.monotonic() - began < 10
    assert provider.model.token_calls == calls
    other.execute("ROLLBACK")
    other.close()
    assert session.get("me").status_code == 200
