"""The refresh protocol: one generator that reads like the laws, without I/O, clock or thread.

A driver runs it: each yielded effect is answered with what happened, and a store that cannot be reached is thrown in
as `StoreError`. So the same lines run against Redis, against SQLite, and in a simulator that tries every schedule.
"""

from __future__ import annotations

import enum
from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from .. import policy
from ..errors import StoreError
from . import lineage
from . import record as change
from .effects import (
    Announce,
    Ask,
    Bring,
    Effect,
    Ending,
    Load,
    Outcome,
    Pause,
    Post,
    Posted,
    Seen,
    Silence,
    Sleep,
    Swap,
    Terms,
)
from .record import Pair, Record
from .token_response import DenialKind, Denied, Granted


class Do(enum.Enum):
    """What to do about a record."""

    USE = enum.auto()
    WAIT = enum.auto()
    LAPSE = enum.auto()
    CLAIM = enum.auto()
    STOP = enum.auto()


class Decision(NamedTuple):
    """`outcome` goes with STOP, `wait` (seconds) with WAIT and STOP."""

    do: Do
    outcome: Outcome = Outcome.ADOPTED
    wait: float = 0.0


ATTEMPTS_MOST = 4  # in one renewal: an answer that was lost, a spare, and the confirmation of an invalid_grant

Renewal = Generator[Effect, Any, Ending]


def renewal(ask: Ask, terms: Terms) -> Renewal:
    """Get a token as asked for, with at most one presentation of any refresh token, whoever else is at it."""
    attempts, known, age = 0, terms.known, terms.known_age
    try:
        seen: Seen = yield Load()
        while True:
            record = lineage.heal(seen.record, known, seen.now, age, terms.rest)
            if record is not None:
                _, seen = yield Swap(seen.revision, record, heals=True)
                continue
            record = seen.record
            if record is not None:  # the store may forget it in the next moment
                known, age = record, record.age(seen.now)
            if record is None or record.state == "dead":
                record = _admit(record, (yield Bring(seen.now)), seen.now, terms)
            if record is None:
                return Ending(Outcome.NO_GRANT, seen)
            decision = decide(record, seen.now, ask, terms)
            if decision.do is Do.LAPSE:
                _, seen = yield Swap(seen.revision, change.lapse(record, seen.now))
                continue
            if decision.do is Do.STOP:
                return Ending(decision.outcome, seen, wait=decision.wait, reason=record.error)
            if decision.do is Do.WAIT and record is not seen.record:
                _, seen = yield Swap(seen.revision, record)  # a seed that rests, rests where everybody sees it
                continue
            if decision.do is Do.WAIT:
                seen = yield Sleep(seen.revision, decision.wait)
                continue
            if decision.do is Do.USE:
                if record is seen.record:
                    return Ending(Outcome.ADOPTED, seen)
                done, seen = yield Swap(seen.revision, record)  # a seed is stored before it is used (law 10)
                if done:
                    return Ending(Outcome.ADOPTED, seen)
                continue
            attempts += 1
            mine = replace(terms, me=f"{terms.me}.{attempts}")  # each claim has its own name, and so has its commit
            done, seen = yield from _claim(seen, record, mine.me, terms.policy.lease)
            if not done:
                continue
            ending, seen = yield from _refresh(seen, ask, mine)
            if ending is not None:
                return ending
            if attempts >= ATTEMPTS_MOST:  # an endpoint that answers nonsense for ever must not hold anybody for ever
                return Ending(Outcome.TRANSIENT, seen, reason=seen.record.error if seen.record else "")
    except StoreError as error:
        return Ending(Outcome.STORE_DOWN, reason=str(error), trouble=type(error))


def _claim(seen: Seen, record: Record, me: str, lease: float) -> Generator[Effect, Any, tuple[bool, Seen]]:
    """Take the lease. If the answer is lost it may stand all the same, and nobody else could go on before it lapses."""
    try:
        done, seen = yield Swap(seen.revision, change.claim(record, me, seen.now, lease))
    except StoreError:
        seen = yield Load()
        done = seen.record is not None and seen.record.claim is not None and seen.record.claim.by == me
        if not done:
            raise
    return done, seen


def _admit(record: Record | None, seeds: Sequence[Pair], now: float, terms: Terms) -> Record | None:
    """Law 16: a seed starts a record, or takes over a dead one that has never seen it."""
    for pair in seeds:
        if record is None:
            return lineage.begin(terms.blank.grant, terms.blank.client, pair.fingerprint(), pair, now + terms.rest)
        if pair.fingerprint() not in record.seeds:
            return lineage.reseed(record, pair)
    return terms.blank if record is None and not terms.needs_refresh_token else record


