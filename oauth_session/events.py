"""What happened, as values: one class for each thing that matters. No event holds a secret."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that matters. Tell them apart by class, or by `name`.

    Attributes:
        name: which thing.
        grant: the grant's id; ``""`` where it is about the settings.
        outcome: how a renewal ended: the value of an `Outcome`, such as ``"refreshed"`` or ``"dead"``; ``""`` for others.
        generation: of the token in hand.
        origin: the API's origin, where one is concerned.
        reason: in words, without secrets.
    """

    name: ClassVar[str] = "event"
    level: ClassVar[int] = logging.DEBUG

    grant: str = ""
    outcome: str = ""
    generation: int | None = None
    origin: str = ""
    reason: str = ""

    @property
    def severity(self) -> int:
        """The level of its log line."""
        return self.level


@dataclass(frozen=True, slots=True, kw_only=True)
class OfRenewal(Event):
    """Of one renewal, from its beginning to its one end (law 15 of the protocol).

    Attributes:
        renewal: names it; the same in its beginning and its end.
        early: it was begun in advance, and nobody waited.
    """

    renewal: str = ""
    early: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshStarted(OfRenewal):
    """A renewal has begun. It may end without a token request, with a token that somebody else got."""

    name = "refresh_started"


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewalEnded(OfRenewal):
    """How a renewal ended; exactly one of the three below for each.

    Attributes:
        seconds: since it began.
        asked: how many token requests it made.
    """

    seconds: float = 0.0
    asked: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshEnded(RenewalEnded):
    """It brought a token from the provider (``refreshed``), or none, for the reason that `outcome` says."""

    name = "refresh_ended"

    @property
    def severity(self) -> int:
        """A token is worth a line, trouble a warning; what passes or was known before is for debugging."""
        if self.outcome == "refreshed":
            return logging.INFO
        return logging.WARNING if self.outcome in LOUD else logging.DEBUG


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopted(RenewalEnded):
    """Memory, the store or a peer had another token already: nothing was asked."""

    name = "adopted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpersisted(RenewalEnded):
    """Refreshed, but the store is away: the pair is kept in memory, used, and offered to the store until it is back."""

    name, level = "unpersisted", logging.WARNING


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantDead(Event):
    """A renewal has found that a person must log in again; told once per generation, while the grant is kept in memory."""

    name, level = "grant_dead", logging.ERROR


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed(Event):
    """A refused request was sent again with another token."""

    name = "replayed"


@dataclass(frozen=True, slots=True, kw_only=True)
class NotReplayable(Event):
    """The token was renewed, but the body of the refused request is gone, or it must not be sent twice."""

    name = "not_replayable"


@dataclass(frozen=True, slots=True, kw_only=True)
class NotRefreshed(Event):
    """A refused request was left as it is, since there is no other token; `outcome` and `reason` say why."""

    name = "not_refreshed"

    @property
    def severity(self) -> int:
        """As of the renewal that failed."""
        return logging.WARNING if self.outcome in LOUD else logging.DEBUG


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionRemembered(Event):
    """This origin has accepted a fresh token after a refusal: its refusals do mean expiry."""

    name = "detection_remembered"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold(Event):
    """This origin has refused a fresh token as well: its refusals are not followed up for a while, by anybody."""

    name, level = "hold", logging.INFO


@dataclass(frozen=True, slots=True, kw_only=True)
class Seeded(Event):
    """A seed was taken: the store knew nothing of the grant, or what it knew was dead."""

    name, level = "seeded", logging.INFO


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimLost(Event):
    """This process was frozen or cut off from the store for longer than its claim, so another goes on."""

    name, level = "claim_lost", logging.WARNING


@dataclass(frozen=True, slots=True, kw_only=True)
class Healed(Event):
    """The store had lost a generation, or an older one was put back: it was written again."""

    name, level = "healed", logging.WARNING


@dataclass(frozen=True, slots=True, kw_only=True)
class InteractionRequired(Event):
    """The API wants more than a token can give: a step-up, or claims; see `interaction_required`."""

    name = "interaction_required"


@dataclass(frozen=True, slots=True, kw_only=True)
class SingleProcess(Event):
    """The refresh token was replaced, and only this process has the new one; once per process."""

    name, level = "single_process", logging.WARNING


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortGrace(Event):
    """The provider's grace is too short for the claim and the deadline (law 5); once per process."""

    name, level = "short_grace", logging.WARNING


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreInClear(Event):
    """Tokens cross the network to the store readable; once per process."""

    name, level = "store_in_clear", logging.WARNING


@dataclass(frozen=True, slots=True, kw_only=True)
class NoThreads(Event):
    """Threads stand still between two requests here, so renewals in advance make theirs wait; once per process."""

    name, level = "no_threads", logging.WARNING


LOUD = frozenset({"dead", "misconfigured", "unknown", "store_down", "transient"})
Listener = Callable[[Event], object]
Listeners = tuple[Listener, ...]
EVENTS = (
    *(RefreshStarted, RefreshEnded, Adopted, Unpersisted, GrantDead, Replayed, NotReplayable, NotRefreshed),
    *(DetectionRemembered, Hold, Seeded, ClaimLost, Healed, InteractionRequired),
    *(SingleProcess, ShortGrace, StoreInClear, NoThreads),
)
