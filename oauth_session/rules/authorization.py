"""The authorization request and what comes back from it: RFC 6749 (4.1), RFC 7636, RFC 9126, RFC 9207.

Between the two lies a browser, and often another process: what has to be remembered is one small mapping.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode, urlsplit

from ..errors import ConfigurationError, LoginFailed
from .grants import Form

_REMEMBERED = ("state", "code_verifier", "redirect_uri")
_VERIFIER = re.compile(r"[A-Za-z0-9\-._~]{43,128}")
# What the request itself decides; it must not be given twice, or by somebody else.
_OURS = {
    "response_type",
    "client_id",
    "redirect_uri",
    "state",
    "code_challenge",
    "code_challenge_method",
    "request_uri",
}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """Where to send the person's browser, and what to remember until it comes back.

    Attributes:
        url: for the browser; it holds no secret.
        pending: text values to keep in the person's own web session (it binds the answer to this browser), and to
            give to `OAuthClient.exchange`. Whoever has them and the answer has the grant.
    """

    url: str
    pending: Mapping[str, str] = field(repr=False)

    def __str__(self) -> str:
        return self.url


def new_pending(redirect_uri: str, issuer: str | None, iss_is_sent: bool) -> dict[str, str]:
    """Fresh `state` and PKCE verifier (RFC 7636 section 4.1), and whom the answer must come from (RFC 9207 2.4)."""
    pending = {
        "state": secrets.token_urlsafe(24),
        "code_verifier": secrets.token_urlsafe(48),
        "redirect_uri": redirect_uri,
    }
    if issuer is not None:
        pending |= {"issuer": issuer, "iss": "required" if iss_is_sent else "optional"}
    return pending


def challenge_of(verifier: str) -> str:
    """S256 of RFC 7636 section 4.2."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def authorization_form(client_id: str, pending: Mapping[str, str], more: Form) -> dict[str, str | Sequence[str]]:
    """The parameters of the authorization request (RFC 6749 section 4.1.1), `more` without empty ones.

    Raises:
        ConfigurationError: `more` has one that the request decides itself.
    """
    if taken := _OURS & more.keys():
        raise ConfigurationError(f"{', '.join(sorted(taken))} cannot be given: the login decides that itself")
    return {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": pending["redirect_uri"],
        "state": pending["state"],
        "code_challenge": challenge_of(pending["code_verifier"]),
        "code_challenge_method": "S256",
    } | {name: value for name, value in more.items() if value}


def url_with(url: str, form: Form) -> str:
    """The endpoint's URL with these parameters; it keeps a query of its own (RFC 6749 section 3.1)."""
    query = urlencode({name: value for name, value in form.items() if value}, doseq=True)
    return f"{url}{'&' if '?' in url else '?'}{query}"


def read_pending(value: object) -> Mapping[str, str]:
    """What was remembered, checked.

    Raises:
        ConfigurationError: it is not what `authorize_url` gave.
    """
    if not isinstance(value, Mapping) or not all(isinstance(value.get(name), str) for name in _REMEMBERED):
        raise ConfigurationError("pending must be what authorize_url() gave, as it was kept in the web session")
    if not _VERIFIER.fullmatch(value["code_verifier"]):
        raise ConfigurationError("pending holds no PKCE verifier")
    return value


def read_callback(answer: str | Mapping[str, str], pending: Mapping[str, str]) -> str:
    """The code out of what the browser brought back: a URL, its query, or its parameters.

    `state` comes first, then `iss`: before both are right, not even an error is believed (RFC 9207 section 2.4).

    Raises:
        LoginFailed: it is not the answer to this request, or the person or the server said no.
    """
    given = _parameters(answer)
    states = (given.get("state", ""), pending["state"])
    if not hmac.compare_digest(*(state.encode("utf-8", "surrogatepass") for state in states)):
        raise LoginFailed(
            "the answer does not belong to this login (its state is another): begin the login again in this browser"
        )
    issuer, iss = pending.get("issuer"), given.get("iss")
    if issuer is not None and iss is not None and iss != issuer:
        raise LoginFailed("the answer comes from another authorization server than was asked (RFC 9207): not used")
    if iss is None and pending.get("iss") == "required":
        raise LoginFailed("the answer does not say who it comes from, though the server always does (RFC 9207)")
    if "error" in given:
        error, said = (_CONTROL.sub(" ", given.get(name, ""))[:300] for name in ("error", "error_description"))
        says = "the login was refused: consent was denied" if error == "access_denied" else "the login was refused"
        raise LoginFailed(f"{says} [{error}]", error=error, error_description=said or None)
    if not given.get("code"):
        raise LoginFailed("the answer holds neither a code nor an error: begin the login again")
    return given["code"]


def _parameters(answer: object) -> dict[str, str]:
    """As a mapping of the first values; a parameter that comes twice makes the whole untrustworthy."""
    if isinstance(answer, Mapping):
        pairs = [(name, value) for name, value in answer.items() if isinstance(value, str)]
    elif isinstance(answer, str):
        pairs = parse_qsl(_query(answer), keep_blank_values=True)
    else:
        raise ConfigurationError("the answer must be the URL to which the browser came back, or its parameters")
    if len(dict(pairs)) != len(pairs):
        raise LoginFailed("the answer holds a parameter twice (RFC 6749 section 3.1): begin the login again")
    return dict(pairs)


def _query(answer: str) -> str:
    """Of a URL, or the whole."""
    try:
        parts = urlsplit(answer)
    except ValueError:  # brackets that hold no address
        return ""
    return parts.query if parts.query or parts.scheme else answer.lstrip("?")
