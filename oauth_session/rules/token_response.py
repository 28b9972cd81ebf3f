"""Token responses (RFC 6749 sections 5.1 and 5.2), and what real servers send instead."""

from __future__ import annotations

import enum
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any

from ..tokens import is_sendable

_LONGEST = 100 * 365 * 86400.0  # seconds; a lifetime beyond it is a mistake
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
_TRANSIENT = {"temporarily_unavailable", "server_error", "slow_down"}
_BUSY = {408, 425, 429}


class DenialKind(enum.Enum):
    """What a refusal means for the grant and for the next attempt."""

    DEAD = "dead"  # invalid_grant, at whatever status: Auth0 and Atlassian say it with 403
    CLIENT = "client"  # the client is refused, the grant is not
    TRANSIENT = "transient"  # down, or busy
    REQUEST = "request"  # the request is wrong
    MALFORMED = "malformed"  # a success that brings no token: the refresh token may be spent


@dataclass(frozen=True, slots=True, repr=False)
class Granted:
    """A token response. `lifetime` in seconds, None when unknown; `date` is the `Date` header in epoch seconds."""

    access_token: str
    token_type: str = "Bearer"
    refresh_token: str | None = None
    lifetime: float | None = None
    scope: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    date: float | None = None

    def __repr__(self) -> str:
        return f"<Granted {self.token_type} lifetime={self.lifetime} refresh_token={self.refresh_token is not None}>"


@dataclass(frozen=True, slots=True, repr=False)
class Denied:
    """A refusal. `retry_after` in seconds; `refresh_token` is one that came in an otherwise useless answer."""

    kind: DenialKind
    status: int
    error: str | None = None
    description: str | None = None
    uri: str | None = None
    retry_after: float | None = None
    refresh_token: str | None = None

    def __repr__(self) -> str:
        return f"<Denied {self.kind.value} status={self.status} error={self.error}>"


def read_token_response(status: int, headers: Mapping[str, str], body: bytes) -> Granted | Denied:
    """Tell a token from a refusal, whatever the bytes; never raises."""
    date = _date(headers.get("Date"))
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        data = {}
    access_token = data.get("access_token")
    refresh_token = _text(data.get("refresh_token"))
    if 200 <= status < 300 and is_sendable(access_token):
        scope = data.get("scope")
        return Granted(
            access_token=str(access_token),
            token_type=_text(data.get("token_type")) or "Bearer",
            refresh_token=refresh_token,
            lifetime=lifetime(data.get("expires_in")),
            scope=" ".join(map(str, scope)) if isinstance(scope, list) else _text(scope),
            extra={k: v for k, v in data.items() if k not in _KNOWN},
            date=date,
        )
    error = _text(data.get("error"))
    return Denied(
        kind=_kind(status, error, data),
        status=status,
        error=_clean(error, 64),
        description=_clean(_text(data.get("error_description")), 300),
        uri=_clean(_text(data.get("error_uri")), 300),
        retry_after=_retry_after(headers.get("Retry-After"), date),
        refresh_token=refresh_token if 200 <= status < 300 and error is None else None,
    )


_KNOWN = {"access_token", "refresh_token", "expires_in", "token_type", "scope"}


def _kind(status: int, error: str | None, data: Mapping[str, Any]) -> DenialKind:
    if status >= 500 or status in _BUSY or error in _TRANSIENT:
        return DenialKind.TRANSIENT
    if error == "invalid_grant":
        return DenialKind.DEAD
    if error in ("invalid_client", "unauthorized_client"):
        return DenialKind.CLIENT
    if error == "invalid_request" and "retry" in f"{data.get('error_description')} {data.get('error_hint')}".lower():
        return DenialKind.TRANSIENT  # Ory's words for two refreshes at once
    if error is None and 200 <= status < 300:
        return DenialKind.MALFORMED
    if error is None and status == 401:
        return DenialKind.CLIENT
    return DenialKind.REQUEST


def lifetime(value: object) -> float | None:
    """`expires_in` in seconds, as a number or as text; what makes no sense is unknown (None), never an error."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return None
    return seconds if math.isfinite(seconds) and 0 < seconds <= _LONGEST else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value.strip() else None


def _clean(value: str | None, most: int) -> str | None:
    return None if value is None else _CONTROL.sub(" ", value)[:most]


def _date(value: str | None) -> float | None:
    try:
        return parsedate_to_datetime(value).timestamp() if value else None
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _retry_after(value: str | None, date: float | None) -> float | None:
    """Seconds, or an HTTP date seen from the answer's own `Date` (RFC 9110 10.2.3)."""
    if not value:
        return None
    seconds = lifetime(value)
    if seconds is not None or value.strip() == "0":
        return seconds
    then = _date(value)
    return max(0.0, then - date) if then is not None and date is not None else None


def scrub(text: str | None, *secrets: str | None) -> str | None:
    """The text with each of these secrets cut out: servers quote what they were sent."""
    if text is None:
        return None
    for secret in secrets:
        if secret:
            text = text.replace(secret, "[redacted]")
    return text
