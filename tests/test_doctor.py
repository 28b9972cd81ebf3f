"""`doctor` on broken set-ups, each named in plain words; the exit codes of `status`."""

from __future__ import annotations

import json
import re
import ssl
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import redis
from conftest import MakeProvider
from support.certificates import Authority
from support.many import fill, rows
from support.outage import MoodyProvider
from support.servers import RedisServer, free_port, redis_binaries

from oauth_session import GrantStatus, OAuthClient, RefreshPolicy
from oauth_session.cli import main
from oauth_session.cli.checks import examine
from oauth_session.cli.settings import services
from oauth_session.providers import load_profile, names
from oauth_session.sealing import new
from oauth_session.testing import Answer, FakeProvider
from oauth_session.testing.trial import example_params
from oauth_session.tokens import fingerprint

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
    says = r"may come 11\.5 s after its request .* grace is 4 s: .* No token_timeout is short enough"
    return {"rotation": "always", "reuse_grace": 4}, says


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


@pytest.mark.parametrize("grace", [8, 12, 60])
def test_a_deadline_that_is_too_long_is_named_with_one_that_is_not(provider: FakeProvider, grace: int) -> None:
    """What it says to set is good, and a second more is not."""

    def found(timeout: float) -> Any:
        policy = RefreshPolicy(rotation="always", reuse_grace=grace, token_timeout=timeout)
        client = client_of(provider, "memory:", refresh=policy)
        return next(finding for finding in examine(client) if finding.about == "rotation and grace")

    says = re.search(r"Set token_timeout to (\S+) s or less", found(120).says)
    assert says
    assert (found(float(says[1])).level, found(float(says[1]) + 1).level) == ("ok", "wrong")


@pytest.mark.parametrize(
    ("origin", "level"),
    [
        ("http://localhost.example.com", "wrong"),
        ("http://127.0.0.1.example.com", "wrong"),
        ("http://localhost:8000", "ok"),
        ("http://[::1]:8000", "ok"),
        ("http://127.0.0.2:8000", "ok"),
    ],
)
def test_what_is_on_this_machine(provider: FakeProvider, origin: str, level: str) -> None:
    """Plain http is for this machine, and not for what only has its name."""
    client = client_of(provider, "memory:", base_url=origin + "/", allow_http=True)
    assert [finding.level for finding in examine(client) if finding.about == "where tokens go"] == [level]


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


def test_status_of_one_grant(run: Run, provider: FakeProvider, client: OAuthClient, store_url: str) -> None:
    """With -g that one alone, and its exit code, whatever the others are; one that is not there wants a login."""
    client.put("customer-1", provider.issue())
    client.put("customer-2", provider.issue())
    provider.revoke()
    with suppress(Exception):
        client.refresh("customer-2")
    mine = service(provider, store_url)
    done = run("status", "-g", "customer-1", "--json", **mine)
    assert [grant["grant_id"] for grant in json.loads(done.stdout)] == ["customer-1"] and done.returncode == 0
    done = run("status", "-g", "customer-2", **mine)
    assert done.returncode == 2 and "customer-2" in done.stdout and "customer-1" not in done.stdout
    done = run("status", "-g", "default", "--json", **mine)
    assert json.loads(done.stdout) == [] and done.returncode == 2
    assert run("status", **mine).returncode == 2
    assert "login -s mine -g customer-3" in run("status", "-g", "customer-3", **mine).stderr


def test_advice_can_be_typed_as_it_stands(run: Run, provider: FakeProvider, store_url: str, tmp_path: Path) -> None:
    """It names the settings where the command did: without, the next command would know nothing of the service."""
    config = tmp_path / "my services.toml"
    run("status", **service(provider, store_url))
    (tmp_path / "services.toml").rename(config)
    for command, says in (("status", f"login --config '{config}' -s mine"), ("token", f"login --config '{config}'")):
        done = run(command, "--config", str(config), **service(provider, store_url))
        assert f"oauth-session {says}\n" in done.stderr, done.stderr


def test_status_with_settings_that_are_wrong(run: Run, provider: FakeProvider, tmp_path: Path) -> None:
    """That is no word on the grants: 3, as the help says."""
    done = run("status", **service(provider, f"sqlite:///{tmp_path}/x.db", client_auth="digest"))
    assert done.returncode == 3 and "client_auth must be one of" in done.stderr


def test_what_the_page_says_of_status_and_settings(tmp_path: Path, client: OAuthClient, provider: FakeProvider) -> None:
    """Its settings are valid, and its table has each member of the JSON, and none else."""
    page = (Path(__file__).parent.parent / "docs" / "howto" / "command-line.rst").read_text()
    found = re.search(r"code-block:: toml\n\n((?:    .*\n|\n)+)", page)
    assert found
    (tmp_path / "services.toml").write_text(textwrap.dedent(found[1]))
    assert list(services(tmp_path / "services.toml")) == ["crm"]
    table = page[page.index("``status --json``") : page.index("\nWatch\n")]
    rows = re.findall(r"\* - (.*)", table)
    assert {name for row in rows for name in re.findall(r"``(\w+)``", row)} == set(GrantStatus.__dataclass_fields__)


def test_status_of_many_grants(run: Run, provider: FakeProvider, client: OAuthClient, store_url: str) -> None:
    """Each once, by name, one in each line."""
    fill(client, store_url, rows(client, 2_000, {7: {"state": "dead", "outcome": "dead"}}))
    done = run("status", "--json", **service(provider, store_url))
    assert done.returncode == 2
    found = [grant["grant_id"] for grant in json.loads(done.stdout)]
    assert found == [f"customer-{number:06}" for number in range(2_000)] and done.stdout.count("\n") == 2_002


