"""A process that notes when each commit reached it, and when each plain message."""

from __future__ import annotations

import threading
import time
from typing import Any

import redis

from oauth_session import OAuthClient

CHANNEL = "raw"


def listen(settings: dict[str, Any], commits: int) -> list[tuple[str, str, float]]:
    """In a process of its own: when each commit is what a request would send, and when each plain message came."""
    heard: list[tuple[str, str, float]] = []
    plain = redis.Redis.from_url(settings["store"])
    pubsub = plain.pubsub(ignore_subscribe_messages=True)
    pubsub.subscribe(CHANNEL)

    def raw() -> None:
        count = 0
        while count < commits:
            message = pubsub.get_message(timeout=1.0)
            if message is not None:
                plain.get("nothing")  # as a process that was told looks at the record
                heard.append(("raw", message["data"].decode(), time.monotonic()))
                count += 1

    settings = dict(settings)
    grant = settings.pop("grant_id")
    client = OAuthClient(**settings)
    source = client.auth(grant).source
    told, wake = source._memory.told, threading.Event()

    class Ear:
        def hear(self, revision: str) -> None:
            told(revision)
            wake.set()

    ear = Ear()
    source.token()
    source.ledger.store.watch(source.ledger.key, ear.hear)
    thread = threading.Thread(target=raw)
    thread.start()
    plain.incr("listening")
    last = source.token().token.access_token
    while thread.is_alive():  # the last plain message comes after the last commit
        wake.wait(0.5)
        wake.clear()
        new = source.token().token.access_token
        if new != last:
            heard.append(("ours", new, time.monotonic()))
            last = new
    return heard
