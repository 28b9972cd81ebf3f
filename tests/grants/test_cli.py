"""The command line as a person runs it: in a process of its own, with a browser that knows forms."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
from support.grants_server import GrantsServer
from support.servers import free_port

from oauth_session.cli import main
from oauth_session.cli.settings import choose, client_of, services
from oauth_session.errors import ConfigurationError

pytestmark = pytest.mark.timeout(300)  # the first run installs the server

Run = Callable[..., "subprocess.CompletedProcess[str]"]
TESTS = Path(__file__).parent.parent


def seen(folder: Path) -> str:
    """What the browser, a process of its own, showed at the end."""
    end = time.monotonic() + 20
    while not (folder / "page").exists() and time.monotonic() < end:
        time.sleep(0.05)
    text = (folder / "page").read_text()
    assert text.startswith("200 ")
    return text


class Echo(BaseHTTPRequestHandler):
    """An API that says what it got."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        said = {"path": self.path, "type": self.headers["Content-Type"], "body": body.decode("latin-1")}
        content = json.dumps(said | {"token": (self.headers["Authorization"] or "")[:7]}).encode()
        self.send_response(404 if "missing" in self.path else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST

    def log_message(self, *args: object) -> None: ...


@pytest.fixture(scope="module")
def echo() -> Iterator[str]:
    api = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=api.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{api.server_address[1]}/v1/"
    api.shutdown()
    api.server_close()
    thread.join()


@pytest.fixture
def run(server: GrantsServer, echo: str, tmp_path: Path) -> Run:
    """Runs `oauth-session` with services: `mine` and `bound` of a person, `robot` of a program."""
    secret = tmp_path / "secret"
    secret.write_text(server.clients["app"]["client_secret"] + "\n")
    config = tmp_path / "services.toml"
    config.write_text(f"""
[mine]
issuer = "{server.issuer}"
client_id = "public"
scope = "openid offline_access"
base_url = "{server.issuer}"
params = {{prompt = "consent"}}
[robot]
issuer = "{server.issuer}"
client_id = "app"
client_secret = "file:{secret}"
grant_type = "client_credentials"
base_url = "{echo}"
[bound]
issuer = "{server.issuer}"
client_id = "bound"
client_secret = "file:{secret}"
scope = "openid offline_access"
base_url = "{server.issuer}"
params = {{prompt = "consent"}}
dpop = true
""")
    base = {
        "OAUTH_SESSION_CONFIG": str(config),
        "XDG_DATA_HOME": str(tmp_path / "data"),
        "HOME": str(tmp_path),
        "PYTHONPATH": os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]),
    }

    def run(*args: str, browser: str = "logs in", stdin: str = "") -> subprocess.CompletedProcess[str]:
        env = (
            os.environ
            | base
            | {"BROWSER": f"{sys.executable} -m support.pages {browser.replace(' ', '-')} {page} %s &"}
        )
        command = [sys.executable, "-m", "oauth_session", *args]
        return subprocess.run(command, env=env, input=stdin, capture_output=True, text=True, check=False, timeout=60)

    page = tmp_path / "page"
    return run


