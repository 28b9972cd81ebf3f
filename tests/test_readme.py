"""The README's snippets run, against a provider in place of the example hosts."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import redis
from support.snippets import run_snippets

from oauth_session import OAuthClient
from oauth_session.sealing import new
from oauth_session.testing import FakeProvider

README = Path(__file__).parent.parent / "README.rst"


def test_every_snippet_runs(
    provider: FakeProvider, valkey_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each Python block of the README runs as it stands, in order, with only hosts, secrets and paths put in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("APP_SECRET", str(provider.client_secret))
    monkeypatch.setenv("OAUTH_KEYS", new())
    plain = redis.Redis.from_url(valkey_url)
    plain.flushall()
    plain.set("tokens:customer-42", json.dumps(provider.issue()))
    namespace = run_snippets(README, provider, valkey_url)
    assert namespace["session"] is not None
    assert namespace["provider"] is not provider
    assert json.loads(plain.hget(plain.keys("oauth-session:*")[0], "record"))["v"] == 1
    plain.close()
    namespace["sealed"].close()


def test_the_doors(provider: FakeProvider, valkey_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page on doors: each of the three is logged in, with one refresh between them."""
    monkeypatch.setenv("APP_SECRET", str(provider.client_secret))
    with redis.Redis.from_url(valkey_url) as plain:
        plain.flushall()
    make_client = OAuthClient(
        token_url=provider.token_url, client_id=provider.client_id, base_url=provider.api_url, store=valkey_url
    )
    make_client.put("customer-42", provider.issue())
    provider.expire()
    namespace = run_snippets(README.parent / "docs" / "doors.rst", provider, valkey_url)
    assert [seen.status for seen in provider.requests if seen.path.startswith("/api")] == [401, 200, 200, 200]
    namespace["client"].close()


def test_the_page_on_encryption(provider: FakeProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page on encryption runs, with a ring made as it says, and leaves no token readable."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("APP_SECRET", str(provider.client_secret))
    monkeypatch.setenv("OAUTH_KEYS", new())
    namespace = run_snippets(README.parent / "docs" / "encryption.rst", provider, "")
    token = namespace["client"].token("customer-42")
    assert not any(token.access_token.encode() in path.read_bytes() for path in tmp_path.iterdir())


@pytest.mark.parametrize(("page", "least"), [("security", 25), ("standards", 90), ("howto/where-it-runs", 20)])
def test_a_page_names_its_tests(page: str, least: int) -> None:
    """Each test that the threat model and the table of the standards name is there."""
    there = "".join(path.read_text() for path in README.parent.joinpath("tests").rglob("test_*.py"))
    named = re.findall(r"``(test_\w+)``", (README.parent / "docs" / f"{page}.rst").read_text())
    assert len(named) > least
    assert [name for name in named if f"def {name}(" not in there] == []


def test_ci_runs_the_command_of_the_readme() -> None:
    """The test command of the README is what CI runs."""
    text = README.read_text()
    command = "python3 -m venv .venv && .venv/bin/pip install -q tox && .venv/bin/tox"
    assert command in text
    run = (README.parent / ".ci" / "run").read_text()
    assert command in run
