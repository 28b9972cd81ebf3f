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
from typing import Any

import requests

from .auth import TokenAuth
from .endpoint import TokenEndpoint
from .errors import ConfigurationError, StoreError
from .events import Listener
from .flight import Grant
from .ledger import Store
from .policy import RefreshPolicy
from .rules.detection import Detection
from .rules.origins import Guard, is_loopback, origin_of
from .rules.record import Pair
from .rules.token_request import TokenRequest, authenticate, client_credentials_request, refresh_request, shown_url
from .sealed import key_of, ledger_of, ring_of
from .source import TokenSource
from .stores import open_store
from .stores.values import GrantKey
from .tokens import Token

Secret = str | Callable[[], str] | None
Seed = Token | Mapping[str, Any] | Callable[[str], Token | Mapping[str, Any] | None]

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
        if self.client_secret is not None and not callable(self.client_secret) and not _is_text(self.client_secret):
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
        if value is not None and not _is_text(value):
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

        def remake() -> tuple[Any, ...]:
            held = source.held()
            left = replace(held.token, refresh_token=None) if held and not source.ledger.store.shared else None
            brought = tuple(seeds) if source.ledger.store.shared else ()  # two masters of one refresh token lose it
            return _remade, (self, grant_id, base_url, origins, brought, left)

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
                ledger = ledger_of(self, store, grant_id)
                endpoint = TokenEndpoint(self.token_session, self.refresh.token_timeout)
                grant = Grant(grant_id, self.identity, self.request, box, self.needs_refresh_token)
                source = _sources[name] = TokenSource(grant, ledger, endpoint, self.refresh, self.listener)
            assert isinstance(source.grant.seeds, SeedBox)
            source.grant.seeds.add(seeds)
        return source


def _remade(
    registration: Registration,
    grant_id: str,
    base_url: str | None,
    origins: Sequence[str] | str | None,
    seeds: Sequence[Seed],
    carried: Token | None,
) -> TokenAuth:
    return registration.auth(grant_id, base_url=base_url, origins=origins, seeds=seeds, carried=carried)


class SeedBox:
    """The seeds of one grant (law 16): what constructors brought, then what another program left in the store."""

    def __init__(self, store: Store, grant_id: str) -> None:
        self._store, self._grant_id = store, grant_id
        self._seeds: list[Seed] = []

    def add(self, seeds: Sequence[Seed]) -> None:
        """Newer ones first; each once."""
        self._seeds[:0] = [seed for seed in seeds if seed not in self._seeds]
        del self._seeds[16:]

    def __call__(self, now: float) -> Sequence[Pair]:
        pairs = []
        for seed in self._seeds:
            value = seed(self._grant_id) if callable(seed) else seed
            if value is not None:
                pairs.append(pair_of(value, now))
        left = self._store.inherited(self._grant_id)
        if left is not None and (pair := _inherited(left, self._grant_id, now)) is not None:
            pairs.append(pair)
        return pairs


def pair_of(value: Token | Mapping[str, Any], now: float, *, just_issued: bool = False) -> Pair:
    """A token from outside as a pair.

    Args:
        just_issued: `expires_in` counts from now; otherwise nobody knows since when, and it is not read.
    """
    if isinstance(value, Token):
        return Pair.of(value, now)
    if not isinstance(value, Mapping):
        raise ConfigurationError("a token must be a Token or a mapping with access_token, refresh_token and so on")
    if not value.get("access_token") and _is_text(value.get("refresh_token")):
        return Pair(refresh_token=value["refresh_token"])
    lifetime = value.get("expires_in")
    if just_issued and value.get("expires_at") is None and lifetime is not None:
        try:
            lifetime = float(lifetime)
        except (TypeError, ValueError):
            lifetime = 0.0
        if lifetime > 0:
            value = {**value, "expires_at": now + lifetime}
    return Pair.of(Token.from_mapping(value), now)


def _inherited(text: str, grant_id: str, now: float) -> Pair | None:
    try:
        value = json.loads(text)
        if not isinstance(value, dict):
            raise ValueError
        if "generation" in value and "refresh_token" not in value:
            return None  # our own mirror of the access token: the export key may be the same
        return pair_of(value, now)
    except (ValueError, ConfigurationError):
        pass  # which holds the text: it must not be the context of ours
    raise StoreError(
        f"what another program left for grant {grant_id!r} under the import key is no JSON object with "
        "access_token and refresh_token; it was left alone"
    )


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


_lock = threading.Lock()  # guards _sources
_sources: weakref.WeakValueDictionary[Any, TokenSource] = weakref.WeakValueDictionary()


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
