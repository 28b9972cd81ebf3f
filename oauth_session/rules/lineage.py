"""Lineages: where a grant's record begins, is brought back, and ends (laws 11 and 16), as pure functions.

A lineage is all that has come since one login; the generation never goes down within it, nor from one to the next.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from .. import policy
from .record import Pair, Record

Ending = Literal["logged_out", "revoked"]


def begin(grant: str, client: str, lineage: str, pair: Pair, rest_until: float = 0.0) -> Record:
    """A record at generation 0: a seed, or for a grant that needs none, nothing yet."""
    seeds = (pair.fingerprint(),) if pair.access_token or pair.refresh_token else ()
    return Record(grant=grant, client=client, lineage=lineage, pair=pair, seeds=seeds, rest_until=rest_until)


def behind(record: Record, known: Record) -> bool:
    """Whether the store's record is an earlier state of what we hold: a failover has lost the rest.

    Of another lineage it is only if we hold a later login, whose seeds include all of the record's, or where we may have
    forgotten the oldest of them, its last one; never a logout.
    """
    if record.state in ("logged_out", "revoked") or record.generation >= known.generation:
        return False
    seeds = record.seeds[-1:] if len(known.seeds) == policy.SEEDS_REMEMBERED else record.seeds
    return record.lineage == known.lineage or (bool(seeds) and set(seeds) <= set(known.seeds))


def heal(record: Record | None, known: Record | None, now: float, age: float, rest: float) -> Record | None:
    """What we hold is newer than what the store has: a failover or a wipe has lost it (law 11). None: nothing to heal.

    That may be a logout or a new login: what those ended must not come back. The claim of somebody who refreshes from
    the older record stays: what that brings is judged by its generation.

    Args:
        age: of the pair that we hold, since the store's clock may be another's now.
        rest: seconds in which the healed record is used but not refreshed.
    """
    if known is None or (record is not None and not behind(record, known)):
        return None
    pair = replace(known.pair, issued_at=now - age)
    claim = record.claim if record and record.claim and record.claim.until > now else None
    # Whoever let its claim lapse needs a time to speak, too: one rest for both, not one after the other.
    rest_until = max(now + rest, claim.until + policy.SPEAK) if claim and rest else now + rest
    return replace(known, pair=pair, claim=claim, attempt=None, rest_until=rest_until, retry_at=0.0)


def left_behind(record: Record) -> Record:
    """What a forked child keeps of a grant in memory: a refresh token that rotates has one master, and that is the parent."""
    if record.pair.refresh_token is None or (record.generation and not record.is_rotated()):
        return record
    says = "the refresh token stayed with the parent of this fork: give store= a file or Redis, or rotation='none'"
    return replace(
        record, pair=replace(record.pair, refresh_token=None), spare=None, claim=None, attempt=None, error=says
    )


def reseed(record: Record, pair: Pair) -> Record:
    """A dead record taken over by a seed that it has never seen (law 16). The generation never goes down."""
    name = pair.fingerprint()
    return begin_again(record, name, pair, seeds=(*record.seeds, name)[-policy.SEEDS_REMEMBERED :])


def is_seeded(before: Record | None, record: Record) -> bool:
    """Whether a seed stands where there was nothing, or a dead grant."""
    if before is None:
        return record.generation == 0 and bool(record.seeds)
    return before.state == "dead" and record.lineage != before.lineage


def begin_again(record: Record, lineage: str, pair: Pair, seeds: tuple[str, ...] | None = None) -> Record:
    """A new login over whatever was there: a new lineage, everything else forgotten but the seeds."""
    return Record(
        grant=record.grant,
        client=record.client,
        lineage=lineage,
        generation=record.generation + 1,
        pair=pair,
        seeds=record.seeds if seeds is None else seeds,
    )


def put(record: Record | None, blank: Record, pair: Pair) -> Record:
    """A token from a login somewhere else, over whatever is there; it is known as a seed from now on."""
    if record is None:
        return replace(blank, pair=pair, seeds=(pair.fingerprint(),))
    seeds = (*record.seeds, pair.fingerprint())[-policy.SEEDS_REMEMBERED :]
    return begin_again(record, blank.lineage, pair, seeds)


def end(record: Record, state: Ending) -> Record:
    """A tombstone without tokens: nothing stale may bring the grant back."""
    return replace(begin_again(record, record.lineage, Pair()), state=state, outcome=state)
