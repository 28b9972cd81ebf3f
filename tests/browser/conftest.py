"""Run by `tox -e browser`, which wants a Chromium and its driver (Debian: chromium, chromium-driver)."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest
from support.grants_server import GrantsServer

WANTED = bool(os.environ.get("OAUTH_SESSION_BROWSER"))
collect_ignore_glob = [] if WANTED else ["test_*.py"]


def pytest_configure() -> None:
    if WANTED and shutil.which("chromedriver") is None:
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            raise pytest.UsageError(
                "chromedriver is missing: install Chromium and its driver (Debian: chromium-driver)"
            )
        for step in (["update"], ["install", "--yes", "--no-install-recommends", "chromium", "chromium-driver"]):
            subprocess.run(
                ["apt-get", "-qq", *step], check=True, env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
            )


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GrantsServer]:
    started = GrantsServer(tmp_path_factory.mktemp("browser"))
    yield started
    started.stop()
