"""Coverage-guided fuzzing of each parser of foreign bytes: `python -m fuzz 1000000 [target ...]`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["oauth_session", "json"]):
    from fuzz.targets import SEEDS, TARGETS

LONGEST = 512  # bytes of one input; what is found in more is found in less, and sooner
HANG = 5  # seconds for one input


def one(name: str, runs: int) -> None:
    """In a process of its own: libFuzzer ends it."""
    target = TARGETS[name]
    with tempfile.TemporaryDirectory() as folder:
        for number, seed in enumerate(SEEDS[name]):
            (Path(folder) / str(number)).write_bytes(seed)
        options = [
            f"-runs={runs}",
            f"-max_len={LONGEST}",
            f"-timeout={HANG}",
            f"-artifact_prefix={folder}/",  # the input is printed, too
            "-rss_limit_mb=2048",
            "-print_final_stats=1",
        ]
        atheris.Setup([sys.argv[0], folder, *options], target)
        atheris.Fuzz()


def launch(name: str, runs: int) -> bool:
    """Run one target; whether it went through."""
    began = time.monotonic()
    run = subprocess.run(
        [sys.executable, "-m", "fuzz", "--one", name, str(runs)], capture_output=True, text=True, errors="replace"
    )
    done = [line.split()[-1] for line in run.stderr.splitlines() if "number_of_executed_units" in line]
    good = run.returncode == 0 and bool(done) and int(done[0]) >= runs
    print(
        f"{name:16} {'ok' if good else 'FAILED'}  {done[0] if done else '?'} inputs, {time.monotonic() - began:.0f} s",
        flush=True,
    )
    if not good:
        print(run.stdout[-4000:], run.stderr[-2000:], flush=True)
    return good


def main() -> int:
    if sys.argv[1:2] == ["--one"]:
        one(sys.argv[2], int(sys.argv[3]))
        return 0
    runs, names = int(sys.argv[1]), sys.argv[2:] or list(TARGETS)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return 0 if all(list(pool.map(lambda name: launch(name, runs), names))) else 1


if __name__ == "__main__":
    sys.exit(main())
