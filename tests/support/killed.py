"""A program that is killed or stopped at a named point of a refresh; run as `python killed.py POINT SETTINGS`.

It stops itself (SIGSTOP) exactly there; the test sends SIGKILL or SIGCONT. Its other threads are not stopped inside a
write to the store: who freezes with SQLite's lock in hand blocks all, which is another test's matter.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
from typing import Any

from oauth_session import OAuthSession, OAuthSessionError
from oauth_session.driver import Driver
from oauth_session.exchange import Exchange
from oauth_session.rules.effects import Load, Post, Swap
from oauth_session.stores.sqlite import SQLiteStore

stops: list[str] = []
writing_to_the_store = threading.Lock()


def stop() -> None:
    """Once: what goes on afterwards shall go on."""
    if stops:
        return
    stops.append("stopped")
    with writing_to_the_store:
        signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)  # to this very thread: it must not run on


def main(point: str, settings: dict[str, Any]) -> None:
    perform, run, gate, swap = Driver._perform, Exchange.run, Exchange.at_the_gate, SQLiteStore.swap

    def swapping(self: SQLiteStore, *args: Any) -> Any:
        with writing_to_the_store:
            return swap(self, *args)

    def at(self: Driver, effect: Any) -> Any:
        claiming = isinstance(effect, Swap) and effect.record.claim is not None
        committing = isinstance(effect, Swap) and effect.record.outcome == "refreshed" and not claiming
        if point == "before the claim" and claiming:
            stop()
        if point == "before the commit" and committing:
            stop()
        reply = perform(self, effect)
        if point == "after the load" and isinstance(effect, Load):
            stop()
        if point == "after the claim" and claiming:
            stop()
        if point == "after the commit" and committing:
            stop()
        if point == "after the answer" and isinstance(effect, Post):
            stop()
        return reply

    def writing(self: Exchange) -> None:
        first = not self.sent
        gate(self)
        if point == "past the gate" and first:
            stop()

    def sent(self: Exchange) -> None:
        if point == "on the wire":  # the request is out, the provider takes its time
            threading.Timer(0.4, stop).start()
        run(self)

    SQLiteStore.swap = swapping  # type: ignore[method-assign]
    Driver._perform, Exchange.run, Exchange.at_the_gate = at, sent, writing  # type: ignore[method-assign]
    session = OAuthSession(**settings)
    try:
        print(session.get("me").status_code, flush=True)
    except OAuthSessionError as error:
        print(type(error).__name__, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
