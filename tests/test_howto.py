"""The how-to pages that need nothing but this package; those on frameworks run in `tox -e company`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import redis
from support.snippets import run_snippets

from oauth_session.testing import FakeProvider

PAGES = Path(__file__).parent.parent / "docs" / "howto"


def test_sessions(provider: FakeProvider, valkey_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace a session, log in on one that exists, run again with a seed that was spent: one refresh in all."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("APP_SECRET", str(provider.client_secret))
    run_snippets(PAGES / "sessions.rst", provider, valkey_url)
    assert [seen.status for seen in provider.requests if seen.path.startswith("/api")] == [200] * 4
    assert provider.model.refresh_calls == 1


def test_moving(provider: FakeProvider, valkey_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What another library or program has stored is brought in, and refreshed once each."""
    monkeypatch.setenv("APP_SECRET", str(provider.client_secret))
    with redis.Redis.from_url(valkey_url) as plain:
        plain.flushall()
        plain.set("tokens:customer-43", json.dumps(provider.issue()))
        namespace = run_snippets(PAGES / "moving.rst", provider, valkey_url)
        assert "refresh_token" not in json.loads(plain.get("access:customer-43"))
    assert provider.model.reuse_incidents == 0
    namespace["store"].close()
