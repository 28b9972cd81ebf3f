"""`watch` in a real terminal, on real stores, while other processes renew, die and forget."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis
from conftest import MakeProvider
from support.many import fill, rows
from support.servers import RedisServer, redis_binaries
from support.shaky import Shaky
from support.terminal import Terminal

from oauth_session import OAuthClient
from oauth_session.cli.watch import SHARE
from oauth_session.cli.watched import Watched, state_of
from oauth_session.rules.record import Attempt, Claim
from oauth_session.stores import MemoryStore, open_store
from oauth_session.stores.values import GrantKey, Snapshot
from oauth_session.testing import FakeProvider

COMMAND = [sys.executable, "-m", "oauth_session", "watch"]
Watch = Callable[..., Terminal]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[FakeProvider, str], None]:
    """The settings of one service, for the command."""

    def write(provider: FakeProvider, store: str) -> None:
        table = {
            "token_url": provider.token_url,
            "client_id": provider.client_id,
            "client_secret": "env:APP_SECRET",
            "base_url": provider.api_url,
            "store": store,
        }
        lines = "\n".join(f"{name} = {json.dumps(value)}" for name, value in table.items())
        (tmp_path / "services.toml").write_text(f"[mine]\n{lines}\n")
        monkeypatch.setenv("OAUTH_SESSION_CONFIG", str(tmp_path / "services.toml"))
        monkeypatch.setenv("APP_SECRET", str(provider.client_secret))
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))

    return write


@pytest.fixture
def watching(settings: Callable[[FakeProvider, str], None]) -> Iterator[Watch]:
    """The command at work in a terminal of so many columns."""
    started: list[Terminal] = []

    def start(provider: FakeProvider, store: str, *args: str, columns: int = 120, lines: int = 24) -> Terminal:
        settings(provider, store)
        started.append(Terminal([*COMMAND, *args], columns, lines))
        return started[-1]

    yield start
    for one in started:
        one.__exit__()


def client_of(provider: FakeProvider, store: Any) -> OAuthClient:
    return OAuthClient(
        token_url=provider.token_url,
        client_id=provider.client_id,
        client_secret=provider.client_secret,
        store=store,
        base_url=provider.api_url,
    )


RENEW = """
import sys
from oauth_session import OAuthClient
token_url, client_id, secret, api, store = sys.argv[1:]
client = OAuthClient(token_url=token_url, client_id=client_id, client_secret=secret, base_url=api, store=store)
client.refresh("customer-1")
"""


def renewing(provider: FakeProvider, store: str) -> subprocess.Popen[bytes]:
    """A process in the middle of a refresh, for as long as the provider takes."""
    who = [provider.token_url, provider.client_id, str(provider.client_secret), provider.api_url, store]
    return subprocess.Popen([sys.executable, "-c", RENEW, *who])


def line_of(text: str, grant: str) -> str:
    return next((line for line in text.splitlines() if line.startswith(grant)), "")


def test_who_holds_a_claim(make_oauth_provider: MakeProvider, watching: Watch, store_url: str) -> None:
    """A process that renews is named by host and pid until it is done; then its generation and outcome stand there."""
    provider = make_oauth_provider(token_latency=4)
    client_of(provider, store_url).put("customer-1", provider.issue())
    terminal = watching(provider, store_url, "--every", "0.2")
    assert line_of(terminal.wait_for("customer-1", " ok"), "customer-1").endswith(" 0")
    with renewing(provider, store_url) as other:
        line = line_of(terminal.wait_for("1 refreshing"), "customer-1")
        assert re.search(rf"refreshing .*:{other.pid}\b", line), line
        assert other.wait(60) == 0
    line = line_of(terminal.wait_without("refreshing"), "customer-1")
    assert re.search(r"ok +\S+ \w+ +1 +refreshed$", line), line
    assert provider.model.generations == 1


def test_a_holder_that_died(make_oauth_provider: MakeProvider, watching: Watch, store_url: str) -> None:
    """Its claim lapses after the lease, and it is said to be gone, by host and pid."""
    provider = make_oauth_provider(token_latency=60)
    client_of(provider, store_url).put("customer-1", provider.issue())
    terminal = watching(provider, store_url, "--every", "0.2")
    with renewing(provider, store_url) as other:
        terminal.wait_for("1 refreshing")
        other.kill()
    provider.hang_up()
    assert re.search(rf":{other.pid}\S* is gone", terminal.wait_for(" is gone"))


def test_what_is_wrong_comes_first(provider: FakeProvider, watching: Watch, store_url: str) -> None:
    """A dead grant, then a failing one with its error, count and time of the next attempt, then those that are well."""
    client = client_of(provider, store_url)
    client.put("customer-a", provider.issue())
    client.put("customer-z", provider.issue())
    provider.revoke()
    with suppress(Exception):
        client.refresh("customer-z")
    client.put("customer-y", provider.issue())
    provider.fault("503", times=50)
    with suppress(Exception):
        client.refresh("customer-y")
    terminal = watching(provider, store_url)
    text = terminal.wait_for("1 dead", "1 failing", "1 ok")
    order = re.findall(r"^customer-\w", text, re.MULTILINE)
    assert order == ["customer-z", "customer-y", "customer-a"]
    assert re.search(r"dead .*invalid_grant", line_of(text, "customer-z"))
    assert re.search(
        r"failing .*transient temporarily_unavailable \(1x(, again in \d+ s)?\)", line_of(text, "customer-y")
    ), text
    said = terminal.sent.decode()
    assert "at-" not in said and "rt-" not in said and provider.client_secret not in said


def test_a_store_that_goes_away(provider: FakeProvider, watching: Watch, tmp_path: Path) -> None:
    """The error stands there, with the age of what is shown; once the store is back, so is the picture."""
    server = RedisServer(redis_binaries()["valkey"], tmp_path, "--appendonly", "yes")
    try:
        client = client_of(provider, server.url)
        client.put("customer-1", provider.issue())
        terminal = watching(provider, server.url, "--every", "0.2")
        terminal.wait_for("1 ok", "0 renewals/min")
        server.kill()
        text = terminal.wait_for("the Redis store: it cannot be reached", " s old")
        assert "customer-1" in text
        server.start()
        terminal.wait_without("the Redis store")
        client.refresh("customer-1")
        terminal.wait_without("0 renewals/min")
        server.pause()  # neither answers nor refuses
        terminal.wait_for("it cannot be reached or does not answer in time")
        server.resume()
        terminal.wait_without("in time")
        terminal.press_ctrl_c()
        assert terminal.ended() == 0
    finally:
        server.stop()


def test_an_error_stays_until_something_is_read(provider: FakeProvider) -> None:
    """However many looks fall between two pictures, each of them tells of a store that is away."""
    store = Shaky()
    client = client_of(provider, store)
    client.put("customer-1", provider.issue())
    watched = Watched(client)
    watched.read(0.1)
    assert watched.rounds == 1 and not watched.error
    store.load_fails = True
    for _ in range(4):
        watched.read(0.1)
        assert watched.error and watched.grants
    store.load_fails = False
    watched.read(0.1)
    assert not watched.error


def test_grants_that_go(provider: FakeProvider, watching: Watch, valkey_url: str) -> None:
    """One that was forgotten is said to be logged out; one whose record was deleted is shown no more."""
    client = client_of(provider, valkey_url)
    for name in ("customer-1", "customer-2"):
        client.put(name, provider.issue())
    terminal = watching(provider, valkey_url, "--every", "0.2")
    terminal.wait_for("2 ok")
    client.forget("customer-1")
    assert "logged_out" in line_of(terminal.wait_for("1 logged_out"), "customer-1")
    with redis.Redis.from_url(valkey_url) as plain:
        plain.flushall()
    terminal.wait_without("customer-")
    terminal.wait_for("0 grants")


def test_renewals_are_counted(provider: FakeProvider, store_url: str) -> None:
    """As many as the provider has given, whichever grant they are of; logins and logouts are none."""
    client = client_of(provider, store_url)
    for name in ("customer-1", "customer-2"):
        client.put(name, provider.issue())
    watched = Watched(client)
    for number in range(6):
        watched.read(0.01)
        client.refresh(f"customer-{number % 2 + 1}")
    watched.read(0.01)
    client.put("customer-1", provider.issue())
    watched.read(0.01)
    client.forget("customer-2")
    watched.read(0.01)
    assert sum(count for _, count in watched.renewals) == provider.model.generations == 6
    assert 6 <= watched.per_minute() <= 72  # of at least five seconds


def test_renewals_are_shown(provider: FakeProvider, watching: Watch, store_url: str) -> None:
    """Renewals that happen while one looks are a number above the table."""
    client = client_of(provider, store_url)
    client.put("customer-1", provider.issue())
    terminal = watching(provider, store_url, "--every", "0.2")
    terminal.wait_for("0 renewals/min")
    for _ in range(4):
        client.refresh("customer-1")
        time.sleep(0.3)
    assert provider.model.generations == 4
    text = terminal.wait_without(" 0 renewals/min")
    assert re.search(r"  [1-9]\d* renewals/min", text), text


def test_filter_sort_and_state(
    provider: FakeProvider, settings: Callable[[FakeProvider, str], None], store_url: str
) -> None:
    """Each chooses; and without a terminal there is one picture without colors, which ends by itself."""
    settings(provider, store_url)
    client, now = client_of(provider, store_url), time.time()
    odd: dict[int, dict[str, Any]] = {
        3: {"state": "dead", "error": "invalid_grant", "outcome": "dead"},
        5: {"claim": Claim("x@host:17", now + 600), "attempt": Attempt("x", 1, now)},
    }
    fill(client, store_url, rows(client, 12, odd))

    def names(*args: str) -> list[str]:
        done = subprocess.run([*COMMAND, *args], capture_output=True, text=True, check=False, timeout=60)
        assert (done.returncode, done.stderr) == (0, "") and "\x1b" not in done.stdout
        assert "12 grants" in done.stdout  # the counts are of all
        return re.findall(r"^customer-0*(\d+)", done.stdout, re.MULTILINE)

    assert names("--once") == ["3", "5", "0", "1", "2", "4", "6", "7", "8", "9", "10", "11"]
    assert names("--sort", "grant", "--filter", "-00001") == ["10", "11"]
    assert names("--state", "dead") == ["3"] and names("--state", "refreshing") == ["5"]
    assert names("--sort", "generation")[:2] == ["6", "5"]
    assert names("--sort", "expiry")[:3] == ["0", "1", "2"]


def test_what_cannot_be_shown(provider: FakeProvider, settings: Callable[[FakeProvider, str], None]) -> None:
    """A state that there is none of is refused with those that there are; a store that is away is another exit code."""
    settings(provider, "redis://127.0.0.1:9/0")
    done = subprocess.run([*COMMAND, "--state", "ded"], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2 and "'ded' is not one of 'dead', 'damaged'" in done.stderr
    done = subprocess.run([*COMMAND, "--once"], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1 and "the Redis store: it cannot be reached" in done.stdout and done.stderr == ""


@pytest.mark.parametrize("columns", [60, 80, 160])
def test_narrow_and_wide(provider: FakeProvider, watching: Watch, store_url: str, columns: int) -> None:
    """One line for each grant, its name and state legible, also where names are long; no more lines than there are."""
    client, now = client_of(provider, store_url), time.time()
    odd: dict[int, dict[str, Any]] = {
        1: {"claim": Claim("x@a-host-with-a-name:171717", now + 600), "attempt": Attempt("x", 1, now)},
        2: {"failures": 3, "outcome": "transient", "error": "HTTP 503", "retry_at": now + 600},
    }
    fill(client, store_url, rows(client, 40, odd))
    client.put("a-customer-whose-name-is-longer-than-anybody-would-expect-a-name-to-be", provider.issue())
    terminal = watching(provider, store_url, columns=columns, lines=16)
    text = terminal.wait_for("41 grants", "renewals/min", "more; --filter")
    lines = text.splitlines()
    assert len(lines) <= 16 and lines[0].startswith("mine") and "renewals/min" in lines[0]
    body = [line for line in lines if line.startswith(("customer-", "a-customer"))]
    assert len(body) == 11
    assert all(re.match(r"\S{8,}…? +(ok|failing|refreshing) ", line) for line in body), text
    assert re.match(r"customer-000002 .*failing ", body[0]) or columns == 60
    assert "a-host" in body[1]


@pytest.mark.parametrize("ends", ["ctrl-c", "SIGTERM"])
def test_the_terminal_is_given_back(provider: FakeProvider, watching: Watch, store_url: str, ends: str) -> None:
    """Ctrl-C is the way to end it, so that is no failure: exit code 0, the screen and the cursor as they were."""
    terminal = watching(provider, store_url, "--every", "0.2")
    terminal.wait_for("0 grants")
    assert b"\x1b[?1049h" in terminal.sent and b"\x1b[?25l" in terminal.sent
    if ends == "ctrl-c":
        terminal.press_ctrl_c()
    else:
        terminal.process.send_signal(signal.SIGTERM)
    assert terminal.ended() == 0
    assert terminal.sent.rindex(b"\x1b[?1049l") > terminal.sent.rindex(b"\x1b[?1049h")
    assert terminal.sent.rindex(b"\x1b[?25h") > terminal.sent.rindex(b"\x1b[?25l")
    assert b"Traceback" not in terminal.sent and b"Aborted" not in terminal.sent


class Ahead(MemoryStore):
    """Its clock is ten minutes ahead."""

    def load(self, key: GrantKey) -> Snapshot:
        found = super().load(key)
        return found._replace(now=found.now + 600)


def test_times_are_the_stores(provider: FakeProvider) -> None:
    """Law 17: claims and expiry are on the store's clock, and are seen from there."""
    store = Ahead()
    client = client_of(provider, store)
    claim = {0: {"claim": Claim("x@host:17", time.time() + 300), "attempt": Attempt("x", 1, time.time())}}
    store._rows.update({digest: (revision, text) for digest, revision, text in rows(client, 1, claim)})
    watched = Watched(client)
    watched.read(0.1)
    (grant,) = watched.grants.values()
    assert 590 < watched.ahead < 610
    assert state_of(grant, watched.now()) == "ok"  # the claim has lapsed there


