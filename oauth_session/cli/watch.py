"""`watch`: the grants of a service, live. It reads the store, by pages, and changes nothing."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterator
from typing import Any

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ..client import GrantStatus, OAuthClient
from ..errors import StoreError
from .shared import Chosen, out, with_service

SHARE = 0.3  # of each second is spent on reading; the rest is the programs'
MINUTE = 60.0
_LATER = float("inf")


class Watched:
    """What is known of the grants, page by page, and how often they are renewed."""

    def __init__(self, client: OAuthClient) -> None:
        self._client = client
        self._pages: Iterator[None] = iter(())
        self.grants: dict[str, GrantStatus] = {}
        self.renewals: deque[tuple[float, int]] = deque()  # when, how many
        self.rounds, self.began, self.error = 0, time.monotonic(), ""

    def read(self, seconds: float) -> None:
        """As many pages as fit into the time; at least one."""
        end = time.monotonic() + seconds
        try:
            while True:
                if next(self._pages, self) is self:  # that was all: from the beginning
                    self._pages = self._round()
                    if self.rounds and time.monotonic() < end:
                        break
                if time.monotonic() >= end:
                    break
            self.error = ""
        except StoreError as error:
            self._pages, self.error = iter(()), str(error)

    def per_minute(self) -> float:
        """Renewals in the last minute; of a shorter time, extrapolated."""
        now = time.monotonic()
        while self.renewals and self.renewals[0][0] < now - MINUTE:
            self.renewals.popleft()
        return sum(count for _, count in self.renewals) * MINUTE / max(1.0, min(MINUTE, now - self.began))

    def chosen(self, words: str, state: str | None, order: str) -> list[GrantStatus]:
        """Those that are wanted, the most urgent first."""
        found = [g for g in self.grants.values() if words in g.grant_id and (state is None or state_of(g) == state)]
        return sorted(found, key=_ORDERS[order])

    def _round(self) -> Iterator[None]:
        cursor, seen = None, set()
        while True:
            page, cursor = self._client.grants(cursor)
            for grant in page:
                seen.add(grant.grant_id)
                before = self.grants.get(grant.grant_id)
                if before is not None and grant.generation > before.generation:
                    self.renewals.append((time.monotonic(), grant.generation - before.generation))
                self.grants[grant.grant_id] = grant
            if cursor is None:
                break
            yield
        for gone in self.grants.keys() - seen:
            del self.grants[gone]
        self.rounds += 1


def state_of(grant: GrantStatus) -> str:
    """In one word: what somebody at three in the morning wants to know."""
    if grant.state != "live":
        return grant.state
    if grant.claimed_until is not None and grant.claimed_until > time.time():
        return "refreshing"
    return "failing" if grant.failures else "ok"


_COLORS = {"ok": "green", "refreshing": "cyan", "failing": "yellow"}
_URGENT = {"dead": 0, "damaged": 1, "failing": 2, "refreshing": 3}
_ORDERS: dict[str, Any] = {
    "state": lambda g: (_URGENT.get(state_of(g), 4 if state_of(g) == "ok" else 5), g.expires_at or _LATER, g.grant_id),
    "expiry": lambda g: (g.expires_at or _LATER, g.grant_id),
    "generation": lambda g: (-g.generation, g.grant_id),
    "grant": lambda g: g.grant_id,
}


def screen(watched: Watched, name: str, words: str, state: str | None, order: str, height: int) -> RenderableType:
    """One picture."""
    counts = Counter(map(state_of, watched.grants.values()))
    head = Text.assemble((name, "bold"), f"  {len(watched.grants):,} grants")
    for kind, count in sorted(counts.items(), key=lambda item: _URGENT.get(item[0], 9)):
        head.append(f"  {count:,} {kind}", _COLORS.get(kind, "red"))
    head.append(f"  {watched.per_minute():,.0f} renewals/min" + ("" if watched.rounds else "  reading..."))
    table = Table(box=None, pad_edge=False, expand=True)
    for column, ratio in (
        ("grant", 3),
        ("state", None),
        ("ends", None),
        ("gen", None),
        ("claim", 2),
        ("last outcome", 4),
    ):
        table.add_column(
            column, no_wrap=True, overflow="ellipsis", ratio=ratio, justify="right" if column == "gen" else "left"
        )
    found, now = watched.chosen(words, state, order), time.time()
    for grant in found[: max(1, height - 4)]:
        word = state_of(grant)
        claimed = grant.claimed_until is not None and grant.claimed_until > now
        table.add_row(
            Text(grant.grant_id or "?"),
            Text(word, _COLORS.get(word, "red")),
            "" if grant.state != "live" else "?" if grant.expires_at is None else _left(grant.expires_at - now),
            str(grant.generation),
            Text(grant.claimed_by.partition("@")[2] or grant.claimed_by if claimed else ""),
            Text(f"{grant.last_outcome} {grant.last_error}".strip(), "" if word == "ok" else "bold"),
        )
    more = len(found) - max(1, height - 4)
    foot = Text(f"{more:,} more; --filter, --state and --sort choose" if more > 0 else "", "dim")
    if watched.error:
        foot = Text(f"the store: {watched.error}", "bold red")
    return Group(head, table, foot)


def _left(seconds: float) -> str:
    if seconds <= 0:
        return "ended"
    size, unit = next((s, u) for s, u in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")) if seconds >= s or s == 1)
    return f"{seconds / size:.0f} {unit}"


@click.command()
@click.option("--filter", "words", default="", help="Only grants with this in their name.")
@click.option("--state", help="Only these: ok, refreshing, failing, dead, logged_out, revoked, damaged.")
@click.option("--sort", "order", type=click.Choice(list(_ORDERS)), default="state", show_default=True)
@click.option("--every", default=1.0, show_default=True, help="Seconds between two pictures.")
@click.option("--once", is_flag=True, help="One picture of all grants, and no more.")
@with_service
def watch(chosen: Chosen, words: str, state: str | None, order: str, every: float, once: bool) -> None:
    """Show the service's grants, live; Ctrl-C ends it. Works with 100,000 grants."""
    watched, console = Watched(chosen.client), out

    def picture(on: Console) -> RenderableType:
        return screen(watched, chosen.name, words, state, order, on.height)

    if once:
        while not watched.rounds and not watched.error:
            watched.read(1.0)
        console.print(picture(console))
        return
    with Live(console=console, screen=console.is_terminal, auto_refresh=False) as live:
        try:
            while True:
                watched.read(every * SHARE)
                live.update(picture(console), refresh=True)
                time.sleep(every * (1 - SHARE))
        except KeyboardInterrupt:
            pass
