"""What happened, told to a callback and to the log; neither can break a request, and no event holds a secret."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

_log = logging.getLogger("oauth_session")

Name = Literal[
    "refresh_started",
    "refresh_ended",
    "adopted",
    "unpersisted",
    "replayed",
    "not_replayable",
    "not_refreshed",
    "hold",
    "seeded",
    "claim_lost",
    "single_process",
    "short_grace",
    "interaction_required",
    "healed",
    "store_in_clear",
]

_WARN = {"unpersisted", "claim_lost", "single_process", "short_grace", "healed", "store_in_clear"}
_LOUD = {"dead", "misconfigured", "unknown", "store_down", "transient"}


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that matters.

    Attributes:
        name: which thing.
        grant: the grant's id.
        outcome: how a refresh ended, by its name in `rules.protocol.Outcome`.
        generation: of the token in hand.
        origin: the API's origin, where one is concerned.
        reason: in words, without secrets.
    """

    name: Name
    grant: str
    outcome: str = ""
    generation: int | None = None
    origin: str = ""
    reason: str = ""


Listener = Callable[[Event], object]


def tell(listener: Listener | None, event: Event) -> None:
    """Log the event and hand it to the listener; what the listener raises is logged and goes no further."""
    level = logging.WARNING if event.name in _WARN or event.outcome in _LOUD else logging.DEBUG
    if _log.isEnabledFor(level):
        _log.log(
            level, "%s grant=%s %s %s", event.name, event.grant, event.outcome, event.reason, extra={"event": event}
        )
    if listener is not None:
        try:
            listener(event)
        except Exception:
            _log.exception("the on_event callback raised")


_told: set[str] = set()


def tell_once(listener: Listener | None, event: Event) -> None:
    """As `tell`, for events of which one per process is enough."""
    if event.name not in _told:
        _told.add(event.name)
        tell(listener, event)
