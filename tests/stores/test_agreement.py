"""The stores agree with the simulator's model, command by command."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import redis
from simulator.world import ModelStore

from oauth_session.stores import MemoryStore, RedisStore, SQLiteStore
from oauth_session.stores.values import GrantKey

KEYS = [GrantKey(f"{number:016x}", f"grant-{number}") for number in range(3)]
SEQUENCES, STEPS = 15, 60


class Told:
    """A watcher; stores hold its method weakly."""

    def __init__(self) -> None:
        self.revisions: list[str] = []

    def told(self, revision: str) -> None:
        self.revisions.append(revision)


def test_memory_and_sqlite_agree_with_the_model(tmp_path: Path) -> None:
    """Laws 2, 3 and 12: loads, swaps at right, old and foreign revisions, resends, waits, watches and listings."""
    agree([MemoryStore()] * 2)
    agree([SQLiteStore(tmp_path / "grants.db") for _ in range(2)])


@pytest.mark.parametrize("protocol", [2, 3])
def test_redis_agrees_with_the_model(redis_url: str, protocol: int) -> None:
    """The same on each Redis and Valkey, in both protocols; who watches is told of the last change."""
    with redis.Redis.from_url(redis_url) as plain:
        plain.flushall()
    assert agree([RedisStore(f"{redis_url}?protocol={protocol}") for _ in range(2)])


def agree(handles: list[Any]) -> bool:
    """Two handles on one store, as two processes have, against the model; whether a watcher was told."""
    told, telling = Told(), False
    model: dict[GrantKey, ModelStore] = defaultdict(ModelStore)
    sent: list[tuple[GrantKey, str, str, str]] = []
    named = 0
    for store in handles:
        store.watch(KEYS[0], told.told)
    for sequence in range(SEQUENCES):
        dice = random.Random(sequence)
        for _ in range(STEPS):
            store, key = dice.choice(handles), dice.choice(KEYS)
            there = model[key]
            telling = telling or store.is_told(KEYS[0])
            match dice.choice(("load", "swap", "swap", "old", "foreign", "resend", "resend", "wait", "scan")):
                case "load":
                    assert store.load(key)[:2] == (there.record, there.revision)
                case "wait":
                    asked = dice.choice((there.revision, "another"))
                    began = time.monotonic()
                    store.wait(key, asked, 0.002 if asked == there.revision else 30.0)
                    assert time.monotonic() - began < 20
                case "scan":
                    assert sorted(listing(store)) == sorted(m.record for m in model.values() if m.record is not None)
                case "resend" if sent:
                    again = dice.choice(sent[-4:])
                    check(store, model, *again)
                case how:
                    named += 1
                    mine = f"r{named}"
                    earlier = [expected for k, expected, *_ in sent if k == key] or [""]
                    expected = {"old": dice.choice(earlier), "foreign": "nobody's"}.get(how, there.revision)
                    sent.append((key, expected, mine, f'{{"text":"{mine} ☃"}}'))
                    check(store, model, *sent[-1], tell=dice.random() < 0.5)
    names = {revision for key, _, revision, _ in sent if key == KEYS[0]} | {""}
    assert set(told.revisions) <= names, "told of what was never written"
    last = f"r{named + 1}"
    check(handles[0], model, KEYS[0], model[KEYS[0]].revision, last, "{}")
    end = time.monotonic() + 10
    while telling and last not in told.revisions and time.monotonic() < end:
        time.sleep(0.01)
    for store in handles:
        store.close()
    assert (last in told.revisions) or not telling
    return telling


def check(
    store: Any, model: dict[GrantKey, ModelStore], key: GrantKey, expected: str, mine: str, text: str, tell: bool = True
) -> None:
    """The same swap here and there ends in the same way."""
    done = model[key].swap(expected, mine, text)  # type: ignore[arg-type]
    swapped = store.swap(key, expected, mine, text, "{}", tell)
    assert (swapped.done, *swapped.snapshot[:2]) == (done, model[key].record, model[key].revision)


def listing(store: Any) -> list[str]:
    """All pages, each text once."""
    texts, cursor = store.scan(None, 2)
    while cursor is not None:
        page, cursor = store.scan(cursor, 2)
        texts = texts + page
    return list(dict.fromkeys(texts))
