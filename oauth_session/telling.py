"""Events on their way to the log and to callbacks. Neither can break a request; no callback can hold it up for long."""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Sequence
from contextvars import copy_context
from typing import Any

from .child import at_birth
from .errors import ConfigurationError
from .events import Event, Listener, Listeners

PATIENCE = 0.2  # seconds that a request waits for a callback; most take a thousandth of that
LATE_MOST = 8  # calls of one callback that have not come back; further events are not told to it

_log = logging.getLogger("oauth_session")
_log.addHandler(logging.NullHandler())  # quiet until a program says where its log goes

_lock = threading.Lock()
_late: Counter[int] = Counter()  # callback -> calls that have not come back within the patience
_told: set[str] = set()


def listeners_of(given: Listener | Sequence[Listener] | None) -> Listeners:
    """One callback, several, or none, as they were given.

    Raises:
        ConfigurationError: one of them cannot be called.
    """
    found = () if given is None else (given,) if callable(given) or not isinstance(given, Sequence) else tuple(given)
    if not all(callable(one) for one in found):
        raise ConfigurationError("on_event must be a callable, or a list of them")
    return found


def say(level: int, text: str, *args: object, **more: Any) -> None:
    """A line in the log. A handler or a filter of the program's that raises loses it, and no more than that.

    It is called between the provider's answer and the commit, too: what it raised would cost the grant.
    """
    try:
        _log.log(level, text, *args, **more)
    except Exception:
        if logging.raiseExceptions and sys.stderr is not None:  # as logging does with a handler's own trouble
            traceback.print_exc()


def tell(listeners: Listeners, event: Event) -> None:
    """Log the event and hand it to each callback, in order.

    A callback runs on a thread of its own, in the context of who tells, which waits for it for a moment: what it does at
    once is done when the request goes on, and one that hangs is left behind. What it raises is logged.
    """
    level = event.severity
    if _log.isEnabledFor(level):
        fields = {f"oauth_{name}": getattr(event, name) for name in event.__dataclass_fields__}
        words = (event.name, event.grant, event.outcome, event.origin, event.reason)
        say(level, "%s", " ".join(filter(None, words)), extra={"oauth_event": event.name, **fields})
    for listener in listeners:
        _hand(listener, event)


def tell_once(listeners: Listeners, event: Event) -> None:
    """As `tell`, for events of which one per process is enough."""
    if event.name not in _told:
        _told.add(event.name)
        tell(listeners, event)


class _Call:
    """One call of a callback, and whether it is still waited for."""

    def __init__(self, listener: Listener, event: Event, is_late: bool) -> None:
        self._listener, self._event, self._context = listener, event, copy_context()
        self._done, self._is_late = threading.Event(), is_late

    def run(self) -> None:
        try:
            self._context.run(self._listener, self._event)
        except BaseException:
            say(logging.ERROR, "the on_event callback raised", exc_info=True)
        finally:
            self._done.set()
            with _lock:
                if self._is_late:
                    _late[id(self._listener)] -= 1

    def wait(self) -> None:
        """For a moment. A callback that is late is known as such until it comes back."""
        if self._is_late or self._done.wait(PATIENCE):
            return
        with _lock:
            self._is_late = not self._done.is_set()
            if not self._is_late:
                return
            _late[id(self._listener)] += 1
        late = "the on_event callback has not come back within %g s: nobody waits for it any more"
        say(logging.WARNING, late, PATIENCE)


def _hand(listener: Listener, event: Event) -> None:
    with _lock:
        late = _late[id(listener)]
        if late >= LATE_MOST:
            return
        if late:  # the next one counts from its beginning: nobody waits for it
            _late[id(listener)] += 1
    call = _Call(listener, event, is_late=bool(late))
    try:
        threading.Thread(target=call.run, name="oauth-session-event", daemon=True).start()
    except RuntimeError:  # the interpreter is ending, and starts no thread
        call.run()
    call.wait()


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()
    _late.clear()  # those threads are not here


at_birth(_after_fork)
