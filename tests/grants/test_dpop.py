"""DPoP (RFC 9449) against npm's oidc-provider, which checks each proof and demands nonces on both sides."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import jwt
import pytest
import requests
from support.crowd import crowd
from support.grants_server import CALLBACK, GrantsServer
from support.hammer import hammer
from support.person import Person
from support.raw import raw_store

from oauth_session import (
    ConfigurationError,
    OAuthClient,
    OAuthSession,
    SignedJwtBearer,
    Token,
    TokenRequestError,
    mount,
)
from oauth_session import dpop as proofs
from oauth_session.sealing import new
from oauth_session.stores import MemoryStore
from oauth_session.testing import FakeProvider
from oauth_session.tokens import DPOP_KEY

pytestmark = pytest.mark.timeout(300)  # the first run installs the server


@pytest.fixture(autouse=True)
def _no_nonce_is_known() -> None:
    proofs._nonces.clear()


def logged_in(server: GrantsServer, client_id: str = "bound", **more: Any) -> OAuthClient:
    client = OAuthClient(**server.settings(client_id, dpop=True, **more))
    asked = client.authorize_url(CALLBACK, scope="openid offline_access", params={"prompt": "consent"})
    client.exchange("default", Person().visit(asked.url), asked.pending)
    return client


@pytest.mark.parametrize("client_id", ["bound", "public"])
def test_a_grant_bound_to_its_key(churning: GrantsServer, client_id: str) -> None:
    """P1, P3-P6: code, API, expiry, refresh, revocation; each attempt with a proof of its own; nonces cost no refresh."""
    before = churning.seen()
    client = logged_in(churning, client_id)
    key = client.token().extra[DPOP_KEY]
    with client.session() as session:
        assert session.get(churning.issuer + "/me?a=b#c").json() == {"sub": "user"}
        assert [r.status_code for r in session.get(churning.issuer + "/me").history] == []  # the nonce is known by now
        time.sleep(3.2)
        assert session.get(churning.issuer + "/me").json() == {"sub": "user"}
        assert session.get(churning.issuer + "/me", headers={"Authorization": "Bearer x"}).status_code == 401
    assert client.token().extra[DPOP_KEY] == key
    after = churning.seen()
    refreshes = [seen["calls"].get("refresh_token 200", 0) for seen in (before, after)]
    assert refreshes[1] - refreshes[0] == 1
    assert after["repeated"] == 0
    client.revoke("default")


def through_session(client: OAuthClient, url: str) -> requests.Response:
    return client.session().get(url)


def through_auth(client: OAuthClient, url: str) -> requests.Response:
    return requests.get(url, auth=client.auth(), timeout=30)


def through_adapter(client: OAuthClient, url: str) -> requests.Response:
    session = requests.Session()
    mount(session, url[: url.rindex("/")], client.auth())
    return session.get(url)


@pytest.mark.parametrize("door", [through_session, through_auth, through_adapter])
def test_each_door(server_with_nonces: GrantsServer, door: Callable[..., requests.Response]) -> None:
    """P3, P5: through all three doors: without a nonce at first, then a redirect within the origin, a proof for each.

    A plain session takes the first proof along, which fits no more: it is answered with a new one, and no refresh.
    """
    server = server_with_nonces
    client = logged_in(server)
    proofs._nonces.clear()
    answer = door(client, server.issuer + "/me")
    assert (answer.json(), [r.status_code for r in answer.history]) == ({"sub": "user"}, [401])
    answer = door(client, server.issuer + "/me")
    assert (answer.json(), answer.history) == ({"sub": "user"}, [])
    hopped = door(client, server.issuer + "/hop")
    assert (hopped.json(), [r.status_code for r in hopped.history]) == ({"sub": "user"}, [307])
    seen = server.seen()
    assert seen["repeated"] == 0
    assert seen["calls"].get("refresh_token 200", 0) == 0


@pytest.fixture(scope="module")
def server_with_nonces(tmp_path_factory: pytest.TempPathFactory) -> Any:
    started = GrantsServer(tmp_path_factory.mktemp("nonces"), nonces=True)
    yield started
    started.stop()


def test_a_wrong_nonce_is_replaced(server_with_nonces: GrantsServer) -> None:
    """P5, P6, P8: an old nonce costs one more request and no refresh, also for a body that can be sent again."""
    server = server_with_nonces
    client = logged_in(server)
    proofs._nonces[server.issuer] = "of-yesterday"
    answer = client.session().post(server.issuer + "/me", data=b"")
    assert (answer.status_code, [r.status_code for r in answer.history]) == (200, [401])
    proofs._nonces[server.issuer] = "of-yesterday"
    assert client.refresh().token_type == "DPoP"


@pytest.mark.parametrize("off", [0, -7200, 7200])
def test_a_wrong_clock(server: GrantsServer, monkeypatch: pytest.MonkeyPatch, off: int) -> None:
    """P9: a server that wants no nonce of a right clock wants one of a wrong one: that is all it costs, and no refresh."""
    monkeypatch.setattr(proofs, "time", SimpleNamespace(time=lambda: time.time() + off))
    before = server.seen()
    client = logged_in(server)
    proofs._nonces.clear()
    answer = client.session().get(server.issuer + "/me")
    assert (answer.json(), [r.status_code for r in answer.history]) == ({"sub": "user"}, [401] if off else [])
    after = server.seen()
    assert after["nonces"] - before["nonces"] == (2 if off else 0)
    assert after["calls"].get("refresh_token 200", 0) == before["calls"].get("refresh_token 200", 0)
    assert client.refresh().token_type == "DPoP"


def test_a_new_assertion_with_each_nonce(server_with_nonces: GrantsServer) -> None:
    """R12, P4: what is asked again for a nonce carries a new assertion of the client, and a new one of the grant."""
    server = server_with_nonces
    auth, grant = _signer(server)
    client = OAuthClient(**server.settings("signer-ES256", grant_type=grant, client_auth=auth))
    assert client.token().access_token
    settings = server.settings("signer-ES256", grant_type="client_credentials", client_auth=auth, dpop=True)
    proofs._nonces.clear()
    token = OAuthClient(**settings).token()
    assert token.token_type == "DPoP"


def _signer(server: GrantsServer) -> tuple[Any, Any]:
    from oauth_session import PrivateKeyJwt

    key = server.keys["ES256"]
    return PrivateKeyJwt(key, key_id="ES256"), SignedJwtBearer(key, subject="somebody", key_id="ES256")


def test_the_proof() -> None:
    """P3: what stands in a proof (RFC 9449 4.2): no query, no user, no private half of the key; the token's hash."""
    key = proofs.new_key()
    token = Token("Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU", token_type="DPoP", extra={DPOP_KEY: key})
    request = requests.Request("PATCH", "https://user:word@api.test:8443/a?b=c#d").prepare()
    proofs.prove(request, token)
    first = request.headers["DPoP"]
    proofs.prove(request, token)
    header = jwt.get_unverified_header(first)
    assert set(header["jwk"]) == {"kty", "crv", "x", "y"}
    assert (header["typ"], header["alg"]) == ("dpop+jwt", "ES256")
    public = jwt.PyJWK.from_dict(header["jwk"]).key
    claims = [jwt.decode(text, public, algorithms=["ES256"]) for text in (first, request.headers["DPoP"])]
    assert claims[0]["jti"] != claims[1]["jti"]
    assert claims[0]["htm"] == "PATCH"
    assert claims[0]["htu"] == "https://api.test:8443/a"
    assert claims[0]["ath"] == "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"  # RFC 9449, figure 12
    assert json.loads(key)["d"] not in repr(token) + first


