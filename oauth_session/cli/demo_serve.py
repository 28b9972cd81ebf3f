"""The provider of a first try: on this machine, until Ctrl-C, with the settings for the other commands in a file."""

from __future__ import annotations

import signal
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qs

import click

from ..testing import FakeProvider
from ..testing.wire import Delivery, Request
from ..tokens import fingerprint

_SETTINGS = """[demo]
issuer = "{url}"
client_id = "demo"
base_url = "{api}"
store = "sqlite:///{store}"
"""


class Telling(FakeProvider):
    """Prints what the token endpoint is asked; a refresh token by its fingerprint."""

    def deliver(self, request: Request) -> Delivery:
        """Answer, and say so."""
        delivery = super().deliver(request)
        if request.target == "/token":
            form = parse_qs(request.body.decode("utf-8", "replace"))
            grant, old = form.get("grant_type", ["?"])[0], form.get("refresh_token", [""])[0]
            click.echo(f"{grant}{old and f' {fingerprint(old)}'}: {delivery.answer.status}")
        return delivery


def serve(file: Path, lifetime: float, latency: float) -> None:
    """Until Ctrl-C. Refresh tokens rotate; one that was used less than half a minute ago buys another pair."""
    store = file.absolute().with_suffix(".db")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was made is taken away by either
    with Telling(
        client_id="demo",
        client_secret=None,
        lifetime=lifetime,
        token_latency=latency,
        grace="new_pair",
        grace_seconds=30,
    ) as provider:
        settings = _SETTINGS.format(url=provider.url, api=provider.api_url, store=store.as_posix())
        try:
            with file.open("x") as made:  # a file of somebody else's is not ours to replace
                made.write(settings)
        except OSError as error:
            raise click.ClickException(f"{file} cannot be made: {error.strerror}") from None
        click.echo(f"A provider is at {provider.url} until Ctrl-C. In another terminal:")
        click.echo(f"  oauth-session login --config {file}")
        click.echo(f"  oauth-session request GET me --config {file}")
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            click.echo("The provider is gone, and its grants with it.")
        finally:
            for path in (file, *store.parent.glob(f"{store.name}*")):
                with suppress(OSError):
                    path.unlink()
