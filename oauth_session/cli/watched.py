"""What `watch` knows: the grants of a service, read page by page for a share of the time, and how often they are renewed."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from ..client import OAuthClient
from ..errors import StoreError
from ..sealed import key_of
from ..status import GrantStatus
from ..stores import open_store

MINUTE = 60.0
_NOT_RENEWED = ("", "logged_out", "revoked")  # the last step was a login or its end, not a renewal
_LATER = float("inf")
STATES = ("dead", "damaged", "failing", "refreshing", "ok", "logged_out", "revoked")  # the most urgent first


class Watched:
    """What is known of the grants, page by page, and how often they are renewed."""

    def __init__(self, client: OAuthClient) -> None:
        self._client = client
        self._pages = self._rounds()
        self.grants: dict[str, GrantStatus] = {}  # those without a name, being damaged, are numbered
        self.renewals: deque[tuple[float, int]] = deque()  # when, how many
        self.rounds, self.error, self.ahead = 0, "", 0.0  # ahead: the store's clock, of this machine's
        self.read_at = self.counted_since = time.monotonic()

    def read(self, seconds: float) -> None:
        """As many pages as fit into the time; at least one. No more than all of them."""
        end = time.monotonic() + seconds
        try:
            while not next(self._pages) and time.monotonic() < end:
                pass
            self.error, self.read_at = "", time.monotonic()
        except StoreError as error:
            self._pages, self.error = self._rounds(), str(error)

    def per_minute(self) -> float:
        """Renewals in the last minute; of a shorter time, extrapolated."""
        now = time.monotonic()
        while self.renewals and self.renewals[0][0] < now - MINUTE:
            self.renewals.popleft()
        return sum(count for _, count in self.renewals) * MINUTE / max(5.0, min(MINUTE, now - self.counted_since))

    def now(self) -> float:
        """On the store's clock, as all that is stored."""
        return time.time() + self.ahead

    def chosen(self, words: str, state: str | None, order: str) -> list[GrantStatus]:
        """Those that are wanted, the most urgent first."""
        now = self.now()
        found = [
            g for g in self.grants.values() if words in g.grant_id and (state is None or state_of(g, now) == state)
        ]
        return sorted(found, key=lambda grant: ORDERS[order](grant, now))

    def _rounds(self) -> Iterator[bool]:
        """Page by page, over and over; whether that was the last page of a round."""
        while True:
            cursor: str | None = None
            seen: set[str] = set()
            clock = open_store(self._client._registration.store).load(key_of("watch", "watch", None)).now
            self.ahead = clock - time.time()
            while True:
                page, cursor = self._client.grants(cursor)
                for grant in page:
                    self._note(grant, grant.grant_id or f"\0{len(seen)}", seen)
                if cursor is None:
                    break
                yield False
            for gone in self.grants.keys() - seen:
                del self.grants[gone]
            self.rounds += 1
            if self.rounds == 1:  # nothing could be counted before
                self.counted_since = time.monotonic()
            yield True

    def _note(self, grant: GrantStatus, name: str, seen: set[str]) -> None:
        seen.add(name)
        before = self.grants.get(name)
        if before is not None and grant.generation > before.generation:
            count = grant.generation - before.generation - (grant.last_outcome in _NOT_RENEWED)
            self.renewals.append((time.monotonic(), count))
        self.grants[name] = grant


_URGENT = {state: number for number, state in enumerate(STATES)}
ORDERS: dict[str, Callable[[GrantStatus, float], Any]] = {
    "state": lambda g, now: (_URGENT[state_of(g, now)], g.expires_at or _LATER, g.grant_id),
    "expiry": lambda g, now: (g.expires_at or _LATER, g.grant_id),
    "generation": lambda g, now: (-g.generation, g.grant_id),
    "grant": lambda g, now: g.grant_id,
}


def state_of(grant: GrantStatus, now: float) -> str:
    """In one word: what somebody at three in the morning wants to know."""
    if grant.state != "live":
        return grant.state
    if grant.claimed_until is not None and grant.claimed_until > now:
        return "refreshing"
    return "failing" if grant.failures else "ok"
