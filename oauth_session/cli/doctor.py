"""`doctor`: what is wrong with a set-up, in plain words."""

from __future__ import annotations

import sys

import click
from rich.table import Table
from rich.text import Text

from ..reveal import reveal
from .checks import examine
from .shared import Chosen, out, with_service

_COLORS = {"ok": "green", "note": "yellow", "wrong": "bold red"}


@click.command()
@click.option("--seed", help='"env:NAME" or "file:PATH" of the refresh token that your program brings along.')
@with_service
def doctor(chosen: Chosen, seed: str | None) -> None:
    """Look at store, records, clocks, token endpoint and client; spends no refresh token.

    \b
    Exit codes: 0, nothing is wrong; 1, something is; 2, the settings cannot be used at all.
    """
    if seed is not None and not seed.startswith(("env:", "file:")):
        raise click.BadParameter(
            'must be "env:NAME" or "file:PATH": a secret does not belong on a command line', param_hint="--seed"
        )
    table, wrong = Table(box=None, pad_edge=False, show_header=False), 0
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in examine(chosen.client, None if seed is None else reveal(seed, "--seed")):
        wrong += finding.level == "wrong"
        table.add_row(Text(finding.level, _COLORS[finding.level]), Text(finding.about, "bold"), Text(finding.says))
    out.print(table)
    if wrong:
        sys.exit(1)
