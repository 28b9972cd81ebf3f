"""What a forked child does first, whoever forked it.

Python tells of its own forks. uWSGI forks its workers behind Python's back, unless `py-call-uwsgi-fork-hooks` is set, and
what nobody told us of shows in the process id only: a renewal of the parent's would be waited for in vain, its
connections would be shared.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

_steps: list[Callable[[], None]] = []
_lock = threading.Lock()  # of the threads of a child that nobody told, one takes the steps
_pid = os.getpid()


def at_birth(step: Callable[[], None]) -> None:
    """Take this step in each child; in the order in which they were given."""
    _steps.append(step)


def notice() -> None:
    """Take the steps if this process is a child that has not taken them yet. Asked wherever others come in."""
    if os.getpid() != _pid:
        with _lock:
            if os.getpid() != _pid:
                _born()


def _told() -> None:
    global _lock
    _lock = threading.Lock()
    _born()


def _born() -> None:
    global _pid
    for step in _steps:
        step()
    _pid = os.getpid()  # last: until then other threads wait


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_told)
