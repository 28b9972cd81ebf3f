"""A provider whose token endpoint has moods, and the fleet of workers that lives through them."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import requests

from oauth_session import OAuthSession
from oauth_session.testing import Answer, FakeProvider
from oauth_session.testing.wire import Delivery, Hangup, Request
from oauth_session.tokens import fingerprint

from .crowd import crowd

BLACK_HOLE = "black hole"
Mood = Answer | str | None


class Presented(NamedTuple):
    """A refresh token came in: which, when (monotonic), in which mood."""

    token: str
    at: float
    mood: Mood


class MoodyProvider(FakeProvider):
    """Its token endpoint answers as `mood` says: an `Answer`, never (`BLACK_HOLE`), or as usual (None)."""

    def __init__(self, **rules: Any) -> None:
        self.mood: Mood = None
        self.presented: list[Presented] = []  # append is atomic
        self._over = threading.Event()
        super().__init__(**rules)

    def deliver(self, request: Request) -> Delivery:
        mood = self.mood
        if request.target != "/token":
            return super().deliver(request)
        form = dict(parse_qsl(request.body.decode()))
        self.presented.append(Presented(fingerprint(form.get("refresh_token", "")), time.monotonic(), mood))
        if isinstance(mood, Answer):
            return Delivery(mood)
        if mood == BLACK_HOLE:
            self._over.wait()
            raise Hangup
        return super().deliver(request)

    def close(self) -> None:
        self._over.set()
        super().close()

    def of(self, pair: dict[str, Any]) -> list[Presented]:
        """When this pair's refresh token was presented."""
        name = fingerprint(pair["refresh_token"])
        return [one for one in self.presented if one.token == name]


class Call(NamedTuple):
    """One request of a worker: when it began (monotonic), how long it took, and a status or an error's name."""

    at: float
    took: float
    end: int | str
    replayed: bool


Calls = dict[str, list[Call]]  # by grant


class Fleet:
    """Workers in real processes, `threads` for each grant in each of them, until it is stopped.

    Args:
        grants: what each grant's sessions have for themselves; the key is the grant's id.
        pace: seconds between two requests of one thread.
    """

    def __init__(
        self,
        processes: int,
        threads: int,
        settings: dict[str, Any],
        grants: dict[str, dict[str, Any]],
        pace: float = 0.1,
    ) -> None:
        self._stop = multiprocessing.get_context("spawn").Event()
        pool = ThreadPoolExecutor(1)
        args = (threads, grants, pace, self._stop)
        self._calls = pool.submit(crowd, processes, work, settings, *args, patience=180.0)
        pool.shutdown(wait=False)

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._calls.exception()

    def stop(self) -> Calls:
        """End it; all calls by grant, in the order in which they began."""
        self._stop.set()
        parts: list[Calls] = self._calls.result()
        return {grant: sorted(call for part in parts for call in part[grant]) for grant in parts[0]}


def work(settings: dict[str, Any], threads: int, grants: dict[str, dict[str, Any]], pace: float, stop: Any) -> Calls:
    """One process of a fleet."""
    calls: Calls = {grant: [] for grant in grants}
    sessions = {grant: OAuthSession(**settings | {"grant_id": grant} | more) for grant, more in grants.items()}

    def one(grant: str) -> None:
        while not stop.wait(pace):
            began, replayed, end = time.monotonic(), False, ""
            try:
                response = sessions[grant].get("work")
                replayed, end = bool(response.history), response.status_code
            except requests.RequestException as error:
                end = type(error).__name__
            calls[grant].append(Call(began, time.monotonic() - began, end, replayed))

    crew = [threading.Thread(target=one, args=(grant,)) for grant in grants for _ in range(threads)]
    for thread in crew:
        thread.start()
    for thread in crew:
        thread.join()
    return calls


def until(condition: Callable[[], object], patience: float = 30.0) -> None:
    """Wait for it."""
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
