"""`doctor` on broken set-ups, each named in plain words; the exit codes of `status`."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis
from conftest import MakeProvider
from support.servers import RedisServer, redis_binaries

from oauth_session import OAuthClient
from oauth_session.cli import main
from oauth_session.sealing import new
from oauth_session.testing import FakeProvider

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Run:
    """The command line in this process, with one service that has these settings."""

    def command(*args: str, **settings: Any) -> subprocess.CompletedProcess[str]:
        lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
        (tmp_path / "services.toml").write_text("[mine]\n" + "\n".join(lines) + "\n")
        monkeypatch.setenv("OAUTH_SESSION_CONFIG", str(tmp_path / "services.toml"))
        monkeypatch.setenv("COLUMNS", "200")
        monkeypatch.setenv("APP_SECRET", "fake-secret")
        monkeypatch.setattr(sys, "argv", ["oauth-session", *args])
        capfdbinary.readouterr()
        with pytest.raises(SystemExit) as caught:
            main()
        # the lines as if the terminal were wide enough for each
        out, err = (re.sub(r"\s*\n {20,}", " ", text.decode()) for text in capfdbinary.readouterr())
        code = caught.value.code
        return subprocess.CompletedProcess(args, code if isinstance(code, int) else 0, out, err)

    return command


def service(provider: FakeProvider, store: str, **more: Any) -> dict[str, Any]:
    base = {
        "token_url": provider.token_url,
        "client_id": provider.client_id,
        "client_secret": "env:APP_SECRET",
        "store": store,
        "base_url": provider.api_url,
    }
    return {name: value for name, value in (base | more).items() if value is not None}


@pytest.fixture
def client(provider: FakeProvider, store_url: str) -> OAuthClient:
    return client_of(provider, store_url)


def client_of(provider: FakeProvider, store: Any, **more: Any) -> OAuthClient:
    settings: dict[str, Any] = {
        "token_url": provider.token_url,
        "client_id": provider.client_id,
        "client_secret": provider.client_secret,
        "store": store,
        "base_url": provider.api_url,
    }
    return OAuthClient(**settings | more)


@pytest.fixture
def redis_with(tmp_path: Path) -> Iterator[Callable[..., str]]:
    started: list[RedisServer] = []

    def start(*args: str) -> str:
        started.append(RedisServer(redis_binaries()["valkey"], tmp_path, *args))
        return started[-1].url

    yield start
    for server in started:
        server.stop()


def test_a_sound_set_up(run: Run, provider: FakeProvider, client: OAuthClient, store_url: str) -> None:
    """Nothing is wrong, nothing is said to be; and no refresh token is spent, nor anybody's login changed."""
    client.put("customer-42", provider.issue())
    done = run("doctor", **service(provider, store_url))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "wrong" not in done.stdout and "1 live" in done.stdout
    assert "client_id and client_secret are accepted" in done.stdout
    assert provider.model.generations == provider.model.reuse_incidents == 0
    assert [grant.grant_id for grant in client.grants()[0]] == ["customer-42"]
    assert client.refresh("customer-42")


Broken = tuple[dict[str, Any], str]


def broken_secret(provider: FakeProvider, store: str, client: OAuthClient, patch: pytest.MonkeyPatch) -> Broken:
    provider.model.client_secret = "another"
    return {}, r"the client is refused \(invalid_client, client_secret_basic\): client_id or client_secret is wrong"


def broken_method(provider: FakeProvider, store: str, client: OAuthClient, patch: pytest.MonkeyPatch) -> Broken:
    provider.model.client_auth = frozenset({"client_secret_post"})
    return (
        {},
        r'refused as client_secret_basic, and accepted as client_secret_post: set client_auth = "client_secret_post"',
    )


def broken_clock(provider: FakeProvider, store: str, client: OAuthClient, patch: pytest.MonkeyPatch) -> Broken:
    provider._clock = lambda: time.time() - 300
    return {}, r"the token endpoint's clock is (299|300|301) s behind this machine's"


def broken_seed(provider: FakeProvider, store: str, client: OAuthClient, patch: pytest.MonkeyPatch) -> Broken:
    seed = str(provider.issue()["refresh_token"])
    client.put("default", {"refresh_token": seed})
    provider.revoke()
    with pytest.raises(Exception, match="dead"):
        client.refresh("default")
    patch.setenv("SEED", seed)
    return {"--seed": "env:SEED"}, "it is stale: it was used before, its grant has died since"


def broken_origin(provider: FakeProvider, store: str, client: OAuthClient, patch: pytest.MonkeyPatch) -> Broken:
    return {"allow_http": True, "base_url": "http://api.example.com/"}, r"http://api.example.com:80 is plain http"


def broken_keys(provider: FakeProvider, store: str, client: OAuthClient, patch: pytest.MonkeyPatch) -> Broken:
    sealed = client_of(provider, store, keys=new())
    sealed.put("g", provider.issue())
    sealed.close()
    patch.setenv("RING", new())
    return {"keys": "env:RING"}, "1 cannot be read.*the key that sealed them is missing in keys"


def broken_grace(provider: FakeProvider, store: str, client: OAuthClient, patch: pytest.MonkeyPatch) -> Broken:
    return {"rotation": "always", "reuse_grace": 4}, "are longer than the provider's grace of 4 s"


BROKEN = [broken_secret, broken_method, broken_clock, broken_seed, broken_origin, broken_keys, broken_grace]


