"""Processes whose threads all call at one moment, again and again; when the first began and the last was done."""

from __future__ import annotations

import threading
import time
from typing import Any

from requests.adapters import HTTPAdapter

from oauth_session import OAuthSession

Span = tuple[float, float]  # monotonic, which is one clock for the whole machine


def race(settings: dict[str, Any], threads: int, rounds: int, barrier: Any) -> list[tuple[Span, Span]]:
    """In one process, per round: just after the token's end, and with the valid token that this brought."""
    session = OAuthSession(**settings)
    session.mount("http://", HTTPAdapter(pool_maxsize=threads))
    together, done = threading.Barrier(threads + 1), threading.Barrier(threads + 1)
    ends: list[float] = []

    def run() -> None:
        for _ in range(2 * rounds + 2):
            together.wait(60)
            status = session.get("work").status_code
            ends.append(time.monotonic() if status == 200 else float("nan"))
            done.wait(60)

    for _ in range(threads):
        threading.Thread(target=run, daemon=True).start()

    def heat() -> Span:
        ends.clear()
        barrier.wait(60)
        began = time.monotonic()
        together.wait(60)
        done.wait(60)
        return began, max(ends)

    found = []
    for _ in range(rounds + 1):
        held = session.auth.source.held()
        if held is not None:
            time.sleep(max(0.0, held.usable_for - held.age()) + 0.05)
        found.append((heat(), heat()))
    return found[1:]  # the first opens the connections
