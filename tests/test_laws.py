"""The laws of the refresh that do not live in the pure protocol: what the driver, the endpoint and the source owe it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from conftest import MakeClient, MakeProvider
from support.outcomes import OUTCOMES, SETTINGS
from support.servers import RedisServer, redis_binaries
from support.shaky import Shaky, eventually

from oauth_session import (
    OAuthClient,
    OAuthSessionError,
    RefreshTimeout,
    TemporarilyUnavailable,
    policy,
)
from oauth_session.events import Event
from oauth_session.rules.effects import Outcome
from oauth_session.rules.outcomes import ERRORS
from oauth_session.stores import SQLiteStore
from oauth_session.testing import FakeProvider


def pair_of(make_client: MakeClient, provider: FakeProvider, store: str) -> tuple[OAuthClient, OAuthClient]:
    """Two clients with sources of their own, as in two processes."""
    return make_client(provider, store=store), make_client(provider, store=store, on_event=lambda event: None)


# -- law 4: a claim outlives its work ----------------------------------------------------------------------------------


@pytest.mark.parametrize("store_url", ["sqlite", pytest.param("redis", marks=pytest.mark.soak)], indirect=True)
def test_the_heart_beats_while_the_endpoint_thinks(
    make_oauth_provider: MakeProvider, make_client: MakeClient, store_url: str
) -> None:
    """Law 4: an answer that takes longer than a lease is waited for by everybody: one POST, one commit, one token."""
    provider = make_oauth_provider(token_latency=policy.LEASE + 1.5)
    ours, theirs = pair_of(make_client, provider, store_url)
    ours.put("g", {"refresh_token": provider.issue()["refresh_token"]})
    tokens: list[str] = []
    threads = [threading.Thread(target=lambda c=c: tokens.append(c.token("g").access_token)) for c in (ours, theirs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(tokens) == 2
    assert len(set(tokens)) == 1
    assert provider.model.token_calls == 1


# -- law 6: never blindly twice ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["drop_before", "drop_after", "cut"])
def test_the_transport_repeats_nothing(provider: FakeProvider, make_client: MakeClient, fault: str) -> None:
    """Law 6: a POST that was sent and then cut off is not repeated before the store was asked and a back-off is over."""
    client = make_client(provider)
    client.put("g", {"refresh_token": provider.issue()["refresh_token"]})
    provider.fault(fault)
    thread = threading.Thread(target=_token_or_error, args=(client,))
    thread.start()
    assert eventually(lambda: provider.token_requests)
    time.sleep(0.4)
    assert provider.token_requests == 1
    thread.join(20)
    assert provider.token_requests == (2 if fault == "drop_before" else 3)


def test_a_connection_that_was_closed_meanwhile_costs_nothing(provider: FakeProvider, make_client: MakeClient) -> None:
    """Law 6: an idle connection to the token endpoint that the server has closed is not written to."""
    client = make_client(provider)
    client.put("g", provider.issue())
    for _ in range(4):
        client.refresh("g")
        provider.hang_up()
        time.sleep(0.05)
    assert provider.model.token_calls == provider.token_requests == provider.model.generations == 4


def test_after_a_cut_off_the_store_is_read_first(
    provider: FakeProvider, make_client: MakeClient, store_url: str
) -> None:
    """Law 6: what somebody else brought in after our POST was cut off is used; the old refresh token stays where it is."""
    ours, theirs = pair_of(make_client, provider, store_url)
    first, second = provider.issue(), provider.issue()
    ours.put("g", {"refresh_token": first["refresh_token"]})
    provider.fault("drop_after")
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(ours.token("g").access_token))
    thread.start()
    assert eventually(lambda: provider.token_requests)
    theirs.put("g", second)
    thread.join(20)
    assert found == [second["access_token"]]
    assert provider.token_requests == 1
    assert provider.model.reuse_incidents == 0


# -- law 10: persist before use ----------------------------------------------------------------------------------------

PROGRAM = """
import sys, threading, time
from oauth_session import OAuthClient
url, token_url, secret, store = sys.argv[1:]
client = OAuthClient(base_url=url, token_url=token_url, client_id="fake-client", client_secret=secret, store=store)
threading.Thread(target=client.refresh, args=("g",), daemon=True).start()
time.sleep(1.0)
print("ended", flush=True)
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(redis_binaries()["valkey"], tmp_path, "--appendonly", "yes")
    yield server
    server.stop()


@pytest.mark.parametrize(
    "back", [pytest.param(True, id="back in time"), pytest.param(False, id="never back", marks=pytest.mark.soak)]
)
def test_a_program_that_ends_while_the_store_is_away(
    make_oauth_provider: MakeProvider, make_client: MakeClient, server: RedisServer, tmp_path: Path, back: bool
) -> None:
    """Law 10: the end of a program waits for a store that is away at the commit, but not for ever."""
    provider = make_oauth_provider(token_latency=1.6)
    client = make_client(provider, store=server.url)
    client.put("g", provider.issue())
    client.close()
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
    args = [provider.api_url, provider.token_url, str(provider.client_secret), server.url]
    with subprocess.Popen([sys.executable, str(program), *args], stdout=subprocess.PIPE, text=True, env=env) as run:
        try:
            assert eventually(lambda: provider.token_requests, 20)
            time.sleep(0.3)
            server.kill()
            assert run.stdout
            assert run.stdout.readline() == "ended\n"
            began = time.monotonic()
            if back:
                time.sleep(3.0)
                assert run.poll() is None
                server.start()
            assert run.wait(40) == 0
            took = time.monotonic() - began
        finally:
            run.kill()
    assert provider.model.generations == 1
    if back:
        with redis.Redis.from_url(server.url, decode_responses=True) as plain:
            (key,) = plain.keys("oauth-session:*")
            assert '"generation":1' in plain.hget(key, "record")
    else:
        assert policy.EXIT_PATIENCE - 2 < took < policy.EXIT_PATIENCE + 15


