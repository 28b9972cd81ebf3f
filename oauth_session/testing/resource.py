"""The API's side of the wire: what it records of a request, and how it refuses one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from oauth_session.tokens import fingerprint

from .answers import Answer, json_answer
from .minted import Verdict
from .wire import Request

Refusal = Literal["challenge", "bare401", "403", "body"] | Callable[[Verdict], Answer]


@dataclass(frozen=True, slots=True)
class Recorded:
    """One request as the provider saw it. Its repr shows no secret."""

    method: str
    path: str
    query: str = field(repr=False)
    status: int | None  # None: closed without an answer
    token: str | None  # fingerprint of the bearer token
    authorization: bool  # whether there was such a header
    length: int
    sha256: str
    connection: int  # which TCP connection it came on
    headers: Mapping[str, str] = field(repr=False)  # names in lower case
    form: Mapping[str, str] = field(repr=False)  # of a token request, else empty


def bearer_token(authorization: str | None) -> str | None:
    """The token in an ``Authorization`` header, if it holds one."""
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def refuse(style: str, verdict: Verdict) -> Answer:
    """The API's refusal in one of the named styles."""
    if style == "bare401":
        return Answer(401, {}, b"")
    if style == "403":
        return json_answer(403, {"errors": [{"details": "access token expired"}]})
    if style == "body":
        return json_answer(200, {"ok": False, "error": "token_expired"})
    if verdict == "missing":  # RFC 6750 3.1: no error code for a request without credentials
        return json_answer(401, {"error": "unauthorized"}, {"WWW-Authenticate": "Bearer"})
    challenge = f'Bearer error="invalid_token", error_description="{verdict} access token"'
    return json_answer(401, {"error": "invalid_token"}, {"WWW-Authenticate": challenge})


def echo(request: Request, path: str, query: str, bearer: str) -> Answer:
    """What the API has seen."""
    seen = {
        "method": request.method,
        "path": path,
        "query": query,
        "sha256": request.sha256,
        "length": len(request.body),
        "content_type": request.headers.get("content-type"),
        "token": fingerprint(bearer),
    }
    return json_answer(200, seen)
