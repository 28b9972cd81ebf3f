"""How a renewal ends: each outcome's error, in one table (law 15)."""

from __future__ import annotations

import json

from requests import Response

from ..errors import (
    InvalidClient,
    InvalidGrant,
    OAuthSessionError,
    RefreshOutcomeUnknown,
    StoreError,
    TemporarilyUnavailable,
    TokenRequestError,
)
from .effects import Ending, Outcome
from .token_response import DenialKind, Denied

# An outcome that is not here brings a token, and no error.
ERRORS: dict[Outcome, tuple[type[OAuthSessionError], str]] = {
    Outcome.HELD: (TemporarilyUnavailable, "this origin refuses fresh tokens too, so its refusal is not expiry"),
    Outcome.BACKING_OFF: (TemporarilyUnavailable, "a refresh failed a moment ago; the next attempt waits"),
    Outcome.TOO_EARLY: (TemporarilyUnavailable, "the provider does not refresh a token that is so young"),
    Outcome.TRANSIENT: (TemporarilyUnavailable, "the token endpoint is down or busy; the grant is kept"),
    Outcome.UNKNOWN: (
        RefreshOutcomeUnknown,
        "two refreshes ended without an answer; call refresh(force=True) to try all the same, or log in again",
    ),
    Outcome.MISCONFIGURED: (TokenRequestError, "the token endpoint refused the request; the grant is kept"),
    Outcome.DEAD: (InvalidGrant, "the refresh token is dead: log in again and put() the new token"),
    Outcome.ENDED: (InvalidGrant, "this grant was logged out or revoked: log in again and put() the new token"),
    Outcome.NO_GRANT: (
        InvalidGrant,
        "nothing is stored for this grant: give refresh_token= or token=, or put() a token after a login",
    ),
    Outcome.NOT_RENEWABLE: (InvalidGrant, "the token has ended and there is no refresh token: log in again"),
    Outcome.STORE_DOWN: (StoreError, "the token store is away and nothing is refreshed without it"),
}


def error_of(ending: Ending, grant: str) -> OAuthSessionError | None:
    """A new error for an ending; each waiter raises its own. None when there is a token."""
    if ending.outcome not in ERRORS:
        return None
    kind, says = ERRORS[ending.outcome]
    denied = ending.denied
    if ending.outcome is Outcome.STORE_DOWN and ending.trouble is not StoreError:  # it is there, but not to be read
        return ending.trouble(f"grant {grant!r}: {ending.reason}")
    message = f"grant {grant!r}: {says}"
    if denied is not None and denied.kind is DenialKind.CLIENT:
        kind = InvalidClient
        message += "; check client_id and client_secret, or try the other client_auth (client_secret_basic sends them"
        message += " in a header, client_secret_post in the body)"
    detail = (denied.error or f"HTTP {denied.status}") if denied else ending.reason
    if detail:
        message += f" [{detail}]"
    if not issubclass(kind, TokenRequestError):
        return kind(message)
    error = kind(
        message,
        error=denied.error if denied else None,
        error_description=denied.description if denied else None,
        error_uri=denied.uri if denied else None,
        response=_scrubbed(denied) if denied else None,
    )
    if isinstance(error, TemporarilyUnavailable):
        error.retry_after = ending.wait or (denied.retry_after if denied else None)
    return error


def _scrubbed(denied: Denied) -> Response:
    """The answer without anything that could hold a secret: status, error and description."""
    response = Response()
    response.status_code = denied.status
    response.headers["Content-Type"] = "application/json"
    said = {"error": denied.error, "error_description": denied.description, "error_uri": denied.uri}
    response._content = json.dumps({k: v for k, v in said.items() if v}).encode()
    return response
