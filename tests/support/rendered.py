"""More that can be rendered, with a sentinel in every field: logins, values, the command line."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.request import urlopen

import redis

from oauth_session import (
    JwtBearer,
    OAuthClient,
    OAuthSessionError,
    PrivateKeyJwt,
    SignedJwtBearer,
    TokenExchange,
    loopback,
    sealing,
    signing,
)
from oauth_session.cli import main, shared
from oauth_session.exchange import Answer
from oauth_session.rules.authorization import AuthorizationRequest
from oauth_session.rules.device import DeviceCode
from oauth_session.stores import RedisStore
from oauth_session.stores.values import Snapshot, Swapped
from oauth_session.testing import FakeProvider

from .sentinel import SENTINEL, LogBook, all_shown, shown_of_error

JSON_TYPE = {"Content-Type": "application/json"}
VERIFIER = f"{SENTINEL}-verifier".ljust(43, "x")
PENDING = {"state": "s", "code_verifier": VERIFIER, "redirect_uri": "http://127.0.0.1/back"}
ENDPOINTS = (
    "authorization_endpoint",
    "pushed_authorization_request_endpoint",
    "device_authorization_endpoint",
    "revocation_endpoint",
)
Shown = dict[str, bytes]


def echo(*secrets: str) -> tuple[int, dict[str, str], bytes]:
    """A server that repeats what it was sent."""
    said = {"error": f"odd_{secrets[0]}", "error_description": f"I was sent {' and '.join(secrets)}"}
    return 400, JSON_TYPE, json.dumps(said | {"error_uri": f"https://a.test/{secrets[0]}"}).encode()


def logins(provider: FakeProvider, settings: dict[str, Any]) -> Shown:
    """Each request of a login refused by a server that repeats it, and the browser's way back."""
    secret, url = str(provider.client_secret), provider.token_url
    metadata = dict.fromkeys(ENDPOINTS, url)
    client = OAuthClient(**settings | {"token_url": url, "client_auth": "client_secret_post", "metadata": metadata})
    token = provider.issue()
    client.put("g", token)
    code, device = f"code-{SENTINEL}", f"device-{SENTINEL}"
    given = {"device_code": device, "user_code": "AB-CD", "verification_uri": "https://a.test/", "expires_in": 60}
    errors: list[OAuthSessionError] = []

    def fails(work: Callable[[], object], *answers: tuple[int, dict[str, str], bytes]) -> None:
        for answer in answers:
            provider.fault(answer)
        try:
            work()
        except OAuthSessionError as error:
            errors.append(error)
        else:
            raise AssertionError("no error")

    back = {"state": "s", "code": code}
    with LogBook() as book:
        fails(lambda: client.authorize_url("http://127.0.0.1/", par=True), echo(secret))
        fails(lambda: client.exchange("h", back, PENDING), echo(secret, code, VERIFIER))
        fails(lambda: client.exchange("h", back | {"state": "x"}, PENDING))
        device_login: Callable[[], object] = lambda: client.device_login("h", show=repr, sleep=lambda _: None)  # noqa: E731
        fails(device_login, echo(secret))
        fails(device_login, (200, JSON_TYPE, json.dumps(given).encode()), echo(secret, device))
        fails(lambda: client.revoke("g"), echo(secret, str(token["refresh_token"])))
        page = io.StringIO()
        with redirect_stderr(page), loopback.Loopback() as door:
            door.tell(errors[1])
            with urlopen(f"{door.redirect_uri}?code={code}", timeout=10) as shown:  # a browser is not in our log
                page.write(shown.read().decode())
    return {"errors": b"\n".join(map(shown_of_error, errors)), "logs": book.shown(), "page": page.getvalue().encode()}


