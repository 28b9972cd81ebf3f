"""AWS' own runtime for Lambda functions runs the handler of the page, is stopped as its sandbox would be, and goes on."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from conftest import MakeProvider
from support.deployments import until
from support.runtime_api import RuntimeApi
from support.servers import Server
from support.web import GRANT, Site

from oauth_session.testing import FakeProvider

# A machine that is suspended: at the end of the freeze, the monotonic clock is where it was.
STANDS_STILL = """
import signal, time
real, lost = time.monotonic, [0.0]
time.monotonic = lambda: real() - lost[0]
def thawed(*_):
    with open("frozen_for") as note:
        lost[0] += float(note.read())
signal.signal(signal.SIGCONT, thawed)
"""


class Function:
    """One sandbox with one function."""

    def __init__(self, folder: Path, provider: FakeProvider, store: str, clock: str) -> None:
        self.site, self.api, self.clock = Site(folder, provider, store), RuntimeApi(), clock
        threading.Thread(target=self.api.serve_forever, args=(0.05,), daemon=True).start()
        start = "import sys; from awslambdaric.__main__ import main; main(['awslambdaric', 'handler.handler'])"
        self.server = Server(
            [sys.executable, "-c", (STANDS_STILL if clock == "stands still" else "") + start],
            0,
            env=self.site.env | {"AWS_LAMBDA_RUNTIME_API": self.api.address},
            cwd=folder,
            log=folder / "server.log",
            ready=lambda: True,
        )

    def invoke(self) -> None:
        self.api.events.put({"customer": GRANT})

    def answer(self) -> tuple[str, Any]:
        return self.api.answers.get(timeout=60)

    def pause(self) -> None:
        self.server.pause()
        self._paused = time.time()

    def thaw(self) -> None:
        (self.site.folder / "frozen_for").write_text(str(time.time() - self._paused))
        self.server.resume()

    def freeze(self, seconds: float) -> None:
        """Stop the process, and let so much time pass."""
        self.pause()
        time.sleep(seconds)
        self.thaw()

    def stop(self) -> None:
        self.server.stop()
        self.api.shutdown()
        self.api.server_close()


@pytest.fixture(params=["runs on", "stands still"])
def make_function(request: pytest.FixtureRequest, tmp_path: Path, valkey_url: str) -> Iterator[Any]:
    made: list[Function] = []

    def make(provider: FakeProvider) -> Function:
        made.append(Function(tmp_path, provider, valkey_url, request.param))
        return made[-1]

    yield make
    for function in made:
        function.stop()


def test_lambda_frozen_and_thawed(make_oauth_provider: MakeProvider, make_function: Any, valkey_url: str) -> None:
    """Frozen right after its answer until the token has ended, its Redis connections cut: one token call, no failure."""
    provider = make_oauth_provider(lifetime=10.0)
    function = make_function(provider)
    function.invoke()
    assert function.answer() == ("response", 200), function.site.log()
    before = provider.model.refresh_calls  # a start that took its time may have cost one
    for number in range(2):
        function.invoke()
        assert function.answer() == ("response", 200), function.site.log()
        assert provider.model.refresh_calls == before + number
        function.server.pause()
        with redis.Redis.from_url(valkey_url) as plain:
            plain.client_kill_filter(_type="pubsub")
            plain.client_kill_filter(_type="normal", skipme=True)
        provider.hang_up()
        function.freeze(11.0)
    function.invoke()
    assert function.answer() == ("response", 200), function.site.log()
    assert provider.model.refresh_calls == provider.model.generations == before + 2
    assert provider.model.reuse_incidents == provider.api_refusals == 0
    function.site.client.close()
    assert function.site.alive()


def test_lambda_renews_before_it_answers(make_oauth_provider: MakeProvider, make_function: Any) -> None:
    """In the advisory window the renewal is over when the answer comes, so that the freeze finds nothing under way."""
    provider = make_oauth_provider(lifetime=16.0, token_latency=1.0)
    function = make_function(provider)
    for _ in range(30):
        function.invoke()
        assert function.answer() == ("response", 200)
        function.pause()
        if function.site.holder() or provider.token_requests:
            break
        function.thaw()
        time.sleep(1.0)
    assert (function.site.generation(), function.site.holder()) == (1, 0)
    function.freeze(8.0)  # longer than a lease
    function.invoke()
    assert function.answer() == ("response", 200)
    assert provider.model.refresh_calls == provider.model.generations == 1
    assert provider.model.reuse_incidents == provider.api_refusals == 0
    assert function.site.alive()


def test_lambda_frozen_in_a_refresh(make_oauth_provider: MakeProvider, make_function: Any) -> None:
    """Frozen while the token endpoint works, for longer than the lease: what it answered is read after the thaw, and stored."""
    provider = make_oauth_provider(token_latency=2.0)
    function = make_function(provider)
    function.invoke()
    assert function.answer() == ("response", 200)
    provider.expire()
    function.invoke()
    until(lambda: provider.token_requests == 1)
    function.freeze(8.0)
    assert function.answer() == ("response", 200), function.site.log()
    assert provider.model.refresh_calls == provider.model.generations == 1
    assert provider.model.reuse_incidents == 0
    provider.token_latency = 0.0
    assert function.site.alive()
