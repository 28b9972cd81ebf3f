"""A sentinel secret in every field, and everything that can be rendered; and each redaction taken out, which must show."""

from __future__ import annotations
import __future__

import ast
import inspect
import json
import pickle
import sqlite3
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import redis
import requests
import vcr
from conftest import MakeProvider
from support import rendered
from support.raw import raw_store
from support.sentinel import SENTINEL, LogBook, all_shown, hits, shown_of, shown_of_error

import oauth_session
import oauth_session.stores.redis as redis_room
import oauth_session.stores.redis_client as redis_client_room
from oauth_session import (
    JwtBearer,
    OAuthClient,
    OAuthSession,
    OAuthSessionError,
    PrivateKeyJwt,
    RefreshPolicy,
    SignedJwtBearer,
    Token,
    TokenAuth,
    TokenExchange,
    endpoint,
    exchange,
    login,
    loopback,
    redaction,
    registration,
    sealing,
    signing,
)
from oauth_session.cli.shared import Chosen
from oauth_session.errors import StoreError
from oauth_session.events import EVENTS
from oauth_session.held import Held
from oauth_session.registration import Registration
from oauth_session.rules import record_json, token_request, token_response
from oauth_session.rules.authorization import AuthorizationRequest
from oauth_session.rules.device import DeviceCode
from oauth_session.rules.record import Pair, Record
from oauth_session.rules.token_request import TokenRequest, authenticate, form_request
from oauth_session.rules.token_response import Denied, Granted, read_token_response
from oauth_session.sealing import KeyRing, Sealer, new
from oauth_session.seeds import _inherited
from oauth_session.stores import MemoryStore, RedisStore, SQLiteStore
from oauth_session.stores.values import Snapshot
from oauth_session.testing import FakeProvider, cassettes

CUSTOMER = "customer-of-the-sentinel"


@pytest.fixture
def provider(make_oauth_provider: MakeProvider, monkeypatch: pytest.MonkeyPatch) -> FakeProvider:
    """Each token, the client's secret and a further member hold the sentinel."""
    provider = make_oauth_provider(client_secret=f"client-{SENTINEL}", members={"id_token": f"id-{SENTINEL}"})
    plain = provider.model._string
    monkeypatch.setattr(provider.model, "_string", lambda kind: f"{SENTINEL}-{plain(kind)}")
    return provider


def settings(provider: FakeProvider, **more: Any) -> dict[str, Any]:
    url = provider.token_url.replace("http://", f"http://user:{SENTINEL}@") + f"?tenant_key={SENTINEL}"
    return {
        "token_url": url,
        "client_id": provider.client_id,
        "client_secret": provider.client_secret,
        "base_url": provider.api_url,
        "refresh": RefreshPolicy(deadline=10.0),
    } | more


Shown = dict[str, bytes]


def part_life(provider: FakeProvider, url: str, folder: Path) -> Shown:
    """A life of a grant: first token, refresh, replay, logout; all logs, events, values and statuses."""
    events: list[Any] = []
    with LogBook() as book:
        client = OAuthClient(**settings(provider, store=url, on_event=events.append))
        client.put(CUSTOMER, provider.issue())
        session = client.session(CUSTOMER)
        assert session.get("me").ok
        provider.expire()
        assert session.get("me").ok
        source = session.auth.source
        record = source.ledger.load().record
        pair = record.pair
        request = source.grant.build(pair)
        answer = {"access_token": "t-" + SENTINEL, "refresh_token": SENTINEL}
        broken = {"access_token": "not good", "refresh_token": SENTINEL}
        granted = [read_token_response(200, {}, json.dumps(a).encode()) for a in (answer, broken)]
        things = [
            session,
            client,
            session.auth,
            source,
            source.ledger,
            source.ledger.store,
            source.held(),
            record,
            pair,
        ]
        things += [source.held().token, source.endpoint, request, *granted, client._registration, source.grant]
        things += [source._memory, *session.auth.__dict__.values(), client.grants()]
        shown = {"values": all_shown(things)}
        client.forget(CUSTOMER)
    return shown | {"logs": book.shown(), "events": all_shown(events)}


