"""How one provider's token endpoint answers; without I/O."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from requests.structures import CaseInsensitiveDict

from ..rules.rule import Looked, Rule
from ..rules.token_response import DenialKind, Denied, Granted, http_date, parse_json, read_token_response
from ..telling import say
from ..tokens import Token
from .profile import Profile, Shape


class Reader:
    """Reads one answer; made anew for each request."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._followed: Granted | Denied | None = None

    def read(
        self, status: int, headers: Mapping[str, str], body: bytes, secrets: Sequence[str] = ()
    ) -> Granted | Denied:
        """As `read_token_response`, by the profile; never fails."""
        found = self._read(status, headers, body, secrets)
        if isinstance(found, Granted) and self._profile.after_refresh is not None:
            return self._followed or _failed("after_refresh was not done in time", found)
        return found

    def follow(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Run `after_refresh` on what was granted. What it raises costs this access token, not the refresh token."""
        granted = self._read(status, headers, body, ())
        hook = self._profile.after_refresh
        if not isinstance(granted, Granted) or hook is None:
            return
        try:
            ends = None if granted.lifetime is None else time.time() + granted.lifetime
            own = granted.access_token, granted.refresh_token, ends, granted.token_type, granted.scope, granted.extra
            token = hook(Token(*own))
            if token is None:
                self._followed = granted
                return
            if not isinstance(token, Token):
                raise TypeError("after_refresh must return a Token or None")
            json.dumps(dict(token.extra), allow_nan=False)
            self._followed = replace(
                granted,
                access_token=token.access_token,
                refresh_token=token.refresh_token,
                lifetime=None if token.expires_at is None else max(0.0, token.expires_at - time.time()),
                token_type=token.token_type,
                scope=token.scope,
                extra=token.extra,
            )
        except Exception as error:
            say(logging.ERROR, "%s: after_refresh raised", self._profile.name, exc_info=True)
            self._followed = _failed(f"after_refresh raised {type(error).__name__}", granted)

    def _read(self, status: int, headers: Mapping[str, str], body: bytes, secrets: Sequence[str]) -> Granted | Denied:
        profile = self._profile
        if profile.parse_refresh is not None:
            try:
                given = profile.parse_refresh(status, headers, body)
                if given is not None:
                    status, body = 200, json.dumps(dict(given)).encode()
            except Exception as error:
                say(logging.ERROR, "%s: parse_refresh raised", profile.name, exc_info=True)
                salvaged = read_token_response(status, headers, body, secrets)
                return _failed(f"parse_refresh raised {type(error).__name__}", salvaged, spent=True)
        looked = Looked(status, (), CaseInsensitiveDict(headers), lambda: body)
        data = parse_json(body)
        flat: Mapping[str, Any] = data if isinstance(data, dict) else {}
        if 200 <= status < 300 and isinstance(data, dict):
            flat = flatten(profile, data, http_date(headers.get("Date")))
            if profile.token_success and not any(looked.matches(rule) for rule in profile.token_success):
                flat = {name: value for name, value in flat.items() if name != "access_token"}
            body = json.dumps(flat).encode()
        found = read_token_response(status, headers, body, secrets)
        if isinstance(found, Granted):
            renewed = found.access_token if profile.refresh_needs_live_token else None
            return replace(found, refresh_token=found.refresh_token or renewed)
        for kind, rules in (
            (DenialKind.DEAD, profile.refresh_dead_when),
            (DenialKind.TRANSIENT, profile.refresh_transient_when),
        ):
            for rule in rules:
                if looked.matches(rule):
                    return replace(found, kind=kind, error=found.error or _named(rule))
        return found


def flatten(profile: Profile, value: Mapping[str, Any], now: float | None = None) -> dict[str, Any]:
    """A token response of this provider with the names of RFC 6749 and ``expires_in`` in seconds.

    Args:
        now: when it was made; this machine's clock if None. Matters only where the expiry is a point in time.
    """
    shape, moment = profile.token_response, profile.expiry_format in ("epoch", "epoch_milliseconds", "iso8601")
    flat = dict(value)
    for name in Shape.__dataclass_fields__:
        found = at(value, getattr(shape, name))
        if found is not None:
            flat[name] = found
    root = shape.access_token[:-1]
    if root and isinstance(outer := at(value, root), Mapping):
        flat |= {name: entry for name, entry in outer.items() if name not in flat}
        flat.pop(str(root[0]), None)  # it holds the tokens, which must not stay in what is shown as extra
    given = at(value, shape.expires_in)
    ends = _seconds(given, profile.expiry_format)
    if ends is not None and moment:
        ends = max(0.0, ends - (time.time() if now is None else now))
        flat["expires_at"] = None
    if given is not None or profile.default_lifetime is not None:
        flat["expires_in"] = ends or profile.default_lifetime
    return {name: entry for name, entry in flat.items() if entry is not None or name == "refresh_token"}


def at(value: object, path: tuple[str | int, ...]) -> Any:
    """What stands at a path, or None."""
    for step in path:
        if isinstance(step, int):
            value = value[step] if isinstance(value, list) and step < len(value) else None
        else:
            value = value.get(step) if isinstance(value, Mapping) else None
    return value


def _seconds(value: object, form: str) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        if form == "iso8601":
            moment = datetime.fromisoformat(str(value))
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return number / 1000 if form.endswith("milliseconds") else number


def _named(rule: Rule) -> str | None:
    return next((value for value in rule.values if isinstance(value, str)), None)


def _failed(error: str, found: Granted | Denied, *, spent: bool = False) -> Denied:
    """Code of the user's has failed: a refresh token that came is kept, and the refresh is tried again later."""
    kept = found.refresh_token
    kind = DenialKind.MALFORMED if kept or spent else DenialKind.TRANSIENT
    return Denied(kind, error=error, status=200, refresh_token=kept)
