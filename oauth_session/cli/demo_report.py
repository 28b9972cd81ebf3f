"""What the demo says at the end: a table for people, one JSON object for programs."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

from rich.console import Console
from rich.table import Table


@dataclass(slots=True)
class Report:
    """What one run came to. `generations` is counted by the store, everything else about tokens by the provider."""

    requests: int
    failed: int
    refresh_calls: int
    generations: int
    reuse_incidents: int
    grant_alive: bool
    p50_ms: float
    p99_ms: float
    errors: dict[str, int] = field(default_factory=dict)

    @property
    def good(self) -> bool:
        """Nothing failed, nothing was lost, and nobody asked twice."""
        return (
            self.requests > 0
            and self.failed == 0
            and self.grant_alive
            and self.refresh_calls == self.generations
            and self.reuse_incidents == 0
        )


_ROWS = (
    ("requests", "requests"),
    ("failed", "failed"),
    ("refresh calls", "refresh_calls"),
    ("generations", "generations"),
    ("reuse incidents", "reuse_incidents"),
    ("grant alive", "grant_alive"),
    ("latency p50, ms", "p50_ms"),
    ("latency p99, ms", "p99_ms"),
)


def show(console: Console, ours: Report, naive: Report | None) -> None:
    """Print the table and a sentence on it."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    table.add_column("oauth_session", justify="right")
    if naive is not None:
        table.add_column("  refresh on 401 in each worker", justify="right")
    for label, name in _ROWS:
        table.add_row(label, *(_cell(name, getattr(report, name)) for report in (ours, naive) if report is not None))
    console.print(table)
    for report, who in ((ours, "oauth_session"), (naive, "the naive pattern")):
        if report is not None and report.errors:
            seen = ", ".join(f"{count} x {name}" for name, count in sorted(report.errors.items()))
            console.print(f"{who} failed with: {seen}", style="dim")
    if ours.good:
        console.print("One refresh per expiry, nothing failed, still logged in.", style="green")
    else:
        console.print("Something failed; this should not be.", style="red")


def _cell(name: str, value: float | bool) -> str:
    if isinstance(value, bool):
        return "[green]yes[/]" if value else "[red]no[/]"
    if name in ("failed", "reuse_incidents") and value:
        return f"[red]{value:,}[/]"
    return f"{value:,.1f}" if isinstance(value, float) else f"{value:,}"


def as_json(ours: Report, naive: Report | None) -> str:
    """The report as one JSON object; the naive run, if there was one, under `naive`."""
    return json.dumps(asdict(ours) | ({} if naive is None else {"naive": asdict(naive)}))