def part_errors(provider: FakeProvider, url: str, folder: Path) -> Shown:
    """Each error that a provider, a network or bad settings can cause, with its chain and its pickle."""
    events: list[Any] = []
    errors: list[BaseException] = []

    def fails(**more: Any) -> None:
        seed = provider.issue()["refresh_token"]
        try:
            session = OAuthSession(
                **settings(
                    provider,
                    store=MemoryStore(),
                    grant_id=f"g{len(errors)}",
                    refresh_token=seed,
                    on_event=events.append,
                )
                | more
            )
            session.auth.source.token()
        except OAuthSessionError as error:
            errors.append(error)
        else:
            pytest.fail(f"no error for {more}")

    echo = json.dumps(
        {
            "error": f"invalid_{SENTINEL}",
            "error_description": f"{SENTINEL} is unknown",
            "error_uri": f"https://a.test/{SENTINEL}",
        }
    )

    with LogBook() as book:
        secret = str(provider.client_secret)
        echo = echo.replace(SENTINEL, secret)  # the server repeats what we sent it
        for status in (400, 401, 503):
            provider.fault((status, {"Content-Type": "application/json", "X-Echo": SENTINEL}, echo.encode()))
            fails()
        fails(client_secret="wrong-" + SENTINEL)
        fails(token_url=f"http://user:{SENTINEL}@127.0.0.1:1/{SENTINEL}?k={SENTINEL}")
        fails(client_secret=SENTINEL + "\ud800")
        fails(token={"access_token": f"{SENTINEL} with blank"}, refresh_token=None)
        fails(token={"refresh_token": SENTINEL, "extra": {"x": {SENTINEL}}, "access_token": "a"}, refresh_token=None)
        fails(keys=f"seal:{SENTINEL} name:{SENTINEL}")
        fails(keys=lambda: [][int(SENTINEL, 36)])
        secret = SENTINEL + "\ud800"
        direct: list[Callable[[], object]] = [
            lambda: authenticate("client_secret_basic", "c", secret),
            lambda: form_request("https://a.test/", "none", "c", None, {"refresh_token": secret}),
            lambda: _inherited('{"refresh_token": "' + SENTINEL, "g", 0.0),
        ]
        for build in direct:
            with pytest.raises(OAuthSessionError) as caught:
                build()
            errors.append(caught.value)
    return {
        "errors": b"\n".join(map(shown_of_error, errors)),
        "logs": book.shown(),
        "events": all_shown(events),
        "unpickled": all_shown(pickle.loads(pickle.dumps(error)) for error in errors),
    }


def part_stores(provider: FakeProvider, url: str, folder: Path) -> Shown:
    """Stores that hold nonsense, and URLs that cannot be used: what they say of it."""
    errors: list[BaseException] = []

    def fails(work: Callable[[], object]) -> None:
        try:
            work()
        except OAuthSessionError as error:
            errors.append(error)
        else:
            pytest.fail("no error")

    with LogBook() as book:
        for bad in (f"redis://:{SENTINEL}/x@127.0.0.1:1/0", f"redis+sentinel://:{SENTINEL}@h", f"{SENTINEL}://x"):
            fails(lambda bad=bad: OAuthClient(**settings(provider, store=bad)).token("g"))  # type: ignore[misc]
        fails(lambda: OAuthClient(**settings(provider, store=f"redis://u:{SENTINEL}@127.0.0.1:1/0")).token("g"))
        path = folder / "nonsense.db"
        client = OAuthClient(**settings(provider, store=f"sqlite:///{path}"))
        client.put("g", provider.issue())
        digest = client._registration.key("g").digest
        for value in ("'{\"v\":1,' || ?", "CAST(CAST(? AS BLOB) || x'ff' AS TEXT)"):
            with sqlite3.connect(path) as connection:
                connection.execute(f"UPDATE grants SET record = {value} WHERE digest = ?", (SENTINEL, digest))
            connection.close()
            other = OAuthClient(**settings(provider, store=SQLiteStore(path)))
            fails(lambda other=other: other.token("g"))  # type: ignore[misc]
            fails(lambda other=other: other.forget("g"))  # type: ignore[misc]
        with redis.Redis.from_url(url) as plain:
            plain.set("tokens:g", '{"refresh_token": "' + SENTINEL)
        store = RedisStore(url, import_key="tokens:{grant_id}")
        fails(lambda: OAuthClient(**settings(provider, store=store)).token("g"))
    return {"errors": b"\n".join(map(shown_of_error, errors)), "logs": book.shown()}


@contextmanager
def monitored(url: str) -> Iterator[bytearray]:
    """Every command that reaches a Redis meanwhile."""
    stop, watching, seen = threading.Event(), threading.Event(), bytearray()

    def watch() -> None:
        with redis.Redis.from_url(url) as plain, plain.monitor() as lines:
            watching.set()
            while not stop.is_set():
                seen.extend(str(lines.next_command()).encode())

    watcher = threading.Thread(target=watch)
    watcher.start()
    assert watching.wait(10)
    try:
        yield seen
    finally:
        stop.set()
        with redis.Redis.from_url(url) as plain:
            plain.ping()
        watcher.join(10)


