"""Bad input: a clear, named result each, and nothing is lost."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
import redis
from conftest import Make, MakeClient

from oauth_session import (
    ConfigurationError,
    InvalidClient,
    OAuthClient,
    OAuthSession,
    OAuthSessionError,
    RefreshPolicy,
    StoreError,
    TemporarilyUnavailable,
    Token,
    TokenRequestError,
)
from oauth_session.stores import RedisStore, SQLiteStore
from oauth_session.testing import FakeProvider

GOOD: dict[str, Any] = {
    "base_url": "https://api.example.com/",
    "token_url": "https://auth.example.com/token",
    "client_id": "app",
    "client_secret": "hunter2",
}
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"base_url": None}, "base_url"),
    ({"base_url": "api.example.com"}, "base_url"),
    ({"base_url": "https://api.example.com/?a=b"}, "base_url"),
    ({"base_url": 5}, "base_url"),
    ({"token_url": None}, "token_url"),
    ({"token_url": "/token"}, "token_url"),
    ({"token_url": "ftp://auth.example.com/"}, "token_url"),
    ({"token_url": "https://auth.example.com/token#x"}, "fragment"),
    ({"token_url": "https://auth.example.com/token?grant_type=x"}, "grant_type"),
    ({"client_id": None}, "client_id"),
    ({"client_id": ""}, "client_id"),
    ({"client_secret": 5}, "client_secret"),
    ({"client_secret": ""}, "client_secret"),
    ({"client_secret": None, "client_auth": "client_secret_post"}, "client_secret"),
    ({"client_auth": "basic"}, "client_secret_basic"),
    ({"grant_type": "password"}, "grant_type"),
    ({"grant_type": "client_credentials", "client_secret": None}, "client_secret"),
    ({"scope": ["a"]}, "scope"),
    ({"grant_id": ""}, "grant_id"),
    ({"grant_id": 5}, "grant_id"),
    ({"store": "mysql://localhost"}, "sqlite"),
    ({"store": "sqlite://"}, "sqlite"),
    ({"store": 5}, "store"),
    ({"origins": "https://api.example.com"}, "origins"),
    ({"origins": ["https://api.example.com/path"]}, "origin"),
    ({"origins": [5]}, "origin"),
    ({"refresh": {"margin": 5}}, "RefreshPolicy"),
    ({"rotation": "sometimes"}, "rotation"),
    ({"reuse_grace": -1}, "reuse_grace"),
    ({"refresh_on": {4000}}, "refresh_on"),
    ({"refresh_on": "403"}, "refresh_on"),
    ({"expired_when": [{"status": 403}]}, "rule"),
    ({"expired_when": [{"status": 403, "text": "expired"}]}, "text"),
    ({"expired_when": {"status": 403, "error": "x"}}, "expired_when"),
    ({"refresh_token": ""}, "refresh_token"),
    ({"token": {"refresh_token": ""}}, "access_token"),
    ({"token": {"access_token": "with blank"}}, "access_token"),
    ({"token": {"access_token": "new\nline"}}, "access_token"),
    ({"token": {"access_token": "ok", "expires_at": "soon"}}, "expires_at"),
    ({"token": "just text"}, "token"),
]


@pytest.mark.parametrize(("change", "named"), WRONG, ids=[str(change)[:60] for change, _ in WRONG])
def test_a_wrong_argument_is_named(change: dict[str, Any], named: str) -> None:
    """Each wrong constructor argument is a ConfigurationError, which is a ValueError, that names it and shows no secret."""
    with pytest.raises(ConfigurationError, match=named) as caught:
        OAuthSession(**GOOD | change)
    assert isinstance(caught.value, ValueError)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("settings", [{"margin": -1}, {"token_timeout": 0}, {"deadline": "soon"}, {"margin": True}])
def test_a_wrong_policy_is_named(settings: dict[str, Any]) -> None:
    """A policy refuses what makes no sense, by name."""
    with pytest.raises(ConfigurationError, match=next(iter(settings))):
        RefreshPolicy(**settings)


def test_a_url_with_a_password_is_not_shown() -> None:
    """An unusable store URL is not quoted, since it may hold a password."""
    for url in (
        "rediss+nope://user:hunter2@host",
        "redis://user:hunter2@host:notaport/0",
        "redis+sentinel://:hunter2@h",
    ):
        with pytest.raises(ConfigurationError) as caught:
            OAuthSession(**GOOD | {"store": url})
        assert "hunter2" not in str(caught.value)


def test_a_secret_from_the_environment(
    provider: FakeProvider, make_session: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`env:NAME` is read when it is needed; a name that is not set is told, and the next call tries again."""
    session = make_session(provider, refresh_token=provider.issue()["refresh_token"], client_secret="env:MY_SECRET")
    monkeypatch.delenv("MY_SECRET", raising=False)
    with pytest.raises(ConfigurationError, match="MY_SECRET"):
        session.get("me")
    monkeypatch.setenv("MY_SECRET", str(provider.client_secret))
    assert session.auth.source.refresh(force=True)
    assert session.get("me").status_code == 200


