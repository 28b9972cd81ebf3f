"""Records under keys: one grant's record, sealed; how it gets there from the clear, and from one key to the next.

Only what a registration with `keys=` asks for; `sealing`, and with it `cryptography`, is imported no earlier.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from . import policy
from .errors import ConfigurationError, RecordForged, RecordPlain, RecordSealed, StoreError
from .events import Listeners, StoreInClear
from .ledger import Ledger, Store
from .rules import record_json
from .rules.effects import Seen
from .rules.record import Record
from .stores.values import GrantKey
from .telling import tell_once

if TYPE_CHECKING:
    from .sealing import KeyRing

_PATIENCE = 60.0  # seconds for a refresh that a program without keys has under way


def ring_of(keys: Any, store: Any) -> KeyRing | None:
    """The ring that an argument names, for use with this store.

    Raises:
        ConfigurationError: it names none, `cryptography` is missing, or the store shows access tokens to others.
    """
    if keys is None:
        return None
    try:
        from .sealing import KeyRing
    except ImportError:
        raise ConfigurationError("keys= needs the package cryptography: pip install 'oauth-session[crypto]'") from None
    ring = KeyRing.of(keys)
    if getattr(store, "exports", False) and not ring.mirror_in_clear:
        raise ConfigurationError(
            "export_key writes access tokens in clear beside the encrypted records: leave it out, or say that this is "
            "meant with keys=KeyRing(..., mirror_in_clear=True)"
        )
    return ring


def key_of(client: str, grant_id: str, ring: KeyRing | None) -> GrantKey:
    """Where a grant's record is: hashed, since names of customers do not belong into key names; with keys, keyed."""
    name = f"{client}/{grant_id}"
    digest = hashlib.sha256(name.encode()).hexdigest()[:40] if ring is None else ring.digest(name)
    return GrantKey(digest, grant_id)


class Client(Protocol):
    """What a ledger has to know of the registration whose grant it keeps."""

    @property
    def identity(self) -> str:
        """Names the client in records."""

    @property
    def keys(self) -> Any:
        """Its ring, or None."""

    @property
    def refresh(self) -> policy.RefreshPolicy:
        """Says whether refresh tokens rotate."""

    @property
    def listeners(self) -> Listeners:
        """Told of what matters."""


def ledger_of(registered: Client, store: Store, grant_id: str) -> Ledger:
    """The ledger of a grant, plain or sealed."""
    client, listeners, reusable = registered.identity, registered.listeners, registered.refresh.rotation == "none"
    if registered.keys is not None:
        return SealedLedger(store, client, grant_id, registered.keys, reusable, listeners)
    if getattr(store, "in_clear", False):
        says = "tokens cross the network to Redis readable: use rediss://, or encrypt them with keys="
        tell_once(listeners, StoreInClear(grant=grant_id, reason=says))
    return Ledger(store, key_of(client, grant_id, None), key_of(client, "", None), reusable, listeners)


