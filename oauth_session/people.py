"""The client's functions for people: logins that end in the store, and the way out. The work is imported when used."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .errors import LoginFailed
from .registration import Registration
from .source import TokenSource
from .tokens import Token

if TYPE_CHECKING:
    from .rules.authorization import AuthorizationRequest
    from .rules.device import DeviceCode

Params = Mapping[str, str | Sequence[str] | None]


class Logins:
    """What `OAuthClient` can do with a person; see there."""

    _registration: Registration

    @property
    def needs_login(self) -> bool:
        """Whether a person has to log in once; other grants are simply run again."""
        return self._registration.needs_refresh_token

    def _source(self, grant_id: str) -> TokenSource:
        raise NotImplementedError

    def put(self, grant_id: str, token: Token | Mapping[str, Any]) -> None:
        """See `OAuthClient`."""
        raise NotImplementedError

    def authorize_url(
        self, redirect_uri: str, *, scope: str | None = None, params: Params | None = None, par: bool | None = None
    ) -> AuthorizationRequest:
        """Where to send a person's browser to log in: the code grant with PKCE (RFC 6749 4.1, RFC 7636).

        For a web framework: redirect to `.url`, keep `.pending` in the person's web session, and when the browser comes
        back to `redirect_uri`, call `exchange`.

        Args:
            scope: the client's own if None.
            params: more parameters, such as ``{"prompt": "consent", "access_type": "offline"}``.
            par: push the parameters ahead (RFC 9126); None: when the server demands it.

        Raises:
            OAuthSessionError: the server's endpoints are not known, or it refused.
        """
        from . import login

        return login.begin(self._registration, redirect_uri, scope, params or {}, par)

    def exchange(self, grant_id: str, answer: str | Mapping[str, str], pending: Mapping[str, str]) -> Token:
        """The end of a login: check what the browser brought back, exchange its code, store the grant.

        Args:
            answer: the URL to which the browser came back, or its query parameters.
            pending: what `authorize_url` gave, from the same browser's web session; forget it afterwards.

        Raises:
            LoginFailed: refused, or not the answer to this login (`state`, and `iss` of RFC 9207).
            OAuthSessionError: for the reason that its class says.
        """
        from . import login

        self._source(grant_id).ledger.load()  # a code is good for once: is the store there?
        return self._keep(grant_id, login.finish(self._registration, answer, pending))

    def login(
        self,
        grant_id: str = "default",
        *,
        scope: str | None = None,
        params: Params | None = None,
        par: bool | None = None,
        port: int = 0,
        timeout: float = 300.0,
        open_browser: Callable[[str], object] | None = None,
    ) -> Token:
        """Log a person in with the browser of this machine (RFC 8252), and store the grant.

        Args:
            port: of the loopback redirect; 0: any free one.
            timeout: seconds that the person has.
            open_browser: called with the URL; the standard library's if None.

        Raises:
            LoginFailed: refused, given up, or not in time.
            ConfigurationError: the port is taken, or the server's endpoints are not known.
        """
        from . import login, loopback

        self._source(grant_id).ledger.load()
        with loopback.Loopback(port) as door:
            asked = login.begin(self._registration, door.redirect_uri, scope, params or {}, par)
            if (open_browser or loopback.open_browser)(asked.url) is False:
                raise LoginFailed(f"no browser can be opened here; open this address in one: {asked.url}")
            try:
                token = self._keep(grant_id, login.finish(self._registration, door.wait(timeout), asked.pending))
            except Exception as error:
                door.tell(error)
                raise
            door.tell(None)
            return token

    def device_login(
        self,
        grant_id: str = "default",
        *,
        show: Callable[[DeviceCode], object],
        scope: str | None = None,
        params: Params | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> Token:
        """Log a person in who uses another device (RFC 8628), and store the grant; returns when that is done.

        Args:
            show: called once, with what the person must see: `.verification_uri`, `.user_code`, `.expires_in`.
            sleep: waits between polls; what it raises ends the login.

        Raises:
            LoginFailed: refused, or the code has expired.
        """
        from . import login

        self._source(grant_id).ledger.load()
        return self._keep(grant_id, login.device(self._registration, show, scope, params or {}, sleep))

    def revoke(self, grant_id: str) -> None:
        """Tell the server that the grant is over (RFC 7009), and forget it; `forget` does only the latter.

        Raises:
            TemporarilyUnavailable: the server did not do it: the grant is still alive, and still here.
            ConfigurationError: the server has no `revocation_endpoint`.
        """
        from . import login

        source = self._source(grant_id)
        record = source.ledger.load().record
        if record is not None:
            login.revoke(self._registration, record.pair)
        source.end("revoked")

    def _keep(self, grant_id: str, token: Mapping[str, Any]) -> Token:
        """A login's token response, which was read already."""
        source, read = self._source(grant_id), self._registration.pair
        source.put(lambda now: read(token, now, just_issued=True, raw=False))
        return source.token().token
