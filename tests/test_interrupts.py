"""Law 4: whatever happens to the caller, a refresh that is under way is committed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import MakeClient, MakeProvider
from support.crowd import settings_of

PROGRAM = Path(__file__).parent / "support" / "interrupted.py"


@pytest.mark.parametrize("how", ["keyboard", "keyboard uncaught", "alarm", "exit", "deadline"])
def test_the_pair_is_committed_all_the_same(
    make_oauth_provider: MakeProvider, make_client: MakeClient, store_url: str, how: str
) -> None:
    """Ctrl-C, a raising SIGALRM, `sys.exit` and a deadline during the POST leave the new pair in the store."""
    provider = make_oauth_provider(token_latency=1.5)
    client = make_client(provider, store=store_url)
    client.put(provider.url, {"refresh_token": provider.issue()["refresh_token"]})
    command = [sys.executable, str(PROGRAM), how, json.dumps(settings_of(provider, store_url))]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment())
    if how == "keyboard uncaught":
        assert "KeyboardInterrupt" in run.stderr
    else:
        assert run.returncode == 0, run.stderr
        assert "interrupted" in run.stdout
    assert provider.model.refresh_calls == provider.model.generations == 1
    statuses, _ = client.grants()
    (status,) = [status for status in statuses if status.grant_id == provider.url]
    assert status.generation == 1
    assert client.session(provider.url).get("me").status_code == 200
    assert provider.model.refresh_calls == 1


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
