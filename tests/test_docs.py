"""What the pages of the docs show is run, and what is drawn or listed there is what was measured or read."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
from support.snippets import blocks_of, files_of, run_snippets

from oauth_session import OAuthSession
from oauth_session.cli import settings
from oauth_session.providers import load_profile
from oauth_session.testing import FakeProvider

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(
    path
    for path in (*DOCS.rglob("*.rst"), ROOT / "README.rst")
    if not {"_build", "known", "made"} & set(path.relative_to(ROOT).parts)
)
OTHER_PYTHON = re.compile(
    r"^\s*(\.\. code(-block)?::\s*(python|py|python3|pycon|ipython3?|default)?\s*|\.\. (doctest|testcode|sourcecode)::.*"
    r"|\.\. literalinclude::.*\.py)$",
    re.MULTILINE,
)


def load(name: str) -> ModuleType:
    """A script of the docs, as a module."""
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pages_that_tests_run(*by: str) -> set[str]:
    """The names of pages in the tests that call one of these functions."""
    named: set[str] = set()
    for path in (ROOT / "tests").rglob("*.py"):
        tree = ast.parse(path.read_text())
        calls = {
            node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        if calls & set(by):
            texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
            named |= {text for text in texts if isinstance(text, str) and re.fullmatch(r"[\w-]+\.rst", text)}
    return named


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_python_block_is_run(page: Path) -> None:
    """A page with Python is run by a test, all of its blocks, whatever they are called or however far they are indented."""
    found = [match[0].strip() for match in OTHER_PYTHON.finditer(page.read_text())]
    assert [line for line in found if line != ".. code-block:: python"] == []
    blocks, files = blocks_of(page), [name for language, name, _ in files_of(page) if language == "python"]
    assert len(blocks) + len(files) == len(found)
    assert not blocks or page.name in pages_that_tests_run("run_snippets", "blocks_of")
    assert not files or page.name in pages_that_tests_run("write_files")
    if blocks:
        assert [other for other in PAGES if other.name == page.name and blocks_of(other)] == [page]


def test_the_front_page(provider: FakeProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its session is logged in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("APP_SECRET", str(provider.client_secret))
    namespace = run_snippets(DOCS / "index.rst", provider, "")
    assert namespace["session"].get("me").ok


def test_the_page_on_testing(tmp_path: Path) -> None:
    """Its tests are tests: they pass, each of them, in a run of their own."""
    (tmp_path / "test_page.py").write_text("\n\n".join(blocks_of(DOCS / "howto" / "testing.rst")))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout=60", "test_page.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"1\d passed", done.stdout)


def test_what_is_made_from_data_is_current() -> None:
    """The tables of the comparison are those of the measurement: run `python docs/generate.py` after a new one."""
    generate = load("generate")
    assert (DOCS / "comparison.rst").read_text() == generate.made()[DOCS / "comparison.rst"]


def test_the_drawing_of_an_expiry_is_what_was_measured() -> None:
    """The SVG is drawn from the run beside it, in which five processes made one refresh."""
    expiry = load("expiry")
    import json

    found = json.loads((DOCS / "figures" / "expiry.json").read_text())
    assert (DOCS / "figures" / "expiry.svg").read_text() == expiry.draw(found)
    assert (found["refreshes"], len(found["ends"])) == (1, 5)
    assert all(end["status"] == 200 for end in found["ends"])


def test_each_number_has_its_reason() -> None:
    """The page on the numbers lists every constant of the policy, with its value, and says why."""
    from oauth_session import policy

    tables = load("tables")
    found = tables.constants(Path(policy.__file__).read_text())
    assert {name: value for name, value, _ in found} == {
        name: value for name, value in vars(policy).items() if re.fullmatch(r"[A-Z][A-Z_]+", name)
    }
    assert [name for name, _, reason in found if len(reason) < 20] == []


def test_each_setting_is_explained() -> None:
    """The table of the settings file has every key; those that are said to be as in `OAuthSession` are."""
    tables = load("tables")
    rows = re.findall(r"\* - ``(\w+)``\n     - (.+)\n     - (.+)\n", tables.settings())
    assert {name for name, _, _ in rows} == {*settings._SECRETS, *settings._TEXTS, *settings._OTHERS}
    arguments = inspect.signature(OAuthSession).parameters
    assert [name for name, _, meaning in rows if meaning.startswith("as in") and name not in arguments] == []


def test_the_settings_file_of_the_reference(tmp_path: Path) -> None:
    """It is read, as it stands, and holds what the message about a missing file shows."""
    block = re.search(r"code-block:: toml\n\n((?:    .*\n|\n)+)", (DOCS / "reference" / "settings.rst").read_text())
    assert block is not None
    path = tmp_path / "services.toml"
    path.write_text(re.sub(r"^    ", "", block[1], flags=re.MULTILINE))
    assert settings.services(path) == tomllib.loads(settings.EXAMPLE)


TOML = re.compile(r"^\.\. code-block:: toml\n\n((?:    .*\n|\n)+)", re.MULTILINE)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if "code-block:: toml" in page.read_text()], ids=lambda page: page.stem
)
def test_each_toml_block_is_read(page: Path, tmp_path: Path) -> None:
    """As a settings file of the command line, or as the profile of a provider."""
    blocks = TOML.findall(page.read_text())
    assert len(blocks) == page.read_text().count("code-block:: toml")
    for block in blocks:
        path = tmp_path / "block.toml"
        path.write_text(re.sub(r"^    ", "", block, flags=re.MULTILINE))
        if "title" in tomllib.loads(path.read_text()):
            assert load_profile(str(path)).title
        else:
            assert settings.services(path)