# -- law 12: waiters wait for the result -------------------------------------------------------------------------------


def test_a_waiter_is_woken_by_the_result(
    make_oauth_provider: MakeProvider, make_client: MakeClient, store_url: str
) -> None:
    """Law 12: another process has the token a moment after the commit: median of five, far below a heartbeat or a lease."""
    provider = make_oauth_provider(token_latency=0.3)
    sources = [client.auth("g").source for client in pair_of(make_client, provider, store_url)]
    pair = provider.issue()
    make_client(provider, store=store_url).put("g", pair)
    lags = []
    for _ in range(5):
        for source in sources:
            source.token()
        time.sleep(0.3)  # both listen
        landed: dict[int, float] = {}

        def wait(number: int, landed: dict[int, float] = landed) -> None:
            sources[number].refresh()
            landed[number] = time.monotonic()

        threads = [threading.Thread(target=wait, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
            time.sleep(0.1)
        for thread in threads:
            thread.join(20)
        lags.append(landed[1] - landed[0])
    assert provider.model.refresh_calls == 5
    assert sorted(lags)[2] < 0.15


def test_a_waiter_has_a_deadline_and_shares_the_failure(
    make_oauth_provider: MakeProvider, make_client: MakeClient, store_url: str
) -> None:
    """Law 12: who waits for another process's refresh gives up at its own deadline; who waits longer gets that refresh's
    failure, and asks nobody."""
    provider = make_oauth_provider(token_latency=2.0)
    ours, theirs = pair_of(make_client, provider, store_url)
    ours.put("g", {"refresh_token": provider.issue()["refresh_token"]})
    provider.fault("503", times=5)
    source = theirs.auth("g").source
    thread = threading.Thread(target=_token_or_error, args=(ours,))
    thread.start()
    assert eventually(lambda: provider.token_requests)
    began = time.monotonic()
    with pytest.raises(RefreshTimeout):
        source.token(0.3)
    assert 0.25 < time.monotonic() - began < 1.2
    with pytest.raises(TemporarilyUnavailable):
        source.token()
    thread.join(20)
    assert provider.token_requests == 1


# -- law 14: freshness is bounded --------------------------------------------------------------------------------------


def test_one_light_look_per_bound(
    provider: FakeProvider, make_client: MakeClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Law 14: without push eight threads look at the store once per freshness bound, not once each, and do not write."""
    monkeypatch.setattr(policy, "FRESHNESS", 0.5)
    store, looks, writes = SQLiteStore(tmp_path / "g.db"), [], []
    load, swap = store.load, store.swap
    monkeypatch.setattr(store, "load", lambda key: (looks.append(time.monotonic()), load(key))[1])
    monkeypatch.setattr(store, "swap", lambda *args: (writes.append(args), swap(*args))[1])
    client = make_client(provider, store=store)
    client.put("g", provider.issue())
    source = client.auth("g").source
    source.token()
    looks.clear(), writes.clear()
    end = time.monotonic() + 2.6

    def call() -> None:
        while time.monotonic() < end:
            source.token()
            time.sleep(0.001)

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 3 <= len(looks) <= 6
    assert writes == []


# -- law 15: one named outcome -----------------------------------------------------------------------------------------


def _token_or_error(client: OAuthClient) -> str:
    try:
        return client.token("g").access_token
    except OAuthSessionError as error:
        return type(error).__name__


def test_the_table_is_complete() -> None:
    """Law 15: every outcome either brings a token or has its error; no outcome has both."""
    with_token = {Outcome.REFRESHED, Outcome.ADOPTED, Outcome.UNPERSISTED}
    assert set(ERRORS) | with_token == set(Outcome)
    assert not set(ERRORS) & with_token


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: outcome.value)
def test_each_renewal_ends_in_one_named_outcome(
    provider: FakeProvider, make_client: MakeClient, outcome: Outcome
) -> None:
    """Law 15: one event per renewal, with the outcome's name, and the error of the table."""
    events: list[Event] = []
    store = Shaky()
    client = make_client(provider, store=store, on_event=events.append, **SETTINGS.get(outcome, {}))
    source = client.auth("g").source  # held: what is put is in memory
    client.put("g", provider.issue())
    assert source.held()
    case, error = OUTCOMES[outcome]
    if error is None:
        assert case(provider, client, store)
    else:
        with pytest.raises(error) as caught:
            case(provider, client, store)
        assert type(caught.value) is error
    renewals = (
        2 if outcome in (Outcome.BACKING_OFF, Outcome.TOO_EARLY, Outcome.HELD) else 1
    )  # with the one that led there

    def ended() -> list[str]:
        return [event.outcome for event in events if event.name in ("refresh_ended", "adopted", "unpersisted")]

    assert eventually(lambda: len(ended()) >= renewals)
    assert len(ended()) == renewals
    assert outcome.value in ended()
