"""A fleet on paper: what it needs, from what was measured on one machine."""

from __future__ import annotations

import math
from typing import Any

PROCESSES, GRANTS, LIFETIME = 10_000, 50_000_000, 3600.0
PRIMARY, FULL = 8e9, 0.65  # bytes of a primary, and how far it is filled: the rest is for replication and rewrites
SHARDS = 1024  # channels


def needs(found: dict[str, Any], cached: int) -> dict[str, float]:
    """With so many grants in use in each process.

    Args:
        found: everything measured.
    """
    redis, push = found["redis"], found["push"]
    size = GRANTS * redis["bytes_per_grant"]
    primaries = math.ceil(size / (PRIMARY * FULL))
    commits = GRANTS / LIFETIME
    channels = SHARDS * (1 - (1 - 1 / SHARDS) ** cached)
    heard = commits * channels / SHARDS
    return {
        "gigabytes": size / 1e9,
        "primaries": primaries,
        "commits": commits,
        "round_trips": commits * redis["many"]["round_trips"],
        "refresh_cores": commits * redis["many"]["server_cpu_microseconds"] / 1e6,
        "connections": PROCESSES * (primaries + 1),
        "connections_each": PROCESSES * (primaries + 1) / primaries,
        "channels": channels,
        "heard": heard,
        "wanted": cached / LIFETIME,
        "listener_cores": heard * push["listener_microseconds"] / 1e6,
        "told": heard * PROCESSES,
        "push_cores": heard * PROCESSES * push["server_microseconds"] / 1e6,
    }


def rows(found: dict[str, Any]) -> list[list[str]]:
    """As a table, for fleets whose processes use few grants each, and many."""
    few, many = needs(found, 100), needs(found, 1000)

    def row(title: str, key: str, shape: str = ",.0f") -> list[str]:
        return [title, format(few[key], shape), format(many[key], shape)]

    return [
        [f"{PROCESSES:,} processes, {GRANTS:,} grants, tokens of an hour", "100 grants each", "1,000 grants each"],
        row("records, GB", "gigabytes"),
        row(f"primaries of {PRIMARY / 1e9:.0f} GB, filled to {FULL:.0%}", "primaries"),
        row("refreshes per second", "commits"),
        row("round trips per second", "round_trips"),
        row("cores for them, in all", "refresh_cores", ".1f"),
        row("connections, in all", "connections"),
        row("connections of each primary", "connections_each"),
        row("channels of each process, of 1,024", "channels"),
        row("messages per second to each process", "heard"),
        row("... of which it needs", "wanted", ".2f"),
        row("cores of each process for them", "listener_cores", ".2f"),
        row("messages per second to all", "told"),
        row("cores of the servers for them, in all", "push_cores", ",.1f"),
    ]
