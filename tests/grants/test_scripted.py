"""What certified servers do not do, or not when they are asked to: answered by a script."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import jwt
import pytest
from support.site import Site

from oauth_session import ConfigurationError, LoginFailed, OAuthClient, TokenExchange
from oauth_session import dpop as proofs
from oauth_session.rules.grants import About
from oauth_session.rules.token_request import TokenRequest
from oauth_session.stores import MemoryStore

CODE = {"device_code": "d", "user_code": "AB-CD", "verification_uri": "https://a.test", "interval": 2}
GRANTED = {"access_token": "a", "refresh_token": "r", "token_type": "Bearer", "expires_in": 3600}


def client_of(site: Site, **more: Any) -> OAuthClient:
    settings: dict[str, Any] = {"token_url": site.url + "/token", "client_id": "c", "client_secret": "s"}
    return OAuthClient(**settings | {"origins": [site.url], "store": MemoryStore()} | more)


def refusal(error: str) -> tuple[int, dict[str, str], Any]:
    return (400, {}, {"error": error})


def device_login(site: Site, *polls: Any, **more: Any) -> list[float]:
    """How long it waited before each poll."""
    waits: list[float] = []
    site.answers["/device"] = (200, {}, CODE | more)
    site.answers["/token"] = list(polls)
    client = client_of(site, metadata={"device_authorization_endpoint": site.url + "/device"})
    client.device_login(show=lambda code: None, sleep=waits.append)
    return waits


def test_a_server_that_wants_fewer_polls(site: Site) -> None:
    """F6: each slow_down adds 5 s to this and all later polls; a lost connection and a 503 double what there is.

    The device code is a letter that stands in each error: those stay readable.
    """
    pending, slow = refusal("authorization_pending"), refusal("slow_down")
    waits = device_login(site, pending, slow, pending, slow, pending, None, (503, {}, {}), (200, {}, GRANTED))
    assert waits == [2, 2, 7, 7, 12, 12, 24, 48]
    polls = [dict(parse_qsl(form)) for path, form in site.asked if path == "/token"]
    assert {poll["device_code"] for poll in polls if poll} <= {"d"}


def test_a_code_that_nobody_enters(site: Site) -> None:
    """F6: polling stops at the code's end, whatever the server says, and at its own word."""
    started = time.monotonic()
    for polls, more in (([refusal("authorization_pending")], {"expires_in": 1}), ([refusal("expired_token")], {})):
        with pytest.raises(LoginFailed, match="expired before it was entered") as caught:
            device_login(site, *polls, **more)
        assert caught.value.error == "expired_token"
    assert [path for path, _ in site.asked] == ["/device", "/device", "/token"]
    assert time.monotonic() - started < 20


def test_a_token_that_is_none(site: Site) -> None:
    """R15, A3: a token of type N_A is handed out to whoever asks for it, and not attached to a request."""
    answer = GRANTED | {"token_type": "N_A", "issued_token_type": "urn:ietf:params:oauth:token-type:saml2"}
    del answer["refresh_token"]
    site.answers["/token"] = (200, {}, answer)
    client = client_of(site, grant_type=TokenExchange("subject"))
    token = client.token()
    assert (token.token_type, token.extra["issued_token_type"]) == ("N_A", answer["issued_token_type"])
    with pytest.raises(ConfigurationError, match="N_A"):
        client.session().get(site.url + "/api")
    assert [path for path, _ in site.asked] == ["/token"]


def test_an_access_token_is_not_read(site: Site) -> None:
    """A7: the `exp` of a JWT is not for the client: without `expires_in` it is sent until it is refused."""
    ended = jwt.encode({"exp": 1}, "a secret of more than thirty-two characters")
    site.answers["/token"] = (200, {}, {"access_token": ended, "token_type": "Bearer"})
    site.answers["/api"] = (200, {}, {})
    client = client_of(site, grant_type="client_credentials")
    for _ in range(2):
        assert client.session().get(site.url + "/api").status_code == 200
    assert site.asked[1:] == [("/api", f"Bearer {ended}")] * 2
    assert client.token().expires_at is None


@dataclass(frozen=True)
class Vouched:
    """A grant of one's own."""

    by: str
    grant_type: str = "urn:example:vouched"

    def form(self, about: About) -> Mapping[str, str]:
        return {"by": self.by, "for": about.grant_id}


def test_a_grant_of_ones_own(site: Site) -> None:
    """Section 5: an object with `grant_type` and `form` is a grant like the others, with scope, resource and audience."""
    site.answers["/token"] = (200, {}, GRANTED)
    more = {
        "client_auth": "client_secret_post",
        "scope": "x y",
        "audience": "api",
        "resource": ["https://a", "https://b"],
    }
    client = client_of(site, grant_type=Vouched("me"), **more)
    client.token("anna")
    client.refresh("anna")
    forms = [sorted(parse_qsl(form)) for _, form in site.asked]
    assert (
        forms
        == [
            sorted(
                [
                    *(("grant_type", "urn:example:vouched"), ("by", "me"), ("for", "anna"), ("scope", "x y")),
                    *(("audience", "api"), ("resource", "https://a"), ("resource", "https://b")),
                    *(("client_id", "c"), ("client_secret", "s")),
                ]
            )
        ]
        * 2
    )


def test_a_nonce_that_another_thread_heard_first() -> None:
    """P5: a token request is repeated with the nonce of its refusal, also when that is known by then from elsewhere."""
    url, body = "https://auth.test/token", b'{"error": "use_dpop_nonce"}'
    made = TokenRequest(url, {}, b"")
    again = proofs.asked_again(url, lambda: made, first=True)
    proofs._nonces["https://auth.test:443"] = "n2"
    assert again(400, {"DPoP-Nonce": "n2"}, body) is made
    assert again(400, {}, body) is None
    assert proofs.asked_again(url, lambda: made, first=False)(400, {"DPoP-Nonce": "n3"}, body) is None
