"""The client: one registration, many grants."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

import requests
from urllib3.util import Retry

from .auth import TokenAuth
from .errors import ConfigurationError, StoreError
from .events import Listener
from .ledger import Store
from .people import Logins
from .policy import RECENT, RefreshPolicy
from .registration import Registration
from .reveal import Secret
from .rules.detection import Detection
from .rules.grants import GrantForm
from .rules.origins import Guard
from .rules.record_json import read_sign
from .rules.token_request import ClientAuth
from .sealed import Resealed, record_of, reseal_all
from .seeds import Seed
from .session import OAuthSession, Timeout
from .source import TokenSource
from .status import GrantStatus, status_of
from .stores import open_store
from .tokens import Token

if TYPE_CHECKING:
    from .providers import Named


class OAuthClient(Logins):
    """One client registration and any number of grants; safe for threads.

    The grants used last, a thousand of them, are kept in memory; one that comes back later costs a look at the store.

    Args:
        base_url, origins, allow_http: where the tokens may go; the default for `session` and `auth`.
        token: a callable ``(grant_id) -> Token | mapping | None`` that brings in grants which are stored elsewhere.

    The other arguments are those of `OAuthSession`.

    Raises:
        ConfigurationError: an argument is missing or wrong; the message says which.
    """

    def __init__(
        self,
        *,
        token_url: str | None = None,
        provider: Named | None = None,
        provider_params: Mapping[str, str] | None = None,
        issuer: str | None = None,
        client_id: str | None = None,
        client_secret: Secret = None,
        client_auth: str | ClientAuth | None = None,
        scope: str | None = None,
        resource: str | Sequence[str] | None = None,
        audience: str | Sequence[str] | None = None,
        grant_type: str | GrantForm = "refresh_token",
        token: Seed | None = None,
        store: Any = "memory:",
        keys: Any = None,
        base_url: str | None = None,
        origins: Sequence[str] | str | None = None,
        allow_http: bool = False,
        refresh: RefreshPolicy | None = None,
        detect: Detection | None = None,
        refresh_on: Iterable[int] | None = None,
        expired_when: Sequence[Mapping[str, Any]] | None = None,
        rotation: str | None = None,
        reuse_grace: float | None = None,
        token_session: requests.Session | None = None,
        metadata: Mapping[str, Any] | None = None,
        dpop: bool = False,
        on_event: Listener | Sequence[Listener] | None = None,
    ) -> None:
        if token is not None and not callable(token):
            raise ConfigurationError("a client has many grants: token must be a callable (grant_id) -> Token | None")
        self._base_url, self._origins = base_url, origins
        self._seeds: tuple[Seed, ...] = () if token is None else (token,)
        self._recent: OrderedDict[str, TokenSource] = OrderedDict()
        self._registration = Registration.of(
            token_url=token_url,
            provider=provider,
            provider_params=provider_params,
            issuer=issuer,
            metadata=metadata,
            dpop=dpop,
            client_id=client_id,
            client_secret=client_secret,
            client_auth=client_auth,
            scope=scope,
            resource=resource,
            audience=audience,
            grant_type=grant_type,
            store=store,
            keys=keys,
            refresh=refresh,
            rotation=rotation,
            reuse_grace=reuse_grace,
            detect=detect,
            refresh_on=refresh_on,
            expired_when=expired_when,
            token_session=token_session,
            allow_http=allow_http,
            on_event=on_event,
        )

    def __repr__(self) -> str:
        return f"<OAuthClient {self._registration.client_id!r}>"

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_recent": OrderedDict()}

    def session(
        self,
        grant_id: str = "default",
        *,
        base_url: str | None = None,
        timeout: Timeout = None,
        retries: Retry | None = None,
    ) -> OAuthSession:
        """A session for one grant, with its own connection pool; the arguments are those of `OAuthSession`.

        All sessions and doors of one grant in a process share its token, at no cost for each.
        """
        auth = self._auth(grant_id, base_url)
        return OAuthSession(base_url=base_url or self._base_url, timeout=timeout, retries=retries, auth=auth)

    def auth(self, grant_id: str = "default") -> TokenAuth:
        """A door for one grant, to be given as `auth=` to any session or call."""
        return self._auth(grant_id, None)

    def put(self, grant_id: str, token: Token | Mapping[str, Any]) -> None:
        """Store a token after a login somewhere else; `expires_in` of a mapping counts from now.

        Replaces whatever is there, lifts a tombstone and starts a new lineage; other processes see it within the
        freshness bound, or when their present token is refused.

        Raises:
            ConfigurationError: this is no token.
            StoreError: the store is away; nothing has changed.
        """
        pair = self._registration.pair
        pair(token, 0.0, just_issued=True)  # complain before anything is touched
        self._source(grant_id).put(lambda now: pair(token, now, just_issued=True))

    def token(self, grant_id: str = "default", *, timeout: float | None = None) -> Token:
        """A token fit to send, refreshed if needed: for curl, websockets, other SDKs. All who ask at once cost one refresh.

        Args:
            timeout: seconds to wait for a refresh; the policy's deadline if None.

        Raises:
            OAuthSessionError: there is none, for the reason that its class says.
        """
        return self._source(grant_id).token(timeout).token

    def refresh(self, grant_id: str = "default", *, force: bool = False, timeout: float | None = None) -> Token:
        """Another token than the present one, however fresh that is. Those who ask at the same time share it.

        Args:
            force: ask the provider whatever back-off, hold, tombstone or unknown outcome says.
            timeout: seconds to wait; the policy's deadline if None.

        Raises:
            OAuthSessionError: there is none, for the reason that its class says.
        """
        return self._source(grant_id).refresh(force, timeout).token

    def forget(self, grant_id: str) -> None:
        """Delete the grant's tokens here and in the store. What is left says that it was logged out, to every process.

        Raises:
            StoreError: the store is away; nothing has changed.
        """
        self._source(grant_id).end("logged_out")

    def grants(self, cursor: str | None = None) -> tuple[list[GrantStatus], str | None]:
        """A page of this client's grants without secrets, and the cursor of the next page (None: that was all).

        A record that cannot be read, which may be anybody's, is listed without a name in the state ``damaged``.

        Raises:
            StoreError: the store is away.
        """
        store: Store = open_store(self._registration.store)
        texts, following = store.scan(cursor)
        return [status for text in texts if (status := self._status(text, store.name))], following

    def _status(self, text: str, store: str) -> GrantStatus | None:
        if read_sign(text) is not None:
            return None
        try:
            record = record_of(text, f"a grant in the {store} store", self._registration.keys)
        except StoreError as error:
            return GrantStatus("", "damaged", 0, None, False, "", str(error), None)
        return status_of(record) if record.client == self._registration.identity else None

    def reencrypt(self) -> Resealed:
        """Write each record of this client with the first of the keys, while programs go on using them.

        Records from before there were keys are taken over. Afterwards, once nothing is left unreadable and every
        process has the new ring, the older keys are not needed any more.

        Raises:
            ConfigurationError: there are no keys.
            StoreError: the store is away; what is done is done, call it again.
        """
        if self._registration.keys is None:
            raise ConfigurationError("there is nothing to encrypt with: give keys=")
        return reseal_all(open_store(self._registration.store), self._registration.keys, self._registration.identity)

    def close(self) -> None:
        """Let renewals under way land, forget what is in memory, and close the store's connections.

        They are opened again when needed. Python waits for renewals at its end by itself; who ends a process by
        `os._exit`, as Celery does with the children of its pool, calls this before.
        """
        for source in list(self._recent.values()):
            source.land()
        self._recent.clear()
        store: Store = open_store(self._registration.store)
        store.close()

    def _source(self, grant_id: str) -> TokenSource:
        """The grant's source, kept while it is one of those used last. Each step is atomic, so there is no lock."""
        source = self._recent.get(grant_id)
        if source is not None:
            with suppress(KeyError):  # it has just been dropped by another thread
                self._recent.move_to_end(grant_id)
            return source
        source = self._recent[grant_id] = self._registration.source(grant_id, self._seeds)
        while len(self._recent) > RECENT:
            with suppress(KeyError):
                self._recent.popitem(last=False)
        return source

    @cached_property
    def _guard(self) -> Guard:
        return self._registration.guard(self._base_url, self._origins)

    def _auth(self, grant_id: str, base_url: str | None) -> TokenAuth:
        guard = self._guard if base_url is None else self._registration.guard(base_url, self._origins)
        where = (base_url or self._base_url, self._origins)
        return self._registration.door(self._source(grant_id), guard, *where, self._seeds)
