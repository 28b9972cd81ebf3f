"""gunicorn, uWSGI and gevent run the programs of the page as they stand."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import MakeProvider
from support.deployments import until
from support.installed import install_from_pypi
from support.servers import Server
from support.web import BIN, Site, calls

from oauth_session.testing import FakeProvider

MakeSite = Callable[..., Site]


@pytest.fixture
def make_site(tmp_path: Path, store_url: str) -> MakeSite:
    def make(provider: FakeProvider) -> Site:
        return Site(tmp_path, provider, store_url)

    return make


def meet_expiries(site: Site, server: Server, expiries: int = 3) -> None:
    """Callers meet so many expiries; each costs one token call, and no caller notices."""
    model = site.provider.model
    before = model.refresh_calls
    assert calls(server) == [200] * 24
    for number in range(expiries):
        site.provider.expire()
        assert calls(server) == [200] * 24, site.log()[-3000:]
        assert model.refresh_calls == model.generations == before + number + 1
        time.sleep(2.1)  # a token that is refused so soon after its birth would be taken for a refusal of another kind
    assert model.reuse_incidents == 0
    assert site.alive()


@pytest.mark.parametrize("preload", [True, False], ids=["preload", "each"])
@pytest.mark.parametrize("worker", ["sync", "gthread", "gevent"])
def test_gunicorn(provider: FakeProvider, make_site: MakeSite, worker: str, preload: bool) -> None:
    """Four workers of each kind share a grant, whether the client was made before the fork or after it."""
    site = make_site(provider)
    site.change("gunicorn.conf.py", ("gthread", worker), ("preload_app = True", f"preload_app = {preload}"))
    if worker == "sync":  # with threads it would be the other kind
        site.change("gunicorn.conf.py", ("threads = 4\n", ""))
    server = site.gunicorn()
    try:
        meet_expiries(site, server)
    finally:
        server.stop()
    assert "Using worker: " + worker in site.log()


def test_gunicorn_replaces_its_workers(provider: FakeProvider, make_site: MakeSite) -> None:
    """Workers that end after some requests each, by `max_requests`, and others that come, cost no token call and no login."""
    site = make_site(provider)
    site.change("gunicorn.conf.py", ("max_requests = 1000", "max_requests = 6"), ("jitter = 100", "jitter = 3"))
    server = site.gunicorn()
    try:
        meet_expiries(site, server)
    finally:
        server.stop()
    assert len(re.findall(r"Booting worker", site.log())) > 8


def test_gunicorn_worker_killed(make_oauth_provider: MakeProvider, make_site: MakeSite) -> None:
    """-9 in the middle of a refresh costs one token call more, within the provider's grace; only that worker's caller fails."""
    provider = make_oauth_provider(grace="new_pair", grace_seconds=60.0, token_latency=3.0)
    site = make_site(provider)
    site.change("gunicorn.conf.py", ("gthread", "sync"), ("threads = 4\n", ""))
    server = site.gunicorn()
    try:
        assert calls(server) == [200] * 24
        provider.expire()
        found: list[Any] = []
        callers = threading.Thread(target=lambda: found.extend(calls(server, count=8)))
        callers.start()
        until(lambda: provider.token_requests == 1)
        victim = site.holder()
        assert victim != server.process.pid
        os.kill(victim, signal.SIGKILL)
        callers.join()
        assert found.count(200) >= 7, found
        assert calls(server) == [200] * 24
        assert provider.model.refresh_calls == 2
        assert provider.model.reuse_incidents == 0
        provider.token_latency = 0.0
        assert site.alive()
    finally:
        server.stop()


@pytest.mark.parametrize(
    "options",
    [(), ("--lazy-apps",), ("--threads", "2"), ("--lazy-apps", "--threads", "2"), ("plain",)],
    ids=lambda options: " ".join(options) or "as on the page",
)
def test_uwsgi(provider: FakeProvider, make_site: MakeSite, options: tuple[str, ...]) -> None:
    """Four uWSGI workers share a grant: as on the page, with `lazy-apps`, `threads`, and without its two settings."""
    site = make_site(provider)
    if options == ("plain",):
        options = ()
        site.change("uwsgi.ini", ("enable-threads = true\n", ""), ("py-call-uwsgi-fork-hooks = true\n", ""))
    server = site.uwsgi(*options)
    try:
        meet_expiries(site, server)
    finally:
        server.stop()


REFRESHES_BEFORE_THE_FORK = """
import threading
crm.token("customer-42")
session.get("me")  # a connection that is kept open
from oauth_session import RefreshTimeout
try:
    crm.refresh("customer-42", timeout=0.3)
