"""Renewal in advance, and the threads that the package starts: none that nobody needs, none that stays."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from conftest import MakeClient, MakeProvider
from support.shaky import eventually

from oauth_session import OAuthClient, RefreshPolicy
from oauth_session.held import held_of
from oauth_session.rules.record import Pair, Record
from oauth_session.testing import FakeProvider


def threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("oauth-session")}


def ours(besides: set[threading.Thread]) -> list[str]:
    """The names of the package's threads, without those that were there before."""
    return sorted(thread.name for thread in threads() - besides)


def quiet(besides: set[threading.Thread], patience: float = 10.0) -> bool:
    """Whether all our threads end."""
    return eventually(lambda: not ours(besides), patience)


def stale(client: OAuthClient, provider: FakeProvider, grant: str = "g") -> None:
    """Store a pair that is good, and past the spread of its advisory window's beginning."""
    pair = provider.issue()
    access, refresh = pair["access_token"], pair["refresh_token"]
    client.auth(grant).source.put(lambda now: Pair(access, refresh, issued_at=now - 1150, lifetime=1300))


@pytest.mark.parametrize("lifetime", [2.0, 60.0, 3600.0, 86400.0])
def test_early_renewals_do_not_march_in_step(lifetime: float) -> None:
    """Section 6, jitter: processes that hold one token begin to renew it at moments of their own, all in the first half
    of the advisory window, so that one finds what another has renewed already."""
    record = Record("g", "c", "l", pair=Pair("a", "r", issued_at=1000.0, lifetime=lifetime))
    rules = RefreshPolicy()
    begins = [held.fresh_for for _ in range(500) if (held := held_of(record, 1000.0, rules, True))]
    first, last = rules.stale_after(lifetime), rules.expired_after(lifetime)
    half = first + (last - first) / 2
    assert first <= min(begins) < max(begins) <= half
    assert max(begins) - min(begins) > 0.8 * (half - first)
    quarters = [
        sum(first + (half - first) * n / 4 <= b < first + (half - first) * (n + 1) / 4 for b in begins)
        for n in range(4)
    ]
    assert min(quarters) > 60


def test_a_settled_or_dead_end_token_has_no_early_window() -> None:
    """Law 17: a token that a refresh did not prolong, or that nothing can renew, is fresh up to its end, without jitter."""
    rules = RefreshPolicy()
    pair = Pair("a", "r", issued_at=1000.0, lifetime=3600.0)
    for record in (
        Record("g", "c", "l", pair=pair, settled=True),
        Record("g", "c", "l", pair=Pair("a", None, issued_at=1000.0, lifetime=3600.0)),
    ):
        held = held_of(record, 1000.0, rules, True)
        assert held is not None
        assert held.fresh_for == held.usable_for == rules.expired_after(3600.0)


