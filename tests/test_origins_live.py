"""Where the token goes, seen at the servers."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
import requests
from conftest import Make, MakeClient, MakeProvider

from oauth_session import ConfigurationError, OAuthSession
from oauth_session.testing import FakeProvider


def redirect(provider: FakeProvider, to: str, status: int = 302) -> str:
    return f"redirect?status={status}&to={quote(to, safe='')}"


def test_a_foreign_origin_called_directly(make_oauth_provider: MakeProvider, make_session: Make) -> None:
    """A call to another host or port goes out bare, and its 401 is no reason to refresh."""
    provider, foreign = make_oauth_provider(), make_oauth_provider()
    session = make_session(provider, token=provider.issue())
    assert session.get(foreign.api_url + "me").status_code == 401
    assert session.get(provider.api_url.replace("127.0.0.1", "localhost") + "me").status_code == 401
    assert not foreign.requests[0].authorization
    assert not provider.requests[0].authorization
    assert provider.model.refresh_calls == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("allowed", [False, True])
def test_a_redirect_to_another_origin(
    make_oauth_provider: MakeProvider, make_session: Make, status: int, allowed: bool
) -> None:
    """After a redirect to another host or port no token travels, allowed or not, and its refusal never refreshes."""
    provider, foreign = make_oauth_provider(), make_oauth_provider()
    session = make_session(provider, token=provider.issue(), origins=[foreign.url] if allowed else None)
    for target in (foreign.api_url + "me", provider.api_url.replace("127.0.0.1", "localhost") + "me"):
        assert session.get(redirect(provider, target, status)).status_code == 401
    assert not foreign.requests[0].authorization
    assert not provider.requests[-1].authorization
    assert provider.model.refresh_calls == 0


def test_a_redirect_within_the_origin(provider: FakeProvider, make_session: Make) -> None:
    """Within its origin the token goes on, after a replay the new one at once, and a refusal there is followed up."""
    session = make_session(provider, token=provider.issue())
    assert session.get(redirect(provider, "/api/me")).json()["path"] == "/api/me"
    provider.expire()
    response = session.get(redirect(provider, "/api/me"))
    assert response.json()["path"] == "/api/me"
    assert provider.model.refresh_calls == 1
    assert [seen.status for seen in provider.requests if seen.path == "/api/me"] == [200, 200]


def test_a_redirect_and_back_again(make_oauth_provider: MakeProvider, make_session: Make) -> None:
    """A redirect that leads away and back comes back without a token."""
    provider, foreign = make_oauth_provider(), make_oauth_provider()
    session = make_session(provider, token=provider.issue())
    away = f"{foreign.url}/redirect?to={quote(provider.api_url + 'me', safe='')}"
    assert session.get(redirect(provider, away)).status_code == 401
    assert not provider.requests[-1].authorization
    assert provider.model.refresh_calls == 0


def test_auth_on_a_plain_session(make_oauth_provider: MakeProvider, make_client: MakeClient) -> None:
    """The same holds for `auth=` on a session that is not ours."""
    provider, foreign = make_oauth_provider(), make_oauth_provider()
    client = make_client(provider, origins=[foreign.url])
    client.put("g", provider.issue())
    session = requests.Session()
    session.auth = client.auth("g")
    session.get(provider.api_url + redirect(provider, foreign.api_url + "me"))
    assert not foreign.requests[0].authorization
    assert session.get(foreign.api_url + "me").status_code == 401  # allowed, and called directly
    assert foreign.requests[1].authorization


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}@foreign/api/me",
        "http://127.0.0.1.evil.test:{port}/api/me",
        "http://127.0.0.1:{port}.evil.test/api/me",
        "http://evil.test/http://127.0.0.1:{port}/api/me",
        "http://evil.test#@127.0.0.1:{port}/api/me",
        "http://evil.test\\@127.0.0.1:{port}/api/me",
        "https://127.0.0.1:{port}/api/me",
        "http://127.0.0.1/api/me",
    ],
)
def test_what_only_looks_like_our_origin(provider: FakeProvider, make_session: Make, url: str) -> None:
    """Look-alike hosts, user-info, other ports and schemes get no token, as the request shows before it is sent."""
    session = make_session(provider, token=provider.issue())
    text = url.format(port=provider.url.rpartition(":")[2])
    try:
        prepared = session.prepare_request(requests.Request("GET", text))
    except requests.exceptions.InvalidURL:
        return  # requests itself would not go there
    assert "Authorization" not in prepared.headers


def test_user_info_in_the_url_of_our_origin(provider: FakeProvider, make_session: Make) -> None:
    """Credentials in a URL of the right origin do not displace the token."""
    session = make_session(provider, token=provider.issue())
    assert session.get(provider.api_url.replace("//", "//user:password@") + "me").status_code == 200
    assert provider.requests[0].headers["authorization"].startswith("Bearer ")


def test_netrc_does_not_displace_the_token(
    provider: FakeProvider, make_session: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A `.netrc` for the host is not used: not for the API, not after a redirect, not for the token endpoint."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password hunter2\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    session = make_session(provider, token=provider.issue())
    assert requests.get(provider.api_url + "me").request.headers["Authorization"].startswith("Basic ")  # it is in force
    provider.expire()
    assert session.get(redirect(provider, "/api/me")).status_code == 200
    sent = [seen.headers.get("authorization", "") for seen in provider.requests[1:]]
    assert all(value.startswith("Bearer ") for value in sent if provider.client_id and "Basic" not in value)
    basics = [seen.path for seen in provider.requests[1:] if seen.headers.get("authorization", "").startswith("Basic ")]
    assert basics == ["/token"]
    assert provider.model.refresh_calls == provider.model.generations == 1


def test_a_redirecting_token_endpoint_is_not_followed(make_oauth_provider: MakeProvider, make_session: Make) -> None:
    """A 307 from the token endpoint takes the secrets nowhere; the API's refusal is returned."""
    provider, foreign = make_oauth_provider(), make_oauth_provider()
    session = make_session(provider, token=provider.issue())
    provider.fault((307, {"Location": foreign.token_url}, b""))
    provider.expire()
    assert session.get("me").status_code == 401
    assert foreign.requests == []


def test_plain_http_is_refused_at_construction(provider: FakeProvider, make_session: Make) -> None:
    """Beyond loopback a token needs https, for the API and for the token endpoint, unless the user insists."""
    for settings in ({"base_url": "http://api.example.com/"}, {"token_url": "http://auth.example.com/token"}):
        with pytest.raises(ConfigurationError, match="http"):
            make_session(provider, **settings)
        assert isinstance(make_session(provider, allow_http=True, **settings), OAuthSession)


def test_any_origin_on_request(make_oauth_provider: MakeProvider, make_session: Make) -> None:
    """`origins="*"` lets the token go wherever the caller names, and still not along a redirect."""
    provider, foreign = make_oauth_provider(), make_oauth_provider()
    session = make_session(provider, token=provider.issue(), base_url=None, origins="*")
    session.get(foreign.api_url + "me")  # refused there, so refreshed and sent once more
    session.get(f"{provider.api_url}{redirect(provider, foreign.api_url + 'other')}")
    assert [seen.authorization for seen in foreign.requests if seen.path != "/token"] == [True, True, False]
