"""The command line's demo, as a user runs it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.person import Person

from oauth_session.cli.settings import client_of, services


def run(*args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "oauth_session", *args]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=110)


def test_the_demo_keeps_the_grant_where_the_naive_pattern_loses_it() -> None:
    """One refresh per expiry, nothing failed and the grant alive; refreshing in each worker kills it."""
    done = run("demo", "--workers", "3", "--threads", "3", "--seconds", "4", "--lifetime", "1", "--naive", "--json")
    assert done.returncode == 0, done.stderr
    ours = json.loads(done.stdout)
    naive = ours.pop("naive")
    assert set(ours) >= {
        "requests", "failed", "refresh_calls", "generations", "reuse_incidents", "grant_alive", "p50_ms", "p99_ms"
    }  # fmt: skip
    assert ours["requests"] > 100
    assert (ours["failed"], ours["reuse_incidents"], ours["grant_alive"]) == (0, 0, True)
    assert 3 <= ours["refresh_calls"] == ours["generations"] <= 8
    assert not naive["grant_alive"]
    assert naive["failed"] > 0


@pytest.mark.timeout(150)
def test_the_demo_on_redis(valkey_url: str) -> None:
    """`--store` takes a Redis, and the table says what happened."""
    done = run("demo", "--workers", "2", "--threads", "2", "--seconds", "3", "--lifetime", "1", "--store", valkey_url)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "grant alive" in done.stdout
    assert "still logged in" in done.stdout


def test_the_demo_fails_when_something_fails() -> None:
    """Exit 0 only if nothing failed: a store that is away ends in a message and another code."""
    done = run("demo", "--seconds", "1", "--store", "redis://:hunter2@127.0.0.1:1/0")
    assert done.returncode != 0
    assert "Redis store" in done.stderr
    assert "hunter2" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_a_provider_to_try_with(tmp_path: Path, end: signal.Signals) -> None:
    """`--serve` runs a provider with a login and writes settings for the other commands; its end removes what it wrote."""
    file = tmp_path / "demo.toml"
    command = [sys.executable, "-m", "oauth_session", "demo", "--serve", str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = [process.stdout.readline() for _ in range(3)]
            assert f"oauth-session login --config {file}" in said[1]
            taken = run("demo", "--serve", str(file))
            assert (taken.returncode, "File exists" in taken.stderr) == (1, True)
            client = client_of(services(file)["demo"], None)
            asked = client.authorize_url("http://127.0.0.1/callback")
            client.exchange("default", Person().visit(asked.url), asked.pending)
            client.close()
            got = run("request", "GET", "me", "--config", str(file))
            assert json.loads(got.stdout)["path"] == "/api/me", got.stderr
        finally:
            process.send_signal(end)
        rest = process.stdout.read()
    assert process.returncode == 0
    assert rest.startswith("authorization_code: 200\n")
    assert list(tmp_path.iterdir()) == []
