"""Programs that are interrupted while a refresh is in flight; run as `python interrupted.py HOW SETTINGS`."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from typing import Any

from oauth_session import OAuthSession, RefreshTimeout


def raise_alarm(*_: Any) -> None:
    raise TimeoutError("the soft limit")


def main(how: str, settings: dict[str, Any]) -> None:
    session = OAuthSession(**settings)
    if how == "keyboard":
        threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        try:
            session.get("me")
        except KeyboardInterrupt:
            print("interrupted", flush=True)
    elif how == "keyboard uncaught":
        threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        session.get("me")
    elif how == "alarm":
        signal.signal(signal.SIGALRM, raise_alarm)
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        try:
            session.get("me")
        except TimeoutError:
            print("interrupted", flush=True)
    elif how == "exit":
        threading.Thread(target=lambda: session.get("me"), daemon=True).start()
        time.sleep(0.5)
        print("interrupted", flush=True)
        sys.exit(0)
    elif how == "deadline":
        try:
            session.auth.source.token(0.3)
        except RefreshTimeout:
            print("interrupted", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
