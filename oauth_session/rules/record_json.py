"""The record as JSON text: the public format, which a program in another language can read and write.

Fields that hold their default are left out: a million grants should not pay for what they do not use.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Protocol

from ..errors import RecordForged, RecordPlain, RecordSealed, StoreError
from ..policy import LEASE
from ..tokens import is_sendable
from .record import Attempt, Claim, Hold, Pair, Record

VERSION = 1
LARGEST = 1e18  # no time, no count; an infinity and a NaN are not below it either


class DamagedRecord(StoreError):
    """Only a new login can replace it; whatever was in it cannot be read."""


_STATES = ("live", "dead", "logged_out", "revoked")


class Sealer(Protocol):
    """Encrypts; what is sealed opens only with the same `bound`."""

    def seal(self, bound: str, text: str) -> str:
        """Encrypt."""

    def open(self, bound: str, sealed: str) -> str:
        """Decrypt, or raise `RecordSealed` or `RecordForged`."""


_SECRETS = ("access_token", "refresh_token", "extra")  # of a pair
MOVED = "moved"  # the sign that stays under the name that a record had before it was sealed


def sign(says: str) -> str:
    """A text that is no record but says something to those who have keys."""
    return json.dumps({"v": VERSION, "sign": says}, separators=(",", ":"))


def read_sign(text: str) -> str | None:
    """What it says; None: it is no sign."""
    data = _parsed(text)
    return str(data["sign"]) if isinstance(data, dict) and "sign" in data else None


def dump(record: Record, sealer: Sealer | None = None) -> str:
    """The text of a record; with a sealer the secrets, and the grant's name, stand in it sealed."""
    data = {"v": VERSION} | _plain(record)
    if sealer is not None:
        grant = data.pop("grant")
        for role in ("pair", "spare"):
            if role == "pair" or role in data:
                pair = data.get(role, {})
                secrets = {"grant": grant} | {name: pair.pop(name) for name in _SECRETS if name in pair}
                data[role] = {"sealed": sealer.seal(_bound(data, role), json.dumps(secrets))} | pair
    return json.dumps(data, separators=(",", ":"))


def _bound(data: Mapping[str, Any], role: str) -> str:
    """What a sealed part belongs to and cannot be taken from: another place, login, generation or state."""
    names = ("client", "lineage", "generation", "state", "seeds")
    return json.dumps([role, VERSION, *(data.get(name) for name in names)], separators=(",", ":"))


def _opened(data: dict[str, Any], sealer: Sealer | None, name: str) -> dict[str, Any]:
    """The record with its secrets in clear."""
    pairs = {role: data[role] for role in ("pair", "spare") if isinstance(data.get(role), dict)}
    if "sign" in data or any("sealed" in pair for pair in pairs.values()):
        if sealer is None:
            raise RecordSealed(f"the record of {name} is encrypted: give keys=; it was left alone")
    elif sealer is None:
        return data
    else:
        raise RecordPlain(
            f"the record of {name} is not encrypted although keys= is given, and whoever can write to the store could have "
            'put it there: call reencrypt() once ("oauth-session keys reencrypt"), or give a KeyRing with accept_plain=True '
            "while you switch encryption on"
        )
    opened, grants = dict(data), set()
    for role, pair in pairs.items():
        try:
            if not isinstance(pair.get("sealed"), str) or pair.keys() & set(_SECRETS):
                raise RecordForged("parts of it are not sealed")
            secrets = _parsed(sealer.open(_bound(data, role), pair["sealed"]))
            if not isinstance(secrets, dict) or not isinstance(secrets.get("grant"), str):
                raise RecordForged("what is sealed in it is not what this package seals")
        except StoreError as error:
            raise type(error)(f"the record of {name}: {error}; it was left alone") from None
        grants.add(secrets.pop("grant"))
        opened[role] = {key: value for key, value in pair.items() if key != "sealed"} | secrets
    if "pair" not in pairs or len(grants) != 1 or "grant" in data:
        raise RecordForged(f"the record of {name} was put together from others; it was left alone")
    return opened | {"grant": grants.pop()}


def mirror(record: Record) -> str:
    """The access token alone, for programs that only read (never the refresh token)."""
    token = record.pair.token() if record.state in ("live", "dead") else None
    return json.dumps(
        {
            "access_token": token.access_token if token else None,
            "token_type": token.token_type if token else None,
            "expires_at": token.expires_at if token else None,
            "generation": record.generation,
        }
    )