def test_a_wrong_secret(provider: FakeProvider, make_session: Make) -> None:
    """`invalid_client` names the client's settings as the cause, hints at the other method, and keeps the grant."""
    seed = provider.issue()["refresh_token"]
    session = make_session(provider, refresh_token=seed, client_secret="wrong-hunter2")
    with pytest.raises(InvalidClient, match="client_secret_post") as caught:
        session.get("me")
    assert caught.value.error == "invalid_client"
    assert "hunter2" not in str(caught.value) + repr(caught.value)
    assert make_session(provider).auth.source.refresh(force=True)


@pytest.mark.parametrize("told", [..., "3600", 3600.0, "3600.0", 0, None, -1, "soon", True, [], 10**400])
def test_every_kind_of_expires_in(provider: FakeProvider, make_session: Make, told: Any) -> None:
    """`expires_in` in any shape, or none: the token is used, and a lifetime that makes no sense is unknown."""
    from oauth_session.testing import NOTHING

    provider.model.expires_in = NOTHING if told is ... else told
    session = make_session(provider, refresh_token=provider.issue()["refresh_token"])
    assert session.get("me").status_code == 200
    known = told in ("3600", 3600.0, "3600.0") and told is not True
    assert (session.auth.source.token().token.expires_at is not None) == known
    provider.expire()
    assert session.get("me").status_code == 200


@pytest.mark.parametrize("told", ["", None, "missing"])
def test_a_missing_refresh_token_keeps_the_old_one(provider: FakeProvider, make_session: Make, told: Any) -> None:
    """RFC 6749 section 6: a response without a usable refresh token leaves the old one in force."""
    from oauth_session.testing import NOTHING

    seed = provider.issue()
    provider.model.rotation = "none"
    provider.model.members = {"refresh_token": NOTHING if told == "missing" else told}
    session = make_session(provider, refresh_token=seed["refresh_token"])
    for _ in range(3):
        assert session.get("me").status_code == 200
        provider.expire()
    assert provider.model.refresh_calls == 3
    assert list(provider.model.presented.values()) == [3]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("500", TemporarilyUnavailable),
        ("503", TemporarilyUnavailable),
        ("html_error", TokenRequestError),
        ("error_200", TokenRequestError),
        ((400, {}, b""), TokenRequestError),
        ((418, {}, b"[]"), TokenRequestError),
        ((302, {"Location": "/elsewhere"}, b""), TokenRequestError),
    ],
)
def test_an_odd_refusal(provider: FakeProvider, make_session: Make, fault: Any, error: type[Exception]) -> None:
    """Error answers that are empty, HTML, or a 200 with `error` are named, and the grant lives on."""
    session = make_session(provider, refresh_token=provider.issue()["refresh_token"])
    provider.fault(fault)
    with pytest.raises(error):
        session.get("me")
    assert session.auth.source.refresh(force=True)
    assert session.get("me").status_code == 200
    assert provider.model.reuse_incidents == 0


