"""Sealing: the secrets of a record, encrypted under a ring of keys. The one room that needs the extra ``crypto``.

A ring is text: words of the form ``seal:<key>`` (the first one writes, all of them read) and one ``name:<key>``, which
names the records and never changes. A key is 32 random bytes in base64url; ``oauth-session keys new`` makes a ring.
"""

from __future__ import annotations

import base64
import hmac
import logging
import os
import re
import secrets
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from .errors import ConfigurationError, RecordForged, RecordSealed
from .policy import KEYS_AGAIN, KEYS_FRESH
from .telling import say

Keys = str | bytes | Iterable[str | bytes] | Callable[[], Any]

_SIZE = 32  # bytes of a key
_NONCE = 12
_HELP = 'make a ring with "oauth-session keys new" or python -c "from oauth_session.sealing import new; print(new())"'


class _Ring(NamedTuple):
    seals: Mapping[str, bytes]  # by their ids, the one that writes first
    name: bytes
    read_at: float

    def __repr__(self) -> str:
        return f"<_Ring of {len(self.seals)}>"


class KeyRing:
    """The keys under which records are sealed; safe for threads and forks.

    What it is made from is read again every half minute, and when a record names a key that is not here: a file, an
    environment or a callable may change while programs run.

    Args:
        source: the ring's text, ``"env:NAME"``, ``"file:/path"``, a sequence of its words, or a callable that returns
            one of these, such as a call of a key management service.
        accept_plain: take records that are not encrypted, and seal them: only while encryption is being switched on,
            since somebody who can write to the store can then plant tokens.
        mirror_in_clear: let a store's `export_key` hold access tokens, which are readable there.

    Raises:
        ConfigurationError: there is no usable ring; the message says what to do, and shows no key.
    """

    def __init__(self, source: Keys, *, accept_plain: bool = False, mirror_in_clear: bool = False) -> None:
        self._source: Any = source if callable(source) or isinstance(source, str | bytes) else tuple(source)
        self.accept_plain, self.mirror_in_clear = accept_plain, mirror_in_clear
        self._changes = callable(source) or str(source).startswith(("env:", "file:"))
        self._ring = _read(self._source)

    @classmethod
    def of(cls, keys: Any) -> KeyRing:
        """The ring of a source, or the ring itself; one per source and process."""
        if isinstance(keys, KeyRing):
            return keys
        if not callable(keys) and not isinstance(keys, str | bytes | list | tuple):
            raise ConfigurationError(
                f'keys must be "env:NAME", "file:/path", words of a ring, a callable or a KeyRing; {_HELP}'
            )
        source = tuple(keys) if isinstance(keys, list) else keys
        ring = _rings.get(source)
        if ring is None:
            ring = _rings[source] = cls(source)
        return ring

    def __repr__(self) -> str:
        return f"<KeyRing of {len(self._ring.seals)}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _remade, (self._source, self.accept_plain, self.mirror_in_clear)

    def digest(self, name: str) -> str:
        """What stands for a grant in the store's key names; only the ring's holders can tell it from the name."""
        return hmac.digest(_sub(self._ring.name, "name"), name.encode(), "sha256").hex()[:40]

    @property
    def name_id(self) -> str:
        """What tells one ``name:`` key from another."""
        return hmac.digest(self._ring.name, b"id", "sha256").hex()[:8]

    def sealer(self) -> Sealer:
        """Seals records."""
        return Sealer(self)

    def writing(self) -> tuple[str, bytes]:
        """The key that writes, and its id."""
        if self._changes and time.monotonic() - self._ring.read_at > KEYS_FRESH:
            self._read_again()
        return next(iter(self._ring.seals.items()))

    def reading(self, name: str) -> bytes | None:
        """The key of this id; None when it is not in the ring, not even now."""
        ring = self._ring
        if name not in ring.seals and self._changes:
            time.sleep(max(0.0, ring.read_at + KEYS_AGAIN - time.monotonic()))  # a writer of junk must not hurry a KMS
            if self._ring is ring:
                self._read_again()
        return self._ring.seals.get(name)

    def _read_again(self) -> None:
        """What cannot be read now leaves the ring as it was: a key service that is down must not cost a grant."""
        try:
            ring = _read(self._source)
            if ring.name != self._ring.name:
                raise ConfigurationError("its name: key has changed, which would hide all records; it must stay")
        except ConfigurationError as error:
            say(logging.WARNING, "the keys could not be read again, those from before go on: %s", error)
            ring = self._ring._replace(read_at=time.monotonic())
        self._ring = ring


