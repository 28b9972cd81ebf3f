"""Where a token may go, judged by what requests itself would connect to."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import requests
from hypothesis import example, given, settings
from hypothesis import strategies as st
from requests.adapters import HTTPAdapter

from oauth_session.errors import ConfigurationError
from oauth_session.rules.origins import Guard, is_loopback, origin_of

ADAPTER = HTTPAdapter()


def connects_to(url: str, *, prepared: bool) -> str | None:
    """The origin of the connection pool that requests takes for a URL; unprepared is what a redirect brings."""
    request = requests.PreparedRequest()
    try:
        if prepared:
            request.prepare(method="GET", url=url)
        else:
            request.url = url
        pool = ADAPTER.get_connection_with_tls_context(request, verify=True)
    except (requests.RequestException, ValueError):
        return None
    host = f"[{pool.host}]" if ":" in pool.host else pool.host
    return f"{pool.scheme}://{host}:{pool.port}"


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://API.Example.com", "https://api.example.com:443"),
        ("HTTPS://api.example.com:443/x?y#z", "https://api.example.com:443"),
        ("https://api.example.com:/x", "https://api.example.com:443"),
        ("https://api.example.com?x", "https://api.example.com:443"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("http://[::1]/", "http://[::1]:80"),
        ("https://m\u00fcnchen.example/", "https://xn--mnchen-3ya.example:443"),
        ("https://api.example.com.evil.test/", "https://api.example.com.evil.test:443"),
        ("https://api.example.com@evil.test/", "https://evil.test:443"),
        ("https://api.example.com:443@evil.test/", "https://evil.test:443"),
        ("https://api.example.com%2f@evil.test/", "https://evil.test:443"),
        ("https://user:p@ss@api.example.com/", "https://api.example.com:443"),
        ("https://evil.test/@api.example.com", "https://evil.test:443"),
        ("https://evil.test?@api.example.com", "https://evil.test:443"),
        ("https://evil.test#@api.example.com", "https://evil.test:443"),
        ("mock://Api.test/x", "mock://api.test"),
        ("mock://api.test:8/x", "mock://api.test:8"),
        ("http+unix://%2Fvar%2Frun%2Fx.sock/v1", "http+unix://%2fvar%2frun%2fx.sock"),
    ],
)
def test_an_origin_is_scheme_host_and_port(url: str, origin: str) -> None:
    """RFC 9700 section 4.9.1: origins are compared as parsed, with user-info, path and look-alikes told apart."""
    assert origin_of(url) == origin


@pytest.mark.parametrize(
    "url",
    [
        "",
        "me",
        "/me",
        "//api.example.com/me",
        "api.example.com/me",
        "https:api.example.com",
        "https:/api.example.com",
        "https:///me",
        "https://@/",
        "https://:443/",
        "https://api.example.com\\@evil.test",
        "https://api.example.com\\.evil.test",
        "https:\\\\api.example.com",
        "https://evil.test\\/api.example.com",
        "https://api.example.com\t.evil.test",
        "https://api.example.com\n@evil.test",
        "https://api.example.com\x00.evil.test",
        "ht\ttps://api.example.com",
        " https://api.example.com",
        "https://api.example.com /",
        "https://api%2eexample.com/",
        "https://api.example.com%00.evil.test/",
        "https://evil.test\uff0fapi.example.com",
        "https://evil.test\u2100.example.com",
        "https://api.example.com:0/",
        "https://api.example.com:65536/",
        "https://api.example.com:x/",
        "https://api.example.com:44\u0663/",
        "https://[::1/",
        "https://[api.example.com]/",
        "https://[fe80::1%25eth0]/",
        "https://\ud800/",
    ],
)
def test_an_uncertain_host_is_none(url: str) -> None:
    """RFC 9700 section 4.9.1: where two parsers could differ, or there is no host, no token goes."""
    assert origin_of(url) is None
    assert not Guard(None, True).allows(url)


PIECES = [
    "https://",
    "http://",
    "api.example.com",
    "evil.test",
    "[::1]",
    "127.0.0.1",
    "user",
    ":443",
    ":80",
    ":0",
    "/x",
]
ODD = [*"@:/\\?#%.[]_-*\t\n\r \x00\x7f\xa0\u00e9\u00df\uff0f\uff0e\u3002\u2100\u200b\ud800", "%2f", "%40", "%2E"]


@settings(max_examples=500)
@given(st.lists(st.sampled_from(PIECES + ODD), max_size=8).map(lambda parts: "https://" + "".join(parts)) | st.text())
@example("https://api.example.com\u3002evil.test/")
@example("https://api.example.com\\@evil.test/")
def test_the_origin_is_where_requests_connects(url: str) -> None:
    """RFC 9700 4.9.1: where there is one, requests connects there or nowhere, prepared or fresh from a redirect."""
    origin = origin_of(url)
    if origin is not None and origin.startswith("http"):
        assert connects_to(url, prepared=True) in (origin, None)
        assert connects_to(url, prepared=False) in (origin, None)


@pytest.mark.parametrize("url", ["https://api.example.com/", "http://[::1]:8/", "https://u:p@x.test:1?y"])
def test_the_oracle_of_the_property_answers(url: str) -> None:
    """The property above compares something: for ordinary URLs requests does give a connection."""
    assert connects_to(url, prepared=True) == connects_to(url, prepared=False) == origin_of(url) is not None


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("http://127.0.0.1:80", True),
        ("http://127.9.8.7:80", True),
        ("http://[::1]:80", True),
        ("http://[0:0:0:0:0:0:0:1]:80", True),
        ("http://localhost:5000", True),
        ("http://localhost.evil.test:80", False),
        ("http://127.0.0.1.evil.test:80", False),
        ("http://evil.localhost:80", False),
        ("http://0.0.0.0:80", False),
        ("http://10.0.0.1:80", False),
        ("http://2130706433:80", False),
        ("http://[::2]:80", False),
        ("http://[::ffff:127.0.0.1]:80", False),
    ],
)
def test_loopback_is_known_by_name(origin: str, expected: bool) -> None:
    """RFC 8252 section 8.3: only 127.0.0.0/8, [::1] and localhost may go without TLS."""
    assert is_loopback(origin) is expected


def test_a_guard_lets_pass_its_origins_only() -> None:
    """DESIGN section 5: base_url's origin and the listed ones, by scheme, host and port."""
    guard = Guard.of("https://api.example.com/v1/", ["https://files.example.com:8443/"], False)
    for url in ("https://API.example.com/v2", "https://api.example.com:443", "https://files.example.com:8443/x"):
        assert guard.allows(url), url
    for url in (
        "http://api.example.com/",
        "https://api.example.com:444/",
        "https://files.example.com/",
        "https://api.example.com.evil.test/",
        "https://api.example.com@evil.test/",
        "https://example.com/",
        "mock://api.example.com",
        "me",
    ):
        assert not guard.allows(url), url


