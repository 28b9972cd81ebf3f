"""Each grant and each client authentication against npm's oidc-provider, found by discovery."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from support.grants_server import ALGORITHMS, CALLBACK, GrantsServer
from support.person import Person

from oauth_session import (
    InvalidClient,
    InvalidGrant,
    LoginFailed,
    MutualTls,
    OAuthClient,
    OAuthSession,
    PrivateKeyJwt,
    SignedJwtBearer,
    TokenExchange,
)
from oauth_session.rules.device import DeviceCode

pytestmark = pytest.mark.timeout(300)  # the first run installs the server

OFFLINE = {"scope": "openid offline_access", "params": {"prompt": "consent"}}


def log_in(client: OAuthClient, grant_id: str = "default", **more: Any) -> None:
    asked = client.authorize_url(CALLBACK, **(OFFLINE | more))
    client.exchange(grant_id, Person().visit(asked.url), asked.pending)


@pytest.mark.parametrize("client_id", ["app", "odd: id/%+&=", "public"])
def test_code_refresh_revocation(server: GrantsServer, client_id: str) -> None:
    """F1, F2, R1-R7, V1: code with PKCE, two refreshes, then revoked there and ended here; odd ids and secrets."""
    client = OAuthClient(**server.settings(client_id))
    log_in(client)
    session = client.session()
    assert session.get(server.issuer + "/me").json() == {"sub": "user"}
    refresh_token = None
    for _ in range(2):
        refreshed = client.refresh()
        assert refreshed.refresh_token != refresh_token
        refresh_token = refreshed.refresh_token
    assert session.get(server.issuer + "/me").status_code == 200
    assert requests.post(server.issuer + "/test/alive", data=refresh_token, timeout=30).json()
    client.revoke("default")
    assert not requests.post(server.issuer + "/test/alive", data=refresh_token, timeout=30).json()
    with pytest.raises(InvalidGrant):
        client.token()


def test_iss_and_state(server: GrantsServer) -> None:
    """F2, F3: an answer with another state, another iss or none is refused before its code is used; the right one works."""
    client = OAuthClient(**server.settings("app"))
    asked = client.authorize_url(CALLBACK, **OFFLINE)
    answer = Person().visit(asked.url)
    assert parse_qs(urlsplit(answer).query)["iss"] == [server.issuer]
    before = server.seen()["calls"]
    for wrong in (
        answer.replace("iss=", "no="),
        answer.replace("iss=http", "iss=https"),
        answer.replace("state=", "state=x"),
        answer + "&code=another",
        CALLBACK + "?error=access_denied&state=" + asked.pending["state"],
    ):
        with pytest.raises(LoginFailed):
            client.exchange("default", wrong, asked.pending)
    assert server.seen()["calls"] == before
    assert client.exchange("default", answer, asked.pending).refresh_token


def test_denied_consent(server: GrantsServer) -> None:
    """RFC 6749 4.1.2.1: a person who says no is a LoginFailed with the server's code, and nothing is stored."""
    client = OAuthClient(**server.settings("app"))
    asked = client.authorize_url(CALLBACK, **OFFLINE)
    with pytest.raises(LoginFailed, match="consent was denied") as caught:
        client.exchange("default", Person(consents=False).visit(asked.url), asked.pending)
    assert caught.value.error == "access_denied"
    assert [s.grant_id for s in client.grants()[0] if s.state == "live"] == []


@pytest.mark.parametrize(("client_id", "par"), [("pusher", True), ("app", True)])
def test_pushed_requests(server: GrantsServer, client_id: str, par: bool) -> None:
    """F9: the parameters go ahead, authenticated; the browser's URL carries only the client and a request_uri."""
    client = OAuthClient(**server.settings(client_id))
    asked = client.authorize_url(CALLBACK, par=par, **OFFLINE)
    assert set(parse_qs(urlsplit(asked.url).query)) == {"client_id", "request_uri"}
    assert client.exchange("default", Person().visit(asked.url), asked.pending).refresh_token


def test_a_client_that_is_unknown_at_par(server: GrantsServer) -> None:
    """F9: the push is authenticated as a token request is."""
    client = OAuthClient(**server.settings("app") | {"client_secret": "wrong"})
    with pytest.raises(InvalidClient):
        client.authorize_url(CALLBACK, par=True)


def test_device(server: GrantsServer) -> None:
    """F6: the code is shown once, polled for at the server's pace, and ends in a grant that refreshes."""
    client, shown, waits = OAuthClient(**server.settings("public")), [], []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            assert "Success" in server.enter(shown[0].verification_uri_complete)

    token = client.device_login(show=shown.append, scope=OFFLINE["scope"], params=OFFLINE["params"], sleep=sleep)
    assert (len(shown), waits) == (1, [5.0, 5.0])
    assert isinstance(shown[0], DeviceCode)
    assert shown[0].device_code not in repr(shown[0])
    assert client.session().get(server.issuer + "/me").json() == {"sub": "user"}
    assert client.refresh().access_token != token.access_token


def test_device_denied(server: GrantsServer) -> None:
    """F6: a person who says no ends the polling."""
    client = OAuthClient(**server.settings("public"))
    shown: list[DeviceCode] = []

    def sleep(seconds: float) -> None:
        server.enter(shown[0].verification_uri_complete or "", consents=False)

    with pytest.raises(LoginFailed, match="consent was denied"):
        client.device_login(show=shown.append, scope="openid", sleep=sleep)