class Sealer:
    """Seals and opens the secrets of records.

    Each sealed text has an AES key of its own kind, made from the ring's key and all that it is bound to; so a random
    nonce never comes near its bound, however many records there are.
    """

    def __init__(self, ring: KeyRing) -> None:
        self.ring = ring

    def seal(self, bound: str, text: str) -> str:
        """Encrypt, bound to `bound`."""
        name, key = self.ring.writing()
        nonce = secrets.token_bytes(_NONCE)
        sealed = AESGCM(_sub(key, f"seal {bound}")).encrypt(nonce, text.encode(), bound.encode())
        return f"{name}.{base64.urlsafe_b64encode(nonce + sealed).decode().rstrip('=')}"

    def open(self, bound: str, sealed: str) -> str:
        """Decrypt.

        Raises:
            RecordSealed: the ring lacks the key.
            RecordForged: it was sealed for something else, or is damaged.
        """
        name, _, data = sealed.partition(".")
        if not re.fullmatch("[0-9a-f]{8}", name):
            raise RecordForged("it was sealed by nobody")
        key = self.ring.reading(name)
        if key is None:
            raise RecordSealed(f"it is sealed with the key {name}, which is not in keys=")
        try:
            raw = base64.urlsafe_b64decode(data + "=" * (-len(data) % 4))
            return AESGCM(_sub(key, f"seal {bound}")).decrypt(raw[:_NONCE], raw[_NONCE:], bound.encode()).decode()
        except (InvalidTag, ValueError):
            raise RecordForged("it was sealed for another grant, client or generation, or it was altered") from None

    def is_current(self, sealed: str) -> bool:
        """Whether this was sealed with the key that writes now."""
        return sealed.partition(".")[0] == self.ring.writing()[0]


def new() -> str:
    """A new ring, as text."""
    return "\n".join(f"{kind}:{_text(secrets.token_bytes(_SIZE))}" for kind in ("seal", "name"))


def new_key() -> str:
    """A new word for a ring that exists: put it in front."""
    return f"seal:{_text(secrets.token_bytes(_SIZE))}"


def _read(source: Any) -> _Ring:
    """The ring of a source. No message shows a word of it."""
    text = _fetch(source)
    seals: dict[str, bytes] = {}
    names: list[bytes] = []
    for word in re.split(r"[\s,]+", re.sub(r"#.*", "", text)):
        if not word:
            continue
        kind, _, data = word.partition(":")
        if kind == "seal":
            key = _key(data, "a seal: key")
            seals[hmac.digest(key, b"id", "sha256").hex()[:8]] = key
        elif kind == "name":
            names.append(_key(data, "the name: key"))
        else:
            raise ConfigurationError(f"keys: each word of a ring begins with seal: or name:; {_HELP}")
    if not seals:
        raise ConfigurationError(f"keys: there is no seal: key; {_HELP}")
    if len(names) != 1:
        raise ConfigurationError(
            f"keys: exactly one name: key is needed, which stays when the others are changed; {_HELP}"
        )
    return _Ring(seals, names[0], time.monotonic())


def _fetch(source: Any) -> str:
    if callable(source):
        try:
            source = source()
        except Exception as error:
            kind: str | None = type(error).__name__
        else:
            kind = None
        if kind is not None:  # raised here: the other error may quote a key
            raise ConfigurationError(f"keys: the callable raised {kind}")
        if isinstance(source, KeyRing) or callable(source):
            raise ConfigurationError("keys: the callable must return the words of a ring")
    if isinstance(source, str) and source.startswith("env:"):
        name = source.removeprefix("env:")
        source = os.environ.get(name)
        if not source:
            raise ConfigurationError(f"keys are taken from the environment, and {name} is not set there; {_HELP}")
    elif isinstance(source, str) and source.startswith("file:"):
        path = Path(source.removeprefix("file:").removeprefix("//")).expanduser()
        try:
            source = path.read_bytes()
        except OSError as error:
            raise ConfigurationError(f"keys: the file {path}: {error.strerror}; {_HELP}") from None
    parts = source if isinstance(source, list | tuple) else [source]
    try:
        return " ".join(part.decode() if isinstance(part, bytes) else "" + part for part in parts)
    except (TypeError, UnicodeDecodeError):
        raise ConfigurationError(f"keys: a ring is text; {_HELP}") from None


def _key(data: str, what: str) -> bytes:
    try:
        key = base64.b64decode(data + "=" * (-len(data) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raise ConfigurationError(f"keys: {what} is not base64url; {_HELP}") from None
    if len(key) != _SIZE:
        raise ConfigurationError(f"keys: {what} has {len(key)} bytes, not {_SIZE}; {_HELP}")
    if len(set(key)) < _SIZE // 2 or all(0x20 <= byte < 0x7F for byte in key):
        raise ConfigurationError(f"keys: {what} is weak: it was not made at random; {_HELP}")
    return key


def _sub(key: bytes, purpose: str) -> bytes:
    return hmac.digest(key, f"oauth-session {purpose}".encode(), "sha256")


def _text(key: bytes) -> str:
    return base64.urlsafe_b64encode(key).decode().rstrip("=")


def _remade(source: Any, accept_plain: bool, mirror_in_clear: bool) -> KeyRing:
    if accept_plain or mirror_in_clear:
        return KeyRing(source, accept_plain=accept_plain, mirror_in_clear=mirror_in_clear)
    return KeyRing.of(source)


_rings: weakref.WeakValueDictionary[Any, KeyRing] = weakref.WeakValueDictionary()
