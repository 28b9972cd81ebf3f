"""Real processes that die or freeze at each point of a refresh, and the others that go on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import MakeClient, MakeProvider
from support.crowd import settings_of

from oauth_session import InvalidGrant
from oauth_session.testing import FakeProvider

PROGRAM = Path(__file__).parent / "support" / "killed.py"
POINTS = [
    "after the load",
    "before the claim",
    "after the claim",
    "past the gate",
    "on the wire",
    "after the answer",
    "before the commit",
    "after the commit",
]
SPENT = {"on the wire", "after the answer", "before the commit"}  # the provider has processed, we have not committed
GRACES = ["same_pair", "new_pair", "newest_only", "until_used"]


@contextmanager
def stopped(
    point: str, provider: FakeProvider, store: str, profile: str | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A process that has stopped itself at that point of its refresh."""
    command = [sys.executable, str(PROGRAM), point, json.dumps(settings_of(provider, store) | {"provider": profile})]
    env = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
    try:
        end = time.monotonic() + 30
        while True:
            pid, status = os.waitpid(process.pid, os.WUNTRACED | os.WNOHANG)
            if pid and os.WIFSTOPPED(status):
                break
            assert not pid, f"it ended: {process.stderr.read() if process.stderr else ''}"
            assert time.monotonic() < end
            time.sleep(0.01)
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=10)


def prepared(make_oauth_provider: MakeProvider, make_client: MakeClient, store: str, grace: str) -> FakeProvider:
    provider = make_oauth_provider(token_latency=0.6, grace=grace, grace_seconds=60.0)
    make_client(provider, store=store).put(provider.url, {"refresh_token": provider.issue()["refresh_token"]})
    return provider


def of_its_own(store: str, point: str) -> str:
    """A SQLite file for each cell: eight programs that sync one file make each other wait for longer than a store may."""
    return store.replace("grants.db", point.replace(" ", "-") + ".db")


def each_point(cell: Callable[[str], None]) -> None:
    """Run the cells of all points side by side, since each spends its time waiting for a lease; name those that fail."""
    with ThreadPoolExecutor(len(POINTS)) as pool:
        cells = {point: pool.submit(cell, point) for point in POINTS}
    failed = {point: repr(error)[:300] for point, future in cells.items() if (error := future.exception())}
    assert failed == {}


@pytest.mark.parametrize("grace", GRACES)
def test_killed_with_grace(
    make_oauth_provider: MakeProvider, make_client: MakeClient, store_url: str, grace: str
) -> None:
    """SIGKILL at each point: with a provider that forgives, the grant lives in every cell, after one lease at most."""

    def cell(point: str) -> None:
        store = of_its_own(store_url, point)
        provider = prepared(make_oauth_provider, make_client, store, grace)
        with stopped(point, provider, store) as process:
            process.kill()
            process.wait(10)
        provider.token_latency = 0.0
        session = make_client(provider, store=store).session(provider.url)
        began = time.monotonic()
        assert session.get("me").status_code == 200
        assert time.monotonic() - began < 20
        provider.expire()
        assert session.get("me").status_code == 200
        assert provider.model.grant_alive()
        session.close()

    each_point(cell)


def test_killed_without_grace(make_oauth_provider: MakeProvider, make_client: MakeClient, store_url: str) -> None:
    """Without grace the lost cells are those between the provider's processing and our commit: InvalidGrant, two calls."""

    def cell(point: str) -> None:
        store = of_its_own(store_url, point)
        provider = prepared(make_oauth_provider, make_client, store, "none")
        with stopped(point, provider, store) as process:
            process.kill()
            process.wait(10)
        time.sleep(0.7)  # what is on its way to the provider arrives
        provider.token_latency = 0.0
        client = make_client(provider, store=store)
        session = client.session(provider.url)
        calls = provider.model.token_calls
        if point not in SPENT:
            assert session.get("me").status_code == 200
            assert provider.model.grant_alive()
        else:
            for _ in range(3):
                with pytest.raises(InvalidGrant):
                    session.get("me")
            assert provider.model.token_calls - calls == 2
            (status,) = [s for s in client.grants()[0] if s.grant_id == provider.url]
            assert (status.state, status.has_refresh_token) == ("dead", True)
        session.close()

    each_point(cell)


@pytest.mark.parametrize("grace", ["same_pair", "newest_only"])
def test_frozen_past_the_claim(
    make_oauth_provider: MakeProvider, make_client: MakeClient, store_url: str, grace: str
) -> None:
    """SIGSTOP past the lease, then SIGCONT: the late one ends with a token or a named error, and the grant lives."""

    def cell(point: str) -> None:
        store = of_its_own(store_url, point)
        provider = prepared(make_oauth_provider, make_client, store, grace)
        session = make_client(provider, store=store).session(provider.url)
        with stopped(point, provider, store) as process:
            provider.token_latency = 0.0
            assert session.get("me").status_code == 200  # waits for the lease, then presents once more (law 5)
            process.send_signal(signal.SIGCONT)
            said, errors = process.communicate(timeout=30)
            assert said.strip() == "200", errors
        assert session.get("me").status_code == 200  # with the pair that won
        for _ in range(2):
            time.sleep(2.1)  # a refresh for a refusal is on probation, and the late one may just have made one
            provider.expire()
            assert session.get("me").status_code == 200
        assert provider.model.grant_alive()
        assert provider.model.reuse_incidents == 0
        session.close()

    each_point(cell)


def test_who_lost_the_claim_does_not_write(
    make_oauth_provider: MakeProvider, make_client: MakeClient, store_url: str
) -> None:
    """Law 4: frozen between the claim and the POST for longer than the lease, it stops before the socket: no second call."""
    provider = prepared(make_oauth_provider, make_client, store_url, "none")
    session = make_client(provider, store=store_url).session(provider.url)
    with stopped("after the claim", provider, store_url) as process:
        assert session.get("me").status_code == 200
        process.send_signal(signal.SIGCONT)
        said, errors = process.communicate(timeout=30)
        assert said.strip() == "200", errors
    assert provider.model.refresh_calls == 1
    assert provider.model.reuse_incidents == 0
    session.close()