def part_sealed(provider: FakeProvider, url: str, folder: Path) -> Shown:
    """With encryption on: every command that reaches Redis, its dump, and the SQLite file with its companions."""
    shown: Shown = {}
    keys = new()
    with monitored(url) as commands:
        for store in (url, f"sqlite:///{folder}/sealed.db"):
            client = OAuthClient(**settings(provider, store=store, keys=keys))
            client.put(CUSTOMER, provider.issue())
            session = client.session(CUSTOMER)
            provider.expire()
            assert session.get("me").ok
            there = [raw_store(store).everything(), shown_of(client._registration.keys)]
            client.forget(CUSTOMER)
            client.put(CUSTOMER, provider.issue())
            shown[store.partition(":")[0]] = b"".join([*there, raw_store(store).everything()])
        with redis.Redis.from_url(url) as plain:
            plain.config_set("rdbcompression", "no")  # or else it would hide the sentinel
            plain.save()
            path = Path(plain.config_get("dir")["dir"]) / plain.config_get("dbfilename")["dbfilename"]
            shown["dump"] = path.read_bytes()
    shown["monitor"] = bytes(commands)
    assert b"oauth-session:" in shown["monitor"]
    assert b"generation" in shown["dump"]
    return shown


def part_cassettes(provider: FakeProvider, url: str, folder: Path) -> Shown:
    """What vcrpy records of an API call with a token, and of a token request."""
    recorder = vcr.VCR(**cassettes.cassette_filters())
    token = provider.issue()
    form = {"grant_type": "refresh_token", "refresh_token": token["refresh_token"]}
    form |= {"client_id": provider.client_id, "client_secret": provider.client_secret}
    with recorder.use_cassette(str(folder / "tape.yaml")):
        headers = {"Authorization": f"Bearer {token['access_token']}", "Cookie": f"id={SENTINEL}"}
        assert requests.get(f"{provider.api_url}me?access_token={SENTINEL}", headers=headers, timeout=10).ok
        answer = requests.post(provider.token_url, data=form, timeout=10)
        assert SENTINEL in answer.json()["refresh_token"]
    return {"cassette": (folder / "tape.yaml").read_bytes()}


def part_logins(provider: FakeProvider, url: str, folder: Path) -> Shown:
    """Logins of a person: what a server repeats, and what the browser brings back."""
    return rendered.logins(provider, settings(provider, store=url))


def part_values(provider: FakeProvider, url: str, folder: Path) -> Shown:
    """Values that hold a secret, by themselves; and errors of others, which stay in the chain of ours."""
    return rendered.values() | rendered.failures(provider, settings(provider))


def part_command_line(provider: FakeProvider, url: str, folder: Path) -> Shown:
    """What the command line prints."""
    return rendered.command_line(provider, settings(provider, store=f"sqlite:///{folder}/shown.db"), folder)


PARTS = {
    part.__name__: part
    for part in (
        *(part_life, part_errors, part_stores, part_sealed, part_cassettes),
        *(part_logins, part_values, part_command_line),
    )
}


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
def test_no_secret_is_shown(
    part: Callable[..., Shown], provider: FakeProvider, valkey_url: str, tmp_path: Path
) -> None:
    """A sentinel in every field, then everything that can be rendered: 0 hits."""
    shown = part(provider, valkey_url, tmp_path)
    assert all(len(what) > 100 or where in ("events", "unpickled") for where, what in shown.items())
    assert hits(shown) == []
    if part is part_sealed:
        assert hits(shown, CUSTOMER) == []


def _all_fields(self: Any) -> str:
    return repr({name: getattr(self, name) for name in self.__dataclass_fields__})


def _raw_error(self: Any, error: Exception) -> StoreError:
    return StoreError(str(error))


def _unfiltered(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(endpoint, "hide_in_urllib3_log", lambda *names: None)
    patch.setattr(redaction._filter, "filter", lambda record: True)


def _unsealed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Sealer, "seal", lambda sealer, bound, text: text)
    patch.setattr(Sealer, "open", lambda sealer, bound, sealed: sealed)


def _bare(patch: pytest.MonkeyPatch, kind: Any, show: Callable[[Any], str] | None = None) -> None:
    """A class whose `repr` shows all of its fields."""
    names = getattr(kind, "__dataclass_fields__", None) or getattr(kind, "_fields", ())
    patch.setattr(kind, "__repr__", show or (lambda self: repr([getattr(self, name) for name in names])))


