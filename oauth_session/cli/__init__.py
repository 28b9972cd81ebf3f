"""The command line: `oauth-session`, also as `python -m oauth_session`. It needs the extra `cli`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; without its extra, say how to get it."""
    try:
        import click
        import rich  # noqa: F401
    except ImportError:
        sys.exit("oauth-session needs click and rich: pip install 'oauth-session[cli]'")
    from .demo import demo
    from .keys import keys

    group = click.Group(
        "oauth-session", [demo, keys], help="A requests.Session that stays logged in; `demo` shows what that means."
    )
    click.version_option(package_name="oauth-session")(group)(prog_name="oauth-session")
