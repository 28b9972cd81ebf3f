"""Every outcome of law 15, produced on purpose."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from oauth_session import (
    InvalidClient,
    InvalidGrant,
    OAuthClient,
    RefreshOutcomeUnknown,
    RefreshPolicy,
    StoreError,
    TemporarilyUnavailable,
)
from oauth_session.rules.effects import Ask, Outcome
from oauth_session.testing import FakeProvider

from .shaky import Shaky, settings_of

ORIGIN = "https://api.example.com:443"


def peer_of(provider: FakeProvider, store: Shaky) -> OAuthClient:
    """Another process, as it were: a source of its own."""
    return OAuthClient(**settings_of(provider, store=store, on_event=lambda event: None))


Case = Callable[[FakeProvider, OAuthClient, Shaky], object]


def _refreshed(provider: FakeProvider, client: OAuthClient, store: Shaky) -> object:
    return client.refresh("g")


def _dead(provider: FakeProvider, client: OAuthClient, store: Shaky) -> object:
    provider.revoke()
    return client.refresh("g")


def _transient(provider: FakeProvider, client: OAuthClient, store: Shaky) -> object:
    provider.fault("503")
    return client.refresh("g")


def _backing_off(provider: FakeProvider, client: OAuthClient, store: Shaky) -> object:
    with pytest.raises(TemporarilyUnavailable):
        _transient(provider, client, store)
    return client.refresh("g")


def _unknown(provider: FakeProvider, client: OAuthClient, store: Shaky) -> object:
    provider.fault("drop_before", times=2)
    return client.refresh("g")


def _misconfigured(provider: FakeProvider, client: OAuthClient, store: Shaky) -> object:
    provider.model.client_secret = "another"
    return client.refresh("g")


def _ended(provider: FakeProvider, client: OAuthClient, store: Shaky) -> object:
    client.forget("g")
    return client.token("g")


def _no_grant(provider: FakeProvider, client: OAuthClient, store: Shaky) -> object:
    return client.token("nobody")


def _not_renewable(provider: FakeProvider, client: OAuthClient, store: Shaky) -> object:
    client.put("g", {"access_token": "x"})
    return client.refresh("g")


def _store_down(provider: FakeProvider, client: OAuthClient, store: Shaky) -> object:
    store.load_fails = True
    return client.refresh("g")


def _adopted(provider: FakeProvider, client: OAuthClient, store: Shaky) -> object:
    source = client.auth("g").source
    held = source.held()
    peer_of(provider, store).refresh("g")
    return source.renew(held, ORIGIN).held


def _unpersisted(provider: FakeProvider, client: OAuthClient, store: Shaky) -> object:
    store.fails_after = 1  # the claim stands, and the commit does not
    return client.refresh("g")


def _held(provider: FakeProvider, client: OAuthClient, store: Shaky) -> object:
    source = client.auth("g").source
    renewed = source.renew(source.held(), ORIGIN)
    source.refused_again(renewed, ORIGIN)
    # Past what memory knows, as for a process that has not heard of the hold.
    found = source._renew(Ask((renewed.held.lineage, renewed.held.generation), ORIGIN), None)
    raise found.error


def _too_early(provider: FakeProvider, client: OAuthClient, store: Shaky) -> object:
    client.refresh("g")
    return client.refresh("g")


OUTCOMES: dict[Outcome, tuple[Case, type[Exception] | None]] = {
    Outcome.REFRESHED: (_refreshed, None),
    Outcome.DEAD: (_dead, InvalidGrant),
    Outcome.TRANSIENT: (_transient, TemporarilyUnavailable),
    Outcome.BACKING_OFF: (_backing_off, TemporarilyUnavailable),
    Outcome.UNKNOWN: (_unknown, RefreshOutcomeUnknown),
    Outcome.MISCONFIGURED: (_misconfigured, InvalidClient),
    Outcome.ENDED: (_ended, InvalidGrant),
    Outcome.NO_GRANT: (_no_grant, InvalidGrant),
    Outcome.NOT_RENEWABLE: (_not_renewable, InvalidGrant),
    Outcome.STORE_DOWN: (_store_down, StoreError),
    Outcome.ADOPTED: (_adopted, None),
    Outcome.UNPERSISTED: (_unpersisted, None),
    Outcome.HELD: (_held, TemporarilyUnavailable),
    Outcome.TOO_EARLY: (_too_early, TemporarilyUnavailable),
}
# What a client needs to get there.
SETTINGS: dict[Outcome, dict[str, Any]] = {Outcome.TOO_EARLY: {"refresh": RefreshPolicy(min_token_age=60.0)}}
