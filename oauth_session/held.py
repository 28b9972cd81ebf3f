"""What a process holds in memory of a grant, on its own clocks."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from . import policy
from .errors import StoreError
from .ledger import Ledger
from .policy import RefreshPolicy
from .rules import lineage
from .rules.effects import Seen
from .rules.record import Record
from .tokens import Token


@dataclass(frozen=True, slots=True, repr=False)
class Held:
    """What a process holds of a grant: a token, and all that the path of a request asks about it.

    Attributes:
        fresh_for: the age in seconds up to which nobody does anything about it.
        usable_for: the age up to which it is sent.
        born: when its age was 0, on the monotonic and on the wall clock; the larger elapsed time counts (law 17).
        holds: origin -> (until, on the monotonic clock; step; generation).
    """

    token: Token
    lineage: str
    generation: int
    fresh_for: float
    usable_for: float
    born: tuple[float, float]
    holds: Mapping[str, tuple[float, int, int]]

    def age(self) -> float:
        """Seconds since it was issued."""
        return max(time.monotonic() - self.born[0], time.time() - self.born[1])

    def held_back(self, origin: str) -> bool:
        """Whether refusals there are known not to be expiry."""
        until, step, generation = self.holds.get(origin, (0.0, 0, 0))
        return step > 0 and generation <= self.generation and until > time.monotonic()

    def on_probation(self, origin: str) -> bool:
        """Whether it was minted a moment ago because of a refusal there."""
        until, step, generation = self.holds.get(origin, (0.0, 0, -1))
        return step == 0 and generation == self.generation and until > time.monotonic()


def held_of(record: Record, now: float, rules: RefreshPolicy, needs_refresh_token: bool) -> Held | None:
    """What a look at the store means for this process; None: the record has no access token.

    Args:
        now: the store's clock at the look.
    """
    token = record.pair.token()
    if token is None:
        return None
    mono, wall, age, lifetime = time.monotonic(), time.time(), record.age(now), record.pair.lifetime
    fresh = usable = float("inf")
    if lifetime is not None and rules.margin is not None:
        usable = rules.expired_after(lifetime)
        renewable = record.pair.refresh_token is not None or not needs_refresh_token
        fresh = rules.renewed_after(lifetime) if renewable and not record.settled else usable
    holds = {o: (mono + h.until - now, h.step, h.generation) for o, h in record.holds.items()}
    return Held(token, record.lineage, record.generation, fresh, usable, (mono - age, wall - age), holds)


class Memory:
    """The one value that a process holds of a grant; read without a lock, published under one, last of all.

    Attributes:
        held: what is in memory, fit to send or not.
        record: the record that it came from.
        offering: a worker has it and will commit it; written back by a look, it would rest as if somebody could know more.
    """

    def __init__(self, ledger: Ledger, rules: RefreshPolicy, needs_refresh_token: bool) -> None:
        self.held: Held | None = None
        self.record: Record | None = None
        self._ledger, self._rules, self._needs_refresh_token = ledger, rules, needs_refresh_token
        self._tickets = itertools.count(1)
        self._published = 0
        self._watched = 0  # the process in which the store tells us
        self._told = False
        self.remake()

    def remake(self) -> None:
        """In a forked child a lock may be held by a thread that is not there, and what the parent was told is not told here."""
        self.offering = False
        self._next_look = 0.0 if self._ledger.store.shared else float("inf")
        self._lock = threading.RLock()  # guards held, _published, _told and _next_look

    def current(self) -> Held | None:
        """What is held, after a look at the store if the last one is longer ago than the freshness bound (law 14)."""
        if self.held is not None and time.monotonic() >= self._next_look and (told := self._turn()) is not None:
            try:
                if told or not self._ledger.store.is_told(self._ledger.key):
                    self.look()
            except StoreError:  # what is in memory goes on being used (law 13), and what we were told stays unread
                self._told, self._next_look = told or self._told, time.monotonic() + policy.FRESHNESS
        return self.held

    def _turn(self) -> bool | None:
        """Whether the store has told us something; None: another caller looks. Who puts the next look off, looks."""
        with self._lock:
            if time.monotonic() < self._next_look:
                return None
            told, self._told = self._told, False
            self._postpone(policy.FRESHNESS / 2)  # if push lives now and falls silent at once, that is noticed in time
            return told

    def attend(self) -> None:
        """Be told by the store from now on, once in each process."""
        if self._watched != os.getpid():
            self._watched = os.getpid()
            self._ledger.store.watch(self._ledger.key, self.told)

    def told(self, revision: str) -> None:
        """Somebody has committed; unless it was us, the next request looks. "": that may have been so while nobody heard."""
        if not revision or revision != self._ledger.written:
            self._told, self._next_look = True, 0.0

    def look(self) -> Held | None:
        """Look at the store and hold what is there."""
        if self.offering:
            return self.held
        self.attend()
        ticket = next(self._tickets)
        seen = self._ledger.load()
        known, held = self.record, self.held
        while known is not None and (seen.record is None or lineage.behind(seen.record, known)):
            healed = lineage.heal(seen.record, known, seen.now, held.age() if held else 0.0, self._ledger.store.rest)
            assert healed is not None
            _, seen = self._ledger.swap(
                seen.revision, healed, heals=True
            )  # if somebody was faster, look at what that was
        self._publish(seen, ticket)
        return self.held

    def written(self, seen: Seen | None) -> None:
        """Hold what we have just written or been told.

        A ticket is taken before a look and after a write: of two, the one with the higher number knows more.
        """
        if seen is not None:
            self.attend()
            self._publish(seen, next(self._tickets))

    def _publish(self, seen: Seen, ticket: int) -> None:
        if seen.record is None:
            return  # a store that was wiped takes nothing out of memory
        new = held_of(seen.record, seen.now, self._rules, self._needs_refresh_token)
        with self._lock:
            if ticket < self._published or (self.record and lineage.behind(seen.record, self.record)):
                return
            self._published = ticket
            self._postpone(policy.FRESHNESS)
            self.held, self.record = new, seen.record

    def _postpone(self, seconds: float) -> None:
        if self._ledger.store.shared:
            self._next_look = time.monotonic() + seconds
            if self._told:  # meanwhile, by something that the last look has not seen
                self._next_look = 0.0
