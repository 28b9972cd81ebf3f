"""The clients that are compared, each set up as its own documentation says."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import redis
import requests
import urllib3

from oauth_session import OAuthSession

os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"  # the provider is on this machine


@dataclass(frozen=True)
class Setting:
    """What every client is told; it travels to other processes.

    Attributes:
        token: a token response with `expires_in`.
        store: a Redis URL, for those that share.
        key: the grant's name there.
    """

    api_url: str
    token_url: str
    client_id: str
    client_secret: str
    token: dict[str, Any]
    store: str
    key: str = "grant"

    def known(self) -> dict[str, Any]:
        """The token with `expires_at`, as oauthlib, Authlib and others keep it."""
        return {**self.token, "token_type": "Bearer", "expires_at": time.time() + self.token["expires_in"]}


def static(setting: Setting) -> requests.Session:
    """requests with a header: no login at all, and what every other line is compared with."""
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {setting.token['access_token']}"
    return session


def ours(setting: Setting) -> requests.Session:
    """oauth_session on Redis."""
    return OAuthSession(
        base_url=setting.api_url,
        token_url=setting.token_url,
        client_id=setting.client_id,
        client_secret=setting.client_secret,
        token=setting.known(),
        store=setting.store,
        grant_id=setting.key,
    )


def requests_oauthlib(setting: Setting) -> requests.Session:
    """requests-oauthlib with `auto_refresh_url`."""
    from requests_oauthlib import OAuth2Session

    who = {"client_id": setting.client_id, "client_secret": setting.client_secret}
    return OAuth2Session(
        setting.client_id,
        token=setting.known(),
        auto_refresh_url=setting.token_url,
        auto_refresh_kwargs=who,
        token_updater=lambda token: None,
    )


def authlib(setting: Setting) -> requests.Session:
    """Authlib's requests client with `update_token`."""
    from authlib.integrations.requests_client import OAuth2Session

    return OAuth2Session(
        setting.client_id,
        setting.client_secret,
        token=setting.known(),
        token_endpoint=setting.token_url,
        update_token=lambda token, **old: None,
    )


def requests_oauth2client(setting: Setting) -> requests.Session:
    """requests_oauth2client's auth object."""
    from requests_oauth2client import BearerToken, OAuth2AccessTokenAuth, OAuth2Client

    client = OAuth2Client(
        setting.token_url, client_id=setting.client_id, client_secret=setting.client_secret, testing=True
    )
    session = requests.Session()
    session.auth = OAuth2AccessTokenAuth(client=client, token=BearerToken(**setting.known()))
    return session


def google_auth(setting: Setting) -> requests.Session:
    """google-auth's credentials and `AuthorizedSession`."""
    from google.auth.transport.requests import AuthorizedSession
    from google.oauth2.credentials import Credentials

    known = setting.known()
    return AuthorizedSession(
        Credentials(
            known["access_token"],
            refresh_token=known["refresh_token"],
            token_uri=setting.token_url,
            client_id=setting.client_id,
            client_secret=setting.client_secret,
            expiry=datetime.fromtimestamp(known["expires_at"], UTC).replace(tzinfo=None),
        )
    )


class Interceptor(requests.Session):
    """The pattern that people write by hand: the pair in Redis, read for each request; on 401 or 403 refresh and retry."""

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        self._setting, self._redis = setting, redis.Redis.from_url(setting.store)
        self._redis.set("pair:" + setting.key, json.dumps(setting.token), nx=True)

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        pair = self._pair()
        request.headers["Authorization"] = "Bearer " + pair["access_token"]
        response = super().send(request, **options)
        if response.status_code not in (401, 403):
            return response
        who = {"client_id": self._setting.client_id, "client_secret": self._setting.client_secret}
        form = {"grant_type": "refresh_token", "refresh_token": self._pair()["refresh_token"], **who}
        answer = requests.post(self._setting.token_url, data=form, timeout=30)
        if not answer.ok:
            return response
        self._redis.set("pair:" + self._setting.key, answer.text)
        request.headers["Authorization"] = "Bearer " + answer.json()["access_token"]
        return super().send(request, **options)

    def _pair(self) -> dict[str, str]:
        found: dict[str, str] = json.loads(self._redis.get("pair:" + self._setting.key) or b"{}")
        return found


class Bare(requests.Session):
    """urllib3 by itself, behind the one method that is measured."""

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        self._pool = urllib3.PoolManager(headers={"Authorization": f"Bearer {setting.token['access_token']}"})

    def get(self, url: Any, **options: Any) -> Any:  # type: ignore[override]  # no more is asked of it
        return self._pool.request("GET", url)


def _without(setting: Setting, **attributes: Any) -> requests.Session:
    """The static header, with these attributes of the session changed; an auth that does nothing spares `.netrc`."""
    session = static(setting)
    vars(session).update(attributes)
    return session


def _asking(setting: Setting) -> requests.Session:
    session = ours(setting)
    vars(session)["remember_environment"] = False
    return session


Make = Callable[[Setting], requests.Session]
STATIC = "static header"
OURS = "oauth_session"
BARE = "urllib3 by itself"
PEERS: dict[str, Make] = {
    STATIC: static,
    OURS: ours,
    "requests-oauthlib": requests_oauthlib,
    "Authlib": authlib,
    "requests_oauth2client": requests_oauth2client,
    "google-auth": google_auth,
    "interceptor + Redis": Interceptor,
}
VARIANTS: dict[str, Make] = {
    STATIC: static,
    "... with an auth object: no look for .netrc": lambda setting: _without(setting, auth=lambda request: request),
    "... with trust_env=False: no environment at all": lambda setting: _without(setting, trust_env=False),
    "oauth_session, remember_environment=False": _asking,
    OURS: ours,
    BARE: Bare,
}
MODULES = {
    "requests-oauthlib": "requests_oauthlib",
    "Authlib": "authlib.integrations.requests_client",
    "requests_oauth2client": "requests_oauth2client",
    "google-auth": "google.auth.transport.requests",
    OURS: "oauth_session",
    "oauth_session, first name used": "oauth_session; oauth_session.OAuthSession",
}
LOGINS = {name: make for name, make in PEERS.items() if name != STATIC}
