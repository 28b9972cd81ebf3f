"""Jupyter's own kernel runs the cell of the page."""

from __future__ import annotations

import contextlib
import os
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from conftest import MakeProvider
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient
from support.deployments import until
from support.grants_server import GrantsServer
from support.web import Site

from oauth_session.testing import FakeProvider

TESTS = Path(__file__).parent.parent


class Notebook:
    """One kernel, in which cells are run."""

    def __init__(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in site.env.items():
            monkeypatch.setenv(name, value)
        self.site = site
        self.cell = (site.folder / "cell.py").read_text()
        self.client = NotebookClient(nbformat.v4.new_notebook(), timeout=60, kernel_name="python3", allow_errors=True)
        self.client.km = KernelManager(kernel_name="python3")
        self._running = contextlib.ExitStack()
        self._running.enter_context(self.client.setup_kernel(cwd=str(site.folder)))

    def run(self, source: str) -> str:
        """All that the cell shows, errors included."""
        cell = nbformat.v4.new_code_cell(source)
        self.client.nb.cells.append(cell)
        self.client.execute_cell(cell, len(self.client.nb.cells) - 1)
        return "".join(str(output) for output in cell.outputs)

    def stop(self) -> None:
        self._running.close()


@pytest.fixture
def make_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    made: list[Notebook] = []

    def make(provider: FakeProvider) -> Notebook:
        made.append(Notebook(Site(tmp_path, provider, f"sqlite:///{tmp_path}/grants.db"), monkeypatch))
        return made[-1]

    yield make
    for notebook in made:
        notebook.stop()


def test_notebook_interrupted(make_oauth_provider: MakeProvider, make_notebook: Any) -> None:
    """ "Interrupt" in the middle of a cell's refresh ends the cell, keeps the grant, and the next cell goes on."""
    provider = make_oauth_provider(token_latency=10.0)
    notebook = make_notebook(provider)
    notebook.site.client.put("me", provider.issue())
    assert "200" in notebook.run(notebook.cell + "\nsession.get('me').status_code")
    provider.expire()

    def interrupt() -> None:
        until(lambda: provider.token_requests == 1)
        os.kill(notebook.client.km.provisioner.process.pid, 2)

    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    shown = notebook.run("session.get('me').status_code")
    interrupter.join()
    assert "KeyboardInterrupt" in shown
    assert provider.model.generations == 0, "it was to be interrupted in the middle"
    assert "200" in notebook.run("session.get('me').status_code")
    assert provider.model.refresh_calls == provider.model.generations == 1
    assert provider.model.reuse_incidents == 0


def test_notebook_restarted(provider: FakeProvider, make_notebook: Any) -> None:
    """A new kernel finds the login in the file, rotated since; and what cells show has no secret in it."""
    notebook = make_notebook(provider)
    seed = provider.issue()
    notebook.site.client.put("me", seed)
    provider.expire()
    assert "200" in notebook.run(notebook.cell + "\nsession.get('me').status_code")
    notebook.stop()
    again = make_notebook(provider)
    assert "200" in again.run(again.cell + "\nsession.get('me').status_code")
    assert provider.model.refresh_calls == provider.model.generations == 1
    shown = again.run("crm, session, session.auth, crm.token('me'), crm.grants(), vars(session)")
    shown += again.run("session.auth.source.held()") + again.run("crm.token('me')")
    pair = again.run("print(crm.token('me').access_token)")
    access_token = next(word for word in pair.replace("\\n", "'").split("'") if word.startswith("at-"))
    assert "Token" in shown
    for secret in (access_token, str(provider.client_secret), seed["access_token"], seed["refresh_token"]):
        assert secret not in shown


def test_notebook_login(
    provider: FakeProvider, make_notebook: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`client.login()` in a cell opens the browser of the kernel's machine, and the login outlives the kernel."""
    server = GrantsServer(tmp_path)
    try:
        browser = f"env PYTHONPATH={TESTS} {sys.executable} -m support.pages logs-in {tmp_path / 'page'} %s &"
        monkeypatch.setenv("BROWSER", browser)
        notebook = make_notebook(provider)
        client = f"""
            from oauth_session import OAuthClient
            crm = OAuthClient(
                issuer={server.issuer!r}, client_id="public", store="sqlite:///login.db", base_url={server.issuer!r}
            )
        """
        shown = notebook.run(
            textwrap.dedent(client) + 'crm.login("me", scope="openid offline_access", params={"prompt": "consent"})'
        )
        assert "Token" in shown
        token = notebook.run("print(crm.token('me').access_token)")
        assert "stdout" in token
        notebook.stop()
        again = make_notebook(provider)
        assert again.run(textwrap.dedent(client) + "print(crm.token('me').access_token)") == token
        assert "Token" in again.run("crm.refresh('me')")
        assert again.run("print(crm.token('me').access_token)") != token
        assert token.split("'")[-2].removesuffix("\\n") not in shown
    finally:
        server.stop()
