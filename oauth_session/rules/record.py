"""The stored record of one grant: what it holds, and each change that it may undergo, as pure functions.

A store keeps the record as text and swaps it atomically, so one function here is one atomic step there (law 2).
`now` is always the store's clock, in seconds since the epoch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from .. import policy
from ..errors import ConfigurationError
from ..tokens import Token, fingerprint

State = Literal["live", "dead", "logged_out", "revoked"]


@dataclass(frozen=True, slots=True, repr=False)
class Pair:
    """What one token response brought; a seed may lack the access token.

    Attributes:
        issued_at: the store's time just before the request for it was sent (RFC 6749 5.1 counts from the response;
            earlier is safe).
        lifetime: seconds, or None when unknown.
        date: the response's own `Date`, which tells the later of two successes (law 7).
        attempt: the number of the attempt that brought it, for when the dates are equal.
    """

    access_token: str | None = None
    refresh_token: str | None = None
    token_type: str = "Bearer"
    scope: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    issued_at: float = 0.0
    lifetime: float | None = None
    date: float | None = None
    attempt: int = 0

    @classmethod
    def of(cls, token: Token, now: float) -> Pair:
        """A token brought in from outside; its expiry is taken on the store's clock (law 17).

        Raises:
            ConfigurationError: `extra` holds what JSON cannot.
        """
        try:
            json.dumps(dict(token.extra), allow_nan=False)
        except (TypeError, ValueError, RecursionError):
            raise ConfigurationError("what a token holds beyond the standard members must be JSON values") from None
        return cls(
            access_token=token.access_token,
            refresh_token=token.refresh_token,
            token_type=token.token_type,
            scope=token.scope,
            extra=token.extra,
            issued_at=now,
            lifetime=None if token.expires_at is None else max(0.0, token.expires_at - now),
        )

    def token(self) -> Token | None:
        """The pair as the value that callers see; None for a pair without an access token."""
        if self.access_token is None:
            return None
        ends = None if self.lifetime is None else self.issued_at + self.lifetime
        return Token(self.access_token, self.refresh_token, ends, self.token_type, self.scope, self.extra)

    def fingerprint(self) -> str:
        """What names this pair as a seed (law 16): of the refresh token, or else of the access token."""
        return fingerprint(self.refresh_token or self.access_token or "")


@dataclass(frozen=True, slots=True)
class Claim:
    """The lease of the one who refreshes; `lease` (seconds) is how far `until` was set ahead at most."""

    by: str
    until: float
    lease: float = policy.LEASE


@dataclass(frozen=True, slots=True)
class Attempt:
    """The note, written before the POST, that the refresh token may already be spent (law 5)."""

    by: str
    number: int
    first_at: float


@dataclass(frozen=True, slots=True)
class Hold:
    """An origin whose refusals are known not to be expiry, since this generation; step 0 is a newborn token's probation.

    Attributes:
        step: how many holds in a row this is; each is twice as long.
        before: of a probation, the step of the hold that has run out.
    """

    generation: int
    until: float
    step: int
    before: int = 0

    def binds(self, generation: int) -> bool:
        """A hold goes on for those that come after, until one of them is accepted; a probation is one token's own."""
        return self.generation <= generation if self.step else self.generation == generation


@dataclass(frozen=True, slots=True, repr=False)
class Record:
    """Everything that the processes which share a grant know of it."""

    grant: str
    client: str
    lineage: str
    generation: int = 0
    state: State = "live"
    pair: Pair = field(default_factory=Pair)
    spare: Pair | None = None
    claim: Claim | None = None
    attempt: Attempt | None = None
    committed: str = ""  # who made the last commit: a lost reply must not look like a rival's (law 3)
    settled: bool = False  # the last refresh did not move the expiry: no more early ones (law 17)
    rest_until: float = 0.0  # a record that was healed or seeded is not refreshed before: a newer holder may speak
    retry_at: float = 0.0
    failures: int = 0
    doubts: int = 0
    outcome: str = ""
    error: str = ""
    holds: Mapping[str, Hold] = field(default_factory=dict)
    seeds: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<Record {self.grant!r} generation={self.generation} {self.state} outcome={self.outcome or None}>"

    def is_rotated(self) -> bool:
        """Whether the refresh token is another than any that was brought in."""
        return self.pair.refresh_token is not None and self.pair.fingerprint() not in self.seeds

    def age(self, now: float) -> float:
        """Seconds since the pair was issued; a clock that went back counts as none."""
        return max(0.0, now - self.pair.issued_at)


def claim(record: Record, by: str, now: float, lease: float = policy.LEASE) -> Record:
    """Take the lease and note the attempt, in one step (law 5)."""
    before = record.attempt
    number, first_at = (before.number + 1, before.first_at) if before else (1, now)
    return replace(record, claim=Claim(by, now + lease, lease), attempt=Attempt(by, number, first_at))


def lapse(record: Record, now: float) -> Record:
    """A lease that ran out is over for good, and its attempt stays noted; a rest for who may still have to commit."""
    return replace(record, claim=None, rest_until=now + policy.SPEAK)


def beat(record: Record, by: str, now: float, lease: float = 0.0) -> Record | None:
    """The heartbeat, at least for the lease as it was; None when the claim is no longer ours."""
    if record.claim is None or record.claim.by != by:
        return None
    lease = max(lease, record.claim.lease)
    return replace(record, claim=Claim(by, now + lease, lease))


