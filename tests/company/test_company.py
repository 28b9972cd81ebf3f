"""In the company of other packages around requests, through each door; where a door cannot do it, the test says so."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import requests_cache
import requests_mock
import requests_ratelimiter
import requests_toolbelt
import responses
import vcr
from cachecontrol import CacheControl, CacheControlAdapter
from conftest import MakeClient
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from requests_toolbelt.sessions import BaseUrlSession
from requests_toolbelt.utils import dump
from support.crowd import settings_of

from oauth_session import OAuthClient, OAuthSession, mount
from oauth_session.testing import Answer, FakeProvider, cassette_filters

DOORS = ["session", "auth", "adapter"]
API, TOKEN_URL = "https://api.example.com", "https://auth.example.com/token"


def open_door(door: str, client: OAuthClient, api: str, plain: requests.Session | None = None) -> requests.Session:
    """A login for grant g on a session of the package under test."""
    if door == "session":
        return client.session("g")
    session = plain or requests.Session()
    if door == "auth":
        session.auth = client.auth("g")
    else:
        mount(session, api, client.auth("g"))
    return session


@pytest.fixture
def client(provider: FakeProvider, make_client: MakeClient) -> OAuthClient:
    client = make_client(provider)
    client.put("g", provider.issue())
    return client


class CachedOAuthSession(requests_cache.CacheMixin, OAuthSession):
    pass


@pytest.mark.parametrize("door", DOORS)
def test_requests_cache(provider: FakeProvider, client: OAuthClient, door: str) -> None:
    """requests-cache: answers are kept across refreshes, refusals are not, and no token is in the cache."""
    if door == "session":
        settings = {"auth": client.auth("g"), "base_url": provider.api_url}
        session: Any = CachedOAuthSession(backend="memory", **settings)
    else:
        session = open_door(door, client, provider.url, requests_cache.CachedSession(backend="memory"))
    provider.expire()
    first = session.get(provider.api_url + "me")
    provider.expire()
    second = session.get(provider.api_url + "me")
    assert (first.status_code, first.from_cache, second.from_cache) == (200, False, True)
    assert provider.model.refresh_calls == 1
    tokens = {client.token("g").access_token}
    for cached in session.cache.responses.values():
        assert not any(token in str(cached.request.headers) for token in tokens)


def test_an_installed_requests_cache(provider: FakeProvider) -> None:
    """requests-cache, patched over `requests.Session`: the token endpoint's answers never come from a cache."""
    settings = settings_of_client(provider) | {"grant_type": "client_credentials", "grant_id": provider.url}
    with requests_cache.enabled(backend="memory", allowable_methods=["GET", "POST"]):
        assert isinstance(requests.Session(), requests_cache.CachedSession)
        session = OAuthSession(**settings)
        for _ in range(3):
            provider.expire()
            assert session.get("me").ok
    assert provider.model.token_calls == 3


def settings_of_client(provider: FakeProvider) -> dict[str, Any]:
    return {name: value for name, value in settings_of(provider, "memory:").items() if name != "grant_id"}


@pytest.mark.parametrize("door", DOORS)
def test_cachecontrol(provider: FakeProvider, client: OAuthClient, door: str) -> None:
    """CacheControl: its adapter is where the replay goes through, and what it has is served without a token's blessing."""
    provider.forbidden = Answer(200, {"Cache-Control": "max-age=60"}, b"kept")
    plain = CacheControl(requests.Session())
    session = open_door(door, client, provider.url, plain)
    if door == "session":
        session.mount("http://", CacheControlAdapter())
    provider.expire()
    assert session.get(provider.api_url + "forbidden").text == "kept"
    provider.expire()
    assert session.get(provider.api_url + "forbidden").from_cache  # type: ignore[attr-defined]
    assert provider.model.refresh_calls == 1


@pytest.mark.parametrize("door", DOORS)
def test_toolbelt(provider: FakeProvider, client: OAuthClient, door: str) -> None:
    """requests-toolbelt: a `MultipartEncoder` streams and cannot go back, so its 401 is returned with the token renewed."""
    session = open_door(door, client, provider.url, BaseUrlSession(provider.api_url))
    assert session.get("me").ok
    for status in (401, 200):
        encoder = requests_toolbelt.MultipartEncoder({"field": "value", "file": ("name", io.BytesIO(b"x" * 1000))})
        if status == 401:
            provider.expire()
        response = session.post("upload", data=encoder, headers={"Content-Type": encoder.content_type})
        assert response.status_code == status
    assert provider.model.refresh_calls == 1
    provider.expire()
    shown = dump.dump_all(session.get("me")).decode()
    assert "401" in shown  # the refusal is dumped with the history; so are the headers, as they are


class LimitedOAuthSession(requests_ratelimiter.LimiterMixin, OAuthSession):
    pass


@pytest.mark.parametrize("door", DOORS)
def test_ratelimiter(provider: FakeProvider, client: OAuthClient, door: str) -> None:
    """requests-ratelimiter: its session counts calls; its adapter counts what is sent, replays included."""
    provider.expire()
    if door == "session":
        session: requests.Session = LimitedOAuthSession(
            per_second=100, auth=client.auth("g"), base_url=provider.api_url
        )
    else:
        plain = requests.Session()
        plain.mount("http://", requests_ratelimiter.LimiterAdapter(per_second=100))
        session = open_door(door, client, provider.url, plain)
    assert session.get(provider.api_url + "me").ok
    assert provider.model.refresh_calls == 1


