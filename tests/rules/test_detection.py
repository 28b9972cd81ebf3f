"""Which responses mean that the token has ended, in the very words of real servers."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict

from oauth_session.errors import ConfigurationError
from oauth_session.rules.detection import Detection, Rule, Verdict

ACCEPTED, EXPIRED, MAYBE, NOT_EXPIRY, NONCE = Verdict
PLAIN = Detection()


def never() -> bytes | None:
    raise AssertionError("the body was asked for")


def verdict(
    detection: Detection,
    status: int,
    *challenges: str,
    body: bytes | Callable[[], bytes | None] | None = never,
    headers: dict[str, str] | None = None,
    scheme: str = "bearer",
) -> Verdict:
    ask = body if callable(body) else lambda: body
    return detection.judge(status, challenges, headers or {}, ask, scheme).verdict


@pytest.mark.parametrize(
    ("status", "challenges", "expected"),
    [
        # Reddit, Box, Doorkeeper
        (401, ['Bearer realm="reddit", error="invalid_token"'], EXPIRED),
        (401, ['Bearer realm="Service", error="invalid_token", error_description="The access token expired"'], EXPIRED),
        (401, ['bearer ERROR="invalid_token"'], EXPIRED),
        (401, ['Basic realm="x", Bearer error="invalid_token"'], EXPIRED),
        (401, ['Basic realm="x"', 'Bearer error="invalid_token"'], EXPIRED),
        # Spotify, Strava, Xero, ...: nothing conclusive
        (401, [], MAYBE),
        (401, ["Bearer"], MAYBE),
        (401, ['Bearer realm="x"'], MAYBE),
        (401, ['Bearer error="something_else"'], MAYBE),
        (401, ["\x00="], MAYBE),
        # malformed or contradictory: as if nothing had been said (RFC 6750 section 3)
        (401, ['Bearer error="invalid_token", error="insufficient_scope"'], MAYBE),
        (401, ['Bearer error="invalid_token"', 'Bearer error="insufficient_scope"'], MAYBE),
        # a new token would not help (RFC 6750 3.1, RFC 9470 3, Microsoft CAE)
        (401, ['Bearer error="insufficient_scope", scope="a b"'], NOT_EXPIRY),
        (403, ['Bearer error="insufficient_scope"'], NOT_EXPIRY),
        (401, ['Bearer error="insufficient_user_authentication", acr_values="x", max_age=5'], NOT_EXPIRY),
        (401, ['Bearer realm="", error="insufficient_claims", claims="eyJ9"'], NOT_EXPIRY),
        (400, ['Bearer error="invalid_request"'], NOT_EXPIRY),
        (401, ['Bearer error="invalid_request"'], NOT_EXPIRY),
        # 401 only
        (403, ['Bearer error="invalid_token"'], NOT_EXPIRY),
        (400, ['Bearer error="invalid_token"'], NOT_EXPIRY),
        (403, [], NOT_EXPIRY),
        (400, [], NOT_EXPIRY),
        (404, [], NOT_EXPIRY),
        (412, [], NOT_EXPIRY),
        (429, [], NOT_EXPIRY),
        (500, [], NOT_EXPIRY),
        (200, [], ACCEPTED),
        (200, ['Bearer error="invalid_token"'], ACCEPTED),
        (204, [], ACCEPTED),
        (302, [], ACCEPTED),
    ],
)
def test_the_default(status: int, challenges: Sequence[str], expected: Verdict) -> None:
    """DESIGN section 7: the default rules look at status and challenge, never at the body."""
    assert verdict(PLAIN, status, *challenges) is expected


def test_a_refused_401_was_not_applied() -> None:
    """RFC 9110 section 15.5.2: after a 401 any request may be sent again."""
    assert PLAIN.judge(401, [], {}, never).replay == "always"
    assert PLAIN.judge(401, ["Bearer error=invalid_token"], {}, never).replay == "always"


@pytest.mark.parametrize(
    ("scheme", "challenges", "expected"),
    [
        ("dpop", ['DPoP error="use_dpop_nonce"'], NONCE),
        ("DPoP", ['Bearer error="invalid_token", DPoP error="use_dpop_nonce", algs="ES256"'], NONCE),
        ("dpop", ['DPoP error="invalid_dpop_proof"'], NOT_EXPIRY),
        ("dpop", ['Bearer error="insufficient_scope", DPoP error="invalid_token"'], EXPIRED),
        ("bearer", ['Bearer error="insufficient_scope", DPoP error="invalid_token"'], NOT_EXPIRY),
        ("bearer", ['Bearer realm="x", DPoP error="invalid_token"'], MAYBE),
        ("bearer", ['Basic realm="x", DPoP error="invalid_token"'], MAYBE),
        ("zoho-oauthtoken", ['Bearer error="invalid_token"'], EXPIRED),
    ],
)
def test_the_challenge_of_the_scheme_used_counts(scheme: str, challenges: Sequence[str], expected: Verdict) -> None:
    """RFC 9449 sections 7.1, 9: of several challenges only that of our scheme counts, or a single one."""
    assert verdict(PLAIN, 401, *challenges, scheme=scheme) is expected


SP_API = b'{"errors":[{"code":"Unauthorized","message":"Access to requested resource is denied.","details":"%s"}]}'
REAL = Detection(
    expired_when=[
        {"status": 403, "path": "errors[0].details", "equals": "The access token you provided has expired."},
        {"status": 400, "path": "error.code", "equals": 190},
        {"status": 200, "path": "error", "in": ["token_expired", "invalid_auth"]},
        {"status": 200, "path": "status", "in": [100, 101, 102, 200, 401]},
        {"status": [401, 403], "path": "[0].errorCode", "equals": "INVALID_SESSION_ID"},
        {"status": 403, "error": "invalid_token"},
        {"status": 403, "header": {"X-Reason": "token-expired"}, "replay": "idempotent"},
    ],
    not_expired_when=[
        {"status": 401, "path": 'error[".tag"]', "in": ["missing_scope", "invalid_access_token"]},
        {"status": 401, "path": "message", "equals": "Unauthorized; scope does not match"},
    ],
)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (403, SP_API % b"The access token you provided has expired.", EXPIRED),
        (403, SP_API % b"Access to the resource is forbidden", NOT_EXPIRY),
        (400, b'{"error":{"type":"OAuthException","code":190,"error_subcode":463}}', EXPIRED),
        (400, b'{"error":{"type":"OAuthException","code":"190"}}', NOT_EXPIRY),
        (400, b'{"error":{"code":10}}', NOT_EXPIRY),
        (200, b'{"ok":false,"error":"token_expired"}', EXPIRED),
        (200, b'{"ok":true}', ACCEPTED),
        (200, b'{"status":401,"error":""}', EXPIRED),
        (200, b'{"status":0,"body":{}}', ACCEPTED),
        (403, b'[{"errorCode":"INVALID_SESSION_ID","message":"Session expired or invalid"}]', EXPIRED),
        (403, b"[]", NOT_EXPIRY),
        (403, b"Bad_OAuth_Token", NOT_EXPIRY),
        (401, b'{"error":{".tag":"expired_access_token"}}', MAYBE),
        (401, b'{"error":{".tag":"missing_scope"}}', NOT_EXPIRY),
        (401, b'{"code":401,"message":"Unauthorized; scope does not match"}', NOT_EXPIRY),
        (401, b'{"code":401,"message":"Unauthorized"}', MAYBE),
        (403, b"", NOT_EXPIRY),
        (403, None, NOT_EXPIRY),
        (403, b"\xff\xfe\x00", NOT_EXPIRY),
        (403, b"[" * 100_000, NOT_EXPIRY),
        (403, b'{"errors":' + b"1" * 10_000 + b"}", NOT_EXPIRY),
    ],
)
def test_exact_rules_on_real_bodies(status: int, body: bytes | None, expected: Verdict) -> None:
    """DESIGN section 7: rules match exactly; a body that is no JSON, or too long to read, matches nothing."""
    assert verdict(REAL, status, body=body) is expected


def test_rules_on_challenges_and_headers() -> None:
    """DESIGN section 7: `error` is a challenge's code, `header` an exact value under a name in any case."""
    assert verdict(REAL, 403, 'Bearer error="invalid_token"', body=None) is EXPIRED
    for headers in ({"x-reason": "token-expired"}, CaseInsensitiveDict({"X-REASON": "token-expired"})):
        assert REAL.judge(403, [], headers, lambda: None) == (EXPIRED, "idempotent")
    assert verdict(REAL, 403, headers={"X-Reason": "token-expired!"}, body=None) is NOT_EXPIRY