def test_damaged_records_are_counted(provider: FakeProvider, settings: Any, store_url: str) -> None:
    """They have no name, and yet are as many as they are, in `watch` and in `status`."""
    client = client_of(provider, store_url)
    client.put("customer-1", provider.issue())
    fill(client, store_url, iter([(f"{number:040x}", "revision", "{broken") for number in range(3)]))
    watched = Watched(client)
    for rounds in (1, 2):
        while watched.rounds < rounds:
            watched.read(0.1)
    assert [state_of(g, 0.0) for g in watched.chosen("", None, "state")] == ["damaged"] * 3 + ["ok"]
    settings(provider, store_url)
    done = subprocess.run([*COMMAND[:-1], "status", "--json"], capture_output=True, text=True, check=False, timeout=60)
    assert [grant["state"] for grant in json.loads(done.stdout)] == ["damaged"] * 3 + ["live"]
    assert done.returncode == 2


@pytest.mark.parametrize("count", [2_000, pytest.param(100_000, marks=[pytest.mark.soak, pytest.mark.timeout(300)])])
def test_many_grants(provider: FakeProvider, watching: Watch, store_url: str, count: int, record_property: Any) -> None:
    """A picture at once, which says that it is being read; all of them soon; and neither CPU nor store are taken up."""
    client, now = client_of(provider, store_url), time.time()
    odd: dict[int, dict[str, Any]] = {count - 2: {"state": "dead", "error": "invalid_grant", "outcome": "dead"}}
    odd[count // 2] = {"claim": Claim("x@host:17", now + 6000), "attempt": Attempt("x", 1, now)}
    fill(client, store_url, rows(client, count, odd))
    began = time.monotonic()
    terminal = watching(provider, store_url, columns=100, lines=30)
    if count > 10_000:
        terminal.wait_for("grants", "reading...")
        figures = {"first picture, s": time.monotonic() - began}
        before = terminal.wait_for("customer-").splitlines()[0]
        time.sleep(2.0)
        assert terminal.text().splitlines()[0] != before  # one sees it get on
    else:
        figures = {}
    terminal.wait_for(f"{count:,} grants", "1 dead", "1 refreshing", "renewals/min", patience=200)
    figures["all of them, s"] = time.monotonic() - began
    name = f"customer-{count - 2:06}"
    assert terminal.text().splitlines()[3].startswith(name)
    # from here on: what it costs to keep on looking
    cost, since, load = cpu_of(terminal.process.pid), time.monotonic(), load_of(store_url)
    time.sleep(min(10.0, count / 1000))
    took = time.monotonic() - since
    figures["CPU share"] = (cpu_of(terminal.process.pid) - cost) / took
    figures["memory, MB"] = memory_of(terminal.process.pid)
    figures |= {name: (load_of(store_url)[name] - value) / took for name, value in load.items()}
    print(json.dumps({"store": store_url[:6], "grants": count} | {k: round(v, 3) for k, v in figures.items()}))
    assert figures["CPU share"] < 2 * SHARE  # reading, and drawing once a second
    assert figures["memory, MB"] < 100 + count / 500
    assert figures.get("store CPU share", 0.0) < 0.3
    asked = time.monotonic()
    terminal.press_ctrl_c()
    assert terminal.ended() == 0 and time.monotonic() - asked < 10


def cpu_of(pid: int) -> float:
    """Seconds of CPU time so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_of(pid: int) -> float:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) / 1024


def load_of(store: str) -> dict[str, float]:
    """What a Redis has done so far."""
    if store.startswith("sqlite"):
        return {}
    with redis.Redis.from_url(store) as plain:
        info: Any = plain.info()
    return {
        "store CPU share": info["used_cpu_user"] + info["used_cpu_sys"],
        "commands/s": info["total_commands_processed"],
        "MB/s": info["total_net_output_bytes"] / 1e6,
    }


def test_a_picture_reads_lightly(provider: FakeProvider, store_url: str) -> None:
    """Each tick takes its share of the time; nothing is written, and no grant's source is made."""
    client = client_of(provider, store_url)
    fill(client, store_url, rows(client, 500))
    kept = sorted(open_store(store_url).scan(None, 10_000)[0])
    watched = Watched(client)
    while not watched.rounds:
        watched.read(0.05)
    assert len(watched.grants) == 500 and not watched.error
    assert sorted(open_store(store_url).scan(None, 10_000)[0]) == kept
    assert not client._recent
