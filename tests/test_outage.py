"""A token endpoint that is down, slow or gone, and a grant that is dead, under a fleet of workers."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from math import inf
from typing import Any, NamedTuple

import pytest
from conftest import MakeClient
from support.crowd import settings_of
from support.outage import BLACK_HOLE, Call, Calls, Fleet, MoodyProvider, Presented, until

from oauth_session import OAuthClient, RefreshPolicy
from oauth_session.rules.record import Pair
from oauth_session.testing import Answer


class Size(NamedTuple):
    """How many, and for how long (seconds)."""

    processes: int
    threads: int
    seconds: float
    retry_after: float


LONG = [pytest.mark.soak, pytest.mark.timeout(300)]
SIZES = [
    pytest.param(Size(3, 4, 1.0, 2.0), "redis", id="short"),
    *(pytest.param(Size(8, 4, 30.0, 5.0), store, id=f"long-{store}", marks=LONG) for store in ("redis", "sqlite")),
]
LONG_WINDOW = RefreshPolicy(margin=3000.0)
DOWN = Answer(503, {}, b"")


@pytest.fixture
def moody() -> Iterator[MoodyProvider]:
    provider = MoodyProvider()
    yield provider
    provider.close()


class Case(NamedTuple):
    """One store, and a pair for each grant."""

    client: OAuthClient
    settings: dict[str, Any]
    pairs: dict[str, dict[str, Any]]


def prepared(moody: MoodyProvider, make_client: MakeClient, store: str, **settings: Any) -> Case:
    """Grants in each state: `refused` (the API says so), `bare` (no access token), `stale` (valid, in the advisory
    window) and `fresh` (what the others are compared with)."""
    client = make_client(moody, store=store)
    pairs = {"refused": moody.issue()}
    moody.expire()
    pairs |= {name: moody.issue() for name in ("bare", "stale", "fresh")}
    client.put("refused", pairs["refused"])
    client.put("bare", {"refresh_token": pairs["bare"]["refresh_token"]})
    client.put("fresh", pairs["fresh"])
    access, refresh = pairs["stale"]["access_token"], pairs["stale"]["refresh_token"]
    client.auth("stale").source.put(lambda now: Pair(access, refresh, issued_at=now - 11400, lifetime=13000))
    return Case(client, settings_of(moody, store) | {"refresh": LONG_WINDOW} | settings, pairs)


def in_peace(calls: Calls, limit: float) -> None:
    """Whose token is valid does not notice: always 200 at the first try, no slower than with a fresh token."""
    assert {(call.end, call.replayed) for call in calls["stale"]} == {(200, False)}
    stale, fresh = ([call.took for call in calls[name]] for name in ("stale", "fresh"))
    assert statistics.median(stale) < 2 * statistics.median(fresh) + 0.02
    assert max(stale) < max(limit, 3 * max(fresh))


def ends(calls: list[Call], since: float, before: float = inf) -> set[int | str]:
    """How the calls ended that began and were over in that time."""
    return {call.end for call in calls if since < call.at and call.at + call.took < before}


def spaced(calls: list[Presented], retry_after: float) -> bool:
    """Whether no two attempts lie in one back-off interval: at least half of 1, 2, 4 ... s, or what the server asks for."""
    for number, (one, following) in enumerate(pairwise(calls)):
        asked = retry_after if isinstance(one.mood, Answer) and one.mood.status == 429 else 0.0
        if following.at - one.at < max(min(2.0**number, 60.0) / 2, asked) - 0.1:
            return False
    return True


@pytest.mark.parametrize(("size", "store_url"), SIZES, indirect=["store_url"])
@pytest.mark.alone
def test_a_token_endpoint_that_is_down(
    moody: MoodyProvider, make_client: MakeClient, store_url: str, size: Size
) -> None:
    """Law 9: 503, then 429 with Retry-After: one attempt per back-off interval in the whole fleet, then all are well."""
    case = prepared(moody, make_client, store_url)
    busy = Answer(429, {"Retry-After": f"{size.retry_after:g}"}, b"")
    in_trouble = ("refused", "bare", "stale")
    moody.mood = DOWN
    with Fleet(size.processes, size.threads, case.settings, {name: {} for name in case.pairs}) as fleet:
        until(lambda: all(moody.of(case.pairs[name]) for name in in_trouble))
        time.sleep(size.seconds - 1)
        moody.mood = busy
        until(lambda: all(any(c.mood is busy for c in moody.of(case.pairs[name])) for name in in_trouble), 60)
        time.sleep(size.seconds)
        well, moody.mood = time.monotonic(), None
        until(lambda: moody.model.generations == 3, 120)
        recovered = time.monotonic() + 0.5
        time.sleep(1.5)
        calls = fleet.stop()
    for name in in_trouble:
        presented = moody.of(case.pairs[name])
        moods = [one.mood for one in presented]
        assert DOWN in moods and busy in moods and moods.count(None) == 1
        assert spaced(presented, size.retry_after), (name, presented)
    assert moody.model.refresh_calls == 3
    assert moody.model.reuse_incidents == 0
    in_peace(calls, 2.0)
    assert ends(calls["refused"], 0.0, well) == {401}
    assert ends(calls["bare"], 0.0, well) == {"TemporarilyUnavailable"}
    assert {end for name in in_trouble for end in ends(calls[name], recovered)} == {200}


@pytest.mark.parametrize(("size", "store_url"), SIZES, indirect=["store_url"])
@pytest.mark.alone
def test_a_token_endpoint_that_is_a_black_hole(
    moody: MoodyProvider, make_client: MakeClient, store_url: str, size: Size
) -> None:
    """Laws 5, 6 and 9: without an answer a refresh token goes out twice in the whole fleet, later only within known
    grace or by somebody's word; whose token is valid does not notice."""
    patience = 1.5
    case = prepared(moody, make_client, store_url, refresh=replace(LONG_WINDOW, token_timeout=patience))
    case.pairs["forgiven"] = moody.issue()
    case.client.put("forgiven", {"refresh_token": case.pairs["forgiven"]["refresh_token"]})
    grants: dict[str, dict[str, Any]] = {name: {} for name in case.pairs}
    grants["forgiven"] = {"reuse_grace": 600.0}
    in_trouble = ("refused", "bare", "stale")
    moody.mood = BLACK_HOLE
    with Fleet(size.processes, size.threads, case.settings, grants) as fleet:
        until(lambda: all(len(moody.of(case.pairs[name])) >= 2 for name in in_trouble))
        time.sleep(patience + max(size.seconds, 4.0))
        settled = time.monotonic()
        moody.mood = None
        until(lambda: len(moody.of(case.pairs["forgiven"])) > 2 and moody.model.generations, 120)
        assert [len(moody.of(case.pairs[name])) for name in in_trouble] == [2, 2, 2]
        assert moody.model.refresh_calls == moody.model.generations == 1
        for name in in_trouble:
            case.client.refresh(name, force=True)
        forced = time.monotonic() + 0.5
        time.sleep(1.5)
        calls = fleet.stop()
    assert moody.model.refresh_calls == moody.model.generations == 4
    assert moody.model.reuse_incidents == 0
    in_peace(calls, patience)
    assert spaced(moody.of(case.pairs["forgiven"]), 0.0)
    assert ends(calls["refused"], 0.0, settled) <= {401}
    given_up = moody.of(case.pairs["bare"])[1].at + patience + 0.3
    seen = [call for call in calls["bare"] if given_up - patience < call.at < settled]
    assert ends(calls["bare"], given_up, settled) == {"RefreshOutcomeUnknown"}, (given_up, settled, seen)
    if store_url.startswith("redis"):  # where the others are told of it at once
        assert {end for name in grants for end in ends(calls[name], forced)} == {200}


