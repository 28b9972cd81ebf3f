"""The token: a value that everybody may hold and nobody can read by accident."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .errors import ConfigurationError

# RFC 6750 2.1: what may stand behind the scheme in a header; no blank, no control character, ASCII only.
_LARGEST = 1e18  # seconds; an infinity and a NaN are not below it either
DPOP_KEY = "dpop_jwk"  # in a token's extra: the private key that it is bound to (RFC 9449)
_SENDABLE = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True, repr=False)
class Token:
    """An access token and what came with it (RFC 6749 section 5.1).

    Attributes:
        access_token: what is sent to the API; visible ASCII without blanks.
        refresh_token: what is sent to the token endpoint, or None.
        expires_at: seconds since the epoch, or None when the server did not say.
        token_type: ``Bearer`` unless the server said otherwise.
        scope: as granted, space-separated, or None.
        extra: whatever else the server sent.

    Equality compares everything; ``repr`` shows no secret.
    """

    access_token: str
    refresh_token: str | None = None
    expires_at: float | None = None
    token_type: str = "Bearer"
    scope: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if not is_sendable(self.access_token):
            raise ConfigurationError(
                "access_token must be a non-empty string of visible ASCII characters without blanks (RFC 6750)"
            )
        if self.refresh_token is not None and (not isinstance(self.refresh_token, str) or not self.refresh_token):
            raise ConfigurationError("refresh_token must be a non-empty string, or None")
        if self.expires_at is not None and (
            isinstance(self.expires_at, bool)
            or not isinstance(self.expires_at, int | float)
            or not abs(self.expires_at) < _LARGEST
        ):
            raise ConfigurationError("expires_at must be seconds since the epoch, or None")
        if not isinstance(self.token_type, str) or not isinstance(self.scope, str | None):
            raise ConfigurationError("token_type must be a string, and scope a string with blanks between, or None")

    def __repr__(self) -> str:
        left = "None" if self.expires_at is None else _when(self.expires_at)
        has = "yes" if self.refresh_token else "no"
        return f"<Token {fingerprint(self.access_token)} type={self.token_type} expires={left} refresh_token={has}>"

    @classmethod
    def from_mapping(cls, value: Mapping[str, Any]) -> Token:
        """Build a token from a dict with the names of RFC 6749, as other libraries store it.

        ``expires_at`` (epoch seconds) is read; ``expires_in`` alone is not, since nobody knows since when.

        Raises:
            ConfigurationError: there is no usable ``access_token``.
        """
        known = {"access_token", "refresh_token", "expires_at", "token_type", "scope", "extra"}
        inner = value.get("extra") or {}
        if not isinstance(inner, Mapping):
            raise ConfigurationError("extra must be a mapping of further members, or None")
        extra = dict(inner) | {k: v for k, v in value.items() if k not in known | {"expires_in"}}
        scope = value.get("scope")
        expires_at = value.get("expires_at")
        if isinstance(expires_at, str):
            try:
                expires_at = float(expires_at)
            except ValueError:
                raise ConfigurationError("expires_at must be seconds since the epoch, or None") from None
        return cls(
            access_token=value.get("access_token", ""),
            refresh_token=value.get("refresh_token") or None,
            expires_at=expires_at,
            token_type=value.get("token_type") or "Bearer",
            scope=" ".join(map(str, scope)) if isinstance(scope, list | tuple) else scope,
            extra=extra,
        )


def _when(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds).isoformat(" ", "seconds")
    except (ValueError, OverflowError, OSError):
        return f"{seconds:g}"


def is_sendable(access_token: object) -> bool:
    """Whether a value can stand in a header as a token (RFC 6750 section 2.1)."""
    return isinstance(access_token, str) and _SENDABLE.fullmatch(access_token) is not None


def fingerprint(secret: str) -> str:
    """Twelve hex digits that identify a secret without giving it away."""
    return hashlib.sha256(secret.encode()).hexdigest()[:12]
