"""Fixtures for pytest: ``oauth_provider`` and ``make_oauth_provider``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .provider import FakeProvider


@pytest.fixture
def make_oauth_provider() -> Iterator[Callable[..., FakeProvider]]:
    """Make fake providers, with the arguments of `FakeProvider`; all are closed after the test."""
    from .provider import FakeProvider  # imported late: pytest loads this plugin in every run, used or not

    made: list[FakeProvider] = []

    def make(**arguments: Any) -> FakeProvider:
        made.append(FakeProvider(**arguments))
        return made[-1]

    yield make
    for provider in made:
        provider.close()


@pytest.fixture
def oauth_provider(make_oauth_provider: Callable[..., FakeProvider]) -> FakeProvider:
    """A fake provider with single-use refresh tokens, reuse detection and no grace; closed after the test."""
    return make_oauth_provider()
