"""Grants as forms to send, besides the refresh: RFC 6749 (4.1, 4.4), RFC 7523, RFC 8693, RFC 8628, and ones of your own.

A grant that needs no person is a value with two members; it is run again whenever a token has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, runtime_checkable

from ..errors import ConfigurationError

Form = Mapping[str, str | Sequence[str] | None]
Text = str | Callable[[str], str]  # or a callable that is given the grant_id

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"


class About(NamedTuple):
    """What a grant may need to know for its form; `audience` is the issuer if known, else the token endpoint."""

    grant_id: str
    client_id: str
    audience: str


@runtime_checkable
class GrantForm(Protocol):
    """A grant that needs no person: its own parameters of the token request, made afresh for each attempt.

    A frozen dataclass is a good one: sources are shared between equal registrations. The form is a secret; whatever
    must not be told apart by the grant's id has to be told apart by its equality.
    """

    @property
    def grant_type(self) -> str:
        """The registered name, such as ``urn:ietf:params:oauth:grant-type:jwt-bearer``."""

    def form(self, about: About) -> Form:
        """The parameters besides grant_type, scope, resource, audience and those of the client's authentication."""


@dataclass(frozen=True, slots=True)
class JwtBearer:
    """Present an assertion that somebody else has signed (RFC 7523 section 2.1); `SignedJwtBearer` signs itself.

    Attributes:
        assertion: the JWT; a callable is asked for each attempt, with the grant's id.
    """

    assertion: Text = field(repr=False)
    grant_type = JWT_BEARER

    def __post_init__(self) -> None:
        _check("assertion", self.assertion)

    def form(self, about: About) -> Form:
        """RFC 7523 section 2.1."""
        return {"assertion": text_of(self.assertion, about.grant_id, "assertion")}


@dataclass(frozen=True, slots=True)
class TokenExchange:
    """Exchange a token for another one (RFC 8693).

    Attributes:
        subject_token: whose token it shall be; a callable is asked for each attempt, with the grant's id.
        subject_token_type: its type, by its URN.
        actor_token, actor_token_type: who acts, if not the client.
        requested_token_type: what is wanted, by its URN; an access token if None.
    """

    subject_token: Text = field(repr=False)
    subject_token_type: str = ACCESS_TOKEN
    actor_token: Text | None = field(default=None, repr=False)
    actor_token_type: str | None = None
    requested_token_type: str | None = None
    grant_type = TOKEN_EXCHANGE

    def __post_init__(self) -> None:
        _check("subject_token", self.subject_token)
        if self.actor_token is not None:
            _check("actor_token", self.actor_token)
        if (self.actor_token is None) != (self.actor_token_type is None):
            raise ConfigurationError("actor_token and actor_token_type come together, or not at all (RFC 8693 2.1)")

    def form(self, about: About) -> Form:
        """RFC 8693 section 2.1."""
        actor = None if self.actor_token is None else text_of(self.actor_token, about.grant_id, "actor_token")
        return {
            "subject_token": text_of(self.subject_token, about.grant_id, "subject_token"),
            "subject_token_type": self.subject_token_type,
            "actor_token": actor,
            "actor_token_type": self.actor_token_type,
            "requested_token_type": self.requested_token_type,
        }


def code_form(code: str, redirect_uri: str, verifier: str) -> Form:
    """The token request of the code grant (RFC 6749 section 4.1.3) with its proof (RFC 7636 section 4.5)."""
    return {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect_uri,
        "code_verifier": verifier,
    }


def device_form(device_code: str) -> Form:
    """A poll of the device grant (RFC 8628 section 3.4)."""
    return {"grant_type": DEVICE_CODE, "device_code": device_code}


def revocation_form(token: str, hint: str) -> Form:
    """RFC 7009 section 2.1; the hint is only one."""
    return {"token": token, "token_type_hint": hint}


def text_of(value: Text, grant_id: str, name: str) -> str:
    """The text, asked for now."""
    text = value(grant_id) if callable(value) else value
    if not isinstance(text, str) or not text:
        raise ConfigurationError(f"the {name} callable must return a non-empty string")
    return text


def _check(name: str, value: object) -> None:
    if not callable(value) and not (isinstance(value, str) and value):
        raise ConfigurationError(f"{name} must be a non-empty string, or a callable (grant_id) -> str")
