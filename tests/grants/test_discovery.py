"""Discovery on a real socket: what is fetched, compared, kept, and used when it cannot be had."""

from __future__ import annotations

import time
from typing import Any

import pytest
import requests
from support.site import Site

from oauth_session import (
    ConfigurationError,
    Event,
    OAuthClient,
    OAuthSession,
    TemporarilyUnavailable,
    about_api,
    discovery,
    interaction_required,
)
from oauth_session.stores import MemoryStore

WELL_KNOWN = "/.well-known/oauth-authorization-server"


def describe(site: Site, **more: Any) -> dict[str, Any]:
    site.answers["/token"] = (200, {}, {"access_token": "a", "token_type": "Bearer", "expires_in": 3600})
    return {"issuer": site.url, "token_endpoint": site.url + "/token"} | more


def client_of(site: Site, **more: Any) -> OAuthClient:
    settings: dict[str, Any] = {"issuer": site.url, "client_id": "c", "client_secret": "s", "store": MemoryStore()}
    return OAuthClient(**settings | {"grant_type": "client_credentials", "origins": [site.url]} | more)


@pytest.mark.parametrize(
    ("offered", "basic"),
    [
        (None, True),
        (["client_secret_post", "client_secret_basic"], True),
        (["private_key_jwt", "client_secret_post"], False),
    ],
)
def test_the_method_is_what_the_server_offers(site: Site, offered: list[str] | None, basic: bool) -> None:
    """R9: the client's authentication comes from the metadata; basic where that says nothing."""
    more = {} if offered is None else {"token_endpoint_auth_methods_supported": offered}
    site.answers[WELL_KNOWN] = (200, {}, describe(site, **more))
    client_of(site).token()
    sent = dict(site.asked)["/token"]
    assert sent.startswith("Basic ") is basic
    assert ("client_secret=s" in sent) is not basic


def test_openid_comes_second_and_all_is_kept(site: Site) -> None:
    """F7: the OpenID path where RFC 8414's is missing; then nobody asks again while it is kept."""
    site.answers["/.well-known/openid-configuration"] = (200, {}, describe(site))
    for _ in range(3):
        client_of(site).token()
    paths = [path for path, _ in site.asked]
    assert paths == [WELL_KNOWN, "/.well-known/openid-configuration", "/token", "/token", "/token"]


def test_what_is_old_is_looked_up_again(site: Site) -> None:
    """F7: after its hour it is refreshed; while it cannot be had, what is known goes on being used."""
    site.answers[WELL_KNOWN] = (200, {}, describe(site))
    client_of(site).token()
    discovery._kept[site.url].until = 0.0
    site.answers[WELL_KNOWN] = (503, {}, {})
    client_of(site).token()
    assert [path for path, _ in site.asked].count("/token") == 2
    discovery._kept[site.url].until = 0.0
    site.answers["/other"] = site.answers["/token"]
    site.answers[WELL_KNOWN] = (200, {}, describe(site, token_endpoint=site.url + "/other"))
    client_of(site).token()
    assert site.asked[-1][0] == "/other"


@pytest.mark.parametrize("issuer", ["http://127.0.0.1:1", "https://evil.test", None])
def test_another_issuer_is_discarded(site: Site, issuer: str | None) -> None:
    """F7: a document of another issuer is not used, and no secret leaves."""
    site.answers[WELL_KNOWN] = (200, {}, describe(site, issuer=issuer))
    with pytest.raises(ConfigurationError, match="another issuer"):
        client_of(site).token()
    assert [path for path, sent in site.asked if sent] == []


def test_an_endpoint_must_be_https(site: Site) -> None:
    """A8: a plain http endpoint beyond this machine is refused, whoever names it."""
    site.answers[WELL_KNOWN] = (200, {}, describe(site, token_endpoint="http://auth.example.com/token"))
    with pytest.raises(ConfigurationError, match="must be https"):
        client_of(site).token()


def test_a_server_that_is_away_is_no_dead_grant(site: Site) -> None:
    """F7: metadata that cannot be had is a passing trouble; the next try finds it."""
    site.answers[WELL_KNOWN] = (503, {}, {})
    client = client_of(site)
    with pytest.raises(TemporarilyUnavailable):
        client.token()
    site.answers[WELL_KNOWN] = (200, {}, describe(site))
    end = time.monotonic() + 20
    while True:
        try:
            assert client.token().access_token == "a"
            return
        except TemporarilyUnavailable:
            assert time.monotonic() < end
            time.sleep(0.2)


def test_a_redirect_is_not_followed(site: Site) -> None:
    """F7: metadata comes from the issuer's own address, not from where it points."""
    site.answers[WELL_KNOWN] = (302, {"Location": "/elsewhere"}, {})
    site.answers["/elsewhere"] = (200, {}, describe(site))
    with pytest.raises(ConfigurationError, match="HTTP 302"):
        client_of(site).token()


def test_what_an_api_says_is_offered_and_not_followed(site: Site) -> None:
    """F8, D10: a refusal that names its metadata and wants a step-up: response and event, one request, and no refresh."""
    url = site.url + "/meta"
    header = f'Bearer error="insufficient_user_authentication", acr_values="x", resource_metadata="{url}"'
    site.answers["/api"] = (401, {"WWW-Authenticate": header}, {})
    events: list[Event] = []
    settings: dict[str, Any] = {"token_url": site.url + "/token", "client_id": "c", "store": MemoryStore()}
    with OAuthSession(base_url=site.url, token={"access_token": "a"}, on_event=events.append, **settings) as session:
        answer = session.get("api")
    assert [path for path, _ in site.asked] == ["/api"]
    assert [event.name for event in events if event.name != "seeded"][-1] == "interaction_required"
    error = interaction_required(answer)
    assert error is not None
    assert (error.params(), error.resource_metadata) == ({"acr_values": "x"}, url)
    about = {"resource": site.url + "/api", "authorization_servers": ["https://auth.example.com"]}
    site.answers["/meta"] = (200, {}, about)
    assert about_api(answer) == about
    site.answers["/meta"] = (200, {}, about | {"resource": site.url})
    with pytest.raises(ConfigurationError, match="another resource"):
        about_api(answer)
    answer.headers["WWW-Authenticate"] = header.replace(site.url, "http://127.0.0.2")
    with pytest.raises(ConfigurationError, match="own origin"):
        about_api(answer)


@pytest.mark.parametrize(
    ("status", "error"), [(200, None), (503, TemporarilyUnavailable), (400, requests.RequestException)]
)
def test_revocation(site: Site, status: int, error: type[Exception] | None) -> None:
    """V1, V2: 200 is the end; after anything else the grant is alive, and still here."""
    site.answers["/revoke"] = (status, {"Retry-After": "7"}, {})
    metadata = {"revocation_endpoint": site.url + "/revoke", "token_endpoint": site.url + "/token"}
    client = client_of(site, issuer=None, metadata=metadata, grant_type="refresh_token")
    client.put("g", {"access_token": "a", "refresh_token": "r/+"})
    if error is None:
        client.revoke("g")
    else:
        with pytest.raises(error) as caught:
            client.revoke("g")
        assert getattr(caught.value, "retry_after", 7.0) == 7.0
    (status_of,) = [grant for grant in client.grants()[0] if grant.grant_id == "g"]
    assert status_of.state == ("revoked" if error is None else "live")