def _edited(patch: pytest.MonkeyPatch, function: Any, old: str, new: str) -> None:
    """A function as if a line of it were another, which is how most redactions would get lost."""
    source = inspect.getsource(function)
    assert source.count(old) == 1, "the redaction has moved"
    code = compile(textwrap.dedent(source).replace(old, new), "<edited>", "exec", __future__.annotations.compiler_flag)
    found: dict[str, Any] = {}
    exec(code, function.__globals__, found)
    patch.setattr(function, "__code__", found[function.__name__].__code__)


def _chatty(bound: Callable[..., Any]) -> Callable[..., Any]:
    """The loopback's server with the log that the standard library gives it."""

    def make(*args: Any) -> Any:
        server = bound(*args)
        server.RequestHandlerClass.log_message = BaseHTTPRequestHandler.log_message
        return server

    return make


Patch = pytest.MonkeyPatch
TAKEN_OUT: dict[str, tuple[str, Callable[[Patch], Any]]] = {
    "repr of Token": ("part_life", lambda p: p.setattr(Token, "__repr__", _all_fields)),
    "repr of Pair": ("part_life", lambda p: p.setattr(Pair, "__repr__", _all_fields)),
    "repr of Record": ("part_life", lambda p: p.setattr(Record, "__repr__", lambda r: record_json.dump(r))),
    "repr of Held": ("part_life", lambda p: p.setattr(Held, "__repr__", lambda h: h.token.access_token)),
    "repr of Registration": ("part_life", lambda p: p.setattr(Registration, "__repr__", _all_fields)),
    "repr of TokenRequest": ("part_life", lambda p: p.setattr(TokenRequest, "__repr__", _all_fields)),
    "repr of KeyRing": ("part_values", lambda p: _bare(p, KeyRing, lambda ring: repr(dict(ring._ring.seals)))),
    "repr of _Ring": ("part_values", lambda p: _bare(p, sealing._Ring)),
    "repr of Answer": ("part_values", lambda p: _bare(p, exchange.Answer)),
    "repr of Snapshot": ("part_values", lambda p: _bare(p, Snapshot)),
    "repr of Chosen": ("part_values", lambda p: _bare(p, Chosen)),
    "repr of AuthorizationRequest": ("part_values", lambda p: _bare(p, AuthorizationRequest)),
    "repr of DeviceCode": ("part_values", lambda p: _bare(p, DeviceCode)),
    "repr of JwtBearer": ("part_values", lambda p: _bare(p, JwtBearer)),
    "repr of TokenExchange": ("part_values", lambda p: _bare(p, TokenExchange)),
    "repr of PrivateKeyJwt": ("part_values", lambda p: _bare(p, PrivateKeyJwt)),
    "repr of SignedJwtBearer": ("part_values", lambda p: _bare(p, SignedJwtBearer)),
    "repr of RedisStore": ("part_values", lambda p: _bare(p, RedisStore, lambda store: str(store._url))),
    "repr of OAuthClient": ("part_life", lambda p: _bare(p, OAuthClient, lambda c: _all_fields(c._registration))),
    "repr of TokenAuth": ("part_life", lambda p: _bare(p, TokenAuth, lambda a: a.source.held().token.access_token)),
    "a KMS's error": (
        "part_values",
        lambda p: _edited(
            p, sealing._fetch, "kind: str | None = type(error).__name__", "raise ConfigurationError('x')"
        ),
    ),
    "a signer's error": (
        "part_values",
        lambda p: _edited(p, signing.sign, "kind = type(error).__name__", "raise ConfigurationError('x') from None"),
    ),
    "Redis' error": ("part_values", lambda p: p.setattr(redis_room, "says", str)),
    "Redis' error in the chain": (
        "part_values",
        lambda p: _edited(p, RedisStore._run, "wrong = says(error)", "raise StoreError('x') from None"),
    ),
    "a name that is no text": (
        "part_errors",
        lambda p: _edited(p, token_request.authenticate, "        pass\n", "        raise ConfigurationError('x')\n"),
    ),
    "a form that is no text": (
        "part_errors",
        lambda p: _edited(
            p, token_request.form_request, "        encoded = None\n", "        raise ConfigurationError\n"
        ),
    ),
    "what others left": ("part_errors", lambda p: _edited(p, _inherited, "pass  #", "raise StoreError  #")),
    "what a login's server repeats": (
        "part_logins",
        lambda p: _edited(p, login._error, "request.secrets", "()"),
    ),
    "the loopback's log": ("part_logins", lambda p: p.setattr(loopback, "_bound", _chatty(loopback._bound))),
    "what the command line is told": (
        "part_command_line",
        lambda p: p.setattr(token_response, "scrub", lambda text, secrets: text),
    ),
    "the URL in Registration": ("part_life", lambda p: p.setattr(registration, "shown_url", str)),
    "the URL in TokenRequest": ("part_life", lambda p: p.setattr(TokenRequest, "__repr__", lambda r: r.url)),
    "repr of Granted": ("part_life", lambda p: p.setattr(Granted, "__repr__", _all_fields)),
    "repr of Denied": ("part_life", lambda p: p.setattr(Denied, "__repr__", _all_fields)),
    "urllib3's log": ("part_life", _unfiltered),
    "what a server repeats": ("part_errors", lambda p: p.setattr(token_response, "scrub", lambda text, secrets: text)),
    "a network's error": ("part_errors", lambda p: p.setattr(exchange, "reason_of", str)),
    "a Redis URL": (
        "part_stores",
        lambda p: p.setattr(redis_room, "client_of", lambda url: redis_client_room._redis.Redis.from_url(url)),
    ),
    "what SQLite says": ("part_stores", lambda p: p.setattr(SQLiteStore, "_error", _raw_error)),
    "a damaged record": ("part_stores", lambda p: p.setattr(record_json, "_parsed", json.loads)),
    "encryption": ("part_sealed", lambda p: _unsealed(p)),
    "keyed names": ("part_sealed", lambda p: p.setattr(KeyRing, "digest", lambda ring, name: name)),
    "requests on a cassette": ("part_cassettes", lambda p: p.setattr(cassettes, "_request", lambda r: r)),
    "responses on a cassette": ("part_cassettes", lambda p: p.setattr(cassettes, "_response", lambda r: r)),
    "headers on a cassette": ("part_cassettes", lambda p: p.setattr(cassettes, "_headers", dict)),
    "the URL on a cassette": ("part_cassettes", lambda p: p.setattr(cassettes, "_url", lambda url: url)),
}


