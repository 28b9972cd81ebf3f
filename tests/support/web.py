"""WSGI servers that run a page's program, and callers that meet at an expiry."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

import requests

from oauth_session import GrantStatus, OAuthClient
from oauth_session.testing import FakeProvider

from .servers import Server, free_port
from .snippets import write_files

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "where-it-runs.rst"
BIN = Path(sys.executable).parent
GRANT = "customer-42"


class Site:
    """The page's files in a folder, with a login in the store.

    Attributes:
        env: for programs that are started there.
    """

    def __init__(self, folder: Path, provider: FakeProvider, store: str) -> None:
        self.folder, self.provider, self.store = folder, provider, store
        write_files(PAGE, folder, provider, store)
        self.env = {"APP_SECRET": str(provider.client_secret), "PYTHONPATH": str(folder)}
        self.client = OAuthClient(
            token_url=provider.token_url,
            client_id=provider.client_id,
            client_secret=provider.client_secret,
            base_url=provider.api_url,
            store=store,
        )
        self.client.put(GRANT, provider.issue())

    def change(self, name: str, *pairs: tuple[str, str]) -> None:
        """Put other words into a file."""
        text = (self.folder / name).read_text()
        for old, new in pairs:
            assert old in text, (name, old)
            text = text.replace(old, new)
        (self.folder / name).write_text(text)

    def gunicorn(self, *args: str) -> Server:
        port = free_port()
        return self._serve([str(BIN / "gunicorn"), "-b", f"127.0.0.1:{port}", "--access-logfile=-", *args], port)

    def uwsgi(self, *args: str, binary: Path = BIN / "uwsgi") -> Server:
        port = free_port()
        command = [str(binary), "--ini", "uwsgi.ini", "--http-socket", f"127.0.0.1:{port}", "--virtualenv", sys.prefix]
        # a worker that was forked in the middle of a renewal, unnoticed, ends by uWSGI's patience only
        return self._serve([*command, "--no-orphans", "--worker-reload-mercy", "2", *args], port)

    def log(self) -> str:
        return (self.folder / "server.log").read_text(errors="replace")

    def _serve(self, command: list[str], port: int) -> Server:
        return Server(command, port, env=self.env, cwd=self.folder, log=self.folder / "server.log")

    def generation(self) -> int:
        """Of what is stored."""
        return self._status().generation

    def _status(self) -> GrantStatus:
        (status,) = [each for each in self.client.grants()[0] if each.grant_id == GRANT]
        return status

    def holder(self) -> int:
        """The process that refreshes now; 0: none."""
        status = self._status()
        return int(status.claimed_by.rpartition(":")[2].partition(".")[0] or 0)

    def alive(self) -> bool:
        """Whether the grant can be refreshed once more."""
        for _ in range(2):  # the first may find what others have stored
            self.client.refresh(GRANT)
        return self.client.session(GRANT).get("me").status_code == 200 and self.provider.model.grant_alive()


def calls(server: Server, count: int = 24, threads: int = 8) -> list[Any]:
    """What so many requests brought: statuses, and names of errors."""
    found: list[Any] = []

    def call() -> None:
        for _ in range(count // threads):
            try:
                headers = {"Connection": "close"}
                found.append(requests.get(f"http://127.0.0.1:{server.port}/", headers=headers, timeout=30).status_code)
            except requests.RequestException as error:
                found.append(type(error).__name__)

    crowd = [threading.Thread(target=call) for _ in range(threads)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    return found
