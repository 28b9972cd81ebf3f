"""Where it runs, as far as this package alone shows it; servers, Celery, Lambda and notebooks are in `tox -e places`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import MakeProvider
from support.crowd import settings_of

from oauth_session.testing import FakeProvider

SUPPORT = Path(__file__).parent / "support"
PACKAGE = Path(__file__).parent.parent / "oauth_session"


# -- forks behind Python's back -------------------------------------------------------------------------------------------


def forked_unnoticed(provider: FakeProvider, store: str) -> dict[str, Any]:
    settings = settings_of(provider, store)
    del settings["grant_id"]
    command = [sys.executable, str(SUPPORT / "unnoticed.py"), json.dumps(settings), json.dumps(provider.issue())]
    run = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert run.returncode == 0, run.stderr
    found: dict[str, Any] = json.loads(run.stdout)
    return found


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_that_python_does_not_notice(make_oauth_provider: MakeProvider, store_url: str) -> None:
    """A child that nobody told, as uWSGI's are, waits for no thread of its parent's, hears news, and shares no connection."""
    provider = make_oauth_provider(token_latency=1.0)
    found = forked_unnoticed(provider, store_url)
    assert found["under_way"], "the fork was to fall into a renewal"
    assert found["child"]["status"] == found["status"] == 200
    assert found["child"]["refreshed"]
    assert found["child"]["told"] == store_url.startswith("redis")
    assert provider.api_connections == 2
    assert provider.model.refresh_calls == provider.model.generations == 1
    assert provider.model.reuse_incidents == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_that_python_does_not_notice_leaves_memory_to_the_parent(make_oauth_provider: MakeProvider) -> None:
    """A rotating refresh token in memory stays with the parent also there: the child is told so at once."""
    provider = make_oauth_provider(token_latency=1.0)
    found = forked_unnoticed(provider, "memory:")
    assert "stayed with the parent" in found["child"]["status"]
    assert found["child"]["seconds"] < 10
    assert found["status"] == 200
    assert provider.model.reuse_incidents == 0
