"""What a release must agree on, as far as it can be seen at once; `tox -e release` looks at what is built."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import metadata
from pathlib import Path

import oauth_session
from oauth_session import OAuthClient
from oauth_session.testing import FakeProvider

ROOT = Path(__file__).parent.parent
FRAGMENTS = [path for path in sorted((ROOT / "changes").iterdir()) if path.name != ".gitignore"]


def test_there_is_one_version(provider: FakeProvider) -> None:
    """What is installed, the command line and the User-Agent at the token endpoint say the version of `_version.py`."""
    version = oauth_session.__version__
    assert metadata("oauth-session")["Version"] == version
    command = [sys.executable, "-m", "oauth_session", "--version"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert said.split()[-1] == version
    client = OAuthClient(
        token_url=provider.token_url,
        client_id=provider.client_id,
        client_secret=provider.client_secret,
        grant_type="client_credentials",
        base_url=provider.api_url,
    )
    assert client.token("one")
    client.close()
    assert [seen.headers["user-agent"] for seen in provider.requests] == [f"oauth-session/{version}"]


def test_the_version_is_written_once() -> None:
    """No other file of the package, its set-up or its pages says which version this is."""
    quoted = re.compile(rf"(?<![\d.]){re.escape(oauth_session.__version__)}(?![\d.])")
    files = [
        *(ROOT / "oauth_session").rglob("*.py"),
        ROOT / "setup.cfg",
        ROOT / "setup.py",
        *(ROOT / "docs").glob("*.py"),
    ]
    assert len(files) > 80
    assert [path.name for path in files if quoted.search(path.read_text())] == ["_version.py"]


def test_fragments_are_fragments() -> None:
    """Each file in changes/ is named `+topic.type.rst`, with a type that towncrier.toml has, and is whole sentences."""
    kinds = [
        kind["directory"] for kind in tomllib.loads((ROOT / "towncrier.toml").read_text())["tool"]["towncrier"]["type"]
    ]
    name = re.compile(rf"\+[a-z0-9-]+\.({'|'.join(kinds)})\.rst")
    assert [path.name for path in FRAGMENTS if not name.fullmatch(path.name)] == []
    texts = {path.name: path.read_text() for path in FRAGMENTS}
    assert [name for name, text in texts.items() if not re.fullmatch(r"\S.*\.\n", text, re.DOTALL)] == []
    assert [name for name, text in texts.items() if max(map(len, text.splitlines())) > 128] == []


def test_the_changelog_can_be_written_to() -> None:
    """CHANGES.rst has the line below which towncrier writes, once."""
    start = tomllib.loads((ROOT / "towncrier.toml").read_text())["tool"]["towncrier"]["start_string"]
    assert (ROOT / "CHANGES.rst").read_text().count(start) == 1
