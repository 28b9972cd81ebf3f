"""A store whose steps fail on demand."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from oauth_session import (
    StoreError,
)
from oauth_session.stores import MemoryStore
from oauth_session.stores.values import GrantKey, Snapshot, Swapped
from oauth_session.testing import FakeProvider


class Shaky(MemoryStore):
    """A memory store whose steps fail on demand, and are counted."""

    shared = True

    def __init__(self) -> None:
        super().__init__()
        self.load_fails = self.swap_fails = False
        self.fails_after: int | None = None  # swaps from now
        self.loads = self.swaps = 0

    def load(self, key: GrantKey) -> Snapshot:
        self.loads += 1
        if self.load_fails:
            raise StoreError("away")
        return super().load(key)

    def swap(
        self, key: GrantKey, expected: str, revision: str, text: str, mirror: str | None = None, tell: bool = True
    ) -> Swapped:
        self.swaps += 1
        if self.fails_after is not None:
            self.fails_after -= 1
            if self.fails_after < 0:
                self.load_fails = self.swap_fails = True
        if self.swap_fails:
            raise StoreError("away")
        return super().swap(key, expected, revision, text, mirror, tell)


def settings_of(provider: FakeProvider, **more: Any) -> dict[str, Any]:
    return {
        "token_url": provider.token_url,
        "client_id": provider.client_id,
        "client_secret": provider.client_secret,
        "base_url": provider.api_url,
    } | more


def eventually(true: Callable[[], Any], patience: float = 5.0) -> bool:
    end = time.monotonic() + patience
    while not true() and time.monotonic() < end:
        time.sleep(0.02)
    return bool(true())
