"""The numbers of the refresh, in one place, each with its reason; all in seconds."""

from __future__ import annotations

import os
import random
import secrets
import socket
from dataclasses import dataclass
from typing import Literal

from .errors import ConfigurationError

LEASE = 5.0  # how long a silent holder keeps the claim: four missed heartbeats
LEASE_LEAST = 2.5  # where the grace is short: one missed heartbeat
LEASE_MOST = 10.0  # where nothing is forgiven: a holder that is only frozen must not lose the grant to its successor
TOKEN_TIMEOUT, TOKEN_TIMEOUT_LEAST = 30.0, 5.0  # for one whole answer; less where a known grace needs it, but not below
HEARTBEAT = 1.0  # the lease's fifth, so that one slow store call does not lose the claim
# A new login elsewhere is seen no later than this without push, and so long rests a record that was brought back. With 5,
# calls waited up to 5.6 s after a failover, and nobody shall wait for the store for more than 5.
FRESHNESS = 4.0
REST = 1.0  # how long a record that was brought in is not refreshed, where newer holders are told of it
STORE_TIMEOUT = 2.0  # a black hole costs a request no more than two of these
BACKOFF_FIRST, BACKOFF_MOST = 1.0, 60.0  # after a failure; doubles, with jitter: all who share the grant wait for one
OFFER_FIRST, OFFER_MOST = 0.1, 0.5  # a pair that the store could not take is offered again, soon
SPEAK = STORE_TIMEOUT + 1.0  # by then who has such a pair has offered it to a store that is back: one call, one pause
FORK_PATIENCE = 5.0  # how long a fork waits for renewals to land: most take a tenth of that
EXIT_PATIENCE = 10.0  # how long the end of the process waits for such a store
BACKOFF_LONGEST = 3600.0  # a Retry-After beyond it is not believed
COOL_DOWN = 5.0  # after a refusal of the client itself: somebody is mending settings and must see the effect soon
CONFIRM = 1.0  # invalid_grant is asked again after this: replicas lag (gitlab#599181)
HOLD_FIRST, HOLD_MOST = 30.0, 900.0  # for an origin that refuses fresh tokens too; doubles, as its verdict is confirmed
PROBATION = 2.0  # a token minted for a refusal is not refreshed for the same one before its replay can have told
SEEDS_REMEMBERED = 16  # fingerprints in a record: an old seed must not come back, and the record stays small
KEYS_FRESH = 30.0  # how old the ring that writes may be: a key service is not asked for each record
KEYS_AGAIN = 1.0  # between two looks for a key that is missing: a program that rotates keys is ahead of us by moments
RECENT = 1000  # grants that a client keeps in memory


def random_name() -> str:
    """A name that nobody else has: of a claim, a lineage, a revision."""
    return secrets.token_hex(8)


def claimant() -> str:
    """A name for a claim that also tells people whose it is."""
    return f"{random_name()}@{socket.gethostname()[:32]}:{os.getpid()}"


@dataclass(frozen=True, slots=True)
class RefreshPolicy:
    """When and how patiently a token is renewed. An immutable value; all times in seconds.

    Attributes:
        margin: how long before its end a token is renewed in advance, while requests go on with it. It shrinks to a
            quarter of a short lifetime. None: never in advance, only when the token is refused.
        token_timeout: the token endpoint's total time for one answer, dripping ones included. None: 30, or less where
            `reuse_grace` needs it (see `patience`).
        background: renew in advance without making the caller wait; where threads stop once a request is answered (AWS
            Lambda, uWSGI without threads) the caller waits all the same.
        rotation: whether the provider replaces the refresh token at each use. ``"none"`` allows repeating at will.
        reuse_grace: how long the provider accepts a used refresh token again.
        deadline: how long a caller waits for a refresh before `RefreshTimeout`; the refresh goes on without it.
        min_token_age: how old a token must be before the provider refreshes it; a younger one is not refreshed.
        needs_live_token: the provider refreshes a token only before its end.
    """

    margin: float | None = 300.0
    token_timeout: float | None = None
    background: bool = True
    rotation: Literal["none", "maybe", "always"] = "maybe"
    reuse_grace: float = 0.0
    deadline: float = 45.0
    min_token_age: float = 0.0
    needs_live_token: bool = False

    def __post_init__(self) -> None:
        for name in ("margin", "token_timeout", "reuse_grace", "deadline", "min_token_age"):
            value = getattr(self, name)
            if value is None and name in ("margin", "token_timeout"):
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
                raise ConfigurationError(f"{name} must be a number of seconds, 0 or more, not {value!r}")
        if self.token_timeout == 0 or self.deadline == 0:
            raise ConfigurationError("token_timeout and deadline must be more than 0 seconds")
        if self.rotation not in ("none", "maybe", "always"):
            raise ConfigurationError(f'rotation must be "none", "maybe" or "always", not {self.rotation!r}')

    @property
    def lease(self) -> float:
        """Seconds that a silent holder keeps the claim; what its successor's presentation may cost decides."""
        if self.rotation == "none":
            return LEASE
        if self.reuse_grace:
            return max(LEASE_LEAST, min(LEASE, self.reuse_grace / 4))
        return LEASE_MOST if self.rotation == "always" else LEASE

    @property
    def patience(self) -> float:
        """`token_timeout`, by default so short that a dead holder's successor still comes within the grace (law 5); seconds."""
        if self.token_timeout is not None:
            return self.token_timeout
        if self.rotation == "none" or not self.reuse_grace:
            return TOKEN_TIMEOUT
        return max(TOKEN_TIMEOUT_LEAST, min(TOKEN_TIMEOUT, self.reuse_grace - self.succession))

    @property
    def is_in_time(self) -> bool:
        """Whether what a dead holder sent last is presented again before the known grace is over (law 5)."""
        return self.rotation == "none" or not self.reuse_grace or self.patience + self.succession <= self.reuse_grace

    @property
    def succession(self) -> float:
        """Seconds, at most, from a dead holder's last sign of life to its successor's first byte."""
        return self.lease + SPEAK + BACKOFF_FIRST

    def stale_after(self, lifetime: float) -> float:
        """The age, in seconds, at which a token of this lifetime is renewed in advance."""
        return self._allowed(lifetime - min(self.margin or 0.0, lifetime / 4), lifetime)

    def renewed_after(self, lifetime: float) -> float:
        """The age, in seconds, at which one process begins to renew it in advance.

        Spread over the first half of the advisory window: those who hold one token do not march in step.
        """
        first, last = self.stale_after(lifetime), self.expired_after(lifetime)
        return first + (last - first) / 2 * random.random()

    def expired_after(self, lifetime: float) -> float:
        """The age, in seconds, at which a token of this lifetime is no longer sent; a tenth of the margin before its end."""
        return self._allowed(lifetime - min((self.margin or 0.0) / 10, lifetime / 20), lifetime)

    def _allowed(self, age: float, lifetime: float) -> float:
        return max(age, min(self.min_token_age, lifetime))