@pytest.mark.parametrize(("size", "store_url"), SIZES, indirect=["store_url"])
@pytest.mark.alone
def test_a_dead_grant(moody: MoodyProvider, make_client: MakeClient, store_url: str, size: Size) -> None:
    """Laws 8 and 9: two token calls in the whole fleet say that a grant is dead; from then on everybody hears it at once."""
    case = prepared(moody, make_client, store_url)
    names = ("refused", "bare")
    grants: dict[str, dict[str, Any]] = {name: {} for name in (*names, "fresh")}
    moody.revoke()
    case.client.put("fresh", moody.issue())
    with Fleet(size.processes, size.threads, case.settings, grants) as fleet:
        until(lambda: all(len(moody.of(case.pairs[name])) >= 2 for name in names))
        time.sleep(size.seconds / 2)
        calls = fleet.stop()
    fresh = [call.took for call in calls["fresh"]]
    for name in names:
        presented = moody.of(case.pairs[name])
        assert len(presented) == 2
        assert {call.end for call in calls[name]} == {"InvalidGrant"}
        later = [call.took for call in calls[name] if call.at > presented[1].at + 0.3]
        assert later
        assert statistics.median(later) < 3 * statistics.median(fresh) + 0.05
    statuses = {status.grant_id: status for status in case.client.grants()[0]}
    assert {(statuses[name].state, statuses[name].has_refresh_token) for name in names} == {("dead", True)}