except RefreshTimeout:
    print("forks in the middle", flush=True)
"""


@pytest.mark.parametrize("hooks", [True, False], ids=["fork hooks", "without them"])
def test_uwsgi_forks_in_the_middle(make_oauth_provider: MakeProvider, make_site: MakeSite, hooks: bool) -> None:
    """Workers that are forked while the master refreshes do not wait for a thread that only the master has."""
    provider = make_oauth_provider(token_latency=1.5)
    site = make_site(provider)
    if not hooks:
        site.change("uwsgi.ini", ("py-call-uwsgi-fork-hooks = true\n", ""))
    with (site.folder / "wsgi.py").open("a") as program:
        program.write(REFRESHES_BEFORE_THE_FORK)
    server = site.uwsgi()
    try:
        begin = time.monotonic()
        assert calls(server) == [200] * 24, site.log()[-3000:]
        assert time.monotonic() - begin < 20
        assert "forks in the middle" in site.log()
        until(lambda: provider.model.generations == 1)
        provider.token_latency = 0.0
        time.sleep(4.5)  # so that no worker holds the one before, which is expired as well below
        meet_expiries(site, server, 2)
    finally:
        server.stop()
    assert provider.model.reuse_incidents == 0


NEWEST, WITHOUT_THREADS = "2.0.31", "2.0.22"  # the last release without threads is not to be built for Python 3.13


@pytest.mark.parametrize("threads", [False, True], ids=["without", "enable-threads"])
@pytest.mark.parametrize("release", [WITHOUT_THREADS if sys.version_info < (3, 13) else NEWEST])
def test_uwsgi_without_threads(
    make_oauth_provider: MakeProvider, make_site: MakeSite, release: str, threads: bool
) -> None:
    """An old uWSGI freezes threads between requests: no renewal is left to them, and the log says what to set."""
    old = release == WITHOUT_THREADS
    binary = install_from_pypi(f"uwsgi=={release}") / "bin" / "uwsgi" if old else BIN / "uwsgi"
    provider = make_oauth_provider(lifetime=16.0, token_latency=0.8)
    site = make_site(provider)
    if not threads:
        site.change("uwsgi.ini", ("enable-threads = true\n", ""))
    with (site.folder / "wsgi.py").open("a") as program:
        program.write("\nimport logging\nlogging.basicConfig(level=logging.WARNING)\n")
    server = site.uwsgi(binary=binary)
    try:
        for number in (1, 2):
            patience = time.monotonic() + 30
            while not (site.holder() or site.generation() == number) and time.monotonic() < patience:
                time.sleep(1.0)  # then somebody is in the advisory window, and renews
                assert calls(server, count=1, threads=1) == [200]
            until(lambda number=number: site.generation() == number, 5)  # although nobody calls
        assert provider.model.refresh_calls == provider.model.generations == 2
        assert provider.model.reuse_incidents == provider.api_refusals == 0
        assert ("no_threads" in site.log()) == (old and not threads)
        assert ("set enable-threads" in site.log()) == (old and not threads)
        site.client.close()
        assert site.alive()
    finally:
        server.stop()


def test_gevent_by_hand(provider: FakeProvider, make_site: MakeSite) -> None:
    """A hundred greenlets of two programs, patched by hand, meet an expiry and refresh once."""
    site = make_site(provider)
    command = [sys.executable, "-c", "import greenlets, json; print(json.dumps(greenlets.main()))"]
    for _ in range(2):
        provider.expire()
        programs = [
            subprocess.Popen(command, stdout=subprocess.PIPE, cwd=site.folder, env=os.environ | site.env, text=True)
            for _ in range(2)
        ]
        assert [json.loads(program.communicate(timeout=60)[0]) for program in programs] == [[200] * 100] * 2
        time.sleep(2.1)
    assert provider.model.refresh_calls == provider.model.generations == 2
    assert provider.model.reuse_incidents == 0
    assert site.alive()
