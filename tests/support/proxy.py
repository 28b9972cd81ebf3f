"""A TCP proxy on 127.0.0.1 that can swallow everything, or lose the answers to scripts that were run."""

from __future__ import annotations

import contextlib
import random
import socket
import ssl
import threading


class Proxy:
    """In front of a port; with a context, what comes to it is TLS.

    Attributes:
        swallowing: take everything, also new connections, and pass nothing on in either direction.
        loss: the share of EVALSHA commands that are run and whose answer is lost with the connection.
        lost: how many were.
    """

    def __init__(self, target: int, tls: ssl.SSLContext | None = None) -> None:
        self.target, self.swallowing, self.loss, self.lost = target, False, 0.0, 0
        self._tls, self._random, self._lock = tls, random.Random(1), threading.Lock()
        self._open: set[socket.socket] = set()  # guarded by _lock
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"redis{'s' if self._tls else ''}://127.0.0.1:{self.port}/0"

    def close(self) -> None:
        with self._lock:
            sockets = [self._listener, *self._open]
        for each in sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._thread.join(5)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        ends = [near]
        try:
            near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls:
                ends[0] = near = self._tls.wrap_socket(near, server_side=True)
            far = socket.create_connection(("127.0.0.1", self.target), 5)
            far.settimeout(None)
            far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            ends.append(far)
            with self._lock:
                self._open.update(ends)
            losing = threading.Event()
            back = threading.Thread(target=self._pump, args=(far, near, losing, False), daemon=True)
            back.start()
            self._pump(near, far, losing, True)
            back.join()
        except OSError:
            pass
        finally:
            with self._lock:
                self._open.difference_update(ends)
            for end in ends:
                end.close()

    def _pump(self, source: socket.socket, sink: socket.socket, losing: threading.Event, forward: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 18):
                if self.swallowing:
                    continue
                if forward and b"EVALSHA" in data and self._random.random() < self.loss:
                    losing.set()  # set before it is sent: its answer cannot come first
                elif not forward and losing.is_set():
                    self.lost += 1
                    break
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
