"""One login, four ways to it: `docs/doors.rst` says where they differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import requests
from conftest import MakeClient

from oauth_session import mount
from oauth_session.testing import FakeProvider

DOORS = ["session", "auth", "call", "adapter"]
Open = Callable[..., requests.Session]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes `door` runs through all of them, or through those that its marker `doors` names."""
    if "door" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("doors")
        metafunc.parametrize("door", marker.args if marker else DOORS)


@pytest.fixture
def open_door(door: str, make_client: MakeClient) -> Iterator[Open]:
    """A session that is logged in at `api` by the door under test; `settings` are the client's."""
    made: list[requests.Session] = []

    def open_it(provider: FakeProvider, api: str = "", **settings: Any) -> requests.Session:
        client = make_client(provider, **({"base_url": api} if api else {}), **settings)
        client.put("g", provider.issue())
        made.append(client.session("g") if door == "session" else requests.Session())
        session = made[-1]
        if door == "auth":
            session.auth = client.auth("g")
        elif door == "call":
            session.request = partial(session.request, auth=client.auth("g"))  # type: ignore[method-assign]
        elif door == "adapter":
            mount(session, api or provider.url, client.auth("g"))
        return session

    yield open_it
    for session in made:
        session.close()
