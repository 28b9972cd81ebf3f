"""A fork: which threads it must not cut off, and which connections the two sides must not share.

Before it, threads of ours are let land. A child has none of them: a renewal that was under way would be lost to it, with a
refresh token in its memory that is spent. And Python, from 3.12 on, warns where a process forks while threads run.
After it, the child closes its copies of the idle connections: two processes that write to one TLS connection break it, and
a server sees no end of a connection that somebody still holds.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from contextlib import suppress
from typing import Any, Protocol

from requests import Session
from requests.adapters import BaseAdapter

from .child import at_birth
from .policy import FORK_PATIENCE

OURS = "oauth-session-"  # what the names of our threads begin with
LISTENS = OURS + "push"
TASKS = "/proc/self/task"
COUNT_OUT = 0.01  # seconds


class Listener(Protocol):
    """Has a thread named `LISTENS` that never lands by itself."""

    def hush(self) -> None:
        """Let it end at once; it is started again when it is needed."""

    def remake(self) -> None:
        """In a child: its thread is not here, and what it held is the parent's."""


_listeners: weakref.WeakValueDictionary[int, Listener] = weakref.WeakValueDictionary()
_users: weakref.WeakValueDictionary[int, Session | BaseAdapter] = weakref.WeakValueDictionary()
_left_behind: list[
    Any
] = []  # the parent's pools: to free one takes its locks, which may be held by threads that are gone


def hush_before(listener: Listener) -> None:
    """End this listener before each fork."""
    _listeners[id(listener)] = listener


def part_after(user: Session | BaseAdapter) -> None:
    """In each child, part with the connections of this session or adapter."""
    _users[id(user)] = user


def _before() -> None:
    end = time.monotonic() + FORK_PATIENCE
    _land([thread for thread in _ours() if thread.name != LISTENS], end)  # first: one of them may start a listener
    for listener in list(_listeners.values()):
        with suppress(Exception):  # a fork is none of its business
            listener.hush()
    _land(_ours(), end)
    _count_out()


def _ours() -> list[threading.Thread]:
    me = threading.current_thread()
    return [thread for thread in threading.enumerate() if thread.name.startswith(OURS) and thread is not me]


def _land(threads: list[threading.Thread], end: float) -> None:
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))


def _count_out() -> None:
    """The system counts a thread that has ended for a moment longer; threads that are not Python's cannot be told from it."""
    end = time.monotonic() + COUNT_OUT
    with suppress(OSError):  # no such list: nothing to wait for
        while not {int(task) for task in os.listdir(TASKS)} <= {thread.native_id for thread in threading.enumerate()}:
            if time.monotonic() > end:
                break
            time.sleep(0.0005)


def _after_in_child() -> None:
    for listener in list(_listeners.values()):
        listener.remake()
    for user in list(_users.values()):
        for adapter in list(user.adapters.values()) if hasattr(user, "adapters") else [user]:
            with suppress(AttributeError):  # not requests' own adapter: it has connections of its own, or none
                _part(adapter)


def _part(adapter: Any) -> None:
    while hasattr(adapter, "inner"):
        adapter = adapter.inner
    managers = [adapter.poolmanager, *adapter.proxy_manager.values()]
    adapter.proxy_manager = {}
    adapter.init_poolmanager(adapter._pool_connections, adapter._pool_maxsize, block=adapter._pool_block)
    _left_behind.extend(managers)
    for manager in managers:
        for pool in list(manager.pools._container.values()):
            for connection in list(pool.pool.queue):
                if connection is not None and connection.sock is not None:
                    connection.sock.close()  # this side's copy only: nothing is sent


at_birth(_after_in_child)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before)
