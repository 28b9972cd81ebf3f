"""A pytest plugin: fixtures with a fake provider on a real socket."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from .provider import FakeProvider


@pytest.fixture
def make_oauth_provider() -> Iterator[Callable[..., FakeProvider]]:
    """Makes providers with the arguments of `FakeProvider`; they end with the test."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(FakeProvider(**settings))


@pytest.fixture
def oauth_provider(make_oauth_provider: Callable[..., FakeProvider]) -> FakeProvider:
    """A provider with strict reuse detection and tokens of an hour."""
    return make_oauth_provider()