@pytest.mark.parametrize("name", TAKEN_OUT)
def test_each_redaction_is_needed(
    name: str, provider: FakeProvider, valkey_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one redaction taken out, the sentinel is seen: the test above can fail for each of them."""
    part, take_out = TAKEN_OUT[name]
    take_out(monkeypatch)
    try:
        shown = PARTS[part](provider, valkey_url, tmp_path)
    except Exception as error:  # the redaction was also what made a named error of it
        shown = {"error": shown_of_error(error)}
    assert hits(shown) + (hits(shown, CUSTOMER) if part == "part_sealed" else []) != []


# Values whose fields may all be shown, and those that show themselves only by way of others that are above.
HOLD_NO_SECRET = {
    *("About", "Announce", "Ask", "Attempt", "Bring", "Challenge", "Claim", "ClientSecretJwt", "Decision"),
    *(kind.__name__ for kind in EVENTS),
    *("Finding", "OfRenewal", "RenewalEnded"),
    *("Delivery", "Detection", "Ending", "Event", "Fault", "Grant", "GrantKey", "GrantStatus", "Guard", "Hold"),
    *("Job", "Judgement", "Load", "Metadata", "MutualTls", "Pause", "Post", "Posted", "RefreshPolicy"),
    *("Renewed", "Report", "Resealed", "Rule", "SQLiteStore", "Seen", "Server", "Sleep", "Swap", "Swapped"),
    *("Tally", "Terms", "_NoAuth"),
    *("Dialect", "Example", "Param", "Placement", "Profile", "Provider", "Shape"),  # a profile's own texts are for all
}
# Of the fake provider, whose tokens open nothing.
FAKE = {"Recorded", "Request", "FakeAnswer", "Access", "Code", "Family", "Fact", "Form", "Refresh", "Step"}


def _values() -> Iterator[str]:
    """Each class of the package that has a `repr` of its own, or one that shows its fields."""
    for path in sorted(Path(oauth_session.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                made = [ast.unparse(part) for part in (*node.decorator_list, *node.bases)]
                own = any(isinstance(part, ast.FunctionDef) and part.name == "__repr__" for part in node.body)
                if own or any(text.startswith(("dataclass", "NamedTuple")) for text in made):
                    # the fake provider has an Answer, too
                    yield "FakeAnswer" if path.name == "answers.py" else node.name


def test_no_repr_is_forgotten() -> None:
    """Each value of the package either has its `repr` taken out above, or is known to hold no secret."""
    taken_out = {name.removeprefix("repr of ") for name in TAKEN_OUT if name.startswith("repr of ")}
    assert set(_values()) == {*taken_out, *HOLD_NO_SECRET, *FAKE}
