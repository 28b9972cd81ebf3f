"""`watch`: the grants of a service, live. It reads the store, by pages, and changes nothing."""

from __future__ import annotations

import signal
import sys
import time
from collections import Counter

import click
from rich.cells import cell_len
from rich.console import Console, ConsoleDimensions, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ..status import GrantStatus
from .shared import Chosen, out, with_service
from .watched import ORDERS, STATES, Watched, state_of

SHARE = 0.3  # of each second is spent on reading; the rest is the programs'
TICK = 1.0
_COLORS = {"ok": "green", "refreshing": "cyan", "failing": "black on yellow", "dead": "bold red", "damaged": "bold red"}


def screen(
    watched: Watched, name: str, words: str, state: str | None, order: str, size: ConsoleDimensions
) -> RenderableType:
    """One picture."""
    now, rows = watched.now(), max(1, size.height - 5)
    head = Text.assemble((name, "bold"), f"  {len(watched.grants):,} grants  ", no_wrap=True, overflow="ellipsis")
    head.append(
        f"{watched.per_minute():,.0f} renewals/min" if watched.rounds else "" if watched.error else "reading..."
    )
    counts = Counter(state_of(grant, now) for grant in watched.grants.values())
    kinds = Text(no_wrap=True, overflow="ellipsis")
    for kind in filter(counts.get, STATES):
        kinds.append(f"{counts[kind]:,} {kind}", _COLORS.get(kind, ""))
        kinds.append("  ")
    table = Table(box=None, pad_edge=False, expand=True)
    # widths that stay, so that no line jumps: the longest name of all, not of those that are shown
    longest = max((cell_len(grant.grant_id) for grant in watched.grants.values()), default=0)
    table.add_column("grant", no_wrap=True, overflow="ellipsis", width=max(5, min(longest, (size.width - 28) // 2)))
    table.add_column("state", no_wrap=True, min_width=10)
    table.add_column("ends", no_wrap=True, min_width=6)
    table.add_column("gen", no_wrap=True, min_width=4, justify="right")
    table.add_column("claim, last outcome", no_wrap=True, overflow="ellipsis", ratio=1)
    found = watched.chosen(words, state, order)
    for grant in found[:rows]:
        word = state_of(grant, now)
        live = grant.state == "live"
        table.add_row(
            Text(grant.grant_id or "?"),
            Text(word, _COLORS.get(word, "")),
            "" if not live else "?" if grant.expires_at is None else _left(grant.expires_at - now),
            str(grant.generation),
            _happened(grant, now),
        )
    more = len(found) - rows
    foot = Text(f"{more:,} more; --filter, --state and --sort choose" if more > 0 else "", "dim")
    if watched.error:
        old = f"{time.monotonic() - watched.read_at:.0f} s old: " if watched.grants else ""
        foot = Text(f"{old}{watched.error}", "bold red")
    return Group(head, kinds, table, foot)


def _happened(grant: GrantStatus, now: float) -> Text:
    """Who holds the claim, what came of the last renewal, and when the next is."""
    text = Text()
    if grant.claimed_until is not None:  # who lets it lapse has died, or hangs
        who, held = grant.claimed_by.partition("@")[2] or grant.claimed_by, grant.claimed_until > now
        text.append(f"{who}  " if held else f"{who} is gone  ", "cyan" if held else "bold")
    outcome = "" if grant.last_outcome == grant.state else grant.last_outcome
    text.append(f"{outcome} {grant.last_error}".strip(), "bold" if grant.failures or grant.last_error else "")
    if grant.failures and grant.state == "live":
        again = f", again in {_left(grant.retry_at - now)}" if grant.retry_at and grant.retry_at > now else ""
        text.append(f" ({grant.failures}x{again})")
    return text


def _left(seconds: float) -> str:
    if seconds <= 0:
        return "ended"
    size, unit = next((s, u) for s, u in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")) if seconds >= s or s == 1)
    return f"{seconds / size:.0f} {unit}"


@click.command()
@click.option("--filter", "words", default="", help="Only grants with this in their name.")
@click.option("--state", type=click.Choice(STATES), help="Only grants in this state.")
@click.option("--sort", "order", type=click.Choice(list(ORDERS)), default="state", show_default=True)
@click.option(
    "--every", default=1.0, show_default=True, type=click.FloatRange(0.1, 3600), help="Seconds to a new picture."
)
@click.option("--once", is_flag=True, help="One picture of all grants, and no more; so also where no terminal is.")
@with_service
def watch(chosen: Chosen, words: str, state: str | None, order: str, every: float, once: bool) -> None:
    """Show the service's grants, live; Ctrl-C ends it.

    Reads the store for at most 0.3 of each second, and so works with 100,000 grants: each is looked at once a
    minute or so. With --once the exit code is 1 where the store is away.
    """
    watched = Watched(chosen.client)

    def picture(console: Console) -> RenderableType:
        return screen(watched, chosen.name, words, state, order, console.size)

    if once or not out.is_terminal:
        while not watched.rounds and not watched.error:
            watched.read(TICK)
        out.print(picture(out))
        sys.exit(1 if watched.error else 0)
    # A flag: an exception could fall into any line, and not every line lets it through.
    asked: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: asked.append(number))
    tick = min(every, TICK)
    with Live(console=out, screen=True, auto_refresh=False) as live:
        while not asked:
            live.update(picture(out), refresh=True)
            until = time.monotonic() + (every if watched.rounds else tick)
            while not asked and time.monotonic() < until:
                watched.read(tick * SHARE)
                rested = time.monotonic() + tick * (1 - SHARE)
                while not asked and (left := rested - time.monotonic()) > 0:
                    time.sleep(min(0.1, left))
