"""Many processes and threads that call an API all the time, while a test does things to their store."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Self

from oauth_session import InvalidGrant, OAuthClient, OAuthSessionError, RefreshOutcomeUnknown
from oauth_session.policy import FRESHNESS
from oauth_session.testing import FakeProvider

SHORT, LONG = 1.5, 3600.0  # lifetimes, in seconds
START = 60.0  # seconds that the processes may take to start
PATIENCE = 25.0  # seconds after the end of a fault in which everything is well again
STALE = FRESHNESS + 1.5  # until then a login elsewhere is known everywhere, told or not
BLOCKED = 5.0  # no call is held up by the store for longer
NOISE = 1.0  # seconds that a busy machine may add to that


class Call(NamedTuple):
    """A call that was slow or brought no 200. Times are of the machine's one monotonic clock."""

    grant: str
    began: float
    ended: float
    what: str


class Window(NamedTuple):
    """One fault, from its beginning until a refresh was made after its end."""

    name: str
    began: float
    ended: float
    recovered: float
    refreshes: int
    generations: int


class Siege:
    """Workers on five grants of a strict provider, one of them with a short token, for as long as it is open.

    ``short``: expires all the time. ``valid``: has a token that outlives everything. ``replaced`` and ``ended``: the test
    logs in again and logs out, in each fault.
    """

    GRANTS = ("short", "valid", "replaced", "ended")

    def __init__(self, provider: FakeProvider, url: str, processes: int, threads: int, **settings: Any) -> None:
        self.provider, self.windows = provider, list[Window]()
        self._settings = settings | {
            "base_url": provider.api_url,
            "token_url": provider.token_url,
            "client_id": provider.client_id,
            "client_secret": provider.client_secret,
            "store": url,
        }
        self.client = OAuthClient(**self._settings)
        self.families: dict[str, int] = {}
        for grant in self.GRANTS:
            self.login(grant)
        self._context = multiprocessing.get_context("spawn")
        self._stop, self._results = self._context.Event(), self._context.Queue()
        self._ready = self._context.Barrier(processes + 1)
        arguments = (self._settings, threads, self._ready, self._stop, self._results)
        self._processes = [self._context.Process(target=_work, args=arguments) for _ in range(processes)]

    def login(self, grant: str) -> None:
        """A resource owner logs in, and the token is stored, as soon as the store is there."""
        with self.provider.lock:
            model = self.provider.model
            model.lifetime = SHORT if grant == "short" else LONG
            pair = model.issue(time.time())
            model.lifetime = SHORT
        _insist(lambda: self.client.put(grant, pair))
        self.families[grant] = self.provider.model.family_of(pair["access_token"]) or 0

    def logout(self, grant: str) -> None:
        """As soon as the store is there."""
        _insist(lambda: self.client.forget(grant))

    def __enter__(self) -> Self:
        for process in self._processes:
            process.start()
        self._ready.wait(START)
        self.calm(1.0)
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            self.calm(STALE)
        self._stop.set()
        self.calls: list[Call] = []
        self.last: list[dict[str, str]] = []
        self.count = 0
        try:
            for _ in self._processes:
                calls, count, last = self._results.get(timeout=START if kind is None else 10)
                self.calls += calls
                self.count += count
                self.last.append(last)
            for process in self._processes:
                process.join(30)
        except Exception:
            if kind is None:
                raise
        finally:
            for process in self._processes:
                if process.is_alive():
                    process.kill()
            self.client.close()

    def calm(self, seconds: float) -> None:
        """Nothing is done to anything."""
        time.sleep(seconds)

    def refreshes(self, more: int) -> bool:
        """Whether that many have been made since the last look."""
        return self.provider.model.generations - self._seen >= more

    @contextmanager
    def fault(self, name: str) -> Iterator[None]:
        """What happens inside is a fault; at its end everything must be well again, and soon."""
        model = self.provider.model
        before, began = (model.refresh_calls, model.generations), time.monotonic()
        changes = threading.Thread(target=self._change)
        changes.start()
        yield
        ended, self._seen = time.monotonic(), model.generations
        while not self.refreshes(2):
            assert time.monotonic() < ended + PATIENCE, f"{name}: no refresh after the fault"
            time.sleep(0.02)
        recovered = time.monotonic()
        changes.join(PATIENCE)
        assert not changes.is_alive(), f"{name}: the store takes no login after the fault"
        self.windows.append(
            Window(name, began, ended, recovered, model.refresh_calls - before[0], model.generations - before[1])
        )

    def _change(self) -> None:
        """A new login and a logout in the midst of the fault."""
        time.sleep(0.5)
        self.login("replaced")
        self.logout("ended")

    def verdict(self) -> list[str]:
        """What is wrong, in words; nothing, if all is as promised."""
        model, wrong = self.provider.model, list[str]()
        if model.refresh_calls != model.generations or model.reuse_incidents or max(model.presented.values()) > 1:
            wrong.append(
                f"{model.refresh_calls} refreshes for {model.generations} generations, {model.reuse_incidents} reuses, "
                f"a token presented {max(model.presented.values())} times"
            )
        wrong += [f"{grant} is lost" for grant in ("short", "valid", "replaced") if not self._alive(grant)]
        for call in self.calls:
            window = next((w for w in self.windows if call.began < w.recovered + 1 and call.ended > w.began), None)
            place = f"{call.grant} {call.what} after {call.ended - call.began:.1f} s"
            place += f", {call.began - window.began:.1f} s into {window.name}" if window else ", without a fault"
            if call.ended - call.began > BLOCKED + NOISE:
                wrong.append(f"blocked: {place}")
            allowed = {"short": _EXCUSED, "ended": {"InvalidGrant", *_EXCUSED}}.get(call.grant, set())
            if call.what != "200" and (window is None or call.what not in allowed) and call.grant != "ended":
                wrong.append(f"failed: {place}")
            if call.grant == "ended" and call.what not in {"200", *allowed}:
                wrong.append(f"failed: {place}")
        for held in self.last:
            for grant in ("short", "valid", "replaced"):
                if self._family(held[grant]) != self.families[grant]:
                    wrong.append(f"{grant} ends with {held[grant][:20]}, which is not of its last login")
            if held["ended"] != "InvalidGrant":
                wrong.append(f"the grant that was logged out is back: {held['ended'][:20]}")
        return sorted(set(wrong))

    def report(self) -> str:
        """One line per fault: how long, the longest call, refreshes and generations, failures by name."""
        lines = []
        for window in self.windows:
            calls = [c for c in self.calls if c.began < window.recovered and c.ended > window.began]
            longest = max((c.ended - c.began for c in calls), default=0.0)
            valid = max((c.ended - c.began for c in calls if c.grant == "valid"), default=0.0)
            failures: dict[str, int] = {}
            for call in calls:
                if call.what != "200" and call.grant == "short":
                    failures[call.what] = failures.get(call.what, 0) + 1
            lines.append(
                f"{window.name:24} {window.ended - window.began:5.1f} s + {window.recovered - window.ended:4.1f} s, "
                f"longest {longest:4.2f} s (valid {valid:4.2f} s), {window.refreshes}/{window.generations} refreshes, "
                f"{failures}"
            )
        return "\n".join([f"{self.count} calls", *lines])

    def _alive(self, grant: str) -> bool:
        return self.provider.model.grant_alive(self.families[grant])

    def _family(self, token: str) -> int | None:
        return self.provider.model.family_of(token)


