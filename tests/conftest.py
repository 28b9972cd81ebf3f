"""Servers for the whole run, and the house rules of the tests."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import settings
from support.servers import RedisServer, redis_binaries

import oauth_session
from oauth_session import OAuthClient, OAuthSession
from oauth_session.testing import FakeProvider

# Every skip that is allowed where CI is set, with its reason: none so far.
ALLOWED_SKIPS: dict[str, str] = {}

AFTERWARDS = "alone and not soak"  # as in tox.ini

# A machine that is busy is no finding. Where CI is set, hypothesis' own settings for it stay.
settings.register_profile("unhurried", parent=settings(), deadline=None)
settings.load_profile("unhurried")


def pytest_configure(config: pytest.Config) -> None:
    if os.environ.get("OAUTH_SESSION_INSTALLED"):
        checkout = Path(__file__).parent.parent
        assert checkout not in Path(oauth_session.__file__).parents or "site-packages" in oauth_session.__file__


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if not hasattr(report, "wasxfail"):
        _refuse_skip(report)


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    outcome = yield
    _refuse_skip(outcome.get_result())  # type: ignore[attr-defined]


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Where CI is set, a skip that is not on the list is a failure, be it of a test or of a whole module."""
    if report.skipped and os.environ.get("CI") and report.nodeid not in ALLOWED_SKIPS:
        report.outcome = "failed"
        report.longrepr = f"skipped in CI without a reason on the list: {report.longrepr}"


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Of those that tox runs by themselves afterwards, ``-k`` or a path may have chosen none: the first run had the others."""
    if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and session.config.option.markexpr == AFTERWARDS:
        session.exitstatus = pytest.ExitCode.OK


@pytest.fixture(autouse=True)
def _room(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Where workers run side by side, a test marked `alone` has the machine to itself: it drives it hard, or measures.

    Before each of them all others must finish; so tox runs these afterwards, without workers.
    """
    if not os.environ.get("PYTEST_XDIST_WORKER"):
        yield
        return
    alone = request.node.get_closest_marker("alone") is not None
    folder = tmp_path_factory.getbasetemp().parent
    with open(folder / "door", "w") as door, open(folder / "room", "w") as room:
        fcntl.flock(door, fcntl.LOCK_EX)  # who waits for the room keeps the door, so that nobody else slips in
        fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(door, fcntl.LOCK_UN)
        yield


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No proxy, certificate or `.netrc` of the machine gets into a test."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NETRC"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture(scope="session", params=sorted(redis_binaries()))
def redis_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Each Redis and Valkey that there is."""
    server = RedisServer(redis_binaries()[request.param], tmp_path_factory.mktemp(request.param))
    yield server.url
    server.stop()


@pytest.fixture(scope="session")
def _valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = RedisServer(redis_binaries()["valkey"], tmp_path_factory.mktemp("valkey-only"))
    yield server.url
    server.stop()


@pytest.fixture
def valkey_url(_valkey: str) -> str:
    """One Valkey, empty, for tests that need a Redis but not every Redis."""
    with redis.Redis.from_url(_valkey) as plain:
        plain.flushall()
    return _valkey


@pytest.fixture(params=["sqlite", "redis"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path, valkey_url: str) -> str:
    """A store that processes can share."""
    return f"sqlite:///{tmp_path}/grants.db" if request.param == "sqlite" else valkey_url


@pytest.fixture
def provider(oauth_provider: FakeProvider) -> FakeProvider:
    return oauth_provider


Make = Callable[..., OAuthSession]
MakeClient = Callable[..., OAuthClient]
MakeProvider = Callable[..., FakeProvider]


@pytest.fixture
def make_session(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Sessions on a provider, each with a store of its own unless the test names one."""
    made: list[OAuthSession] = []

    def make(provider: FakeProvider, **settings: Any) -> OAuthSession:
        session = OAuthSession(**client_settings(provider, request) | {"base_url": provider.api_url} | settings)
        made.append(session)
        return session

    yield make
    for session in made:
        session.close()


@pytest.fixture
def make_client(request: pytest.FixtureRequest) -> MakeClient:
    def make(provider: FakeProvider, **settings: Any) -> OAuthClient:
        return OAuthClient(**client_settings(provider, request) | {"base_url": provider.api_url} | settings)

    return make


def client_settings(provider: FakeProvider, request: pytest.FixtureRequest) -> dict[str, Any]:
    from oauth_session.stores import MemoryStore

    store = getattr(request.node, "_memory", None) or MemoryStore()
    request.node._memory = store  # one store per test, as several sessions of one program would have
    return {
        "token_url": provider.token_url,
        "client_id": provider.client_id,
        "client_secret": provider.client_secret,
        "store": store,
    }
