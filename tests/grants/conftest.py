"""The authorization server with everything on, started once."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from support.grants_server import GrantsServer
from support.site import Site

from oauth_session import discovery


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GrantsServer]:
    started = GrantsServer(tmp_path_factory.mktemp("grants"))
    yield started
    started.stop()


@pytest.fixture(autouse=True)
def _nothing_is_known_yet() -> Iterator[None]:
    """No test knows a server's metadata from another."""
    discovery.forget()
    yield
    discovery.forget()


@pytest.fixture(scope="session")
def churning(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GrantsServer]:
    """With DPoP nonces everywhere, and tokens of three seconds."""
    started = GrantsServer(tmp_path_factory.mktemp("churning"), lifetime=3, nonces=True)
    yield started
    started.stop()


@pytest.fixture
def site() -> Iterator[Site]:
    server = Site()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()
