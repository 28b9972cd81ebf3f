"""Logins and logouts of a person, as functions: the code grant, the device grant, revocation.

Each ends in a token response, which the client puts into the store; nothing here keeps anything.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from .asking import request_to
from .discovery import ask
from .dpop import new_key
from .endpoint import TokenEndpoint
from .errors import (
    ConfigurationError,
    InvalidClient,
    LoginFailed,
    OAuthSessionError,
    TemporarilyUnavailable,
    TokenRequestError,
)
from .exchange import Answer
from .registration import Registration
from .rules.authorization import (
    AuthorizationRequest,
    authorization_form,
    new_pending,
    read_callback,
    read_pending,
    url_with,
)
from .rules.device import DeviceCode, Polling, read_device_code
from .rules.grants import Form, code_form, device_form, revocation_form
from .rules.record import Pair
from .rules.token_request import TokenRequest
from .rules.token_response import DenialKind, Denied, Granted, required
from .tokens import DPOP_KEY

PAR = "pushed_authorization_request_endpoint"


def begin(
    registration: Registration, redirect_uri: str, scope: str | None, more: Form, pushed: bool | None
) -> AuthorizationRequest:
    """Where to send the browser. With `pushed` the parameters go ahead of it (RFC 9126); None: if the server wants that."""
    if not isinstance(redirect_uri, str) or not redirect_uri:
        raise ConfigurationError("redirect_uri must be the URL that was registered for the login's end")
    server = registration.server
    metadata = server.metadata()
    sends_iss = metadata.flag("authorization_response_iss_parameter_supported")
    pending = new_pending(redirect_uri, registration.issuer or metadata.members().get("issuer"), sends_iss)
    wanted: Form = {
        "scope": scope or registration.scope,
        "resource": registration.resource,
        "audience": registration.audience,
    }
    form = authorization_form(registration.client_id, pending, {**wanted, **more})
    url = server.endpoint("authorization_endpoint")
    if metadata.flag("require_pushed_authorization_requests") if pushed is None else pushed:
        answer, request = _ask(registration, PAR, form)
        request_uri = _member(answer, "request_uri")
        if request_uri is None:
            raise _error(answer, request, "the authorization request was not accepted")
        form = {"client_id": registration.client_id, "request_uri": request_uri}
    return AuthorizationRequest(url_with(url, form), pending)


def finish(registration: Registration, answer: str | Mapping[str, str], pending: object) -> dict[str, Any]:
    """The token response for the code that the browser brought back."""
    known = read_pending(pending)
    code = read_callback(answer, known)
    started = time.monotonic()
    form = code_form(code, known["redirect_uri"], known["code_verifier"])
    if registration.resource:
        form = {**form, "resource": registration.resource}
    key = new_key() if registration.dpop else None
    return _granted(*_ask(registration, "token_endpoint", form, key), started, key)


def device(
    registration: Registration,
    show: Callable[[DeviceCode], object],
    scope: str | None,
    more: Form,
    sleep: Callable[[float], object],
) -> dict[str, Any]:
    """Get a code, show it, and poll until the person has entered it (RFC 8628)."""
    form = {"scope": scope or registration.scope, "resource": registration.resource, "audience": registration.audience}
    started = time.monotonic()
    form = {"client_id": registration.client_id, **form, **more}
    answer, request = _ask(registration, "device_authorization_endpoint", form)
    code = read_device_code(answer.status, answer.body)
    if code is None:
        raise _error(answer, request, "the server gave no code for a device")
    show(code)
    polling, key = Polling(code), new_key() if registration.dpop else None
    while True:
        sleep(polling.wait(time.monotonic() - started))
        asked = time.monotonic()
        heard = None
        try:
            answer, request = _ask(registration, "token_endpoint", device_form(code.device_code), key)
            heard = request.read(*answer, request.secrets)
        except TemporarilyUnavailable:
            pass
        if polling.heard(heard) is not None:
            return _granted(answer, request, asked, key)


def revoke(registration: Registration, pair: Pair) -> None:
    """Tell the server that the grant is over (RFC 7009): the refresh token if there is one, else the access token.

    Raises:
        TemporarilyUnavailable: the tokens must be assumed alive (section 2.2.1).
    """
    token, hint = pair.refresh_token or pair.access_token, "refresh_token" if pair.refresh_token else "access_token"
    if token is None:
        return
    answer, request = _ask(registration, "revocation_endpoint", revocation_form(token, hint))
    if not 200 <= answer.status < 300:  # 200 also for a token that the server does not know
        raise _error(answer, request, "the grant was not revoked")


def _ask(registration: Registration, name: str, form: Form, key: str | None = None) -> tuple[Answer, TokenRequest]:
    """The answer, and the request: it knows how to read it, and the secrets that a server may repeat there."""
    endpoint = TokenEndpoint(registration.token_session, registration.refresh.patience)
    try:
        request = request_to(registration, name, form, key)
        return ask(endpoint, request), request
    finally:
        endpoint.close()


def _granted(answer: Answer, request: TokenRequest, started: float, key: str | None) -> dict[str, Any]:
    """The token response as a mapping; its lifetime counts from before the request was sent (RFC 6749 section 5.1)."""
    granted = required(request.read(*answer, request.secrets), "DPoP" if key else None)
    if not isinstance(granted, Granted):
        raise _error(answer, request, "the code was not exchanged for a token", granted)
    found = {
        **granted.extra,
        "access_token": granted.access_token,
        "token_type": granted.token_type,
        "refresh_token": granted.refresh_token,
        "scope": granted.scope,
    }
    if key is not None:
        found[DPOP_KEY] = key
    if granted.lifetime is not None:
        found["expires_in"] = max(0.1, granted.lifetime - (time.monotonic() - started))
    return found


def _member(answer: Answer, name: str) -> str | None:
    try:
        data = json.loads(answer.body)
    except (ValueError, RecursionError):
        return None
    value = data.get(name) if isinstance(data, dict) and 200 <= answer.status < 300 else None
    return value if isinstance(value, str) and value else None


def _error(
    answer: Answer, request: TokenRequest, says: str, denied: Granted | Denied | None = None
) -> OAuthSessionError:
    """What the server's refusal means for the caller."""
    denied = denied or request.read(*answer, request.secrets)
    if not isinstance(denied, Denied):
        return TokenRequestError(says)
    message = f"{says} [{denied.error or f'HTTP {denied.status}'}]"
    if denied.description:
        message += f": {denied.description}"
    if denied.kind is DenialKind.DEAD:
        return LoginFailed(message, error=denied.error, error_description=denied.description)
    said: dict[str, Any] = {"error": denied.error, "error_description": denied.description, "error_uri": denied.uri}
    if denied.kind is DenialKind.TRANSIENT:
        return TemporarilyUnavailable(message, retry_after=denied.retry_after, **said)
    if denied.kind is DenialKind.CLIENT:
        return InvalidClient(f"{message}; check client_id, client_secret and client_auth", **said)
    return TokenRequestError(message, **said)
