"""From a client's settings to the requests that it sends: whose endpoint, which authentication, what parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from . import dpop
from .discovery import Server
from .errors import ConfigurationError
from .rules.grants import About, Form, GrantForm
from .rules.record import Pair
from .rules.token_request import METHODS, STANDARD, ClientAuth, TokenRequest, form_request
from .signing import ClientSecretJwt
from .tokens import DPOP_KEY

if TYPE_CHECKING:
    from .providers import Provider

BY_NAME: dict[str, ClientAuth] = {"client_secret_jwt": ClientSecretJwt()}
# What a client with only a secret can do, in the order in which it is tried when the metadata leaves a choice.
_WITH_SECRET = ("client_secret_basic", "client_secret_post", "client_secret_jwt")
GRANT_TYPES = ("refresh_token", "client_credentials")

Values = str | Sequence[str] | None


class Settings(Protocol):
    """What a registration knows of itself."""

    @property
    def client_id(self) -> str:
        """As registered."""

    @property
    def client_auth(self) -> str | ClientAuth | None:
        """As given."""

    @property
    def scope(self) -> str | None:
        """Of grants that are run again."""

    @property
    def grant_type(self) -> str | GrantForm:
        """Which grant renews the tokens."""

    @property
    def resource(self) -> Values:
        """RFC 8707."""

    @property
    def audience(self) -> Values:
        """RFC 8693, and several vendors with every grant."""

    @property
    def dpop(self) -> bool:
        """Whether tokens are bound to a key."""

    @property
    def server(self) -> Server:
        """Whom to ask."""

    @property
    def provider(self) -> Provider | None:
        """What it does differently, if that is known."""

    @property
    def has_secret(self) -> bool:
        """Whether a client secret was given."""

    def secret(self) -> str | None:
        """It, fetched now."""


def check(settings: Settings) -> None:
    """What can be said of the settings without asking anybody.

    Raises:
        ConfigurationError: an argument is wrong; the message names it.
    """
    grant, method = settings.grant_type, settings.client_auth
    if grant not in GRANT_TYPES if isinstance(grant, str) else not isinstance(grant, GrantForm):
        raise ConfigurationError(
            f"grant_type must be one of {', '.join(GRANT_TYPES)}, or a grant such as JwtBearer or TokenExchange, "
            f"not {grant!r}"
        )
    if isinstance(method, str) and method not in (*METHODS, *BY_NAME):
        if method in ("private_key_jwt", "tls_client_auth", "self_signed_tls_client_auth"):
            raise ConfigurationError(f"client_auth {method} needs more than its name: give PrivateKeyJwt or MutualTls")
        raise ConfigurationError(f"client_auth must be one of {', '.join((*METHODS, *BY_NAME))}, not {method!r}")
    if method is not None and not isinstance(method, str) and not callable(getattr(method, "params", None)):
        raise ConfigurationError("client_auth must be a registered name, or a value such as PrivateKeyJwt or MutualTls")
    for name, value in (("resource", settings.resource), ("audience", settings.audience)):
        values = value if isinstance(value, tuple) else [value] if value is not None else []
        if not all(isinstance(entry, str) and entry for entry in values):
            raise ConfigurationError(f"{name} must be a non-empty string, or a list of them")
    known = method if method is not None or settings.server.issuer is None else "none"  # else the metadata will tell
    secret = "x" if settings.has_secret else None
    token_url = settings.server.by_hand.endpoint("token_endpoint") or "https://not-known-yet.invalid/"
    chosen = _chosen(known, settings.has_secret, None)
    form: Form = {"grant_type": "x", "scope": "x", "refresh_token": "x"}
    dialect = STANDARD if settings.provider is None else settings.provider.dialect(form, renews=True)
    if isinstance(chosen, str):  # a URL that such a request cannot go to, too
        form_request(token_url, chosen, settings.client_id, secret, form, dialect=dialect)
    elif isinstance(chosen, ClientSecretJwt) and not secret:
        raise ConfigurationError("client_auth client_secret_jwt needs a client_secret")
    if grant == "client_credentials" and method in (None, "none") and not settings.has_secret:
        raise ConfigurationError("the client_credentials grant needs a client_secret (RFC 6749 4.4)")


def method_of(settings: Settings) -> str | ClientAuth:
    """How the client authenticates: as it was told, else as the server's metadata allows (RFC 8414 section 2)."""
    given = settings.client_auth
    offered = None
    if given is None and settings.has_secret and settings.server.issuer is not None:
        offered = settings.server.metadata().listed("token_endpoint_auth_methods_supported")
    return _chosen(given, settings.has_secret, offered)


