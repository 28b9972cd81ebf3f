"""Where it runs, as far as this package alone shows it; servers, Celery, Lambda and notebooks are in `tox -e places`."""

from __future__ import annotations

import ast
import json
import multiprocessing
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import Make, MakeClient, MakeProvider
from support.crowd import settings_of

from oauth_session.exchange import _Watched
from oauth_session.stores import open_store
from oauth_session.testing import FakeProvider

SUPPORT = Path(__file__).parent / "support"
PACKAGE = Path(__file__).parent.parent / "oauth_session"


# -- forks behind Python's back -------------------------------------------------------------------------------------------


def forked_unnoticed(provider: FakeProvider, store: str) -> dict[str, Any]:
    settings = settings_of(provider, store)
    del settings["grant_id"]
    command = [sys.executable, str(SUPPORT / "unnoticed.py"), json.dumps(settings), json.dumps(provider.issue())]
    run = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert run.returncode == 0, run.stderr
    found: dict[str, Any] = json.loads(run.stdout)
    return found


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_that_python_does_not_notice(make_oauth_provider: MakeProvider, store_url: str) -> None:
    """A child that nobody told, as uWSGI's are, waits for no thread of its parent's, hears news, and shares no connection."""
    provider = make_oauth_provider(token_latency=1.0)
    found = forked_unnoticed(provider, store_url)
    assert found["under_way"], "the fork was to fall into a renewal"
    assert found["child"]["status"] == found["status"] == 200
    assert found["child"]["refreshed"]
    assert found["child"]["told"] == store_url.startswith("redis")
    assert provider.api_connections == 2
    assert provider.model.refresh_calls == provider.model.generations == 1
    assert provider.model.reuse_incidents == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_that_python_does_not_notice_leaves_memory_to_the_parent(make_oauth_provider: MakeProvider) -> None:
    """A rotating refresh token in memory stays with the parent also there: the child is told so at once."""
    provider = make_oauth_provider(token_latency=1.0)
    found = forked_unnoticed(provider, "memory:")
    assert "stayed with the parent" in found["child"]["status"]
    assert found["child"]["seconds"] < 10
    assert found["status"] == 200
    assert provider.model.reuse_incidents == 0


