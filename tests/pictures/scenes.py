"""What is pictured: each command on a provider and stores of this machine, in the state that one wants to see it in."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from support.grants_server import GrantsServer
from support.many import fill, rows
from support.servers import RedisServer, redis_binaries
from support.terminal import Terminal

from oauth_session import OAuthClient
from oauth_session.rules.record import Attempt, Claim
from oauth_session.testing import FakeProvider

from .svg import Cells

WIDTHS = (60, 80, 120, 160)
TESTS = Path(__file__).parent.parent
Take = Callable[[int], tuple[Cells, str]]


class Studio:
    """The servers, the settings, and the commands in their terminals."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._provider = FakeProvider(lifetime=3600)
        self._redis = RedisServer(
            redis_binaries()["valkey"], folder, "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"
        )
        self._server = GrantsServer(folder)
        self._env = {
            "OAUTH_SESSION_CONFIG": str(folder / "services.toml"),
            "XDG_DATA_HOME": str(folder / "data"),
            "HOME": str(folder),
            "APP_SECRET": str(self._provider.client_secret),
            "SHOP_SECRET": "a wrong one",
            "PYTHONPATH": f"{TESTS}:{TESTS.parent}",
            "BROWSER": f"{sys.executable} -m support.pages logs-in {folder}/page %s &",
        }
        self._settle()

    def close(self) -> None:
        self._server.stop()
        self._redis.stop()
        self._provider.close()

    def scenes(self) -> dict[str, Take]:
        """By the names of their files."""
        return {
            "help": self._ran("--help"),
            "demo": self._ran(
                "demo", "--naive", "--workers", "4", "--threads", "4", "--seconds", "4", "--lifetime", "1"
            ),
            "demo-running": self._seen("requests", 2.0, "demo", "--workers", "2", "--seconds", "5"),
            "login": self._ran("login", "-s", "mine"),
            "login-device": self._device,
            "status": self._ran("status", "-s", "desk"),
            "watch": self._seen("renewals/min", 0.5, "watch", "-s", "crm"),
            "doctor": self._ran("doctor", "-s", "crm"),
            "doctor-wrong": self._ran("doctor", "-s", "shop"),
            "providers": self._ran("providers"),
            "provider": self._ran("providers", "xero"),
        }

    def _settle(self) -> None:
        base = f'token_url = "{self._provider.token_url}"\nclient_id = "{self._provider.client_id}"\n'
        base += f'base_url = "{self._provider.api_url}"\n'
        crm, desk = (f"sqlite:///{self._folder}/{name}.db" for name in ("crm", "desk"))
        (self._folder / "services.toml").write_text(
            f'[mine]\nissuer = "{self._server.issuer}"\nclient_id = "public"\nscope = "openid offline_access"\n'
            f'base_url = "{self._server.issuer}"\nparams = {{prompt = "consent"}}\n'
            f'[crm]\n{base}client_secret = "env:APP_SECRET"\nstore = "{crm}"\n'
            f'[desk]\n{base}client_secret = "env:APP_SECRET"\nstore = "{desk}"\n'
            f'[shop]\n{base}client_secret = "env:SHOP_SECRET"\nstore = "{self._redis.url}"\n'
            'rotation = "always"\nreuse_grace = 4\n'
        )
        client, now = self._client(crm), time.time()
        odd: dict[int, dict[str, Any]] = {
            3: {"outcome": "transient", "error": "HTTP 503", "failures": 4, "retry_at": now + 3600},
            5: {"claim": Claim("r@worker-2:4711.1", now + 3600), "attempt": Attempt("x", 1, now)},
            8: {"state": "dead", "outcome": "dead", "error": "invalid_grant"},
            11: {"state": "logged_out", "outcome": "logged_out"},
        }
        fill(client, crm, rows(client, 40, odd))
        some = {2: odd[3], 4: odd[8], 5: odd[11]}
        fill(client, desk, rows(client, 6, some))
        shop = self._client(self._redis.url)
        shop.put("customer-17", self._provider.issue())
        self._provider.revoke()
        with suppress(Exception):
            shop.refresh("customer-17")

    def _client(self, store: str) -> OAuthClient:
        return OAuthClient(
            token_url=self._provider.token_url,
            client_id=self._provider.client_id,
            client_secret=self._provider.client_secret,
            base_url=self._provider.api_url,
            store=store,
        )

    @contextmanager
    def _terminal(self, columns: int, *args: str) -> Iterator[Terminal]:
        with Terminal([sys.executable, "-m", "oauth_session", *args], columns, 24, env=self._env) as terminal:
            yield terminal

    def _ran(self, *args: str) -> Take:
        def take(columns: int) -> tuple[Cells, str]:
            with self._terminal(columns, *args) as terminal:
                terminal.ended(90)
                return terminal.cells(), " ".join(["oauth-session", *args])

        return take

    def _seen(self, word: str, later: float, *args: str) -> Take:
        """While it runs, some seconds after this word stands there."""

        def take(columns: int) -> tuple[Cells, str]:
            with self._terminal(columns, *args) as terminal:
                terminal.wait_for(word)
                time.sleep(later)
                return terminal.cells(), " ".join(["oauth-session", *args])

        return take

    def _device(self, columns: int) -> tuple[Cells, str]:
        with self._terminal(columns, "login", "-s", "mine", "--device") as terminal:
            terminal.wait_for("Waiting")
            return terminal.cells(), "oauth-session login -s mine --device"