def decide(record: Record, now: float, ask: Ask, terms: Terms) -> Decision:
    """The laws on one record, in the order in which they bind."""
    if record.state in ("logged_out", "revoked"):
        return Decision(Do.STOP, Outcome.ENDED)
    if _is_answer(record, now, ask, terms):  # law 1: compare before you refresh
        return Decision(Do.USE)
    if record.state == "dead" and not ask.force:
        return Decision(Do.STOP, Outcome.DEAD)
    age, pair, rules = record.age(now), record.pair, terms.policy
    too_late = rules.needs_live_token and pair.lifetime is not None and age >= pair.lifetime and not ask.force
    if too_late or (terms.needs_refresh_token and pair.refresh_token is None):
        return Decision(Do.STOP, Outcome.NOT_RENEWABLE)
    if pair.access_token and pair.attempt and age < rules.min_token_age and not ask.force:  # we know when it was made
        return Decision(Do.USE) if ask.early else Decision(Do.STOP, Outcome.TOO_EARLY, rules.min_token_age - age)
    if record.rest_until > now and not ask.force:  # law 11
        return Decision(Do.USE) if ask.early else Decision(Do.WAIT, wait=record.rest_until - now)
    held = record.holds.get(ask.origin) if ask.origin and not ask.force else None
    if held and held.until > now and held.binds(record.generation) and (held.step or not ask.proven):
        return Decision(Do.STOP, Outcome.HELD, held.until - now)
    # Law 12: wait for the result. A claim that reaches far beyond a lease is left from before the clock was set back;
    # one that reaches a little beyond it is not: its holder carries the store's clock on, and may be ahead of it.
    if record.claim is not None and now < record.claim.until <= now + 2 * record.claim.lease:
        if ask.early:
            return Decision(Do.USE)
        return Decision(Do.WAIT, wait=record.claim.until - now)
    # Nobody beats its heart. Its holder may be alive all the same, with a pair that a store which was away or read-only
    # would not take: once the store does write, it is given the time to offer it (law 10), if it has not had it already.
    if (old := record.claim) and terms.rest and not ask.force and record.rest_until < old.until + policy.SPEAK:
        return Decision(Do.LAPSE)
    if record.retry_at > now and not ask.force:  # law 9: one worker's failure spares the others
        left = min(record.retry_at - now, policy.BACKOFF_LONGEST)
        if record.outcome in ("doubtful", "cut_off") and not ask.early:  # resolved at the next try, a second away
            return Decision(Do.WAIT, wait=left)
        return Decision(Do.STOP, Outcome.BACKING_OFF, left)
    if not _may_present(record, now, ask, terms):
        return Decision(Do.STOP, Outcome.UNKNOWN)
    return Decision(Do.CLAIM)


def _is_answer(record: Record, now: float, ask: Ask, terms: Terms) -> bool:
    if record.pair.access_token is None or ask.unlike == (record.lineage, record.generation):
        return False
    if ask.early:
        return not is_stale(record, now, terms.policy)
    return not is_expired(record, now, terms.policy)


def is_stale(record: Record, now: float, rules: policy.RefreshPolicy) -> bool:
    """In the advisory window, unless the last refresh showed that asking early gains nothing."""
    lifetime = record.pair.lifetime
    if lifetime is None or rules.margin is None:
        return False
    return record.age(now) >= (rules.expired_after if record.settled else rules.stale_after)(lifetime)


def is_expired(record: Record, now: float, rules: policy.RefreshPolicy) -> bool:
    """No longer fit to send, as far as the clock can tell."""
    lifetime = record.pair.lifetime
    return lifetime is not None and rules.margin is not None and record.age(now) >= rules.expired_after(lifetime)


def _may_present(record: Record, now: float, ask: Ask, terms: Terms) -> bool:
    """Law 5: after an attempt without an end the same refresh token goes out once more; later only within grace."""
    attempt, rules = record.attempt, terms.policy
    if attempt is None or attempt.number < 2 or ask.force:
        return True
    if not terms.needs_refresh_token or rules.rotation == "none":
        return True
    return now - attempt.first_at < rules.reuse_grace