@pytest.mark.parametrize("breaks", BROKEN, ids=lambda breaks: breaks.__name__)
def test_what_is_broken_is_named(
    run: Run, provider: FakeProvider, client: OAuthClient, store_url: str, breaks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In plain words, with an exit code; and only that is said to be wrong."""
    more, says = breaks(provider, store_url, client, monkeypatch)
    before = provider.model.generations
    options = [part for name, value in more.items() if name.startswith("--") for part in (name, value)]
    settings = {name: value for name, value in more.items() if not name.startswith("--")}
    done = run("doctor", *options, **service(provider, store_url, **settings))
    text = re.sub(r"\s+", " ", done.stdout)
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(says, text), done.stdout
    wrong = [line for line in done.stdout.splitlines() if line.startswith("wrong")]
    assert len(wrong) == (2 if breaks is broken_seed else 1), done.stdout  # its grant is dead, too
    assert provider.model.generations == before
    assert "fake-secret" not in done.stdout + done.stderr


def test_a_redis_that_evicts(run: Run, provider: FakeProvider, redis_with: Callable[..., str]) -> None:
    """An evicted refresh token is a lost login."""
    url = redis_with("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
    done = run("doctor", **service(provider, url))
    assert done.returncode == 1 and "(maxmemory-policy allkeys-lru)" in done.stdout


def test_a_user_without_the_channel(run: Run, provider: FakeProvider, redis_with: Callable[..., str]) -> None:
    """Everything works, but nobody is woken."""
    url = redis_with()
    rights = "resetkeys ~oauth-session:* resetchannels +@connection +hget +hset +hmget +time +evalsha +script|load"
    with redis.Redis.from_url(url) as admin:
        admin.execute_command("ACL", "SETUSER", "app", "on", ">pw", *rights.split(), "+publish", "+scan")
    done = run("doctor", **service(provider, url.replace("//", "//app:pw@")))
    assert done.returncode == 1 and "no news from other processes" in done.stdout
    assert "whether Redis evicts keys cannot be seen by this user" in done.stdout
    assert "can be read and written" in done.stdout and "pw" not in done.stdout


def test_a_store_that_is_full(run: Run, provider: FakeProvider, redis_with: Callable[..., str]) -> None:
    """It can be read but not written."""
    url = redis_with("--maxmemory", "3mb", "--maxmemory-policy", "noeviction")
    with redis.Redis.from_url(url) as plain, suppress(redis.ResponseError):
        for number in range(10_000):
            plain.set(f"filler-{number}", "x" * 1000)
    done = run("doctor", **service(provider, url))
    assert done.returncode == 1 and "it can be read but not written" in done.stdout and "full" in done.stdout


def test_a_store_and_an_endpoint_that_are_away(run: Run, provider: FakeProvider, tmp_path: Path) -> None:
    """Each is said, and the other is still looked at."""
    provider.close()
    done = run("doctor", **service(provider, "redis://127.0.0.1:9/0"))
    assert done.returncode == 1
    assert "it cannot be read" in done.stdout and "cannot be reached or does not answer" in done.stdout


def test_settings_that_cannot_be_used(run: Run, provider: FakeProvider, tmp_path: Path) -> None:
    """The exit code tells them from what is wrong outside."""
    done = run("doctor", **service(provider, f"sqlite:///{tmp_path}/x.db", client_auth="digest"))
    assert done.returncode == 2 and "client_auth must be one of" in done.stderr
    done = run("doctor", **service(provider, f"sqlite:///{tmp_path}/x.db", base_url="http://api.example.com/"))
    assert done.returncode == 1 and "https" in done.stdout
    done = run("doctor", **service(provider, f"sqlite:///{tmp_path}/x.db", keys="env:NO_SUCH_RING"))
    assert done.returncode in (1, 2) and "NO_SUCH_RING is not set" in done.stdout + done.stderr


def test_a_seed_that_will_be_used(
    run: Run, provider: FakeProvider, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a secret on the command line is refused."""
    monkeypatch.setenv("SEED", "rt-unused")
    done = run("doctor", "--seed", "env:SEED", **service(provider, store_url))
    assert done.returncode == 0 and "it will be used once" in done.stdout
    assert run("doctor", "--seed", "rt-1", **service(provider, store_url)).returncode == 2


# -- status


@pytest.mark.parametrize(("state", "code"), [("ok", 0), ("failing", 1), ("dead", 2), ("store", 3)])
def test_status_has_exit_codes_for_monitoring(
    run: Run, make_oauth_provider: MakeProvider, tmp_path: Path, state: str, code: int
) -> None:
    """As monitoring plug-ins have them: 0 ok, 1 warning, 2 critical, 3 unknown; with --json, too."""
    provider, store = make_oauth_provider(), f"sqlite:///{tmp_path}/grants.db"
    client = client_of(provider, store)
    client.put("g", provider.issue())
    if state == "failing":
        provider.fault("503")
    if state == "dead":
        provider.revoke()
    if state in ("failing", "dead"):
        with pytest.raises(Exception, match=r"dead|busy"):
            client.refresh("g")
    client.close()
    store = "redis://127.0.0.1:9/0" if state == "store" else store
    for options in ((), ("--json",)):
        done = run("status", *options, **service(provider, store))
        assert done.returncode == code, done.stdout + done.stderr
    if state != "store":
        (grant,) = json.loads(done.stdout)
        assert grant["failures"] == (0 if state == "ok" else 1 if state == "failing" else grant["failures"])
