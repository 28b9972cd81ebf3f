"""Reading what a token endpoint answered (RFC 6749 sections 5.1 and 5.2), and what real ones answer instead.

The one thing never to lose here is a refresh token: with rotation, the old one is dead by now.
"""

from __future__ import annotations

import enum
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, quote_plus

from requests.structures import CaseInsensitiveDict

from ..tokens import DPOP_KEY, is_sendable

_CENTURY = 100 * 365.25 * 86400
_DAY = 86400.0  # nobody means a longer Retry-After
_NUMBER = re.compile(r"[0-9]{1,20}(?:\.[0-9]{0,20})?")
_PRINTABLE = re.compile(r"[\x20-\x7e]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_REGISTERED = re.compile(  # RFC 6749 5.2, RFC 8628 3.5, RFC 8693 2.2.2, RFC 9449 5 and 8
    "invalid_(request|client|grant|scope|target|dpop_proof)|unauthorized_client|unsupported_grant_type|server_error|"
    "temporarily_unavailable|authorization_pending|slow_down|access_denied|expired_token|use_dpop_nonce"
)
_MEMBERS = ("access_token", "token_type", "refresh_token", "expires_in", "scope", DPOP_KEY)  # no server sets the key


@dataclass(frozen=True, slots=True, repr=False)
class Granted:
    """A new token (RFC 6749 section 5.1).

    Attributes:
        token_type: as sent; ``Bearer`` when absent. Compare it without regard to case.
        refresh_token: the new one, or None: keep the old one.
        lifetime: in seconds, or None when unknown.
        scope: as granted, or None: as before.
        extra: the other members.
        date: the ``Date`` header in seconds since the epoch.
    """

    access_token: str
    token_type: str
    refresh_token: str | None = None
    lifetime: float | None = None
    scope: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)
    date: float | None = None

    def __repr__(self) -> str:
        has = "yes" if self.refresh_token else "no"
        return f"<Granted type={self.token_type} lifetime={self.lifetime} refresh_token={has}>"


class DenialKind(enum.Enum):
    """What a refusal means for the grant."""

    DEAD = "dead"  # this refresh token is at its end
    CLIENT = "client"  # the client is refused; the grant is untouched
    TRANSIENT = "transient"  # later may be better
    REQUEST = "request"  # this request will never do
    MALFORMED = "malformed"  # a success that holds no token


@dataclass(frozen=True, slots=True, repr=False)
class Denied:
    """No new token (RFC 6749 section 5.2).

    Attributes:
        error: the error code, if there was one; description and uri likewise.
        retry_after: seconds, from ``Retry-After``.
        refresh_token: a new one that came in a malformed answer, so that a rotation is not lost with it.
    """

    kind: DenialKind
    error: str | None = None
    description: str | None = None
    uri: str | None = None
    status: int = 0
    retry_after: float | None = None
    refresh_token: str | None = None

    def __repr__(self) -> str:
        has = "yes" if self.refresh_token else "no"
        return f"<Denied {self.kind.value} status={self.status} error={self.error} refresh_token={has}>"


def read_token_response(
    status: int, headers: Mapping[str, str], body: bytes, secrets: Iterable[str | None] = ()
) -> Granted | Denied:
    """Read an answer of the token endpoint; never fails.

    Args:
        secrets: cut out of error, description and uri, before these are shortened; a registered error stays what it is.
    """
    headers = CaseInsensitiveDict(headers)
    date = http_date(headers.get("Date"))
    data = parse_json(body)
    members: dict[str, Any] = data if isinstance(data, dict) else {}
    refresh_token = _refresh_token(members.get("refresh_token"))
    access_token = members.get("access_token")
    succeeded = 200 <= status < 300
    if succeeded and isinstance(access_token, str) and is_sendable(access_token):
        token_type = members.get("token_type")
        typed = isinstance(token_type, str) and token_type.strip() and _PRINTABLE.fullmatch(token_type)
        return Granted(
            access_token=access_token,
            token_type=str(token_type) if typed else "Bearer",
            refresh_token=refresh_token,
            lifetime=_seconds(members.get("expires_in"), _CENTURY) or None,
            scope=_scope(members.get("scope")),
            extra={name: value for name, value in members.items() if name not in _MEMBERS},
            date=date,
        )
    # GitHub and Reddit answer errors with 200; an error beside a token that cannot be sent changes nothing.
    malformed = succeeded and (bool(access_token) or not members.get("error"))
    secrets = tuple(secrets)
    error = members.get("error") if isinstance(members.get("error"), str) else None
    uri = members.get("error_uri")
    return Denied(
        kind=DenialKind.MALFORMED if malformed else _kind(status, error, members),
        error=error
        if _REGISTERED.fullmatch(error or "")
        else _words(error, secrets, 100),  # a secret may be as short as "d"
        description=_words(members.get("error_description"), secrets, 300),
        uri=_words(uri.partition("?")[0] if isinstance(uri, str) else None, secrets, 300),
        status=status,
        retry_after=_retry_after(headers.get("Retry-After"), date),
        refresh_token=refresh_token if malformed else None,
    )


