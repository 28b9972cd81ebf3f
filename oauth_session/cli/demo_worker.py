"""One process of the demo: threads that share a login and call the API until the time is over."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.queues import Queue
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import requests

from ..session import OAuthSession


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker does; it travels to another process.

    Attributes:
        store: a store's URL, or for the naive pattern the path of a JSON file that all workers share.
    """

    api_url: str
    token_url: str
    client_id: str
    client_secret: str
    grant_id: str
    store: str
    threads: int
    seconds: float
    naive: bool


@dataclass(slots=True)
class Tally:
    """What the threads of one process saw; latencies in seconds."""

    failed: int
    latencies: list[float]
    errors: dict[str, int]


def work(job: Job, start: Barrier, done: Synchronized[int], results: Queue[Tally]) -> None:
    """Run the threads of one process; `done` counts finished requests for the progress display."""
    session = _naive(job) if job.naive else _ours(job)
    tally, lock = Tally(0, [], {}), threading.Lock()
    start.wait()
    end = time.monotonic() + job.seconds
    threads = [threading.Thread(target=_call, args=(session, job, end, tally, lock, done)) for _ in range(job.threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    results.put(tally)


def _call(
    session: requests.Session, job: Job, end: float, tally: Tally, lock: threading.Lock, done: Synchronized[int]
) -> None:
    failed, latencies, errors, told = 0, [], dict[str, int](), 0
    while time.monotonic() < end:
        began = time.perf_counter()
        try:
            response = session.get(job.api_url + "work")
            problem = "" if response.ok else f"HTTP {response.status_code}"
        except requests.RequestException as error:
            problem = type(error).__name__
        latencies.append(time.perf_counter() - began)
        if problem:
            failed += 1
            errors[problem] = errors.get(problem, 0) + 1
        if len(latencies) - told >= 20:
            with done.get_lock():
                done.value += len(latencies) - told
            told = len(latencies)
    with lock:
        tally.failed += failed
        tally.latencies += latencies
        for name, count in errors.items():
            tally.errors[name] = tally.errors.get(name, 0) + count


def _ours(job: Job) -> requests.Session:
    return OAuthSession(
        base_url=job.api_url,
        token_url=job.token_url,
        client_id=job.client_id,
        client_secret=job.client_secret,
        grant_id=job.grant_id,
        store=job.store,
    )


def _naive(job: Job) -> requests.Session:
    """The interceptor pattern as people write it: read the pair for each request, on 401 or 403 refresh and retry."""
    session, file = requests.Session(), Path(job.store)

    def read() -> dict[str, Any]:
        pair: dict[str, Any] = json.loads(file.read_text())
        return pair

    def attach(request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {read()['access_token']}"
        request.register_hook("response", _retry_once(job, session, file, read))
        return request

    session.auth = attach
    return session


def _retry_once(
    job: Job, session: requests.Session, file: Path, read: Callable[[], dict[str, Any]]
) -> Callable[..., requests.Response]:
    def on_response(response: requests.Response, **options: Any) -> requests.Response:
        if response.status_code not in (401, 403):
            return response
        form = {"grant_type": "refresh_token", "refresh_token": read()["refresh_token"]}
        answer = requests.post(
            job.token_url, data=form | {"client_id": job.client_id, "client_secret": job.client_secret}
        )
        if not answer.ok:
            return response
        fresh = file.with_suffix(f".{os.getpid()}.{threading.get_ident()}")
        fresh.write_text(answer.text)
        fresh.replace(file)
        _ = response.content
        again = response.request.copy()
        again.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        return session.get_adapter(again.url or "").send(again, **options)

    return on_response
