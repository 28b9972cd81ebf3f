"""What a `ProviderModel` remembers of the tokens and codes that it has minted."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

Verdict = Literal["good", "missing", "unknown", "expired", "revoked"]


class Sent(Enum):
    """What to put into a member of the token response instead of a JSON value of one's own."""

    LIFETIME = "the true lifetime"
    NOTHING = "leave the member out"


LIFETIME, NOTHING = Sent.LIFETIME, Sent.NOTHING


@dataclass(slots=True, eq=False)
class Family:
    """All tokens since one login."""

    number: int
    scope: str | None
    revoked: bool = False


@dataclass(slots=True, eq=False, repr=False)
class Access:
    """An access token."""

    token: str
    family: Family
    serial: int
    issued_at: float
    expires_at: float
    source: Refresh | None  # the refresh token that bought it
    dead: Verdict | None = None


@dataclass(slots=True, eq=False, repr=False)
class Refresh:
    """A refresh token, or an access token where that is what is renewed."""

    token: str
    family: Family
    serial: int
    partner: Access  # came with it; dies with its use where access_dies_at_refresh
    spent_at: float | None = None
    bought: dict[str, Any] | None = None  # the first answer, for the grace that repeats it
    closed: bool = False  # no grace any more
    dead: bool = False  # killed by a newer pair, not by its own use


CODE_LIFETIME = 60.0  # seconds


@dataclass(slots=True, eq=False, repr=False)
class Code:
    """An authorization code, and the request that it answers."""

    asked: Mapping[str, str]
    issued_at: float
    family: Family | None = None  # what it bought

    def refusal(self, form: Mapping[str, str], now: float) -> str | None:
        """Why it does not buy anything for this token request (RFC 6749 4.1.3, RFC 7636 4.6)."""
        if self.family is not None:
            self.family.revoked = True  # RFC 6749 4.1.2
            return "the code was used before"
        if now >= self.issued_at + CODE_LIFETIME:
            return "the code has expired"
        if form.get("redirect_uri") != self.asked["redirect_uri"]:
            return "the redirect_uri is another one"
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        return None if challenge == self.asked["code_challenge"] else "the code_verifier does not fit"
