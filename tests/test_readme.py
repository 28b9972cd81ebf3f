"""The README's snippets run, against a provider in place of the example hosts."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import redis

from oauth_session.testing import FakeProvider

README = Path(__file__).parent.parent / "README.rst"


def test_every_snippet_runs(
    provider: FakeProvider, valkey_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each Python block of the README runs as it stands, in order, with only hosts, secrets and paths put in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("APP_SECRET", str(provider.client_secret))
    plain = redis.Redis.from_url(valkey_url)
    plain.flushall()
    plain.set("tokens:customer-42", json.dumps(provider.issue()))
    pair = provider.issue()
    blocks = re.findall(r"\.\. code-block:: python\n\n((?:    .*\n|\n)+)", README.read_text())
    assert len(blocks) >= 6
    namespace: dict[str, Any] = {}
    for block in blocks:
        text = "\n".join(line[4:] for line in block.splitlines())
        for old, new in {
            "https://auth.example.com/token": provider.token_url,
            "https://api.example.com/v1/": provider.api_url,
            "https://api.example.com": provider.url,
            "redis://localhost:6379/0": valkey_url,
            'client_id="app"': f'client_id="{provider.client_id}"',
            "the one from the login": pair["refresh_token"],
            '"access_token": "..."': f'"access_token": "{provider.issue()["access_token"]}"',
            '"refresh_token": "..."': f'"refresh_token": "{provider.issue()["refresh_token"]}"',
        }.items():
            text = text.replace(old, new)
        exec(compile(text, str(README), "exec"), namespace)
    assert namespace["session"] is not None
    assert namespace["provider"] is not provider
    assert json.loads(plain.hget(plain.keys("oauth-session:*")[0], "record"))["v"] == 1
    plain.close()


def test_ci_runs_the_command_of_the_readme() -> None:
    """The test command of the README is what CI runs."""
    text = README.read_text()
    command = "python3 -m venv .venv && .venv/bin/pip install -q tox && .venv/bin/tox"
    assert command in text
    run = (README.parent / ".ci" / "run").read_text()
    assert command in run
