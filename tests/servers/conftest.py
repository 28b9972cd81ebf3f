"""The authorization servers, each started once, by the first test that wants it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.authorization import AuthorizationServer, DjangoOAuthToolkit, OidcProvider


@pytest.fixture(scope="session")
def oidc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuthorizationServer]:
    server = OidcProvider(tmp_path_factory.mktemp("oidc"), lifetime=2)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def toolkit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuthorizationServer]:
    """Without grace: a used refresh token kills its family."""
    server = DjangoOAuthToolkit(tmp_path_factory.mktemp("dot"), lifetime=2, grace=0)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def forgiving_toolkit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuthorizationServer]:
    """With ten seconds of grace: a used refresh token gives the same pair again."""
    server = DjangoOAuthToolkit(tmp_path_factory.mktemp("dot-grace"), lifetime=2, grace=10)
    yield server
    server.stop()