def test_all_that_a_rule_names_must_hold() -> None:
    """A rule is a conjunction."""
    detection = Detection(
        expired_when=[{"status": 403, "error": "x", "header": {"A": "1", "B": "2"}, "path": "c", "equals": None}]
    )
    good: dict[str, Any] = {"headers": {"a": "1", "b": "2"}, "body": b'{"c":null}'}
    assert verdict(detection, 403, "Bearer error=x", **good) is EXPIRED
    assert verdict(detection, 403, "Bearer error=y", **good) is NOT_EXPIRY
    assert verdict(detection, 403, "Bearer error=x", **{**good, "headers": {"a": "1"}}) is NOT_EXPIRY
    assert verdict(detection, 403, "Bearer error=x", **{**good, "body": b"{}"}) is NOT_EXPIRY
    assert verdict(detection, 400, "Bearer error=x", **good) is NOT_EXPIRY


def test_deny_rules_come_first() -> None:
    """DESIGN section 7: what is known not to be expiry stays so, whatever else says the contrary."""
    rule = {"status": 401, "error": "invalid_token"}
    detection = Detection(refresh_on=[401], expired_when=[rule], not_expired_when=[rule])
    assert verdict(detection, 401, "Bearer error=invalid_token") is NOT_EXPIRY
    assert verdict(detection, 401) is MAYBE


