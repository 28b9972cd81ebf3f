"""Whether the token endpoint answers, knows the client, and has the right time; without a refresh token of anybody's."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ..asking import method_of, request_to
from ..discovery import ask
from ..dpop import new_key
from ..endpoint import TokenEndpoint
from ..exchange import Answer
from ..registration import Registration
from ..rules.origins import is_loopback, origin_of
from ..rules.record import Pair
from ..rules.token_request import TokenRequest
from ..rules.token_response import DenialKind, Denied, http_date
from .findings import Finding, clock, note, ok, wrong


def endpoint(registration: Registration) -> Iterator[Finding]:
    url = registration.server.endpoint("token_endpoint")
    if url.startswith("http:") and not is_loopback(origin_of(url) or ""):
        yield Finding(
            "wrong", "token endpoint", "it is plain http: the client's secret and refresh tokens can be read on the way"
        )
    answer, read = _try(registration)
    date = http_date(answer.headers.get("Date"))
    yield ok("token endpoint", "it answers")
    if date is not None:
        yield from clock("the token endpoint's clock", date - time.time())
    if not isinstance(read, Denied) or read.kind is DenialKind.DEAD:
        yield ok("client authentication", "client_id and client_secret are accepted")
        return
    if read.kind is DenialKind.CLIENT:
        yield _refused(registration, read)
    elif read.kind is DenialKind.TRANSIENT:
        yield Finding(
            "note", "token endpoint", f"it is down or busy (HTTP {answer.status}); the client's secret was not tried"
        )
    else:
        said = read.error or f"HTTP {answer.status}"
        yield note(
            "client authentication",
            f"the answer to a made-up refresh token is {said}, which says neither yes nor no",
        )


def _refused(registration: Registration, read: Denied) -> Finding:
    method = method_of(registration)
    if isinstance(method, str):
        for other in ("client_secret_basic", "client_secret_post", "client_secret_basic_raw"):
            if other == method or not registration.has_secret:
                continue
            _, again = _try(replace(registration, client_auth=other))
            if not isinstance(again, Denied) or again.kind is DenialKind.DEAD:
                return wrong(
                    "client authentication",
                    f'it is refused as {method}, and accepted as {other}: set client_auth = "{other}"',
                )
    name = method if isinstance(method, str) else method.name
    has = (
        "client_id or client_secret is wrong"
        if registration.has_secret
        else "client_id is wrong, or a client_secret is needed"
    )
    return Finding(
        "wrong", "client authentication", f"the client is refused ({read.error or read.status}, {name}): {has}"
    )


def _try(registration: Registration) -> tuple[Answer, Any]:
    """A refresh with a refresh token that is made up: nothing of anybody's is spent."""
    made_up = Pair(refresh_token=f"oauth-session-doctor-{secrets.token_hex(8)}")
    form = {"grant_type": "refresh_token", "refresh_token": made_up.refresh_token}
    endpoint = TokenEndpoint(registration.token_session, min(10.0, registration.refresh.patience))
    asking = replace(registration, grant_type="refresh_token")
    request: TokenRequest = request_to(
        asking, "token_endpoint", form, new_key() if registration.dpop else None, made_up
    )
    try:
        answer = ask(endpoint, request)
    finally:
        endpoint.close()
    return answer, request.read(*answer, request.secrets)
