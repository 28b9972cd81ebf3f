"""Proxies and certificates of the environment: exactly requests' results, looked up only when something has changed."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from hypothesis import example, given, settings
from hypothesis import strategies as st
from urllib3 import HTTPResponse

from oauth_session import OAuthSession, environment
from oauth_session.stores import MemoryStore

PROXIES = ["http://one.test:3128", "two.test:8080", "http://user:pw@three.test", "socks5://four.test", ""]
BYPASSED = ["", "*", "a.test", ".test", "10.0.0.0/8", "10.1.2.3,b.test:8080", " b.test , [::1] ", "localhost,127.0.0.1"]
NAMES = ["http_proxy", "https_proxy", "all_proxy", "no_proxy"]
URLS = [
    *(
        "http://a.test/",
        "https://a.test:8443/x?y=http://b.test/",
        "http://b.test:8080/a",
        "http://b.test/",
        "https://10.1.2.3/",
        "http://[::1]/",
    ),
    *("https://user:pw@a.test/", "http://localhost:5000/", "HTTP://A.TEST/", "ftp://a.test/x", "a.test", "", "http://"),
]

changes = st.one_of(
    st.tuples(st.sampled_from([*NAMES[:3], *map(str.upper, NAMES[:3])]), st.sampled_from([None, *PROXIES])),
    st.tuples(st.sampled_from(["no_proxy", "NO_PROXY"]), st.sampled_from([None, *BYPASSED])),
    st.tuples(
        st.sampled_from(["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"]), st.sampled_from([None, "", "/a.pem", "/b.pem"])
    ),
    st.tuples(st.just("REQUEST_METHOD"), st.sampled_from([None, "GET"])),  # CGI: HTTP_PROXY is then a header
)
own_proxies = st.one_of(
    st.none(),
    st.dictionaries(
        st.sampled_from(["http", "https", "all", "http://a.test"]), st.sampled_from([None, "x.test:1", ""]), max_size=2
    ),
    st.fixed_dictionaries({"no_proxy": st.sampled_from([None, "", "a.test", "b.test:8080", "10.0.0.0/8", "*"])}),
)
calls = st.tuples(
    st.one_of(st.just([]), st.lists(changes, max_size=3)),
    st.sampled_from(URLS),
    own_proxies,
    st.one_of(st.none(), own_proxies),
    st.sampled_from([True, False, None, "/own.pem"]),
    st.sampled_from([None, True]),
    st.booleans(),
)


@pytest.fixture(scope="module")
def sessions() -> Iterator[tuple[OAuthSession, requests.Session]]:
    """Ours, and one of requests' own."""
    ours = OAuthSession(
        token_url="https://auth.test/",
        client_id="c",
        base_url="https://a.test",
        token={"access_token": "t"},
        store=MemoryStore(),
    )
    with ours, requests.Session() as plain:
        yield ours, plain


def outcome(session: requests.Session, *args: Any) -> object:
    """What it gives, or how it fails, and what becomes of the argument that requests writes to."""
    url, proxies, stream, verify = args
    proxies = None if proxies is None else dict(proxies)
    try:
        settings = session.merge_environment_settings(url, proxies, stream, verify, None)
    except Exception as error:
        return repr(error)
    return dict(settings, proxies=dict(settings["proxies"]) if settings["proxies"] is not None else None), proxies


def calling(url: str, own: dict[str, str], *assignments: tuple[str, str | None]) -> tuple[Any, ...]:
    """A step: a call for this URL, with these proxies of its own, after these assignments."""
    return list(assignments), url, own, None, None, None, True


A, B = "http://a.test/", "http://b.test/"


@settings(max_examples=300)
@example(  # a variable changes
    steps=[calling(A, {}), calling(A, {}, ("http_proxy", "one.test:1")), calling(A, {}, ("http_proxy", None))]
)
@example(  # what one call exempts is exempt for that call
    steps=[
        calling(A, {"no_proxy": "a.test"}, ("http_proxy", "one.test:1")),
        calling(A, {}),
        calling(A, {"no_proxy": "b.test"}),
    ]
)
@example(  # one host or port may be exempt, and another not
    steps=[
        calling(A, {}, ("http_proxy", "one.test:1"), ("no_proxy", "b.test:8080")),
        calling(B, {}),
        calling("http://b.test:8080/a", {}),
        calling(B, {}, ("no_proxy", "b.test")),
        calling(A, {}),
    ]
)
@given(st.lists(calls, min_size=1, max_size=12))
def test_settings_are_requests_own(sessions: tuple[OAuthSession, requests.Session], steps: list[Any]) -> None:
    """For any environment, changing between the calls, and any settings of call and session: what requests would do."""
    before = dict(os.environ)
    try:
        for assignments, url, proxies, own, verify, stream, trust in steps:
            for name, value in assignments:
                os.environ.pop(name, None) if value is None else os.environ.update({name: value})
            for session in sessions:
                session.proxies = dict(own or {})
                session.trust_env = trust
            ours, plain = (outcome(session, url, proxies, stream, verify) for session in sessions)
            assert ours == plain
    finally:
        os.environ.clear()
        os.environ.update(before)