def test_many_threads_on_a_stale_token_renew_once(
    make_oauth_provider: MakeProvider, make_client: MakeClient, store_url: str
) -> None:
    """The advisory window: 16 threads in two sources go on at once with what they have, and one refresh is made."""
    provider = make_oauth_provider(token_latency=1.5)
    clients = [make_client(provider, store=store_url, on_event=lambda event, n=n: None) for n in range(2)]
    stale(clients[0], provider, provider.url)
    slowest = []

    def call(client: OAuthClient) -> None:
        session = client.session(provider.url)
        for _ in range(5):
            began = time.monotonic()
            assert session.get("me").status_code == 200
            slowest.append(time.monotonic() - began)

    threads = [threading.Thread(target=call, args=(client,)) for client in clients for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(slowest) == 80
    assert max(slowest) < 1.2
    end = time.monotonic() + 10
    while provider.model.generations < 1 and time.monotonic() < end:
        time.sleep(0.02)
    time.sleep(0.3)
    assert provider.model.refresh_calls == 1


def test_background_can_be_turned_off(make_oauth_provider: MakeProvider, make_client: MakeClient) -> None:
    """RefreshPolicy(background=False): who finds the token stale renews it before the request; the others do not wait."""
    provider = make_oauth_provider(token_latency=1.0)
    client = make_client(provider, refresh=RefreshPolicy(background=False))
    stale(client, provider)
    session, took = client.session("g"), {}
    session.auth.source._memory.look()  # the stale token is known

    def call(name: str) -> None:
        began = time.monotonic()
        assert session.get("me").status_code == 200
        took[name] = time.monotonic() - began

    first = threading.Thread(target=call, args=("first",))
    first.start()
    assert eventually(lambda: provider.token_requests)
    call("second")
    first.join()
    assert provider.model.generations == 1
    assert took["second"] < 0.5 < took["first"]
    tokens = [request.token for request in provider.requests if request.path.startswith("/api")]
    assert len(set(tokens)) == 2  # the first call went out once, with the new token


def test_no_early_renewal_with_a_margin_of_none(provider: FakeProvider, make_client: MakeClient) -> None:
    """RefreshPolicy(margin=None) has no advisory window at all: a token past it starts no thread."""
    before = threads()
    client = make_client(provider, refresh=RefreshPolicy(margin=None))
    stale(client, provider)
    assert quiet(before)
    for _ in range(5):
        assert client.session("g").get("me").status_code == 200
        assert ours(before) == []
    assert provider.model.refresh_calls == 0


def test_no_thread_lives_while_nothing_is_refreshed_or_watched(
    make_oauth_provider: MakeProvider, make_client: MakeClient, store_url: str
) -> None:
    """Issue of threads: none before a refresh, two during it, none after it; with push one listener while a grant is held."""
    before = threads()
    provider = make_oauth_provider(token_latency=0.4)
    client = make_client(provider, store=store_url)
    push = ["oauth-session-push"] if store_url.startswith("redis") else []
    assert ours(before) == []
    client.put("g", {"refresh_token": provider.issue()["refresh_token"]})
    assert ours(before) == push
    session = client.session("g")
    thread = threading.Thread(target=session.get, args=("me",))
    thread.start()
    time.sleep(0.2)
    assert ours(before) == sorted(["oauth-session-refresh", "oauth-session-post", *push])
    thread.join()
    end = time.monotonic() + 2
    while ours(before) != push and time.monotonic() < end:
        time.sleep(0.01)
    assert ours(before) == push
    assert session.get("me").status_code == 200
    assert ours(before) == push
    client.close()
    del client, session
    assert quiet(before)


PROGRAM = """
import os, sys, threading, time
from oauth_session import OAuthClient
from oauth_session.testing import FakeProvider

store, how = sys.argv[1:]
provider = FakeProvider(token_latency=0.3)
client = OAuthClient(base_url=provider.api_url, token_url=provider.token_url, client_id=provider.client_id,
                     client_secret=provider.client_secret, store=store)
client.put("g", provider.issue())
session = client.session("g")
assert session.get("me").status_code == 200
if how == "idle":
    print("ended", flush=True)
elif how == "refreshing":
    provider.expire()
    threading.Thread(target=client.refresh, args=("g",), daemon=True).start()
    time.sleep(0.1)
    print("ended", flush=True)
"""


@pytest.mark.parametrize("how", ["idle", "refreshing"])
def test_threads_end_with_the_process(tmp_path: Path, store_url: str, how: str) -> None:
    """A program whose main thread is done ends at once, listening or not; a refresh under way is finished first."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
    with subprocess.Popen(
        [sys.executable, str(program), store_url, how], stdout=subprocess.PIPE, text=True, env=env
    ) as run:
        try:
            assert run.stdout
            assert run.stdout.readline() == "ended\n"
            began = time.monotonic()
            assert run.wait(20) == 0
            assert time.monotonic() - began < 5
        finally:
            run.kill()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_is_told_too(provider: FakeProvider, make_client: MakeClient, valkey_url: str) -> None:
    """Threads after a fork: the child has none of its parent's, listens by itself, and hears of the parent's next commit."""
    client = make_client(provider, store=valkey_url)
    client.put("g", provider.issue())
    source = client.auth("g").source
    source.token()
    time.sleep(0.3)  # the parent listens
    listens, ready = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            source._memory.look()  # as the first request after a fork does, when its time has come
            time.sleep(0.5)
            before, end = source.token().token, time.monotonic() + 2.0  # less than the freshness bound
            os.write(ready, b"!")
            while time.monotonic() < end and source.token().token is before:
                time.sleep(0.005)
            code = 0 if source.token().token is not before and ours(set()) == ["oauth-session-push"] else 3
        finally:
            os._exit(code)
    assert os.read(listens, 1) == b"!"
    source.put(lambda now: Pair(provider.issue()["access_token"]))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    os.close(listens)
    os.close(ready)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_in_the_midst_of_a_refresh(
    make_oauth_provider: MakeProvider, make_client: MakeClient, store_url: str
) -> None:
    """A fork waits for a refresh under way: parent and child have its result, and nobody asks again."""
    provider = make_oauth_provider(token_latency=0.8)
    client = make_client(provider, store=store_url)
    client.put(provider.url, provider.issue())
    first = client.token(provider.url).access_token
    thread = threading.Thread(target=client.refresh, args=(provider.url,))
    thread.start()
    time.sleep(0.3)
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if client.token(provider.url).access_token != first else 1)
        except BaseException:
            os._exit(2)
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert provider.model.refresh_calls == 1
