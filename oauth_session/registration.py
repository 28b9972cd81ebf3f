"""One client's registration with one authorization server: its settings, checked, and the sources made from them.

Sources are shared within a process: a session per task must not mean a pool, a listener or a rival per task.
"""

from __future__ import annotations

import hashlib
import json
import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import requests

from . import asking
from .arguments import folded
from .auth import TokenAuth
from .child import at_birth, notice
from .discovery import Server, check_url
from .endpoint import TokenEndpoint
from .errors import ConfigurationError
from .events import Listeners
from .flight import Grant
from .ledger import Store
from .policy import RefreshPolicy
from .reveal import Secret, reveal
from .reveal import check as check_secret
from .rules.detection import Detection
from .rules.flow import BEARER
from .rules.grants import GrantForm
from .rules.metadata import Metadata
from .rules.origins import Guard
from .rules.record import Pair
from .rules.token_request import ClientAuth, shown_url
from .sealed import key_of, ledger_of, ring_of
from .seeds import Seed, SeedBox, pair_of
from .source import TokenSource
from .stores import open_store
from .stores.values import GrantKey
from .tokens import Token

if TYPE_CHECKING:
    from .providers import Provider


@dataclass(frozen=True, slots=True, repr=False)
class Registration:
    """What a client was registered with, and how its tokens are kept. Equal registrations share their sources.

    Raises:
        ConfigurationError: an argument is wrong; the message names it.
    """

    token_url: str | None
    client_id: str
    client_secret: Secret = None
    client_auth: str | ClientAuth | None = None
    scope: str | None = None
    grant_type: str | GrantForm = "refresh_token"
    store: Any = "memory:"
    refresh: RefreshPolicy = RefreshPolicy()
    token_session: requests.Session | None = None
    allow_http: bool = False
    listeners: Listeners = ()
    detect: Detection = Detection()
    provider: Provider | None = None
    issuer: str | None = None
    metadata: Metadata = Metadata()
    resource: asking.Values = None
    audience: asking.Values = None
    dpop: bool = False
    keys: Any = None

    def __post_init__(self) -> None:
        if self.token_url is not None:
            check_url("token_url", self.token_url, self.allow_http)
        if not isinstance(self.client_id, str) or not self.client_id:
            raise ConfigurationError("client_id must be a non-empty string")
        check_secret(self.client_secret, "client_secret")
        if self.scope is not None and not isinstance(self.scope, str):
            raise ConfigurationError("scope must be a string of space-separated values, or None (RFC 6749 3.3)")
        object.__setattr__(self, "keys", ring_of(self.keys, self.store))
        asking.check(self)

    def __repr__(self) -> str:
        return f"<Registration {self.client_id!r} at {shown_url(self.token_url or self.issuer or '')}>"

    @classmethod
    def of(cls, **arguments: Any) -> Registration:
        """From the arguments of a session or a client."""
        return cls(**folded(**arguments))

    @property
    def server(self) -> Server:
        """Whom to ask."""
        by_hand = self.metadata
        if self.token_url is not None:
            by_hand = Metadata.of({"token_endpoint": self.token_url}).over(by_hand)
        return Server(self.issuer, by_hand, self.allow_http, self.token_session)

    @property
    def has_secret(self) -> bool:
        """Whether a client secret was given."""
        return self.client_secret is not None

    @property
    def needs_refresh_token(self) -> bool:
        """Whether a person has to log in once; the other grants are simply run again."""
        return self.grant_type == "refresh_token"

    @property
    def identity(self) -> str:
        """Names the client in records: never tokens of one client or one scope to another."""
        parts = [self.token_url or self.issuer, self.client_id, *asking.whose(self)]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]

    def key(self, grant_id: str) -> GrantKey:
        """Where the grant's record is; hashed, since names of customers do not belong into key names."""
        if not isinstance(grant_id, str) or not grant_id:
            raise ConfigurationError("grant_id must be a non-empty string, such as the customer's number")
        return key_of(self.identity, grant_id, self.keys)

    def secret(self) -> str | None:
        """The client's secret, fetched now."""
        return reveal(self.client_secret, "client_secret")

    def pair(
        self, value: Token | Mapping[str, Any], now: float, *, just_issued: bool = False, raw: bool = True
    ) -> Pair:
        """A token from outside as a pair; see `pair_of`.

        Args:
            raw: a mapping is as the provider sent it.
        """
        if self.provider is None:
            return pair_of(value, now, just_issued=just_issued)
        value = self.provider.flat(value) if raw else value
        return self.provider.renewable(pair_of(value, now, just_issued=just_issued))

    def guard(self, base_url: str | None, origins: Sequence[str] | str | None) -> Guard:
        """Where the tokens may go."""
        if origins is None and self.provider is not None:
            origins = self.provider.allowed(base_url)
        return Guard.of(base_url, origins, self.allow_http)

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
        guard = self.guard(base_url, origins)
        for seed in seeds:
            if not callable(seed):
                self.pair(seed, 0.0)  # complain here, not at the first request
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
        return TokenAuth(
            source,
            guard,
            self.detect,
            grant_id=grant_id,
            listeners=self.listeners,
            remake=remake,
            placement=BEARER if self.provider is None else self.provider.placement,
        )

    def source(self, grant_id: str, seeds: Sequence[Seed] = ()) -> TokenSource:
        """The process's one source for this grant; new seeds are added to what it can bring in."""
        notice()
        store: Store = open_store(self.store)
        key = self.key(grant_id)
        name = (id(store), key.digest, self)
        with _lock:
            source = _sources.get(name)
            if source is None:
                box = SeedBox(store, grant_id, self.pair, asking.keyed if self.dpop else None)
                whom = (self.token_session, self.refresh.patience)
                endpoint = _endpoints.get(whom) or _endpoints.setdefault(whom, TokenEndpoint(*whom))
                ledger = ledger_of(self, store, grant_id)
                blank = asking.blank(self, store.shared)
                build = asking.renewer(self, grant_id)
                grant = Grant(grant_id, self.identity, build, box, self.needs_refresh_token, blank)
                source = _sources.setdefault(name, TokenSource(grant, ledger, endpoint, self.refresh, self.listeners))
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


at_birth(_after_fork)
