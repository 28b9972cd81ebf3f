"""`OAuthSession` where `requests.Session` stood: what large code bases do with a session."""

from __future__ import annotations

import gc
import inspect
import io
import multiprocessing
import pickle
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import pytest
import requests
import urllib3
from conftest import Make, MakeClient, MakeProvider
from support.crowd import settings_of

from oauth_session import ConfigurationError, OAuthSession
from oauth_session.testing import FakeProvider


def test_the_signatures_are_requests_own() -> None:
    """`request`, the verbs, `send` and what tools override take requests' parameters, in its order, with its defaults."""
    for name in ("request", "get", "options", "head", "post", "put", "patch", "delete", "send", "prepare_request"):
        ours, theirs = (inspect.signature(getattr(kind, name)) for kind in (OAuthSession, requests.Session))
        assert [(p.name, p.kind, p.default) for p in ours.parameters.values()] == [
            (p.name, p.kind, p.default) for p in theirs.parameters.values()
        ], name


def test_the_constructor_can_be_looked_into() -> None:
    """All arguments are keyword-only and named, without `**kwargs`: mixins look there."""
    parameters = list(inspect.signature(OAuthSession.__init__).parameters.values())[1:]
    assert {parameter.kind for parameter in parameters} == {inspect.Parameter.KEYWORD_ONLY}


def test_no_timeout_in_silence(provider: FakeProvider, make_session: Make) -> None:
    """Without `timeout` there is none, as in requests; the session's own is for calls that give none, on each hop."""
    given: list[Any] = []

    class Recording(requests.adapters.HTTPAdapter):
        def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
            given.append(options["timeout"])
            return super().send(request, *args, **options)

    for timeout in (None, 7, (3, 4)):
        session = make_session(provider, token=provider.issue(), timeout=timeout)
        session.mount("http://", Recording())
        session.get("redirect?to=/api/me")
        session.send(session.prepare_request(requests.Request("GET", "me")))
        session.get("me", timeout=9)
        session.get("me", timeout=(None, None))
        assert given == [timeout, timeout, timeout, 9, (None, None)]
        given.clear()


def test_retries_are_for_the_api_alone(provider: FakeProvider, make_session: Make) -> None:
    """`retries=` mounts requests' adapter with it; the token endpoint is asked once."""
    retries = urllib3.Retry(3, status_forcelist=[503], backoff_factor=0, allowed_methods=None)
    session = make_session(provider, token=provider.issue(), retries=retries)
    assert (
        session.get_adapter("https://x.test").max_retries is session.get_adapter("http://x.test").max_retries is retries
    )
    provider.fault("503", times=4)
    provider.expire()
    assert session.get("me").status_code == 401
    assert provider.token_requests == 1


def test_environment_settings(make_oauth_provider: MakeProvider, make_session: Make, monkeypatch: Any) -> None:
    """Proxies, certificates and `verify` of the environment and of the session are merged as requests merges them."""
    session = make_session(make_oauth_provider(), token={"access_token": "x"})
    plain = requests.Session()
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.test:3128")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/bundle.pem")
    for kind in (session, plain):
        kind.proxies["http"], kind.cert = "http://other.test:1", ("cert", "key")
    args = ("https://api.example.com/", {}, None, None, None)
    assert session.merge_environment_settings(*args) == plain.merge_environment_settings(*args)


def test_a_diamond(provider: FakeProvider) -> None:
    """`__init__` is cooperative: mixins before and behind it, with arguments of their own, are all initialised once."""
    made: list[str] = []

    class Before(requests.Session):
        def __init__(self, *, before: str = "", **rest: Any) -> None:
            made.append(f"before {before}")
            super().__init__(**rest)

    class Behind(requests.Session):
        def __init__(self) -> None:
            made.append("behind")
            super().__init__()

    class Both(Before, OAuthSession, Behind):
        pass

    settings = settings_of(provider, "memory:") | {"token": provider.issue()}
    with Both(before="1", **settings) as session:
        assert session.get("me").ok
    assert made == ["before 1", "behind"]


def test_a_subclass(provider: FakeProvider) -> None:
    """A subclass that overrides `request` and `send` as people do is followed up underneath, and pickles with its state."""
    session = Logged(**settings_of(provider, "memory:"), token=provider.issue())
    provider.expire()
    assert session.get("me").ok
    assert session.log == ["GET me", "200"]
    assert pickle.loads(pickle.dumps(session)).log == session.log


