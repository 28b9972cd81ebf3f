"""`login`, `token`, `status`, `refresh`, `revoke`, `logout`."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial

import click
from click.core import ParameterSource
from rich.align import Align
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from .. import loopback
from ..errors import ConfigurationError, RecordForged, RecordPlain, RecordSealed, StoreError
from ..rules.device import DeviceCode
from ..rules.record_json import DamagedRecord
from ..status import GrantStatus, status_of
from .shared import Chosen, Failed, err, out, with_service


@click.command()
@click.option("--device", is_flag=True, help="Log in on another device: no browser is needed here.")
@click.option("--browser/--no-browser", default=True, help="Open the browser, or only show the address.")
@click.option("--port", type=click.IntRange(0, 65535), help="Of the loopback redirect, if one is registered.")
@click.option("--scope", help="Instead of the service's.")
@click.option("--timeout", default=300.0, show_default=True, help="Seconds to wait for you.")
@with_service
def login(chosen: Chosen, device: bool, browser: bool, port: int | None, scope: str | None, timeout: float) -> None:
    """Log in, and store the grant."""
    params = chosen.table.get("params")
    if device:
        screen = _Screen()
        with screen:
            chosen.client.device_login(chosen.grant, show=screen.show, scope=scope, params=params, sleep=screen.sleep)
    else:

        def show(url: str) -> None:
            opened = browser and loopback.open_browser(url)
            err.print("Log in with your browser." if opened else "Open this address in a browser on this machine:")
            err.print(url, style="dim" if opened else "", markup=False, soft_wrap=True)

        chosen.client.login(
            chosen.grant,
            scope=scope,
            params=params,
            port=chosen.table.get("port", 0) if port is None else port,
            timeout=timeout,
            open_browser=show,
        )
    err.print(f"[bold green]Logged in[/] to {chosen.name} as grant {chosen.grant!r}.")


@click.command()
@with_service
def token(chosen: Chosen) -> None:
    """Print an access token that works now, such as for curl; refreshed if needed."""
    click.echo(chosen.client.token(chosen.grant).access_token)


@click.command()
@click.option("--force", is_flag=True, help="Whatever back-off, hold or unknown outcome says.")
@with_service
def refresh(chosen: Chosen, force: bool) -> None:
    """Get another token now."""
    got = chosen.client.refresh(chosen.grant, force=force)
    err.print(f"[bold green]Refreshed[/] grant {chosen.grant!r} of {chosen.name}; good {_until(got.expires_at)}.")


@click.command()
@with_service
def revoke(chosen: Chosen) -> None:
    """Tell the server that the grant is over, and forget it."""
    chosen.client.revoke(chosen.grant)
    err.print(f"[bold green]Revoked[/] grant {chosen.grant!r} of {chosen.name}.")


@click.command()
@with_service
def logout(chosen: Chosen) -> None:
    """Forget the grant here; `revoke` tells the server, too."""
    chosen.client.forget(chosen.grant)
    err.print(f"[bold green]Logged out[/] of {chosen.name}: grant {chosen.grant!r} is forgotten here.")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For programs: one JSON list, one grant in each line.")
@partial(with_service, unusable=3)
def status(chosen: Chosen, as_json: bool) -> None:
    """List the service's grants, without secrets; with -g, that one alone.

    \b
    Exit codes, as monitoring has them: 0, all is well; 1, renewals fail for now; 2, somebody must log in, or a record
    cannot be read; 3, the store or the settings are wrong, so nothing is known.
    """
    given = click.get_current_context().get_parameter_source("grant")
    only = None if given is ParameterSource.DEFAULT else chosen.grant
    try:
        found = _all(chosen) if only is None else _one(chosen, only)
    except (ConfigurationError, StoreError) as error:
        raise Failed(str(error), 3) from None
    if as_json:  # line by line: of many grants there is one copy
        click.echo("[")
        for number, grant in enumerate(found, 1):
            click.echo(json.dumps(asdict(grant)) + ("," if number < len(found) else ""))
        click.echo("]")
    else:
        _list(chosen, found, only)
    missing = only is not None and not found and chosen.client.needs_login
    sys.exit(2 if missing else max(map(_severity, found), default=0))


def _all(chosen: Chosen) -> list[GrantStatus]:
    found: dict[str, GrantStatus] = {}  # a record may come twice, and those that are damaged have no name
    cursor: str | None = None
    while True:
        page, cursor = chosen.client.grants(cursor)
        found |= {grant.grant_id or f"\0{len(found) + n}": grant for n, grant in enumerate(page)}
        if cursor is None:
            break
    return sorted(found.values(), key=lambda grant: grant.grant_id)


def _one(chosen: Chosen, grant_id: str) -> list[GrantStatus]:
    """One look at the store, however many grants there are."""
    client = chosen.client
    try:
        record = client._registration.source(grant_id).ledger.load().record
    except (DamagedRecord, RecordSealed, RecordPlain, RecordForged) as error:
        return [GrantStatus(grant_id, "damaged", 0, None, False, "", str(error), None)]
    return [] if record is None else [status_of(record)]


def _renews(chosen: Chosen, grant: GrantStatus) -> str:
    if grant.state != "live":
        return ""
    return "yes" if grant.has_refresh_token or not chosen.client.needs_login else "no"


_COLORS = {"live": "green", "dead": "bold red", "damaged": "bold red"}


def _severity(grant: GrantStatus) -> int:
    if grant.state in ("dead", "damaged"):
        return 2
    return 1 if grant.state == "live" and grant.failures else 0


def _list(chosen: Chosen, found: list[GrantStatus], only: str | None) -> None:
    if not found:
        begin = f"{'login' if chosen.client.needs_login else 'token'}{chosen.config} -s {chosen.name}"
        what, which = ("No grants", "") if only is None else (f"No grant {only!r}", f" -g {only}")
        err.print(
            f"{what} of {chosen.name} stored. Begin with: oauth-session {begin}{which}", markup=False, soft_wrap=True
        )
        return
    table = Table(title=f"Grants of {chosen.name}", title_justify="left", box=None, pad_edge=False)
    scopes, wide = any(grant.scope for grant in found), out.width >= 100
    table.add_column("grant", overflow="fold", min_width=15)
    renews = out.width >= 80
    for column in ("state", "access token", *(["renews"] if renews else [])):
        table.add_column(column, no_wrap=True)
    for column in ("last outcome", *(["scope"] if scopes else [])):
        table.add_column(column, overflow="fold")
    for grant in found:
        color = "black on yellow" if _severity(grant) == 1 else _COLORS.get(grant.state, "")
        outcome = "" if grant.last_outcome == grant.state else grant.last_outcome
        table.add_row(
            Text(grant.grant_id),
            Text(grant.state, color),
            _until(grant.expires_at, wide) if grant.state == "live" else "",
            *([_renews(chosen, grant)] if renews else []),
            Text(f"{outcome} {grant.last_error}".strip() or ("logged in" if grant.state == "live" else "")),
            *([Text(grant.scope or "")] if scopes else []),
        )
    out.print(table)


def _until(moment: float | None, wide: bool = True) -> str:
    """In words that a person reads at a glance."""
    if moment is None:
        return "until it is refused" if wide else "unknown"
    left = moment - time.time()
    if left <= 0:
        return "ended; the next use renews it" if wide else "ended"
    when = datetime.fromtimestamp(moment, UTC).astimezone()
    size, unit = next((s, u) for s, u in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")) if left >= s or s == 1)
    if not wide:
        return f"for {left / size:.0f} {unit}"
    return f"for {left / size:.0f} {unit} (until {when:%H:%M:%S})" if left < 86400 else f"until {when:%Y-%m-%d %H:%M}"


class _Screen:
    """The code, shown large, with a countdown."""

    def __init__(self) -> None:
        self._live = Live(console=err, refresh_per_second=4, transient=True)
        self._code: DeviceCode | None = None
        self._end = 0.0

    def __enter__(self) -> None:
        return None

    def __exit__(self, *error: object) -> None:
        if self._code is not None and err.is_terminal:
            self._live.stop()

    def show(self, code: DeviceCode) -> None:
        self._code, self._end = code, time.monotonic() + code.expires_in
        if err.is_terminal:
            self._live.start()
            self._live.update(self._panel())
        else:
            err.print(f"Open {code.verification_uri} and enter {code.user_code}", markup=False, soft_wrap=True)

    def sleep(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(0.25, left))
            if err.is_terminal:
                self._live.update(self._panel())

    def _panel(self) -> Panel:
        assert self._code is not None
        left = max(0, round(self._end - time.monotonic()))
        text = Text(justify="center")
        text.append("\nOn any device, open\n\n")
        text.append(self._code.verification_uri, "bold underline")
        text.append("\n\nand enter\n\n\n")
        text.append("   ".join(self._code.user_code), "bold cyan")
        text.append(f"\n\n\nWaiting; the code is good for {left // 60}:{left % 60:02}\n", "dim")
        # narrower than the screen: what the terminal writes at the end of it, such as ^C, must not begin another line
        return Panel(Align.center(text), title="Log in", border_style="cyan", width=max(24, min(80, err.width - 4)))
