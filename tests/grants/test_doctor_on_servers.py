"""`doctor` on the real authorization servers: what is sound is said to be, what is refused is named."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
from support.authorization import PLAIN, ROBOT, DjangoOAuthToolkit
from support.grants_server import GrantsServer

from oauth_session import MutualTls, OAuthClient, PrivateKeyJwt
from oauth_session.cli.checks import examine
from oauth_session.stores import MemoryStore

pytestmark = pytest.mark.timeout(300)  # the first run installs the servers


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DjangoOAuthToolkit]:
    started = DjangoOAuthToolkit(tmp_path_factory.mktemp("site"), lifetime=3600, grace=0)
    yield started
    started.stop()


def said(**settings: Any) -> dict[str, str]:
    """What is said of the client: by level."""
    found = [finding for finding in examine(OAuthClient(**settings)) if finding.level != "ok"]
    kept = ("client authentication", "token endpoint", "clocks")
    return {finding.level: finding.says for finding in found if finding.about in kept}


@pytest.mark.parametrize("client_id", ["app", "odd: id/%+&=", "poster", "hasher", "public"])
def test_a_secret_in_each_way(server: GrantsServer, client_id: str) -> None:
    """Basic with odd characters, post, client_secret_jwt and none are found by discovery, and accepted."""
    method = {"poster": "client_secret_post", "hasher": "client_secret_jwt"}.get(client_id)
    assert said(**server.settings(client_id, client_auth=method)) == {}


def test_what_is_refused_there(server: GrantsServer) -> None:
    """A wrong secret, a wrong method, a client that there is not."""
    assert "client_secret is wrong" in said(**server.settings("app") | {"client_secret": "x"})["wrong"]
    assert (
        "invalid_client, client_secret_basic"
        in said(**server.settings("hasher", client_auth="client_secret_basic"))["wrong"]
    )
    assert "client_id is wrong" in said(**server.settings("public") | {"client_id": "nobody"})["wrong"]


def test_keys_and_certificates(server: GrantsServer, churning: GrantsServer) -> None:
    """private_key_jwt, mutual TLS and DPoP with nonces are accepted; a key that is not known there is named."""
    key = PrivateKeyJwt(server.keys["ES256"], "ES256", "ES256")
    assert said(**server.settings("signer-ES256", client_auth=key)) == {}
    stranger = said(**server.settings("signer-ES384", client_auth=key))
    assert "does not know the key or certificate of its private_key_jwt" in stranger["wrong"]
    bound = churning.settings("bound", dpop=True, store=MemoryStore())
    assert said(**bound) == {}


@pytest.mark.parametrize("client_id", ["certified", "self-signed"])
def test_certificates(server: GrantsServer, client_id: str) -> None:
    """Mutual TLS at the alias of RFC 8705: accepted, and a stranger's certificate is named."""
    with requests.Session() as trusting:
        trusting.verify = server.authority.ca
        settings = server.settings(client_id, token_session=trusting)
        for name in (client_id, "stranger"):
            auth = MutualTls(server.authority.files(name), self_signed=client_id == "self-signed")
            found = said(**settings | {"client_auth": auth})
            assert found == {} if name == client_id else "does not know the key or certificate" in found["wrong"]


def test_programs(server: GrantsServer, site: DjangoOAuthToolkit) -> None:
    """Clients without refresh tokens are sound, too."""
    assert said(**server.settings("app", grant_type="client_credentials")) == {}
    robot = {"issuer": site.url + "/o", "origins": [site.url], "store": MemoryStore(), "scope": "read"}
    robot |= {name: ROBOT[name] for name in ("client_id", "client_secret")}
    assert said(**robot, grant_type="client_credentials") == {}


def test_django_oauth_toolkit(site: DjangoOAuthToolkit) -> None:
    """Sound, and a wrong secret; no refresh token of anybody's is spent."""
    pair = site.login()
    plain = {"issuer": site.url + "/o", "origins": [site.url], "store": MemoryStore(), "scope": "read"}
    client = {name: PLAIN[name] for name in ("client_id", "client_secret")}
    assert said(**plain, **client) == {}
    assert "client_secret is wrong" in said(**plain, **client | {"client_secret": "x"})["wrong"]
    assert site.refresh(pair).status_code == 200
