"""What certified servers do not do, or not when they are asked to: answered by a script."""

from __future__ import annotations

import base64
import hmac
import json
import threading
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from support.site import Site

from oauth_session import ConfigurationError, LoginFailed, OAuthClient, PrivateKeyJwt, TokenExchange
from oauth_session import dpop as proofs
from oauth_session.rules.grants import About
from oauth_session.rules.token_request import TokenRequest
from oauth_session.signing import ClientSecretJwt
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


@pytest.mark.parametrize("kind", ["token_url", "issuer", "given"])
def test_whom_an_assertion_is_for(site: Site, kind: str) -> None:
    """R12: the issuer where it is known, else the token endpoint, or as you say; a `jti` of its own each time, soon over."""
    site.answers["/token"] = (200, {}, GRANTED)
    metadata = {"issuer": site.url, "token_endpoint": site.url + "/token"}
    site.answers["/.well-known/oauth-authorization-server"] = (200, {}, metadata)
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    auth = PrivateKeyJwt(pem, audience="https://elsewhere.test" if kind == "given" else None)
    more = {"issuer": site.url, "token_url": None} if kind == "issuer" else {}
    client = client_of(site, client_auth=auth, client_secret=None, grant_type="client_credentials", **more)
    client.token()
    client.refresh()
    claims = [
        jwt.decode(dict(parse_qsl(form))["client_assertion"], key.public_key(), ["ES256"], {"verify_aud": False})
        for path, form in site.asked
        if path == "/token"
    ]
    expected = {"token_url": site.url + "/token", "issuer": site.url, "given": "https://elsewhere.test"}[kind]
    assert [(claim["aud"], claim["iss"], claim["sub"]) for claim in claims] == [(expected, "c", "c")] * 2
    assert claims[0]["jti"] != claims[1]["jti"]
    assert all(0 < claim["exp"] - claim["iat"] <= 300 for claim in claims)


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


def test_signing_leaves_warnings_alone() -> None:
    """A secret that PyJWT calls short is the server's matter; filters of warnings are the process's, and threads sign."""
    before = list(warnings.filters)

    def work() -> None:
        for _ in range(200):
            ClientSecretJwt().params("c", "short", "https://auth.test")

    crowd = [threading.Thread(target=work) for _ in range(8)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    assert list(warnings.filters) == before
    assertion = ClientSecretJwt("HS512").params("c", "short", "https://auth.test")["client_assertion"]
    header, claims, _ = assertion.split(".")
    assert json.loads(base64.urlsafe_b64decode(header + "==")) == {"typ": "JWT", "alg": "HS512"}
    digest = hmac.new(b"short", f"{header}.{claims}".encode(), "sha512").digest()
    assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == assertion.rpartition(".")[2]