def load(text: str, name: str, sealer: Sealer | None = None) -> Record:
    """The record of a text.

    Args:
        name: what to call the record in an error; nothing secret.
        sealer: opens it; without one it must be plain, with one it must be sealed.

    Raises:
        DamagedRecord: it is no record.
        RecordSealed, RecordPlain, RecordForged: there are no keys for it, no seal, or somebody else's.
        StoreError: it is one of a newer version. Nothing is overwritten.
    """
    data = _parsed(text)  # whose own error would quote the text: it must not be the context of ours
    if not isinstance(data, dict):
        raise DamagedRecord(f"the record of {name} is not a JSON object; {_REMEDY}")
    version = data.get("v")
    if not isinstance(version, int):
        raise DamagedRecord(f"the record of {name} has no version; {_REMEDY}")
    if version != VERSION:
        raise StoreError(
            f"the record of {name} has version {version}, this release knows {VERSION}: upgrade oauth_session here; the "
            "record was left alone"
        )
    data = _opened(data, sealer, name)
    try:
        return _record(_Fields(data))
    except _Malformed as error:
        raise DamagedRecord(f"the record of {name} is damaged at {error}; {_REMEDY}") from None


_REMEDY = "it was left alone: put() a new token there, or restore the store"


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        out = {}
        for f in fields(value):
            item = getattr(value, f.name)
            default = f.default if f.default_factory is MISSING else f.default_factory()
            if item != default:
                out[f.name] = _plain(item)
        return out
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, tuple | list) else value


class _Malformed(Exception):
    """Names the field, never its value."""


class _Fields:
    """Reads typed members of a JSON object; absent ones take the default."""

    def __init__(self, data: Any, where: str = "") -> None:
        if not isinstance(data, dict):
            raise _Malformed(where or "the top")
        self.data, self.where = data, where

    def text(self, name: str, default: str | None = None) -> Any:
        value = self.data.get(name, default)
        if not isinstance(value, str) and value is not default:
            raise _Malformed(self.where + name)
        return value

    def number(self, name: str, default: float | None = None) -> Any:
        value = self.data.get(name, default)
        if value is default:
            return value
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < LARGEST:
            raise _Malformed(self.where + name)
        return value

    def whole(self, name: str) -> int:
        value = self.number(name, 0)
        if not isinstance(value, int) or value < 0:
            raise _Malformed(self.where + name)
        return value

    def below(self, name: str) -> _Fields | None:
        value = self.data.get(name)
        return None if value is None else _Fields(value, f"{self.where}{name}.")


def _record(data: _Fields) -> Record:
    state = data.text("state", "live")
    if state not in _STATES:
        raise _Malformed("state")
    if not (data.text("grant") and data.text("lineage")):
        raise _Malformed("grant or lineage")
    seeds = data.data.get("seeds", [])
    if not isinstance(seeds, list) or not all(isinstance(seed, str) for seed in seeds):
        raise _Malformed("seeds")
    spare, claim, attempt, holds = (data.below(n) for n in ("spare", "claim", "attempt", "holds"))
    return Record(
        grant=data.text("grant"),
        client=data.text("client", ""),
        lineage=data.text("lineage"),
        generation=data.whole("generation"),
        state=state,
        pair=_pair(data.below("pair") or _Fields({})),
        spare=_pair(spare) if spare else None,
        claim=Claim(claim.text("by", ""), claim.number("until", 0.0), claim.number("lease", LEASE)) if claim else None,
        attempt=Attempt(attempt.text("by", ""), attempt.whole("number"), attempt.number("first_at", 0.0))
        if attempt
        else None,
        committed=data.text("committed", ""),
        settled=bool(data.data.get("settled", False)),
        rest_until=data.number("rest_until", 0.0),
        retry_at=data.number("retry_at", 0.0),
        failures=data.whole("failures"),
        doubts=data.whole("doubts"),
        outcome=data.text("outcome", ""),
        error=data.text("error", ""),
        holds={origin: _hold(_Fields(value, f"holds.{origin}.")) for origin, value in holds.data.items()}
        if holds
        else {},
        seeds=tuple(seeds),
    )


def _hold(data: _Fields) -> Hold:
    return Hold(data.whole("generation"), data.number("until", 0.0), data.whole("step"), data.whole("before"))


def _pair(data: _Fields) -> Pair:
    extra = data.below("extra")
    access_token = data.text("access_token")
    if access_token is not None and not is_sendable(access_token):
        raise _Malformed(data.where + "access_token")
    return Pair(
        access_token=access_token,
        refresh_token=data.text("refresh_token") or None,
        token_type=data.text("token_type", "Bearer"),
        scope=data.text("scope"),
        extra=extra.data if extra else {},
        issued_at=data.number("issued_at", 0.0),
        lifetime=data.number("lifetime"),
        date=data.number("date"),
        attempt=data.whole("attempt"),
    )
