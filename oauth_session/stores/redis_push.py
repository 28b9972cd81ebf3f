"""Being told by Redis: one subscription per process to the shard channels of the grants that it holds.

Following every key by client tracking would bring each process every heartbeat of every grant; a shard brings the commits
of a thousandth of them. Silence is not trusted: the connection is pinged, and while no answer comes, `alive` is False and
everybody polls.
"""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

from redis.exceptions import RedisError

from ..forks import LISTENS, hush_before
from ..policy import FRESHNESS

SHARDS = 1024
PING = 1.0  # seconds between two pings
SILENCE = FRESHNESS / 2  # seconds without any sign of life, after which it is dead
START = 0.5  # seconds that a connection may take until it answers, at the start or after it was lost
RETRY = 0.3  # seconds between two connections: well below the rest of a record that was brought back


def shard_of(prefix: str, digest: str) -> str:
    """The channel on which a grant's commits are told."""
    return f"{prefix}told:{int(digest[:8], 16) % SHARDS}"


class Subscriber:
    """Listens for as long as somebody watches a grant; safe for threads, made anew after a fork.

    Args:
        client: a redis client; its pool gives the connection.
        prefix: of the channels.
    """

    def __init__(self, client: Any, prefix: str) -> None:
        self._client, self._prefix = client, prefix
        self._watchers: dict[str, list[weakref.WeakMethod[Callable[[str], None]]]] = {}
        self._counts: dict[str, int] = {}  # digest -> how often it was told
        self._looked: dict[str, tuple[str, int]] = {}  # digest -> what the last look found, and the count before it
        self._wanted: set[str] = set()
        self.remake()
        hush_before(self)

    def remake(self) -> None:
        """At first, and in a child: the parent's thread is not there, and its connection is left to the parent."""
        self._lock = threading.RLock()  # guards _watchers, _wanted and _thread; a signal handler may fork
        self._told = threading.Condition()
        self._thread: threading.Thread | None = None
        self._hushed = threading.Event()  # the present thread's; set, it ends
        self._pubsub: Any = None
        self._started = self._heard = 0.0
        self._subscribed: frozenset[str] = frozenset()

    def watch(self, digest: str, told: Callable[[str], None]) -> None:
        """Call the bound method `told` with the revision after each commit of this grant, for as long as its object lives."""
        with self._lock:
            self._watchers.setdefault(digest, []).append(weakref.WeakMethod(told))
            self._wanted.add(shard_of(self._prefix, digest))
        self._listens()

    def _listens(self) -> None:
        """Start the thread, for the first watcher and after a fork."""
        if self._thread is None and self._watchers:
            with self._lock:
                if self._thread is None and self._watchers:
                    self._started, self._hushed = time.monotonic(), threading.Event()
                    self._wanted |= {shard_of(self._prefix, digest) for digest in self._watchers}
                    self._thread = threading.Thread(
                        target=self._listen, args=(self._hushed,), name=LISTENS, daemon=True
                    )
                    self._thread.start()

    def hush(self) -> None:
        """Before a fork: let the thread end, at once, and idle connections; whoever needs them next opens others."""
        with self._lock:
            self._thread, self._heard, self._subscribed = None, 0.0, frozenset()
        self._hushed.set()
        sock = getattr(getattr(self._pubsub, "connection", None), "_sock", None)
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)  # wakes it
        nodes = self._client.get_nodes() if hasattr(self._client, "get_nodes") else [self._client]
        for client in (getattr(node, "redis_connection", node) for node in nodes):
            if client is not None:
                client.connection_pool.disconnect(inuse_connections=False)

    def alive(self, digest: str) -> bool:
        """Whether a commit of this grant would be told: subscribed, and the connection has answered lately."""
        self._listens()
        return time.monotonic() - self._heard < SILENCE and shard_of(self._prefix, digest) in self._subscribed

    def hears(self) -> bool:
        """Whether the connection has answered lately; after its start, or while it is made anew, it is given a moment."""
        self._listens()
        with self._told:
            return self._told.wait_for(
                lambda: time.monotonic() - self._heard < SILENCE, max(0.0, self._started + START - time.monotonic())
            )

    def count(self, digest: str) -> int:
        """How often the grant was told so far; asked before each look at it."""
        return self._counts.get(digest, 0)

    def looked(self, digest: str, revision: str, count: int) -> None:
        """A look that began at `count` has found this revision."""
        if digest in self._watchers:
            self._looked[digest] = revision, count

    def wait(self, digest: str, revision: str, timeout: float) -> bool:
        """Until a commit was told since the look that found this revision, at most `timeout` seconds; whether one was.

        Another thread may have looked since: then the revision is another already. Without any look it may be.
        """
        with self._told:
            found, count = self._looked.get(digest, ("", -1))
            return found != revision or self._told.wait_for(lambda: self.count(digest) != count, timeout)

    def stop(self) -> None:
        """Forget all watchers; the thread ends soon."""
        with self._lock:
            self._watchers.clear()

    def _listen(self, hushed: threading.Event) -> None:
        while not hushed.is_set() and self._still_wanted():
            # AttributeError: somebody closed the client, and redis-py reads on from a buffer that is None
            with contextlib.suppress(RedisError, OSError, ValueError, AttributeError), self._connect() as pubsub:
                self._pubsub = pubsub
                self._follow(pubsub, hushed)
            if hushed.is_set() or not self._still_wanted():
                return
            self._subscribed = frozenset()
            hushed.wait(RETRY)
            if self._heard:  # not where it was refused from the first, as by an ACL
                self._started = time.monotonic()

    def _connect(self) -> Any:
        """In a Cluster any node tells what is published at another; by itself redis-py would insist on one that may be dead."""
        nodes = self._client.get_primaries() if hasattr(self._client, "get_primaries") else ()
        return self._client.pubsub(node=random.choice(nodes)) if nodes else self._client.pubsub()

    def _follow(self, pubsub: Any, hushed: threading.Event) -> None:
        subscribed: set[str] = set()
        began = pinged = time.monotonic()
        counted = 0.0
        while not hushed.is_set():
            if time.monotonic() - counted >= 0.2:  # not for each message: there may be many watchers, and many messages
                if not self._still_wanted():
                    return
                counted = time.monotonic()
            fresh = self._wanted - subscribed
            if fresh:
                pubsub.subscribe(*fresh)
                subscribed |= fresh
            stale = subscribed - self._wanted
            if stale:
                self._subscribed -= stale  # before a watcher that comes back could believe that it is told
                pubsub.unsubscribe(*stale)
                subscribed -= stale
            message = pubsub.get_message(timeout=0.2 if subscribed != self._subscribed else PING / 2)
            if hushed.is_set():
                return
            now = time.monotonic()
            if message is not None:
                self._hear(message)
                with self._told:
                    self._heard = now
                    self._told.notify_all()
            elif now - max(self._heard, began) > SILENCE:  # also where not even the first answer comes
                return
            if now - pinged >= PING and subscribed:
                pubsub.ping()
                pinged = now

    def _hear(self, message: dict[str, Any]) -> None:
        channel = _text(message.get("channel"))
        if message["type"] == "subscribe":
            self._subscribed |= {channel}
            with self._lock:  # others begin to watch meanwhile
                waiting = [digest for digest in self._watchers if shard_of(self._prefix, digest) == channel]
            for digest in waiting:
                self._tell(digest, "")  # what was committed before we listened was not told
        elif message["type"] == "unsubscribe":  # the answer to an earlier subscription may have come after we had asked
            self._subscribed -= {channel}
        elif message["type"] == "message":
            digest, _, revision = _text(message.get("data")).partition(" ")
            if digest in self._watchers:
                self._tell(digest, revision)

    def _tell(self, digest: str, revision: str) -> None:
        with self._told:
            self._counts[digest] = self._counts.get(digest, 0) + 1
            self._told.notify_all()
        for watcher in list(self._watchers.get(digest, ())):
            told = watcher()
            if told is not None:
                told(revision)

    def _still_wanted(self) -> bool:
        """Forget watchers that are gone; without any, the thread ends, and whoever watches next starts another."""
        with self._lock:
            known = len(self._watchers)
            for digest, watchers in list(self._watchers.items()):
                watchers[:] = [watcher for watcher in watchers if watcher() is not None]
                if not watchers:
                    del self._watchers[digest]
                    for each in (self._counts, self._looked):
                        each.pop(digest, None)
            if len(self._watchers) != known:  # who goes through many grants would hear of all others in the end
                self._wanted = {shard_of(self._prefix, digest) for digest in self._watchers}
            if self._thread is not threading.current_thread():
                return False
            if self._watchers:
                return True
            self._wanted.clear()
            self._thread, self._subscribed = None, frozenset()
            return False


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
