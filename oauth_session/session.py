"""The session: a `requests.Session` whose `auth` is the door of one grant."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import requests
from requests import PreparedRequest, Request, Response
from requests.adapters import HTTPAdapter
from requests.sessions import merge_setting
from requests.utils import get_netrc_auth
from urllib3.util import Retry

from . import merging
from .auth import TokenAuth
from .child import notice
from .errors import ConfigurationError
from .events import Listener
from .forks import part_after
from .marks import Marked
from .policy import RefreshPolicy
from .registration import Registration
from .reveal import Secret
from .rules.detection import Detection
from .rules.flow import HEADER
from .rules.grants import GrantForm
from .rules.origins import origin_of
from .rules.token_request import ClientAuth
from .seeds import Seed

if TYPE_CHECKING:
    from .providers import Named

Timeout = float | tuple[float | None, float | None] | None
RequestHook = Callable[[PreparedRequest], PreparedRequest | None]

# requests leaves these two untyped
_plain_rebuild: Any = requests.Session.rebuild_auth
_merge: Any = merge_setting
_DEFAULTS = {
    "grant_type": "refresh_token",
    "store": "memory:",
    "allow_http": False,
    "grant_id": "default",
    "dpop": False,
}
_ABSOLUTE = re.compile(r"\s*[a-zA-Z][a-zA-Z0-9+.-]*://")  # requests strips what is blank before it


class OAuthSession(requests.Session):
    """A drop-in for `requests.Session` that stays logged in.

    Any number of threads, processes and machines may share one grant through a common store; each expiry costs one
    refresh. The token goes to the origins of `base_url` and `origins` and nowhere else. Threads may share the session as far
    as they may share requests' own (its cookies and headers are not locked); the login is safe for threads and forks.

    Args:
        base_url: URLs without a scheme are appended to it; its origin may see the token.
        token_url: the token endpoint (RFC 6749 section 3.2).
        provider: what the provider does differently: a name such as ``"xero"``, the path of a TOML file, or a dict;
            other arguments win over it. `oauth-session providers` lists the names.
        provider_params: values for the placeholders in its URLs, such as ``{"shop": "acme"}``.
        issuer: the authorization server; endpoints and methods are found there (RFC 8414, OpenID Connect Discovery).
        client_id: as registered.
        client_secret: a string, ``"env:NAME"``, or a callable; None for a public client.
        client_auth: ``client_secret_basic`` (default with a secret), ``client_secret_basic_raw``,
            ``client_secret_post``, ``client_secret_jwt`` or ``none`` (default without); the issuer's metadata may
            change the default. Also a value: `PrivateKeyJwt`, `MutualTls`.
        scope: asked for by grants that are run again; a refresh keeps the scope that was granted.
        resource, audience: which API the token shall be for (RFC 8707, RFC 8693), where the server wants to know.
        grant_type: ``refresh_token``, ``client_credentials``, or a grant that is run again: `JwtBearer`,
            `TokenExchange`, or an object of your own with `grant_type` and `form`.
        refresh_token: a seed: used when nothing is stored for the grant, or when what is stored is dead.
        token: the same, as a `Token`, a mapping, or a callable ``(grant_id) -> Token | mapping | None``.
        grant_id: names the resource owner's grant, such as a customer's number.
        store: ``memory:``, ``sqlite:///path``, ``redis://...``, a redis client or a store object.
        keys: what encrypts the tokens in the store: ``"env:NAME"``, ``"file:/path"``, a callable, words of a ring, or a
            `KeyRing`; ``oauth-session keys new`` makes one. It needs the extra ``crypto``.
        origins: further origins that may see the token, or ``"*"``.
        allow_http: let the token travel over plain http beyond loopback, too.
        refresh: when and how patiently to refresh.
        detect: which answers mean that the token has ended.
        refresh_on: plain statuses that may mean it, such as ``{401, 403}``.
        expired_when: exact rules that mean it.
        rotation, reuse_grace: what the provider does with used refresh tokens; see `RefreshPolicy`.
        token_session: a session for the token endpoint instead of a plain one of our own.
        metadata: the server's endpoints by hand, in the names of RFC 8414; they win over what is found.
        dpop: bind tokens to a key of ours (RFC 9449), which is kept with the grant; a transport that retries by itself
            repeats a proof, which servers refuse.
        on_event: called with each `Event`, or several that are, by several threads at once; what they raise is logged, and a
            request waits for one for 0.2 seconds at most.
        timeout: seconds for calls that give none, in requests' forms; not for the token endpoint.
        retries: mounts requests' adapter with it for the API; the token endpoint never retries.
        remember_environment: look proxies and CA bundle up again only when the environment has changed; False: each
            time, as requests does.
        auth: a ready door, from `OAuthClient.auth`; then only `base_url` and the three before this may be given besides.

    Attributes:
        auth: the door; replace it, or give `auth=` per request, and that wins.
        request_hooks: called in order with each request that is complete but for its token; each may return another.

    Raises:
        ConfigurationError: an argument is missing or wrong; the message says which.
    """

    __attrs__ = [*requests.Session.__attrs__, "base_url", "request_hooks", "timeout", "remember_environment"]

    def __init__(
        self,
        *,
        base_url: str | None = None,
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
        refresh_token: str | None = None,
        token: Seed | None = None,
        grant_id: str = "default",
        store: Any = "memory:",
        keys: Any = None,
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
        timeout: Timeout = None,
        retries: Retry | None = None,
        remember_environment: bool = True,
        auth: TokenAuth | None = None,
    ) -> None:
        super().__init__()
        self.remember_environment = remember_environment
        if base_url is not None:
            _check_base(base_url)
        self.base_url, self.timeout = base_url, timeout
        if retries is not None:
            for scheme in ("https://", "http://"):
                self.mount(scheme, HTTPAdapter(max_retries=retries))
        self.request_hooks: list[RequestHook] = []
        settings: dict[str, Any] = {
            "token_url": token_url,
            "provider": provider,
            "provider_params": provider_params,
            "issuer": issuer,
            "metadata": metadata,
            "dpop": dpop,
            "client_id": client_id,
            "client_secret": client_secret,
            "client_auth": client_auth,
            "scope": scope,
            "resource": resource,
            "audience": audience,
            "grant_type": grant_type,
            "store": store,
            "keys": keys,
            "refresh": refresh,
            "rotation": rotation,
            "reuse_grace": reuse_grace,
            "detect": detect,
            "refresh_on": refresh_on,
            "expired_when": expired_when,
            "token_session": token_session,
            "allow_http": allow_http,
            "on_event": on_event,
        }
        if auth is None:
            seeds: list[Seed] = [] if token is None else [token]
            if refresh_token is not None:
                if not isinstance(refresh_token, str) or not refresh_token:
                    raise ConfigurationError("refresh_token must be a non-empty string, or None")
                seeds.append({"refresh_token": refresh_token})
            registration = Registration.of(**settings)
            auth = registration.auth(grant_id, base_url=base_url, origins=origins, seeds=seeds)
        else:
            settings |= {"grant_id": grant_id, "origins": origins, "token": token, "refresh_token": refresh_token}
            beside = [name for name, value in settings.items() if value is not None and value != _DEFAULTS.get(name)]
            if beside:
                raise ConfigurationError(
                    f"auth brings its own settings, so {', '.join(beside)} cannot be given besides"
                )
        self.auth = auth
        part_after(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        part_after(self)

    def prepare_request(self, request: Request) -> PreparedRequest:
        """As requests', on the whole URL, and with `request_hooks` run before the token is attached."""
        ours = object.__new__(type(request))
        ours.__dict__.update(request.__dict__)
        ours.url = self._whole(request.url)
        if self.request_hooks:
            ours.auth = self._hooked(ours)
        return merging.prepared(super().prepare_request, self, ours)

    def rebuild_auth(self, prepared_request: PreparedRequest, response: Response) -> None:
        """On a redirect, the token goes on within its origin (the newest that was sent), and never beyond it."""
        mark, headers = Marked.on(prepared_request), prepared_request.headers
        before, after = response.request.url or "", prepared_request.url or ""
        header = mark.ours.header if mark is not None and mark.ours is not None else HEADER
        if mark is None or (mark.ours is not None and header not in headers):
            _plain_rebuild(self, prepared_request, response)
        elif mark.ours is None:  # NO_AUTH: no `.netrc` here either
            if header in headers and self.should_strip_auth(before, after):
                del headers[header]
        else:
            carried = response.request.headers.get(header)
            if carried is not None and origin_of(before) is not None and origin_of(before) == origin_of(after):
                mark.ours.go_on(prepared_request, str(carried))
            else:
                del headers[header]
                headers.pop("DPoP", None)
                _plain_rebuild(self, prepared_request, response)

    def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> dict[str, Any]:
        """As requests', without looking everything up again each time."""
        plain = super().merge_environment_settings
        if not self.remember_environment:
            return plain(url, proxies, stream, verify, cert)
        return merging.environment_settings(plain, self, url, proxies, stream, verify, cert)

    def send(self, request: PreparedRequest, **kwargs: Any) -> Response:
        """As requests', with the session's `timeout` where the call gives none."""
        notice()
        if kwargs.get("timeout") is None:
            kwargs["timeout"] = self.timeout
        return super().send(request, **kwargs)

    def _whole(self, url: Any) -> Any:
        if self.base_url is None or not isinstance(url, str | bytes):
            return url
        text = url.decode("utf8") if isinstance(url, bytes) else url
        if _ABSOLUTE.match(text):
            return url
        base = self.base_url.rstrip("/")
        return base + text if text[:1] in ("", "?", "#") else f"{base}/{text.lstrip('/')}"

    def _hooked(self, request: Request) -> Callable[[PreparedRequest], PreparedRequest]:
        """An auth that runs the hooks, then the auth that requests would have chosen."""
        hooks, chosen = list(self.request_hooks), request.auth
        if self.trust_env and not chosen and not self.auth:
            chosen = get_netrc_auth(request.url or "")
        chosen = _merge(chosen, self.auth)

        def run(prepared: PreparedRequest) -> PreparedRequest:
            for hook in hooks:
                prepared = hook(prepared) or prepared
            prepared.prepare_auth(chosen, prepared.url or "")
            return prepared

        return run


def _check_base(base_url: object) -> None:
    if not isinstance(base_url, str) or origin_of(base_url) is None or not _ABSOLUTE.match(base_url):
        raise ConfigurationError("base_url must be an absolute URL, such as https://api.example.com/v1/")
    if "?" in base_url or "#" in base_url:
        raise ConfigurationError("base_url must have no query and no fragment: paths are appended to it")
