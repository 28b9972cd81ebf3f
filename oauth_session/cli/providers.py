"""`providers`: what is known of them, and whether a profile of one's own holds."""

from __future__ import annotations

import logging
from itertools import compress
from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from ..errors import ConfigurationError
from ..providers import load_profile, names
from ..providers.profile import Profile
from ..providers.words import expiry_words, facts, grace_words, said
from .shared import Failed, out


class _Names(click.Group):
    """Each provider's name is a command that shows it."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """`check`, or else the one that shows this provider."""
        found = super().get_command(ctx, cmd_name)
        if found is not None or not (cmd_name in names() or cmd_name.endswith(".toml")):
            return found
        return click.Command(cmd_name, callback=lambda: _show(_loaded(cmd_name)), help="Show what is known of it.")


@click.group(cls=_Names, invoke_without_command=True, subcommand_metavar="[NAME | check FILE]")
@click.pass_context
def providers(context: click.Context) -> None:
    """List the providers that are known; NAME shows one, `check FILE` tries a profile of your own."""
    if context.invoked_subcommand is None:
        _list()


@providers.command()
@click.argument("file")
def check(file: str) -> None:
    """Validate a profile, and run a client with it against a provider that behaves as it says."""
    profile = _loaded(file)
    from ..testing.trial import trial

    logging.getLogger("oauth_session").setLevel(logging.CRITICAL)  # what is tried on purpose is no news
    bad = 0
    for step in trial(profile):
        bad += bool(step.wrong)
        mark = ("wrong  ", "bold red") if step.wrong else ("ok     ", "green")
        out.print(Text.assemble(mark, f"{step.name:<28}", (step.answer, "dim")), no_wrap=True, overflow="ellipsis")
        if step.wrong:
            out.print(Text(f"       {step.wrong}"))
    if not any(example.of == "expired" for example in profile.examples):
        out.print(
            "It has no example of a refusal of an expired token: add one from a real answer, so that it is tried."
        )
    if bad:
        raise Failed(f"{bad} of what the profile says does not hold", 1)
    out.print(f"{profile.file} holds.")


def _loaded(name: str) -> Profile:
    try:
        return load_profile(name if name in names() else Path(name))
    except ConfigurationError as error:
        raise Failed(str(error), 2) from None


def _list() -> None:
    table = Table(box=None, padding=(0, 2, 0, 0))
    # from which width there is room for which column
    shown = [out.width >= least for least in (0, 100, 70, 0, 0)]
    for heading in compress(("name", "provider", "refresh token", "grace", "expired token"), shown):
        table.add_column(heading, overflow="fold", no_wrap=heading in ("name", "grace"))
    for name in names():
        profile = load_profile(name)
        row = (name, profile.title, said("rotation", profile.rotation), grace_words(profile), expiry_words(profile))
        first, *rest = compress(row, shown)
        table.add_row(Text(first, style="bold"), *map(Text, rest))
    out.print(table)


def _show(profile: Profile) -> None:
    out.print(
        Text(profile.title or profile.name, style="bold"), Text(f"last checked {profile.last_checked}", style="dim")
    )
    for note in profile.notes:
        out.print(Text(f"* {note}"))
    if profile.params:
        out.print()
        for param in profile.params.values():
            choices = f" (one of {', '.join(param.choices)})" if param.choices else ""
            default = f", {param.default} unless given" if param.default else ""
            out.print(Text(f"provider_params: {param.name}{choices}{default}  {param.about}"))
    out.print()
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    wide = out.width >= 100
    table.add_column(no_wrap=wide, max_width=None if wide else 22)
    table.add_column(overflow="fold", ratio=3)
    if wide:
        table.add_column(overflow="fold", ratio=2)
    for fact in facts(profile):
        style = "" if fact.verified else "dim"
        source = fact.source if fact.verified else f"unverified, not applied: {fact.source}"
        says, whence = Text(fact.says, style=style), Text(source, style="dim")
        table.add_row(Text(fact.label, style="bold"), *([says, whence] if wide else [says + "\n" + whence]))
    out.print(table)
    out.print()
    out.print(Text(f"Taken for an expired token: {expiry_words(profile)}."))
