"""The pytest plugin, in a pytest of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

USER_TEST = """
import socket, requests

made = []

def test_one(oauth_provider):
    assert requests.get(oauth_provider.api_url).status_code == 401
    made.append(oauth_provider)

def test_two(oauth_provider, make_oauth_provider):
    other = make_oauth_provider(lifetime=2, rotation="none")
    assert other.issue()["expires_in"] == 2
    assert len({p.url for p in (other, oauth_provider)}) == 2
    assert oauth_provider is not made[0]
    try:
        requests.get(made[0].api_url)
    except requests.ConnectionError:
        return
    raise AssertionError("the first test's provider still serves")
"""


def test_fixtures(tmp_path: Path) -> None:
    """The plugin's fixtures give a test its own providers and close them after it."""
    (tmp_path / "test_user.py").write_text(USER_TEST)
    # Named once: the entry point, where the package is installed, would register the same module a second time.
    plugin = ["-p", "no:oauth_session", "-p", "oauth_session.testing.plugin", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", *plugin, "--rootdir", str(tmp_path), str(tmp_path)]
    run = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0 and "2 passed" in run.stdout, run.stdout + run.stderr


def test_the_kit_needs_no_pytest() -> None:
    """Importing the kit, and even the plugin's package, does not import pytest."""
    code = "import sys, oauth_session.testing; sys.exit('pytest' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
