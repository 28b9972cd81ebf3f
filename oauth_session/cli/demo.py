"""`oauth-session demo`: many processes and threads share one grant of a provider that forgives nothing."""

from __future__ import annotations

import json
import multiprocessing
import secrets
import sys
import tempfile
import time
from contextlib import AbstractContextManager, nullcontext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ..client import OAuthClient
from ..errors import OAuthSessionError
from ..testing import FakeProvider
from .demo_report import Report, as_json, show
from .demo_serve import serve
from .demo_worker import Job, Tally, work

_SLACK = 90.0  # seconds beyond its time after which a worker is given up


@click.command()
@click.option("--workers", default=8, show_default=True, type=click.IntRange(1, 256), help="Processes.")
@click.option("--threads", default=4, show_default=True, type=click.IntRange(1, 256), help="Threads in each process.")
@click.option("--seconds", default=10.0, show_default=True, type=click.FloatRange(0.5, 3600), help="How long.")
@click.option("--lifetime", default=2.0, show_default=True, type=click.FloatRange(0.2, 3600), help="Of access tokens.")
@click.option("--latency", default=0.1, show_default=True, type=click.FloatRange(0, 10), help="Of the token endpoint.")
@click.option(
    "--store", help="Where the grant is shared, such as redis://localhost; a temporary SQLite file if left out."
)
@click.option("--naive", is_flag=True, help="Show beside it what happens when each worker refreshes on its own.")
@click.option("--json", "json_", is_flag=True, help="Print one JSON object instead of a table.")
@click.option(
    "--serve",
    "settings_file",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Only run the provider, for the other commands, until Ctrl-C; settings for them go to this new file.",
)
def demo(
    workers: int,
    threads: int,
    seconds: float,
    lifetime: float,
    latency: float,
    store: str | None,
    naive: bool,
    json_: bool,
    settings_file: Path | None,
) -> None:
    """Let processes share one grant while its tokens expire every few seconds.

    The provider runs on this machine, rotates its refresh tokens, and revokes the grant when one is used twice. Exits
    with 0 only if no request failed and the grant is alive.
    """
    if settings_file is not None:
        return serve(settings_file, lifetime, latency)
    console = Console(stderr=json_, highlight=False)
    crowd = (
        f"{workers} processes x {threads} threads share one grant for {seconds:g} s; access tokens live {lifetime:g} s."
    )
    console.print(crowd)
    settings = {"lifetime": lifetime, "token_latency": latency}
    with tempfile.TemporaryDirectory(prefix="oauth-session-") as folder:
        shape = (workers, threads, seconds, console)
        try:
            ours = _run_ours(store or f"sqlite:///{folder}/grants.db", settings, shape)
            other = _run_naive(Path(folder, "pair.json"), settings, shape) if naive else None
        except OAuthSessionError as error:
            raise click.ClickException(str(error)) from None
    if json_:
        click.echo(as_json(ours, other))
    else:
        show(console, ours, other)
    sys.exit(0 if ours.good else 1)


Shape = tuple[int, int, float, Console]


def _run_ours(store: str, settings: dict[str, Any], shape: Shape) -> Report:
    with FakeProvider(**settings) as provider:
        grant_id = f"demo-{secrets.token_hex(4)}"
        client = OAuthClient(
            token_url=provider.token_url,
            client_id=provider.client_id,
            client_secret=provider.client_secret,
            store=store,
            base_url=provider.api_url,
        )
        client.put(grant_id, provider.issue())
        tallies = _crowd(_job(provider, grant_id, store, shape, naive=False), shape, "oauth_session")
        found = next(s for s in _statuses(client) if s.grant_id == grant_id)
        report = _report(provider, tallies, found.generation)
        client.forget(grant_id)
        client.close()
    return report


def _run_naive(file: Path, settings: dict[str, Any], shape: Shape) -> Report:
    with FakeProvider(**settings) as provider:
        file.write_text(json.dumps(provider.issue()))
        tallies = _crowd(_job(provider, "", str(file), shape, naive=True), shape, "naive")
        return _report(provider, tallies, provider.model.generations)


def _statuses(client: OAuthClient) -> Any:
    cursor: str | None = None
    while True:
        page, cursor = client.grants(cursor)
        yield from page
        if cursor is None:
            return


def _job(provider: FakeProvider, grant_id: str, store: str, shape: Shape, *, naive: bool) -> Job:
    _, threads, seconds, _ = shape
    who = provider.client_id, provider.client_secret or ""
    return Job(provider.api_url, provider.token_url, *who, grant_id, store, threads, seconds, naive)


def _crowd(job: Job, shape: Shape, label: str) -> list[Tally]:
    """Start the processes, show how they get on, and collect what they saw."""
    workers, _, seconds, console = shape
    context = multiprocessing.get_context("spawn")
    start, done, results = context.Barrier(workers + 1), context.Value("q", 0), context.Queue()
    crowd: list[BaseProcess] = [
        context.Process(target=work, args=(job, start, done, results), daemon=True) for _ in range(workers)
    ]
    try:
        for process in crowd:
            process.start()
        start.wait(_SLACK)
        _watch(console, label, seconds, done)
        tallies = [results.get(timeout=_SLACK) for _ in crowd]
        for process in crowd:
            process.join(_SLACK)
        return tallies
    finally:
        for process in crowd:
            if process.is_alive():
                process.kill()


def _watch(console: Console, label: str, seconds: float, done: Any) -> None:
    columns = (
        TextColumn(f"{label:<14}"),
        BarColumn(),
        TextColumn("{task.fields[calls]:>9,} requests"),
        TimeRemainingColumn(),
    )
    shown: AbstractContextManager[Progress | None] = nullcontext()
    if console.is_terminal:
        shown = Progress(*columns, console=console, transient=True)  # its last look is not the end
    with shown as progress:
        task = progress.add_task(label, total=seconds, calls=0) if progress else None
        began = time.monotonic()
        while (elapsed := time.monotonic() - began) < seconds:
            time.sleep(min(0.1, seconds - elapsed))
            if progress is not None and task is not None:
                progress.update(task, completed=time.monotonic() - began, calls=done.value)


def _report(provider: FakeProvider, tallies: list[Tally], generations: int) -> Report:
    latencies = sorted(latency for tally in tallies for latency in tally.latencies)
    errors: dict[str, int] = {}
    for tally in tallies:
        for name, count in tally.errors.items():
            errors[name] = errors.get(name, 0) + count
    model = provider.model
    return Report(
        requests=len(latencies),
        failed=sum(tally.failed for tally in tallies),
        refresh_calls=model.refresh_calls,
        generations=generations,
        reuse_incidents=model.reuse_incidents,
        grant_alive=model.grant_alive(),
        p50_ms=_percentile(latencies, 0.50),
        p99_ms=_percentile(latencies, 0.99),
        errors=errors,
    )


def _percentile(latencies: list[float], share: float) -> float:
    return round(1000 * latencies[min(len(latencies) - 1, int(len(latencies) * share))], 2) if latencies else 0.0
