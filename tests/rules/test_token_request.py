"""Token requests, checked as the form that the server will decode."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth_session.errors import ConfigurationError
from oauth_session.rules.token_request import (
    METHODS,
    TokenRequest,
    authenticate,
    form_request,
)

URL = "https://auth.example.com/token"
SENTINEL = "SENTINEL/+%&=:"
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


def form(request: TokenRequest) -> dict[str, str]:
    pairs = parse_qsl(request.body.decode("ascii"), keep_blank_values=True, strict_parsing=True)
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def basic(headers: Any) -> str:
    scheme, _, credentials = headers["Authorization"].partition(" ")
    assert scheme == "Basic"
    return base64.b64decode(credentials, validate=True).decode()


def test_the_vector_of_appendix_b() -> None:
    """RFC 6749 appendix B: the encoding of " %&+£€" before Basic authentication, on either side of the colon."""
    odd, encoded = " %&+\u00a3\u20ac", "+%25%26%2B%C2%A3%E2%82%AC"
    headers, params = authenticate("client_secret_basic", odd, odd)
    assert (basic(headers), params) == (f"{encoded}:{encoded}", {})


def test_raw_basic_skips_the_encoding() -> None:
    """RFC 6749 section 2.3.1 in the field: servers that do not decode get the secret as it is."""
    headers, params = authenticate("client_secret_basic_raw", "app", "p:%+ \u20ac")
    assert (basic(headers), params) == ("app:p:%+ \u20ac", {})


def test_ordinary_secrets_look_the_same_in_both() -> None:
    """RFC 6749 section 2.3.1 in the field: for letters, digits, dot, dash and underscore both Basic methods agree."""
    plain = ("app-1.x", "s3_cret.-")
    assert authenticate("client_secret_basic", *plain) == authenticate("client_secret_basic_raw", *plain)


def test_post_and_none() -> None:
    """RFC 6749 sections 2.3.1 and 3.2.1: credentials in the body, or the client_id alone."""
    assert authenticate("client_secret_post", "app", "s") == ({}, {"client_id": "app", "client_secret": "s"})
    assert authenticate("none", "app", None) == ({}, {"client_id": "app"})
    assert authenticate("none", "app", "unused") == ({}, {"client_id": "app"})


@pytest.mark.parametrize(
    ("method", "client_id", "secret", "message"),
    [
        ("basic", "app", "s", "client_secret_basic, client_secret_basic_raw, client_secret_post, none, not 'basic'"),
        ("private_key_jwt", "app", "s", "client_auth must be one of"),
        ("client_secret_basic", "app", None, "needs a client_secret"),
        ("client_secret_basic", "app", "", "needs a client_secret"),
        ("client_secret_basic_raw", "app", None, "needs a client_secret"),
        ("client_secret_post", "app", None, "needs a client_secret"),
        ("client_secret_basic", "", "s", "client_id is missing"),
        ("none", "", None, "client_id is missing"),
        ("client_secret_basic_raw", "a:b", "s", "colon"),
    ],
)
def test_what_cannot_authenticate_is_named(method: str, client_id: str, secret: str | None, message: str) -> None:
    """DESIGN section 5: a wrong method, or one without its secret, is a ConfigurationError that says so."""
    with pytest.raises(ConfigurationError, match=message):
        authenticate(method, client_id, secret)


def refresh_request(
    url: str, method: str, client_id: str, secret: str | None, token: str, scope: str | None = None
) -> TokenRequest:
    asked = {"grant_type": "refresh_token", "refresh_token": token, "scope": scope}
    return form_request(url, method, client_id, secret, asked)


@pytest.mark.parametrize("method", METHODS)
def test_a_refresh(method: str) -> None:
    """RFC 6749 sections 2.3, 3.2 and 6: grant type, refresh token, one client authentication, no scope by default."""
    request = refresh_request(URL, method, "app", "s", "r +/=&\u20ac")
    expected = {"grant_type": "refresh_token", "refresh_token": "r +/=&\u20ac"}
    if method == "client_secret_post":
        expected |= {"client_id": "app", "client_secret": "s"}
    if method == "none":
        expected |= {"client_id": "app"}
    assert form(request) == expected
    assert request.url == URL
    headers = dict(request.headers)
    assert (headers.pop("Authorization", None) is not None) == method.startswith("client_secret_basic")
    assert headers == {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}


def test_scope_is_sent_when_given() -> None:
    """RFC 6749 sections 3.3 and 4.4: space-separated; an empty one is as if omitted (section 3.2)."""
    asked = {"grant_type": "client_credentials", "scope": "read write"}
    assert form(form_request(URL, "client_secret_basic", "app", "s", asked)) == asked
    unsaid = form_request(URL, "client_secret_basic", "app", "s", {**asked, "scope": ""})
    assert form(unsaid) == {"grant_type": "client_credentials"}
    assert form(refresh_request(URL, "none", "app", None, "r", "a"))["scope"] == "a"


def test_the_endpoint_keeps_its_query() -> None:
    """RFC 6749 section 3.2: a query of the endpoint is kept as it is, and a fragment is an error."""
    assert refresh_request(f"{URL}?p=a%20b&x", "none", "app", None, "r").url == f"{URL}?p=a%20b&x"
    with pytest.raises(ConfigurationError, match="fragment"):
        refresh_request(f"{URL}#x", "none", "app", None, "r")


@pytest.mark.parametrize("query", ["grant_type=x", "a=b&client_id=", "refresh_token=x"])
def test_no_parameter_comes_twice(query: str) -> None:
    """RFC 6749 section 3.2: neither in the body nor between query and body."""
    with pytest.raises(ConfigurationError, match=query.rpartition("&")[2].partition("=")[0]):
        refresh_request(f"{URL}?{query}", "none", "app", None, "r")


@pytest.mark.parametrize("method", METHODS)
def test_no_secret_in_the_repr(method: str) -> None:
    """DESIGN section 8: the repr names the endpoint, without user-info and query, and nothing else."""
    request = refresh_request(f"https://u:{SENTINEL}@a.test/token?x=SENTINEL", method, "app", SENTINEL, SENTINEL)
    assert repr(request) == str(request) == "<TokenRequest https://a.test/token>"


@pytest.mark.parametrize("method", METHODS)
def test_no_secret_in_an_error(method: str) -> None:
    """DESIGN section 8: text that cannot be encoded fails without being shown, not even by a chained error."""
    for secret, token in (("SENTINEL\ud800", "r"), ("s", "SENTINEL\ud800")):
        if (method, token) == ("none", "r"):
            continue  # which does not look at the secret
        with pytest.raises(ConfigurationError) as caught:
            refresh_request(URL, method, "app", secret, token)
        assert "SENTINEL" not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None


@pytest.mark.parametrize("method", METHODS)
def test_a_request_knows_what_to_cut_out(method: str) -> None:
    """DESIGN section 8: whatever of the request is secret is on the list for `scrub`."""
    request = refresh_request(URL, method, "app", "secret", "refresh")
    assert {"secret", "refresh"} <= set(request.secrets)
    if "Authorization" in request.headers:
        assert request.headers["Authorization"].partition(" ")[2] in request.secrets


@given(TEXT, TEXT, TEXT, TEXT)
def test_every_text_arrives_as_it_was(client_id: str, secret: str, token: str, scope: str) -> None:
    """RFC 6749 appendix B: UTF-8, form-urlencoded, for any credentials, token and scope."""
    posted = form(refresh_request(URL, "client_secret_post", client_id, secret, token, scope))
    assert posted == {
        "grant_type": "refresh_token",
        "refresh_token": token,
        "scope": scope,
        "client_id": client_id,
        "client_secret": secret,
    }
    headers, _ = authenticate("client_secret_basic", client_id, secret)
    assert tuple(map(unquote_plus, basic(headers).split(":"))) == (client_id, secret)
