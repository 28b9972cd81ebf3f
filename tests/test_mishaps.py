"""Mishaps around one refresh: interrupts, forks, late answers, stores that only read, proxies that refuse."""

from __future__ import annotations

import copy
import json
import os
import pickle
import socket
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis
import requests
from conftest import Make, MakeClient, MakeProvider
from support.shaky import Shaky, eventually, settings_of

from oauth_session import (
    ConfigurationError,
    OAuthClient,
    OAuthSession,
    OAuthSessionError,
    RefreshPolicy,
    StoreError,
    TemporarilyUnavailable,
    mount,
)
from oauth_session.rules.effects import Ask, Terms
from oauth_session.rules.lineage import begin
from oauth_session.rules.protocol import decide
from oauth_session.rules.record import Pair, claim
from oauth_session.stores import RedisStore, SQLiteStore, open_store
from oauth_session.stores.values import GrantKey, Snapshot, Swapped
from oauth_session.testing import Answer, FakeProvider


def test_a_process_ends_although_the_token_endpoint_answers_nonsense(provider: FakeProvider, tmp_path: Path) -> None:
    """The interpreter's exit does not wait for a token endpoint that answers nonsense for ever (section 4, law 4)."""
    provider.fault("html_200", times=10_000)
    script = f"""
        import requests
        from oauth_session import OAuthSession, RefreshPolicy
        settings = {settings_of(provider, grant_type="client_credentials")!r}
        session = OAuthSession(**settings, refresh=RefreshPolicy(deadline=1.0))
        try:
            session.get("me")
        except requests.RequestException as error:
            print(type(error).__name__, flush=True)
    """
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)])
    try:
        assert child.wait(25) == 0
    finally:
        child.kill()
        child.wait()


def test_nonsense_from_the_token_endpoint_ends_in_a_named_error(provider: FakeProvider, make_session: Make) -> None:
    """Law 15: each renewal ends in one named outcome, also where the same request may be repeated at will."""
    provider.fault("html_200", times=10_000)
    session = make_session(provider, grant_type="client_credentials")
    ended = threading.Event()
    errors: list[BaseException] = []

    def call() -> None:
        try:
            session.get("me")
        except OAuthSessionError as error:
            errors.append(error)
        ended.set()

    threading.Thread(target=call).start()
    landed = ended.wait(10)
    provider.clear_faults()
    assert ended.wait(60)
    assert landed, "still asking after 10 s"


