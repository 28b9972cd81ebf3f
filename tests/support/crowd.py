"""Real processes that share a grant. What they run stands here, where a spawned process can import it."""

from __future__ import annotations

import multiprocessing
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import requests

from oauth_session import OAuthSession, StoreError
from oauth_session.stores.sqlite import SQLiteStore
from oauth_session.stores.values import GrantKey
from oauth_session.testing import FakeProvider

PATIENCE = 60.0  # seconds


def settings_of(provider: FakeProvider, store: str) -> dict[str, Any]:
    """A session's arguments that travel to another process; the grant is named after the provider, which is new."""
    return {
        "base_url": provider.api_url,
        "token_url": provider.token_url,
        "client_id": provider.client_id,
        "client_secret": provider.client_secret,
        "grant_id": provider.url,
        "store": store,
    }


def crowd(
    processes: int, work: Callable[..., Any], settings: dict[str, Any], *args: Any, patience: float = PATIENCE
) -> list[Any]:
    """Run `work(session settings, *args)` in as many processes at once; what they return."""
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(processes), context.Queue()
    crowd = [context.Process(target=_run, args=(work, settings, args, start, results)) for _ in range(processes)]
    for process in crowd:
        process.start()
    found = []
    end = time.monotonic() + patience
    try:
        while len(found) < processes and time.monotonic() < end:
            try:
                found.append(results.get(timeout=0.5))
            except queue.Empty:
                if all(process.exitcode for process in crowd):
                    break
        for process in crowd:
            process.join(10)
    finally:
        for process in crowd:
            if process.is_alive():
                process.kill()
    assert len(found) == processes, [process.exitcode for process in crowd]
    return found


def _run(work: Callable[..., Any], settings: dict[str, Any], args: tuple[Any, ...], start: Any, results: Any) -> None:
    start.wait(PATIENCE)
    results.put(work(settings, *args))


def refused(settings: dict[str, Any], times: int) -> list[int]:
    """Ask for what is forbidden."""
    session = OAuthSession(**settings)
    return [session.get("forbidden").status_code for _ in range(times)]


def storm(settings: dict[str, Any], threads: int, seconds: float) -> tuple[int, list[str]]:
    """Call the API from threads for a while: how many requests, and what failed."""
    session = OAuthSession(**settings)
    count, failures = [0] * threads, []
    end = time.monotonic() + seconds

    def call(number: int) -> None:
        while time.monotonic() < end:
            try:
                response = session.get("work")
                if response.status_code != 200:
                    failures.append(f"HTTP {response.status_code}")
            except requests.RequestException as error:
                failures.append(f"{type(error).__name__}: {error}")
            count[number] += 1

    crowd = [threading.Thread(target=call, args=(number,)) for number in range(threads)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    return sum(count), failures


def steps(settings: dict[str, Any], threads: int) -> list[int]:
    """One request of each thread."""
    session, statuses = OAuthSession(**settings), []
    crowd = [threading.Thread(target=lambda: statuses.append(session.get("work").status_code)) for _ in range(threads)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    return statuses


def make_files(settings: dict[str, Any], folder: str, together: Any) -> list[str]:
    """Make one SQLite file after the other, each at the same moment as the others do: what went wrong."""
    troubles = []
    for number in range(40):
        store = SQLiteStore(f"{folder}/{number}.db")
        together.wait(PATIENCE)
        try:
            store.swap(GrantKey("d", "g"), "", "r", "{}")
        except StoreError as error:
            troubles.append(str(error))
        store.close()
    return troubles