def commit(record: Record, by: str, origin: Record, pair: Pair, refused_by: str | None, now: float) -> Record | None:
    """Store what a refresh that started from `origin` brought; None when there is nothing to write.

    The claim is not asked for: a success that comes late is still a success, and of two successes from one generation
    the later issued is the one that the provider keeps (law 7). A new login or a logout wins over both (law 11).
    """
    if record.lineage != origin.lineage or record.state in ("logged_out", "revoked") or record.committed == by:
        return None
    if record.generation == origin.generation:
        return _committed(record, by, pair, None, refused_by, now)
    if record.generation == origin.generation + 1:
        theirs = record.pair
        if (pair.access_token, pair.refresh_token) == (theirs.access_token, theirs.refresh_token):
            released = _released(record, by)  # a provider with grace gave both the same pair: that is one generation
            return None if released is record else released
        if record.state == "dead":  # theirs is confirmed dead, so ours is all that is left
            return _committed(record, by, pair, None, refused_by, now)
        if _later(pair, theirs):
            return _committed(record, by, pair, theirs, refused_by, now)
        better = record.spare is not None and not record.doubts and _later(record.spare, pair)
        return replace(_released(record, by), spare=record.spare if better else pair)
    return None


def _released(record: Record, by: str) -> Record:
    if record.claim is None or record.claim.by != by:
        return record
    return replace(record, claim=None, attempt=None)


def _later(mine: Pair, theirs: Pair) -> bool:
    if mine.date is not None and theirs.date is not None and mine.date != theirs.date:
        return mine.date > theirs.date
    return mine.attempt > theirs.attempt


def _committed(record: Record, by: str, pair: Pair, spare: Pair | None, refused_by: str | None, now: float) -> Record:
    old, generation = record.pair, record.generation + 1
    ends, ended = (None if p.lifetime is None else p.issued_at + p.lifetime for p in (pair, old))
    moved = ends is None or ended is None or old.access_token is None or ends > ended + 1
    holds = {o: h for o, h in record.holds.items() if h.step and h.until + policy.HOLD_MOST > now}
    if refused_by is not None and not (refused_by in holds and holds[refused_by].until > now):
        trial = policy.PROBATION if pair.lifetime is None else min(policy.PROBATION, pair.lifetime / 4)
        holds[refused_by] = Hold(generation, now + trial, 0, holds[refused_by].step if refused_by in holds else 0)
    holding = record.claim if record.claim and record.claim.by != by else None
    return replace(
        record,
        generation=generation,
        state="live",
        pair=pair,
        spare=spare,
        claim=holding,
        attempt=None,  # a rival's was for the refresh token before this one
        committed=by,
        settled=not moved,
        rest_until=0.0,
        retry_at=0.0,
        failures=0,
        doubts=0,
        outcome="refreshed",
        error="",
        holds=holds,
    )


def release(
    record: Record, by: str, now: float, *, outcome: str, error: str = "", wait: float = 0.0, spent: bool = False
) -> Record:
    """Give the claim back after a failure that everybody shall share (law 9).

    Args:
        wait: seconds in which nobody tries again.
        spent: whether the refresh token may have been used up; then the attempt stays noted (law 5).
    """
    mine = record.claim is not None and record.claim.by == by
    attempt = record.attempt
    if attempt is not None and attempt.by == by and not spent:
        attempt = replace(attempt, by="", number=attempt.number - 1) if attempt.number > 1 else None
    return replace(
        record,
        claim=None if mine else record.claim,
        attempt=attempt,
        # A rival's back-off is not ours to shorten; one that no clock would reach is left from before it was set back.
        # Without a wait there is none, be our idea of the store's clock a little ahead of the next look.
        retry_at=max(now + wait if wait else 0.0, min(record.retry_at, now + policy.BACKOFF_LONGEST)),
        failures=record.failures + 1,
        outcome=outcome,
        error=error,
    )


def doubt(record: Record, by: str, now: float, error: str) -> Record | None:
    """`invalid_grant` for the current pair: the spare, else once more, else a tombstone that keeps the pair (law 8).

    The pair that the spare is tried for is not confirmed dead; so it is kept in the spare's place, and is asked again.
    None when it is in doubt already and the attempt is no longer ours: one refusal, told twice, confirms nothing.
    """
    mine = record.attempt is not None and record.attempt.by == by
    if not mine and (record.doubts or record.state == "dead"):
        return None
    record = release(record, by, now, outcome="doubtful", error=error, wait=policy.CONFIRM)
    if record.spare is not None and record.doubts == 0:
        return replace(record, pair=record.spare, spare=record.pair, doubts=1, retry_at=0.0)
    if record.spare is not None:
        return replace(record, pair=record.spare, spare=None)
    if record.doubts == 0:
        return replace(record, doubts=1)
    return replace(record, state="dead", doubts=0, retry_at=0.0, outcome="dead")


def salvage(record: Record, by: str, origin: Record, refresh_token: str, now: float) -> Record | None:
    """Keep a rotated refresh token that came in an answer which was otherwise unusable."""
    return commit(record, by, origin, replace(record.pair, access_token=None, refresh_token=refresh_token), None, now)


def hold(record: Record, origin: str, generation: int, now: float) -> Record | None:
    """A replay was refused too: refusals there are not expiry (section 7). None when that is known already."""
    before = record.holds.get(origin)
    if generation != record.generation or (before and before.step and before.generation == generation):
        return None
    step = (before.step or before.before) + 1 if before else 1
    until = now + min(policy.HOLD_FIRST * 2 ** (step - 1), policy.HOLD_MOST)
    return replace(record, holds={**record.holds, origin: Hold(generation, until, step)})


def unhold(record: Record, origin: str, generation: int) -> Record | None:
    """A later generation was accepted there: the hold was wrong, or is over."""
    before = record.holds.get(origin)
    if before is None or generation <= before.generation:
        return None
    return replace(record, holds={o: h for o, h in record.holds.items() if o != origin})
