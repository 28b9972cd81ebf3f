"""Copies, pickles and forks of a session share its grant."""

from __future__ import annotations

import copy
import os
import pickle
import threading

import pytest
from conftest import Make

from oauth_session import NO_AUTH
from oauth_session.testing import FakeProvider


@pytest.fixture
def settings(provider: FakeProvider, store_url: str) -> dict[str, str]:
    return {"store": store_url, "grant_id": provider.url}


def test_a_pickle_shares_the_grant(provider: FakeProvider, make_session: Make, settings: dict[str, str]) -> None:
    """A pickled session comes back with its door, base URL and grant; a pickled response without the login."""
    session = make_session(provider, token=provider.issue(), **settings)
    session.headers["X-Mine"] = "1"
    response = session.get("me")
    again = pickle.loads(pickle.dumps(session))
    assert again.get("me").status_code == 200
    assert again.auth.source is session.auth.source
    assert provider.requests[-1].headers["x-mine"] == "1"
    assert pickle.loads(pickle.dumps(response)).json() == response.json()
    assert pickle.loads(pickle.dumps(NO_AUTH)) is NO_AUTH


def test_a_pickled_memory_grant_has_no_refresh_token(provider: FakeProvider, make_session: Make) -> None:
    """Two masters of one refresh token lose it: with `memory:` the pickle carries the access token alone."""
    seed = provider.issue()
    session = make_session(provider, token=seed, store="memory:", grant_id=provider.url)
    session.get("me")
    data = pickle.dumps(session)
    assert seed["access_token"].encode() in data
    assert seed["refresh_token"].encode() not in data
    assert pickle.loads(data).get("me").status_code == 200


@pytest.mark.parametrize("kind", [copy.copy, copy.deepcopy])
def test_a_copy_shares_the_grant(provider: FakeProvider, make_session: Make, kind: object) -> None:
    """Copies of a session hold the same door, whatever their store."""
    session = make_session(provider, token=provider.issue())
    again = kind(session)  # type: ignore[operator]
    assert again.auth is session.auth
    assert again.get("me").status_code == 200


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_both_sides_of_a_fork_go_on(provider: FakeProvider, make_session: Make, settings: dict[str, str]) -> None:
    """After a fork with a warm cache, parent and child refresh and go on, with one refresh between them."""
    session = make_session(provider, token=provider.issue(), **settings)
    session.get("me")
    provider.expire()
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if session.get("me").status_code == 200 else 1)
        except BaseException:
            os._exit(2)
    statuses: list[int] = []
    thread = threading.Thread(target=lambda: statuses.append(session.get("me").status_code))
    thread.start()
    thread.join(30)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert statuses == [200]
    assert provider.model.refresh_calls == 1
