"""`oauth-session keys`: make the keys that encrypt a store, change them, and write everything again."""

from __future__ import annotations

import click

from ..errors import OAuthSessionError


@click.group()
def keys() -> None:
    """Keys that encrypt the tokens in a store; needs the extra `crypto`."""


@keys.command()
@click.option("--add", is_flag=True, help="Only a new seal: key, to be put in front of those of a ring that exists.")
def new(add: bool) -> None:
    """Print a new ring. Keep it where the store is not: a secret manager, the environment, a file of its own."""
    try:
        from .. import sealing
    except ImportError:
        raise click.ClickException("keys need the package cryptography: pip install 'oauth-session[crypto]'") from None
    click.echo(sealing.new_key() if add else sealing.new())


@keys.command()
@click.option("--store", required=True, help="Such as redis://localhost:6379/0 or sqlite:///grants.db.")
@click.option("--keys", "ring", required=True, help='"env:NAME" or "file:/path".')
def reencrypt(store: str, ring: str) -> None:
    """Write every record with the first key of the ring, plain ones too, while programs go on.

    Exits with 1 when records were left that the ring cannot open.
    """
    from ..sealed import reseal_all, ring_of
    from ..stores import open_store

    if not ring.startswith(("env:", "file:")):
        raise click.UsageError("--keys must be env:NAME or file:/path: a command line is seen by everybody")
    try:
        opened = ring_of(ring, None)
        assert opened is not None
        done = reseal_all(open_store(store), opened)
    except OAuthSessionError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"written: {done.written}, already current: {done.current}, unreadable: {done.unreadable}")
    if done.unreadable:
        raise SystemExit(1)