_EXCUSED = {"401", "StoreError", "TemporarilyUnavailable"}  # an expired token, while nobody can refresh


def _insist(step: Any) -> None:
    end = time.monotonic() + 2 * PATIENCE
    while True:
        try:
            step()
            return
        except OAuthSessionError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def _work(settings: dict[str, Any], threads: int, ready: Any, stop: Any, results: Any) -> None:
    client = OAuthClient(**settings)
    sessions = {grant: client.session(grant) for grant in Siege.GRANTS}
    calls: list[Call] = []
    counts = [0] * threads

    def call(grant: str) -> None:
        began = time.monotonic()
        try:
            what = str(sessions[grant].get("work").status_code)
        except OAuthSessionError as error:
            what = type(error).__name__
        except Exception as error:
            what = repr(error)[:200]
        ended = time.monotonic()
        if what != "200" or ended - began > 0.5:
            calls.append(Call(grant, began, ended, what))

    def run(number: int) -> None:
        while not stop.is_set():
            # each thread has a grant of its own for most of the time: a wait for one must not hide the other
            call(Siege.GRANTS[number % 2])
            if number % 4 > 1:
                call(Siege.GRANTS[number % 4])
            counts[number] += 1
            time.sleep(0.02)

    for session in sessions.values():
        session.get("work")
    crowd = [threading.Thread(target=run, args=(number,)) for number in range(threads)]
    ready.wait(START)
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    results.put((calls, sum(counts), {grant: _held(sessions[grant]) for grant in Siege.GRANTS}))


def _held(session: Any) -> str:
    """The token that a process sends in the end, or why it has none."""
    try:
        response = session.get("work")
        if response.status_code != 200:
            return str(response.status_code)
        return str(response.request.headers["Authorization"].removeprefix("Bearer "))
    except (InvalidGrant, RefreshOutcomeUnknown, OAuthSessionError) as error:
        return type(error).__name__
