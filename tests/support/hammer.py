"""A process that calls the API with several grants in turn, for a while."""

from __future__ import annotations

import time
from typing import Any

import requests

from oauth_session import OAuthSession


def hammer(settings: dict[str, Any], url: str, seconds: float) -> list[str]:
    """What failed, of all calls with the sessions that `settings["each"]` makes."""
    sessions = [OAuthSession(**own) for own in settings["each"]]
    failed = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.02)
        for session in sessions:
            try:
                answer = session.get(url)
                if answer.status_code != 200:
                    failed.append(f"HTTP {answer.status_code} {answer.headers.get('WWW-Authenticate')}")
            except requests.RequestException as error:
                failed.append(f"{type(error).__name__}: {error}")
    return failed
