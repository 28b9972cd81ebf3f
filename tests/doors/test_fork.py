"""Both sides of a fork go on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import MakeProvider
from support.crowd import settings_of

TESTS = Path(__file__).parent.parent


@pytest.mark.parametrize("rounds", [5, pytest.param(100, marks=[pytest.mark.soak, pytest.mark.timeout(600)])])
@pytest.mark.parametrize("kind", ["memory", "sqlite", "redis"])
def test_forks_while_a_renewal_is_under_way(
    make_oauth_provider: MakeProvider, tmp_path: Path, valkey_url: str, kind: str, rounds: int
) -> None:
    """With a warm cache, open connections, a push connection and a renewal under way: no warning, no hang, no socket in two
    processes, no lost grant; and the parent is told of commits again."""
    provider = make_oauth_provider(token_latency=0.05)
    store = {"memory": "memory:", "sqlite": f"sqlite:///{tmp_path}/grants.db", "redis": valkey_url}[kind]
    settings = settings_of(provider, store) | {"seed": provider.issue()}
    code = [sys.executable, "-m", "support.forked", str(rounds), settings.pop("grant_id"), json.dumps(settings)]
    done = subprocess.run(code, cwd=TESTS, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout)
    assert said["warnings"] == []
    assert said["children"] == [0] * rounds
    assert said["parents"] == [200] * rounds * 2
    assert said["under_way"] > 0
    assert said["held"] >= rounds * (2 if kind == "redis" else 1)  # there was something to share
    assert said["told"] is (kind == "redis")
    assert provider.model.grant_alive()
    assert provider.model.reuse_incidents == 0
