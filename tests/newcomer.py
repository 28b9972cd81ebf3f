"""The first five minutes of somebody new, timed: run as ``tox -e path WHEEL``; without one, the checkout is built.

A fresh environment, ``pip install`` with ``[cli]``, a provider on this machine, a login with a browser that clicks Allow,
the first call, two processes that meet an expired token, and one of two killed in the middle of a refresh whose refresh
token the provider has already spent. Each step is the command that a person types.
"""

from __future__ import annotations

import contextlib
import html
import json
import os
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
import venv
from collections.abc import Iterator
from pathlib import Path

LIFETIME, LATENCY = 4.0, 2.0  # seconds, of an access token and of the token endpoint
SECONDS = 60.0  # that any step may take, but for pip
ENOUGH = 300.0  # five minutes


class Newcomer:
    """Types commands and looks at the clock."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        self.folder, self.wheel, self.bin = folder, wheel, folder / "venv" / "bin"
        self.began = time.monotonic()
        self.command = self.bin / "oauth-session"
        unknown = ("OAUTH_SESSION_", "PYTHONPATH")  # a newcomer has set nothing yet
        self.env = {name: value for name, value in os.environ.items() if not name.startswith(unknown)}
        self.env |= {
            "BROWSER": f"{shlex.quote(sys.executable)} {shlex.quote(__file__)} --browser %s &",
            "OAUTH_SESSION_CONFIG": "demo.toml",
        }

    def start(self, *args: object) -> subprocess.Popen[str]:
        """Without waiting."""
        pipe = subprocess.PIPE
        texts = [str(part) for part in args]
        return subprocess.Popen(texts, stdout=pipe, stderr=pipe, text=True, env=self.env, cwd=self.folder)

    def run(self, *args: object, seconds: float = SECONDS) -> str:
        """Its output; it has to succeed."""
        return self.ended(self.start(*args), seconds)

    def ended(self, process: subprocess.Popen[str], seconds: float = SECONDS) -> str:
        """The output of a command that was started."""
        with process:
            try:
                out, err = process.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        if process.returncode:
            sys.exit(f"{process.args} ended with {process.returncode}\n{out}\n{err}")
        return out

    @contextlib.contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Says how long it took."""
        began = time.monotonic()
        yield
        print(f"{time.monotonic() - began:7.1f} s  {what}", flush=True)

    def record(self) -> dict[str, object]:
        """The grant's record, as docs/record.rst has it; read, and nothing else."""
        with contextlib.closing(sqlite3.connect(f"{(self.folder / 'demo.db').as_uri()}?mode=ro", uri=True)) as store:
            return json.loads(store.execute("SELECT record FROM grants").fetchone()[0])

    def path(self) -> None:
        with self.step("python3 -m venv venv"):
            venv.create(self.folder / "venv", with_pip=True)
        with self.step("pip install 'oauth-session[cli]'"):
            self.run(self.bin / "pip", "install", "-q", f"{self.wheel}[cli]", seconds=ENOUGH)
        with self.step("oauth-session demo --serve demo.toml"):
            serve = (self.command, "demo", "--serve", "demo.toml", "--lifetime", LIFETIME, "--latency", LATENCY)
            provider = self.start(*serve)
            until(lambda: (self.folder / "demo.toml").exists(), "the provider's settings")
        try:
            self.logged_in()
        finally:
            provider.send_signal(signal.SIGINT)
            told, _ = provider.communicate(timeout=SECONDS)
        self.judge(told)

    def logged_in(self) -> None:
        with self.step("oauth-session login"):
            self.run(self.command, "login")
        with self.step("oauth-session request GET me"):
            self.first_call()
        with self.step("(the access token expires)"):
            time.sleep(LIFETIME)
        with self.step("two processes at once: one refresh"):
            both = [self.start(self.command, "request", "GET", "me") for _ in range(2)]
            seen = {json.loads(self.ended(one))["token"] for one in both}
            expect(len(seen), 1, "tokens that two processes sent")
            expect(self.record()["generation"], 1, "refreshes")
        with self.step("(the access token expires)"):
            time.sleep(LIFETIME)
        with self.step("kill -9 in the middle of a refresh; the other one goes on"):
            doomed = self.start(self.command, "request", "GET", "me")
            until(lambda: "attempt" in self.record(), "a refresh")
            other = self.start(self.command, "request", "GET", "me")
            time.sleep(LATENCY * 0.75)  # the provider has rotated by half of it, and answers at its end
            doomed.kill()
            expect(doomed.wait(SECONDS), -signal.SIGKILL, "end of the one that was killed")
            doomed.communicate()
            expect(json.loads(self.ended(other))["path"], "/api/me", "answer to the other")
        with self.step("oauth-session status: still logged in"):
            (grant,) = json.loads(self.run(self.command, "status", "--json"))
            expect((grant["state"], grant["generation"], grant["failures"]), ("live", 2, 0), "state of the grant")
        with self.step("oauth-session request GET me, once more"):
            self.first_call()

    def first_call(self) -> None:
        expect(json.loads(self.run(self.command, "request", "GET", "me"))["path"], "/api/me", "answer of the API")

    def judge(self, told: str) -> None:
        """What the provider says of it, and the clock."""
        refreshes = re.findall(r"^refresh_token (\w+): (\d+)$", told, re.MULTILINE)
        expect({status for _, status in refreshes}, {"200"}, "answers to refreshes")
        first, killed, again = (token for token, _ in refreshes[:3])
        expect(killed, again, "refresh token that the other one presented")  # so it had arrived before the kill
        expect(first != killed, True, "rotation")
        total = time.monotonic() - self.began
        print(f"{total:7.1f} s  in all; refresh token {killed} was presented twice, the second time by the survivor")
        expect(total < ENOUGH, True, f"less than {ENOUGH:g} s")


def until(there, what: str) -> None:
    """Wait for it."""
    end = time.monotonic() + SECONDS
    while not there():
        if time.monotonic() > end:
            sys.exit(f"{what} did not come within {SECONDS:g} s")
        time.sleep(0.05)


def expect(found: object, wanted: object, what: str) -> None:
    if found != wanted:
        sys.exit(f"{what}: {found!r}, not {wanted!r}")


def allow(url: str) -> None:
    """The browser: opens the page, clicks Allow, and follows where that leads."""
    with urllib.request.urlopen(url, timeout=SECONDS) as page:
        fields = re.findall(r'<input[^>]* name="([^"]+)" value="([^"]*)">', page.read().decode())
    form = {name: html.unescape(value) for name, value in fields} | {"decision": "allow"}
    target = urllib.parse.urljoin(url, "/authorize")
    with urllib.request.urlopen(target, urllib.parse.urlencode(form).encode(), timeout=SECONDS) as last:
        assert b"You are logged in" in last.read()


def main(*args: str) -> None:
    if args[:1] == ("--browser",):
        allow(args[1])
        return
    with tempfile.TemporaryDirectory(prefix="newcomer-") as folder:
        if args:
            wheel = Path(args[0]).resolve()
        else:
            built = Path(folder, "dist")
            command = [sys.executable, "-m", "build", "--outdir", str(built), str(Path(__file__).parent.parent)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            (wheel,) = built.glob("*.whl")
        Newcomer(Path(folder), wheel).path()


if __name__ == "__main__":
    main(*sys.argv[1:])
