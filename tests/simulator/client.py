"""One process: a small model of the token source and its driver around the real protocol."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from typing import Any

from oauth_session import driver, policy
from oauth_session.errors import StoreError
from oauth_session.held import Held, Memory
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
from .wire import Exchange
from .world import NEVER, RECEIVED, Steps, Task, World

ORIGIN = "https://api.example.com"
BRINGS = (Outcome.REFRESHED, Outcome.ADOPTED, Outcome.UNPERSISTED)


class _Store:
    """What `held.Memory` asks of a store; its one command, the look, is made here."""

    shared = True

    def watch(self, *given: object) -> None:
        pass


class _Ledger:
    def __init__(self) -> None:
        self.store, self.key, self.written = _Store(), None, ""


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
        self.flight: Flight | None = None
        self.ledger = _Ledger()
        self._memory = Memory(self.ledger, self.world.rules, True)  # type: ignore[arg-type]
        self._proven = -1
        self.parted_until = self._not_early_before = 0.0

    @property
    def held(self) -> Held | None:
        return self._memory.held

    @property
    def memory(self) -> Record | None:
        record = self._memory.record
        return record if record and record.state in ("live", "dead") else None

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
        held = yield from self.current()
        age = held.age() if held else 0.0
        if held is None or age >= held.usable_for:
            held = (yield from self.renew(Ask()))[0]
        elif age >= held.fresh_for:
            self._early(held)
        if held is None or self._accepted(held, False):
            return
        now = self.held
        if now and now.generation == held.generation and now.held_back(ORIGIN):
            return
        ask = Ask((held.lineage, held.generation), ORIGIN, proven=self._proven == held.generation)
        got, outcome = yield from self.renew(ask)
        if got is None or self._accepted(got, True):
            return
        if outcome is Outcome.REFRESHED or got.on_probation(ORIGIN):
            generation = got.generation
            yield from self.update(lambda r, now: r and change.hold(r, ORIGIN, generation, now))

    def _accepted(self, held: Held, after_refusal: bool) -> bool:
        """Sends the token; as `source.accepted`, but that no hold is lifted here."""
        world = self.world
        world.laws.used(world, self, held.token.access_token)
        verdict = world.model.judge(held.token.access_token, world.now)
        world.log(self.name, f"request with generation {held.generation}", verdict)
        if verdict == "good" and (after_refusal or ORIGIN in held.holds):
            self._proven = held.generation
        return verdict == "good"

    def _early(self, held: Held) -> None:
        if self.world.now >= self._not_early_before and (self.flight is None or self.flight.done):
            self._not_early_before = self.world.now + policy.BACKOFF_FIRST
            self._fly(Ask((held.lineage, held.generation), early=True))

    # -- its memory

    def told(self, revision: str) -> None:
        self._memory.told(revision)

    def current(self) -> Generator[float, None, Held | None]:
        """As `held.Memory.current`."""
        memory = self._memory
        now = driver.time.monotonic
        if memory.held is not None and now() >= memory._next_look and (told := memory._turn()) is not None:
            try:
                if told or not self.world.setting.push:
                    yield from self._look()
            except StoreError:
                memory._told, memory._next_look = told or memory._told, now() + policy.FRESHNESS
        return memory.held

    def _look(self) -> Steps:
        """As `held.Memory.look`."""
        memory = self._memory
        if memory.offering:
            return
        ticket = next(memory._tickets)
        seen = yield from self.load()
        self.spoke_at = self.world.now
        known, held = memory.record, memory.held
        while known is not None and (seen.record is None or lineage.behind(seen.record, known)):
            healed = lineage.heal(seen.record, known, seen.now, held.age() if held else 0.0, self.world.rest)
            assert healed is not None
            _, seen = yield from self.swap(seen.revision, healed)
        self._publish(seen, ticket)

    def remember(self, seen: Seen | None) -> None:
        """As `held.Memory.written`."""
        if seen is not None:
            self._publish(seen, next(self._memory._tickets))

    def _publish(self, seen: Seen, ticket: int) -> None:
        if seen.record is not None and ticket >= self._memory._published:
            self.world.laws.learnt(self, seen.record)
        self._memory._publish(seen, ticket)

    def update(self, step: Callable[[Record | None, float], Record | None]) -> Steps:
        """A change to whatever is there; a store that is away loses it."""
        with suppress(StoreError):
            seen: Seen = yield from self.load()
            while (record := step(seen.record, seen.now)) is not None:
                done, seen = yield from self.swap(seen.revision, record)
                if done:
                    break
            self.remember(seen)

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
            unlike = held is not None and ask.unlike != (held.lineage, held.generation)
            if ok and held and unlike and held.age() < held.usable_for:
                world.laws.told(world, self, ask, ending.outcome.value, asked)
                return held, ending.outcome
            if ending.outcome is Outcome.UNPERSISTED and not flight.done:
                patience = min(deadline, world.now + policy.STORE_TIMEOUT)
                yield from self._until(lambda f=flight: f.done, patience)  # type: ignore[misc]
                if flight.done:
                    continue
                world.laws.told(world, self, ask, Outcome.STORE_DOWN.value, asked)
                return None, Outcome.STORE_DOWN
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
            known=self._memory.record,
            known_age=held.age() if held else 0.0,
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
        self._memory.offering = False
        self.remember(ending.seen)
        flight.ending, flight.done = flight.ending or ending, True
        self._nudge()

    # -- the driver

    def _perform(self, effect: Effect, flight: Flight) -> Generator[float, None, Any]:
        world = self.world
        match effect:
            case Load():
                seen = yield from self.load()
                self.spoke_at = world.now
                return seen
            case Swap(revision, record):
                flight.asked = driver._clocks()
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
                flight.ending = ending
                self._memory.offering = True
                world.facts[ending.outcome.value] += 1
                world.log(self.name, "announces", ending.outcome.value)
                self.remember(ending.seen)
                self._nudge()
        return None

    def _post(self, seen: Seen, flight: Flight) -> Generator[float, None, Posted]:
        """As `driver._post`, on the real `driver._Lease`."""
        world = self.world
        lease = driver._Lease(seen, flight.asked)
        exchange = flight.exchange = Exchange(world, self, flight.ask, seen, lease)
        end = world.now + world.rules.patience
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
        assert exchange.answer is not None
        return Posted(exchange.answer, seen._replace(now=max(seen.now, lease.now())), "cut")

    def _beat(self, seen: Seen, exchange: Exchange) -> Generator[float, None, Seen]:
        """As `driver._beat`."""
        lease, origin = exchange.lease, exchange.origin
        while seen.record is not None and lease.covers(seen.record):
            record = change.beat(seen.record, lease.by, lease.now())
            if record is None:
                break
            asked = driver._clocks()
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
