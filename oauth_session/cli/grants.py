"""`login`, `token`, `status`, `refresh`, `revoke`, `logout`."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime
from typing import Any

import click
from rich.align import Align
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from .. import loopback
from ..client import GrantStatus
from ..errors import ConfigurationError, StoreError
from ..rules.device import DeviceCode
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
@click.option("--json", "as_json", is_flag=True, help="For programs: one JSON list.")
@with_service
def status(chosen: Chosen, as_json: bool) -> None:
    """List the service's grants, without secrets.

    \b
    Exit codes, as monitoring has them: 0, all is well; 1, renewals fail for now; 2, somebody must log in, or a record
    cannot be read; 3, the store or the settings are wrong, so nothing is known.
    """
    try:
        found = _all(chosen)
    except (ConfigurationError, StoreError) as error:
        raise Failed(str(error), 3) from None
    code = max(map(_severity, found), default=0)
    if as_json:
        click.echo(json.dumps([_plain(grant) for grant in found], indent=2))
    else:
        _list(chosen, found)
    sys.exit(code)


def _all(chosen: Chosen) -> list[GrantStatus]:
    found: list[GrantStatus] = []
    cursor: str | None = None
    while True:
        page, cursor = chosen.client.grants(cursor)
        found += page
        if cursor is None:
            break
    return sorted(found, key=lambda grant: grant.grant_id)


def _severity(grant: GrantStatus) -> int:
    if grant.state in ("dead", "damaged"):
        return 2
    return 1 if grant.state == "live" and grant.failures else 0


def _list(chosen: Chosen, found: list[GrantStatus]) -> None:
    if not found:
        begin = "login" if chosen.client.needs_login else "token"
        err.print(f"No grants of {chosen.name} are stored. Begin with: oauth-session {begin} -s {chosen.name}")
        return
    table = Table(title=f"Grants of {chosen.name}", title_justify="left", box=None, pad_edge=False)
    for column in ("grant", "state", "access token", "renews itself", "last outcome", "scope"):
        table.add_column(column, overflow="fold")
    for grant in found:
        color = "green" if grant.state == "live" else "red"
        table.add_row(
            Text(grant.grant_id),
            Text(grant.state, color),
            _until(grant.expires_at) if grant.state == "live" else "",
            "yes" if grant.has_refresh_token or not chosen.client.needs_login else "no",
            Text(f"{grant.last_outcome} {grant.last_error}".strip() or "logged in"),
            Text(grant.scope or ""),
        )
    out.print(table)


def _plain(grant: GrantStatus) -> dict[str, Any]:
    return {name: getattr(grant, name) for name in GrantStatus.__dataclass_fields__}


def _until(moment: float | None) -> str:
    """In words that a person reads at a glance."""
    if moment is None:
        return "until it is refused"
    left = moment - time.time()
    if left <= 0:
        return "ended; the next use renews it"
    when = datetime.fromtimestamp(moment, UTC).astimezone()
    size, unit = next((s, u) for s, u in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")) if left >= s or s == 1)
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
