"""Seeds, new logins and the end of a grant."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import redis
from conftest import Make, MakeClient, MakeProvider
from support.shaky import eventually

from oauth_session import InvalidGrant, OAuthClient, OAuthSession, StoreError, TemporarilyUnavailable, Token, policy
from oauth_session.stores import RedisStore
from oauth_session.testing import FakeProvider


def kill_and_notice(provider: FakeProvider, session: OAuthSession) -> None:
    """The login ends, and the session finds out."""
    provider.revoke()
    with pytest.raises(InvalidGrant):
        session.get("me")


def test_a_dead_grant_costs_two_calls_for_everybody(provider: FakeProvider, store_url: str, make_session: Make) -> None:
    """Law 8: `invalid_grant` is confirmed once, then a tombstone answers at once, in every process."""
    first = make_session(provider, token=provider.issue(), store=store_url, grant_id=provider.url)
    second = make_session(provider, store=store_url, grant_id=provider.url, on_event=print)
    first.get("me")
    began = time.monotonic()
    kill_and_notice(provider, first)
    assert time.monotonic() - began >= 1.0
    for session in (first, second) * 3:
        with pytest.raises(InvalidGrant):
            session.get("me")
    assert provider.model.token_calls == 2


def test_a_good_token_that_is_called_bad_once(provider: FakeProvider, make_session: Make) -> None:
    """Law 8: an `invalid_grant` from a lagging replica costs a second, not the grant."""
    session = make_session(provider, token=provider.issue())
    provider.fault((400, {}, b'{"error": "invalid_grant"}'))
    provider.expire()
    assert session.get("me").status_code == 200
    assert provider.model.grant_alive()


def test_put_over_a_living_grant(provider: FakeProvider, store_url: str, make_client: MakeClient) -> None:
    """A new login replaces the old one at once here, and elsewhere when the old token is refused."""
    client = make_client(provider, store=store_url)
    other = make_client(provider, store=store_url, on_event=print)
    client.put(provider.url, provider.issue())
    assert other.session(provider.url).get("me").status_code == 200
    new = provider.issue()
    client.put(provider.url, new)
    assert client.token(provider.url).access_token == new["access_token"]
    provider.model.revoke(1)
    session = other.session(provider.url)
    assert session.get("me").status_code == 200
    assert other.token(provider.url).access_token == new["access_token"]
    assert provider.model.refresh_calls == 0


def test_put_over_a_tombstone(provider: FakeProvider, store_url: str, make_client: MakeClient) -> None:
    """A new login lifts a tombstone, for those who have met it, too."""
    client = make_client(provider, store=store_url)
    client.put(provider.url, provider.issue())
    session = client.session(provider.url)
    kill_and_notice(provider, session)
    client.put(provider.url, provider.issue())
    assert session.get("me").status_code == 200
    provider.expire()
    assert session.get("me").status_code == 200


def test_forget_and_put_again(provider: FakeProvider, store_url: str, make_client: MakeClient) -> None:
    """After `forget` nothing brings the grant back but a new login; the tokens are gone from the store."""
    client = make_client(provider, store=store_url)
    seed = provider.issue()
    client.put(provider.url, seed)
    session = client.session(provider.url)
    session.get("me")
    client.forget(provider.url)
    with pytest.raises(InvalidGrant, match="logged out"):
        session.get("me")
    with pytest.raises(InvalidGrant, match="logged out"):
        make_client(provider, store=store_url, token=lambda grant_id: seed).session(provider.url).get("me")
    listed, _ = client.grants()
    assert [(s.state, s.has_refresh_token) for s in listed if s.grant_id == provider.url] == [("logged_out", False)]
    client.put(provider.url, provider.issue())
    assert session.get("me").status_code == 200


def test_a_seed_is_for_an_empty_store(provider: FakeProvider, store_url: str, make_session: Make) -> None:
    """Law 16: the store wins over a seed, even a newer one."""
    first = provider.issue()
    settings = {"store": store_url, "grant_id": provider.url}
    assert make_session(provider, token=first, **settings).get("me").status_code == 200
    later = make_session(provider, token=provider.issue(), on_event=print, **settings)
    assert later.get("me").status_code == 200
    assert later.auth.source.token().token.access_token == first["access_token"]


def test_a_new_seed_over_a_dead_grant(provider: FakeProvider, store_url: str, make_session: Make) -> None:
    """Law 16: a dead record takes a seed that it has never seen, and never again one that it has."""
    settings = {"store": store_url, "grant_id": provider.url}
    first = provider.issue()
    kill_and_notice(provider, make_session(provider, refresh_token=first["refresh_token"], **settings))
    again = make_session(provider, refresh_token=first["refresh_token"], on_event=print, **settings)
    calls = provider.model.token_calls
    with pytest.raises(InvalidGrant):
        again.get("me")
    assert provider.model.token_calls == calls
    second = provider.issue()
    assert make_session(provider, refresh_token=second["refresh_token"], **settings).get("me").status_code == 200


def test_a_callable_seed(provider: FakeProvider, make_client: MakeClient) -> None:
    """Law 16: grants come in from somebody's own database, one by one, when they are first used."""
    asked: list[str] = []
    database = {"a": Token(**pick(provider.issue())), "b": provider.issue()}

    def find(grant_id: str) -> Any:
        asked.append(grant_id)
        return database.get(grant_id)

    client = make_client(provider, token=find)
    for _ in range(2):
        assert client.session("a").get("me").status_code == 200
        assert client.session("b").get("me").status_code == 200
    with pytest.raises(InvalidGrant, match="nothing is stored"):
        client.session("c").get("me")
    assert asked == ["a", "b", "c"]