# -- what doctor asks of the token endpoint


def asked_of(provider: FakeProvider) -> list[str]:
    """The fingerprints of the refresh tokens that came in."""
    return list(provider.model.presented.elements())


@pytest.mark.parametrize(
    ("breaks", "more", "most"),
    [
        ("nothing", {}, 1),
        ("the secret", {}, 2),
        ("the method", {}, 2),
        ("busy", {}, 1),
        ("nothing", {"rotation": "always"}, 1),
    ],
)
def test_no_refresh_token_is_presented(
    run: Run, provider: FakeProvider, client: OAuthClient, store_url: str, breaks: str, more: Any, most: int
) -> None:
    """Whatever is wrong, no token of anybody's reaches the provider, and there are few requests: refusals may lock out."""
    issued = [provider.issue() for _ in range(3)]
    for number, pair in enumerate(issued):
        client.put(f"customer-{number}", pair)
    if breaks == "the secret":
        provider.model.client_secret = "another"
    elif breaks == "the method":
        provider.model.client_auth = frozenset({"client_secret_post"})
    elif breaks == "busy":
        provider.fault("503", times=5)
    run("doctor", **service(provider, store_url, **more))
    own = {fingerprint(str(pair["refresh_token"])) for pair in issued}
    assert len([seen for seen in provider.requests if seen.path == "/token"]) <= most
    assert not own & set(asked_of(provider)) and provider.model.generations == 0
    assert provider.model.reuse_incidents == 0


@pytest.mark.parametrize("name", names())
def test_doctor_knows_the_ways_of_a_profile(name: str) -> None:
    """A sound set-up with any profile is sound, and a wrong secret is named, where the provider wants one to renew."""
    for secret, level in (("fake-secret", "ok"), ("another", "wrong")):
        with FakeProvider(profile=name) as provider:
            who: dict[str, Any] = {
                "client_id": provider.client_id,
                "client_secret": secret,
                "base_url": provider.api_url,
            }
            who |= {"provider_params": example_params(load_profile(name))}
            client = OAuthClient(provider=name, token_url=provider.token_url, **who)
            found = [finding for finding in examine(client) if finding.about == "client authentication"]
            assert provider.model.generations == 0
        if name == "instagram":
            assert (found[0].level, found[0].says[-15:]) == ("note", "cannot be tried")
        else:
            assert [finding.level for finding in found] == [level], found


def test_a_service_without_refresh_tokens(run: Run, provider: FakeProvider, store_url: str) -> None:
    """It is asked for a token, as at each expiry: a client that may not refresh at all is no finding."""
    done = run("doctor", **service(provider, store_url, grant_type="client_credentials"))
    assert done.returncode == 0 and "client_id and client_secret are accepted" in done.stdout
    assert (provider.model.client_credentials_calls, provider.model.refresh_calls) == (1, 0)
    provider.model.client_secret = "another"
    done = run("doctor", **service(provider, store_url, grant_type="client_credentials"))
    assert done.returncode == 1 and "client_id or client_secret is wrong" in done.stdout


def test_doctor_for_scripts(run: Run, provider: FakeProvider, store_url: str) -> None:
    """One JSON list, with the same exit code."""
    provider.model.client_secret = "another"
    done = run("doctor", "--json", **service(provider, store_url))
    found = json.loads(done.stdout)
    assert done.returncode == 1 and {tuple(finding) for finding in found} == {("level", "about", "says")}
    assert [finding["about"] for finding in found if finding["level"] == "wrong"] == ["client authentication"]


def test_an_issuer_that_is_away_and_a_certificate_of_nobodys(
    run: Run, provider: FakeProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Discovery, TLS, a proxy and a wrong path: each is said of the token endpoint, without a traceback."""
    store, free = f"sqlite:///{tmp_path}/x.db", free_port()
    mine = service(provider, store)
    done = run("doctor", **mine | {"token_url": provider.token_url.replace("/token", "/nowhere")})
    assert done.returncode == 1 and "this is none (HTTP 404): look at token_url" in done.stdout, done.stdout
    tls = {name: value for name, value in mine.items() if name != "token_url"}
    done = run("doctor", **tls | {"issuer": f"http://127.0.0.1:{free}"})
    assert done.returncode == 1 and f"http://127.0.0.1:{free} cannot be reached" in done.stdout, done.stdout
    with certified(tmp_path) as url:
        done = run("doctor", **mine | {"token_url": url})
    assert done.returncode == 1 and re.search(r"SSLError \(.*ertificate", done.stdout), done.stdout
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{free}")
    done = run("doctor", **mine | {"token_url": "https://auth.example.com/token"})
    assert done.returncode == 1 and "ProxyError" in done.stdout, done.stdout


@contextmanager
def certified(folder: Path) -> Iterator[str]:
    """An https server whose certificate nobody has signed that we know."""
    authority = Authority(folder)
    authority.server()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.files("server"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"https://127.0.0.1:{server.server_address[1]}/token"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ((400, "unauthorized_client"), "may not do this .*allow it the refresh_token grant"),
        ((401, "unauthorized_client"), "the client is refused"),
        ((429, "slow_down"), "down or busy"),
        ((400, "invalid_scope"), "says neither yes nor no"),
    ],
)
def test_answers_that_say_less(run: Run, store_url: str, answer: tuple[int, str], says: str) -> None:
    """What a server says of the client, and no more than it says: a client that may not refresh is known there."""
    with MoodyProvider() as provider:
        provider.mood = Answer(answer[0], {}, json.dumps({"error": answer[1]}).encode())
        done = run("doctor", **service(provider, store_url))
    assert re.search(says, done.stdout), done.stdout
    assert len(provider.presented) == (2 if "refused" in says else 1)
