"""Runs one renewal of `rules/protocol.py` against a store and a token endpoint."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextvars import copy_context
from functools import partial
from typing import Any, Protocol

from . import policy
from .errors import StoreError
from .events import ClaimLost, Event, Seeded
from .exchange import Exchange
from .flight import Flight
from .ledger import Ledger
from .rules import lineage
from .rules import record as change
from .rules.effects import (
    Announce,
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
)
from .rules.protocol import Renewal
from .rules.record import Pair, Record
from .rules.token_request import TokenRequest
from .rules.token_response import required


class Endpoint(Protocol):
    """What presents a token request, once."""

    @property
    def timeout(self) -> float:
        """Seconds for one whole exchange."""

    def begin(self, request: TokenRequest, may_write: Callable[[], bool]) -> Exchange:
        """An exchange that is ready to `run`."""


class _Abandoned(Exception):
    """The process ends, and the store has not come back."""


class Driver:
    """Gives a renewal its effects: the store, the endpoint, the heartbeat and the clock.

    Args:
        build: makes the token request for a pair.
        seeds: brings the seeds, given the store's clock.
        announce: lets the waiters go on before the work is done.
    """

    def __init__(
        self,
        ledger: Ledger,
        endpoint: Endpoint,
        build: Callable[[Pair], TokenRequest],
        seeds: Callable[[float], Sequence[Pair]],
        announce: Callable[[Ending], None],
        note: Callable[[type[Event], Record], None],
        flight: Flight,
    ) -> None:
        self._ledger, self._endpoint = ledger, endpoint
        self._build, self._seeds, self._announce = build, seeds, announce
        self._note, self._flight = note, flight
        self._before: Record | None = None  # the record, as it was seen last
        self.trouble: Exception | None = None  # what the user's own code raised
        self._exit_by = time.monotonic() + policy.EXIT_PATIENCE
        self._asked = _clocks()  # just before the last swap: its answer's clock is no older

    def run(self, renewal: Renewal) -> Ending:
        """Drive to the end."""
        reply: Any = None
        failed: StoreError | None = None
        while True:
            try:
                effect = renewal.throw(failed) if failed else renewal.send(reply)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            reply = failed = None
            try:
                reply = self._perform(effect)
            except StoreError as error:
                failed = error
            except _Abandoned:
                renewal.close()
                return Ending(Outcome.UNPERSISTED, reason="the process ended without the store: the pair is lost")

    def _perform(self, effect: Effect) -> Any:
        match effect:
            case Load():
                return self._looked(self._ledger.load())
            case Swap(revision, record, heals):
                self._asked = _clocks()
                done, seen = self._ledger.swap(revision, record, heals=heals)
                if done and not heals and lineage.is_seeded(self._before, record):
                    self._note(Seeded, record)
                return done, self._looked(seen)
            case Sleep(revision, seconds):
                return self._looked(self._ledger.sleep(revision, seconds))
            case Bring(now):
                return self._seeds(now)
            case Post(seen):
                return self._post(seen)
            case Pause(seconds):
                self._pause(seconds)
            case Announce(ending):
                assert ending.seen is not None
                aged = time.monotonic() - self._asked[0]  # while the store kept us waiting
                self._announce(ending._replace(seen=ending.seen._replace(now=ending.seen.now + aged)))
        return None

    def _looked(self, seen: Seen) -> Seen:
        self._before = seen.record
        return seen

    def _pause(self, seconds: float) -> None:
        """Sleep; when the program has ended meanwhile, not for much longer."""
        if threading.main_thread().is_alive():
            self._exit_by = time.monotonic() + policy.EXIT_PATIENCE
        elif time.monotonic() > self._exit_by:
            raise _Abandoned
        time.sleep(seconds)

    def _post(self, seen: Seen) -> Posted:
        assert seen.record is not None
        lease = _Lease(seen, self._asked)
        try:
            request = self._build(seen.record.pair)
        except Exception as error:  # a secret's callable, say: the claim must be given back, the caller told
            self.trouble = error
            return Posted(Silence.NOT_SENT, seen, type(error).__name__)
        exchange = self._endpoint.begin(request, lease.holds)
        self._flight.asked += 1
        end = time.monotonic() + self._endpoint.timeout
        try:
            run = partial(copy_context().run, exchange.run)
            threading.Thread(target=run, name="oauth-session-post", daemon=False).start()
        except RuntimeError:  # the interpreter is ending and starts no thread: nobody beats, so claim it all at once
            seen = self._beat(seen, lease, self._endpoint.timeout + policy.LEASE)
            exchange.run()
        else:
            while not exchange.finished.wait(max(0.0, min(policy.HEARTBEAT, end - time.monotonic()))):
                if time.monotonic() >= end:
                    exchange.abort(f"no complete answer within {self._endpoint.timeout:g} s")
                    exchange.finished.wait(1.0)  # what hangs in a name look-up is left behind: it can write no more
                    break
                seen = self._beat(seen, lease)
        seen = seen._replace(now=max(seen.now, lease.now()))  # a back-off counts from the answer
        if exchange.refused or lease.lost:
            self._note(ClaimLost, seen.record or lease.origin)
        if exchange.answer is not None:
            answer = required(request.read(*exchange.answer, request.secrets), request.token_type)
            return Posted(answer, seen)
        if exchange.refused:
            return Posted(Silence.CLAIM_LOST, seen)
        return Posted(Silence.CUT_OFF if exchange.sent else Silence.NOT_SENT, seen, exchange.reason)

    def _beat(self, seen: Seen, lease: _Lease, seconds: float = 0.0) -> Seen:
        """One heartbeat. A claim that is lost closes the gate; an answer under way may still come (law 7)."""
        while seen.record is not None and lease.covers(seen.record):
            record = change.beat(seen.record, lease.by, lease.now(), seconds)
            if record is None:
                break
            asked = _clocks()
            try:
                done, seen = self._ledger.swap(seen.revision, record)
            except StoreError:
                return seen  # the lease runs on for as long as it was granted
            if done:
                lease.renew(seen, asked)
                return seen
        lease.lose()
        return seen


def _clocks() -> tuple[float, float]:
    return time.monotonic(), time.time()


class _Lease:
    """Until when the claim is surely ours, on this machine's clocks; the wall clock notices a suspended machine."""

    def __init__(self, seen: Seen, asked: tuple[float, float]) -> None:
        assert seen.record is not None
        self.origin, self.lost = seen.record, False
        self.by = seen.record.claim.by if seen.record.claim else ""
        self.renew(seen, asked)

    def renew(self, seen: Seen, asked: tuple[float, float]) -> None:
        claim = seen.record.claim if seen.record else None
        left = claim.until - seen.now if claim else 0.0
        self._now, self._at, self._wall_at = seen.now, *asked
        self._end, self._wall_end = asked[0] + left, asked[1] + left

    def now(self) -> float:
        """The store's clock, carried on. A suspension counts, as far as the claim can outlast one."""
        ticked, wall = time.monotonic() - self._at, time.time() - self._wall_at
        return self._now + ticked + min(max(0.0, wall - ticked), policy.LEASE_MOST)

    def covers(self, record: Record) -> bool:
        """Whether it is for this generation: a late commit leaves our claim, but what we would present is spent."""
        return (record.lineage, record.generation) == (self.origin.lineage, self.origin.generation)

    def lose(self) -> None:
        self._end, self.lost = 0.0, True

    def holds(self) -> bool:
        return time.monotonic() < self._end and time.time() < self._wall_end
