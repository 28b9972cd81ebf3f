"""django-oauth-toolkit with its own forms: an issuer with a path, and a client for each grant that it has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from support.authorization import DEVICE, PLAIN, ROBOT, Client, DjangoOAuthToolkit
from support.person import Person

from oauth_session import InvalidClient, InvalidGrant, LoginFailed, OAuthClient
from oauth_session.rules.device import DeviceCode
from oauth_session.stores import MemoryStore

pytestmark = pytest.mark.timeout(300)  # the first run installs the server


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DjangoOAuthToolkit]:
    started = DjangoOAuthToolkit(tmp_path_factory.mktemp("site"), lifetime=3600, grace=0)
    yield started
    started.stop()


def client_of(site: DjangoOAuthToolkit, client: Client, **more: Any) -> OAuthClient:
    settings: dict[str, Any] = {
        "issuer": site.url + "/o",
        "client_id": client["client_id"],
        "client_secret": client.get("client_secret"),
        "scope": "read",
        "origins": [site.url],
        "store": MemoryStore(),
    }
    return OAuthClient(**settings | more)


def test_an_issuer_with_a_path(site: DjangoOAuthToolkit) -> None:
    """F1, F3, F7, V1: an issuer with a path, sign in, consent, its `iss`; then refreshed twice, and revoked there."""
    client = client_of(site, PLAIN)
    asked = client.authorize_url("http://127.0.0.1/callback")
    answer = Person().visit(asked.url)
    with pytest.raises(LoginFailed, match="another authorization server"):
        client.exchange("default", answer.replace("iss=http", "iss=https"), asked.pending)
    client.exchange("default", answer, asked.pending)
    tokens = {client.token().access_token, *(client.refresh().access_token for _ in range(2))}
    assert len(tokens) == 3
    assert client.session().get(site.api_url).status_code == 200
    last = client.token().refresh_token
    assert site.alive({"refresh_token": last})
    client.revoke("default")
    assert not site.alive({"refresh_token": last})
    with pytest.raises(InvalidGrant):
        client.token()


def test_a_refusal_without_iss(site: DjangoOAuthToolkit) -> None:
    """F3: its refusals lack the `iss` that it promises, so not even that is believed; nothing is stored."""
    client = client_of(site, PLAIN)
    asked = client.authorize_url("http://127.0.0.1/callback")
    answer = Person(consents=False).visit(asked.url)
    assert "error=access_denied" in answer
    with pytest.raises(LoginFailed, match="does not say") as caught:
        client.exchange("default", answer, asked.pending)
    assert caught.value.error is None
    assert client.grants()[0] == []


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_a_secret_beyond_ascii(site: DjangoOAuthToolkit, method: str) -> None:
    """R7, R16: a secret with blanks, `: / % + & =` and letters beyond ASCII arrives as it is; the grant is run again."""
    client = client_of(site, ROBOT, grant_type="client_credentials", client_auth=method)
    first = client.token()
    assert client.session().get(site.api_url).status_code == 200
    assert client.refresh().access_token != first.access_token
    with pytest.raises(InvalidClient):
        client_of(site, {**ROBOT, "client_secret": "ü"}, grant_type="client_credentials", client_auth=method).token()


def test_a_device_endpoint_by_hand(site: DjangoOAuthToolkit) -> None:
    """F6: a device endpoint that no metadata names; polled at the server's pace until the person says yes, then refreshed."""
    token, shown, waits = _device(site, consents=True)
    assert waits == [1.0] * len(waits)
    assert len(waits) >= 2
    assert shown.verification_uri == site.url + "/o/device/"
    assert token is not None


def test_device_denied(site: DjangoOAuthToolkit) -> None:
    """F6: the person's no ends the polling."""
    with pytest.raises(LoginFailed) as caught:
        _device(site, consents=False)
    assert caught.value.error == "access_denied"


def _device(site: DjangoOAuthToolkit, consents: bool) -> tuple[Any, DeviceCode, list[float]]:
    metadata = {"device_authorization_endpoint": site.url + "/o/device-authorization/"}
    client, shown, waits = client_of(site, DEVICE, metadata=metadata), [], []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            Person(consents).visit(shown[0].verification_uri_complete)

    client.device_login(show=shown.append, sleep=sleep)
    first = client.token()
    assert client.session().get(site.api_url).status_code == 200
    assert client.refresh().access_token != first.access_token
    return client.token(), shown[0], waits
