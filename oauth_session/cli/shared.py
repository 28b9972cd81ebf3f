"""What the commands share: the chosen service, and errors that say what to do."""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import click
import requests
from rich.console import Console

from ..client import OAuthClient
from ..errors import (
    ConfigurationError,
    InvalidClient,
    InvalidGrant,
    LoginFailed,
    RefreshOutcomeUnknown,
    RefreshTimeout,
    StoreError,
    TemporarilyUnavailable,
)
from .settings import choose, client_of, config_file, services

out, err = Console(highlight=False), Console(stderr=True, highlight=False)

# The first that fits says what to do.
_ADVICE: tuple[tuple[type[Exception], str], ...] = (
    (InvalidGrant, "Log in: oauth-session login{service}{grant}"),
    (InvalidClient, "Mend the service's client_id, client_secret or client_auth in the settings."),
    (TemporarilyUnavailable, "Try again in a moment; the grant is kept."),
    (RefreshOutcomeUnknown, "Try once more at your own risk: oauth-session refresh --force{service}{grant}"),
    (RefreshTimeout, "Try again in a moment; the refresh goes on."),
    (StoreError, "Look after the store (--store, or store in the settings)."),
)
_FOR_PROGRAMS = re.compile(r": (give refresh_token=|log in again)[^\[]*(?=$| \[)")


class Chosen(NamedTuple):
    """A service, its client, and the grant that is meant; `config`: the option that named the settings, for advice."""

    name: str
    table: dict[str, Any]
    client: OAuthClient
    grant: str
    config: str = ""

    def __repr__(self) -> str:
        return f"<Chosen {self.name!r} {self.grant!r}>"


def with_service(command: Callable[..., Any], unusable: int = 2) -> Callable[..., Any]:
    """Gives a command its first argument, `Chosen`, from the options that it adds; and prints errors as advice.

    Args:
        unusable: the exit code when the settings are wrong.
    """

    @click.option("-s", "--service", envvar="OAUTH_SESSION_SERVICE", help="Which service of the settings.")
    @click.option(
        "-g", "--grant", default="default", show_default=True, help="Whose grant, such as a customer's number."
    )
    @click.option(
        "--store", envvar="OAUTH_SESSION_STORE", help="Instead of the SQLite file: redis://..., sqlite:///..."
    )
    @click.option("--config", type=click.Path(path_type=Path), help="The settings; a TOML file.")
    @functools.wraps(command)
    def run(*, service: str | None, grant: str, store: str | None, config: Path | None, **more: Any) -> Any:
        try:
            name, table = choose(services(config or config_file()), service)
            with_config = "" if config is None else f" --config {shlex.quote(str(config))}"
            with_name = with_config + (f" -s {name}" if service else "")
            chosen = Chosen(name, table, client_of(table, store), grant, with_config)
        except requests.RequestException as error:
            raise Failed(str(error), unusable) from None
        try:
            return command(chosen, **more)
        except requests.RequestException as error:
            with_grant = f" -g {grant}" if grant != "default" else ""
            raise Failed(
                _words(error, with_name, with_grant), unusable if isinstance(error, ConfigurationError) else 1
            ) from None

    return run


class Failed(click.ClickException):
    """Printed to standard error, with the exit code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        vars(self)["exit_code"] = code  # click reads it of the instance

    def show(self, file: Any = None) -> None:
        err.print("[bold red]error:[/] ", end="")
        err.print(self.message, markup=False, soft_wrap=True)


def _words(error: requests.RequestException, service: str, grant: str) -> str:
    for kind, advice in _ADVICE:
        if isinstance(error, kind):
            says = _FOR_PROGRAMS.sub("", str(error)) if kind is InvalidGrant else str(error)
            return f"{says}\n{advice.format(service=service, grant=grant)}"
    if isinstance(error, requests.ConnectionError):
        return f"the API cannot be reached ({type(error).__name__}): check the URL and the network"
    if isinstance(error, LoginFailed) and error.error_description:
        return f"{error}: {error.error_description}"
    return str(error) or type(error).__name__
