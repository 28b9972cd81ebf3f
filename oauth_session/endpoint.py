"""The token endpoint's own session: one POST, sent at most once, that always knows whether it was sent.

Nothing of the user's session comes here (its cookies, hooks, retries, proxies of its own, `.netrc`): a refresh token
that is resent by a transport is a refresh token lost.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from http.cookiejar import DefaultCookiePolicy
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util.retry import Retry

from ._version import __version__
from .errors import ConfigurationError
from .forks import part_after
from .redaction import hide_in_urllib3_log
from .rules.token_request import TokenRequest

CONNECT_TIMEOUT = 10.0  # seconds; a host that does not answer for longer is down
IDLE_MOST = 5.0  # seconds; an older connection may be closed at the other end just as we write
ANSWER_MOST = 1 << 20  # bytes; no token response is that long


# requests' own, whatever has taken the place of that name: a cache must not answer for the token endpoint
_Session: type[requests.Session] = next(
    kind for kind in requests.Session.__mro__ if kind.__module__ == "requests.sessions"
)


class Answer(NamedTuple):
    """A complete answer of the token endpoint."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        return f"<Answer {self.status}>"


class _GateClosed(Exception):
    """Raised before the first byte is written; no OSError, so that urllib3 lets it through."""


class Exchange:
    """One POST on its way. `run` on a thread of its own; `abort` from any other.

    Attributes:
        finished: set when `run` is over.
        answer: the answer, or None.
        sent: whether a byte of the request may have left.
        reason: why there is no answer; no secret.
    """

    def __init__(self, send: Callable[[], Answer], may_write: Callable[[], bool]) -> None:
        self.finished = threading.Event()
        self.answer: Answer | None = None
        self.sent = False
        self.refused = False
        self.reason = ""
        self._send, self._may_write = send, may_write
        self._aborted = False
        self._connection: HTTPConnection | None = None

    def run(self) -> None:
        """Send and read; never raises."""
        token = _current.set(self)
        try:
            self.answer = self._send()  # an answer that is complete after all is never dropped
        except _GateClosed:
            self.refused = True
        except Exception as error:
            self.reason = self.reason or _reason(error)
        finally:
            _current.reset(token)
            self._connection = None
            self.finished.set()

    def abort(self, reason: str) -> None:
        """End it: nothing is written from now on, and an answer that still drips in is cut off."""
        self.reason, self._aborted = reason, True
        connection = self._connection
        sock = connection.sock if connection is not None else None
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _pass(self) -> None:
        """The last look before the first byte: who has lost the claim in the meantime must not write (law 4)."""
        if not self.sent:
            if self._aborted or not self._may_write():
                raise _GateClosed
            self.sent = True


_current: ContextVar[Exchange | None] = ContextVar("exchange", default=None)


class _Watched(HTTPConnection):
    """A connection that passes the exchange's gate before it writes, and does not outlive its freshness."""

    _used = 0.0
    _connecting = False

    @property
    def is_connected(self) -> bool:
        return super().is_connected and time.monotonic() - self._used < IDLE_MOST

    def connect(self) -> None:
        exchange = _current.get()
        if exchange is not None:
            exchange._connection = self
        self._connecting = True  # what is written to a proxy now is no token request
        try:
            super().connect()
        finally:
            self._connecting = False
        self._used = time.monotonic()

    def send(self, data: Any) -> None:
        exchange = _current.get()
        if exchange is not None and not self._connecting:
            exchange._connection = self
            if self.sock is None:
                self.connect()
            exchange._pass()
        self._used = time.monotonic()
        super().send(data)


class _WatchedTLS(_Watched, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Watched


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _WatchedTLS


class _Adapter(HTTPAdapter):
    """requests' adapter with our connections; its default of no retries is what is wanted."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}
        return manager


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
        return Exchange(lambda: self._post(request), may_write)

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
            exchange = _current.get()
            if exchange is not None:
                exchange.sent = False  # that one was refused unread: nothing is spent, and the gate is passed once more
            request, answer = following, self._once(following)
        return answer

    def _once(self, request: TokenRequest) -> Answer:
        if self._own is not None:  # its connections do not pass our gate: do it here
            exchange = _current.get()
            if exchange is not None:
                exchange._pass()
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
        session.mount(scheme, _Adapter(pool_maxsize=10))
    part_after(session)
    return session


def _reason(error: BaseException) -> str:
    """What went wrong, in the names of the errors and the system's words: messages may quote URLs and proxies."""
    chain = [error]
    while len(chain) < 8:
        last = chain[-1]
        inner = (last.__cause__, last.__context__, getattr(last, "reason", None), *last.args)
        deeper = next((e for e in inner if isinstance(e, BaseException)), None)
        if deeper is None:
            break
        chain.append(deeper)
    words = [e.strerror for e in chain if isinstance(e, OSError) and e.strerror]
    return f"{type(error).__name__} ({words[-1] if words else type(chain[-1]).__name__})"
