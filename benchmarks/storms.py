"""What becomes of one grant that many share: an expired token under threads and processes, permissions, bodies."""

from __future__ import annotations

import hashlib
import io
import multiprocessing
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import requests

from oauth_session.testing import FakeProvider

from .peers import LOGINS, PEERS, Setting

SLACK = 90.0
LENGTH = 10_000  # bytes of a body


def setting_of(provider: FakeProvider, store: str, name: str) -> Setting:
    """A new grant of this provider."""
    who = (provider.client_id, provider.client_secret or "")
    return Setting(provider.api_url, provider.token_url, *who, provider.issue(), store, f"{provider.url}/{name}")


def said(call: Callable[[], requests.Response]) -> str:
    """How a call ended."""
    try:
        response = call()
    except Exception as error:  # each library has its own
        return type(error).__name__
    return "ok" if response.ok else f"HTTP {response.status_code}"


def _state(provider: FakeProvider, ends: Counter[str]) -> dict[str, Any]:
    model = provider.model
    return {
        "requests": ends.total(),
        "failed": ends.total() - ends["ok"],
        "ends": dict(ends),
        "token_calls": model.refresh_calls,
        "generations": model.generations,
        "reuse_incidents": model.reuse_incidents,
        "grant_alive": model.grant_alive(),
    }


def threads(store: str, count: int) -> dict[str, Any]:
    """So many threads of one session, released at once on a token that has ended; the clients know its end."""
    found = {}
    for name, make in LOGINS.items():
        with FakeProvider(lifetime=1.0, token_latency=0.1) as provider:
            session = make(setting_of(provider, store, name))
            session.get(provider.api_url + "me")
            time.sleep(1.2)
            start, ends = threading.Barrier(count), Counter[str]()

            def call(session: Any = session, url: str = provider.api_url, start: Any = start, ends: Any = ends) -> None:
                start.wait()
                ends[said(lambda: session.get(url + "me"))] += 1

            crowd = [threading.Thread(target=call) for _ in range(count)]
            for thread in crowd:
                thread.start()
            for thread in crowd:
                thread.join()
            found[name] = _state(provider, ends)
    return found


def _work(name: str, box: Any, count: int, seconds: float, start: Any, results: Any) -> None:
    start.wait(SLACK)
    setting = box.get(timeout=SLACK)
    session = PEERS[name](setting)
    ends: list[tuple[float, str]] = []
    begin = time.monotonic()

    def call() -> None:
        while (now := time.monotonic()) < begin + seconds:
            ends.append((now - begin, said(lambda: session.get(setting.api_url + "work"))))

    crowd = [threading.Thread(target=call) for _ in range(count)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    results.put(ends)


def processes(store: str, count: int, each: int, seconds: float) -> dict[str, Any]:
    """Processes and threads that share one grant of a provider that forgives nothing; its tokens live for a second."""
    found = {}
    context = multiprocessing.get_context("spawn")
    for name in LOGINS:
        with FakeProvider(lifetime=1.0, token_latency=0.1) as provider:
            start, box, results = context.Barrier(count + 1), context.Queue(), context.Queue()
            args = (name, box, each, seconds, start, results)
            crowd = [context.Process(target=_work, args=args, daemon=True) for _ in range(count)]
            for process in crowd:
                process.start()
            start.wait(SLACK)
            setting = setting_of(provider, store, name)  # now, so that its token is new for everybody
            for _ in crowd:
                box.put(setting)
            ends = [end for _ in crowd for end in results.get(timeout=SLACK + seconds)]
            for process in crowd:
                process.join(SLACK)
            state = _state(provider, Counter(end for _, end in ends))
            failures = sorted(at for at, end in ends if end != "ok")
            state["lost_after"] = None if state["grant_alive"] or not failures else round(failures[0], 2)
            state["timeline"] = [  # per half second: answered, failed
                [sum(1 for at, end in ends if int(at * 2) == slot and (end == "ok") is good) for good in (True, False)]
                for slot in range(int(seconds * 2))
            ]
            found[name] = state
    return found


def permissions(store: str, count: int) -> dict[str, Any]:
    """Token calls and API calls for so many requests that are never allowed, with a good token: 401, then 403."""
    found: dict[str, Any] = {}
    for name, make in LOGINS.items():
        found[name] = {}
        for status in (401, 403):
            with FakeProvider(lifetime=3600, token_latency=0.0) as provider:
                provider.forbidden = provider.forbidden._replace(status=status)
                session = make(setting_of(provider, store, f"{name}-{status}"))
                session.get(provider.api_url + "me")
                before = provider.api_requests
                for _ in range(count):
                    said(lambda session=session, url=provider.api_url: session.get(url + "forbidden"))  # type: ignore[misc]
                calls = provider.api_requests - before
                found[name][str(status)] = {"token_calls": provider.model.refresh_calls, "api_calls": calls}
    return found


def _bodies() -> Iterator[tuple[str, Callable[[], dict[str, Any]], str | None]]:
    text = b"0123456789" * (LENGTH // 10)
    digest = hashlib.sha256(text).hexdigest()
    yield "bytes", lambda: {"data": text}, digest
    yield "file", lambda: {"data": io.BytesIO(text)}, digest
    yield "generator", lambda: {"data": (text[i : i + 1000] for i in range(0, len(text), 1000))}, digest
    yield "multipart", lambda: {"files": {"f": ("f.bin", io.BytesIO(text))}}, None


def replays(store: str) -> dict[str, Any]:
    """What the server got in the end, for a body that was sent with a token that had just been revoked."""
    found: dict[str, Any] = {}
    for name, make in LOGINS.items():
        found[name] = {}
        for kind, body, digest in _bodies():
            with FakeProvider(lifetime=3600, token_latency=0.0) as provider:
                session = make(setting_of(provider, store, f"{name}-{kind}"))
                session.get(provider.api_url + "me")
                provider.expire()
                end = said(lambda s=session, p=provider, b=body: s.post(p.api_url + "upload", timeout=5, **b()))  # type: ignore[misc]
                last = [seen for seen in provider.requests if "/upload" in seen.path][-1]
                whole = last.sha256 == digest if digest else last.length > LENGTH
                replayed = "replayed whole" if whole else f"REPLAYED WITH {last.length} OF {LENGTH} BYTES"
                found[name][kind] = replayed if end == "ok" else f"not replayed: {end}"
    return found


def connections(store: str, count: int) -> dict[str, Any]:
    """TCP connections for so many expiries under `stream=True`."""
    found = {}
    for name, make in LOGINS.items():
        with FakeProvider(lifetime=3600, token_latency=0.0) as provider:
            session = make(setting_of(provider, store, f"{name}-streams"))
            good = 0
            for _ in range(count):
                provider.expire()
                try:
                    with session.get(provider.api_url + "me", stream=True) as response:
                        good += response.ok and response.content != b""
                except Exception:  # each library has its own
                    pass
            found[name] = {"api": provider.api_connections, "token": provider.token_connections, "answered": good}
    return found