def _chosen(given: str | ClientAuth | None, has_secret: bool, offered: Sequence[str] | None) -> str | ClientAuth:
    if given is None:
        usable = [name for name in _WITH_SECRET if offered is None or name in offered] or list(_WITH_SECRET)
        given = usable[0] if has_secret else "none"
    return BY_NAME.get(given, given) if isinstance(given, str) else given


def audience_of(settings: Settings) -> str:
    """Whom an assertion is for: the issuer when it is known, else the token endpoint (RFC 7523 section 3)."""
    return settings.server.issuer or settings.server.endpoint("token_endpoint")


def request_to(
    settings: Settings, name: str, form: Form, key: str | None = None, old: Pair | None = None, *, first: bool = True
) -> TokenRequest:
    """A request to one of the server's endpoints with the client's authentication, made for this one attempt.

    Args:
        key: for DPoP: the token shall be bound to it.
        old: what is renewed, if something is.
        first: whether a nonce that the server wants is a reason to ask once more.
    """
    provider = settings.provider if name == "token_endpoint" else None
    renews = old is not None and settings.grant_type == "refresh_token"
    dialect = STANDARD if provider is None else provider.dialect(form, renews)
    method = method_of(settings)
    mutual_tls = not isinstance(method, str) and method.cert is not None
    url = settings.server.endpoint(name, mutual_tls=mutual_tls)
    if provider is not None and renews:
        url = provider.profile.refresh_url or url
    audience = "" if isinstance(method, str) else audience_of(settings)
    who = (settings.client_id, settings.secret())
    headers = {} if key is None else {dpop.HEADER: dpop.proof(key, dialect.method, url)}
    made = form_request(url, method, *who, form, audience=audience, more_headers=headers, dialect=dialect)
    if key is not None:
        again = dpop.asked_again(url, lambda: request_to(settings, name, form, key, old, first=False), first=first)
        made = replace(made, again=again, token_type="DPoP" if name == "token_endpoint" else None)
    return made if provider is None else provider.completed(made, old if renews else None)


def renewal(settings: Settings, grant_id: str, pair: Pair) -> TokenRequest:
    """The token request that renews this pair: a refresh, or the grant run again."""
    key = dpop.key_of(pair.extra) if settings.dpop else None
    return request_to(settings, "token_endpoint", renewal_form(settings, grant_id, pair), key, pair)


def renewal_form(settings: Settings, grant_id: str, pair: Pair) -> dict[str, Any]:
    """Its parameters. A refresh leaves the scope as it was granted (RFC 6749 section 6)."""
    grant = settings.grant_type
    form: dict[str, Any] = {"resource": settings.resource, "audience": settings.audience}
    if grant == "refresh_token":
        assert pair.refresh_token is not None
        return form | {"grant_type": grant, "refresh_token": pair.refresh_token}
    if isinstance(grant, str):
        return form | {"grant_type": grant, "scope": settings.scope}
    own = dict(grant.form(About(grant_id, settings.client_id, audience_of(settings))))
    return form | {"scope": settings.scope} | own | {"grant_type": grant.grant_type}


def renewer(settings: Settings, grant_id: str) -> partial[TokenRequest]:
    """`renewal` of one grant, which takes the pair."""
    return partial(renewal, settings, grant_id)


def several(value: Any) -> Any:
    """A list as a tuple: settings are compared and hashed."""
    return tuple(value) if isinstance(value, list) else value


def whose(settings: Settings) -> list[object]:
    """What tells the tokens of one registration from those of another, beside its server and client."""
    grant = settings.grant_type
    parts: list[object] = [grant if isinstance(grant, str) else grant.grant_type]
    if grant != "refresh_token":
        parts.append(settings.scope or "")
    if settings.resource or settings.audience:
        parts.append([settings.resource, settings.audience])
    if settings.dpop:
        parts.append("dpop")
    return parts


def blank(settings: Settings, shared: bool) -> Pair:
    """What is known of a grant before it has a token: with DPoP, its key.

    Raises:
        ConfigurationError: the key would lie in a shared store for everybody to read.
    """
    if not settings.dpop:
        return Pair()
    if shared and not getattr(settings, "keys", None):
        raise ConfigurationError(
            "dpop=True keeps the private key with the grant, and this store is shared without encryption: "
            "give keys= (`oauth-session keys new` makes some), or store='memory:'"
        )
    return keyed(Pair())


def keyed(pair: Pair) -> Pair:
    """The pair with a key; with its own, if it has one."""
    return pair if DPOP_KEY in pair.extra else replace(pair, extra={**pair.extra, DPOP_KEY: dpop.new_key()})
