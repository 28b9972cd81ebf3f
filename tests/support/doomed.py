"""A worker that calls the API until it is killed or its parent goes; run as `python doomed.py SETTINGS`.

A line on standard output for each answer: a status, or an error's name.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from typing import Any

import requests

from oauth_session import OAuthSession


def main(settings: dict[str, Any]) -> None:
    session = OAuthSession(**settings)

    def call() -> None:
        while True:
            try:
                end = str(session.get("work").status_code)
            except requests.RequestException as error:
                end = type(error).__name__
            os.write(1, f"{end}\n".encode())
            time.sleep(0.03)

    for _ in range(2):
        threading.Thread(target=call, daemon=True).start()
    sys.stdin.read()  # until the parent is gone
    os._exit(0)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
