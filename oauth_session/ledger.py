"""One grant's record in its store, in plain text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from . import policy
from .errors import RecordForged, RecordSealed
from .events import Healed, Listeners
from .rules import lineage, record_json
from .rules.effects import Seen
from .rules.record import Record
from .stores.values import GrantKey, Snapshot, Swapped
from .telling import tell


class Store(Protocol):
    """What a token store does: keep one text per grant and swap it atomically.

    It is called from any thread and process at once. Every failure is a `StoreError`, within seconds. `StoreContract` of
    `oauth_session.testing.stores` checks an implementation.
    """

    @property
    def name(self) -> str:
        """What kind of store it is; nothing secret."""

    @property
    def shared(self) -> bool:
        """Whether other processes see it."""

    def load(self, key: GrantKey) -> Snapshot:
        """The text, its revision and the store's clock (epoch seconds)."""

    def swap(
        self, key: GrantKey, expected: str, revision: str, text: str, mirror: str | None = None, tell: bool = True
    ) -> Swapped:
        """Write, in one atomic step, if the revision is still `expected`, or already `revision`: a resend is a success.

        `mirror` is for a store that shows access tokens to other programs, `tell` says whether watchers are to hear of it.
        """

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


class Ledger:
    """One grant's record in its store: texts become records here, and the store's clock is carried on between looks.

    Args:
        names: where a sign stands if the records of this client are named and sealed with keys.
        reusable: the refresh token may be used on both sides of a fork, since it does not rotate.
        listeners: told of a record that was brought back.
    """

    def __init__(
        self,
        store: Store,
        key: GrantKey,
        names: GrantKey | None = None,
        reusable: bool = False,
        listeners: Listeners = (),
    ) -> None:
        self.store, self.key, self._names, self._reusable, self._listeners = store, key, names, reusable, listeners
        self.written = ""  # the last revision that we have tried to write

    def load(self) -> Seen:
        """A look at the record."""
        snapshot = self.store.load(self.key)
        if snapshot.text is None and self._names is not None and self.store.load(self._names).text is not None:
            raise RecordSealed(f"{self.name}: the records of this client are encrypted: give keys=")
        return self._seen(snapshot)

    def swap(self, revision: str, record: Record, *, heals: bool = False) -> tuple[bool, Seen]:
        """One atomic step; what is there now comes back either way. A claim and its heartbeats are told to nobody."""
        text, mirror, told = self._dump(record), self._mirror(record), record.claim is None
        self.written = name = policy.random_name()  # noted first: we may be told of it before the reply comes
        done, snapshot = self.store.swap(self.key, revision, name, text, mirror, told)
        if done and heals:
            says = "the store had lost this generation, or somebody had put back an older one: it was written again"
            tell(self._listeners, Healed(grant=self.key.grant_id, generation=record.generation, reason=says))
        return done, self._seen(snapshot)

    def update(self, step: Callable[[Record | None, float], Record | None], *, mend: bool = False) -> Seen:
        """Apply a change to whatever is there, again when somebody else was faster; None: nothing to change.

        Args:
            mend: take a damaged record for none, and so replace it.
        """
        try:
            seen = self.load()
        except (record_json.DamagedRecord, RecordForged):
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
        record = None if snapshot.text is None else self._load(snapshot.text)
        if record and snapshot.forked and not self._reusable:
            record = lineage.left_behind(record)
        return Seen(record, snapshot.revision, snapshot.now)

    @property
    def name(self) -> str:
        """What to call the record in a message."""
        return f"grant {self.key.grant_id!r} in the {self.store.name} store"

    def _dump(self, record: Record) -> str:
        return record_json.dump(record)

    def _mirror(self, record: Record) -> str | None:
        return record_json.mirror(record)

    def _load(self, text: str) -> Record:
        return record_json.load(text, self.name)