@pytest.mark.parametrize("fault", ["wrong_type", "html_200", "empty", "drop_before"])
def test_an_answer_that_is_none(provider: FakeProvider, make_session: Make, fault: str) -> None:
    """Law 5: after an answer that brings nothing the refresh token is presented once more, within the same call."""
    session = make_session(provider, refresh_token=provider.issue()["refresh_token"])
    provider.fault(fault)
    assert session.get("me").status_code == 200
    assert provider.token_requests == 2
    assert provider.model.reuse_incidents == 0


def test_a_new_refresh_token_in_a_useless_answer_is_kept(provider: FakeProvider, make_session: Make) -> None:
    """A response whose access token cannot be sent still brings the rotated refresh token home."""
    session = make_session(provider, refresh_token=provider.issue()["refresh_token"])
    provider.model.members = {"access_token": "not sendable \x07"}
    import threading

    threading.Timer(0.3, lambda: setattr(provider.model, "members", {})).start()
    provider.token_latency = 0.2
    assert session.get("me").status_code == 200
    assert provider.model.reuse_incidents == 0
    assert max(provider.model.presented.values()) == 1


def test_two_lost_answers(provider: FakeProvider, make_session: Make) -> None:
    """Law 5: a third presentation of one refresh token needs somebody's word."""
    session = make_session(provider, refresh_token=provider.issue()["refresh_token"])
    provider.fault("drop_before", times=2)
    with pytest.raises(OAuthSessionError, match=r"force=True"):
        session.get("me")
    with pytest.raises(OAuthSessionError, match=r"force=True"):
        session.get("me")
    assert provider.token_requests == 2
    assert session.auth.source.refresh(force=True)
    assert session.get("me").status_code == 200


DAMAGED = ["", "not json", "[]", "{}", '{"v":2}', '{"v":1}', '{"v":1,"grant":"g","lineage":"l","generation":-1}',
           '{"v":1,"grant":"g","lineage":"l","pair":{"access_token":"a b"}}',
           '{"v":1,"grant":"g","lineage":"l","claim":5}', '{"v":1,"grant":"g","lineage":"l","state":"undead"}']  # fmt: skip


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_record(provider: FakeProvider, make_client: MakeClient, store_url: str, text: str) -> None:
    """A record that is none is a StoreError which names the grant; it is left as it was until somebody puts a token."""
    client = make_client(provider, store=store_url)
    client.put(provider.url, provider.issue())
    damage(client, provider.url, store_url, text)
    other = make_client(provider, store=store_url, on_event=print)
    for _ in range(2):
        with pytest.raises(StoreError, match=r"grant|damaged|lacks"):
            other.token(provider.url)
    assert read(client, provider.url, store_url) == text
    if text and '"v":2' not in text:
        listed, _ = client.grants()
        assert [s.state for s in listed if not s.grant_id] == ["damaged"]
        other.put(provider.url, provider.issue())
        assert other.session(provider.url).get("me").status_code == 200
    else:
        delete(client, provider.url, store_url)


def read(client: OAuthClient, grant_id: str, store_url: str) -> str:
    digest = client._registration.key(grant_id).digest
    if store_url.startswith("redis"):
        with redis.Redis.from_url(store_url, decode_responses=True) as plain:
            return str(plain.hget("oauth-session:" + digest, "record"))
    connection = sqlite3.connect(store_url.removeprefix("sqlite:///"))
    (row,) = connection.execute("SELECT record FROM grants WHERE digest = ?", (digest,)).fetchall()
    connection.close()
    return str(row[0])


def delete(client: OAuthClient, grant_id: str, store_url: str) -> None:
    if store_url.startswith("redis"):
        with redis.Redis.from_url(store_url) as plain:
            plain.delete("oauth-session:" + client._registration.key(grant_id).digest)


