"""Grants that need no person, shared by many processes: run again once per expiry."""

from __future__ import annotations

import pytest
from support.crowd import crowd
from support.grants_server import GrantsServer
from support.hammer import hammer

from oauth_session import OAuthClient, PrivateKeyJwt, SignedJwtBearer, TokenExchange

pytestmark = pytest.mark.timeout(300)  # the first run installs the server

SECONDS = 5.0
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"


def test_eight_processes_run_each_grant_once_per_expiry(churning: GrantsServer, valkey_url: str) -> None:
    """R15, R16: client credentials, JWT bearer and token exchange, through Redis: a token call per expiry, and no failure."""
    key = churning.keys["RS256"]
    signs = {
        "client_auth": PrivateKeyJwt(key, key_id="RS256"),
        "grant_type": SignedJwtBearer(key, subject="somebody", key_id="RS256"),
    }
    each = [
        churning.settings("app", grant_type="client_credentials", store=valkey_url),
        churning.settings("signer-RS256", store=valkey_url, **signs),
        churning.settings("app", grant_type=TokenExchange("lasting"), store=valkey_url),
    ]
    before = churning.seen()["calls"]
    results = crowd(8, hammer, {"each": each}, churning.issuer + "/api/me", SECONDS)
    assert [failure for failures in results for failure in failures] == []
    after = churning.seen()["calls"]
    for settings, name in zip(each, ("client_credentials", JWT_BEARER, EXCHANGE), strict=True):
        calls = {s: after.get(f"{name} {s}", 0) - before.get(f"{name} {s}", 0) for s in (200, 400, 401)}
        client = OAuthClient(**settings)
        ((status,), _) = client.grants()
        client.close()
        assert calls == {200: status.generation, 400: 0, 401: 0}  # whoever called, committed
        assert 2 <= status.generation <= SECONDS / 1.5 + 1  # of three seconds, renewed up to half of that earlier
