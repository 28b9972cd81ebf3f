"""The token endpoint's own session: what goes there, and what does not."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
import requests
from conftest import Make, MakeProvider
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from oauth_session import ConfigurationError, OAuthSession, OAuthSessionError
from oauth_session.testing import FakeProvider
from oauth_session.testing.resource import Recorded


def users_session(provider: FakeProvider) -> requests.Session:
    """A session that does all it should not do for a token request."""
    session = requests.Session()
    session.auth = ("somebody", "else")
    session.headers["X-Company"] = "yes"
    return session


def renew(session: OAuthSession) -> None:
    session.auth.source.token()  # the seed
    session.auth.source.refresh(force=True)


def token_requests(provider: FakeProvider) -> list[Recorded]:
    return [one for one in provider.requests if one.path.endswith("/token")]


OWN = pytest.mark.parametrize("own", [False, True], ids=["ours", "token_session"])


@OWN
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(
    make_oauth_provider: MakeProvider, make_session: Make, status: int, own: bool
) -> None:
    """A redirect of the token endpoint, to its own host or another, takes no secret anywhere."""
    provider, foreign = make_oauth_provider(), make_oauth_provider()
    given = users_session(provider) if own else None
    for target in (foreign.token_url, provider.token_url):
        session = make_session(provider, grant_id=target, token=provider.issue(), token_session=given)
        provider.fault((status, {"Location": target}, b""))
        before = provider.token_requests
        with pytest.raises(OAuthSessionError):
            renew(session)
        assert provider.token_requests == before + 1
    assert foreign.requests == []


@OWN
def test_the_clients_own_authentication_and_no_other(
    provider: FakeProvider, make_session: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: bool
) -> None:
    """Neither `.netrc`, nor a session's auth, nor user-info in the URL gets into the token endpoint's Authorization."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login from-netrc password from-netrc\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    session = make_session(
        provider,
        token=provider.issue(),
        token_url=provider.token_url.replace("//", "//from-url:from-url@"),
        token_session=users_session(provider) if own else None,
    )
    renew(session)
    (sent,) = token_requests(provider)
    expected = base64.b64encode(f"{provider.client_id}:{provider.client_secret}".encode()).decode()
    assert sent.headers["authorization"] == f"Basic {expected}"
    assert ("x-company" in sent.headers) == own


@pytest.mark.parametrize("method", ["client_secret_post", "none"])
def test_no_authorization_where_none_is_meant(
    make_oauth_provider: MakeProvider, make_session: Make, method: str
) -> None:
    """A client that authenticates in the body, or not at all, sends no Authorization, whatever the URL holds."""
    secret = None if method == "none" else "fake-secret"
    provider = make_oauth_provider(client_secret=secret)
    session = make_session(
        provider,
        token=provider.issue(),
        client_auth=method,
        client_secret=secret,
        token_url=provider.token_url.replace("//", "//from-url:from-url@"),
    )
    renew(session)
    assert [one.authorization for one in token_requests(provider)] == [False]


def test_cookies_are_neither_kept_nor_sent(provider: FakeProvider, make_session: Make) -> None:
    """A cookie of the token endpoint does not come back to it, nor to the API on the same host."""
    session = make_session(provider, token=provider.issue())
    pair = b'{"error": "slow_down"}'
    provider.fault((400, {"Set-Cookie": "tracked=yes; Path=/", "Content-Type": "application/json"}, pair))
    with pytest.raises(OAuthSessionError):
        renew(session)
    renew(session)
    assert session.get("me").ok
    assert not any("cookie" in one.headers for one in provider.requests)
    assert not session.cookies


def test_nothing_of_the_users_request_comes_along(provider: FakeProvider, make_session: Make) -> None:
    """Headers, cookies, parameters and body of the API's session and call stay out of the token request."""
    session = make_session(provider, token=provider.issue())
    session.headers["X-Private"] = "secret"
    session.cookies.set("private", "secret")
    provider.expire()
    assert session.post("me", params={"private": "secret"}, json={"private": "secret"}).ok
    (sent,) = token_requests(provider)
    assert "secret" not in str({**sent.headers, **sent.form, "query": sent.query}).replace("client_secret", "")
    assert sorted(sent.form) == ["grant_type", "refresh_token"]


@OWN
def test_a_company_proxy(
    make_oauth_provider: MakeProvider, make_session: Make, monkeypatch: pytest.MonkeyPatch, own: bool
) -> None:
    """Token requests go through the environment's proxy, or through that of `token_session=`; the secret stays in the body."""
    provider, proxy = make_oauth_provider(), make_oauth_provider()
    given = None
    if own:
        given = requests.Session()
        given.proxies = {"http": proxy.url}
    else:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("http_proxy", proxy.url)
    session = make_session(provider, token=provider.issue(), token_session=given)
    with pytest.raises(OAuthSessionError):
        renew(session)  # it is no proxy, really
    (sent,) = proxy.requests
    assert sent.path == provider.token_url
    assert sent.query == ""
    assert provider.requests == []


@pytest.mark.parametrize(
    "retry",
    [
        Retry(3, allowed_methods=None),
        Retry(total=None, read=1, allowed_methods=["POST"]),
        Retry(total=2, status=2, status_forcelist=[503], allowed_methods={"POST"}),
    ],
)
def test_a_session_that_sends_again_is_refused(provider: FakeProvider, make_session: Make, retry: Retry) -> None:
    """Law 6: a `token_session` whose adapter repeats a POST is a ConfigurationError; repeating what never left is not."""
    given = requests.Session()
    given.mount("http://", HTTPAdapter(max_retries=retry))
    with pytest.raises(ConfigurationError, match="token_session"):
        make_session(provider, token=provider.issue(), token_session=given)
    given.mount("http://", HTTPAdapter(max_retries=3))
    session = make_session(provider, token=provider.issue(), token_session=given)
    provider.fault("drop_after")
    provider.fault("503")
    with pytest.raises(OAuthSessionError):
        renew(session)
    assert provider.token_requests == 2  # one that was cut off, and law 5's own second look
