"""What a `ProviderModel` remembers of the tokens that it has minted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Verdict = Literal["good", "missing", "unknown", "expired", "revoked"]


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
