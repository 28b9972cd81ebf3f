"""The pure parts of a login: what goes out, what is believed when it comes back, and when a device asks."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from oauth_session.errors import ConfigurationError, LoginFailed
from oauth_session.rules.authorization import (
    authorization_form,
    challenge_of,
    new_pending,
    read_callback,
    read_pending,
    url_with,
)
from oauth_session.rules.device import DeviceCode, Polling, read_device_code
from oauth_session.rules.grants import About, GrantForm, JwtBearer, TokenExchange
from oauth_session.rules.metadata import (
    Metadata,
    read_metadata,
    read_resource_metadata,
    resource_metadata_of,
    well_known,
)
from oauth_session.rules.token_response import Denied, Granted, read_token_response

BACK = "http://127.0.0.1/callback"
ISSUER = "https://auth.example.com"


def test_the_vector_of_pkce() -> None:
    """F1: RFC 7636 appendix B, the S256 challenge."""
    assert challenge_of("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk") == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_each_login_has_its_own_state_and_verifier() -> None:
    """F1, F2: 43 to 128 unreserved characters, fresh for each request, and neither is in a repr of the request."""
    first, second = new_pending(BACK, None, False), new_pending(BACK, None, False)
    assert re.fullmatch(r"[A-Za-z0-9\-._~]{43,128}", first["code_verifier"])
    assert first["code_verifier"] != second["code_verifier"]
    assert first["state"] != second["state"]


def test_the_authorization_request() -> None:
    """F1, F10: S256 always; the endpoint keeps its query; `resource` may be a list; nothing of ours can be replaced."""
    pending = new_pending(BACK, None, False)
    form = authorization_form(
        "app", pending, {"resource": ("https://a", "https://b"), "scope": None, "prompt": "login"}
    )
    query = parse_qs(urlsplit(url_with("https://auth.example.com/auth?tenant=1", form)).query)
    assert query["resource"] == ["https://a", "https://b"]
    assert query["tenant"] == ["1"]
    assert query["code_challenge_method"] == ["S256"]
    assert "scope" not in query
    assert pending["code_verifier"] not in str(query)
    with pytest.raises(ConfigurationError, match="state"):
        authorization_form("app", pending, {"state": "mine"})


@pytest.mark.parametrize("sent", [True, False])
def test_state_then_iss_then_error(sent: bool) -> None:
    """F2, F3: state first, then iss by plain comparison; not even an error is believed before both are right."""
    pending = new_pending(BACK, ISSUER, sent)
    state = {"state": pending["state"]}
    assert read_callback(state | {"iss": ISSUER, "code": "c"}, pending) == "c"
    for wrong in ({"iss": ISSUER + "/"}, {"iss": "https://AUTH.example.com"}, {"iss": "https://evil.test"}):
        with pytest.raises(LoginFailed, match="another authorization server") as caught:
            read_callback(state | wrong | {"error": "access_denied"}, pending)
        assert caught.value.error is None
    for wrong_state in ({}, {"state": ""}, {"state": pending["state"] + "x"}):
        with pytest.raises(LoginFailed, match="does not belong"):
            read_callback(wrong_state | {"iss": ISSUER, "code": "c"}, pending)
    if sent:
        with pytest.raises(LoginFailed, match="does not say"):
            read_callback(state | {"code": "c"}, pending)
    else:
        assert read_callback(state | {"code": "c"}, pending) == "c"


@pytest.mark.parametrize("answer", ["{back}?{query}", "{query}", "?{query}"])
def test_the_answer_in_each_form(answer: str) -> None:
    """RFC 6749 4.1.2: a URL or a query; a parameter that comes twice, or no code at all, is no answer."""
    pending = new_pending(BACK, None, False)
    query = f"state={pending['state']}&code=a%2Fb"
    assert read_callback(answer.format(back=BACK, query=query), pending) == "a/b"
    for bad in (query + "&code=c", query.replace("code=", "no=")):
        with pytest.raises(LoginFailed, match="begin the login again"):
            read_callback(answer.format(back=BACK, query=bad), pending)


def test_an_error_of_the_server() -> None:
    """RFC 6749 4.1.2.1: the server's own words, without control characters."""
    pending = new_pending(BACK, None, False)
    with pytest.raises(LoginFailed) as caught:
        read_callback({"state": pending["state"], "error": "x\r\ny", "error_description": "why\x1b[0m"}, pending)
    assert (caught.value.error, caught.value.error_description) == ("x y", "why [0m")


@pytest.mark.parametrize("value", [None, {}, {"state": "a", "code_verifier": "short", "redirect_uri": "b"}, "text"])
def test_pending_must_be_ours(value: Any) -> None:
    """F1: a web session that has lost or cut its values is named as such."""
    with pytest.raises(ConfigurationError, match="pending"):
        read_pending(value)


def code_of(**more: Any) -> DeviceCode:
    answer = {"device_code": "d", "user_code": "AB-CD", "verification_uri": "https://a/device", "expires_in": 60} | more
    code = read_device_code(200, json.dumps(answer).encode())
    assert code is not None
    return code


def denied(error: str, status: int = 400) -> Granted | Denied:
    return read_token_response(status, {}, json.dumps({"error": error}).encode())


