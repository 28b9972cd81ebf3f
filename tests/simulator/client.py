"""One process: a small model of the token source and its driver around the real protocol."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, NamedTuple

from oauth_session import policy
from oauth_session.errors import StoreError
from oauth_session.rules import lineage, protocol
from oauth_session.rules import record as change
from oauth_session.rules.effects import (
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
    Sleep,
    Swap,
    Terms,
)
from oauth_session.rules.record import Pair, Record
from oauth_session.tokens import Token

from .process import Flight, Process
from .wire import Exchange, Lease
from .world import NEVER, RECEIVED, Steps, Task, World

ORIGIN = "https://api.example.com"
BRINGS = (Outcome.REFRESHED, Outcome.ADOPTED, Outcome.UNPERSISTED)


class Held(NamedTuple):
    """What a process has in memory, as `held.Held`."""

    record: Record
    lineage: str
    generation: int
    access: str | None
    born: float
    fresh_for: float
    usable_for: float

    def hold(self, now: float) -> int | None:
        """The step of the hold on the one origin that there is: 0 is probation, None is no hold."""
        there = self.record.holds.get(ORIGIN)
        return there.step if there and there.generation == self.generation and there.until > now else None


class Client(Process):
    """A process with one thread of requests and the protocol's worker.

    Args:
        seed: the token that its constructor brought.
    """

    def __init__(self, world: World, name: str, offset: float, seed: Token | None = None) -> None:
        super().__init__(world, name, offset)
        self.seed = seed
        self._user: Task | None = None
        self._rounds: list[float] = []
        self._forget()

    def _forget(self) -> None:
        self.held: Held | None = None
        self.flight: Flight | None = None
        self._proven = -1
        self._ticket = self._published = 0
        self.parted_until = self.failed_at = 0.0
        self._next_look = self._not_early_before = 0.0

    @property
    def memory(self) -> Record | None:
        return self.held.record if self.held and self.held.record.state in ("live", "dead") else None

    # -- its life

    def live(self, rounds: Sequence[float]) -> None:
        """Send a request at each of these times; after a crash a new process does the rest."""
        self._rounds = list(rounds)
        self._user = self.world.spawn(self._requests(), self)

    def crashed(self) -> None:
        flight = self.flight
        if flight is not None and flight.exchange is not None:
            flight.exchange.holder_gone()
        self._forget()
        self.world.log(self.name, "CRASHES")
        self._user = self.world.spawn(self._requests(), self, self.world.now + 0.05)

    # -- requests

    def _requests(self) -> Steps:
        world = self.world
        while self._rounds:
            at = self._rounds[0] + world.chooser.span("start")
            if at > world.now:
                yield at
            yield from self._request()
            if self._rounds:
                self._rounds.pop(0)

    def _request(self) -> Steps:
        world = self.world
        held = yield from self.current()
        age = 0.0 if held is None else world.now - held.born
        if held is None or held.access is None or age >= held.usable_for:
            held = (yield from self.renew(Ask()))[0]
        elif age >= held.fresh_for:
            self._early(held)
        if held is None or self._accepted(held, False):
            return
        now = self.held
        if now and now.generation == held.generation and now.hold(world.now):
            return
        ask = Ask((held.lineage, held.generation), ORIGIN, proven=self._proven == held.generation)
        got, outcome = yield from self.renew(ask)
        if got is None or self._accepted(got, True):
            return
        if outcome is Outcome.REFRESHED or got.hold(world.now) == 0:
            generation = got.generation
            yield from self.update(lambda r, now: r and change.hold(r, ORIGIN, generation, now))

    def _accepted(self, held: Held, after_refusal: bool) -> bool:
        """Sends the token; as `source.accepted`, but that no hold is lifted here."""
        world = self.world
        assert held.access is not None
        world.laws.used(world, self, held.access)
        verdict = world.model.judge(held.access, world.now)
        world.log(self.name, f"request with generation {held.generation}", verdict)
        if verdict == "good" and (after_refusal or ORIGIN in held.record.holds):
            self._proven = held.generation
        return verdict == "good"

    def _early(self, held: Held) -> None:
        if self.world.now >= self._not_early_before and (self.flight is None or self.flight.done):
            self._not_early_before = self.world.now + policy.BACKOFF_FIRST
            self._fly(Ask((held.lineage, held.generation), early=True))

    # -- its memory

    def told(self) -> None:
        """Somebody has committed: the next request looks."""
        self._next_look = 0.0

    def current(self) -> Generator[float, None, Held | None]:
        """As `held.Memory.current`: a look at the store once in a freshness bound, or when told."""
        if self.held is not None and self.world.now >= self._next_look:
            self._next_look = self.world.now + policy.FRESHNESS
            try:
                yield from self.check()
            except StoreError:
                pass
        return self.held

    def check(self) -> Steps:
        self._ticket = ticket = self._ticket + 1
        seen = yield from self.load()
        held = self.held
        age = self.world.now - held.born if held else 0.0
        healed = lineage.heal(seen.record, held and held.record, seen.now, age, self.world.rest)
        if healed is not None:
            _, seen = yield from self.swap(seen.revision, healed)
        self._publish(seen, ticket)

    def remember(self, seen: Seen | None) -> None:
        """As `held.Memory.written`."""
        if seen is not None:
            self._ticket += 1
            self._publish(seen, self._ticket)

    def _publish(self, seen: Seen, ticket: int) -> None:
        record = seen.record
        if record is None or ticket < self._published:
            return
        self.world.laws.learnt(self, record)
        pair, rules, old = record.pair, self.world.rules, self.held
        if old and pair.access_token and old.lineage == record.lineage and record.generation < old.generation:
            return
        fresh = usable = NEVER
        if pair.lifetime is not None:
            usable = rules.expired_after(pair.lifetime)
            fresh = usable if record.settled or pair.refresh_token is None else rules.stale_after(pair.lifetime)
        born = self.world.now - record.age(seen.now)
        self._published, self._next_look = ticket, self.world.now + policy.FRESHNESS
        self.held = Held(record, record.lineage, record.generation, pair.access_token, born, fresh, usable)

    def update(self, step: Callable[[Record | None, float], Record | None]) -> Steps:
        """A change to whatever is there; a store that is away loses it."""
        try:
            seen: Seen = yield from self.load()
            while (record := step(seen.record, seen.now)) is not None:
                done, seen = yield from self.swap(seen.revision, record)
                if done:
                    break
            self.remember(seen)
        except StoreError:
            pass

    # -- the source

    def renew(self, ask: Ask) -> Generator[float, None, tuple[Held | None, Outcome | None]]:
        """As `source.renew`: board the flight under way, or a new one."""
        world, asked = self.world, self.world.now
        deadline = asked + world.rules.deadline
        while True:
            flight, ours = self.flight, False
            if flight is None or flight.done:
                flight, ours = self._fly(ask), True
            yield from self._until(lambda f=flight: f.ending is not None, deadline)  # type: ignore[misc]
            ending, held = flight.ending, self.held
            if ending is None:
                break
            ok = ending.outcome in BRINGS
            unlike = held is not None and held.access is not None and ask.unlike != (held.lineage, held.generation)
            if ok and held and unlike and world.now - held.born < held.usable_for:
                world.laws.told(world, self, ask, ending.outcome.value, asked)
                return held, ending.outcome
            if ending.outcome is Outcome.UNPERSISTED and not flight.done:
                yield from self._until(lambda f=flight: f.done, deadline)  # type: ignore[misc]
                if not flight.done:
                    break
                continue
            if ours or (not ok and flight.ask == ask):
                world.laws.told(world, self, ask, ending.outcome.value, asked)
                return (held if ok and unlike else None), ending.outcome
        world.laws.told(world, self, ask, "RefreshTimeout", asked)
        return None, None

    def _until(self, true: Callable[[], bool], deadline: float) -> Steps:
        while not true() and self.world.now < deadline:
            yield deadline

    def _nudge(self) -> None:
        if self._user is not None and self.world.running is not self._user:
            self._user.wake = min(self._user.wake, self.world.now) if self._user.wake < NEVER else self.world.now

    def _fly(self, ask: Ask) -> Flight:
        flight = self.flight = Flight(ask, self.world.name(self.name))
        self.world.spawn(self._work(flight), self)
        return flight

    def _work(self, flight: Flight) -> Steps:
        world = self.world
        started = world.now
        blank, held = lineage.begin("g", "c", world.name(), Pair()), self.held
        terms = Terms(
            me=flight.me,
            policy=world.rules,
            blank=blank,
            known=held and held.record,
            known_age=world.now - held.born if held else 0.0,
            rest=world.rest,
        )
        renewal = protocol.renewal(flight.ask, terms)
        reply: Any = None
        failed: StoreError | None = None
        while True:
            try:
                effect = renewal.throw(failed) if failed else renewal.send(reply)
            except StopIteration as stop:
                ending: Ending = stop.value
                break
            reply = failed = None
            try:
                reply = yield from self._perform(effect, flight)
            except StoreError as error:
                failed = error
        world.log(self.name, "ends", ending.outcome.value)
        world.laws.ended(world, self, flight, ending, started)
        flight.offering = False
        self.remember(ending.seen)
        flight.ending, flight.done = flight.ending or ending, True
        self._nudge()

    # -- the driver

    def _perform(self, effect: Effect, flight: Flight) -> Generator[float, None, Any]:
        world = self.world
        match effect:
            case Load():
                return (yield from self.load())
            case Swap(revision, record):
                flight.asked = world.now
                return (yield from self.swap(revision, record))
            case Sleep(revision, seconds):
                if world.store.revision == revision:
                    task = world.running
                    task.watching = True
                    yield world.now + seconds
                    task.watching = False
                return (yield from self.load())
            case Bring(now):
                return [Pair.of(self.seed, now)] if self.seed else []
            case Post(seen):
                return (yield from self._post(seen, flight))
            case Pause(seconds):
                yield world.now + seconds
            case Announce(ending):
                flight.ending, flight.offering = ending, True
                world.facts[ending.outcome.value] += 1
                world.log(self.name, "announces", ending.outcome.value)
                self.remember(ending.seen)
                self._nudge()
        return None

    def _post(self, seen: Seen, flight: Flight) -> Generator[float, None, Posted]:
        world = self.world
        lease = Lease(seen, flight.asked)
        exchange = flight.exchange = Exchange(world, self, flight.ask, seen, lease)
        end = world.now + world.rules.token_timeout
        while not exchange.finished:
            yield from exchange.wait(min(world.now + policy.HEARTBEAT, end))
            if exchange.finished:
                break
            if world.now >= end:
                exchange.abort()
                break
            seen = yield from self._beat(seen, exchange)
        self.suffer(RECEIVED)
        if self.frozen > world.now:
            yield world.now
        return exchange.posted(seen)

    def _beat(self, seen: Seen, exchange: Exchange) -> Generator[float, None, Seen]:
        lease, origin = exchange.lease, exchange.origin
        while seen.record is not None and lease.covers(seen.record):
            record = change.beat(seen.record, lease.by, lease.now(self.world.now))
            if record is None:
                break
            asked = self.world.now
            try:
                done, seen = yield from self.swap(seen.revision, record)
            except StoreError:
                return seen
            if seen.record and seen.record.generation > origin.generation:
                exchange.overtaken = True
            if done:
                lease.renew(seen, asked)
                return seen
        lease.lose()
        return seen
