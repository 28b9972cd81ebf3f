"""One client's registration with one authorization server: its settings, checked, and the sources made from them.

Sources are shared within a process: a session per task must not mean a pool, a listener or a rival per task.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import requests

from .auth import TokenAuth
from .endpoint import TokenEndpoint
from .errors import ConfigurationError
from .events import Listener
from .flight import Grant
from .ledger import Store
from .policy import RefreshPolicy
from .rules.detection import Detection
from .rules.origins import Guard, is_loopback, origin_of
from .rules.record import Pair
from .rules.token_request import TokenRequest, authenticate, client_credentials_request, refresh_request, shown_url
from .sealed import key_of, ledger_of, ring_of
from .seeds import Seed, SeedBox, is_text, pair_of
from .source import TokenSource
from .stores import open_store
from .stores.values import GrantKey
from .tokens import Token

Secret = str | Callable[[], str] | None

GRANT_TYPES = ("refresh_token", "client_credentials")


@dataclass(frozen=True, slots=True, repr=False)
class Registration:
    """What a client was registered with, and how its tokens are kept. Equal registrations share their sources.

    Raises:
        ConfigurationError: an argument is wrong; the message names it.
    """

    token_url: str
    client_id: str
    client_secret: Secret = None
    client_auth: str | None = None
    scope: str | None = None
    grant_type: str = "refresh_token"
    store: Any = "memory:"
    refresh: RefreshPolicy = RefreshPolicy()
    token_session: requests.Session | None = None
    allow_http: bool = False
    listener: Listener | None = None
    detect: Detection = Detection()
    keys: Any = None

    def __post_init__(self) -> None:
        origin = origin_of(self.token_url) if isinstance(self.token_url, str) else None
        if origin is None or origin.partition(":")[0] not in ("http", "https"):
            raise ConfigurationError(
                "token_url must be an absolute http(s) URL, such as https://auth.example.com/token"
            )
        if origin.startswith("http:") and not is_loopback(origin) and not self.allow_http:
            raise ConfigurationError(
                "token_url must be https: client secrets and refresh tokens go there (RFC 6749 3.2)"
            )
        if not isinstance(self.client_id, str) or not self.client_id:
            raise ConfigurationError("client_id must be a non-empty string")
        if self.client_secret is not None and not callable(self.client_secret) and not is_text(self.client_secret):
            raise ConfigurationError('client_secret must be a non-empty string, "env:NAME", a callable, or None')
        if self.scope is not None and not isinstance(self.scope, str):
            raise ConfigurationError("scope must be a string of space-separated values, or None (RFC 6749 3.3)")
        if self.grant_type not in GRANT_TYPES:
            raise ConfigurationError(f"grant_type must be one of {', '.join(GRANT_TYPES)}, not {self.grant_type!r}")
        if not isinstance(self.refresh, RefreshPolicy):
            raise ConfigurationError("refresh must be a RefreshPolicy")
        object.__setattr__(self, "keys", ring_of(self.keys, self.store))
        authenticate(self.method, self.client_id, "x" if self.client_secret is not None else None)
        if self.grant_type == "client_credentials" and self.client_secret is None:
            raise ConfigurationError("the client_credentials grant needs a client_secret (RFC 6749 4.4)")
        client_credentials_request(self.token_url, self.method, self.client_id, "x", "x")  # a URL that it cannot go to
        refresh_request(self.token_url, self.method, self.client_id, "x", "x")

    def __repr__(self) -> str:
        return f"<Registration {self.client_id!r} at {shown_url(self.token_url)}>"

    @classmethod
    def of(
        cls,
        *,
        token_url: str | None,
        client_id: str | None,
        refresh: RefreshPolicy | None,
        rotation: str | None,
        reuse_grace: float | None,
        detect: Detection | None,
        refresh_on: Iterable[int] | None,
        expired_when: Sequence[Mapping[str, Any]] | None,
        on_event: Listener | None,
        **settings: Any,
    ) -> Registration:
        """From the arguments of a session or a client, with the short cuts folded into their groups."""
        if token_url is None or client_id is None:
            raise ConfigurationError("token_url and client_id are needed: where to refresh, and as whom")
        policy = refresh or RefreshPolicy()
        if rotation is not None:
            policy = replace(policy, rotation=rotation)  # type: ignore[arg-type]
        if reuse_grace is not None:
            policy = replace(policy, reuse_grace=reuse_grace)
        found = detect or Detection()
        if refresh_on is not None:
            found = replace(found, refresh_on=refresh_on)
        if expired_when is not None:
            found = replace(found, expired_when=expired_when)
        return cls(
            token_url=token_url, client_id=client_id, refresh=policy, detect=found, listener=on_event, **settings
        )

    @property
    def method(self) -> str:
        """How the client authenticates; RFC 8414 section 2 names the default."""
        return self.client_auth or ("none" if self.client_secret is None else "client_secret_basic")

    @property
    def needs_refresh_token(self) -> bool:
        """Whether a person has to log in once; the other grants are simply run again."""
        return self.grant_type == "refresh_token"

    @property
    def identity(self) -> str:
        """Names the client in records: never tokens of one client or one scope to another."""
        parts = [self.token_url, self.client_id, self.grant_type]
        if not self.needs_refresh_token:
            parts.append(self.scope or "")
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]

    def key(self, grant_id: str) -> GrantKey:
        """Where the grant's record is; hashed, since names of customers do not belong into key names."""
        if not isinstance(grant_id, str) or not grant_id:
            raise ConfigurationError("grant_id must be a non-empty string, such as the customer's number")
        return key_of(self.identity, grant_id, self.keys)

    def secret(self) -> str | None:
        """The client's secret, fetched now."""
        value = self.client_secret() if callable(self.client_secret) else self.client_secret
        if isinstance(value, str) and value.startswith("env:"):
            name = value.removeprefix("env:")
            value = os.environ.get(name)
            if not value:
                raise ConfigurationError(f"client_secret is taken from the environment, and {name} is not set there")
        if value is not None and not is_text(value):
            raise ConfigurationError("the client_secret callable must return a non-empty string")
        return value

    def request(self, pair: Pair) -> TokenRequest:
        """The token request that renews this pair."""
        args = (self.token_url, self.method, self.client_id, self.secret())
        if not self.needs_refresh_token:
            return client_credentials_request(*args, scope=self.scope)
        assert pair.refresh_token is not None
        return refresh_request(*args, pair.refresh_token, scope=None)

    def auth(
        self,
        grant_id: str,
        *,
        base_url: str | None,
        origins: Sequence[str] | str | None,
        seeds: Sequence[Seed],
        carried: Token | None = None,
    ) -> TokenAuth:
        """The grant's door; pickled as these arguments."""
        guard = Guard.of(base_url, origins, self.allow_http)
        for seed in seeds:
            if not callable(seed):
                pair_of(seed, 0.0)  # complain here, not at the first request
        source = self.source(grant_id, seeds if carried is None else [*seeds, carried])
        return self.door(source, guard, base_url, origins, seeds)

    def door(
        self,
        source: TokenSource,
        guard: Guard,
        base_url: str | None,
        origins: Sequence[str] | str | None,
        seeds: Sequence[Seed],
    ) -> TokenAuth:
        """The door to a source that is at hand; pickled as what it was made from."""
        remake = partial(_remake, self, source, base_url, origins, seeds)
        grant_id = source.grant.grant_id
        return TokenAuth(source, guard, self.detect, grant_id=grant_id, listener=self.listener, remake=remake)

    def source(self, grant_id: str, seeds: Sequence[Seed] = ()) -> TokenSource:
        """The process's one source for this grant; new seeds are added to what it can bring in."""
        store: Store = open_store(self.store)
        key = self.key(grant_id)
        name = (id(store), key.digest, self)
        with _lock:
            source = _sources.get(name)
            if source is None:
                box = SeedBox(store, grant_id)
                whom = (self.token_session, self.refresh.token_timeout)
                endpoint = _endpoints.get(whom) or _endpoints.setdefault(whom, TokenEndpoint(*whom))
                ledger = ledger_of(self, store, grant_id)
                grant = Grant(grant_id, self.identity, self.request, box, self.needs_refresh_token)
                source = _sources.setdefault(name, TokenSource(grant, ledger, endpoint, self.refresh, self.listener))
            assert isinstance(source.grant.seeds, SeedBox)
            source.grant.seeds.add(seeds)
        return source


def _remake(
    registration: Registration,
    source: TokenSource,
    base_url: str | None,
    origins: Sequence[str] | str | None,
    seeds: Sequence[Seed],
) -> tuple[Any, ...]:
    held, shared = source.held(), source.ledger.store.shared
    left = replace(held.token, refresh_token=None) if held and not shared else None
    brought = tuple(seeds) if shared else ()  # two masters of one refresh token lose it
    return _remade, (registration, source.grant.grant_id, base_url, origins, brought, left)


def _remade(
    registration: Registration,
    grant_id: str,
    base_url: str | None,
    origins: Sequence[str] | str | None,
    seeds: Sequence[Seed],
    carried: Token | None,
) -> TokenAuth:
    return registration.auth(grant_id, base_url=base_url, origins=origins, seeds=seeds, carried=carried)


_lock = threading.RLock()  # guards the two tables; a signal handler may come in again
_endpoints: weakref.WeakValueDictionary[Any, TokenEndpoint] = weakref.WeakValueDictionary()
_sources: weakref.WeakValueDictionary[Any, TokenSource] = weakref.WeakValueDictionary()


def _after_fork() -> None:
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
