"""The world of one schedule: virtual time, the store, who goes next and what goes wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from oauth_session import policy
from oauth_session.policy import RefreshPolicy
from oauth_session.rules.record import Record
from oauth_session.testing.model import Grace, ProviderModel

from .choices import Chooser

if TYPE_CHECKING:
    from .client import Client
    from .laws import Laws
    from .process import Process

START = 1_750_000_000.0
NEVER = float("inf")
Steps = Generator[float, None, None]  # a task yields until when it sleeps; being nudged wakes it earlier
STALLS = (policy.LEASE + 1, 2 * policy.LEASE + 2, 40.0)
ABSENCES = (3.0, 0.5, 8.0, 20.0)


class Crashed(BaseException):
    """The process that was running is no more."""


class Violation(AssertionError):
    """A law did not hold in this schedule."""

    def __init__(self, law: str, says: str) -> None:
        super().__init__(f"{law}: {says}")
        self.law = law


class Task:
    """Something that goes on; it stops with its owner's process."""

    __slots__ = ("owner", "steps", "wake", "watching")

    def __init__(self, steps: Steps, owner: Process | None, wake: float) -> None:
        self.steps, self.owner, self.wake, self.watching = steps, owner, wake, False


class ModelStore:
    """One record under compare-and-swap, as `stores/memory.py` keeps it; it can forget its last write."""

    def __init__(self) -> None:
        self.record: Record | None = None
        self.revision = ""
        self.away_until = 0.0
        self.forgot_at = 0.0
        self._before: tuple[Record | None, str] = (None, "")

    def swap(self, expected: str, revision: str, record: Record) -> bool:
        """Write if the revision is still `expected`, or already `revision` (law 3)."""
        done = self.revision in (expected, revision)
        if done and self.revision != revision:
            self._before = (self.record, self.revision)
            self.record, self.revision = record, revision
        return done

    def forget(self, now: float) -> None:
        """A failover to a replica that had not heard of the last write."""
        self.forgot_at = now
        self.record, self.revision = self._before

    def wipe(self, now: float) -> None:
        """All is gone."""
        self._before = (None, "")
        self.forget(now)


@dataclass
class Setting:
    """What a schedule starts from.

    Attributes:
        start: "stored" (a live record whose token is about to be refused), "seeds" (an empty store, each client brings
            the same seed), "dead" (as stored, but the provider has revoked the grant).
        ends: when, after the start, all access tokens so far are refused; the clients come back just after each.
        logins: ("put" | "logout", when).
        warm: the clients have the first token in memory.
        dated: the token responses say when they were made.
        rotation: what the clients know of it; with `reuse_grace` it decides how long their claims last.
        push: the store tells the processes of commits.
        access_dies: an access token dies when the refresh token that came with it is used.
        fixed_end: no refresh moves the expiry.
        outage: (from, to) in which the token endpoint answers 503, with `Retry-After: 5` in its second half.
    """

    clients: int = 2
    grace: Grace = "none"
    reuse_grace: float = 0.0
    rotation: Literal["maybe", "always"] = "maybe"
    start: str = "stored"
    ends: tuple[float, ...] = (1.0,)
    outage: tuple[float, float] = (0.0, 0.0)
    access_dies: bool = False
    fixed_end: bool = False
    lifetime: float = 40.0
    logins: tuple[tuple[str, float], ...] = ()
    warm: bool = True
    dated: bool = True
    push: bool = True


