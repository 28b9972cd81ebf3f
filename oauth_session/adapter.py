"""The door for a session that one does not own: an adapter around the adapter that is mounted there."""

from __future__ import annotations

from typing import Any

from requests import PreparedRequest, Response, Session
from requests.adapters import BaseAdapter

from .auth import TokenAuth
from .errors import ConfigurationError
from .forks import part_after
from .marks import Marked
from .rules.origins import Guard, origin_of


class OAuthAdapter(BaseAdapter):
    """Attaches and follows up around an inner adapter, whatever that is.

    It sees each hop of a redirect on its own, so the token travels to every hop within its origin; and it is not asked
    by tools that take the place of a session's adapters. A request that carries an `Authorization` already, or that
    another door has seen to, is left alone.
    """

    def __init__(self, inner: BaseAdapter, auth: TokenAuth) -> None:
        super().__init__()
        self.inner, self.auth = inner, auth
        part_after(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        part_after(self)

    def send(self, request: PreparedRequest, *args: Any, **options: Any) -> Response:
        """As requests'; the caller's request is not written to."""
        if Marked.on(request) is not None:
            return self.inner.send(request, *args, **options)
        ours = request.copy()
        held = self.auth.attach(ours)
        if held is None:
            return self.inner.send(request, *args, **options)
        response = self.inner.send(ours, *args, **options)

        def again(replay: PreparedRequest, **_: Any) -> Response:
            return self.inner.send(replay, *args, **options)

        return self.auth.follow_up(response, held, again, {})

    def close(self) -> None:
        """Close the inner adapter."""
        self.inner.close()


def mount(session: Session, prefix: str, auth: TokenAuth) -> None:
    """Give an existing session a login for one origin, around the adapter that it uses there.

    Args:
        session: of requests, or a class derived from it; what is mounted there goes on working, inside.
        auth: from `OAuthClient.auth`.
        prefix: as for `Session.mount`; the token goes to exactly its origin.

    Raises:
        ConfigurationError: `prefix` is no absolute URL, or plain http beyond loopback.
    """
    if origin_of(prefix) is None:
        raise ConfigurationError("prefix must be an absolute URL, such as https://api.example.com/")
    guard = Guard.of(prefix, None, auth.guard.allow_http)
    session.mount(prefix, OAuthAdapter(session.get_adapter(prefix), auth.within(guard)))
