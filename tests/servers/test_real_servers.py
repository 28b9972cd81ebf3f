"""Against authorization servers that other people wrote."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from support.authorization import ODD, PLAIN, POST, PUBLIC, AuthorizationServer
from support.crowd import crowd, storm

from oauth_session import InvalidGrant, OAuthClient, OAuthSession

pytestmark = pytest.mark.timeout(300)  # the first run installs the servers


def settings(server: AuthorizationServer, store: str, **more: Any) -> dict[str, Any]:
    return {
        "base_url": server.url + "/api/",
        "token_url": server.token_url,
        "client_id": PLAIN["client_id"],
        "client_secret": PLAIN["client_secret"],
        "store": store,
    } | more


CLIENTS = {
    "basic": (PLAIN, {}),
    "basic with odd characters": (ODD, {}),
    "post": (POST, {"client_auth": "client_secret_post"}),
    "public": (PUBLIC, {}),
}


@pytest.mark.parametrize("kind", CLIENTS)
def test_oidc_provider_refreshes(oidc: AuthorizationServer, tmp_path: Path, kind: str) -> None:
    """Each client authentication, on a certified server that rejects secrets which are not form-urlencoded (RFC 6749 2.3.1)."""
    client, more = CLIENTS[kind]
    more = more | {"client_id": client["client_id"], "client_secret": client.get("client_secret")}
    seed = oidc.login(client)["refresh_token"]
    with OAuthSession(**settings(oidc, f"sqlite:///{tmp_path}/g.db", refresh_token=seed, **more)) as session:
        for _ in range(3):
            assert session.get("me").status_code == 200
            session.auth.source.refresh()
        assert session.get("me").status_code == 200


def test_oidc_provider_expires(oidc: AuthorizationServer, tmp_path: Path) -> None:
    """A token that the server calls `invalid_token` is followed up, also when we were not told its lifetime."""
    pair = oidc.login()
    pair.pop("expires_in")
    with OAuthSession(**settings(oidc, f"sqlite:///{tmp_path}/g.db", token=pair)) as session:
        assert session.get("me").history == []
        time.sleep(3.1)
        response = session.get("me")
        assert response.status_code == 200
        assert [r.status_code for r in response.history] == [401]


def test_oidc_provider_client_credentials(oidc: AuthorizationServer, tmp_path: Path) -> None:
    """Client credentials, renewed without a refresh token."""
    with OAuthSession(**settings(oidc, "memory:", grant_type="client_credentials")) as session:
        first = session.get("me")
        assert first.status_code == 200
        session.auth.source.refresh()
        assert session.get("me").status_code == 200


def test_a_storm_on_oidc_provider(oidc: AuthorizationServer, store_url: str) -> None:
    """Processes and threads share a grant that one double refresh would kill, for some of its lifetimes."""
    share = settings(oidc, store_url, grant_id=oidc.url + store_url)
    client = OAuthClient(**{k: v for k, v in share.items() if k != "grant_id"})
    client.put(share["grant_id"], oidc.login())
    results = crowd(4, storm, share, 3, 8.0)
    assert [failure for _, failures in results for failure in failures] == []
    (status,) = [s for s in client.grants()[0] if s.grant_id == share["grant_id"]]
    assert 3 <= status.generation <= 10
    client.close()


def test_toolkit_says_403(toolkit: AuthorizationServer, tmp_path: Path) -> None:
    """django-oauth-toolkit answers an expired token with 403 and no challenge: the caller's by default, followed up by rule."""
    pair = toolkit.login()
    pair.pop("expires_in")
    store = f"sqlite:///{tmp_path}/g.db"
    with OAuthSession(**settings(toolkit, store, token=pair)) as session:
        time.sleep(2.2)
        refused = session.get("me")
        assert refused.status_code == 403
        assert "WWW-Authenticate" not in refused.headers
    with OAuthSession(**settings(toolkit, store, refresh_on={401, 403})) as session:
        response = session.get("me")
        assert response.status_code == 200
        assert [r.status_code for r in response.history] == [403]


@pytest.mark.alone
def test_a_storm_on_the_toolkit(toolkit: AuthorizationServer, store_url: str) -> None:
    """No grace, and old access tokens die at a refresh: siblings meet a 403 at once and find the new pair."""
    share = settings(toolkit, store_url, grant_id=toolkit.url + store_url, refresh_on={401, 403})
    client = OAuthClient(**{k: v for k, v in share.items() if k != "grant_id"})
    client.put(share["grant_id"], toolkit.login())
    results = crowd(4, storm, share, 3, 8.0)
    assert [failure for _, failures in results for failure in failures] == []
    (status,) = [s for s in client.grants()[0] if s.grant_id == share["grant_id"]]
    assert 3 <= status.generation <= 10
    client.close()


@pytest.mark.parametrize("name", ["oidc", "toolkit"])
def test_a_reused_refresh_token_is_a_dead_grant(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Somebody else spends the refresh token: the server kills the grant, and we say InvalidGrant after at most two calls."""
    server: AuthorizationServer = request.getfixturevalue(name)
    pair = server.login()
    assert server.refresh(pair).status_code == 200
    with OAuthSession(**settings(server, f"sqlite:///{tmp_path}/g.db", refresh_token=pair["refresh_token"])) as session:
        for _ in range(2):
            with pytest.raises(InvalidGrant):
                session.get("me")