def test_another_type_of_token_is_not_used(provider: FakeProvider) -> None:
    """P2: a server that gives a bearer token where DPoP is demanded is refused, and nothing is sent to the API."""
    settings = {"token_url": provider.token_url, "client_id": provider.client_id, "store": MemoryStore(), "dpop": True}
    settings |= {"client_secret": provider.client_secret, "grant_type": "client_credentials"}
    with OAuthSession(base_url=provider.api_url, **settings) as session, pytest.raises(TokenRequestError) as caught:
        session.get("me")
    assert caught.value.error == "wrong_token_type"


def test_no_downgrade(server: GrantsServer) -> None:
    """P7: a DPoP token without its key is not sent as a bearer token."""
    client = OAuthClient(**server.settings("app"))
    client.put("default", Token("a", token_type="DPoP"))
    with pytest.raises(ConfigurationError, match="bearer"):
        client.session().get(server.issuer + "/me")


def test_a_key_does_not_lie_in_a_shared_store(server: GrantsServer, store_url: str) -> None:
    """S9: without encryption, DPoP with a store that others can read is refused."""
    with pytest.raises(ConfigurationError, match="encrypt"):
        OAuthClient(**server.settings("bound", dpop=True, store=store_url)).token()


def test_a_grant_from_elsewhere_gets_a_key(churning: GrantsServer) -> None:
    """P1: a refresh token that a program brings without a key is renewed under a new one, which stays with the grant."""
    brought = logged_in(churning).token().refresh_token  # a confidential client's is bound to the client alone
    settings = churning.settings("bound", dpop=True)
    session = OAuthSession(**settings, token={"refresh_token": brought})
    assert session.get(churning.issuer + "/me").status_code == 200
    client = OAuthClient(**settings)
    first, second = client.token(), client.refresh()
    assert first.token_type == second.token_type == "DPoP"
    assert first.extra[DPOP_KEY] == second.extra[DPOP_KEY]
    assert first.access_token != second.access_token


def test_a_key_is_not_for_the_api_alone(churning: GrantsServer) -> None:
    """P1: the key of the grant is ours: no server can set another one in its answer."""
    from oauth_session.rules.token_response import Granted, read_token_response

    body = json.dumps({"access_token": "a", "token_type": "DPoP", DPOP_KEY: "theirs", "other": 1}).encode()
    granted = read_token_response(200, {}, body)
    assert isinstance(granted, Granted)
    assert dict(granted.extra) == {"other": 1}


def test_eight_processes_share_a_bound_grant(churning: GrantsServer, valkey_url: str) -> None:
    """P1, P4, P6, S9: one refresh per expiry, no proof twice, nonces cost no refresh, and no key is readable in Redis."""
    keys = new()
    client = logged_in(churning, store=valkey_url, keys=keys)
    before, first = churning.seen(), client.grants()[0][0].generation
    each = [churning.settings("bound", dpop=True, store=valkey_url, keys=keys)]
    results = crowd(8, hammer, {"each": each}, churning.issuer + "/me", 6.0)
    assert [failure for failures in results for failure in failures] == []
    lies_there = raw_store(valkey_url).everything()
    assert lies_there
    key = json.loads(client.token().extra[DPOP_KEY])
    assert [name for name in ("d", "x", "y") if key[name].encode() in lies_there] == []
    after = churning.seen()
    calls = [seen["calls"].get("refresh_token 200", 0) for seen in (before, after)]
    assert calls[1] - calls[0] == client.grants()[0][0].generation - first  # whoever called, committed
    assert 2 <= calls[1] - calls[0] <= 6.0 / 1.5 + 1
    assert after["repeated"] == 0
    assert [
        name for name in after["calls"] if name.startswith("refresh_token") and not name.endswith(("200", "400"))
    ] == []