@pytest.fixture
def inside(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Run:
    """The same in this process, which is quicker."""

    def inside(*args: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        monkeypatch.setenv("OAUTH_SESSION_CONFIG", str(tmp_path / "services.toml"))
        monkeypatch.setenv("OAUTH_SESSION_STORE", f"sqlite:///{tmp_path}/inside.db")
        monkeypatch.setattr(sys, "argv", ["oauth-session", *args])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        capfdbinary.readouterr()
        with pytest.raises(SystemExit) as caught:
            main()
        out, err = (text.decode() for text in capfdbinary.readouterr())
        code = caught.value.code
        return subprocess.CompletedProcess(args, code if isinstance(code, int) else 0, out, err)

    return inside


def test_a_login_and_all_that_follows(run: Run, tmp_path: Path) -> None:
    """F5: browser, loopback, consent; then token, request, status, refresh, revoke; the page says that one may go."""
    done = run("login", "-s", "mine")
    assert done.returncode == 0, done.stderr
    assert "Logged in to mine" in done.stderr
    assert "You are logged in" in seen(tmp_path)
    token = run("token", "-s", "mine").stdout
    assert re.fullmatch(r"\S+\n", token)
    assert json.loads(run("request", "GET", "me", "-s", "mine").stdout) == {"sub": "user"}
    assert "Refreshed" in run("refresh", "-s", "mine").stderr
    assert run("token", "-s", "mine").stdout not in ("", token)
    (grant,) = json.loads(run("status", "-s", "mine", "--json").stdout)
    assert (grant["grant_id"], grant["state"], grant["has_refresh_token"]) == ("default", "live", True)
    table = run("status", "-s", "mine").stdout
    assert "default" in table
    assert "live" in table
    assert "Revoked" in run("revoke", "-s", "mine").stderr
    gone = run("token", "-s", "mine")
    assert (gone.returncode, gone.stdout) == (1, "")
    assert "oauth-session login -s mine" in gone.stderr
    folder = tmp_path / "data" / "oauth-session"
    assert {oct(path.stat().st_mode & 0o077) for path in (folder, *folder.iterdir())} == {"0o0"}


@pytest.mark.parametrize(
    ("browser", "says", "shown"),
    [
        ("denies", "consent was denied", "consent was denied"),
        ("forged", "does not belong to this login", "does not belong to this login"),
        ("closes", "nobody came back", None),
    ],
)
def test_a_login_that_fails(run: Run, tmp_path: Path, browser: str, says: str, shown: str | None) -> None:
    """F2, F5: denied consent, a forged answer, a closed browser: a clear message here and in the browser, nothing stored."""
    done = run("login", "-s", "mine", "--timeout", "2" if browser == "closes" else "30", browser=browser)
    assert done.returncode == 1
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    if shown is not None:
        assert shown in seen(tmp_path)
    assert "No grants" in run("status", "-s", "mine").stderr


def test_a_bound_login(run: Run, tmp_path: Path) -> None:
    """P1, S9: with `dpop = true` the key lies in the store, so `keys` is asked for; with it, all commands work."""
    refused = run("login", "-s", "bound")
    assert refused.returncode == 2
    assert "oauth-session keys new" in refused.stderr
    (tmp_path / "ring").write_text(run("keys", "new").stdout)
    with (tmp_path / "services.toml").open("a") as config:
        config.write(f'keys = "file:{tmp_path}/ring"\n')
    done = run("login", "-s", "bound")
    assert done.returncode == 0, done.stderr
    assert "Refreshed" in run("refresh", "-s", "bound").stderr
    assert json.loads(run("request", "GET", "me", "-s", "bound").stdout) == {"sub": "user"}
    assert "Revoked" in run("revoke", "-s", "bound").stderr


def test_a_logout_is_here_alone(inside: Run, server: GrantsServer) -> None:
    """Section 5: `token` begins a grant that needs no person, `logout` ends it here; the token itself is still good."""
    token = inside("token", "-s", "robot").stdout.strip()
    assert "Logged out of robot" in inside("logout", "-s", "robot").stderr
    (grant,) = json.loads(inside("status", "-s", "robot", "--json").stdout)
    assert grant["state"] == "logged_out"
    gone = inside("token", "-s", "robot")
    assert (gone.returncode, gone.stdout) == (1, "")
    answer = requests.get(server.issuer + "/api/me", headers={"Authorization": f"Bearer {token}"}, timeout=30)
    assert answer.status_code == 200


def test_a_port_that_is_taken(run: Run, server: GrantsServer) -> None:
    """RFC 8252 7.3: a port that was asked for and is taken is named."""
    done = run("login", "-s", "mine", "--port", str(server.port))
    assert done.returncode == 2
    assert f"port {server.port} of 127.0.0.1 is taken" in done.stderr


def test_a_device_login(run: Run, server: GrantsServer, tmp_path: Path) -> None:
    """F6: without a terminal the code stands in one line; entered elsewhere, the grant is stored."""
    env = os.environ | {
        "OAUTH_SESSION_CONFIG": str(tmp_path / "services.toml"),
        "XDG_DATA_HOME": str(tmp_path / "data"),
    }
    command = [sys.executable, "-m", "oauth_session", "login", "-s", "mine", "--device"]
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.fullmatch(r"Open (\S+) and enter (\S+)\n", line)
        assert found, line
        server.enter(f"{found[1]}?user_code={found[2]}")
        rest = process.stderr.read()
    assert process.returncode == 0, rest
    assert json.loads(run("request", "GET", "me", "-s", "mine").stdout) == {"sub": "user"}


def test_requests_of_each_kind(inside: Run, tmp_path: Path) -> None:
    """Headers, query, JSON, form, file and download; the exit code says what became of it."""

    def said(*args: str, **more: str) -> dict[str, str]:
        done = inside("request", *args, "-s", "robot", **more)
        assert done.returncode == 0, done.stderr
        answer: dict[str, str] = json.loads(done.stdout)
        return answer

    assert said("GET", "me", "-q", "a=1", "-q", "b=x y")["path"] == "/v1/me?a=1&b=x+y"
    body = said("POST", "me", "-j", '{"a": [1]}')
    assert (body["type"], json.loads(body["body"]), body["token"]) == ("application/json", {"a": [1]}, "Bearer ")
    assert said("POST", "me", "-f", "a=1&2", "-f", "a=3")["body"] == "a=1%262&a=3"
    assert said("POST", "me", "-d", "@-", "-H", "Content-Type: text/x", stdin="plain")["body"] == "plain"
    upload = tmp_path / "upload.txt"
    upload.write_text("inside")
    assert 'filename="upload.txt"' in said("POST", "me", "-F", f"part={upload}")["body"]
    target = tmp_path / "saved.json"
    assert inside("request", "GET", "me", "-s", "robot", "-o", str(target)).returncode == 0
    assert json.loads(target.read_text())["path"] == "/v1/me"
    assert list(tmp_path.glob("*.part")) == []
    missing = inside("request", "GET", "missing", "-s", "robot", "-o", str(tmp_path / "nothing"))
    assert missing.returncode == 1
    assert "HTTP 404" in missing.stderr
    assert not (tmp_path / "nothing").exists()


def test_errors_say_what_to_do(inside: Run, tmp_path: Path) -> None:
    """No settings, no service, no grant, no server: each message names the next step, and none is a traceback."""
    for args, code, says in (
        (("refresh",), 2, "there are: mine, robot, bound"),
        (("status",), 3, "there are: mine, robot, bound"),  # for monitoring: nothing is known
        (("refresh", "-s", "other"), 2, "there is no service 'other'"),
        (("token", "-s", "mine", "--config", str(tmp_path / "nix.toml")), 2, "Make it, with a table"),
        (("token", "-s", "mine", "-g", "anna"), 1, "oauth-session login -s mine -g anna"),
        (("request", "GET", "http://127.0.0.1:9/", "-s", "robot"), 1, "Connection"),
        (("request", "GET", "me", "-s", "robot", "-j", "{"), 2, "--json is no JSON"),
    ):
        done = inside(*args)
        assert (done.returncode, done.stdout) == (code, ""), done.stderr
        assert says in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[a]\nclient_id = "x"', "needs client_id, and issuer"),
        ('[a]\nissuer = "https://a"\nclient_id = "x"\nclient_secret = "plain"', "does not belong into settings"),
        ('[a]\nissuer = "https://a"\nclient_id = "x"\nclient_secrets = "env:X"', "no setting 'client_secrets'"),
        ('[a]\nissuer = 3\nclient_id = "x"', "issuer must be a text"),
        ('issuer = "https://a"', "outside a table"),
        ("[a", "is not TOML"),
    ],
)
def test_settings_that_are_wrong(tmp_path: Path, text: str, says: str) -> None:
    """What is wrong in the file is named with its place; a secret in it is refused and not shown."""
    path = tmp_path / "services.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=says) as caught:
        services(path)
    assert str(path) in str(caught.value)
    assert "plain" not in str(caught.value)


