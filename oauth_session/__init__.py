"""A `requests.Session` that stays logged in.

Any number of threads, processes and machines may share one OAuth grant; each expiry costs exactly one refresh.
"""

from ._version import __version__
from .adapter import OAuthAdapter, mount
from .auth import NO_AUTH, TokenAuth
from .client import GrantStatus, OAuthClient
from .errors import (
    ConfigurationError,
    InvalidClient,
    InvalidGrant,
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
from .session import OAuthSession
from .tokens import Token

__all__ = [
    "NO_AUTH",
    "ConfigurationError",
    "Detection",
    "Event",
    "GrantStatus",
    "InvalidClient",
    "InvalidGrant",
    "OAuthAdapter",
    "OAuthClient",
    "OAuthSession",
    "OAuthSessionError",
    "RecordForged",
    "RecordPlain",
    "RecordSealed",
    "RefreshOutcomeUnknown",
    "RefreshPolicy",
    "RefreshTimeout",
    "StoreError",
    "TemporarilyUnavailable",
    "Token",
    "TokenAuth",
    "TokenRequestError",
    "__version__",
    "mount",
]
