"""The how-to pages on web frameworks and Celery run as they stand."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import django
import pytest
import redis
from django.conf import settings
from django.test import RequestFactory
from fastapi.testclient import TestClient
from support.snippets import run_snippets

from oauth_session import TemporarilyUnavailable
from oauth_session.testing import FakeProvider

PAGES = Path(__file__).parents[2] / "docs" / "howto"


@pytest.fixture
def pages(provider: FakeProvider, valkey_url: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("APP_SECRET", str(provider.client_secret))
    with redis.Redis.from_url(valkey_url) as plain:
        plain.flushall()
    return lambda name: run_snippets(PAGES / name, provider, valkey_url)


def test_web(provider: FakeProvider, pages: Any) -> None:
    """Each framework answers for a user whose token has expired, after one refresh, and says 409 when the login is dead."""
    if not settings.configured:
        settings.configure()
        django.setup()
    page = pages("web.rst")
    request = RequestFactory().get("/")
    request.user = SimpleNamespace(pk=7)
    page["connected"](request, provider.issue())
    provider.expire()
    flask, fastapi = page["app"].test_client(), TestClient(page["api"])
    assert page["django_me"](request).status_code == 200
    assert flask.get("/7/me").status_code == 200
    assert fastapi.get("/7/me").status_code == 200
    assert provider.model.refresh_calls == 1
    provider.revoke()
    assert page["django_me"](request).status_code == 409
    assert flask.get("/7/me").status_code == 409
    assert fastapi.get("/7/me").status_code == 409
    page["http"].close()
    page["crm"].close()


def test_celery(provider: FakeProvider, pages: Any) -> None:
    """A task refreshes; while the token endpoint is down Celery retries it, and it succeeds when that is back."""
    page = pages("celery.rst")
    page["crm"].put("customer-42", provider.issue())
    provider.expire()
    fetch = page["fetch"]
    assert fetch.apply(args=["customer-42"]).get()
    assert provider.model.refresh_calls == 1
    page["crm"].put("customer-42", {"refresh_token": provider.issue()["refresh_token"]})
    provider.fault("503")
    result = fetch.apply(args=["customer-42"])  # at once, so the eight retries come too early
    assert isinstance(result.result, TemporarilyUnavailable)
    assert provider.model.refresh_calls == 1
    time.sleep(2.0)
    assert fetch.apply(args=["customer-42"]).get()
    page["crm"].close()