def test_settings_of_each_client_authentication(tmp_path: Path, server: GrantsServer) -> None:
    """R11, R13: keys and certificates are named by file; what is missing is said."""
    key = tmp_path / "key.pem"
    key.write_text(server.keys["ES256"])
    base = f'issuer = "{server.issuer}"\ngrant_type = "client_credentials"\nstore = "memory:"\n'
    path = tmp_path / "services.toml"
    path.write_text(
        f'[jwt]\n{base}client_id = "signer-ES256"\nclient_auth = "private_key_jwt"\n'
        f'private_key = "file:{key}"\nkey_id = "ES256"\n'
        f'[bare]\n{base}client_id = "x"\nclient_auth = "private_key_jwt"\n'
        f'[tls]\n{base}client_id = "x"\nclient_auth = "tls_client_auth"\n'
    )
    found = services(path)
    assert client_of(choose(found, "jwt")[1], None).token("cli").access_token
    with pytest.raises(ConfigurationError, match="needs private_key"):
        client_of(found["bare"], None)
    with pytest.raises(ConfigurationError, match="needs cert"):
        client_of(found["tls"], None)


def test_a_free_port_is_free_again(run: Run) -> None:
    """F5: the port is open only while the login runs."""
    port = free_port()
    for _ in range(2):
        done = run("login", "-s", "mine", "--port", str(port))
        assert done.returncode == 0, done.stderr