def test_a_star_lets_pass_whatever_the_caller_names_but_not_http() -> None:
    """DESIGN section 5: "*" allows any URL and other schemes; http still stays at home (RFC 6750 section 5.3)."""
    guard = Guard.of(None, "*", False)
    assert guard.allows("https://anything.test/")
    assert guard.allows("mock://anything.test/")
    assert guard.allows("http://localhost:8000/")
    assert not guard.allows("http://anything.test/")
    assert not guard.allows("mock:nothing")
    assert Guard.of(None, "*", True).allows("http://anything.test/")


def test_http_needs_loopback_or_leave() -> None:
    """RFC 6749 section 10.9: http carries a token only on this machine, or with allow_http."""
    assert Guard.of("http://127.0.0.1:5000/", None, False).allows("http://127.0.0.1:5000/me")
    assert Guard.of("http://api.test/", None, True).allows("http://api.test/me")
    with pytest.raises(ConfigurationError, match=r"http never carries a token.*'http://api\.test/'"):
        Guard.of("http://api.test/", None, False)
    with pytest.raises(ConfigurationError, match="http never carries a token"):
        Guard.of("http://api.test/", "*", False)
    assert not Guard(frozenset({"http://api.test:80"}), False).allows("http://api.test/")


@pytest.mark.parametrize(
    ("base_url", "origins", "message"),
    [
        (None, None, "nothing says where the token may go"),
        (None, [], "nothing says where the token may go"),
        ("", None, "base_url: '' is not an absolute URL"),
        ("api.example.com", None, "base_url: 'api.example.com' is not an absolute URL"),
        (5, None, "base_url: int is not an absolute URL"),
        ("ftp://api.example.com", None, "neither https nor http"),
        (None, "https://api.example.com", "origins must be a list"),
        (None, 5, "origins must be a list"),
        (None, ["api.example.com"], "origins: 'api.example.com' is not an absolute URL"),
        (None, [None], "origins: NoneType is not an absolute URL"),
        (None, ["*"], "is not an absolute URL"),
        (None, ["mock://x"], "neither https nor http"),
        (None, ["https://api.example.com/v1"], "an origin has no path"),
        (None, ["https://api.example.com?x"], "an origin has no path"),
        (None, ["https://u@api.example.com"], "an origin has no path"),
        (None, ["http://api.example.com"], "http never carries a token"),
    ],
)
def test_a_wrong_argument_is_named(base_url: Any, origins: Any, message: str) -> None:
    """DESIGN section 5: what cannot be an allowed origin fails when the guard is made, and says why."""
    with pytest.raises(ConfigurationError, match=message):
        Guard.of(base_url, origins, False)


@pytest.mark.parametrize(
    "url",
    ["http://u:SENTINEL@api.test/?SENTINEL#SENTINEL", "https:/x?SENTINEL", "x:SENTINEL@y/", "https://u:SENTINEL/x@y"],
)
def test_no_secret_of_a_url_gets_into_a_message(url: str) -> None:
    """DESIGN section 8: user-info, query and fragment of a URL are not repeated in an error."""
    for base_url, origins in ((url, None), (None, [url])):
        with pytest.raises(ConfigurationError) as caught:
            Guard.of(base_url, origins, False)
        assert "SENTINEL" not in str(caught.value)


def test_a_guard_is_a_value() -> None:
    """DESIGN section 5: a session's guard can be compared, hashed and pickled."""
    guard = Guard.of("https://api.example.com", None, False)
    assert pickle.loads(pickle.dumps(guard)) == guard
    assert hash(guard) == hash(Guard.of(None, ["https://API.example.com:443/"], False))