def test_refresh_on_is_the_interceptor_habit() -> None:
    """DESIGN section 7: plain statuses are a maybe; a conclusive challenge for another reason still wins."""
    detection = Detection(refresh_on={401, 403, 500, 200})
    assert detection.judge(403, [], {}, never) == (MAYBE, "always")
    assert verdict(detection, 403, 'Bearer error="insufficient_scope"') is NOT_EXPIRY
    assert verdict(detection, 403, 'Bearer error="invalid_token"') is MAYBE
    assert verdict(detection, 401, 'Bearer error="invalid_token"') is EXPIRED
    assert verdict(detection, 400) is NOT_EXPIRY
    # RFC 9110 section 9.2.2: a success or a fault may have been applied
    assert detection.judge(500, [], {}, never) == (MAYBE, "idempotent")
    assert detection.judge(200, [], {}, never) == (MAYBE, "idempotent")


def test_the_body_is_asked_for_once_and_only_when_a_rule_needs_it() -> None:
    """DESIGN section 7: bodies are read only when a rule needs them."""
    asked = []

    def body() -> bytes:
        asked.append(1)
        return b"{}"

    for status in (200, 201, 302, 404, 500):
        assert verdict(Detection(expired_when=[{"status": 403, "path": "a", "equals": 1}]), status) in Verdict
    verdict(Detection(expired_when=[{"status": 403, "error": "x", "path": "a", "equals": 1}]), 403)
    verdict(REAL, 403, body=body)
    verdict(REAL, 401, body=body)
    assert len(asked) == 2
    assert [s for s in (200, 204, 400, 401, 403, 404) if REAL.needs_body(s)] == [200, 400, 401, 403]
    assert not Detection(refresh_on=[403], expired_when=[{"status": 403, "error": "x"}]).needs_body(403)


@pytest.mark.parametrize(
    ("path", "body", "found"),
    [
        ("a", {"a": 1}, True),
        ("a.b.c", {"a": {"b": {"c": 1}}}, True),
        ("a[0][1].b", {"a": [[0, {"b": 1}]]}, True),
        ("[1].a", [0, {"a": 1}], True),
        ('["a.b"].c', {"a.b": {"c": 1}}, True),
        ('a["b c"]["d\\"[0]"]', {"a": {"b c": {'d"[0]': 1}}}, True),
        ("a-b.c_d.@e.ü", {"a-b": {"c_d": {"@e": {"ü": 1}}}}, True),
        ("0", {"0": 1}, True),
        ("a.0", {"a": {"0": 1}}, True),
        ("a.0", {"a": [1]}, False),
        ("a[0]", {"a": {"0": 1}}, False),
        ("a[9]", {"a": [1]}, False),
        ("a[0]", {"a": "1"}, False),
        ("a.b", {"a": 1}, False),
        ("a.b", {"a": None}, False),
    ],
)
def test_paths(path: str, body: object, found: bool) -> None:
    """The path language: names, indices, quoted names; what is not there, or of another kind, does not match."""
    detection = Detection(expired_when=[{"status": 400, "path": path, "equals": 1}])
    assert (verdict(detection, 400, body=json.dumps(body).encode()) is EXPIRED) is found


