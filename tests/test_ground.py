"""What the other tests stand on: the installed package, and the house rules of the run."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest

import oauth_session

ROOT = Path(__file__).parent.parent


def files(root: Path) -> set[str]:
    return {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file() and "__pycache__" not in p.parts}


def test_the_package_under_test_is_the_checkout() -> None:
    """What is installed has exactly the files of the checkout, `py.typed` included: none forgotten, none left over."""
    installed = Path(oauth_session.__file__).parent
    assert files(installed) == files(ROOT / "oauth_session")
    if os.environ.get("OAUTH_SESSION_INSTALLED"):
        assert "site-packages" in installed.parts


def test_the_hard_dependencies_are_three() -> None:
    """Without an extra, requests, redis and urllib3 are installed and nothing else."""
    required = importlib.metadata.requires("oauth-session") or []
    hard = {line.split(">=")[0] for line in required if "extra ==" not in line}
    assert hard == {"requests", "redis", "urllib3"}


@pytest.mark.parametrize("text", ['pytest.skip("why", allow_module_level=True)', "@pytest.mark.skip\ndef test(): pass"])
@pytest.mark.parametrize("ci", ["true", ""])
def test_a_skip_fails_in_ci(tmp_path: Path, text: str, ci: str) -> None:
    """Where CI is set, a skip that is not on the list fails the run, of a test as of a whole module."""
    (tmp_path / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    (tmp_path / "test_skipped.py").write_text(f"import pytest\n{text}\n")
    (tmp_path / "test_other.py").write_text("def test(): pass\n")
    env = os.environ | {"CI": ci, "PYTHONPATH": str(ROOT / "tests")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:valkey", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60)
    assert (done.returncode != 0) is bool(ci), done.stdout
