"""Runs one renewal of `rules/protocol.py` against a store and a token endpoint."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from . import policy
from .endpoint import Exchange
from .errors import StoreError
from .rules import lineage, record_json
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
from .rules.token_response import read_token_response, required
from .stores.values import GrantKey, Snapshot, Swapped


class Store(Protocol):
    """What a token store does: keep one text per grant and swap it atomically.

    Every failure is a `StoreError`. `testing.StoreContract` checks an implementation.
    """

    @property
    def name(self) -> str:
        """What kind of store it is; nothing secret."""

    @property
    def shared(self) -> bool:
        """Whether other processes see it."""

    def load(self, key: GrantKey) -> Snapshot:
        """The text, its revision and the store's clock."""

    def swap(
        self, key: GrantKey, expected: str, revision: str, text: str, mirror: str | None = None, tell: bool = True
    ) -> Swapped:
        """Write if the revision is still `expected`, or already `revision` (law 3); `tell` those who watch."""

    def wait(self, key: GrantKey, revision: str, timeout: float) -> None:
        """Return once the revision is another, or after `timeout` seconds."""

    def watch(self, key: GrantKey, told: Callable[[str], None]) -> None:
        """Call the bound method `told` with the revision ("": unknown) after each change that is told; held weakly."""

    def is_told(self, key: GrantKey) -> bool:
        """Whether a watcher of this grant would be told now."""

    @property
    def rest(self) -> float:
        """Seconds that a record rests after it was brought in, where a store may forget; 0 where it does not."""

    def scan(self, cursor: str | None, count: int = 100) -> tuple[list[str], str | None]:
        """Some texts, and the cursor of the next."""

    def inherited(self, grant_id: str) -> str | None:
        """A token that another program left."""

    def close(self) -> None:
        """Let go of connections."""


class Endpoint(Protocol):
    """What presents a token request, once."""

    @property
    def timeout(self) -> float:
        """Seconds for one whole exchange."""

    def begin(self, request: TokenRequest, may_write: Callable[[], bool]) -> Exchange:
        """An exchange that is ready to `run`."""


class Ledger:
    """One grant's record in its store: texts become records here, and the store's clock is carried on between looks.

    Args:
        reusable: the refresh token may be used on both sides of a fork, since it does not rotate.
    """

    def __init__(self, store: Store, key: GrantKey, reusable: bool = False) -> None:
        self.store, self.key, self._reusable = store, key, reusable
        self.written = ""  # the last revision that we have tried to write

    def load(self) -> Seen:
        """A look at the record."""
        return self._seen(self.store.load(self.key))

    def swap(self, revision: str, record: Record) -> tuple[bool, Seen]:
        """One atomic step; what is there now comes back either way. A claim and its heartbeats are told to nobody."""
        text, mirror, tell = record_json.dump(record), record_json.mirror(record), record.claim is None
        self.written = name = policy.random_name()  # noted first: we may be told of it before the reply comes
        done, snapshot = self.store.swap(self.key, revision, name, text, mirror, tell)
        return done, self._seen(snapshot)

    def update(self, step: Callable[[Record | None, float], Record | None], *, mend: bool = False) -> Seen:
        """Apply a change to whatever is there, again when somebody else was faster; None: nothing to change.

        Args:
            mend: take a damaged record for none, and so replace it.
        """
        try:
            seen = self.load()
        except record_json.DamagedRecord:
            if not mend:
                raise
            seen = Seen(None, *self.store.load(self.key)[1:3])
        while (record := step(seen.record, seen.now)) is not None:
            done, seen = self.swap(seen.revision, record)
            if done:
                break
        return seen

    def sleep(self, revision: str, seconds: float) -> Seen:
        """Until the record changes or the time is over."""
        self.store.wait(self.key, revision, seconds)
        return self.load()

    def _seen(self, snapshot: Snapshot) -> Seen:
        name = f"grant {self.key.grant_id!r} in the {self.store.name} store"
        record = None if snapshot.text is None else record_json.load(snapshot.text, name)
        if record and snapshot.forked and not self._reusable:
            record = lineage.left_behind(record)
        return Seen(record, snapshot.revision, snapshot.now)


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
    ) -> None:
        self._ledger, self._endpoint = ledger, endpoint
        self._build, self._seeds, self._announce = build, seeds, announce
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
                ending: Ending = stop.value
                return ending
            reply = failed = None
            try:
                reply = self._perform(effect)
            except StoreError as error:
                failed = error
            except _Abandoned:
                renewal.close()
                return Ending(
                    Outcome.UNPERSISTED, reason="the process ended before the store was back: the pair is lost"
                )

    def _perform(self, effect: Effect) -> Any:
        match effect:
            case Load():
                return self._ledger.load()
            case Swap(revision, record):
                self._asked = _clocks()
                return self._ledger.swap(revision, record)
            case Sleep(revision, seconds):
                return self._ledger.sleep(revision, seconds)
            case Bring(now):
                return self._seeds(now)
            case Post(seen):
                return self._post(seen)
            case Pause(seconds):
                self._pause(seconds)
            case Announce(ending):
                self._announce(ending)
        return None

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
        end = time.monotonic() + self._endpoint.timeout
        try:
            threading.Thread(target=exchange.run, name="oauth-session-post", daemon=False).start()
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
        seen = seen._replace(now=lease.now())  # the last heartbeat may be long ago: a back-off counts from the answer
        if exchange.answer is not None:
            answer = required(read_token_response(*exchange.answer, request.secrets), request.token_type)
            return Posted(answer, seen)
        if exchange.refused:
            return Posted(Silence.CLAIM_LOST, seen)
        return Posted(Silence.CUT_OFF if exchange.sent else Silence.NOT_SENT, seen, exchange.reason)

    def _beat(self, seen: Seen, lease: _Lease, seconds: float = policy.LEASE) -> Seen:
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
        self._origin = seen.record
        self.by = seen.record.claim.by if seen.record.claim else ""
        self.renew(seen, asked)

    def renew(self, seen: Seen, asked: tuple[float, float]) -> None:
        claim = seen.record.claim if seen.record else None
        left = claim.until - seen.now if claim else 0.0
        self._now, self._at = seen.now, asked[0]
        self._end, self._wall_end = asked[0] + left, asked[1] + left

    def now(self) -> float:
        """The store's clock, carried on."""
        return self._now + time.monotonic() - self._at

    def covers(self, record: Record) -> bool:
        """Whether it is for this generation: a late commit leaves our claim, but what we would present is spent."""
        return (record.lineage, record.generation) == (self._origin.lineage, self._origin.generation)

    def lose(self) -> None:
        self._end = 0.0

    def holds(self) -> bool:
        return time.monotonic() < self._end and time.time() < self._wall_end
