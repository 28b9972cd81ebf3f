"""The tutorial, step by step, in a shell: what it says is what happens."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.snippets import blocks_of

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "tutorial.rst"
SHELL = re.compile(r"^\.\. code-block:: sh\n\n((?:    .*\n|\n)+)", re.MULTILINE)

Run = Callable[[str, Path], str]


def shell(script: str, folder: Path) -> str:
    """A block that ends; what it printed."""
    done = subprocess.run(
        ["bash", "-ec", script], cwd=folder, capture_output=True, text=True, timeout=240, env=environment()
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def environment() -> dict[str, str]:
    """That of a person: no path to this checkout or this environment."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL", "COV"))}


@pytest.fixture
def terminal() -> Iterator[Callable[[str, Path, Path], None]]:
    """Starts a block that goes on, in a terminal of its own, until the test is over."""
    started: list[subprocess.Popen[bytes]] = []

    def start(script: str, folder: Path, output: Path) -> None:
        with output.open("wb") as file:
            command = ["bash", "-ec", script]
            started.append(
                subprocess.Popen(
                    command, cwd=folder, stdout=file, stderr=file, start_new_session=True, env=environment()
                )
            )

    yield start
    for process in started:
        os.killpg(process.pid, signal.SIGKILL)  # the shell, and the program in it
        process.wait()


def lines(output: Path) -> list[str]:
    return output.read_text().splitlines()


@pytest.mark.timeout(400)
def test_the_tutorial(tmp_path: Path, terminal: Callable[[str, Path, Path], None]) -> None:
    """From the installation to the killed process: each block runs as it stands, and the login lives."""
    install, provide, first, work, second, kill, demo = [
        "\n".join(line[4:] for line in block.splitlines()) for block in SHELL.findall(PAGE.read_text())
    ]
    names = re.findall(r"[Ss]ave this as ``(\w+\.py)``", PAGE.read_text())
    assert names == ["provider.py", "first.py", "worker.py"]
    for name in ("setup.cfg", "setup.py", "README.rst", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "oauth_session", tmp_path / "oauth_session", ignore=shutil.ignore_patterns("__pycache__"))
    shell(install, tmp_path)
    folder = tmp_path / "tutorial"
    for name, text in zip(names, blocks_of(PAGE), strict=True):
        (folder / name).write_text(text)

    provider, worker = tmp_path / "provider.log", tmp_path / "worker.log"
    terminal(provide, folder, provider)
    until = time.monotonic() + 30
    while not (folder / "login.json").exists() and time.monotonic() < until:
        time.sleep(0.1)
    answers = re.findall(r"^200 with the token (\w+)$", shell(first, folder), re.MULTILINE)
    assert len(answers) == len(set(answers)) == 2

    terminal(work, folder, worker)
    time.sleep(5)
    alone = lines(worker)
    assert all(re.fullmatch(r"process \d+ 200 \w+", line) for line in alone)
    assert len({line.split()[3] for line in alone}) >= 2

    beside = shell(f"{second}\n{kill}", folder).splitlines()
    assert {line.split()[1] for line in beside}.isdisjoint(line.split()[1] for line in alone)
    seen = lines(worker)
    assert all(line.split()[2] == "200" for line in beside + seen)
    tokens = {line.split()[3] for line in seen}
    shared = {line.split()[3] for line in beside[4:]} & tokens
    assert len(shared) >= 2  # two processes, one login
    assert seen[-1].split()[3] not in {line.split()[3] for line in beside}  # it was renewed after the kill
    assert "login alive" in lines(provider)[-1]
    refreshes = int(lines(provider)[-1].split()[2])
    assert refreshes <= len(tokens) + len(answers) + 2  # one for each token

    said = shell(demo, folder)
    assert "still logged in" in said
