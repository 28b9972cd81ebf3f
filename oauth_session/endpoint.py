"""The token endpoint's own session: one POST, sent at most once, that always knows whether it was sent.

Nothing of the user's session comes here (its cookies, hooks, retries, proxies of its own, `.netrc`): a refresh token
that is resent by a transport is a refresh token lost.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import parse_qsl

import requests
from requests.auth import AuthBase
from urllib3.util.retry import Retry

from ._version import __version__
from .errors import ConfigurationError
from .exchange import Adapter, Answer, Exchange, current
from .forks import part_after
from .redaction import hide_in_urllib3_log
from .rules.token_request import TokenRequest

CONNECT_TIMEOUT = 10.0  # seconds; a host that does not answer for longer is down
ANSWER_MOST = 1 << 20  # bytes; no token response is that long


# requests' own, whatever has taken the place of that name: a cache must not answer for the token endpoint
_Session: type[requests.Session] = next(
    kind for kind in requests.Session.__mro__ if kind.__module__ == "requests.sessions"
)


class _Nothing(AuthBase):
    """Explicit authentication that adds nothing: keeps requests from reading `.netrc`."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


class TokenEndpoint:
    """Sends token requests; safe for threads, remade after fork, pickled without its connections.

    Args:
        session: the user's own session for company proxies and certificates; its adapters are used as they are, so
            only the claim's check before sending holds there, not the cut of a dripping answer.
        timeout: seconds for one whole exchange.

    Raises:
        ConfigurationError: the user's session would send a token request again by itself.
    """

    def __init__(self, session: requests.Session | None = None, timeout: float = 30.0) -> None:
        for adapter in session.adapters.values() if session is not None else ():
            if _resends(getattr(adapter, "max_retries", None)):
                raise ConfigurationError(
                    "token_session has an adapter that sends a POST again: a refresh token that is sent twice is lost; "
                    "leave POST out of its Retry(allowed_methods=...), or set max_retries=0"
                )
        self._own, self._timeout = session, timeout
        self._made: tuple[int, requests.Session] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._own, self._timeout)

    @property
    def timeout(self) -> float:
        """Seconds for one whole exchange."""
        return self._timeout

    def begin(self, request: TokenRequest, may_write: Callable[[], bool]) -> Exchange:
        """An exchange that is ready to `run`; `may_write` is asked just before the first byte."""
        return Exchange(lambda: self._post(request), may_write, request.follow)

    def close(self) -> None:
        """Close idle connections; the endpoint stays usable."""
        made, self._made = self._made, None
        if made is not None and made[0] == os.getpid():
            made[1].close()

    def _session(self) -> requests.Session:
        if self._own is not None:
            return self._own
        made = self._made
        if made is None or made[0] != os.getpid():
            self._made = made = (os.getpid(), _plain_session())
        return made[1]

    def _post(self, request: TokenRequest) -> Answer:
        answer = self._once(request)
        while request.again is not None and (following := request.again(*answer)) is not None:
            exchange = current.get()
            if exchange is not None:
                exchange.sent = False  # that one was refused unread: nothing is spent, and the gate is passed once more
            request, answer = following, self._once(following)
        return answer

    def _once(self, request: TokenRequest) -> Answer:
        if self._own is not None:  # its connections do not pass our gate: do it here
            exchange = current.get()
            if exchange is not None:
                exchange.at_the_gate()
        if "?" in request.url:  # some providers want a secret there, and urllib3 logs it
            hide_in_urllib3_log(*(name for name, _ in parse_qsl(request.url.partition("?")[2], keep_blank_values=True)))
        response = self._session().request(
            request.method,
            request.url,
            data=request.body,
            headers=dict(request.headers),
            auth=_Nothing(),
            allow_redirects=False,
            timeout=(min(CONNECT_TIMEOUT, self._timeout), self._timeout),
            stream=True,
            cert=request.cert,
        )
        try:
            body = response.raw.read(ANSWER_MOST + 1, decode_content=True)
            if len(body) <= ANSWER_MOST:
                response.raw.read(1)  # the end of a chunked answer; lets the connection be used again
        finally:
            response.close()
        return Answer(response.status_code, response.headers, body)


def _resends(retry: Any) -> bool:
    """Whether a urllib3 `Retry` repeats a POST that may have arrived; one that could not connect may be repeated."""
    if not isinstance(retry, Retry) or not (retry.allowed_methods is None or "POST" in retry.allowed_methods):
        return False
    return retry.total is not False and any(
        (most is None and bool(retry.total)) or bool(most) for most in (retry.read, retry.other, retry.status)
    )


def _plain_session() -> requests.Session:
    session = _Session()
    session.headers["User-Agent"] = f"oauth-session/{__version__}"
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    for scheme in ("http://", "https://"):
        session.mount(scheme, Adapter(pool_maxsize=10))
    part_after(session)
    return session
