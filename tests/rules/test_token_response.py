"""Token responses: those of the standard, and those that real endpoints send."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict

from oauth_session.rules.token_response import DenialKind, Denied, Granted, read_token_response, scrub
from oauth_session.tokens import is_sendable

DEAD, CLIENT, TRANSIENT, REQUEST, MALFORMED = DenialKind
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
EPOCH = 784111777.0


def read(status: int, data: object, **headers: str) -> Granted | Denied:
    body = data if isinstance(data, bytes) else json.dumps(data).encode()
    return read_token_response(status, {k.replace("_", "-"): v for k, v in headers.items()}, body)


def granted(**members: Any) -> Granted:
    answer = read(200, {"access_token": "a", **members})
    assert isinstance(answer, Granted)
    return answer


def denied(status: int, data: object, **headers: str) -> Denied:
    answer = read(status, data, **headers)
    assert isinstance(answer, Denied)
    assert answer.status == status
    return answer


def test_the_example_of_the_standard() -> None:
    """RFC 6749 section 5.1: all members of a full answer, and the unknown ones beside."""
    answer = read(
        200,
        {
            "access_token": "2YotnFZFEjr1zCsicMWpAA",
            "token_type": "example",
            "expires_in": 3600,
            "refresh_token": "tGzv3JOkF0XG5Qx2TlKWIA",
            "scope": "a b",
            "example_parameter": "example_value",
        },
        date=DATE,
    )
    assert answer == Granted(
        access_token="2YotnFZFEjr1zCsicMWpAA",
        token_type="example",
        refresh_token="tGzv3JOkF0XG5Qx2TlKWIA",
        lifetime=3600.0,
        scope="a b",
        extra={"example_parameter": "example_value"},
        date=EPOCH,
    )


@pytest.mark.parametrize(
    ("expires_in", "lifetime"),
    [
        (3600, 3600.0),
        ("3600", 3600.0),
        (3600.0, 3600.0),
        ("3600.0", 3600.0),
        (" 3600 ", 3600.0),
        (0.5, 0.5),
        (47304000, 47304000.0),
        (0, None),
        ("0", None),
        (0.0, None),
        (None, None),
        (-1, None),
        ("-1", None),
        ("", None),
        ("soon", None),
        ("1_000", None),
        ("1e3", None),
        ("\u0663", None),
        ("nan", None),
        ("inf", None),
        (True, None),
        (float("nan"), None),
        (float("inf"), None),
        (1e300, None),
        (10**12, None),
        (10**399, None),
        ("9" * 5000, None),
        ([3600], None),
        ({}, None),
    ],
)
def test_lifetimes(expires_in: object, lifetime: float | None) -> None:
    """RFC 6749 section 5.1: numbers and digits count; whatever else is an unknown lifetime, never an error."""
    answer = granted(expires_in=expires_in, refresh_token="r")
    assert (answer.lifetime, answer.refresh_token, dict(answer.extra)) == (lifetime, "r", {})


def test_no_lifetime_is_an_unknown_one() -> None:
    """RFC 6749 section 5.1: expires_in is only recommended."""
    assert granted().lifetime is None


@pytest.mark.parametrize("number", [b"9" * 5000, b"-" + b"9" * 5000, b"1e999", b"NaN", b"-Infinity", b"1" + b"0" * 399])
def test_an_absurd_number_does_not_cost_the_pair(number: bytes) -> None:
    """RFC 6749 section 6: Python refuses numbers of 5000 digits; the refresh token beside one must not be lost."""
    body = b'{"access_token":"a","refresh_token":"r","expires_in":%s,"x":%s}' % (number, number)
    answer = read_token_response(200, {}, body)
    assert isinstance(answer, Granted)
    assert (answer.refresh_token, answer.lifetime) == ("r", None)
    json.dumps(dict(answer.extra), allow_nan=False)


@pytest.mark.parametrize("value", ["", " ", "\t", None, 5, True, ["r"], {"r": 1}, "\ud800"])
def test_no_new_refresh_token_means_keep_the_old(value: object) -> None:
    """RFC 6749 section 6 and appendix A.17: absent, empty, null or no text at all."""
    assert granted(refresh_token=value).refresh_token is None
    assert granted().refresh_token is None


@pytest.mark.parametrize(
    ("scope", "expected"),
    [("a b", "a b"), ("a,b", "a,b"), (["a", "b"], "a b"), ([], None), ("", None), (None, None), ([1], None), (5, None)],
)
def test_scopes(scope: object, expected: str | None) -> None:
    """RFC 6749 section 3.3, and Twitch's arrays; None keeps the old one."""
    assert granted(scope=scope).scope == expected


