"""One token request on its way: watched from the first byte to the last, so that it is always known whether it was sent."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, NamedTuple

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

IDLE_MOST = 5.0  # seconds; an older connection may be closed at the other end just as we write


class Answer(NamedTuple):
    """A complete answer of the token endpoint."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        return f"<Answer {self.status}>"


class GateClosed(Exception):
    """Raised before the first byte is written; no OSError, so that urllib3 lets it through."""


class Exchange:
    """One POST on its way. `run` on a thread of its own; `abort` from any other.

    Attributes:
        finished: set when `run` is over.
        answer: the answer, or None.
        sent: whether a byte of the request may have left.
        reason: why there is no answer; no secret.
    """

    def __init__(
        self,
        send: Callable[[], Answer],
        may_write: Callable[[], bool],
        follow: Callable[[int, Mapping[str, str], bytes], object] | None = None,
    ) -> None:
        self.finished = threading.Event()
        self.answer: Answer | None = None
        self.sent = False
        self.refused = False
        self.reason = ""
        self._send, self._may_write, self._follow = send, may_write, follow
        self._aborted = False
        self.connection: HTTPConnection | None = None

    def run(self) -> None:
        """Send and read; never raises."""
        token = current.set(self)
        try:
            self.answer = self._send()  # an answer that is complete after all is never dropped
            if self._follow is not None:
                self._follow(*self.answer)
        except GateClosed:
            self.refused = True
        except Exception as error:
            self.reason = self.reason or reason_of(error)
        finally:
            current.reset(token)
            self.connection = None
            self.finished.set()

    def abort(self, reason: str) -> None:
        """End it: nothing is written from now on, and an answer that still drips in is cut off."""
        self.reason, self._aborted = reason, True
        connection = self.connection
        sock = connection.sock if connection is not None else None
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def at_the_gate(self) -> None:
        """The last look before the first byte: who has lost the claim in the meantime must not write (law 4)."""
        if not self.sent:
            if self._aborted or not self._may_write():
                raise GateClosed
            self.sent = True


def _clocks() -> tuple[float, float]:
    """The larger elapsed time counts: the monotonic clock stands still while a machine is suspended."""
    return time.monotonic(), time.time()


current: ContextVar[Exchange | None] = ContextVar("exchange", default=None)


class _Watched(HTTPConnection):
    """A connection that passes the exchange's gate before it writes, and does not outlive its freshness."""

    _used = 0.0, 0.0
    _connecting = False

    @property
    def is_connected(self) -> bool:
        idle = max(now - used for now, used in zip(_clocks(), self._used, strict=True))
        return super().is_connected and idle < IDLE_MOST

    def connect(self) -> None:
        exchange = current.get()
        if exchange is not None:
            exchange.connection = self
        self._connecting = True  # what is written to a proxy now is no token request
        try:
            super().connect()
        finally:
            self._connecting = False
        self._used = _clocks()

    def send(self, data: Any) -> None:
        exchange = current.get()
        if exchange is not None and not self._connecting:
            exchange.connection = self
            if self.sock is None:
                self.connect()
            exchange.at_the_gate()
        self._used = _clocks()
        super().send(data)


class _WatchedTLS(_Watched, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Watched


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _WatchedTLS


class Adapter(HTTPAdapter):
    """requests' adapter with our connections; its default of no retries is what is wanted."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}
        return manager


def reason_of(error: BaseException) -> str:
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