def _refresh(seen: Seen, ask: Ask, terms: Terms) -> Generator[Effect, Any, tuple[Ending | None, Seen]]:
    """From the claim to the commit. Without an ending, the caller looks again."""
    origin = seen.record
    assert origin is not None
    posted: Posted = yield Post(seen)
    answer, seen = posted.answer, posted.seen
    offers = 0
    while True:
        record, now = seen.record, seen.now
        ending: Ending | None
        if record is None:  # wiped meanwhile: this is all that we have, and others may have newer (law 11)
            record = replace(origin, rest_until=now + terms.rest)
        if isinstance(answer, Granted):
            changed = change.commit(record, terms.me, origin, _pair(answer, origin), ask.origin, now)
            ending = Ending(Outcome.REFRESHED, seen)
        else:
            changed, ending = _failure(record, origin, answer, posted.reason, now, terms)
        if changed is None:
            return (ending if record.committed == terms.me else None), seen
        try:
            done, seen = yield Swap(seen.revision, changed)
        except StoreError as error:
            if not isinstance(answer, Granted):
                return (ending or Ending(Outcome.STORE_DOWN, reason=str(error), trouble=type(error))), seen
            if not offers:  # law 10: the waiters go on with what is in memory, while the store is offered it
                yield Announce(Ending(Outcome.UNPERSISTED, seen._replace(record=changed), reason=str(error)))
            seen, offers = yield from _until_seen(offers)
            continue
        if done:
            return (ending._replace(seen=seen) if ending else None), seen


def _until_seen(offers: int) -> Generator[Effect, Any, tuple[Seen, int]]:
    """Pause, longer each time, until the store is there again; it is offered the pair until it takes it."""
    while True:
        yield Pause(min(policy.OFFER_FIRST * 1.5 ** min(offers, 32), policy.OFFER_MOST))
        offers += 1
        try:
            looked: Seen = yield Load()
            return looked, offers
        except StoreError:
            continue


def _pair(granted: Granted, origin: Record) -> Pair:
    old, attempt = origin.pair, origin.attempt
    return Pair(
        access_token=granted.access_token,
        refresh_token=granted.refresh_token or old.refresh_token,  # RFC 6749 section 6: not returned, keep the old one
        token_type=granted.token_type,
        scope=granted.scope or old.scope,
        extra={**old.extra, **granted.extra},
        issued_at=origin.claim.until - origin.claim.lease if origin.claim else 0.0,
        lifetime=granted.lifetime,
        date=granted.date,
        attempt=attempt.number if attempt else 0,
    )


def _failure(
    record: Record, origin: Record, answer: Denied | Silence, reason: str, now: float, terms: Terms
) -> tuple[Record | None, Ending | None]:
    """What a failed POST leaves for everybody (law 9), and how it ends for us; no ending: look again."""
    me, wait = terms.me, backoff(record.failures, terms.me)
    if record.lineage != origin.lineage:
        return None, None  # a new login meanwhile: what became of the old one is no news to it (law 8)
    if answer is Silence.CLAIM_LOST:
        return change.release(record, me, now, outcome="claim_lost"), None
    if answer is Silence.NOT_SENT:
        changed = change.release(record, me, now, outcome="transient", error=reason, wait=wait)
        return changed, Ending(Outcome.TRANSIENT, wait=wait, reason=reason)
    if answer is Silence.CUT_OFF:
        return change.release(record, me, now, outcome="cut_off", error=reason, wait=wait, spent=True), None
    assert isinstance(answer, Denied)
    if (record.lineage, record.generation) != (origin.lineage, origin.generation):
        return change.release(record, me, now, outcome=record.outcome), None  # law 8: a loser never destroys a winner
    if answer.refresh_token is not None:
        return change.salvage(record, me, origin, answer.refresh_token, now), None
    error = answer.error or f"HTTP {answer.status}"
    if answer.kind is DenialKind.DEAD and terms.needs_refresh_token:
        doubted = change.doubt(record, me, now, error)
        return doubted, Ending(Outcome.DEAD, denied=answer) if doubted and doubted.state == "dead" else None
    if answer.kind is DenialKind.MALFORMED:
        return change.release(record, me, now, outcome="cut_off", error=error, wait=wait, spent=True), None
    if answer.kind is DenialKind.TRANSIENT:
        wait = max(wait, min(answer.retry_after or 0.0, policy.BACKOFF_LONGEST))
        changed = change.release(record, me, now, outcome="transient", error=error, wait=wait)
        return changed, Ending(Outcome.TRANSIENT, denied=answer, wait=wait)
    changed = change.release(record, me, now, outcome="misconfigured", error=error, wait=policy.COOL_DOWN)
    return changed, Ending(Outcome.MISCONFIGURED, denied=answer, wait=policy.COOL_DOWN)


def backoff(failures: int, me: str) -> float:
    """Seconds after the nth failure in a row: doubling, and spread by who asks, so that nobody marches in step."""
    spread = 0.5 + int(me[:4], 16) / 0x1FFFE
    return min(policy.BACKOFF_FIRST * float(2 ** min(failures, 10)), policy.BACKOFF_MOST) * spread