def spoil(provider: FakeProvider, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """The next answers rotate the refresh token, but their access token cannot be sent."""
    real, left = provider.model.token, [times]

    def token(*args: Any, **options: Any) -> Answer:
        answer = real(*args, **options)
        if answer.status == 200 and left[0]:
            left[0] -= 1
            return answer._replace(body=json.dumps(json.loads(answer.body) | {"access_token": "not good"}).encode())
        return answer

    monkeypatch.setattr(provider.model, "token", token)


@pytest.mark.parametrize("times", [1, 2])
def test_a_rotation_beside_an_unusable_access_token_is_kept(
    provider: FakeProvider, make_session: Make, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """No rotated refresh token is dropped, also when one renewal has to salvage one and then gets another."""
    session = make_session(
        provider, refresh_token=provider.issue()["refresh_token"], refresh=RefreshPolicy(deadline=20.0)
    )
    spoil(provider, monkeypatch, times)
    with suppress(OAuthSessionError):
        session.get("me")
    with suppress(OAuthSessionError):
        session.get("me")
    provider.expire()
    with suppress(OAuthSessionError):
        session.get("me")
    assert provider.model.reuse_incidents == 0
    assert provider.model.grant_alive()


def test_a_callers_deadline_holds_while_a_pair_waits_for_its_store(
    make_oauth_provider: MakeProvider, make_session: Make
) -> None:
    """Law 12: a caller whose token ends while the pair is unpersisted gets `RefreshTimeout`, not an endless spin."""
    provider, store = make_oauth_provider(lifetime=1.0), Shaky()
    session = make_session(
        provider, refresh_token=provider.issue()["refresh_token"], store=store, refresh=RefreshPolicy(deadline=1.0)
    )
    store.fails_after = 1  # the claim stands, the commit does not
    assert session.get("me").status_code == 200  # unpersisted
    time.sleep(1.1)
    ended = threading.Event()

    def call() -> None:
        with suppress(OAuthSessionError):
            session.get("me")
        ended.set()

    caller = threading.Thread(target=call)
    busy = time.process_time()
    caller.start()
    in_time = ended.wait(4)
    busy = time.process_time() - busy
    store.fails_after, store.load_fails, store.swap_fails = None, False, False
    assert ended.wait(20)
    caller.join()
    assert in_time, f"the deadline was 1 s; {busy:.1f} s of CPU were spent in 4 s"


def test_a_store_that_only_reads_is_told_of_once(provider: FakeProvider, make_session: Make) -> None:
    """Law 10: a pair that a read-only store does not take is offered again with a growing pause, and told once."""
    store = Shaky()
    events: list[Any] = []
    session = make_session(
        provider, refresh_token=provider.issue()["refresh_token"], store=store, on_event=events.append
    )
    normal = store.swap

    def swap(*args: Any, **options: Any) -> Swapped:
        if store.swaps >= 1:
            store.swaps += 1
            raise StoreError("read only")
        return normal(*args, **options)

    store.swap = swap  # type: ignore[method-assign]
    assert session.get("me").status_code == 200
    time.sleep(3)
    store.swap = normal  # type: ignore[method-assign]
    told = sum(event.name == "unpersisted" for event in events)
    assert eventually(lambda: not session.auth.source._flight)
    assert told == 1


def test_an_interrupt_while_the_worker_is_made_does_not_block_the_grant(
    provider: FakeProvider, make_session: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Law 4: a Ctrl-C or a raising SIGALRM inside `threading.Thread(...)` leaves a session that works."""
    session = make_session(provider, token=provider.issue(), refresh=RefreshPolicy(deadline=3.0))
    session.get("me")
    provider.expire()
    init = threading.Thread.__init__

    def interrupted(self: threading.Thread, *args: Any, **options: Any) -> None:
        if options.get("name") == "oauth-session-refresh":
            monkeypatch.setattr(threading.Thread, "__init__", init)
            raise KeyboardInterrupt  # as a signal handler would between any two of its lines
        init(self, *args, **options)

    monkeypatch.setattr(threading.Thread, "__init__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        session.get("me")
    assert session.get("me").status_code == 200


def test_an_interrupt_before_a_look_at_the_store_does_not_end_all_looks(
    provider: FakeProvider, make_session: Make
) -> None:
    """Law 14: a Ctrl-C in a look leaves nothing locked: the next one comes when its time has come."""
    store = Shaky()
    session = make_session(provider, token=provider.issue(), store=store)
    session.get("me")
    memory = session.auth.source._memory
    memory._next_look = 0.0
    load, before = store.load, store.loads

    def interrupted(key: GrantKey) -> Snapshot:
        store.load = load  # type: ignore[method-assign]
        raise KeyboardInterrupt

    store.load = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        session.get("me")
    memory._next_look = 0.0
    session.get("me")
    assert store.loads == before + 1


def test_an_unused_memory_grant_travels_without_its_refresh_token(
    provider: FakeProvider, make_client: MakeClient
) -> None:
    """Section 5: an unpickled `memory:` grant has no refresh token, or two processes would spend the same one."""
    session = OAuthSession(**settings_of(provider, refresh_token=provider.issue()["refresh_token"], store="memory:"))
    text = pickle.dumps(session)
    script = "import sys, pickle; s = pickle.loads(sys.stdin.buffer.read()); print(s.get('me').status_code)"
    for _ in range(2):
        subprocess.run([sys.executable, "-c", script], input=text, capture_output=True, timeout=60, check=False)
    assert provider.model.reuse_incidents == 0
    assert provider.model.grant_alive()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_does_not_double_a_memory_grant(provider: FakeProvider) -> None:
    """A rotating refresh token in memory is not presented on both sides of a fork: one side would kill the grant."""
    script = f"""
        import os
        from oauth_session import OAuthSession
        session = OAuthSession(**{settings_of(provider, token=provider.issue(), store="memory:")!r})
        session.get("me")
        input()
        child = os.fork()
        try:
            session.get("me")
        except Exception as error:
            print(type(error).__name__)
        if child:
            os.waitpid(child, 0)
    """
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdin=subprocess.PIPE)
    try:
        assert eventually(lambda: provider.api_requests)
        provider.expire()
        child.communicate(b"\n", timeout=60)
    finally:
        child.kill()
        child.wait()
    assert provider.model.reuse_incidents == 0


def test_a_wiped_store_does_not_bring_a_spent_seed_back(
    provider: FakeProvider, make_session: Make, tmp_path: Path
) -> None:
    """A process that holds the live pair does not present the spent seed when the store has lost the record."""
    path = tmp_path / "grants.db"
    session = make_session(provider, refresh_token=provider.issue()["refresh_token"], store=f"sqlite:///{path}")
    assert session.get("me").status_code == 200  # the seed is spent now
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM grants")
    connection.close()
    provider.expire()
    try:
        status = session.get("me").status_code
    except OAuthSessionError as error:
        status = type(error).__name__
    assert (status, provider.model.reuse_incidents) == (200, 0)


def test_a_complete_answer_after_the_deadline_is_kept(make_oauth_provider: MakeProvider, make_session: Make) -> None:
    """Never drop a pair: an answer that is complete while the worker still waits for it is committed."""
    provider = make_oauth_provider()
    seed = provider.issue()["refresh_token"]
    provider.fault("drip", interval=1.1 / 190)  # a little beyond the deadline; a busy machine adds to it
    plain = requests.Session()
    session = make_session(
        provider,
        refresh_token=seed,
        token_session=plain,
        refresh=RefreshPolicy(token_timeout=1.0, deadline=20.0),
    )
    began = time.monotonic()
    try:
        status = session.get("me").status_code
    except OAuthSessionError as error:
        status = type(error).__name__
    plain.close()
    assert (status, provider.model.reuse_incidents) == (200, 0), f"after {time.monotonic() - began:.1f} s"


def test_a_refresh_without_threads_keeps_its_claim(
    make_oauth_provider: MakeProvider, make_session: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Law 4: a claim outlives its work, also where no thread can be started any more (the interpreter's exit)."""
    provider = make_oauth_provider(token_latency=7.0)
    seed = provider.issue()["refresh_token"]
    url = f"sqlite:///{tmp_path}/grants.db"
    ours = make_session(provider, refresh_token=seed, store=url)
    theirs = make_session(provider, store=url, on_event=lambda event: None)
    start, inline = threading.Thread.start, threading.Event()

    def refuse(self: threading.Thread) -> None:
        if self.name.startswith("oauth-session") and threading.current_thread().name == "inline":
            inline.set()
            raise RuntimeError("can't create new thread at interpreter shutdown")
        start(self)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    results: list[Any] = []

    def call(session: OAuthSession) -> None:
        try:
            results.append(session.get("me").status_code)
        except OAuthSessionError as error:
            results.append(type(error).__name__)

    one = threading.Thread(target=call, args=(ours,), name="inline")
    one.start()
    assert inline.wait(5)
    time.sleep(0.3)
    two = threading.Thread(target=call, args=(theirs,))
    two.start()
    one.join()
    two.join()
    assert (results, provider.model.reuse_incidents) == ([200, 200], 0)


def test_a_sqlite_store_in_memory_is_refused() -> None:
    """`sqlite:///:memory:` is one database per connection: a grant there is lost at random."""
    with pytest.raises(ConfigurationError):
        open_store("sqlite:///:memory:")


def test_a_relative_sqlite_path_survives_chdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store is one file: a daemon that changes its directory does not get an empty second one."""
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    monkeypatch.chdir(tmp_path / "one")
    store, key = SQLiteStore("grants.db"), GrantKey("d", "g")
    store.swap(key, "", "r1", "{}")
    store.close()
    monkeypatch.chdir(tmp_path / "two")
    try:
        assert store.load(key).text == "{}"
    finally:
        store.close()


def test_a_sqlite_file_that_exists_is_made_private(tmp_path: Path) -> None:
    """The file is readable by its owner only, also when it was there before."""
    path = tmp_path / "grants.db"
    path.touch(mode=0o644)
    store = SQLiteStore(path)
    store.swap(GrantKey("d", "g"), "", "r1", "{}")
    store.close()
    assert path.stat().st_mode & 0o077 == 0


def test_a_password_with_escapes_is_decoded() -> None:
    """A percent-encoded password in a URL means the same for one server and for a Sentinel."""
    store = RedisStore("redis+sentinel://user:p%40ss@127.0.0.1:1/name")
    assert store.client.connection_pool.connection_kwargs["password"] == "p@ss"


def test_an_export_is_never_taken_for_an_import(
    provider: FakeProvider, make_client: MakeClient, valkey_url: str
) -> None:
    """Law 16: our own mirror of the access token is no seed, although the two keys are the same."""
    try:
        store = RedisStore(valkey_url, import_key="pair:{grant_id}", export_key="pair:{grant_id}")
    except ConfigurationError:
        return
    server = redis.Redis.from_url(valkey_url)
    server.set("pair:g", json.dumps(provider.issue()))
    server.close()
    client = make_client(provider, store=store)
    client.token("g")
    client.refresh("g")
    provider.revoke()
    for _ in range(2):
        with pytest.raises(OAuthSessionError):
            client.refresh("g")
    listed, _ = client.grants()
    store.close()
    assert [(status.state, status.has_refresh_token) for status in listed] == [("dead", True)]


def test_the_store_is_looked_at_soon_after_it_was_away(provider: FakeProvider, make_client: MakeClient) -> None:
    """Law 14: a store that was away for a moment does not make a process blind for longer than the freshness bound."""
    store = Shaky()
    client = make_client(provider, store=store)
    client.put("g", provider.issue())
    source = client.auth("g").source
    source.token()
    source._memory._next_look = 0.0
    store.load_fails = True
    source.token()
    store.load_fails = False
    assert source._memory._next_look - time.monotonic() < 10


def test_a_claim_from_the_future_is_no_claim() -> None:
    """A claim lives for its lease: when the store's clock was set back by an hour, nobody waits for an hour."""
    record = claim(begin("g", "c", "l", Pair(refresh_token="r")), "them", 10_000.0)
    terms = Terms("me", RefreshPolicy(), record)
    assert decide(record, 6_400.0, Ask(), terms).wait <= 10


def test_a_refresh_that_is_cut_off_leaves_a_new_login_alone(
    make_oauth_provider: MakeProvider, make_client: MakeClient
) -> None:
    """Law 8: a loser never destroys a winner: a POST of the old login that fails says nothing about the new one."""
    provider = make_oauth_provider(token_latency=1.0)
    client = make_client(provider)
    client.put("g", provider.issue())
    source = client.auth("g").source
    provider.fault("drop_after")
    caller = threading.Thread(target=lambda: source._renew(Ask((source.token().lineage, 0)), 10))
    caller.start()
    assert eventually(lambda: provider.token_requests)
    client.put("g", provider.issue())
    caller.join()
    status = next(s for s in client.grants()[0] if s.grant_id == "g")
    assert (status.last_outcome, status.last_error) == ("", "")


def test_a_deep_copy_shares_the_grant(provider: FakeProvider, make_session: Make) -> None:
    """Section 5: a copy shares the grant, whatever object the store is."""
    session = make_session(provider, token=provider.issue())
    assert copy.deepcopy(session).get("me").status_code == 200


def test_a_copy_leaves_no_seed_behind(provider: FakeProvider) -> None:
    """Law 8: a tombstone keeps its pair: the access token that a copy carries is no seed for a dead grant."""
    session = OAuthSession(**settings_of(provider, token=provider.issue(), store="memory:", grant_id=provider.url))
    session.get("me")
    twin = copy.deepcopy(session)
    provider.revoke()
    errors = []
    for one in (session, twin, session):
        try:
            one.get("me")
        except OAuthSessionError as error:
            errors.append(type(error).__name__)
    store = open_store("memory:")
    record = json.loads(store.load(session.auth.source.ledger.key).text)
    assert errors == ["InvalidGrant"] * 3
    assert record["state"] == "dead"
    assert "refresh_token" in record["pair"]


class Peculiar(Exception):
    """An error that cannot be copied, as many are."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}")


def test_an_error_of_the_users_own_comes_through(provider: FakeProvider, make_session: Make) -> None:
    """What a secret's callable raises reaches the caller as it is, even if it cannot be copied."""

    def secret() -> str:
        raise Peculiar(7, "the vault is sealed")

    session = make_session(provider, refresh_token=provider.issue()["refresh_token"], client_secret=secret)
    with pytest.raises(Peculiar):
        session.get("me")


def test_an_error_of_the_users_own_does_not_replace_the_answer(provider: FakeProvider, make_session: Make) -> None:
    """Section 5: when a renewal fails while following up, the API's own response is returned."""

    def secret() -> str:
        raise Peculiar(7, "the vault is sealed")

    session = make_session(provider, token=provider.issue(), client_secret=secret)
    provider.expire()
    assert session.get("me").status_code == 401


def test_a_proxy_that_refuses_costs_no_attempt(
    make_session: Make, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Law 9: a proxy that refuses to connect has seen no refresh token: that is transient, however often."""
    server = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def run() -> None:
        server.settimeout(0.1)
        while not stop.is_set():
            try:
                connection, _ = server.accept()
            except TimeoutError:
                continue
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")

    thread = threading.Thread(target=run)
    thread.start()
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{server.getsockname()[1]}")
    session = make_session(provider, refresh_token="r", token_url="https://auth.example.test/token")
    try:
        with pytest.raises(TemporarilyUnavailable):
            session.get("me")
    finally:
        stop.set()
        thread.join()
        server.close()


def test_a_session_with_a_mounted_door_can_be_pickled(provider: FakeProvider) -> None:
    """Section 5: a pickle holds what the constructor was given, also of a session with a mounted door."""
    client = OAuthClient(**settings_of(provider, store="memory:"))
    session = requests.Session()
    mount(session, provider.url, client.auth("g"))
    assert pickle.loads(pickle.dumps(session))


def test_a_door_beside_other_arguments_is_refused(provider: FakeProvider, make_client: MakeClient) -> None:
    """Bad input: with `auth=` only `base_url` may be given; a seed or a store beside it is not silently dropped."""
    door = make_client(provider).auth("g")
    with pytest.raises(ConfigurationError):
        OAuthSession(base_url=provider.api_url, auth=door, refresh_token="r", store="redis://127.0.0.1:1")


def test_a_signal_handler_may_use_the_client(provider: FakeProvider) -> None:
    """A signal handler that uses the client does not deadlock with the line of the client that it interrupted."""
    script = f"""
        import signal, time
        from oauth_session import OAuthClient, registration
        client = OAuthClient(**{settings_of(provider, grant_type="client_credentials")!r})

        def handler(*_):
            signal.signal(signal.SIGALRM, signal.SIG_IGN)
            print(len(client.token("g").access_token) > 0, flush=True)

        class Slow(dict):
            def get(self, *args):  # so that the signal arrives within the lines that the lock guards
                end = time.monotonic() + 0.5
                while time.monotonic() < end:
                    pass
                return super().get(*args)

        registration._sources = Slow()
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        client.token("g")
    """
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)])
    try:
        assert child.wait(10) == 0
    finally:
        child.kill()
        child.wait()


def test_a_pair_ages_while_its_store_keeps_it_waiting(provider: FakeProvider, make_session: Make) -> None:
    """Law 17: what a store was slow to refuse is older by that time when it is used from memory."""
    store = Shaky()
    session = make_session(provider, refresh_token=provider.issue()["refresh_token"], store=store)
    normal = store.swap

    def swap(key: GrantKey, expected: str, revision: str, text: str, *args: Any) -> Swapped:
        if '"outcome":"refreshed"' in text:
            time.sleep(1.0)
            raise StoreError("away")
        return normal(key, expected, revision, text, *args)

    store.swap = swap  # type: ignore[method-assign]
    assert session.get("me").status_code == 200
    assert session.auth.source.held().age() >= 1.0
    store.swap = normal  # type: ignore[method-assign]
    assert eventually(lambda: not session.auth.source._flight)
