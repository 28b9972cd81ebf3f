"""One renewal: of which grant, under way, and what its waiters take home."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from .held import Held
from .policy import random_name
from .rules.effects import Ask, Ending, Outcome
from .rules.record import Pair
from .rules.token_request import TokenRequest


class Grant(NamedTuple):
    """What the source needs to know about its grant.

    Attributes:
        build: makes the token request for a pair.
        seeds: brings the seeds, given the store's clock (law 16).
        needs_refresh_token: False for grants that are simply run again.
        blank: what is known before there is a token: nothing, or a key.
    """

    grant_id: str
    client: str
    build: Callable[[Pair], TokenRequest]
    seeds: Callable[[float], Sequence[Pair]]
    needs_refresh_token: bool = True
    blank: Pair = Pair()


class Renewed(NamedTuple):
    """What came of a refusal: another token, or the error that says why there is none."""

    held: Held | None
    outcome: Outcome
    error: Exception | None


class Flight:
    """One renewal under way, and the event on which its waiters wait."""

    def __init__(self, ask: Ask) -> None:
        self.ask, self.name, self.began = ask, random_name(), time.monotonic()
        self.asked = 0  # token requests so far
        self.landed = threading.Event()  # the waiters may go
        self.done = threading.Event()  # the worker has gone too; later only when the store was away at the commit
        self.ending: Ending | None = None
        self.trouble: Exception | None = None

    def trouble_of_ours(self) -> Exception:
        """A copy for each waiter, so that tracebacks do not mix; an error that cannot be copied is shared."""
        assert self.trouble is not None
        try:
            return copy.copy(self.trouble)
        except Exception:
            return self.trouble
