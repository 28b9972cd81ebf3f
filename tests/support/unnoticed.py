"""A program that is forked behind Python's back, as uWSGI forks its workers; run as `python unnoticed.py STORE SETTINGS`.

The fork falls into a renewal of the parent's, after requests on a connection that is kept open. Prints what each side saw.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import sys
import threading
import time
from typing import Any

from oauth_session import OAuthClient, RefreshTimeout

fork = ctypes.PyDLL(None).fork  # by the C library: no hook of Python runs, and the GIL is kept, as in uWSGI


def sockets() -> set[str]:
    found = set()
    for entry in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            name = os.readlink(f"/proc/self/fd/{entry}")
            if name.startswith("socket:"):
                found.add(name)
    return found


def main(settings: dict[str, Any], seed: dict[str, Any]) -> None:
    client = OAuthClient(**settings)
    client.put("g", seed)
    session = client.session("g")
    ledger = session.auth.source.ledger
    session.get("me")
    with contextlib.suppress(RefreshTimeout):
        client.refresh("g", timeout=0.2)
    held = sockets()
    under_way = any(thread.name == "oauth-session-refresh" for thread in threading.enumerate())
    reader, writer = os.pipe()
    pid = fork()
    if pid == 0:
        begin = time.monotonic()
        try:
            status: Any = session.get("me").status_code
            refreshed = client.refresh("g", timeout=20.0).access_token != seed["access_token"]
        except Exception as error:
            status, refreshed = f"{type(error).__name__}: {error}", False
        end = time.monotonic() + (5 if ledger.store.name == "redis" else 0)
        while not ledger.store.is_told(ledger.key) and time.monotonic() < end:
            time.sleep(0.05)
        said = {
            "status": status,
            "refreshed": refreshed,
            "shared": len(held & sockets() - {name for name in held if not name}),
            "told": ledger.store.is_told(ledger.key),
            "seconds": time.monotonic() - begin,
        }
        os.write(writer, json.dumps(said).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        child = json.loads(pipe.read() or "{}")
    os.waitpid(pid, 0)
    said = {"child": child, "status": session.get("me").status_code, "under_way": under_way, "held": len(held)}
    client.token("g")
    print(json.dumps(said))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), json.loads(sys.argv[2]))
