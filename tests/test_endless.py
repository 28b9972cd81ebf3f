"""Nothing goes on for ever, and nobody learns a secret from what went wrong."""

from __future__ import annotations

import time

import pytest
from conftest import Make, MakeClient

from oauth_session import ConfigurationError, StoreError, TemporarilyUnavailable
from oauth_session.rules import lineage, record_json
from oauth_session.rules.effects import Ask, Terms
from oauth_session.rules.protocol import Do, decide
from oauth_session.rules.record import Claim, Pair, Record
from oauth_session.stores import RedisStore, SQLiteStore, open_store
from oauth_session.testing import FakeProvider


def test_nonsense_from_the_token_endpoint_ends_in_a_named_error(provider: FakeProvider, make_session: Make) -> None:
    """Law 15: an endpoint that may be asked again at will, and answers nonsense for ever, holds nobody for ever."""
    session = make_session(provider, grant_type="client_credentials")
    provider.fault("wrong_type", times=100)
    began = time.monotonic()
    with pytest.raises(TemporarilyUnavailable):
        session.get("me")
    assert time.monotonic() - began < 30
    assert provider.token_requests <= 4


def test_a_claim_from_the_future_is_no_claim() -> None:
    """Law 2: a claim lives for its lease; when the store's clock was set back by an hour, nobody waits for an hour."""
    blank = lineage.begin("g", "c", "l", Pair(refresh_token="r"))
    record = Record("g", "c", "l", pair=Pair(refresh_token="r"), claim=Claim("them", 5000.0))
    from oauth_session import RefreshPolicy

    assert decide(record, 1400.0, Ask(), Terms("00", RefreshPolicy(), blank)).do is Do.CLAIM
    assert decide(record, 4996.0, Ask(), Terms("00", RefreshPolicy(), blank)).do is Do.WAIT


def test_a_damaged_record_is_not_in_the_chain() -> None:
    """Section 8: no secret in an exception, its `__context__` included."""
    with pytest.raises(StoreError) as caught:
        record_json.load('{"v":1,"pair":{"refresh_token":"sentinel', "g")
    assert caught.value.__context__ is None
    with pytest.raises(ConfigurationError) as refused:
        RedisStore("redis://:sentinel@host:notaport/0")
    assert refused.value.__context__ is None


def test_a_sqlite_path_is_one_file(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    """A daemon that changes its directory goes on with the same file; a database in SQLite's memory is none."""
    monkeypatch.chdir(tmp_path)
    store = SQLiteStore("grants.db")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert store.path == tmp_path / "grants.db"
    with pytest.raises(ConfigurationError):
        open_store("sqlite:///:memory:")


def test_an_unused_memory_grant_travels_without_its_refresh_token(
    provider: FakeProvider, make_client: MakeClient
) -> None:
    """Section 5: an unpickled `memory:` grant has no refresh token, used or not: two masters of one token lose it."""
    import pickle

    from oauth_session import OAuthSession

    session = OAuthSession(
        base_url=provider.api_url,
        token_url=provider.token_url,
        client_id=provider.client_id,
        client_secret=provider.client_secret,
        refresh_token="sentinel-of-a-refresh-token",
        grant_id=provider.url,
    )
    assert b"sentinel-of-a" not in pickle.dumps(session)