@pytest.fixture
def pretended() -> OAuthClient:
    """A client of servers that are not there."""
    client = OAuthClient(token_url=TOKEN_URL, client_id="app", origins=[API], base_url=API, store="memory:")
    client.put("g", {"access_token": "first", "refresh_token": "one"})
    return client


@pytest.mark.parametrize("door", DOORS)
def test_responses(pretended: OAuthClient, door: str) -> None:
    """responses: API and token endpoint are mocked through every door."""
    with responses.RequestsMock() as mocked:
        mocked.get(API + "/me", status=401)
        mocked.post(TOKEN_URL, json={"access_token": "second", "refresh_token": "two", "token_type": "Bearer"})
        mocked.get(API + "/me", json={"ok": True})
        assert open_door(door, pretended, API).get(API + "/me").json() == {"ok": True}
        sent = [call.request.headers.get("Authorization") for call in mocked.calls]
    assert [value for value in sent if value] == ["Bearer first", "Bearer second"]


@pytest.mark.parametrize("door", DOORS)
def test_requests_mock(pretended: OAuthClient, door: str) -> None:
    """requests-mock's `Mocker` takes the place of a session's adapters, so the adapter door is not asked: no token.

    And it holds a lock while a response is followed up, so that no other thread can ask the mocked token endpoint then:
    what it can play is a refresh before the request. For refusals there is `requests_mock.Adapter`.
    """
    with requests_mock.Mocker() as mocked:
        mocked.get(API + "/me", json={"ok": True})
        mocked.post(TOKEN_URL, json={"access_token": "second", "refresh_token": "two", "token_type": "Bearer"})
        pretended.refresh("g")
        assert open_door(door, pretended, API).get(API + "/me").json() == {"ok": True}
        sent = [one.headers.get("Authorization") for one in mocked.request_history if one.url == API + "/me"]
    assert sent == [None if door == "adapter" else "Bearer second"]


@pytest.mark.parametrize("door", DOORS)
def test_the_adapter_of_requests_mock(door: str) -> None:
    """`requests_mock.Adapter`, mounted for the API and on `token_session`, plays refusals through every door."""
    api, tokens, asks = requests_mock.Adapter(), requests_mock.Adapter(), requests.Session()
    api.register_uri("GET", API + "/me", [{"status_code": 401}, {"json": {"ok": True}}])
    tokens.register_uri("POST", TOKEN_URL, json={"access_token": "second", "token_type": "Bearer"})
    asks.mount(TOKEN_URL, tokens)
    settings: dict[str, Any] = {"token_url": TOKEN_URL, "client_id": "app", "base_url": API, "token_session": asks}
    client = OAuthClient(**settings)
    client.put("g", {"access_token": "first", "refresh_token": "one"})
    plain = requests.Session()
    plain.mount(API, api)
    session = open_door(door, client, API, plain)
    if door == "session":
        session.mount(API, api)
    assert session.get(API + "/me").json() == {"ok": True}
    assert [one.headers["Authorization"] for one in api.request_history] == ["Bearer first", "Bearer second"]


@pytest.mark.parametrize("door", DOORS)
def test_vcrpy(provider: FakeProvider, make_client: MakeClient, door: str, tmp_path: Path) -> None:
    """vcrpy: a cassette with our filters has no secret in it, and plays back when nobody is there, refresh included."""
    recorder = vcr.VCR(**cassette_filters(), cassette_library_dir=str(tmp_path))
    client = make_client(provider, token_session=requests.Session())
    client.put("g", provider.issue())
    secrets = [client.token("g").access_token, client.token("g").refresh_token, provider.client_secret]
    provider.expire()
    with recorder.use_cassette("me.yaml"):
        assert open_door(door, client, provider.url).get(provider.api_url + "me").ok
    secrets += [client.token("g").access_token, client.token("g").refresh_token]
    text = (tmp_path / "me.yaml").read_text()
    assert not [secret for secret in secrets if secret and secret in text]
    assert "scrubbed-access_token" in text
    provider.close()
    later = OAuthClient(**settings_of_client(provider), token_session=requests.Session(), on_event=lambda event: None)
    later.put("g", {"access_token": "old", "refresh_token": "old"})
    with recorder.use_cassette("me.yaml", record_mode="none"):
        response = open_door(door, later, provider.url).get(provider.api_url + "me")
    assert response.json()["path"] == "/api/me"
    assert later.token("g").access_token == "scrubbed-access_token"


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    tracing = TracerProvider()
    tracing.add_span_processor(SimpleSpanProcessor(exporter))
    RequestsInstrumentor().instrument(tracer_provider=tracing)
    yield exporter
    RequestsInstrumentor().uninstrument()


@pytest.mark.parametrize("door", DOORS)
def test_opentelemetry(provider: FakeProvider, client: OAuthClient, spans: InMemorySpanExporter, door: str) -> None:
    """OpenTelemetry: one span for the call, one for the token request, no secret in either; the replay is within the call's."""
    session = open_door(door, client, provider.url)
    before = client.token("g").access_token
    provider.expire()
    assert session.get(provider.api_url + "me").ok
    done = spans.get_finished_spans()
    assert sorted(span.attributes["http.url"].rpartition("/")[2] for span in done) == ["me", "token"]
    shown = json.dumps([span.to_json() for span in done])
    assert before not in shown
    assert client.token("g").access_token not in shown