class World:
    """One schedule."""

    def __init__(self, setting: Setting, chooser: Chooser, laws: Laws, *, trace: bool = False) -> None:
        self.setting, self.chooser, self.laws = setting, chooser, laws
        self.now = START
        self.store = ModelStore()
        self.rules = RefreshPolicy(
            rotation=setting.rotation, reuse_grace=setting.reuse_grace, token_timeout=policy.TOKEN_TIMEOUT
        )
        self.model = ProviderModel(
            client_secret=None,
            grace=setting.grace,
            grace_seconds=3600.0,
            lifetime=setting.lifetime,
            access_dies_at_refresh=setting.access_dies,
        )
        self.tasks: list[Task] = []
        self.clients: list[Client] = []
        self.rest = policy.REST if setting.push else policy.FRESHNESS
        self.running: Task
        self.who: Process  # whose clocks are read
        self.facts: Counter[str] = Counter()  # what went wrong so far, by kind
        self.names: dict[str, str] = {}  # of renewals: whose they are
        self.trace: list[tuple[float, str, str, str, Record | None]] | None = [] if trace else None
        self._named = 0

    # -- time and order

    def spawn(self, steps: Steps, owner: Process | None, at: float | None = None) -> Task:
        task = Task(steps, owner, self.now if at is None else at)
        self.tasks.append(task)
        return task

    def run(self, most: int = 5000) -> None:
        """Until nothing is left to do."""
        tasks = self.tasks
        for _ in range(most):
            if not tasks:
                return
            ready, soonest = [], NEVER
            for task in tasks:
                owner = task.owner
                wake = task.wake if owner is None or owner.frozen < task.wake else owner.frozen
                if wake <= self.now:
                    ready.append(task)
                elif wake < soonest:
                    soonest = wake
            if not ready:
                if soonest == NEVER:
                    raise Violation("I3", "somebody waits for ever")
                self.now = soonest
                continue
            task = ready[0] if len(ready) == 1 else ready[self.chooser.pick(len(ready))]
            self.running = task
            self.who = task.owner or self.who
            try:
                task.wake = next(task.steps)
            except (StopIteration, Crashed):
                if task in tasks:
                    tasks.remove(task)
        raise Violation("I3", f"not at an end after {most} steps")

    def crash(self, client: Process) -> None:
        """Kill -9: all that runs in this process ends, here and now. The bytes that it sent stay sent."""
        for task in [t for t in self.tasks if t.owner is client]:
            self.tasks.remove(task)
        client.crashed()
        self.laws.crashed(client)
        raise Crashed

    def name(self, whose: str = "") -> str:
        """A name that nobody else has; spread as random ones are."""
        self._named += 1
        name = f"{self._named * 40503 % 65536:04x}{self._named:012x}"
        self.names[name] = whose
        return name

    # -- what goes wrong

    def fault(self, kinds: tuple[str, ...]) -> str | None:
        kind = self.chooser.fault(kinds) if kinds else None
        if kind is not None:
            self.facts[kind] += 1
        return kind

    @property
    def impaired(self) -> bool:
        """Whether there was a crash, a stall, a partition or a rollback."""
        return any(
            self.facts[kind]
            for kind in ("crash", "stall", "suspended", "away", "parted", "answer_lost", "forgot", "wiped")
        )

    @property
    def faults(self) -> int:
        return sum(self.facts[kind] for kind in KINDS)

    # -- the store

    def swap(self, client: Process, expected: str, revision: str, record: Record) -> bool:
        old, before = self.store.record, self.store.revision
        done = self.store.swap(expected, revision, record)
        if self.store.revision != before:
            self.laws.wrote(self, client, old, record)
            self.wake_watchers()
            if self.setting.push and record.claim is None:  # as `driver.Ledger.swap`: of a claim nobody is told
                for other in self.clients:
                    self.who = other
                    other.told(revision)
                self.who = client
        return done

    def wake_watchers(self) -> None:
        for task in self.tasks:
            if task.watching:
                task.wake = self.now

    # -- the timeline

    def log(self, who: str, what: str, result: str = "") -> None:
        if self.trace is not None:
            self.trace.append((self.now - START, who, what, result, self.store.record))


BEFORE = ("crash", "stall", "suspended", "away", "parted")  # at a store command, before it took place
AFTER = ("crash", "stall", "suspended", "resent", "reply_lost")  # and after
AFTER_WRITE = (*AFTER, "forgot", "wiped")
AT_GATE = ("crash", "stall", "suspended", "not_sent")  # before the first byte of a POST
ON_WIRE = ("crash", "stall", "suspended", "dropped", "lag")  # the gate is passed, the provider has not processed it
ANSWERED = ("crash", "stall", "suspended", "answer_lost")  # processed, the answer is not there
RECEIVED = ("crash", "stall")  # the answer is there, not committed
KINDS = tuple(dict.fromkeys((*BEFORE, *AFTER_WRITE, *AT_GATE, *ON_WIRE, *ANSWERED, *RECEIVED)))
