"""`doctor`: what is wrong with a set-up, in plain words."""

from __future__ import annotations

import json
import sys

import click
from rich.table import Table
from rich.text import Text

from ..reveal import reveal
from .checks import examine
from .findings import Finding
from .shared import Chosen, out, with_service

_COLORS = {"ok": "green", "note": "black on yellow", "wrong": "bold red"}


@click.command()
@click.option("--seed", help='"env:NAME" or "file:PATH" of the refresh token that your program brings along.')
@click.option("--json", "as_json", is_flag=True, help="For programs: one JSON list of level, about and says.")
@with_service
def doctor(chosen: Chosen, seed: str | None, as_json: bool) -> None:
    """Look at store, records, clocks, token endpoint and client; spends no refresh token.

    The token endpoint is asked once, with a made-up refresh token; a service of grant_type client_credentials asks for
    a token, as at each expiry. Where the client is refused, one or two more requests tell whether another client_auth
    would do: mind a provider that locks clients out. One empty record of doctor's own is written to the store.

    \b
    Exit codes: 0, nothing is wrong; 1, something is; 2, the settings cannot be used at all.
    """
    if seed is not None and not seed.startswith(("env:", "file:")):
        raise click.BadParameter(
            'must be "env:NAME" or "file:PATH": a secret does not belong on a command line', param_hint="--seed"
        )
    found: list[Finding] = []
    for finding in examine(chosen.client, None if seed is None else reveal(seed, "--seed")):
        found.append(finding)
        if not as_json:  # at once: the next may take a while
            out.print(_line(finding))
    if as_json:
        click.echo(json.dumps([finding._asdict() for finding in found], indent=2))
    sys.exit(any(finding.level == "wrong" for finding in found))


def _line(finding: Finding) -> Table:
    """Columns as wide as their longest word, whichever comes first."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=5)
    table.add_column(width=21)
    table.add_column(overflow="fold")
    table.add_row(Text(finding.level, _COLORS[finding.level]), Text(finding.about, "bold"), Text(finding.says))
    return table
