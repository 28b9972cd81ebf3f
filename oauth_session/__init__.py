"""A `requests.Session` that stays logged in.

Any number of threads, processes and machines may share one OAuth grant; each expiry costs exactly one refresh.
"""

from ._version import __version__
from .adapter import OAuthAdapter, mount
from .auth import NO_AUTH, TokenAuth
from .client import GrantStatus, OAuthClient
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
from .policy import RefreshPolicy
from .rules.detection import Detection
from .rules.grants import GrantForm, JwtBearer, TokenExchange
from .session import OAuthSession
from .signing import ClientSecretJwt, MutualTls, PrivateKeyJwt, SignedJwtBearer
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
