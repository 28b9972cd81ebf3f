"""Whatever reads bytes that others made, as functions of bytes: each returns, or fails in the one way it may.

The same functions stand under property-based tests and under the coverage-guided fuzzer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import unquote_plus

from oauth_session.errors import ConfigurationError, LoginFailed, RecordForged, RecordSealed, StoreError
from oauth_session.redaction import QueryFilter
from oauth_session.rules import record_json
from oauth_session.rules.authorization import read_callback, read_pending
from oauth_session.rules.challenges import parse_challenges
from oauth_session.rules.detection import Detection
from oauth_session.rules.device import Polling, read_device_code
from oauth_session.rules.grants import code_form
from oauth_session.rules.interaction import interaction_of
from oauth_session.rules.lineage import begin
from oauth_session.rules.metadata import Metadata, read_metadata, read_resource_metadata
from oauth_session.rules.origins import Guard, origin_of
from oauth_session.rules.record import Pair
from oauth_session.rules.token_response import Granted, read_token_response, scrub
from oauth_session.sealing import KeyRing, _read, new
from oauth_session.seeds import _inherited, pair_of
from oauth_session.testing.cassettes import clean_body
from oauth_session.tokens import is_sendable

RING = new()
SEALER = KeyRing(RING).sealer()
PENDING = {"state": "a-state-of-32-characters-or-more", "code_verifier": "v" * 43, "redirect_uri": "http://127.0.0.1/"}
RULES = Detection(expired_when=[{"status": 200, "path": "a.b[0]", "equals": "x"}])


def challenge(data: bytes) -> None:
    """`WWW-Authenticate`, as requests hands it over: latin-1."""
    for one in parse_challenges([data.decode("latin-1"), data.decode("utf-8", "replace")]):
        assert one.scheme


def refusal(data: bytes) -> None:
    """An API's answer: status, header and body."""
    status = 200 if data[:1] < b"\x80" else 401
    body = data[1:]
    RULES.judge(status, [body.decode("latin-1")], {"Content-Type": "application/json"}, lambda: body)


def token_response(data: bytes) -> None:
    """The token endpoint's answer; what is taken from it can be stored and sent."""
    status, headers = (200, {}) if data[:1] < b"\x80" else (400, {"Retry-After": data[1:40].decode("latin-1")})
    answer = read_token_response(status, headers | {"Date": data[-30:].decode("latin-1")}, data[1:], ["secret"])
    if isinstance(answer, Granted):
        assert is_sendable(answer.access_token)
        pair = Pair(answer.access_token, answer.refresh_token, answer.token_type, answer.scope, answer.extra)
        record = begin("g", "client", "l", pair)
        assert record_json.load(record_json.dump(record), "g") == record
        assert record_json.load(record_json.dump(record, SEALER), "g", SEALER) == record


def record(data: bytes) -> None:
    """A store's text; what is a record is the same record after it was written again."""
    with suppress(StoreError):
        found = record_json.load(data.decode("utf-8", "replace"), "g")
        assert record_json.load(record_json.dump(found), "g") == found


def sealed_record(data: bytes) -> None:
    """A store's text where keys are given: nothing opens that was not sealed."""
    with suppress(StoreError):
        record_json.load(data.decode("utf-8", "replace"), "g", SEALER)
        raise AssertionError("a record opened that nobody sealed")


def sealed_part(data: bytes) -> None:
    """A sealed part of a record."""
    text = data.decode("utf-8", "replace")
    for attempt in (text, f"{SEALER.ring.writing()[0]}.{text}"):
        with suppress(RecordSealed, RecordForged):
            SEALER.open("bound", attempt)
            raise AssertionError("something opened that nobody sealed")


def left_by_others(data: bytes) -> None:
    """What another program left under the import key."""
    with suppress(StoreError):
        pair = _inherited(data.decode("utf-8", "replace"), "g", 1.0)
        if pair is not None:
            made = begin("g", "client", "l", pair)
            assert record_json.load(record_json.dump(made), "g") == made


def put_value(data: bytes) -> None:
    """A token response that a program passes on to `put`."""
    try:
        value: Any = json.loads(data)
    except (ValueError, RecursionError):
        return
    with suppress(ConfigurationError):
        made = begin("g", "client", "l", pair_of(value, 1.0, just_issued=True))
        assert record_json.load(record_json.dump(made), "g") == made


def ring(data: bytes) -> None:
    """A ring of keys."""
    with suppress(ConfigurationError):
        _read(data)
    with suppress(ConfigurationError):
        _read(RING.encode() + data)


def url(data: bytes) -> None:
    """A URL that a program or a redirect names."""
    text = data.decode("utf-8", "replace")
    guard = Guard(frozenset({"https://api.example.com"}))
    assert not guard.allows(text) or origin_of(text) == "https://api.example.com"


def callback(data: bytes) -> None:
    """What a browser brings back from a login: a URL, a query, or parameters."""
    text = data.decode("utf-8", "surrogateescape")  # text that no encoding carries, too
    read = unquote_plus(
        text.translate({ord(c): None for c in "\t\r\n"})
    )  # which no URL has, for urllib as for browsers
    for pending in (PENDING, PENDING | {"issuer": "https://a.test", "iss": "required"}):
        for answer in (text, {"state": text, "code": text}, {"state": PENDING["state"], "error": text}):
            with suppress(LoginFailed):
                assert read_callback(answer, pending)
                assert PENDING["state"] in read


