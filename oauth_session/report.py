"""What one source tells of its renewals: each has a beginning and exactly one end (law 15)."""

from __future__ import annotations

import time
from typing import Any

from .events import Adopted, Event, GrantDead, Listeners, RefreshEnded, RefreshStarted, SingleProcess, Unpersisted
from .flight import Flight
from .rules.effects import Ending, Outcome
from .rules.record import Record
from .telling import tell, tell_once

_KINDS = {Outcome.ADOPTED: Adopted, Outcome.UNPERSISTED: Unpersisted}


class Report:
    """Tells the listeners of one grant."""

    def __init__(self, grant_id: str, listeners: Listeners) -> None:
        self._grant_id, self.listeners = grant_id, listeners
        self._dead: tuple[str, int] | None = None  # what was told to be dead

    def tell(self, kind: type[Event], **fields: Any) -> None:
        """One event of this grant."""
        tell(self.listeners, kind(grant=self._grant_id, **fields))

    def note(self, kind: type[Event], record: Record) -> None:
        """What the driver has noticed of a record."""
        self.tell(kind, generation=record.generation)

    def started(self, flight: Flight) -> None:
        """A renewal begins."""
        self.tell(RefreshStarted, renewal=flight.name, early=flight.ask.early)

    def ended(self, flight: Flight, ending: Ending, shared: bool) -> None:
        """It has ended.

        Args:
            shared: whether others see the store that it is in.
        """
        record = ending.seen.record if ending.seen else None
        generation = record.generation if record else None
        self.tell(
            _KINDS.get(ending.outcome, RefreshEnded),
            outcome=ending.outcome.value,
            generation=generation,
            reason=ending.reason,
            renewal=flight.name,
            early=flight.ask.early,
            seconds=time.monotonic() - flight.began,
            asked=flight.asked,
        )
        if record is None:
            return
        if ending.outcome is Outcome.DEAD and self._dead != (record.lineage, record.generation):
            self._dead = (record.lineage, record.generation)
            self.tell(GrantDead, outcome="dead", generation=generation, reason=ending.reason or record.error)
        if ending.outcome is Outcome.REFRESHED and not shared and record.is_rotated():
            says = "the refresh token was replaced, and only this process has the new one: give store= a file or Redis"
            tell_once(self.listeners, SingleProcess(grant=record.grant, generation=generation, reason=says))
