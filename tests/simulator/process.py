"""A process as the world sees it: it freezes, it crashes, and it talks to the store."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from oauth_session.errors import StoreError
from oauth_session.rules.effects import Ask, Ending, Seen
from oauth_session.rules.record import Record

from .wire import Exchange
from .world import ABSENCES, AFTER, AFTER_WRITE, BEFORE, STALLS, World


class Flight:
    """One renewal under way."""

    def __init__(self, ask: Ask, me: str) -> None:
        self.ask, self.me = ask, me
        self.ending: Ending | None = None  # the waiters may go
        self.done = False
        self.asked = (0.0, 0.0)  # just before the last swap
        self.exchange: Exchange | None = None  # the last one


class Process:
    """What can go wrong with a process and its store.

    Args:
        offset: how wrong its wall clock is.
    """

    def __init__(self, world: World, name: str, offset: float = 0.0) -> None:
        self.world, self.name, self.offset = world, name, offset
        self.frozen = self.parted_until = self.failed_at = self.looked_at = self.spoke_at = self.slept = 0.0
        self.ledger: Any = None
        self.flight: Flight | None = None

    @property
    def memory(self) -> Record | None:
        """What it knows, unless that is a logout."""
        return None

    def crashed(self) -> None:
        """What is left when it is gone."""

    def stall(self, *, machine: bool = False) -> None:
        """Be frozen; with the whole machine, and so the monotonic clock stands still."""
        world = self.world
        self.frozen = world.now + world.chooser.among(STALLS)
        self.slept += (self.frozen - world.now) * machine
        if self.flight is not None and self.flight.exchange is not None:
            self.flight.exchange.holder_frozen()
        world.log(self.name, "IS SUSPENDED" if machine else "IS FROZEN", f"for {self.frozen - world.now:g} s")

    def suffer(self, kinds: tuple[str, ...]) -> str | None:
        """A point where something may go wrong; what is not the process's own end is the caller's to do."""
        kind = self.world.fault(kinds)
        if kind == "crash":
            self.world.crash(self)
        elif kind == "stall":
            self.stall()
        elif kind == "suspended":
            self.stall(machine=True)
        return kind

    # -- the store's client

    def look(self) -> Seen:
        """What a command brings back: the time is the store's, never our own (law 17)."""
        store = self.world.store
        self.looked_at = self.world.now
        return Seen(store.record, store.revision, self.world.now)

    def load(self) -> Generator[float, None, Seen]:
        return (yield from self._command("load", lambda: True, AFTER))[1]

    def swap(self, revision: str, record: Record) -> Generator[float, None, tuple[bool, Seen]]:
        self.ledger.written = mine = self.world.name()
        return self._command("swap", lambda: self.world.swap(self, revision, mine, record), AFTER_WRITE)

    def _command(
        self, what: str, act: Callable[[], bool], after: tuple[str, ...]
    ) -> Generator[float, None, tuple[bool, Seen]]:
        """One command: its way there, its effect, its way back; redis-py sends it again when the reply is lost."""
        world, store = self.world, self.world.store
        span = world.chooser.span
        yield world.now + span("store")
        match self.suffer(BEFORE):
            case "away":
                store.away_until = world.now + world.chooser.among(ABSENCES)
                world.log(self.name, "THE STORE GOES AWAY", f"for {store.away_until - world.now:g} s")
            case "parted":
                self.parted_until = world.now + world.chooser.among(ABSENCES)
                world.log(self.name, "IS CUT OFF FROM THE STORE", f"for {self.parted_until - world.now:g} s")
        if self.frozen > world.now:
            yield world.now
        if world.now < store.away_until or world.now < self.parted_until:
            yield world.now + 0.05
            raise self._failed(what, "away")
        done, looked_at = act(), self.looked_at
        seen = self.look()
        world.log(self.name, what, "done" if done else "somebody was faster")
        match self.suffer(after):
            case "resent":
                world.log(self.name, "reply lost, sent again")
                self.looked_at = looked_at  # it has not seen what it got
                return (yield from self._command(what, act, ()))
            case "reply_lost":
                self.looked_at = looked_at
                raise self._failed(what, "the reply is lost")
            case "forgot":
                dropped = store.record
                store.forget(world.now)
                world.log(self.name, "THE STORE FORGETS ITS LAST WRITE")
                world.laws.forgot(world, dropped)
                world.wake_watchers()
            case "wiped":
                dropped = store.record
                store.wipe(world.now)
                world.log(self.name, "THE STORE IS WIPED")
                world.laws.forgot(world, dropped)
                world.wake_watchers()
        back = span("store")
        if back or self.frozen > world.now:
            yield world.now + back
        return done, seen

    def _failed(self, what: str, why: str) -> StoreError:
        self.failed_at = self.world.now
        self.world.log(self.name, what, f"StoreError, {why}")
        return StoreError(why)
