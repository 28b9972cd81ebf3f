"""Builds what is released, and refuses what should not be: run as ``tox -e release``.

From two copies of the source, in other folders, at other times and with other file modes, come the same bytes; so they do
from the unpacked sdist, in which a part of the tests runs. Contents and metadata are what they should be, the wheel
installs into empty environments, and the fragments of the changelog are fragments. What has passed lies in ``dist/``.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import venv
import zipfile
from collections.abc import Iterable
from email.parser import BytesParser
from pathlib import Path

from packaging.metadata import Metadata

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "oauth_session"
NOT_IN_THE_SDIST = {".ci/run", ".gitignore"}
OF_THE_SDIST_ALONE = {"PKG-INFO"}  # beside the folder of setuptools
NEEDED = {"requests", "redis", "urllib3"}
EXTRAS = {"bench", "cli", "crypto", "otel", "test"}
PYTHONS = ("3.11", "3.12", "3.13")
SOME_TESTS = ("tests/test_layers.py", "tests/test_import.py", "tests/test_release.py", "tests/testing")


def main(target: Path) -> None:
    epoch = source_date()
    with tempfile.TemporaryDirectory(prefix="release-") as name:
        folder = Path(name)
        first = step("build once", build, folder / "a", folder / "a-dist", epoch, 0o022)
        second = step(
            "build again, elsewhere and later", build, folder / "b" / "deeper", folder / "b-dist", epoch, 0o077
        )
        same(first, second)
        sdist, wheel = first
        unpacked = unpack(sdist, folder / "c")
        step("what is in the sdist", check_sdist, unpacked)
        third = step("build from the unpacked sdist", run_build, unpacked, folder / "c-dist", epoch)
        same(first, third)
        step("what is in the wheel", check_wheel, wheel)
        step("its metadata", check_metadata, wheel)
        step("twine", call, sys.executable, "-m", "twine", "check", "--strict", sdist, wheel)
        step("check-wheel-contents", call, sys.executable, "-m", "check_wheel_contents", wheel)
        step("the changelog", changelog, unpacked)
        step("install it bare", install_bare, wheel, folder / "bare")
        step("install it with [cli]", install_cli, wheel, folder / "cli")
        step("some tests of the sdist", test_sdist, unpacked, wheel, folder / "tests")
        target.mkdir(exist_ok=True)
        for path in (sdist, wheel):
            shutil.copy(path, target)
            print(
                f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {target / path.name}  {path.stat().st_size:,} bytes"
            )
    print(f"SOURCE_DATE_EPOCH={epoch}")


def step(what, do, *args):
    """Do it, and say how long it took."""
    began = time.monotonic()
    found = do(*args)
    print(f"{time.monotonic() - began:6.1f} s  {what}", flush=True)
    return found


def call(*command: object, **options) -> str:
    """The output of a command that has to succeed."""
    texts = [str(part) for part in command]
    done = subprocess.run(texts, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **options)
    if done.returncode:
        sys.exit(f"{' '.join(texts)}\n{done.stdout}\nended with {done.returncode}")
    return done.stdout


def expect(found: Iterable[object], wanted: Iterable[object], what: str) -> None:
    """Two sets are one."""
    found, wanted = set(found), set(wanted)
    if found != wanted:
        sys.exit(f"{what}: too much {sorted(map(str, found - wanted))}, missing {sorted(map(str, wanted - found))}")


# -- building


def tracked() -> list[str] | None:
    """What git has, as it lies there; None without git, as in an unpacked sdist."""
    if not (ROOT / ".git").exists():
        return None
    return [name for name in call("git", "-C", ROOT, "ls-files").splitlines() if (ROOT / name).exists()]


def source_date() -> int:
    """The time of the last commit; in an unpacked sdist, all of whose files have it, that of one."""
    if tracked() is None:
        return int((ROOT / "PKG-INFO").stat().st_mtime)
    return int(call("git", "-C", ROOT, "log", "-1", "--format=%ct"))


def build(source: Path, out: Path, epoch: int, umask: int) -> list[Path]:
    """The sdist and the wheel of a copy of the source."""
    old = os.umask(umask)
    try:
        names = tracked()
        if names is None:
            shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns("__pycache__", "build", "dist", ".*"))
        for name in names or ():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, source / name)
        for path in source.rglob("*"):
            os.utime(path, (umask, umask))  # long ago, and never twice the same
        return run_build(source, out, epoch)
    finally:
        os.umask(old)


def run_build(source: Path, out: Path, epoch: int) -> list[Path]:
    """With the pinned setuptools of this environment; the wheel is made from the unpacked sdist."""
    env = os.environ | {"SOURCE_DATE_EPOCH": str(epoch)}
    call(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, source, env=env)
    return sorted(out.iterdir(), key=lambda path: path.suffix)  # .gz before .whl


def same(ones: list[Path], others: list[Path]) -> None:
    """Byte by byte."""
    expect([path.name for path in ones], [path.name for path in others], "names")
    for one, other in zip(ones, others, strict=True):
        if one.read_bytes() != other.read_bytes():
            sys.exit(f"{one.name} differs between two builds: diffoscope {one} {other}")


def unpack(sdist: Path, folder: Path) -> Path:
    """Its one folder."""
    with tarfile.open(sdist) as archive:
        owners = {(member.uid, member.gid, member.uname, member.gname) for member in archive}
        expect(owners, [(0, 0, "", "")], "owners in the sdist")
        archive.extractall(folder, filter="data")
    (inner,) = folder.iterdir()
    return inner


# -- contents


def check_sdist(unpacked: Path) -> None:
    """All that git has, and nothing else."""
    names = {str(path.relative_to(unpacked)) for path in unpacked.rglob("*") if path.is_file()}
    names = {name for name in names if ".egg-info/" not in name and "__pycache__" not in name}
    known = tracked()
    if known is not None:
        expect(names, ({*known} - NOT_IN_THE_SDIST) | OF_THE_SDIST_ALONE, "files of the sdist")


def check_wheel(wheel: Path) -> None:
    """The package, and setuptools' own folder with the license."""
    source = [path for path in PACKAGE.rglob("*") if path.suffix in (".py", ".toml") or path.name == "py.typed"]
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if ".dist-info/" not in name]
        own = {name.partition(".dist-info/")[2] for name in archive.namelist()} - {""}
        entries = next(archive.read(name).decode() for name in archive.namelist() if name.endswith("entry_points.txt"))
    expect(names, [str(path.relative_to(ROOT)) for path in source], "files of the wheel")
    expect(own, ["METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE", "top_level.txt"], "dist-info")
    wanted = {
        "[console_scripts]": "oauth-session = oauth_session.cli:main",
        "[pytest11]": "oauth_session = oauth_session.testing.plugin",
    }
    expect(filter(None, entries.splitlines()), [*wanted, *wanted.values()], "entry points")


