"""Keys are changed while many processes work."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import MakeClient, MakeProvider
from support.crowd import crowd, settings_of, storm
from support.raw import raw_store

from oauth_session.sealing import KeyRing, new, new_key


def write(path: Path, *words: str) -> None:
    """In one step, as a program that rotates keys should: nobody reads half a ring."""
    half = path.with_suffix(".new")
    half.write_text("\n".join(words))
    os.replace(half, path)


def rotate_under_load(
    make_provider: MakeProvider, make_client: MakeClient, url: str, path: Path, processes: int, seconds: float
) -> None:
    provider = make_provider(lifetime=1.0, token_latency=0.1)
    oldest, name = new().split()
    write(path, oldest, name)
    client = make_client(provider, store=url, keys=f"file:{path}")
    client.put(provider.url, provider.issue())
    settings = settings_of(provider, url) | {"keys": f"file:{path}"}
    found: list[Any] = []
    workers = threading.Thread(target=lambda: found.extend(crowd(processes, storm, settings, 4, seconds)))
    workers.start()
    while provider.api_requests < 20 * processes and workers.is_alive():
        time.sleep(0.05)
    before, done = oldest, []
    for _ in range(2):
        key = new_key()
        write(path, key, before, name)
        done.append(make_client(provider, store=url, keys=KeyRing(f"file:{path}")).reencrypt())
        time.sleep(seconds / 4)
        write(path, key, name)  # the older one is gone from the ring
        before = key
    assert workers.is_alive(), "the workers were done before the keys were changed: nothing was shown"
    workers.join()
    assert [result.unreadable for result in done] == [0, 0]
    assert [failure for _, failures in found for failure in failures] == []
    assert len(found) == processes
    model = provider.model
    assert model.refresh_calls == model.generations
    assert model.refresh_calls <= 2 * seconds + 3
    assert max(model.presented.values()) == 1
    assert model.grant_alive()
    newest = make_client(provider, store=url, keys=f"{before} {name}")
    assert newest.token(provider.url)
    assert any(KeyRing(f"{before} {name}").writing()[0] in text for text in raw_store(url).records().values())


@pytest.mark.alone
@pytest.mark.timeout(120)
def test_keys_change_under_load(
    make_oauth_provider: MakeProvider, make_client: MakeClient, valkey_url: str, tmp_path: Path
) -> None:
    """3 x 4 workers, two changes of keys and a re-encryption after each: no request fails, no refresh is made twice."""
    rotate_under_load(make_oauth_provider, make_client, valkey_url, tmp_path / "ring", 3, 7.0)


@pytest.mark.soak
@pytest.mark.alone
@pytest.mark.timeout(180)
def test_keys_change_under_heavy_load(
    make_oauth_provider: MakeProvider, make_client: MakeClient, store_url: str, tmp_path: Path
) -> None:
    """8 x 4 workers, two changes of keys and a re-encryption after each: no request fails, no refresh is made twice."""
    rotate_under_load(make_oauth_provider, make_client, store_url, tmp_path / "ring", 8, 20.0)
