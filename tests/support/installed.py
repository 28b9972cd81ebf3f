"""What the tests need beyond their Python packages: installed once into a cache beside the checkout."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

CACHE = Path(__file__).parent.parent.parent / ".cache"
ENVIRONMENT = dict(os.environ)  # as the run began: installing needs the proxies and the HOME that tests do not see


def install(name: str, steps: Callable[[Path], list[list[str]]]) -> Path:
    """A folder of the cache with `name` in it; one process installs, others wait, what was cut off is begun again."""
    home = CACHE / name
    CACHE.mkdir(exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "installed").exists():
            shutil.rmtree(home, ignore_errors=True)
            home.mkdir()
            for command in steps(home):
                _check(command, home)
            (home / "installed").touch()
    return home


def install_from_pypi(requirement: str) -> Path:
    """A folder with that distribution, and what it needs, for this Python."""
    version = f"py{sys.version_info[0]}{sys.version_info[1]}"

    def steps(home: Path) -> list[list[str]]:
        return [[sys.executable, "-m", "pip", "install", "-q", "--target", str(home / "site"), requirement]]

    return install(f"{requirement.replace('==', '-')}-{version}", steps) / "site"


def _check(command: list[str], cwd: Path) -> None:
    """An installation that fails, fails the tests: nothing is skipped."""
    env = ENVIRONMENT | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=600, env=env)
    if done.returncode:
        raise RuntimeError(f"{command} failed: {done.stdout[-2000:]} {done.stderr[-2000:]}")