def check_metadata(wheel: Path) -> None:
    """Name, version, Pythons, dependencies, extras, license, classifiers, README; each in the form that it should have."""
    with zipfile.ZipFile(wheel) as archive:
        text = next(archive.read(name) for name in archive.namelist() if name.endswith("/METADATA"))
    said = Metadata.from_email(text, validate=True)
    expect([said.name, str(said.version)], ["oauth-session", version()], "name and version")
    expect([str(said.requires_python)], [f">={PYTHONS[0]}"], "requires-python")
    expect((r.name for r in said.requires_dist or () if r.marker is None), NEEDED, "dependencies")
    expect(said.provides_extra or (), EXTRAS, "extras")
    wanted = {str(r.marker) for r in said.requires_dist or () if r.marker is not None}
    expect(wanted, (f'extra == "{name}"' for name in EXTRAS), "markers")
    prefix = "Programming Language :: Python :: 3."
    expect((c for c in said.classifiers or () if c.startswith(prefix)), (prefix + v[2:] for v in PYTHONS), "Pythons")
    expect([said.license_expression, *(said.license_files or ())], ["Apache-2.0", "LICENSE"], "license")
    expect([said.description_content_type], ["text/x-rst"], "type of the description")
    body = BytesParser().parsebytes(text).get_payload()
    expect([str(body).strip()], [(ROOT / "README.rst").read_text().strip()], "description")


def version() -> str:
    """The one place says it."""
    found = re.search(r'^__version__ = "(.+)"$', (PACKAGE / "_version.py").read_text(), re.MULTILINE)
    assert found
    return found[1]


def changelog(source: Path) -> None:
    """The draft of what comes; a file in changes/ that is no fragment ends this."""
    print(call(sys.executable, "-m", "towncrier", "build", "--draft", "--dir", source, "--version", version()))


# -- installing


def environment(folder: Path, *requirements: object) -> Path:
    """A fresh one with these, and nothing else."""
    venv.create(folder, with_pip=True)
    call(folder / "bin" / "python", "-m", "pip", "install", "-q", *requirements)
    return folder / "bin"


def install_bare(wheel: Path, folder: Path) -> None:
    """Without extras: what is installed, and that it imports and works without them."""
    there = environment(folder, wheel)
    listed = call(there / "python", "-m", "pip", "list", "--format=freeze").split()
    allowed = {"certifi", "charset-normalizer", "idna", "pip", "setuptools", "async-timeout"}  # of these, and of Python
    expect({line.partition("==")[0] for line in listed} - allowed, {"oauth-session"} | NEEDED, "installed")
    code = (
        "import oauth_session as o; assert all(getattr(o, name) for name in o.__all__);"
        f"assert o.__version__ == {version()!r};"
        "from oauth_session.testing import FakeProvider\n"
        "with FakeProvider() as p, o.OAuthSession(base_url=p.api_url, token_url=p.token_url, client_id=p.client_id,\n"
        "    client_secret=p.client_secret, grant_type='client_credentials', store='sqlite:///x.db') as s:\n"
        "    assert s.get('me').ok"
    )
    call(there / "python", "-I", "-W", "error", "-c", code, cwd=folder)
    without = subprocess.run([there / "oauth-session"], capture_output=True, text=True, check=False)
    expect([without.returncode, "[cli]" in without.stderr], [1, True], "the command without its extra")


def install_cli(wheel: Path, folder: Path) -> None:
    """The command says its version."""
    there = environment(folder, f"{wheel}[cli]")
    expect([call(there / "oauth-session", "--version").split()[-1]], [version()], "oauth-session --version")
    call(there / "python", "-m", "pip", "check")


def test_sdist(unpacked: Path, wheel: Path, folder: Path) -> None:
    """With the wheel installed, and from the sdist's own files."""
    there = environment(folder, f"{wheel}[cli,test]")
    env = os.environ | {"OAUTH_SESSION_INSTALLED": "1"}
    said = call(there / "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", *SOME_TESTS, cwd=unpacked, env=env)
    print(said.splitlines()[-1])


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
