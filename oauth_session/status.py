"""What may be shown of a grant: everything but its secrets."""

from __future__ import annotations

from dataclasses import dataclass

from .rules.record import Record


@dataclass(frozen=True, slots=True)
class GrantStatus:
    """What is known of a grant, without its secrets; times in epoch seconds on the store's clock.

    Attributes:
        state: ``live``, ``dead``, ``logged_out``, ``revoked``, or ``damaged``.
        generation: one more with each commit.
        expires_at: of the access token; None when the server did not say.
        last_outcome, last_error: of the last renewal: an `Outcome`'s value, and the server's error code.
        scope: as granted, or None.
        failures: failed renewals since the last good one; until `retry_at` nobody tries again.
        claimed_by: who renews it, as ``...@host:pid``, until `claimed_until` unless its heart goes on beating.
    """

    grant_id: str
    state: str
    generation: int
    expires_at: float | None
    has_refresh_token: bool
    last_outcome: str
    last_error: str
    scope: str | None
    failures: int = 0
    retry_at: float | None = None
    claimed_by: str = ""
    claimed_until: float | None = None


def status_of(record: Record) -> GrantStatus:
    """What may be shown of a record."""
    pair = record.pair
    return GrantStatus(
        grant_id=record.grant,
        state=record.state,
        generation=record.generation,
        expires_at=None if pair.lifetime is None else pair.issued_at + pair.lifetime,
        has_refresh_token=pair.refresh_token is not None,
        last_outcome=record.outcome,
        last_error=record.error,
        scope=pair.scope,
        failures=record.failures,
        retry_at=record.retry_at or None,
        claimed_by=record.claim.by if record.claim else "",
        claimed_until=record.claim.until if record.claim else None,
    )
