"""The words of the refresh protocol: what is asked, what the driver is asked to do, and how it ends."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import NamedTuple

from .. import policy
from ..errors import StoreError
from .record import Record
from .token_response import Denied, Granted


class Outcome(enum.Enum):
    """The one name with which a renewal ends (law 15); `outcomes.py` maps each to its error, `report.py` to its event."""

    REFRESHED = "refreshed"  # we asked the provider and committed
    ADOPTED = "adopted"  # memory, the store or a peer had another token already
    UNPERSISTED = "unpersisted"  # refreshed, but the store is away: kept in memory until it is back
    HELD = "held"  # this origin refuses for another reason than expiry
    BACKING_OFF = "backing_off"  # somebody failed a moment ago; nobody asks yet
    TOO_EARLY = "too_early"  # the provider refreshes no token that is so young
    TRANSIENT = "transient"  # the token endpoint is down or busy
    UNKNOWN = "unknown"  # two attempts ended without an answer
    MISCONFIGURED = "misconfigured"  # the client or the request was refused
    DEAD = "dead"  # the refresh token is
    ENDED = "ended"  # logged out or revoked
    NO_GRANT = "no_grant"  # nothing stored, and no seed
    NOT_RENEWABLE = "not_renewable"  # there is no refresh token
    STORE_DOWN = "store_down"  # nothing is refreshed without a claim (law 13)

    @property
    def is_final(self) -> bool:
        """Only a new login helps; trying again does not."""
        return self in (Outcome.DEAD, Outcome.ENDED)


class Seen(NamedTuple):
    """A look at the store: the record, its revision, and the store's clock."""

    record: Record | None
    revision: str
    now: float


@dataclass(frozen=True, slots=True)
class Ask:
    """What is wanted.

    Attributes:
        unlike: (lineage, generation) of the token that will not do; None: any that is fit to send.
        origin: who refused it, if somebody did.
        early: it still works; nobody waits, and whoever renews it already is enough.
        proven: this very token was accepted at that origin before, so it is not on probation there.
        force: ask the provider whatever hold, back-off, tombstone or unknown outcome says.
    """

    unlike: tuple[str, int] | None = None
    origin: str | None = None
    early: bool = False
    proven: bool = False
    force: bool = False


@dataclass(frozen=True, slots=True)
class Terms:
    """What a renewal has to know about the grant.

    Attributes:
        me: a random name, in hex, for this renewal; its claims and commits carry it, with a number.
        blank: the record of this grant before there is a token.
        needs_refresh_token: False for grants that are simply run again, such as client credentials.
        known: the newest record that this process has seen, and the age of its pair in seconds (law 11).
        rest: seconds that a healed or seeded record is not refreshed, so that a newer holder can speak.
    """

    me: str
    policy: policy.RefreshPolicy
    blank: Record
    needs_refresh_token: bool = True
    known: Record | None = None
    known_age: float = 0.0
    rest: float = 0.0


class Ending(NamedTuple):
    """How it ended, and the record as last seen."""

    outcome: Outcome
    seen: Seen | None = None
    denied: Denied | None = None
    wait: float = 0.0
    reason: str = ""
    trouble: type[StoreError] = StoreError  # of STORE_DOWN: which


# What the driver is asked to do. The answer's type stands behind each.
class Load(NamedTuple):
    """-> Seen."""


class Bring(NamedTuple):
    """Bring what seeds there are (law 16) -> Sequence[Pair], the best first; `now` is the store's clock."""

    now: float


class Swap(NamedTuple):
    """Write `record` if the revision is still that -> (done, Seen); done also when it is ours already (law 3).

    `heals`: it brings back what the store has lost (law 11).
    """

    revision: str
    record: Record
    heals: bool = False


class Post(NamedTuple):
    """Present the pair's refresh token while beating the claim's heart -> Posted."""

    seen: Seen


class Sleep(NamedTuple):
    """Until the record changes or the time is over -> Seen."""

    revision: str
    seconds: float


class Pause(NamedTuple):
    """The time over, whatever the store does -> None."""

    seconds: float


class Announce(NamedTuple):
    """Let the waiters go on with this ending although the work is not done -> None."""

    ending: Ending


Effect = Load | Bring | Swap | Post | Sleep | Pause | Announce


class Silence(enum.Enum):
    """Why a POST brought no answer."""

    NOT_SENT = "not_sent"  # not a byte of it left: safe to repeat
    CUT_OFF = "cut_off"  # sent, then nothing usable: the refresh token may be spent
    CLAIM_LOST = "claim_lost"  # stopped before writing, since somebody else may be at it (law 4)


class Posted(NamedTuple):
    """The answer, the record as the last heartbeat left it, and in `seen.now` the store's clock at the answer."""

    answer: Granted | Denied | Silence
    seen: Seen
    reason: str = ""
