"""Whether the token endpoint answers, knows the client, and has the right time; without a refresh token of anybody's.

One request in general; where the client is refused, one or two more to see whether another client_auth would do.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import quote_plus

from ..asking import method_of, renewal_form, request_to
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
    answer, read, proves = _try(registration)
    date = http_date(answer.headers.get("Date"))
    yield ok("token endpoint", "it answers")
    if date is not None:
        yield from clock("the token endpoint's clock", date - time.time())
    if isinstance(read, Denied) and read.kind not in (DenialKind.DEAD, DenialKind.MALFORMED):
        yield _denied(registration, answer, read)
    elif not registration.has_secret or proves:
        yield ok(
            "client authentication", f"{'client_id and client_secret are' if proves else 'the client_id is'} accepted"
        )
    else:
        yield note(
            "client authentication", "this provider wants no client_secret when it renews, so it cannot be tried"
        )


def _denied(registration: Registration, answer: Answer, read: Denied) -> Finding:
    said = read.error or f"HTTP {answer.status}"
    if read.kind is DenialKind.CLIENT:
        return _refused(registration, read, said)
    if read.kind is DenialKind.TRANSIENT:
        return note("token endpoint", f"it is down or busy (HTTP {answer.status}); the client's secret was not tried")
    if registration.grant_type != "refresh_token":
        return wrong("client authentication", f"the client gets no token: {said} {read.description or ''}".strip())
    if answer.status in (404, 405) or 300 <= answer.status < 400:
        return wrong("token endpoint", f"this is none (HTTP {answer.status}): look at token_url, and at its path")
    return note(
        "client authentication", f"the answer to a made-up refresh token is {said}, which says neither yes nor no"
    )


def _refused(registration: Registration, read: Denied, said: str) -> Finding:
    method = method_of(registration)
    if said == "unauthorized_client" and read.status != 401:  # RFC 6749 5.2: it is known; some say it of a wrong secret
        return wrong(
            "client authentication",
            f"the client may not do this ({said}): allow it the {registration.grant_type} grant at the provider; or its "
            "client_secret is wrong",
        )
    if isinstance(method, str) and registration.has_secret:
        for other in _others(method, registration):
            _, again, _ = _try(replace(registration, client_auth=other))
            if not isinstance(again, Denied) or again.kind is DenialKind.DEAD:
                return wrong(
                    "client authentication",
                    f'it is refused as {method}, and accepted as {other}: set client_auth = "{other}"',
                )
    name = method if isinstance(method, str) else method.name
    if registration.has_secret:
        has = "client_id or client_secret is wrong"
    elif name == "none":
        has = "client_id is wrong, or a client_secret is needed"
    else:
        has = f"client_id is wrong, or the provider does not know the key or certificate of its {name}"
    return wrong("client authentication", f"the client is refused ({said}, {name}): {has}")


def _others(method: str, registration: Registration) -> Iterator[str]:
    """Which else to try. Each refusal may count towards a lockout, so only what can make a difference."""
    both = registration.client_id + (registration.secret() or "")
    for other in ("client_secret_basic", "client_secret_post"):
        if other != method:
            yield other
    if method != "client_secret_basic_raw" and quote_plus(both) != both:
        yield "client_secret_basic_raw"


def _try(registration: Registration) -> tuple[Answer, Any, bool]:
    """One request, the answer as read, and whether it proved who the client is.

    With a refresh token that is made up, so that nothing of anybody's is spent; a grant that needs none is run, as at each
    expiry.
    """
    made_up = Pair(refresh_token=f"oauth-session-doctor-{secrets.token_hex(8)}")
    form = renewal_form(registration, "doctor", made_up)
    endpoint = TokenEndpoint(registration.token_session, min(10.0, registration.refresh.patience))
    key = new_key() if registration.dpop else None
    request: TokenRequest = request_to(registration, "token_endpoint", form, key, made_up)
    try:
        answer = ask(endpoint, request)
    finally:
        endpoint.close()
    return answer, request.read(*answer, request.secrets), _proves(registration, request)


def _proves(registration: Registration, request: TokenRequest) -> bool:
    sent = request.url + request.body.decode(errors="replace")
    secret = registration.secret()
    told = secret is not None and any(text in sent for text in (quote_plus(secret), json.dumps(secret)))
    return told or request.cert is not None or "Authorization" in request.headers or "client_assertion=" in sent
