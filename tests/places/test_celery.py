"""A Celery worker with a prefork pool runs the tasks of the page."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from conftest import MakeProvider
from support.deployments import until
from support.servers import Server
from support.web import BIN, GRANT, Site

from oauth_session.testing import FakeProvider

Start = Callable[..., tuple[Site, Celery]]


@pytest.fixture
def start(tmp_path: Path, valkey_url: str) -> Iterator[Start]:
    """A worker with four children, and a client that sends it tasks."""
    running: list[Any] = []

    def begin(provider: FakeProvider, *changes: tuple[str, str]) -> tuple[Site, Celery]:
        site = Site(tmp_path, provider, valkey_url)
        if changes:
            site.change("tasks.py", *changes)
        sender = Celery("tasks", broker=valkey_url, backend=valkey_url)
        command = [str(BIN / "celery"), "-A", "tasks", "worker", "--pool=prefork", "-c4", "-l", "info"]
        server = Server(
            [*command, "--without-mingle", "--without-gossip"],
            0,
            env=site.env,
            cwd=tmp_path,
            log=tmp_path / "server.log",
            ready=lambda: (tmp_path / "server.log").exists() and " ready." in site.log(),
        )
        running.extend([server, sender])
        return site, sender

    yield begin
    for each in reversed(running):
        each.stop() if isinstance(each, Server) else each.close()


def send(sender: Celery, count: int = 1) -> list[str]:
    return [sender.send_task("tasks.fetch", [GRANT]).id for _ in range(count)]


def results(sender: Celery, tasks: list[str], patience: float = 60.0) -> list[Any]:
    """What the tasks returned, or the name of what they raised."""
    until(
        lambda: all(sender.backend.get_task_meta(task)["status"] in ("SUCCESS", "FAILURE") for task in tasks), patience
    )
    found = [sender.backend.get_task_meta(task)["result"] for task in tasks]
    return [type(each).__name__ if isinstance(each, Exception) else each for each in found]


def test_celery_prefork(provider: FakeProvider, start: Start) -> None:
    """Four children of a prefork pool, made after the client, meet three expiries and refresh three times."""
    site, sender = start(provider)
    for number in range(3):
        assert results(sender, send(sender, 16)) == [200] * 16, site.log()[-3000:]
        provider.expire()
        assert results(sender, send(sender, 16)) == [200] * 16, site.log()[-3000:]
        assert provider.model.refresh_calls == provider.model.generations == number + 1
        time.sleep(2.1)
    assert provider.model.reuse_incidents == 0
    assert site.alive()


def test_celery_soft_limit(make_oauth_provider: MakeProvider, start: Start) -> None:
    """`SoftTimeLimitExceeded` in the middle of a refresh ends the task; the pair is stored, and the next task has it."""
    provider = make_oauth_provider(token_latency=5.0)
    site, sender = start(provider, ("soft_time_limit=60", "soft_time_limit=2"))
    provider.expire()
    assert results(sender, send(sender)) == ["SoftTimeLimitExceeded"]
    assert provider.model.generations == 0, "it was to be cut off in the middle"
    until(lambda: provider.model.generations == 1)
    time.sleep(3.5)  # the answer and the commit
    assert results(sender, send(sender)) == [200]
    assert provider.model.refresh_calls == 1
    assert provider.model.reuse_incidents == 0
    provider.token_latency = 0.0
    assert site.alive()


def test_celery_replaces_its_children(make_oauth_provider: MakeProvider, start: Start) -> None:
    """A child that ends after its task, by `worker_max_tasks_per_child`, lets the refresh land that a soft limit left."""
    provider = make_oauth_provider(token_latency=5.0)
    site, sender = start(provider, ("soft_time_limit=60", "soft_time_limit=2"), ("per_child = 100", "per_child = 1"))
    provider.expire()
    assert results(sender, send(sender)) == ["SoftTimeLimitExceeded"]
    until(lambda: provider.model.generations == 1)
    time.sleep(3.5)
    provider.token_latency = 0.0
    assert results(sender, send(sender, 6)) == [200] * 6, site.log()
    assert provider.model.refresh_calls == provider.model.generations == 1
    assert provider.model.reuse_incidents == 0
    assert site.alive()


def test_celery_child_killed(make_oauth_provider: MakeProvider, start: Start) -> None:
    """A child that is killed in the middle of a refresh: its task is delivered once more, and refreshes within the grace."""
    provider = make_oauth_provider(grace="new_pair", grace_seconds=60.0, token_latency=2.0)
    site, sender = start(provider)
    provider.expire()
    tasks = send(sender)
    until(lambda: provider.token_requests == 1)
    os.kill(site.holder(), signal.SIGKILL)
    assert results(sender, tasks) == [200]
    assert provider.model.refresh_calls == 2
    assert provider.model.reuse_incidents == 0
    provider.token_latency = 0.0
    assert site.alive()