@pytest.mark.parametrize(
    ("token_type", "expected"),
    [
        ("bearer", "bearer"),
        ("BEARER", "BEARER"),
        ("DPoP", "DPoP"),
        ("User Access Token", "User Access Token"),
        ("", "Bearer"),
        (" ", "Bearer"),
        (None, "Bearer"),
        (5, "Bearer"),
        ("Bearer\r\nX: y", "Bearer"),
    ],
)
def test_token_types(token_type: object, expected: str) -> None:
    """RFC 6749 section 7.1: kept as sent; one that no header could carry is none."""
    assert granted(token_type=token_type).token_type == expected
    assert granted().token_type == "Bearer"


@pytest.mark.parametrize(
    ("status", "data", "kind"),
    [
        # dead, at whatever status
        (400, {"error": "invalid_grant"}, DEAD),
        (401, {"error": "invalid_grant"}, DEAD),
        (403, {"error": "invalid_grant", "error_description": "Unknown or invalid refresh token."}, DEAD),
        (200, {"error": "invalid_grant"}, DEAD),
        (200, {"error": "bad_refresh_token"}, DEAD),
        (500, {"error": "invalid_grant"}, DEAD),
        # the client
        (401, {"error": "invalid_client"}, CLIENT),
        (400, {"error": "invalid_client"}, CLIENT),
        (200, {"error": "invalid_client"}, CLIENT),
        (400, {"error": "unauthorized_client"}, CLIENT),
        (401, b"", CLIENT),
        (401, b"<html>Unauthorized</html>", CLIENT),
        (401, {"message": "no"}, CLIENT),
        # later
        (500, b"", TRANSIENT),
        (502, b"<html>", TRANSIENT),
        (503, {"error": "invalid_client"}, TRANSIENT),
        (599, b"", TRANSIENT),
        (408, b"", TRANSIENT),
        (425, b"", TRANSIENT),
        (429, {"error": "invalid_request"}, TRANSIENT),
        (400, {"error": "temporarily_unavailable"}, TRANSIENT),
        (400, {"error": "server_error"}, TRANSIENT),
        (200, {"error": "server_error"}, TRANSIENT),
        (400, {"error": "slow_down"}, TRANSIENT),
        (
            400,
            {
                "error": "invalid_request",
                "error_description": "The request is missing a required parameter. Failed to refresh token because of "
                "multiple concurrent requests using the same token which is not allowed.",
            },
            TRANSIENT,
        ),
        (400, {"error": "invalid_request", "error_hint": "Please retry the request."}, TRANSIENT),
        # this request
        (400, {"error": "invalid_request"}, REQUEST),
        (400, {"error": "invalid_request", "error_description": "refresh_token is missing"}, REQUEST),
        (400, {"error": "invalid_scope"}, REQUEST),
        (400, {"error": "unsupported_grant_type"}, REQUEST),
        (400, {"error": "something_new"}, REQUEST),
        (401, {"error": "something_new"}, REQUEST),
        (200, {"error": "something_new"}, REQUEST),
        (200, {"error": {"code": 5}}, REQUEST),
        (400, b"", REQUEST),
        (400, b"<html>", REQUEST),
        (400, [], REQUEST),
        (400, {"error": 5}, REQUEST),
        (403, b"", REQUEST),
        (404, b"", REQUEST),
        (405, b"", REQUEST),
        (302, b"", REQUEST),
        (400, {"access_token": "a"}, REQUEST),
        # a success that is none
        (200, b"", MALFORMED),
        (204, b"", MALFORMED),
        (200, b"null", MALFORMED),
        (200, b"<html>login</html>", MALFORMED),
        (200, b"access_token=a&token_type=bearer", MALFORMED),
        (200, b'{"access_token":"a"', MALFORMED),
        (200, b"\xff\xfe{", MALFORMED),
        (200, b"[" * 100_000, MALFORMED),
        (200, [{"access_token": "a"}], MALFORMED),
        (200, "a", MALFORMED),
        (200, {}, MALFORMED),
        (200, {"error": None}, MALFORMED),
        (200, {"error": ""}, MALFORMED),
        (200, {"access_token": ""}, MALFORMED),
        (200, {"access_token": None}, MALFORMED),
        (200, {"access_token": 5}, MALFORMED),
        (200, {"access_token": ["a"]}, MALFORMED),
        (200, {"access_token": "a b"}, MALFORMED),
        (200, {"access_token": "a\r\nX: y"}, MALFORMED),
        (200, {"access_token": "\u20ac"}, MALFORMED),
        (200, {"access_token": "a\n", "error": "x"}, MALFORMED),
    ],
)
def test_what_a_refusal_means(status: int, data: object, kind: DenialKind) -> None:
    """RFC 6749 section 5.2: each answer has one meaning for the grant; only invalid_grant is its end."""
    assert denied(status, data).kind is kind