def pick(pair: dict[str, Any]) -> dict[str, Any]:
    return {name: pair[name] for name in ("access_token", "refresh_token")}


def test_a_callable_seed_that_raises(provider: FakeProvider, make_client: MakeClient) -> None:
    """What the user's own code raises reaches the caller, and the next call tries again."""
    answers: list[Any] = [KeyError("no database"), provider.issue()]

    def find(grant_id: str) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    client = make_client(provider, token=find)
    with pytest.raises(KeyError, match="no database"):
        client.token("a")
    assert client.session("a").get("me").status_code == 200


def test_an_access_token_alone(provider: FakeProvider, make_session: Make) -> None:
    """A grant without a refresh token works until its token is refused; then the refusal is the caller's to see."""
    session = make_session(provider, token={"access_token": provider.issue()["access_token"]})
    assert session.get("me").status_code == 200
    provider.expire()
    assert session.get("me").status_code == 401
    assert provider.model.token_calls == 0


def test_a_transient_failure_costs_no_grant(provider: FakeProvider, make_session: Make) -> None:
    """Law 9: a token endpoint that is down is asked once per back-off; the API's own answer is returned meanwhile."""
    session = make_session(provider, token=provider.issue())
    provider.fault("503", times=100)
    provider.expire()
    began = time.monotonic()
    assert {session.get("me").status_code for _ in range(20)} == {401}
    most = 1 + (time.monotonic() - began) / (policy.BACKOFF_FIRST / 2)  # the shortest there is, and they double
    assert 1 <= provider.token_requests <= most
    assert provider.token_requests < 5
    provider.clear_faults()
    assert eventually(lambda: session.get("me").status_code == 200, 20)


def test_while_attaching_the_failure_is_raised(make_oauth_provider: MakeProvider, make_session: Make) -> None:
    """Section 5: with nothing fit to send, nothing is sent, and the error says when to try again."""
    provider = make_oauth_provider()
    session = make_session(provider, refresh_token=provider.issue()["refresh_token"])
    provider.fault("429", retry_after=7)
    with pytest.raises(TemporarilyUnavailable) as caught:
        session.get("me")
    assert caught.value.retry_after == pytest.approx(7, abs=0.5)
    with pytest.raises(TemporarilyUnavailable):
        session.get("me")
    assert provider.token_requests == 1
    assert provider.api_requests == 0
    assert session.auth.source.refresh(force=True).token.access_token


def test_what_another_program_left_is_adopted_once(provider: FakeProvider, valkey_url: str) -> None:
    """`import_key`: the pair of the interceptor pattern is read once; its later changes there count for nothing."""
    plain = redis.Redis.from_url(valkey_url)
    seed = provider.issue()
    plain.set(f"tokens:{provider.url}", json.dumps(pick(seed)))
    store = RedisStore(valkey_url, import_key="tokens:{grant_id}", export_key=lambda grant_id: f"export:{grant_id}")
    session = session_on(provider, store)
    assert session.get("me").status_code == 200
    assert session.auth.source.token().token.access_token == seed["access_token"]
    provider.expire()
    assert session.get("me").status_code == 200
    exported = json.loads(plain.get(f"export:{provider.url}"))
    assert exported["access_token"] == session.auth.source.token().token.access_token
    assert "refresh" not in json.dumps(exported)
    assert json.loads(plain.get(f"tokens:{provider.url}")) == pick(seed)
    kill_and_notice(provider, session)
    with pytest.raises(InvalidGrant):
        session.get("me")  # the old import is remembered by its fingerprint
    plain.set(f"tokens:{provider.url}", json.dumps(pick(provider.issue())))
    assert session.get("me").status_code == 200  # a new one is a new seed
    plain.close()
    store.close()


@pytest.mark.parametrize("left", ["not json", "[]", '"text"', "{}", '{"access_token": "a b"}'])
def test_an_import_that_is_no_token(provider: FakeProvider, valkey_url: str, left: str) -> None:
    """A value under the import key that is no token is a StoreError, and is left alone."""
    plain = redis.Redis.from_url(valkey_url)
    plain.set(f"tokens:{provider.url}", left)
    store = RedisStore(valkey_url, import_key="tokens:{grant_id}")
    with pytest.raises(StoreError, match="import key"):
        session_on(provider, store).get("me")
    assert plain.get(f"tokens:{provider.url}").decode() == left
    plain.close()
    store.close()


def session_on(provider: FakeProvider, store: Any) -> OAuthSession:
    client = OAuthClient(
        token_url=provider.token_url,
        client_id=provider.client_id,
        client_secret=provider.client_secret,
        store=store,
        base_url=provider.api_url,
    )
    return client.session(provider.url)