@pytest.mark.parametrize(
    ("wanted", "found", "same"),
    [
        (1, "1", True),
        (1, "1.0", True),
        (1, '"1"', False),
        (1, "true", False),
        ("1", "1", False),
        ("A", '"A"', True),
        ("A", '"a"', False),
        ("A", '"A "', False),
        (True, "true", True),
        (True, "1", False),
        (False, "0", False),
        (0, "false", False),
        (None, "null", True),
        (None, "0", False),
        (None, '""', False),
    ],
)
def test_values_are_compared_as_json(wanted: object, found: str, same: bool) -> None:
    """An exact rule is exact: no text for a number, no true for a 1, no other case."""
    detection = Detection(expired_when=[{"status": 400, "path": "a", "equals": wanted}])
    assert (verdict(detection, 400, body=f'{{"a":{found}}}'.encode()) is EXPIRED) is same


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("status", "must be a mapping"),
        (None, "must be a mapping"),
        ({}, "needs a status"),
        ({"error": "x"}, "needs a status"),
        ({"status": 403}, "needs error, header, path or body"),
        ({"status": 403, "replay": "always"}, "needs error, header, path or body"),
        ({"status": 403, "text": "expired"}, "no key 'text'"),
        ({"status": 403, "path": "a", "regex": ".*"}, "no key 'regex'.*never free text"),
        ({"status": 403, 5: 1}, "no key 5"),
        ({"status": 403, "path": "a"}, "path needs equals or in"),
        ({"status": 403, "path": "a", "equals": 1, "in": [1]}, "path needs equals or in"),
        ({"status": 403, "error": "x", "equals": 1}, "equals needs a path"),
        ({"status": 403, "error": "x", "in": [1]}, "in needs a path"),
        ({"status": 403, "path": "a", "in": "abc"}, "in must be a list"),
        ({"status": 403, "path": "a", "in": []}, "in must be a list"),
        ({"status": 403, "path": "a", "in": 5}, "in must be a list"),
        ({"status": 403, "path": "a", "equals": {"b": 1}}, "equals compares with text"),
        ({"status": 403, "path": "a", "in": [[1]]}, "in compares with text"),
        ({"status": 403, "error": ""}, "error must be"),
        ({"status": 403, "error": 5}, "error must be"),
        ({"status": 403, "error": None}, "error must be"),
        ({"status": 403, "header": "x"}, "header must map"),
        ({"status": 403, "header": {"x": 1}}, "header must map"),
        ({"status": 403, "header": {}}, "names no header"),
        ({"status": 403, "error": "x", "replay": "never"}, "replay must be"),
        ({"status": "403", "error": "x"}, "status must be"),
        ({"status": True, "error": "x"}, "status must be"),
        ({"status": 99, "error": "x"}, "status must be"),
        ({"status": [403, 600], "error": "x"}, "status must be"),
        ({"status": [], "error": "x"}, "names no status"),
        ({"status": None, "error": "x"}, "status must be"),
        ({"status": 403, "body": 5}, "body must be"),
        ({"status": 403, "body": " "}, "body must be"),
    ],
)
def test_a_wrong_rule_is_refused_by_name(rule: Any, message: str) -> None:
    """DESIGN section 5: a malformed rule fails when it is given, and says what is wrong."""
    for build in (lambda: Rule.of(rule), lambda: Detection(expired_when=[rule]), lambda: Detection((), (), [rule])):
        with pytest.raises(ConfigurationError, match=message):
            build()


