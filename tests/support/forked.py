"""A program that forks again and again while a renewal is under way, run in a process of its own; prints what happened."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
import warnings
from typing import Any

from oauth_session import OAuthClient, RefreshTimeout

PATIENCE = 30.0  # seconds that a child may take


def sockets() -> set[str]:
    """The sockets that this process holds, by the names that the system gives them."""
    found = set()
    for entry in os.listdir("/proc/self/fd"):
        try:
            name = os.readlink(f"/proc/self/fd/{entry}")
        except OSError:
            continue
        if name.startswith("socket:"):
            found.add(name)
    return found


def child_ends(pid: int) -> int:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return -1


def rounds(count: int, grant_id: str, settings: dict[str, Any]) -> dict[str, Any]:
    seed = settings.pop("seed")
    client = OAuthClient(**settings)
    client.put(grant_id, seed)
    session = client.session(grant_id)
    shares = session.auth.source.ledger.store.shared
    said: dict[str, Any] = {"children": [], "parents": [], "under_way": 0, "held": 0}
    said["listens"] = session.auth.source.ledger.store.name == "redis"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(count):
            said["parents"].append(session.get("me").status_code)
            with contextlib.suppress(RefreshTimeout):
                while True:  # the first may find what the last child has brought
                    client.refresh(grant_id, timeout=0.001)
            said["under_way"] += any(thread.name == "oauth-session-refresh" for thread in threading.enumerate())
            held = sockets()
            said["held"] += len(held)
            pid = os.fork()
            if pid == 0:
                code = 99
                try:
                    ok = (
                        session.get("me").ok and (not shares or bool(client.refresh(grant_id))) and session.get("me").ok
                    )
                    code = 10 * len(held & sockets()) + (0 if ok else 1)
                finally:
                    os._exit(code)
            said["parents"].append(session.get("me").status_code)
            said["children"].append(child_ends(pid))
    said["warnings"] = [str(one.message) for one in caught]
    ledger, end = session.auth.source.ledger, time.monotonic() + (10 if said["listens"] else 0)
    while not ledger.store.is_told(ledger.key) and time.monotonic() < end:
        time.sleep(0.05)
    said["told"] = ledger.store.is_told(ledger.key)
    return said


if __name__ == "__main__":
    print(json.dumps(rounds(int(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3]))))
