"""The pages about providers say what the data says, and what they show works; the commands, as a person sees them."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from support.snippets import run_snippets

from oauth_session.providers import load_profile, names
from oauth_session.providers.schema import CHECKS
from oauth_session.testing import FakeProvider

DOCS = Path(__file__).parent.parent.parent / "docs"
PAGE = DOCS / "providers" / "not-listed.rst"


def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def command(*args: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "oauth_session", "providers", *args],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=folder,
        env={"PATH": "", "COLUMNS": "120", "PYTHONPATH": ":".join(filter(None, sys.path))},
    )


def acme() -> str:
    block = re.search(r"code-block:: toml\n\n((?:    .*\n|\n)+)", PAGE.read_text())
    assert block is not None
    return re.sub(r"^    ", "", block[1], flags=re.M)


def test_the_page_of_the_default_rule_is_what_the_data_gives() -> None:
    """The confusion matrix in the docs is measured, not written: run `python docs/generate.py` after a change."""
    assert (DOCS / "providers" / "default-rule.rst").read_text() == generate().matrix()


def test_each_provider_has_its_page() -> None:
    """With every fact, its source, and each real answer."""
    pages = generate().pages()
    for name in names():
        page, profile = pages[f"known/{name}.rst"], load_profile(name)
        assert page.count("\n   * - ") >= len(profile.sources) + len(profile.examples)
        assert page.count("Unverified, not applied") == len(profile.unverified)


def test_the_profile_of_the_five_questions_holds(tmp_path: Path) -> None:
    """The page's profile, through both commands that the page names."""
    (tmp_path / "acme.toml").write_text(acme())
    shown = command("acme.toml", folder=tmp_path)
    assert shown.returncode == 0 and "Acme" in shown.stdout and 'error.code = "token_expired"' in shown.stdout
    checked = command("check", "acme.toml", folder=tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "acme.toml holds." in checked.stdout and "wrong" not in checked.stdout


def test_the_page_about_doubles_works() -> None:
    """What it shows runs as it stands."""
    page = (DOCS / "providers" / "double.rst").read_text()
    block = re.search(r"code-block:: python\n\n((?:    .*\n|\n)+)", page)
    assert block is not None
    exec(compile(re.sub(r"^    ", "", block[1], flags=re.M), "double.rst", "exec"), {})


def test_the_snippet_of_the_five_questions(
    provider: FakeProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session of the page is made from the page's profile, and the fake provider behaves as that says."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ACME_SECRET", "a secret")
    (tmp_path / "acme.toml").write_text(acme())
    run_snippets(PAGE, provider, "")["session"].close()
    with FakeProvider(profile="acme.toml") as double:
        assert "data" in double.issue()


@pytest.mark.parametrize(
    ("old", "new", "code", "says"),
    [
        ('root = "data"', 'root = "tokens"', 1, "no access token is found in it"),
        ('equals = "token_expired"', 'matches = "token"', 2, "acme.toml: expired_when: rule 1: "),
        ('"https://{region}.acme.example/oauth/token"', '"http://acme.example/token"', 2, "acme.toml: token_url: "),
        ('body = \'{"error":{"code":"token_expired"}}\'', "body = 'gone'", 2, "acme.toml: examples: HTTP 403"),
        (
            'equals = "session_gone"',
            'equals = "x"\n[[examples]]\nof = "refresh_dead"\nstatus = 400\nbody = "no"',
            1,
            "a dead refresh token was not known as dead",
        ),
    ],
)
def test_check_says_what_is_wrong(old: str, new: str, code: int, says: str, tmp_path: Path) -> None:
    """With file, field and reason, and an exit code."""
    assert old in acme()
    (tmp_path / "acme.toml").write_text(acme().replace(old, new, 1))
    checked = command("check", "acme.toml", folder=tmp_path)
    assert checked.returncode == code and "Traceback" not in checked.stderr
    assert says in (checked.stderr if code == 2 else checked.stdout).replace("\n", " ")
    assert code == 2 or "wrong" in checked.stdout


def test_the_page_names_every_field() -> None:
    """And no other."""
    text = PAGE.read_text().partition("All fields\n")[2]
    hooks = {"build_refresh", "parse_refresh", "after_refresh"}
    assert {name for name in CHECKS if f"``{name}``" not in text} == {"name"} | hooks
    assert all(f"``{name}(" in PAGE.read_text() for name in hooks)


def test_the_list_names_every_provider(tmp_path: Path) -> None:
    """One line or more each."""
    listed = command(folder=tmp_path)
    assert listed.returncode == 0
    assert {line.split()[0] for line in listed.stdout.splitlines() if not line.startswith(" ")} >= set(names())


def test_an_unknown_name_is_refused(tmp_path: Path) -> None:
    """And says what there is to do."""
    found = command("nobody", folder=tmp_path)
    assert found.returncode == 2 and "nobody" in found.stderr
    missing = command("check", "nobody.toml", folder=tmp_path)
    assert missing.returncode == 2 and "nobody.toml: cannot be read" in missing.stderr


def test_the_matrix_counts() -> None:
    """Its four cells are the examples of the APIs, each counted once."""
    text = generate().matrix()
    cells = [int(n) for n in re.findall(r"^     - (\d+)(?: \(\w+\))?$", text, re.M)[:4]]
    examples = [e for name in names() for e in load_profile(name).examples if not e.of.startswith("refresh_")]
    assert sum(cells) == len(examples) == int(re.search(r"Over the (\d+) answers", text)[1])  # type: ignore[index]
    unverified = sum(example.source.startswith("unverified") for example in examples)
    assert text.count("(*said*)") == unverified == int(re.search(r"(\d+) of which are said", text)[1])  # type: ignore[index]
