"""A `requests.Session` that stays logged in.

Any number of threads, processes and machines may share one OAuth grant; each expiry costs exactly one refresh.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from .adapter import OAuthAdapter, mount
    from .auth import TokenAuth
    from .client import OAuthClient
    from .discovery import about_api, interaction_required
    from .errors import (
        ConfigurationError,
        InteractionRequired,
        InvalidClient,
        InvalidGrant,
        LoginFailed,
        OAuthSessionError,
        RecordForged,
        RecordPlain,
        RecordSealed,
        RefreshOutcomeUnknown,
        RefreshTimeout,
        StoreError,
        TemporarilyUnavailable,
        TokenRequestError,
    )
    from .events import Event
    from .marks import NO_AUTH
    from .policy import RefreshPolicy
    from .rules.detection import Detection
    from .rules.grants import GrantForm, JwtBearer, TokenExchange
    from .session import OAuthSession
    from .signing import ClientSecretJwt, MutualTls, PrivateKeyJwt, SignedJwtBearer
    from .status import GrantStatus
    from .tokens import Token

__all__ = [
    "NO_AUTH",
    "ClientSecretJwt",
    "ConfigurationError",
    "Detection",
    "Event",
    "GrantForm",
    "GrantStatus",
    "InteractionRequired",
    "InvalidClient",
    "InvalidGrant",
    "JwtBearer",
    "LoginFailed",
    "MutualTls",
    "OAuthAdapter",
    "OAuthClient",
    "OAuthSession",
    "OAuthSessionError",
    "PrivateKeyJwt",
    "RecordForged",
    "RecordPlain",
    "RecordSealed",
    "RefreshOutcomeUnknown",
    "RefreshPolicy",
    "RefreshTimeout",
    "SignedJwtBearer",
    "StoreError",
    "TemporarilyUnavailable",
    "Token",
    "TokenAuth",
    "TokenExchange",
    "TokenRequestError",
    "__version__",
    "about_api",
    "interaction_required",
    "mount",
]

# Loaded when they are first asked for: programs that only mention this package start no slower (PEP 562).
_NAMES = {
    "adapter": "OAuthAdapter mount",
    "auth": "TokenAuth",
    "marks": "NO_AUTH",
    "client": "OAuthClient",
    "discovery": "about_api interaction_required",
    "errors": "ConfigurationError InteractionRequired InvalidClient InvalidGrant LoginFailed OAuthSessionError "
    "RecordForged RecordPlain RecordSealed RefreshOutcomeUnknown RefreshTimeout StoreError TemporarilyUnavailable "
    "TokenRequestError",
    "events": "Event",
    "policy": "RefreshPolicy",
    "rules.detection": "Detection",
    "rules.grants": "GrantForm JwtBearer TokenExchange",
    "session": "OAuthSession",
    "signing": "ClientSecretJwt MutualTls PrivateKeyJwt SignedJwtBearer",
    "status": "GrantStatus",
    "tokens": "Token",
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