class SealedLedger(Ledger):
    """A ledger whose texts are sealed, under names that only the holders of the keys can make."""

    def __init__(
        self,
        store: Store,
        client: str,
        grant_id: str,
        ring: KeyRing,
        reusable: bool = False,
        listeners: Listeners = (),
    ) -> None:
        names = key_of(client, "", None)  # where it stands under which name: key this client's records are named
        super().__init__(store, key_of(client, grant_id, ring), names, reusable, listeners)
        self._client, self._ring, self._sealer = client, ring, ring.sealer()
        self._own: tuple[str, Record | None] = ("", None)  # what we sealed last: no need to open it
        self._former = key_of(client, grant_id, None)  # where the record was before there were keys

    def load(self) -> Seen:
        """A look at the record; one from before there were keys is taken over first."""
        snapshot = self.store.load(self.key)
        if snapshot.text is None and self.take_over(self._ring.accept_plain):
            snapshot = self.store.load(self.key)
        elif snapshot.text is None:
            self._check_names()
        return self._seen(snapshot)

    def _dump(self, record: Record) -> str:
        text = record_json.dump(record, self._sealer)
        self._own = (text, record)
        return text

    def _mirror(self, record: Record) -> str | None:
        return record_json.mirror(record) if self._ring.mirror_in_clear else None

    def _load(self, text: str) -> Record:
        own, known = self._own
        if text == own and known is not None:
            return known
        try:
            record = record_json.load(text, self.name, self._sealer)
        except RecordPlain:
            raise RecordForged(f"the record of {self.name} is not sealed, where only sealed ones are written") from None
        if (record.client, record.grant) != (self._client, self.key.grant_id):
            raise RecordForged(f"the record of {self.name} was written for another grant; it was left alone")
        return record

    def _check_names(self) -> None:
        """Nothing is there: is it that the ring has another name: key? Then a seed would be a second master."""
        mine = record_json.sign(f"names {self._ring.name_id}")
        assert self._names is not None
        there = self.store.load(self._names).text
        if there is None:
            there = self.store.swap(self._names, "", policy.random_name(), mine, None, False).snapshot.text
        if there != mine:
            raise RecordSealed(
                f"{self.name}: this client's records are named under another name: key than that of keys=; put that one "
                f"back; or, if it is lost for good, delete {self._names.digest} from the store and start anew"
            )

    def reseal(self) -> bool:
        """Write the record with the key that writes now; whether there was anything to do."""
        if self.take_over(True):
            return True
        done = False
        while not done:
            snapshot = self.store.load(self.key)
            if snapshot.text is None or all(map(self._sealer.is_current, _sealed(snapshot.text))):
                return False
            text = self._dump(self._load(snapshot.text))
            done = self.store.swap(self.key, snapshot.revision, policy.random_name(), text, None, False).done
        return True

    def take_over(self, plain: bool) -> bool:
        """Move a record from the name that it had without keys.

        First it is sealed where it is, which stops everybody who has no keys; then it is made under its new name, by one
        of those who try; then the old one becomes a sign. After a crash in between, the next one goes on from there.

        Args:
            plain: whether a record that is not sealed yet is taken.
        """
        end = time.monotonic() + _PATIENCE
        while True:
            old = self.store.load(self._former)
            if old.text is None or record_json.read_sign(old.text) is not None:
                return False
            if _sealed(old.text):
                break
            record = record_json.load(old.text, self.name)
            if not plain:
                record_json.load(old.text, self.name, self._sealer)  # says what to do
            self._check_names()
            claim = record.claim
            if claim is not None and old.now < claim.until <= old.now + 2 * claim.lease:
                if time.monotonic() > end:
                    raise StoreError(f"{self.name} is being refreshed all the time by a program without keys=: stop it")
                self.store.wait(self._former, old.revision, claim.until - old.now)
                continue
            text = self._dump(replace(record, claim=None))
            self.store.swap(self._former, old.revision, policy.random_name(), text, None, True)
        self._load(old.text)  # never a forged one under the new name
        self.store.swap(self.key, "", policy.random_name(), old.text, None, True)
        self.store.swap(
            self._former, old.revision, policy.random_name(), record_json.sign(record_json.MOVED), None, False
        )
        return True


@dataclass(frozen=True, slots=True)
class Resealed:
    """What a re-encryption has done.

    Attributes:
        written: records that are under the newest key now, and were not before.
        current: records that were there already.
        unreadable: records that were left alone: damaged, forged, or under keys that are not in the ring.
    """

    written: int = 0
    current: int = 0
    unreadable: int = 0


def reseal_all(store: Store, ring: KeyRing, client: str | None = None) -> Resealed:
    """Write each record with the key that writes now, while programs go on using them.

    Args:
        client: only this one's records; all that the ring opens if None.
    """
    written = current = unreadable = 0
    for text in _texts(store):
        if record_json.read_sign(text) is not None:
            continue
        owner = _client(text)
        if client is not None and owner != client:
            continue
        try:
            record = record_of(text, f"a grant in the {store.name} store", ring)
            did = SealedLedger(store, owner, record.grant, ring).reseal()
        except StoreError:
            unreadable += 1
            continue
        written, current = written + did, current + (not did)
    return Resealed(written, current, unreadable)


def record_of(text: str, name: str, ring: KeyRing | None) -> Record:
    """The record of a text from a listing, sealed or not: what it says is believed only as far as it is sealed."""
    if ring is None or not _sealed(text):
        return record_json.load(text, name)
    return record_json.load(text, name, ring.sealer())


def _texts(store: Store) -> Iterator[str]:
    cursor: str | None = None
    while True:
        texts, cursor = store.scan(cursor)
        yield from texts
        if cursor is None:
            return


def _parsed(text: str) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _client(text: str) -> str:
    return str(_parsed(text).get("client", ""))


def _sealed(text: str) -> list[str]:
    """The sealed parts of a record."""
    pairs = [pair for role in ("pair", "spare") if isinstance(pair := _parsed(text).get(role), dict)]
    return [sealed for pair in pairs if isinstance(sealed := pair.get("sealed"), str)]
