"""Places where a program stands still between two requests: a thread that is left there freezes in the middle of its work.

A renewal in advance is begun by a request that does not wait for it. Frozen between the provider's answer and the commit,
it would lose its claim, and the pair with it where nothing is forgiven. So there the request waits.
"""

from __future__ import annotations

import os
import sys

from .events import Listeners, NoThreads
from .telling import tell_once


def stands_still(listeners: Listeners) -> bool:
    """Whether threads stop here once a request is answered; what can be helped is told, once per process."""
    uwsgi = sys.modules.get("uwsgi")  # there, and only there, inside of uWSGI
    if uwsgi is not None and getattr(uwsgi, "has_threads", 1) == 0:
        says = "uWSGI runs no threads between two requests, so renewals in advance make theirs wait: set enable-threads"
        tell_once(listeners, NoThreads(reason=says))
        return True
    return "AWS_LAMBDA_RUNTIME_API" in os.environ
