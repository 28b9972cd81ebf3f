"""One renewal under way, and what its waiters take home."""

from __future__ import annotations

import threading
from typing import NamedTuple

from .held import Held
from .rules.effects import Ask, Ending, Outcome


class Renewed(NamedTuple):
    """What came of a refusal: another token, or the error that says why there is none."""

    held: Held | None
    outcome: Outcome
    error: Exception | None


class Flight:
    """One renewal under way, and the event on which its waiters wait."""

    def __init__(self, ask: Ask) -> None:
        self.ask = ask
        self.landed = threading.Event()  # the waiters may go
        self.done = threading.Event()  # the worker has gone too; later only when the store was away at the commit
        self.ending: Ending | None = None
        self.trouble: Exception | None = None