def values() -> Shown:
    """Each value that holds a secret and has not been in use."""
    ring = sealing.new()
    seal = ring.split()[0].removeprefix("seal:")
    key = f"-----BEGIN PRIVATE KEY-----{SENTINEL}"
    things = [
        AuthorizationRequest("https://a.test/", PENDING),
        DeviceCode(SENTINEL, "AB-CD", "https://a.test/", None, 60.0, 5.0),
        JwtBearer(SENTINEL),
        TokenExchange(SENTINEL),
        TokenExchange("t", actor_token=SENTINEL, actor_token_type="a"),
        PrivateKeyJwt(key),
        SignedJwtBearer(key, "someone"),
        Answer(200, {}, SENTINEL.encode()),
        Snapshot(SENTINEL, "r", 1.0),
        Swapped(True, Snapshot(SENTINEL, "r", 1.0)),
        RedisStore(f"redis://u:{SENTINEL}@127.0.0.1:1/0"),
        shared.Chosen("x", {"client_secret": SENTINEL}, OAuthClient(**ANY, client_secret=SENTINEL), "g"),
    ]
    keys = sealing.KeyRing(ring)
    bare = all_shown([keys, keys._ring, keys.sealer()])
    for form in (seal, repr(sealing.base64.urlsafe_b64decode(seal + "=")).strip("b'\"")):
        bare = bare.replace(form.encode(), SENTINEL.encode())  # a key that is shown is a hit
    return {"values": all_shown(things), "ring": bare + b" " * 100}


ANY: dict[str, Any] = {
    "token_url": "https://a.test/token",
    "client_id": "c",
    "store": "memory:",
    "origins": ["https://a.test"],
}


def failures(provider: FakeProvider, settings: dict[str, Any]) -> Shown:
    """What others' errors hold when they get into the chain of ours."""
    errors: list[BaseException] = []

    def raises(error: Exception) -> Any:
        raise error

    quoted = redis.ResponseError(f"unknown command 'EVALSHA', with args beginning with: 'x' '{SENTINEL}'")
    client = redis.Redis()
    works: list[Callable[[], object]] = [
        lambda: sealing.KeyRing(lambda: raises(ValueError(SENTINEL))),
        lambda: signing.sign({}, SENTINEL + "\ud800", "HS256"),
        lambda: OAuthClient(**settings | {"store": client}).put("g", {"access_token": "a", "refresh_token": SENTINEL}),
    ]
    with mock.patch.object(client, "register_script", return_value=lambda **_: raises(quoted)):
        for work in works:
            try:
                work()
            except OAuthSessionError as error:
                errors.append(error)
    assert len(errors) == len(works)
    return {"errors": b"\n".join(map(shown_of_error, errors))}


def command_line(provider: FakeProvider, settings: dict[str, Any], folder: Path) -> Shown:
    """`status` in both forms, a refresh, an error with what the server repeats, and a key on a command line."""
    names = ("token_url", "client_id", "store")
    lines = [f'{name} = "{settings[name]}"' for name in names] + ['client_secret = "env:SECRET_FOR_TEST"']
    config = folder / "services.toml"
    config.write_text("[x]\n" + "\n".join(lines))
    said = io.StringIO()
    calls = [["status"], ["status", "--json"], ["refresh"], ["refresh", "--force"], ["revoke"]]
    calls.append(["keys", "reencrypt", "--store", "memory:", "--keys", f"seal:{SENTINEL}"])
    environment = {"SECRET_FOR_TEST": str(provider.client_secret), "OAUTH_SESSION_CONFIG": str(config)}
    OAuthClient(**settings).put("default", provider.issue())
    with mock.patch.dict(os.environ, environment), redirect_stdout(said), redirect_stderr(said):
        for call in calls:
            if "--force" in call:
                provider.fault(echo(str(provider.client_secret)))
            with mock.patch.object(sys, "argv", ["oauth-session", *call]), suppress(SystemExit):
                main()
    text = said.getvalue()
    assert "grant" in text, text
    assert "odd_" in text, text
    return {"said": text.encode()}