# -- places that stand still ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["uwsgi", "lambda", "neither"])
def test_where_threads_stand_still_a_renewal_in_advance_is_waited_for(
    make_oauth_provider: MakeProvider, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """No renewal is left to a thread that freezes with the answer: its request waits, and uWSGI's user is told what to set."""
    monkeypatch.setattr("oauth_session.telling._told", set())
    if place == "uwsgi":
        monkeypatch.setitem(sys.modules, "uwsgi", SimpleNamespace(has_threads=0))
    elif place == "lambda":
        monkeypatch.setenv("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:1")
    provider = make_oauth_provider(lifetime=8.0, token_latency=1.0)
    told: list[Any] = []
    client = make_client(provider, on_event=told.append)
    client.put("g", provider.issue())
    session = client.session("g")
    session.get("me")
    time.sleep(6.9)  # in the advisory window
    session.get("me")
    waited = provider.model.generations == 1
    assert waited == (place != "neither")
    assert [event.reason.split(": ")[-1] for event in told if event.name == "no_threads"] == (
        ["set enable-threads"] if place == "uwsgi" else []
    )
    deadline = time.monotonic() + 10
    while not any(event.name == "refresh_ended" for event in told) and time.monotonic() < deadline:
        time.sleep(0.02)


def test_a_connection_is_old_after_a_suspension(provider: FakeProvider, make_session: Make) -> None:
    """What idled while the machine was suspended is no connection for a refresh token, whatever the monotonic clock says."""
    session = make_session(provider, refresh_token=provider.issue()["refresh_token"])
    session.get("me")
    adapter = session.auth.source.endpoint._session().get_adapter(provider.token_url)
    pools = [adapter.poolmanager.pools[key] for key in adapter.poolmanager.pools.keys()]  # noqa: SIM118
    (pool,) = [pool for pool in pools if str(pool.port) in provider.url]
    connection = pool.pool.queue[-1]
    assert isinstance(connection, _Watched)
    assert connection.is_connected
    monotonic, wall = connection._used
    connection._used = monotonic, wall - 3600
    assert not connection.is_connected
    provider.expire()
    assert session.get("me").status_code == 200
    assert provider.token_connections == 2


# -- processes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_each_way_to_start_processes(make_oauth_provider: MakeProvider, store_url: str, method: str) -> None:
    """fork, spawn and forkserver: four processes that meet an expiry refresh once, whatever the parent had open before."""
    provider = make_oauth_provider()
    script = f"""
        import json, multiprocessing, sys
        sys.path.insert(0, {str(SUPPORT.parent)!r})
        from oauth_session import OAuthSession
        from support.crowd import steps
        if __name__ == "__main__":
            settings = json.loads(sys.argv[1])
            session = OAuthSession(**settings, refresh_token=sys.argv[2])
            before = session.get("work").status_code
            print("ready", flush=True)
            sys.stdin.readline()
            with multiprocessing.get_context({method!r}).Pool(4) as pool:
                found = pool.starmap(steps, [(settings, 2)] * 8)
                pool.close()
                pool.join()
            print(json.dumps([before, session.get("work").status_code, *sum(found, [])]))
    """
    path = Path(os.environ["HOME"]) / "program.py"
    path.write_text(textwrap.dedent(script))
    arguments = [json.dumps(settings_of(provider, store_url)), provider.issue()["refresh_token"]]
    program = subprocess.Popen(
        [sys.executable, str(path), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
        provider.expire()
        said, _ = program.communicate("\n", timeout=90)
    finally:
        program.kill()
        program.wait()
    assert json.loads(said) == [200] * 18
    assert provider.model.refresh_calls == provider.model.generations == 2  # the seed's, and the expiry's
    assert provider.model.reuse_incidents == 0


def test_two_scripts_at_once(provider: FakeProvider, tmp_path: Path) -> None:
    """Two scripts that a timer starts in the same second, with the seed in both, refresh once, and the next two not at all."""
    settings = settings_of(provider, f"sqlite:///{tmp_path}/grants.db")
    script = (
        "import json, sys; from oauth_session import OAuthSession; "
        "print(OAuthSession(**json.loads(sys.argv[1]), refresh_token=sys.argv[2]).get('me').status_code)"
    )
    command = [sys.executable, "-c", script, json.dumps(settings), provider.issue()["refresh_token"]]
    for _ in range(2):
        programs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
        assert [program.communicate(timeout=60)[0] for program in programs] == ["200\n"] * 2
    assert provider.model.refresh_calls == provider.model.generations == 1
    assert provider.model.reuse_incidents == 0


def test_close_lets_a_refresh_land(make_oauth_provider: MakeProvider, make_client: MakeClient, store_url: str) -> None:
    """Who ends a process by `os._exit`, as Celery its children, and closes the client before, loses no pair."""
    provider = make_oauth_provider(token_latency=1.5)
    client = make_client(provider, store=store_url)
    client.put("g", provider.issue())
    script = """
        import contextlib, json, os, sys
        from oauth_session import OAuthClient, RefreshTimeout
        client = OAuthClient(**json.loads(sys.argv[1]))
        with contextlib.suppress(RefreshTimeout):
            client.refresh("g", timeout=0.3)
        client.close()
        os._exit(0)
    """
    settings = settings_of(provider, store_url)
    del settings["grant_id"]
    subprocess.run([sys.executable, "-c", textwrap.dedent(script), json.dumps(settings)], timeout=60, check=True)
    assert provider.model.generations == 1
    (status,) = [status for status in client.grants()[0] if status.grant_id == "g"]
    assert status.generation == 1
    for _ in range(2):  # the first finds what the other program has stored
        client.refresh("g")
    assert provider.model.refresh_calls == 2
    assert provider.model.reuse_incidents == 0


# -- containers -----------------------------------------------------------------------------------------------------------

NOBODY = 65534


@pytest.mark.parametrize("what", ["folder", "file", "nowhere"])
def test_a_file_that_may_not_be_written_is_named(make_oauth_provider: MakeProvider, tmp_path: Path, what: str) -> None:
    """A read-only folder, a file of another user, a place without files: a `StoreError` with the path and the reason."""
    folder = tmp_path / "data"
    folder.mkdir()
    path = folder / "grants.db"
    if what == "file":
        path.touch(mode=0o444)
    if what == "nowhere":
        path = Path("/proc/grants.db")
    folder.chmod(0o555)
    script = f"""
        import os
        from oauth_session import OAuthClient, StoreError
        def client(path):
            return OAuthClient(
                token_url="https://auth.example.com/token", client_id="app", base_url="https://api.example.com/",
                store="sqlite:///" + path,
            )
        token = {{"access_token": "secret-1", "refresh_token": "secret-2"}}
        client({str(tmp_path / "warm.db")!r}).put("g", token)  # what is imported late may be out of that user's reach
        if os.geteuid() == 0:
            os.setuid({NOBODY})
        try:
            client({str(path)!r}).put("g", token)
        except StoreError as error:
            print(error)
    """
    for parent in [folder, *folder.parents][1:]:
        if parent.stat().st_uid == os.geteuid() and str(parent) != "/":
            parent.chmod(parent.stat().st_mode | 0o011)
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=False)
    folder.chmod(0o755)
    assert run.returncode == 0, run.stderr
    assert str(path) in run.stdout
    assert "secret" not in run.stdout
    assert any(word in run.stdout for word in ("ermission denied", "not permitted", "readonly", "No such file")), (
        run.stdout
    )


# -- Windows and macOS, from afar ----------------------------------------------------------------------------------------

UNIX_MODULES = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}
UNIX_NAMES = {
    "os": """
        fork forkpty register_at_fork geteuid getuid setuid getgid chown fchmod fchown getpgid killpg mkfifo wait3 WNOHANG
        uname sysconf getloadavg openpty O_NOFOLLOW O_CLOEXEC O_DIRECTORY sched_getaffinity pread
    """.split(),  # noqa: SIM905
    "signal": """
        SIGALRM SIGKILL SIGSTOP SIGCONT SIGHUP SIGQUIT SIGUSR1 SIGUSR2 SIGCHLD SIGPIPE SIGWINCH SIGTSTP setitimer alarm
        pause pthread_kill pthread_sigmask
    """.split(),  # noqa: SIM905
    "socket": ["AF_UNIX", "SO_REUSEPORT", "MSG_DONTWAIT", "TCP_KEEPIDLE"],
    "time": ["tzset", "clock_gettime", "CLOCK_BOOTTIME", "CLOCK_MONOTONIC"],
}


def unguarded(tree: ast.Module) -> list[str]:
    """Uses of what Windows does not have, that no `hasattr` or `sys.platform` around them guards."""
    found: list[str] = []

    def walk(node: ast.AST) -> None:
        if isinstance(node, ast.If | ast.IfExp) and (
            "hasattr(" in ast.unparse(node.test) or "platform" in ast.unparse(node)
        ):
            return
        if isinstance(node, ast.Import):
            found.extend(alias.name for alias in node.names if alias.name in UNIX_MODULES)
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.extend([node.module] if node.module in UNIX_MODULES else [])
            names = UNIX_NAMES.get(node.module, [])
            found.extend(f"{node.module}.{alias.name}" for alias in node.names if alias.name in names)
        if isinstance(node, ast.Attribute) and node.attr in UNIX_NAMES.get(ast.unparse(node.value), []):
            found.append(ast.unparse(node))
        for child in ast.iter_child_nodes(node):
            walk(child)

    walk(tree)
    return found


def test_the_package_uses_nothing_that_windows_does_not_have() -> None:
    """No module of the package uses an attribute or module that only Unix has, unless it looks first whether it is there."""
    assert unguarded(
        ast.parse("import fcntl\nos.fork()\nif hasattr(os, 'register_at_fork'):\n    os.register_at_fork()")
    ) == [
        "fcntl",
        "os.fork",
    ]
    found = {str(path.relative_to(PACKAGE)): unguarded(ast.parse(path.read_text())) for path in PACKAGE.rglob("*.py")}
    assert len(found) > 80
    assert {path: names for path, names in found.items() if names} == {}


def test_it_runs_without_what_windows_does_not_have(provider: FakeProvider, tmp_path: Path) -> None:
    """With all of that taken away, sessions, SQLite and the command line work, and two programs share the grant."""
    bare = f"""
        import os, signal, socket, sys, time
        for module, names in {UNIX_NAMES!r}.items():
            for name in names:
                if hasattr(sys.modules[module], name) and name not in ("WNOHANG", "getuid", "geteuid"):
                    delattr(sys.modules[module], name)
        import importlib.abc
        class Gone(importlib.abc.MetaPathFinder):
            def find_spec(self, name, path, target=None):
                if name in {UNIX_MODULES - {"posix"}!r}:
                    raise ImportError(name)
        sys.meta_path.insert(0, Gone())
        chmod, stat = os.chmod, os.stat
        os.chmod = lambda path, mode, **options: chmod(path, 0o666 if mode & 0o200 else 0o444, **options)  # no other bits there
        import json, subprocess
        from oauth_session import OAuthSession
        settings, seed = json.loads(sys.argv[1]), sys.argv[2:]
        session = OAuthSession(**settings, **({{"refresh_token": seed[0]}} if seed else {{}}))
        print(session.get("me").status_code, session.auth.source.refresh(force=bool(seed)) is not None, flush=True)
        from oauth_session.cli import main
        sys.argv[1:] = ["providers"]
        try:
            main()
        except SystemExit as end:
            print(end.code)
    """
    settings = settings_of(provider, f"sqlite:///{tmp_path}/grants.db")
    program = [sys.executable, "-c", textwrap.dedent(bare), json.dumps(settings)]
    for seed in ([provider.issue()["refresh_token"]], []):
        run = subprocess.run([*program, *seed], capture_output=True, text=True, timeout=60, check=False)
        assert run.returncode == 0, run.stderr
        assert run.stdout.startswith("200 True\n"), run.stdout
        assert run.stdout.endswith("\n0\n")
    assert provider.model.refresh_calls == provider.model.generations == 3
    assert provider.model.reuse_incidents == 0


def test_a_store_url_with_a_drive_letter() -> None:
    """`sqlite:///C:/Users/me/grants.db` names the file on the drive."""
    path = open_store("sqlite:///C:/Users/me/grants.db").path
    assert str(path).endswith("C:/Users/me/grants.db")