@pytest.mark.parametrize("access_token", ["", None, 5, "a\nb", "\u20ac"])
def test_a_rotation_in_a_malformed_answer_is_not_lost(access_token: object) -> None:
    """RFC 6749 section 6: the old refresh token is dead by now; the new one is handed on."""
    assert denied(200, {"access_token": access_token, "refresh_token": "r2"}).refresh_token == "r2"
    assert denied(200, {"access_token": access_token, "refresh_token": ""}).refresh_token is None
    assert denied(400, {"error": "invalid_request", "refresh_token": "r2"}).refresh_token is None


def test_a_created_token_is_granted() -> None:
    """RFC 6749 section 5.1, and Sentry, which answers 201; an error member beside a usable token does not undo it."""
    assert isinstance(read(201, {"access_token": "a", "error": None}), Granted)
    assert isinstance(read(200, {"access_token": "a", "error": "none"}), Granted)


def test_a_byte_order_mark_is_no_obstacle() -> None:
    """RFC 6749 section 5.1: JSON that some servers start with a byte order mark."""
    assert isinstance(read(200, b'\xef\xbb\xbf{"access_token":"a"}'), Granted)


def test_the_words_of_the_server() -> None:
    """RFC 6749 section 5.2: error, description and uri, short, on one line, the uri without its query."""
    answer = denied(
        400,
        {
            "error": "invalid_grant",
            "error_description": "one\r\ntwo\x00\x1b[31m\x9b" + "x" * 400,
            "error_uri": "https://a.test/help?token=SENTINEL",
        },
    )
    assert (answer.error, answer.uri) == ("invalid_grant", "https://a.test/help")
    assert answer.description is not None
    assert answer.description.startswith("one two [31m x")
    assert len(answer.description) == 300
    plain = denied(400, {"error": "x", "error_description": {"a": 1}, "error_uri": 5})
    assert (plain.description, plain.uri) == (None, None)


def test_secrets_are_cut_out_before_the_words_are_shortened() -> None:
    """DESIGN section 8: a secret that straddles the 300th character leaves no part of itself."""
    body = json.dumps({"error": "SENTINEL", "error_description": "x" * 295 + "SENTINEL", "error_uri": "u/SENTINEL"})
    answer = read_token_response(400, {}, body.encode(), ["SENTINEL", None])
    assert isinstance(answer, Denied)
    assert "SEN" not in f"{answer.error} {answer.description} {answer.uri}"


@pytest.mark.parametrize(
    ("retry_after", "date", "expected"),
    [
        ("120", None, 120.0),
        ("0", None, 0.0),
        (" 5 ", None, 5.0),
        ("1.5", None, 1.5),
        ("86400", None, 86400.0),
        ("Sun, 06 Nov 1994 08:51:37 GMT", DATE, 120.0),
        ("Sunday, 06-Nov-94 08:51:37 GMT", DATE, 120.0),
        ("Sun Nov  6 08:51:37 1994", DATE, 120.0),
        ("Sun, 06 Nov 1994 08:51:37 GMT", None, None),
        ("Sun, 06 Nov 1994 08:00:00 GMT", DATE, None),
        ("Sun, 06 Nov 2094 08:00:00 GMT", DATE, None),
        ("86401", None, None),
        ("9" * 400, None, None),
        ("-1", None, None),
        ("nan", None, None),
        ("", DATE, None),
        ("soon", DATE, None),
        ("Sun, 99 Nov 1994 99:99:99 GMT", DATE, None),
        ("Sun, 06 Nov 1994 08:51:37 GMT" + " " * 100, DATE, None),
    ],
)
def test_retry_after(retry_after: str, date: str | None, expected: float | None) -> None:
    """RFC 9110 section 10.2.3: seconds, or a date seen from the answer's own Date; the absurd is ignored."""
    headers = {"Retry_After": retry_after} | ({"Date": date} if date else {})
    assert denied(503, b"", **headers).retry_after == expected


