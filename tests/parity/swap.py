"""A pytest plugin: `OAuthSession` stands wherever `requests.Session` stood, as if the code base had been converted."""

from __future__ import annotations

from typing import Any

import requests
import requests.api
import requests.sessions

from oauth_session import OAuthSession

_PLAIN = requests.Session
made = 0


class Session(OAuthSession):
    """As a user would configure it: any origin that the caller names, and a token that is simply there."""

    def __init__(self) -> None:
        global made
        made += 1
        super().__init__(
            token_url="https://auth.example.com/token",
            client_id="parity",
            token={"access_token": "parity-bearer"},
            origins="*",
            allow_http=True,
        )


requests.Session = requests.sessions.Session = Session  # type: ignore[misc]


def pytest_sessionfinish() -> None:
    """The swap was in place to the end: by each name, and in what makes sessions by itself."""
    assert requests.Session is requests.sessions.Session is requests.api.sessions.Session is Session  # type: ignore[attr-defined]
    assert type(requests.session()) is Session
    assert made > 1
    seen: list[Any] = []
    plain = _PLAIN.send
    _PLAIN.send = lambda self, request, **options: seen.append((self, request)) or requests.Response()  # type: ignore
    try:
        requests.get("http://127.0.0.1:9/")
    finally:
        _PLAIN.send = plain  # type: ignore[method-assign]
    session, request = seen[0]
    assert type(session) is Session
    assert request.headers["Authorization"] == "Bearer parity-bearer"
