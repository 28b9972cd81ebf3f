"""The test suites of requests and requests-toolbelt, run with plain sessions and with `OAuthSession` in their place.

Run as ``tox -e parity``. Each test that passes plainly has to pass with the swap, but for those listed in `WANT_NETRC`.
Some of these tests ask for addresses of the wide world and fail without it; they fail on both sides then.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from xml.etree import ElementTree

TESTS = Path(__file__).parent.parent
WANT_NETRC = {
    "tests.test_requests.TestRequests::test_basicauth_with_netrc",
    "tests.test_requests.TestRequests::test_basicauth_with_netrc_leak",
}
ENOUGH = {"requests": 600, "requests-toolbelt": 120}  # tests that pass plainly; fewer means that something is amiss


def tests_of(name: str, folder: Path) -> Path:
    """The tests from the source distribution of the installed release; the package itself stays the installed one."""
    version = importlib.metadata.version(name)
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", "-d", str(folder)]
    subprocess.run([*pip, f"{name}=={version}"], check=True, timeout=300)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    (unpacked,) = (path for path in folder.iterdir() if path.is_dir())
    for path in unpacked.iterdir():
        if path.is_dir() and path.name != "tests":
            shutil.rmtree(path)
    return unpacked


def start(folder: Path, report: Path, *options: str) -> subprocess.Popen[str]:
    """pytest, with a home and an environment without proxies and `.netrc` of the machine's."""
    clean = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy") and k != "NETRC"}
    env = clean | {"HOME": str(folder), "PYTHONPATH": str(TESTS)}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--timeout=120",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:oauth_session",
    ]
    return subprocess.Popen(
        [*command, f"--junitxml={report}", *options],
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def outcomes(report: Path) -> dict[str, str]:
    """test -> passed, failure, error or skipped."""
    found = {}
    for case in ElementTree.parse(report).iter("testcase"):
        bad = [child.tag for child in case if child.tag in ("failure", "error", "skipped")]
        found[f"{case.get('classname')}::{case.get('name')}"] = bad[0] if bad else "passed"
    return found


def both(folder: Path, *selected: str) -> tuple[dict[str, str], dict[str, str], str]:
    """The outcomes without and with the swap, and what pytest said with it. Exit codes 0 and 1 are a run that was whole."""
    plain = start(folder, folder / "plain.xml", *selected)
    swapped = start(folder, folder / "swapped.xml", "-p", "parity.swap", *selected)
    said = [process.communicate(timeout=900)[0] for process in (plain, swapped)]
    for process, text in zip((plain, swapped), said, strict=True):
        if process.returncode not in (0, 1):
            raise SystemExit(f"pytest ended with {process.returncode}:\n{text[-8000:]}")
    return outcomes(folder / "plain.xml"), outcomes(folder / "swapped.xml"), said[1]


def lost(plain: dict[str, str], swapped: dict[str, str]) -> set[str]:
    return {test for test, outcome in plain.items() if outcome == "passed" and swapped.get(test) != "passed"}


def compare(name: str) -> bool:
    """Whether the session can be swapped in `name`'s tests. What differs is run once more: their servers have moods."""
    with tempfile.TemporaryDirectory() as place:
        folder = tests_of(name, Path(place))
        plain, swapped, said = both(folder)
        moods = differs = lost(plain, swapped) - WANT_NETRC
        if differs:
            names = {test.rpartition("::")[2].partition("[")[0] for test in differs}
            differs = differs & lost(*both(folder, "-k", " or ".join(sorted(names)))[:2])
        passed = [sum(outcome == "passed" for outcome in run.values()) for run in (plain, swapped)]
    netrc = sorted(WANT_NETRC & lost(plain, swapped))
    print(f"{name} {importlib.metadata.version(name)}: {passed[0]} pass plainly, {passed[1]} with OAuthSession")
    for test in sorted(moods | set(netrc)):
        why = "wants .netrc" if test in WANT_NETRC else "LOST" if test in differs else "failed once, and not again"
        print(f"    {why}: {test}")
    if differs:
        print(said[-20000:])
    return not differs and passed[0] >= ENOUGH[name]


if __name__ == "__main__":
    results = [compare(name) for name in sys.argv[1:] or ENOUGH]
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
    sys.exit(not all(results))