@pytest.mark.parametrize(
    "path",
    [
        "",
        ".",
        ".a",
        "a.",
        "a..b",
        "a[",
        "a]",
        "a[]",
        "a[x]",
        "a[-1]",
        "[0]a",
        "a.[0]",
        "a[0].",
        "a b",
        "['a']",
        '["a]',
        '["a"',
        '["\\q"]',
        '["a"]b',
        5,
        None,
        ["a"],
    ],
)
def test_a_wrong_path_is_refused(path: Any) -> None:
    """DESIGN section 5: what is not in the path language is a ConfigurationError, not a rule that never matches."""
    with pytest.raises(ConfigurationError, match="path must be like"):
        Rule.of({"status": 403, "path": path, "equals": 1})


@pytest.mark.parametrize("value", [403, "403", [99], [600], [True], ["401"], [401.0], None, {401: 1}, [None]])
def test_refresh_on_wants_statuses(value: Any) -> None:
    """DESIGN section 5: refresh_on is a collection of HTTP statuses."""
    with pytest.raises(ConfigurationError, match="refresh_on"):
        Detection(refresh_on=value)


@pytest.mark.parametrize("value", [{"status": 403}, "x", None, 5])
def test_rules_come_in_a_list(value: Any) -> None:
    """One rule without its list is a common slip, and is named."""
    with pytest.raises(ConfigurationError, match="expired_when must be a list of rules"):
        Detection(expired_when=value)
    with pytest.raises(ConfigurationError, match="not_expired_when must be a list of rules"):
        Detection(not_expired_when=value)


def test_a_detection_is_a_value() -> None:
    """DESIGN section 5: it can be compared, hashed and pickled, and takes any iterable."""
    again = Detection(iter([403]), iter(REAL.expired_when), list(REAL.not_expired_when))
    assert again == Detection({403}, REAL.expired_when, REAL.not_expired_when) != REAL
    assert pickle.loads(pickle.dumps(again)) == again
    assert hash(again) == hash(pickle.loads(pickle.dumps(again)))
    assert verdict(pickle.loads(pickle.dumps(REAL)), 400, body=b'{"error":{"code":190}}') is EXPIRED


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
)


@given(st.integers(100, 599), st.lists(st.text(), max_size=3), st.binary() | JSON.map(lambda x: json.dumps(x).encode()))
def test_foreign_answers_never_fail(status: int, challenges: list[str], body: bytes) -> None:
    """RFC 9110 section 11.6.1: whatever the server says, there is a verdict."""
    assert REAL.judge(status, challenges, {}, lambda: body).verdict in Verdict


@given(st.text(max_size=40) | st.text('ab.[]0"\\ ', max_size=12))
def test_a_path_is_understood_or_refused(path: str) -> None:
    """A path either becomes steps or a ConfigurationError, nothing else."""
    try:
        rule = Rule.of({"status": 403, "path": path, "equals": 1})
    except ConfigurationError:
        return
    assert rule.path


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"Bad_OAuth_Token", EXPIRED),
        (b" Bad_OAuth_Token\r\n", EXPIRED),
        (b"Bad_OAuth_Token!", NOT_EXPIRY),
        (None, NOT_EXPIRY),
    ],
)
def test_a_body_that_is_not_json_is_compared_whole(body: bytes | None, expected: Verdict) -> None:
    """Salesforce's identity URL says 403 and two words: the whole text must be equal, blanks around it apart."""
    assert verdict(Detection(expired_when=[{"status": 403, "body": "Bad_OAuth_Token"}]), 403, body=body) is expected


def test_a_401_may_mean_nothing_by_itself() -> None:
    """Standards 3.1: with `only_rules` a 401 needs a rule or a conclusive challenge; `refresh_on` still names it."""
    strict = Detection(expired_when=[{"status": 401, "path": "a", "equals": 1}], default_401="only_rules")
    assert verdict(strict, 401, body=b"{}") is NOT_EXPIRY
    assert verdict(strict, 401, body=b'{"a": 1}') is EXPIRED
    assert verdict(strict, 401, "Bearer error=invalid_token", body=b"{}") is EXPIRED
    assert verdict(Detection(refresh_on={401}, default_401="only_rules"), 401) is MAYBE
    with pytest.raises(ConfigurationError, match="default_401 must be"):
        Detection(default_401="never")  # type: ignore[arg-type]