def callback_parameters(data: bytes) -> None:
    """The same, where the state is right and a stranger has chosen the rest."""
    text = data.decode("utf-8", "replace")
    with suppress(LoginFailed):
        code = read_callback(f"http://127.0.0.1/callback?state={PENDING['state']}&{text}", PENDING)
        assert code_form(code, "r", "v")["code"] == code


def kept_login(data: bytes) -> None:
    """What a web session kept of a login, or somebody has put there."""
    try:
        value: Any = json.loads(data)
    except (ValueError, RecursionError):
        return
    with suppress(ConfigurationError, LoginFailed):
        known = read_pending(value)
        read_callback({"state": known["state"], "code": "c"}, known)


def device_code(data: bytes) -> None:
    """The answer to a device's request for a code."""
    code = read_device_code(200, data)
    if code is not None:
        assert 0 < code.interval <= 60
        assert 0 < code.expires_in <= 3600
        with suppress(LoginFailed):
            assert Polling(code).wait(0.0) == code.interval


def metadata(data: bytes) -> None:
    """What a server says of itself."""
    found = read_metadata("https://a.test", 200, data)
    if isinstance(found, Metadata):
        assert found.members()["issuer"] == "https://a.test"
        assert found.over(found) == found
        found.endpoint("token_endpoint", mutual_tls=True)
        found.listed("token_endpoint_auth_methods_supported")
    else:
        assert found.isprintable()
    read_resource_metadata("https://a.test", 200, data)


def interaction(data: bytes) -> None:
    """What an API wants of the person."""
    wanted = interaction_of([data.decode("latin-1")])
    if wanted is not None:
        assert str(wanted)
        wanted.params()


def recording(data: bytes) -> None:
    """A body on its way to a cassette, and a line on its way to a log."""
    assert isinstance(clean_body(data), bytes)
    text = data.decode("utf-8", "replace")
    QueryFilter().clean(text)
    assert "s3cret" not in scrub(text, ["s3cret"]).lower().replace("[redacted]", "")


TARGETS: Mapping[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (
        challenge,
        refusal,
        token_response,
        record,
        sealed_record,
        sealed_part,
        left_by_others,
        put_value,
        ring,
        url,
        recording,
        callback,
        callback_parameters,
        kept_login,
        device_code,
        metadata,
        interaction,
    )
}

# What each may begin with: a fuzzer finds JSON by itself only after a long time.
SEEDS: Mapping[str, list[bytes]] = {
    "challenge": [b'Bearer error="invalid_token", Basic realm="x", DPoP algs="a b"', b"Negotiate abc=="],
    "refusal": [b'\x00{"a":{"b":["x"]}}', b'\xffBearer error="invalid_token"'],
    "token_response": [
        b'\x00{"access_token":"a","token_type":"Bearer","expires_in":"3600","refresh_token":"r","scope":["a"],"x":{}}',
        b'\xff{"error":"invalid_grant","error_description":"secret"}',
    ],
    "record": [
        record_json.dump(begin("g", "c", "l", Pair("a", "r", extra={"x": [1]}, lifetime=5.0))).encode(),
        b'{"v":1,"grant":"g","lineage":"l","holds":{"o":{"generation":1,"until":2,"step":1}},"attempt":{"number":1}}',
    ],
    "sealed_record": [record_json.dump(begin("g", "other", "l", Pair("a")), KeyRing(new()).sealer()).encode()],
    "sealed_part": [b"AAAA", b"0123abcd.AAAA"],
    "left_by_others": [b'{"access_token":"a","refresh_token":"r","expires_at":"1.5","scope":["a"],"extra":{"x":1}}'],
    "put_value": [b'{"access_token":"a","expires_in":"3600","extra":{"x":1},"scope":["a"],"expires_at":null}'],
    "ring": [RING.encode(), b"# comment\nseal:AAAA,name:BBBB"],
    "url": [b"https://user@api.example.com:443/a?b#c", b"https://api.example.com\\@evil.example/"],
    "callback": [
        b"http://127.0.0.1/callback?state=a-state-of-32-characters-or-more&code=abc&iss=https%3A%2F%2Fa.test",
        b"?state=a-state-of-32-characters-or-more&error=access_denied",
        b"http://[",
        b"\x80",
    ],
    "callback_parameters": [b"code=abc&iss=https%3A%2F%2Fa.test", b"error=access_denied&error_description=%0d%0a"],
    "kept_login": [json.dumps(PENDING | {"issuer": "https://a.test", "iss": "required"}).encode()],
    "device_code": [
        b'{"device_code":"d","user_code":"u","verification_uri":"https://a.test","expires_in":"60","interval":5}'
    ],
    "metadata": [
        b'{"issuer":"https://a.test","token_endpoint":"https://a.test/t","mtls_endpoint_aliases":{"token_endpoint":1}}',
        b'{"resource":"https://a.test","issuer":"\\u0007"}',
    ],
    "interaction": [
        b'Bearer error="insufficient_user_authentication", acr_values="a b", max_age="5", claims="eyJhIjoxfQ"',
        b'Bearer error="insufficient_scope", scope="a", resource_metadata="https://a.test/"',
    ],
    "recording": [b'{"access_token":"s3cret","a":[{"code":"x"}]}', b"grant_type=a&client_secret=s3cret"],
}
