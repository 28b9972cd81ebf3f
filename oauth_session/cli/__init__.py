"""The command line: `oauth-session`, also as `python -m oauth_session`. It needs the extra `cli`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click

_IN_SHORT = {  # what fits into a narrow terminal
    "demo": "See what it does.",
    "request": "Call the API, such as request GET me.",
    "token": "Print an access token that works now.",
    "status": "List the grants; exit codes for monitors.",
    "revoke": "End the grant at the server, and here.",
    "logout": "Forget the grant here.",
    "watch": "Show the grants, live.",
    "doctor": "Say what is wrong, in plain words.",
    "providers": "Show what is known of providers.",
    "keys": "Keys that encrypt the tokens in a store.",
}


def main() -> None:
    """Run the command line; without its extra, say how to get it."""
    try:
        import click  # noqa: F401
        import platformdirs  # noqa: F401
        import rich  # noqa: F401
    except ImportError:
        sys.exit("oauth-session needs click and rich: pip install 'oauth-session[cli]'")
    command_line()(prog_name="oauth-session")


def command_line() -> click.Group:
    """All commands; the reference is made from them, too."""
    import click

    from . import grants
    from .demo import demo
    from .doctor import doctor
    from .keys import keys
    from .providers import providers
    from .request import request
    from .watch import watch

    people = [grants.login, grants.token, request, grants.status, grants.refresh, grants.revoke, grants.logout]
    for command, words in _IN_SHORT.items():
        next(c for c in (demo, *people, watch, doctor, providers, keys) if c.name == command).short_help = words

    class InOrder(click.Group):
        def list_commands(self, ctx: click.Context) -> list[str]:
            """As they are needed, not by their names."""
            return list(self.commands)

    group = InOrder(
        "oauth-session",
        [demo, *people, watch, doctor, providers, keys],
        help="A requests.Session that stays logged in; `demo` shows what that means.",
    )
    click.version_option(package_name="oauth-session")(group)
    return group