class Logged(OAuthSession):
    __attrs__ = [*OAuthSession.__attrs__, "log"]

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.log: list[str] = []

    def request(self, method: str, url: str, *args: Any, **options: Any) -> requests.Response:  # type: ignore[override]
        self.log.append(f"{method} {url}")
        return super().request(method, url, *args, **options)

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        response = super().send(request, **options)
        self.log.append(str(response.status_code))
        return response


def test_a_copy_of_the_documented_attributes_is_logged_in(provider: FakeProvider, make_session: Make) -> None:
    """Tools that rebuild a plain session from `Session.__attrs__` keep the login, since `session.auth` is the door."""
    session = make_session(provider, token=provider.issue())
    plain = requests.Session()
    for name in requests.Session.__attrs__:
        setattr(plain, name, getattr(session, name))
    provider.expire()
    assert plain.get(provider.api_url + "me").ok


def spawned(session: OAuthSession, results: Any) -> None:
    results.put(session.get("me").status_code)


def test_a_session_travels_to_a_spawned_process(provider: FakeProvider, make_session: Make, tmp_path: Path) -> None:
    """Under `spawn` a session is pickled into the child and goes on there with the same grant."""
    session = make_session(
        provider, token=provider.issue(), store=f"sqlite:///{tmp_path}/grants.db", grant_id=provider.url, timeout=60
    )
    session.get("me")
    provider.expire()
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    process = context.Process(target=spawned, args=(session, results))
    process.start()
    assert results.get(timeout=60) == 200
    process.join(30)
    assert session.get("me").ok
    assert provider.model.refresh_calls == 1


def test_a_store_object_that_does_not_pickle_says_so(provider: FakeProvider, make_session: Make) -> None:
    """Pickling a session on a store object of one's own is refused with words, not with a half-made copy."""
    session = make_session(provider, token=provider.issue())
    with pytest.raises(TypeError, match="MemoryStore cannot be pickled"):
        pickle.dumps(session)


def test_a_session_goes_without_the_garbage_collector(
    make_oauth_provider: MakeProvider, make_session: Make, make_client: MakeClient
) -> None:
    """No reference cycle: a session and its source are freed when the last name goes, after refreshes too."""
    provider = make_oauth_provider()
    settings = settings_of(provider, "memory:") | {"token": provider.issue()}
    gc.collect()
    gc.disable()
    try:
        session = OAuthSession(**settings)
        assert session.get("me").ok
        provider.expire()
        assert session.get("me").ok
        traces = [weakref.ref(session), weakref.ref(session.auth), weakref.ref(session.auth.source)]
        session.close()
        del session
        assert [trace() for trace in traces] == [None] * 3
    finally:
        gc.enable()


def test_nothing_is_said_at_the_end(provider: FakeProvider) -> None:
    """A program that ends with open sessions ends in silence, with warnings as errors."""
    settings = settings_of(provider, "memory:") | {"token": provider.issue()}
    code = f"from oauth_session import OAuthSession\ns = OAuthSession(**{settings!r})\nassert s.get('me').ok\n"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_bytes_as_url_and_method(provider: FakeProvider, make_session: Make) -> None:
    """What requests takes besides text is taken."""
    session = make_session(provider, token=provider.issue())
    assert session.get((provider.api_url + "me").encode()).ok
    assert session.get(b"me").ok
    assert session.request("get", "me").request.method == "GET"
    assert session.post("me", b"data").json()["length"] == 4
    assert session.put("me", io.BytesIO(b"data")).json()["length"] == 4
    assert session.get("me", {"a": "1"}).json()["query"] == "a=1"


def test_a_ready_door_takes_no_settings(provider: FakeProvider, make_client: MakeClient) -> None:
    """`auth=` brings its registration along: another beside it is refused rather than silently lost."""
    auth = make_client(provider).auth("g")
    assert OAuthSession(base_url=provider.api_url, auth=auth, timeout=3).auth is auth
    with pytest.raises(ConfigurationError, match="client_id"):
        OAuthSession(base_url=provider.api_url, auth=auth, client_id="other")