def count(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The URLs for which requests is asked for the proxies. To patch requests itself would be noticed."""
    asked: list[str] = []
    real = environment._proxies

    def noting(look: Any, url: Any, no_proxy: str | None) -> dict[str, str] | None:
        known = len(look.proxies)
        found = real(look, url, no_proxy)
        if len(look.proxies) != known:
            asked.append(url)
        return found

    monkeypatch.setattr(environment, "_proxies", noting)
    return asked


def test_it_is_looked_up_once(sessions: tuple[OAuthSession, requests.Session], monkeypatch: pytest.MonkeyPatch) -> None:
    """Once per origin and environment, not once per call; a change of a variable counts at the next call."""
    ours, _ = sessions
    ours.trust_env, ours.proxies = True, {}
    asked = count(monkeypatch)
    monkeypatch.setenv("https_proxy", "http://first.test:1")
    for _ in range(50):
        assert (
            ours.merge_environment_settings("https://once.test/a", {}, None, None, None)["proxies"]["https"]
            == "http://first.test:1"
        )
    assert asked == ["https://once.test/a"]
    monkeypatch.setenv("https_proxy", "http://second.test:1")
    assert (
        ours.merge_environment_settings("https://once.test/b", {}, None, None, None)["proxies"]["https"]
        == "http://second.test:1"
    )
    assert asked == ["https://once.test/a", "https://once.test/b"]


def test_it_can_be_turned_off(sessions: tuple[OAuthSession, requests.Session], monkeypatch: pytest.MonkeyPatch) -> None:
    """`remember_environment=False` asks requests each time."""
    ours, _ = sessions
    asked = count(monkeypatch)
    monkeypatch.setattr(ours, "remember_environment", False)
    ours.merge_environment_settings("https://never.test/", {}, None, None, None)
    assert asked == []


@pytest.mark.parametrize("place", ["requests.sessions.get_environ_proxies", "requests.utils.should_bypass_proxies"])
def test_a_patched_requests_is_asked(
    sessions: tuple[OAuthSession, requests.Session], monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Who patches requests, as tools do, is heard at the next call, and forgotten with the patch."""
    ours, plain = sessions
    for session in sessions:
        session.trust_env, session.proxies = True, {}
    monkeypatch.setenv("https_proxy", "http://proxy.test:1")
    args = ("https://patched.test/", {}, None, None)
    first = outcome(ours, *args)
    with monkeypatch.context() as patch:
        patch.setattr(place, lambda *given, **named: {"https": "http://patched.test:1"})
        assert outcome(ours, *args) == outcome(plain, *args) != first
    assert outcome(ours, *args) == first


def test_a_class_in_between_is_asked() -> None:
    """A mixin with a `merge_environment_settings` or `prepare_request` of its own is called as it would be."""
    called = []

    class Mixin(requests.Session):
        def merge_environment_settings(self, *args: Any, **named: Any) -> Any:
            called.append("merge")
            return super().merge_environment_settings(*args, **named)

        def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
            called.append("prepare")
            return super().prepare_request(request)

    class Mixed(OAuthSession, Mixin):
        pass

    with Mixed(
        token_url="https://auth.test/",
        client_id="c",
        base_url="https://a.test",
        token={"access_token": "t"},
        store=MemoryStore(),
    ) as session:
        session.prepare_request(requests.Request("GET", "https://a.test/"))
        session.merge_environment_settings("https://a.test/", {}, None, None, None)
    assert called == ["prepare", "merge"]


@pytest.mark.parametrize("name", ["prepare_request", "merge_environment_settings", "rebuild_proxies", "get_adapter"])
def test_a_patched_session_is_asked(
    sessions: tuple[OAuthSession, requests.Session], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Who puts a method of their own in place of `requests.Session`'s is called wherever requests would call it."""
    called: list[str] = []
    real = getattr(requests.Session, name)

    def noting(self: requests.Session, *args: Any, **named: Any) -> Any:
        called.append(type(self).__name__)
        return real(self, *args, **named)

    monkeypatch.setattr(requests.Session, name, noting)
    for session in sessions:
        session.trust_env, session.proxies = True, {}
        session.mount("https://a.test", Redirecting())
        assert session.get("https://a.test/from").status_code == 200
    assert called.count("OAuthSession") == called.count("Session") > 0


class Redirecting(requests.adapters.BaseAdapter):
    """Leads from /from to /to."""

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        response = requests.Response()
        response.url, response.request = request.url or "", request
        response.raw = HTTPResponse(body=io.BytesIO(b""), preload_content=False)
        response.status_code = 302 if response.url.endswith("/from") else 200
        response.headers["Location"] = "/to"
        return response

    def close(self) -> None: ...