@pytest.fixture
def elsewhere() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "Asia/Kolkata")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        (DATE, EPOCH),
        ("Sun, 06 Nov 1994 08:49:37 -0000", EPOCH),
        ("Sun Nov  6 08:49:37 1994", EPOCH),
        ("yesterday", None),
        ("", None),
        ("Sun, 06 Nov 99999 08:49:37 GMT", None),
    ],
)
def test_the_date_of_the_answer(date: str, expected: float | None, elsewhere: None) -> None:
    """RFC 9110 section 5.6.7: the server's clock in seconds, independent of this machine's time zone."""
    answer = read_token_response(200, CaseInsensitiveDict({"DATE": date}), b'{"access_token":"a"}')
    assert isinstance(answer, Granted)
    assert answer.date == expected


def test_no_secret_in_a_repr() -> None:
    """DESIGN section 8: neither tokens nor the server's words nor unknown members show."""
    members = dict.fromkeys(("access_token", "refresh_token", "id_token", "scope"), "SENTINEL")
    assert repr(read(200, {**members, "expires_in": 5})) == "<Granted type=Bearer lifetime=5.0 refresh_token=yes>"
    words = {"error": "invalid_grant", "error_description": "SENTINEL", "error_uri": "SENTINEL"}
    assert repr(read(400, words)) == "<Denied dead status=400 error=invalid_grant refresh_token=no>"
    assert "SENTINEL" not in repr(read(200, {"refresh_token": "SENTINEL"}))


@pytest.mark.parametrize(
    ("text", "secrets", "expected"),
    [
        ("token abc is bad", ["abc"], "token [redacted] is bad"),
        ("a/b+c a%2Fb%2Bc a%2fb%2bc a/b%2Bc", ["a/b+c"], "[redacted] [redacted] [redacted] [redacted]"),
        ("x y x%20y x+y", ["x y"], "[redacted] [redacted] [redacted]"),
        ("abcd abc", ["abc", "abcd"], "[redacted] [redacted]"),
        ("red abc", ["abc", "red"], "[redacted] [redacted]"),
        ("a.c abc", ["a.c"], "[redacted] abc"),
        ("nothing", ["", None], "nothing"),
        ("\ud800x", ["\ud800"], "[redacted]x"),
        ("\u20ac %E2%82%AC", ["\u20ac"], "[redacted] [redacted]"),
    ],
)
def test_scrub(text: str, secrets: list[str | None], expected: str) -> None:
    """DESIGN section 8: servers quote what they were sent, plain or url-quoted; each secret goes, whole."""
    assert scrub(text, secrets) == expected


@given(st.text(max_size=30), st.lists(st.text(min_size=3, max_size=5), max_size=4), st.text(max_size=30))
def test_scrubbed_text_holds_no_secret(before: str, secrets: list[str], after: str) -> None:
    """DESIGN section 8: whatever stands around it, and whatever other secrets there are."""
    for secret in secrets:
        rest = scrub(before + secret + after, secrets).replace("[redacted]", "\0")
        assert secret not in rest or "\0" in secret


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
MEMBERS = ["access_token", "token_type", "refresh_token", "expires_in", "scope", "error", "error_description"]


@given(
    st.integers(100, 599),
    st.dictionaries(st.sampled_from(["Date", "date", "Retry-After"]), st.text() | st.sampled_from([DATE, "5"])),
    st.binary()
    | st.dictionaries(st.sampled_from([*MEMBERS, "error_uri", "x"]), JSON).map(lambda x: json.dumps(x).encode()),
)
def test_foreign_bytes_never_fail(status: int, headers: dict[str, str], body: bytes) -> None:
    """RFC 6749 5.1: whatever the endpoint answers is either a token that can be sent and stored, or a refusal."""
    answer = read_token_response(status, headers, body)
    repr(answer)
    if isinstance(answer, Granted):
        assert 200 <= status < 300
        assert is_sendable(answer.access_token)
        assert answer.lifetime is None or 0 < answer.lifetime < 4e9
        json.dumps([answer.refresh_token, answer.scope, answer.token_type, dict(answer.extra)], allow_nan=False)
    else:
        assert answer.refresh_token is None or 200 <= status < 300
        assert len(answer.description or "") <= 300
        assert min(answer.description or " ") >= " "
        assert answer.retry_after is None or 0 <= answer.retry_after <= 86400
    assert answer.refresh_token is None or answer.refresh_token.encode()
