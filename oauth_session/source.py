"""The token source: what one process holds of one grant, and the one renewal that its threads share.

`token()` on a fresh token takes no lock and does no I/O. Everything else runs the protocol on a worker thread that
outlives its callers (law 4): a Ctrl-C, a deadline or the interpreter's exit must not fall between the provider's
answer and the commit.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from contextvars import copy_context
from functools import partial

from . import policy
from .child import at_birth, notice
from .driver import Driver, Endpoint
from .errors import OAuthSessionError, RefreshTimeout, StoreError
from .events import DetectionRemembered, Hold, Listeners, NotRefreshed
from .flight import Flight, Grant, Renewed
from .held import Held, Memory
from .ledger import Ledger
from .report import Report
from .rules import lineage
from .rules import record as change
from .rules.effects import Ask, Ending, Outcome, Terms
from .rules.outcomes import error_of
from .rules.protocol import renewal
from .rules.record import Pair, Record
from .standstill import stands_still

_sources: weakref.WeakSet[TokenSource] = weakref.WeakSet()


class TokenSource:
    """One grant's tokens in one process; safe for threads, and usable on both sides of a fork.

    Args:
        grant: what to refresh and how.
        ledger: where the record is.
        endpoint: whom to ask.
        rules: when, and how patiently.
        listeners: told of everything that matters.
    """

    def __init__(
        self,
        grant: Grant,
        ledger: Ledger,
        endpoint: Endpoint,
        rules: policy.RefreshPolicy,
        listeners: Listeners = (),
    ) -> None:
        self.grant, self.ledger, self.endpoint, self.rules = grant, ledger, endpoint, rules
        self._report = Report(grant.grant_id, listeners)
        self._memory = Memory(ledger, rules, grant.needs_refresh_token)
        self._proven: dict[str, int] = {}  # origin -> the newest generation that it has accepted after a refusal
        self._remake()
        _sources.add(self)

    def _remake(self) -> None:
        """In a forked child: its parent's threads are gone, and a lock may have been held at the fork."""
        self._memory.remake()
        self._lock = threading.RLock()  # guards _flight; a signal handler may come in again
        self._flight: Flight | None = None
        self._not_early_before = self._no_change_before = 0.0  # on the monotonic clock

    # -- the path of a request ---------------------------------------------------------------------------------------

    def token(self, timeout: float | None = None) -> Held:
        """A token fit to send; refreshed first if it is known to have ended.

        Args:
            timeout: seconds to wait for a refresh; the policy's deadline if None.

        Raises:
            OAuthSessionError: there is none, for the reason that its class says.
        """
        notice()
        held = self._memory.current()
        if held is not None:
            age = held.age()
            if age < held.fresh_for:
                return held
            if age < held.usable_for:
                return self._early(held)
        renewed = self._renew(Ask(), timeout)
        if renewed.held is None:
            raise renewed.error or OAuthSessionError(f"grant {self.grant.grant_id!r}: no token")
        return renewed.held

    def held(self) -> Held | None:
        """What is in memory, fit or not."""
        return self._memory.held

    def renew(self, unlike: Held, origin: str) -> Renewed:
        """A token unlike the one that `origin` refused; asks the provider only if nobody has one (law 1)."""
        notice()
        held = self._memory.held
        if held is not None and held.generation == unlike.generation and held.held_back(origin):
            return Renewed(None, Outcome.HELD, None)
        proven = self._proven.get(origin) == unlike.generation
        return self._renew(Ask((unlike.lineage, unlike.generation), origin, proven=proven), None)

    def refused_again(self, renewed: Renewed, origin: str) -> None:
        """The replay was refused too: put the origin on hold, for everybody.

        Only a token that was minted for this refusal proves that refusals there are not expiry; one that was adopted may
        have ended meanwhile, as the first did.
        """
        held = renewed.held
        if held is None or (renewed.outcome is not Outcome.REFRESHED and not held.on_probation(origin)):
            return
        self._report.tell(Hold, generation=held.generation, origin=origin)
        self._change(lambda record, now: record and change.hold(record, origin, held.generation, now))

    def accepted(self, held: Held, origin: str, after_refusal: bool) -> None:
        """A request went through: a hold of an earlier generation is over, and a newborn token has proven itself."""
        hold = held.holds.get(origin)
        if after_refusal and origin not in self._proven:
            self._report.tell(DetectionRemembered, generation=held.generation, origin=origin)
        if after_refusal or hold is not None:
            self._proven[origin] = held.generation
        if hold is not None and hold[1] > 0 and hold[2] < held.generation:
            self._change(lambda record, now: record and change.unhold(record, origin, held.generation))

    # -- what people ask for -----------------------------------------------------------------------------------------

    def refresh(self, force: bool = False, timeout: float | None = None) -> Held:
        """A token unlike the present one, from a peer or from the provider.

        Raises:
            OAuthSessionError: there is none, for the reason that its class says.
        """
        notice()
        held = self._memory.held or self._memory.look()
        unlike = (held.lineage, held.generation) if held else None
        renewed = self._renew(Ask(unlike, force=force), timeout)
        if renewed.held is None:
            raise renewed.error or OAuthSessionError(f"grant {self.grant.grant_id!r}: no token")
        return renewed.held

    def put(self, pair: Callable[[float], Pair]) -> None:
        """A login somewhere else: replaces whatever is there, lifts a tombstone, starts a new lineage."""
        notice()
        blank = self._blank()
        self._memory.written(self.ledger.update(lambda record, now: lineage.put(record, blank, pair(now)), mend=True))

    def end(self, state: lineage.Ending) -> None:
        """Forget the tokens here and in the store; what is left is a tombstone."""
        notice()
        blank = self._blank()
        self._memory.written(self.ledger.update(lambda record, now: lineage.end(record or blank, state)))

    def land(self) -> None:
        """Wait for a renewal under way, as long as its answer may take: the process may be about to end at once."""
        if (flight := self._flight) is not None:
            flight.done.wait(self.endpoint.timeout)

    # -- one renewal for all threads ---------------------------------------------------------------------------------

    def _renew(self, ask: Ask, timeout: float | None) -> Renewed:
        deadline = time.monotonic() + (self.rules.deadline if timeout is None else timeout)
        while True:
            flight, ours = self._board(ask)
            if not flight.landed.wait(max(0.0, deadline - time.monotonic())):
                late = RefreshTimeout(f"grant {self.grant.grant_id!r}: still being refreshed; the refresh goes on")
                return Renewed(None, Outcome.BACKING_OFF, late)
            if flight.trouble is not None:
                return Renewed(None, Outcome.MISCONFIGURED, flight.trouble_of_ours())
            ending, held = flight.ending, self._memory.held
            assert ending is not None
            error = error_of(ending, self.grant.grant_id)
            if error is None and held is not None and self._will_do(held, ask):
                return Renewed(held, ending.outcome, None)
            if ending.outcome is Outcome.UNPERSISTED and not flight.done.is_set():
                # Its refresh token is spent: nobody else asks. Nor does anybody wait for the store for long.
                if flight.done.wait(max(0.0, min(deadline - time.monotonic(), policy.STORE_TIMEOUT))):
                    continue
                down = Ending(Outcome.STORE_DOWN, reason="a new pair is kept in memory until the store is back")
                return Renewed(None, Outcome.STORE_DOWN, error_of(down, self.grant.grant_id))
            if ours or ending.outcome is Outcome.STORE_DOWN or (error is not None and flight.ask == ask):
                return Renewed(None if error else self._answer_to(ask), ending.outcome, error)

    def _will_do(self, held: Held, ask: Ask) -> bool:
        return ask.unlike != (held.lineage, held.generation) and held.age() < held.usable_for

    def _answer_to(self, ask: Ask) -> Held | None:
        """What our own flight brought, however short it lives."""
        held = self._memory.held
        return held if held is not None and ask.unlike != (held.lineage, held.generation) else None

    def _board(self, ask: Ask) -> tuple[Flight, bool]:
        """The renewal under way, or a new one of our own."""
        with self._lock:
            if self._flight is not None:
                return self._flight, False
            flight = Flight(ask)
            fly = partial(copy_context().run, self._fly, flight)  # a trace of the request goes on in its renewal
            worker = threading.Thread(target=fly, name="oauth-session-refresh", daemon=False)
            try:  # an interrupt may come between any two lines
                self._flight = flight
                worker.start()
                return flight, True
            except RuntimeError:
                pass  # the interpreter is ending and starts no thread any more: fly ourselves
            except BaseException:
                if worker.ident is None:
                    self._flight = None
                raise
        self._fly(flight)
        return flight, True

    def _fly(self, flight: Flight) -> None:
        driver = Driver(
            self.ledger,
            self.endpoint,
            self.grant.build,
            self.grant.seeds,
            lambda ending: self._announce(flight, ending),
            self._report.note,
            flight,
        )
        ending = Ending(Outcome.STORE_DOWN, reason="the refresh was interrupted")
        try:
            self._report.started(flight)
            ending = driver.run(renewal(flight.ask, self._terms()))
            flight.trouble = driver.trouble
        except Exception as error:
            flight.trouble = error
        finally:
            self._land(flight, ending)

    def _announce(self, flight: Flight, ending: Ending) -> None:
        """Law 10: the waiters go on with what is in memory, while the worker keeps offering it to the store."""
        self._memory.offering = True
        self._memory.written(ending.seen)
        self._end(flight, ending)

    def _land(self, flight: Flight, ending: Ending) -> None:
        self._memory.offering = False
        self._memory.written(ending.seen)
        with self._lock:
            if self._flight is flight:
                self._flight = None
        if not flight.landed.is_set():
            self._end(flight, ending)
        flight.done.set()

    def _end(self, flight: Flight, ending: Ending) -> None:
        flight.ending = ending
        flight.landed.set()
        self._report.ended(flight, ending, self.ledger.store.shared)

    def _early(self, held: Held) -> Held:
        """The advisory window: one renews, everybody else goes on with what they have."""
        if time.monotonic() < self._not_early_before or self._flight is not None:
            return held
        self._not_early_before = time.monotonic() + policy.BACKOFF_FIRST
        ask = Ask((held.lineage, held.generation), early=True)
        if self.rules.background and not stands_still(self._report.listeners):
            self._board(ask)
            return held
        return self._renew(ask, None).held or held

    def _change(self, step: Callable[[Record | None, float], Record | None]) -> None:
        """A change that a request can do without: a store that is away loses it, and is left alone for a while."""
        if time.monotonic() < self._no_change_before:
            return
        try:
            self._memory.written(self.ledger.update(step))
        except StoreError as error:
            self._no_change_before = time.monotonic() + policy.FRESHNESS
            self._report.tell(NotRefreshed, outcome="store_down", reason=str(error))

    def _terms(self) -> Terms:
        self._memory.attend()
        held, known = self._memory.held, self._memory.record
        return Terms(
            me=policy.claimant(),
            policy=self.rules,
            blank=self._blank(),
            needs_refresh_token=self.grant.needs_refresh_token,
            known=known,
            known_age=held.age() if held else 0.0,
            rest=self.ledger.store.rest if self.grant.needs_refresh_token else 0.0,
        )

    def _blank(self) -> Record:
        return lineage.begin(self.grant.grant_id, self.grant.client, policy.random_name(), self.grant.blank)


def _after_fork() -> None:
    for source in list(_sources):
        source._remake()


at_birth(_after_fork)
