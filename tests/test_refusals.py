"""Permission refusals: a server that says no to everything must not be asked for a new token every time."""

from __future__ import annotations

import time
from typing import Any

import pytest
from conftest import Make, MakeProvider
from support.crowd import crowd, refused, settings_of

from oauth_session.testing import Answer, FakeProvider

CASES: dict[str, tuple[int, dict[str, str], dict[str, Any]]] = {
    "403": (403, {}, {}),
    "403 insufficient_scope": (403, {"WWW-Authenticate": 'Bearer error="insufficient_scope"'}, {}),
    "bare 401": (401, {}, {}),
    "401 invalid_token": (401, {"WWW-Authenticate": 'Bearer error="invalid_token"'}, {}),
    "401 insufficient_scope": (401, {"WWW-Authenticate": 'Bearer error="insufficient_scope"'}, {}),
    "refresh_on 403": (403, {}, {"refresh_on": {401, 403}}),
}
AT_MOST = {"403": 0, "403 insufficient_scope": 0, "401 insufficient_scope": 0}


@pytest.mark.parametrize("case", CASES)
def test_two_hundred_refusals_cost_one_refresh(provider: FakeProvider, make_session: Make, case: str) -> None:
    """Section 7: a refusal that a fresh token does not cure puts the origin on hold."""
    status, headers, settings = CASES[case]
    provider.forbidden = Answer(status, headers, b"{}")
    session = make_session(provider, token=provider.issue(), **settings)
    assert {session.get("forbidden").status_code for _ in range(100)} == {status}
    time.sleep(2.1 if AT_MOST.get(case) is None else 0)  # beyond the new token's probation
    assert {session.get("forbidden").status_code for _ in range(100)} == {status}
    assert provider.model.refresh_calls <= AT_MOST.get(case, 1)
    assert session.get("me").status_code == 200


@pytest.mark.parametrize("case", ["403", "bare 401", "401 invalid_token", "refresh_on 403"])
def test_refusals_in_eight_processes_cost_one_refresh(provider: FakeProvider, store_url: str, case: str) -> None:
    """Law 9: the hold is in the grant's record, so eight processes that are refused 200 times refresh once in all."""
    status, headers, extra = CASES[case]
    provider.forbidden = Answer(status, headers, b"{}")
    settings = settings_of(provider, store_url) | {"token": provider.issue()} | extra
    statuses = [status for result in crowd(8, refused, settings, 25) for status in result]
    assert statuses == [status] * 200
    assert provider.model.refresh_calls <= 1


def test_a_hold_ends_with_a_later_success(provider: FakeProvider, make_session: Make) -> None:
    """Section 7: once a later generation is accepted there, refusals may mean expiry again."""
    provider.forbidden = Answer(401, {}, b"")
    session = make_session(provider, token=provider.issue())
    for _ in range(5):
        session.get("forbidden")
    assert provider.model.refresh_calls == 1
    session.auth.source.refresh()
    assert session.get("me").status_code == 200
    provider.expire()
    assert session.get("me").status_code == 200
    assert provider.model.refresh_calls == 3


def test_an_adopted_token_that_has_ended_too_is_no_hold(
    provider: FakeProvider, store_url: str, make_session: Make
) -> None:
    """Section 7: a replay with a token that another process minted long ago, and that is refused too, proves nothing."""
    ours = make_session(provider, token=provider.issue(), store=store_url, grant_id=provider.url)
    theirs = make_session(provider, store=store_url, grant_id=provider.url, on_event=lambda event: None)
    assert ours.get("me").status_code == theirs.get("me").status_code == 200
    held = theirs.auth.source.held()
    provider.expire()
    assert ours.get("me").status_code == 200
    time.sleep(2.1)
    provider.expire()
    renewed = theirs.auth.source.renew(held, provider.url)
    theirs.auth.source.refused_again(renewed, provider.url)
    assert theirs.get("me").status_code == 200
    assert provider.model.refresh_calls == 2


def test_a_newborn_token_is_on_probation(provider: FakeProvider, store_url: str, make_session: Make) -> None:
    """A process that meets a refusal just after another has refreshed for it does not refresh once more."""
    provider.forbidden = Answer(401, {}, b"")
    ours = make_session(provider, token=provider.issue(), store=store_url, grant_id=provider.url)
    theirs = make_session(provider, store=store_url, grant_id=provider.url, on_event=lambda event: None)
    source = ours.auth.source
    held = source.token()
    renewed = source.renew(held, provider.url)  # refreshed for a refusal, its replay still on the way
    assert renewed.held is not None
    assert theirs.get("forbidden").status_code == 401
    assert provider.model.refresh_calls == 1
    time.sleep(2.1)  # the probation is over
    assert theirs.get("forbidden").status_code == 401
    assert provider.model.refresh_calls == 2


def test_a_long_refusal_is_handed_on_whole(make_oauth_provider: MakeProvider, make_session: Make) -> None:
    """A refusal whose body is longer than a rule reads still reaches the caller complete, streamed or not."""
    provider = make_oauth_provider()
    rule = {"status": 200, "path": "error", "equals": "token_expired"}
    session = make_session(provider, token=provider.issue(), expired_when=[rule])
    query = "x" * 60_000
    for stream in (False, True):
        response = session.get("me", params={"q": query}, stream=stream)
        assert response.json()["query"] == f"q={query}"
