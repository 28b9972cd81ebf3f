"""`python -m benchmarks`: run everything, print tables, write JSON, draw plots, and renew what README and docs show."""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from . import cost, pages, scale, storms
from .server import redis_server

FIGURES = Path(__file__).parent.parent / "docs" / "figures"


@click.command()
@click.option("--quick", is_flag=True, help="A tenth of everything, to see whether it runs; nothing is written.")
@click.option("--only", multiple=True, help="These parts alone, such as cost; the others stay as they were measured.")
def main(quick: bool, only: tuple[str, ...]) -> None:
    """Measure, side by side and in turns, on this machine."""
    console = Console(width=None if sys.stdout.isatty() else 150)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, redis_server(Path(folder)) as url:
        parts: dict[str, Callable[[], Any]] = {
            "cost": lambda: cost.per_request(url, *((300, 3) if quick else (3000, 9))),
            "profile": lambda: cost.profile(url, *((300, 3) if quick else (3000, 9))),
            "commands": lambda: cost.commands(url, 20 if quick else 1000),
            "imports": lambda: cost.imports(3 if quick else 20),
            "threads": lambda: storms.threads(url, 50),
            "processes": lambda: storms.processes(url, 8, 4, 3.0 if quick else 20.0),
            "permissions": lambda: storms.permissions(url, 5 if quick else 200),
            "replays": lambda: storms.replays(url),
            "connections": lambda: storms.connections(url, 10 if quick else 200),
            "sealed": lambda: scale.sealed(20 if quick else 300),
            "memory": lambda: scale.in_memory(1000 if quick else 100_000),
            "push": lambda: scale.push(url, 1000 if quick else 20_000),
            "redis": lambda: scale.in_redis(url, 1000, *((5000, 50) if quick else (1_000_000, 800))),
        }
        kept = FIGURES / "bench.json"
        found: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
        for name, measure in parts.items():
            if only and name not in only:
                continue
            began = time.monotonic()
            load = os.getloadavg()[0]
            found[name] = measure()
            found.setdefault("conditions", {})[name] = {
                "date": time.strftime("%-d %B %Y", time.gmtime()),
                "load_before": round(load, 2),
                "seconds": round(time.monotonic() - began, 1),
            }
            pages.show(console, name, found[name])
    found["machine"] = f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
    if quick:
        return
    FIGURES.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(found, indent=1) + "\n")
    pages.publish(found, FIGURES.parent)


if __name__ == "__main__":
    main()