def required(answer: Granted | Denied, token_type: str | None) -> Granted | Denied:
    """A token of another type than was asked for is not used (RFC 9449 section 5); its refresh token is not lost."""
    if token_type is None or isinstance(answer, Denied) or answer.token_type.lower() == token_type.lower():
        return answer
    says = f"the server gave a token of type {answer.token_type[:40]}, and {token_type} is demanded"
    return Denied(DenialKind.REQUEST, "wrong_token_type", says, status=200, refresh_token=answer.refresh_token)


def scrub(text: str, secrets: Iterable[str | None]) -> str:
    """Replace each secret, plain or url-quoted, by ``[redacted]``."""
    forms: set[str] = set()
    for secret in filter(None, secrets):
        forms |= {secret, quote(secret, errors="replace"), quote(secret, "", errors="replace")}
        forms.add(quote_plus(secret, errors="replace"))
    if not forms:
        return text
    # In one pass and longest first: a secret may be part of another, or of "[redacted]". Case: %2f is %2F.
    pattern = "|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True))
    return re.sub(pattern, "[redacted]", text, flags=re.IGNORECASE)


def _kind(status: int, error: str | None, members: Mapping[str, Any]) -> DenialKind:
    # Auth0 says invalid_grant with 403, others with 401 or 200; bad_refresh_token is GitHub's name for it.
    if error in ("invalid_grant", "bad_refresh_token"):
        return DenialKind.DEAD
    if status >= 500 or status in (408, 425, 429):
        return DenialKind.TRANSIENT
    if error in ("temporarily_unavailable", "server_error", "slow_down"):
        return DenialKind.TRANSIENT
    if error in ("invalid_client", "unauthorized_client") or (error is None and status == 401):
        return DenialKind.CLIENT
    if error == "invalid_request":
        # Ory's fosite, when two refreshes meet; the code alone cannot tell it from a request that is wrong.
        hint = f"{members.get('error_description')} {members.get('error_hint')}".lower()
        if "concurrent request" in hint or "please retry" in hint:
            return DenialKind.TRANSIENT
    return DenialKind.REQUEST


def parse_json(body: bytes) -> object:
    """The body as JSON, or None."""
    # NaN, 1e999 and numbers of thousands of digits become null: one bad number must not cost the refresh token.
    try:
        return json.loads(
            body,
            parse_constant=lambda _: None,
            parse_float=lambda text: number if math.isfinite(number := float(text)) else None,
            parse_int=lambda text: int(text) if len(text) <= 400 else None,
        )
    except (ValueError, RecursionError):
        return None


def _seconds(value: object, most: float) -> float | None:
    """Seconds as an int, a float or text of digits; None for whatever else, and beyond ``most``."""
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = float(value.strip())  # by itself float() takes fewer blanks off than strip() does
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        return None
    return float(value)


def _refresh_token(value: object) -> str | None:
    """A refresh token, or None for what is none: ``""``, blanks, null, numbers (RFC 6749 appendix A.17)."""
    if not isinstance(value, str) or not value.strip():
        return None
    try:
        value.encode()  # a lone surrogate can be neither sent nor stored
    except UnicodeEncodeError:
        return None
    return value


def _scope(value: object) -> str | None:
    if isinstance(value, list) and all(isinstance(entry, str) for entry in value):
        value = " ".join(value)  # Twitch
    return value if isinstance(value, str) and value.strip() else None


def _words(value: object, secrets: tuple[str | None, ...], most: int) -> str | None:
    if not isinstance(value, str):
        return None
    return _CONTROL.sub(" ", scrub(value, secrets)).strip()[:most] or None


def http_date(value: str | None) -> float | None:
    """An HTTP date in seconds since the epoch (RFC 9110 section 5.6.7), or None."""
    if not value or len(value) > 64:
        return None
    try:
        moment = parsedate_to_datetime(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _retry_after(value: str | None, date: float | None) -> float | None:
    """RFC 9110 section 10.2.3: seconds, or a date, which is seen from the answer's own ``Date``: clocks differ."""
    if value is None:
        return None
    if (seconds := _seconds(value, _DAY)) is not None:
        return seconds
    moment = http_date(value)
    return _seconds(moment - date, _DAY) if moment is not None and date is not None else None
