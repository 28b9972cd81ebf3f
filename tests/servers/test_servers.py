"""The real servers are what the other tests take them for: asked by plain `requests`, without this package."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis
import requests
from support import installed
from support.authorization import ODD, PLAIN, POST, PUBLIC, AuthorizationServer, Client
from support.servers import RedisServer, redis_binaries

pytestmark = pytest.mark.timeout(300)  # the first run installs the servers

EXPIRED = 3.2  # seconds after which a token of two is not accepted any more; both servers count whole seconds


@pytest.mark.parametrize("client", [PLAIN, ODD, POST, PUBLIC], ids=["basic", "odd", "post", "public"])
def test_oidc_provider_rotates(oidc: AuthorizationServer, client: Client) -> None:
    """A login with code and PKCE; each client's refresh replaces both tokens, and the API takes the new one."""
    first = oidc.login(client)
    assert oidc.call(first).status_code == 200
    assert oidc.alive(first)
    second = oidc.refresh(first, client).json()
    assert {first["access_token"], first["refresh_token"]}.isdisjoint({second["access_token"], second["refresh_token"]})
    assert oidc.call(second).status_code == 200
    assert (oidc.alive(first), oidc.alive(second)) == (False, True)


def test_oidc_provider_wants_encoded_credentials(oidc: AuthorizationServer) -> None:
    """RFC 6749 2.3.1: an id and a secret that were not form-urlencoded before base64 are refused."""
    pair = oidc.login(ODD)
    response = requests.post(
        oidc.token_url,
        data={"grant_type": "refresh_token", "refresh_token": pair["refresh_token"]},
        auth=(ODD["client_id"], ODD["client_secret"]),
        timeout=30,
    )
    assert response.status_code in (400, 401)
    assert oidc.alive(pair)


def test_oidc_provider_has_client_credentials(oidc: AuthorizationServer) -> None:
    """Client credentials give an access token that the API takes, and no refresh token."""
    token = oidc.ask(PLAIN, grant_type="client_credentials").json()
    assert "refresh_token" not in token
    assert oidc.call(token).status_code == 200


@pytest.mark.parametrize(
    ("name", "path", "status", "challenge"),
    [
        ("oidc", "/api/me", 401, 'error="invalid_token"'),
        ("toolkit", "/api/me", 403, None),
        ("toolkit", "/challenging/me", 401, "Bearer"),
    ],
)
def test_access_tokens_expire(
    name: str, path: str, status: int, challenge: str | None, request: pytest.FixtureRequest
) -> None:
    """An access token that was good is refused when its seconds are over, in each server's own way."""
    server: AuthorizationServer = request.getfixturevalue(name)
    token = server.login()
    assert server.call(token, path).status_code == 200
    time.sleep(EXPIRED)
    refused = server.call(token, path)
    assert refused.status_code == status
    header = refused.headers.get("WWW-Authenticate")
    assert header is None if challenge is None else challenge in str(header)
    fresh = server.refresh(token).json()
    assert server.call(fresh, path).status_code == 200


@pytest.mark.parametrize("name", ["oidc", "toolkit"])
def test_reuse_kills_the_winner(name: str, request: pytest.FixtureRequest) -> None:
    """An old refresh token presented again is `invalid_grant`, and takes the newer pair with it."""
    server: AuthorizationServer = request.getfixturevalue(name)
    first = server.login()
    second = server.refresh(first).json()
    assert server.call(second).status_code == 200
    again = server.refresh(first)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    assert not server.alive(second)
    assert server.refresh(second).json()["error"] == "invalid_grant"
    assert server.call(second).status_code in (401, 403)


def test_the_toolkit_forgives_in_its_grace(forgiving_toolkit: AuthorizationServer) -> None:
    """With grace, an old refresh token presented again gives the same pair, and nothing dies."""
    first = forgiving_toolkit.login()
    second = forgiving_toolkit.refresh(first).json()
    again = forgiving_toolkit.refresh(first).json()
    assert (again["access_token"], again["refresh_token"]) == (second["access_token"], second["refresh_token"])
    assert forgiving_toolkit.alive(second)


@pytest.mark.parametrize("name", sorted(redis_binaries()))
def test_a_redis_can_be_broken_and_mended(name: str, tmp_path: Path) -> None:
    """Start, pause, resume, SIGKILL and restart on the same port; with an append-only file nothing is lost."""
    server = RedisServer(redis_binaries()[name], tmp_path, "--appendonly", "yes", "--appendfsync", "always")
    try:
        with redis.Redis.from_url(server.url, socket_timeout=0.5, retry=None) as client:
            client.set("key", "value")
            server.pause()
            with pytest.raises(redis.TimeoutError):
                client.get("key")
            server.resume()
            assert client.get("key") == b"value"
            server.kill()
            with pytest.raises(redis.ConnectionError):
                client.get("key")
            server.restart()
            assert client.get("key") == b"value"
    finally:
        server.stop()
    assert server.process.returncode is not None


def test_a_server_ends_with_its_parent(tmp_path: Path) -> None:
    """When the test run is killed, even by SIGKILL, its servers go too."""
    program = (
        "import os, sys; from pathlib import Path; from support.servers import RedisServer, redis_binaries\n"
        "server = RedisServer(redis_binaries()['valkey'], Path(sys.argv[1]))\n"
        "print(server.url, server.process.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    tests = Path(__file__).parent.parent
    command = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(command, cwd=tests, stdout=subprocess.PIPE, text=True, timeout=60, check=False)
    assert done.returncode == -9
    url, pid = done.stdout.split()
    with redis.Redis.from_url(url, retry=None) as client:
        end = time.monotonic() + 10
        while time.monotonic() < end:
            try:
                client.ping()
            except redis.ConnectionError:
                return
            time.sleep(0.05)
    os.kill(int(pid), signal.SIGKILL)  # it answered just now, so the pid is still its own
    pytest.fail("the server is still there")


def test_a_failed_installation_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry that cannot be reached is an error, not a skip; the next run begins again."""
    monkeypatch.setattr(installed, "CACHE", tmp_path)
    broken = [[sys.executable, "-c", "import sys; sys.exit('no route to the registry')"]]
    with pytest.raises(RuntimeError, match="no route to the registry"):
        installed.install("thing", lambda home: broken)
    assert not (tmp_path / "thing" / "installed").exists()
    assert (installed.install("thing", lambda home: []) / "installed").exists()