def damage(client: OAuthClient, grant_id: str, store_url: str, text: str) -> None:
    key = client._registration.key(grant_id)
    if store_url.startswith("redis"):
        plain = redis.Redis.from_url(store_url)
        plain.hset("oauth-session:" + key.digest, "record", text)
        plain.close()
    else:
        with sqlite3.connect(store_url.removeprefix("sqlite:///")) as connection:
            connection.execute("UPDATE grants SET record = ? WHERE digest = ?", (text, key.digest))
        connection.close()


def test_a_redis_key_of_another_type(provider: FakeProvider, make_client: MakeClient, valkey_url: str) -> None:
    """A key of ours that holds something else is named, and left alone."""
    client = make_client(provider, store=valkey_url)
    plain = redis.Redis.from_url(valkey_url)
    name = "oauth-session:" + client._registration.key(provider.url).digest
    plain.set(name, "mine")
    with pytest.raises(StoreError, match="another type"):
        client.token(provider.url)
    assert plain.get(name) == b"mine"
    plain.close()


def test_a_redis_that_is_not_there(provider: FakeProvider, make_client: MakeClient) -> None:
    """A store that cannot be reached is a StoreError, soon, and the URL's password is not in it."""
    client = make_client(provider, store="redis://:hunter2@127.0.0.1:1/0")
    with pytest.raises(StoreError) as caught:
        client.token("g")
    assert "hunter2" not in str(caught.value)
    assert provider.token_requests == 0


@pytest.mark.parametrize("content", [b"not a database at all, but long enough to be read as one" * 100, None])
def test_a_file_that_is_no_database(
    tmp_path: Path, provider: FakeProvider, make_client: MakeClient, content: Any
) -> None:
    """A file that is no SQLite store, or a folder, is a StoreError that names the path."""
    path = tmp_path / "grants.db"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(StoreError, match=r"grants\.db"):
        make_client(provider, store=f"sqlite:///{path}").token("g")


def test_a_file_of_a_newer_release(tmp_path: Path) -> None:
    """A SQLite store that a newer release has written is not touched."""
    path = tmp_path / "grants.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    from oauth_session.stores.values import GrantKey

    with pytest.raises(StoreError, match="newer"):
        SQLiteStore(path).load(GrantKey("a", "g"))


def test_the_file_is_private(tmp_path: Path, provider: FakeProvider, make_client: MakeClient) -> None:
    """The SQLite file and its companions are readable by their owner only, whatever the umask."""
    import os
    import stat

    old = os.umask(0)
    try:
        client = make_client(provider, store=f"sqlite:///{tmp_path}/deep/grants.db")
        client.put("g", provider.issue())
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "deep").iterdir()}
        assert set(modes.values()) == {0o600}, modes
        assert stat.S_IMODE((tmp_path / "deep").stat().st_mode) == 0o700
    finally:
        os.umask(old)


@pytest.mark.parametrize("token", [5, None, {}, {"access_token": ""}, {"access_token": "a b"}, "text"])
def test_put_refuses_what_is_no_token(provider: FakeProvider, make_client: MakeClient, token: Any) -> None:
    """`put` of something else changes nothing."""
    client = make_client(provider)
    client.put("g", provider.issue())
    before = client.token("g")
    with pytest.raises(ConfigurationError):
        client.put("g", token)
    assert client.token("g") == before


def test_templates_need_the_grant() -> None:
    """An import or export key without the grant's name would mix up all grants."""
    with pytest.raises(ConfigurationError, match="grant_id"):
        RedisStore("redis://127.0.0.1:1", import_key="tokens")


def test_a_token_hides_its_secrets() -> None:
    """`repr` and `str` of a token show neither half of the pair."""
    token = Token("access-secret", "refresh-secret", expires_at=2e9)
    assert "secret" not in repr(token) + str(token) + f"{token}"