def test_slow_down_is_for_good() -> None:
    """F6: 5 s unless said otherwise; each slow_down adds 5 s to this and all later polls; a lost connection doubles it."""
    polling = Polling(code_of(expires_in=600))
    assert polling.wait(0) == 5
    for error, interval in (
        ("authorization_pending", 5),
        ("slow_down", 10),
        ("authorization_pending", 10),
        ("slow_down", 15),
    ):
        assert polling.heard(denied(error)) is None
        assert polling.wait(0) == interval
    assert polling.heard(None) is None
    assert polling.wait(0) == 30
    assert Polling(code_of(interval=2)).wait(0) == 2


@pytest.mark.parametrize("error", ["access_denied", "expired_token", "invalid_grant", "unauthorized_client"])
def test_the_polling_stops(error: str) -> None:
    """F6: any other error is the end, with the server's code; so is the code's own end."""
    polling = Polling(code_of())
    with pytest.raises(LoginFailed) as caught:
        polling.heard(denied(error))
    assert caught.value.error == error
    with pytest.raises(LoginFailed, match="expired"):
        polling.wait(58)


@pytest.mark.parametrize("missing", ["device_code", "user_code", "verification_uri"])
def test_a_device_answer_without_its_members(missing: str) -> None:
    """RFC 8628 3.2: what the person needs must be there; Google's name for the address is known."""
    answer = {"device_code": "d", "user_code": "u", "verification_uri": "https://a"}
    assert read_device_code(200, json.dumps({k: v for k, v in answer.items() if k != missing}).encode()) is None
    assert read_device_code(400, json.dumps(answer).encode()) is None
    assert code_of(verification_uri=None, verification_url="https://g").verification_uri == "https://g"


@pytest.mark.parametrize(
    ("issuer", "urls"),
    [
        (ISSUER, ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"]),
        (
            ISSUER + "/a/b",
            [
                "/.well-known/oauth-authorization-server/a/b",
                "/a/b/.well-known/openid-configuration",
                "/.well-known/openid-configuration/a/b",
            ],
        ),
    ],
)
def test_where_metadata_is(issuer: str, urls: list[str]) -> None:
    """F7: the paths of RFC 8414 3.1 and 5, and of OpenID Connect Discovery 4."""
    assert list(well_known(issuer)) == [ISSUER + url for url in urls]


@pytest.mark.parametrize("issuer", ["https://a/?b", "https://a#b", "auth", "ftp://a", "https://user@a"])
def test_what_can_be_no_issuer(issuer: str) -> None:
    """RFC 8414 2: no query, no fragment, an absolute URL."""
    with pytest.raises(ConfigurationError):
        well_known(issuer)


def test_the_issuer_is_compared() -> None:
    """F7: a document that names another issuer, be it by a slash, is discarded; so is what is no document."""
    good = json.dumps({"issuer": ISSUER, "token_endpoint": ISSUER + "/token"}).encode()
    found = read_metadata(ISSUER, 200, good)
    assert isinstance(found, Metadata)
    assert found.endpoint("token_endpoint") == ISSUER + "/token"
    for other in (ISSUER + "/", "https://auth.example.com:443", "https://evil.test"):
        assert "another issuer" in str(read_metadata(other, 200, good))
    for status, body in ((404, good), (200, b"<html>"), (200, b"[]")):
        assert isinstance(read_metadata(ISSUER, status, body), str)


def test_aliases_are_for_mutual_tls() -> None:
    """R13: the aliases of RFC 8705 5 are used with a certificate, and only then."""
    aliases = {"token_endpoint": "https://mtls.test/token"}
    metadata = Metadata.of({"token_endpoint": "https://a.test/token", "mtls_endpoint_aliases": aliases})
    assert metadata.endpoint("token_endpoint") == "https://a.test/token"
    assert metadata.endpoint("token_endpoint", mutual_tls=True) == "https://mtls.test/token"
    assert metadata.endpoint("revocation_endpoint", mutual_tls=True) is None


def test_resource_metadata_is_read() -> None:
    """F8: the address is taken from any challenge; the document counts only for the very URL that was asked."""
    url = "https://api.test/.well-known/oauth-protected-resource"
    assert resource_metadata_of([f'Basic, Bearer error="invalid_token", resource_metadata="{url}"']) == url
    assert resource_metadata_of(['Bearer resource_metadata="javascript:alert(1)"']) is None
    body = json.dumps({"resource": "https://api.test/", "authorization_servers": [ISSUER]}).encode()
    assert read_resource_metadata("https://api.test/", 200, body) == json.loads(body)
    for other in ("https://api.test", "https://api.test/v1", "https://API.test/"):
        assert isinstance(read_resource_metadata(other, 200, body), str)


def test_grants_ask_for_each_attempt() -> None:
    """RFC 7523, RFC 8693: callables are asked with the grant's id, each time; no secret in a repr."""
    asked: list[str] = []

    def token(grant_id: str) -> str:
        asked.append(grant_id)
        return f"secret-{len(asked)}"

    about = About("customer-42", "app", ISSUER)
    for grant, name in ((JwtBearer(token), "assertion"), (TokenExchange(token), "subject_token")):
        assert isinstance(grant, GrantForm)
        assert grant.form(about)[name] != grant.form(about)[name]
    assert asked == ["customer-42"] * 4
    assert "sentinel" not in repr([JwtBearer("sentinel"), TokenExchange("sentinel")])


def test_an_actor_needs_its_type() -> None:
    """RFC 8693 2.1: actor_token and actor_token_type come together."""
    with pytest.raises(ConfigurationError, match="actor_token"):
        TokenExchange("s", actor_token="a")