AUTHENTICATIONS = {
    "client_secret_basic": ("app", None),
    "basic, any characters": ("odd: id/%+&=", None),
    "client_secret_post": ("poster", "client_secret_post"),
    "client_secret_jwt": ("hasher", "client_secret_jwt"),
} | {f"private_key_jwt {name}": (f"signer-{name}", name) for name in ALGORITHMS}


@pytest.mark.parametrize("kind", AUTHENTICATIONS)
def test_client_authentication(server: GrantsServer, kind: str) -> None:
    """R6-R12: each registered client authentication gets client credentials, twice: an assertion is not used again."""
    client_id, method = AUTHENTICATIONS[kind]
    auth: Any = method
    if kind.startswith("private_key_jwt"):
        auth = PrivateKeyJwt(server.keys[str(method)], algorithm=method, key_id=method)
    settings = server.settings(client_id, grant_type="client_credentials", client_auth=auth)
    with OAuthSession(**settings) as session:
        first = session.auth.source.token().token  # type: ignore[union-attr]
        assert session.get(server.issuer + "/api/me").status_code == 200
        assert session.auth.source.refresh().token.access_token != first.access_token  # type: ignore[union-attr]


def test_another_key_is_refused(server: GrantsServer) -> None:
    """R12: an assertion by a key that the server does not know is InvalidClient, and names no key."""
    wrong = PrivateKeyJwt(server.keys["ES384"], key_id="ES256")
    client = OAuthClient(**server.settings("signer-ES256", grant_type="client_credentials", client_auth=wrong))
    with pytest.raises(InvalidClient) as caught:
        client.token()
    assert "PRIVATE" not in repr(wrong) + str(caught.value)


@pytest.mark.parametrize("client_id", ["certified", "self-signed"])
def test_mutual_tls(server: GrantsServer, client_id: str) -> None:
    """R13: the certificate authenticates at the alias of RFC 8705, and the token is bound to it."""
    with requests.Session() as trusting:
        trusting.verify = server.authority.ca
        files = server.authority.files(client_id)
        auth = MutualTls(files, self_signed=client_id == "self-signed")
        settings = server.settings(client_id, client_auth=auth, token_session=trusting)
        client = OAuthClient(**settings | {"origins": [server.issuer, server.tls_url]})
        log_in(client)
        with client.session() as session:
            session.verify = server.authority.ca
            session.cert = files
            assert session.get(server.tls_url + "/me").json() == {"sub": "user"}
            session.auth.source.refresh()  # type: ignore[union-attr]
            assert session.get(server.tls_url + "/me").json() == {"sub": "user"}
            session.cert = server.authority.files("stranger")
            assert session.get(server.tls_url + "/me").status_code == 401
        stranger = MutualTls(server.authority.files("stranger"), self_signed=auth.self_signed)
        with pytest.raises(InvalidClient):
            OAuthClient(**settings | {"client_auth": stranger, "grant_type": "client_credentials"}).token()


def test_jwt_bearer(server: GrantsServer) -> None:
    """RFC 7523: a grant whose assertion is signed here, afresh for each attempt; run again when it has ended."""
    grant = SignedJwtBearer(server.keys["RS256"], subject="somebody", key_id="RS256")
    auth = PrivateKeyJwt(server.keys["RS256"], key_id="RS256")
    client = OAuthClient(**server.settings("signer-RS256", grant_type=grant, client_auth=auth))
    first = client.token()
    assert client.session().get(server.issuer + "/api/me").status_code == 200
    assert client.refresh().access_token != first.access_token


def test_token_exchange(server: GrantsServer) -> None:
    """R15: a token exchanged for another, asked for with the grant's own subject token each time."""
    people = OAuthClient(**server.settings("app"))
    asked: list[str] = []
    for name in ("ann", "bob"):
        log_in(people, name)

    def subject(grant_id: str) -> str:
        asked.append(grant_id)
        return people.token(grant_id).access_token

    client = OAuthClient(**server.settings("app", grant_type=TokenExchange(subject)))
    tokens = [client.token(name).access_token for name in ("ann", "bob", "ann")]
    assert tokens[0] == tokens[2] != tokens[1]
    assert asked == ["ann", "bob"]
    assert client.session("ann").get(server.issuer + "/api/me").status_code == 200


def test_resource(server: GrantsServer) -> None:
    """F10: `resource` reaches the server in the authorization request, the exchange and the refresh; the token is for it."""
    client = OAuthClient(**server.settings("app", resource="https://api.test/v1"))
    asked = client.authorize_url(CALLBACK, scope="openid offline_access read", params={"prompt": "consent"})
    token = client.exchange("default", Person().visit(asked.url), asked.pending)
    assert _audience(token.access_token) == "https://api.test/v1"
    assert _audience(client.refresh().access_token) == "https://api.test/v1"


def _audience(token: str) -> Any:
    import jwt

    return jwt.decode(token, options={"verify_signature": False})["aud"]


def test_a_client_across_a_pickle(server: GrantsServer, tmp_path: Path) -> None:
    """A session with discovery and a signing key travels in a pickle to where the key can be read."""
    import pickle

    path = tmp_path / "key.pem"
    path.write_text(server.keys["ES256"])
    auth = PrivateKeyJwt(f"file:{path}", key_id="ES256")
    with OAuthSession(
        **server.settings("signer-ES256", grant_type="client_credentials", client_auth=auth, store="memory:")
    ) as session:
        text = pickle.dumps(session)
        assert b"PRIVATE" not in text
        with pickle.loads(text) as again:
            assert again.get(server.issuer + "/api/me").status_code == 200
