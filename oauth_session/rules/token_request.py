"""Token requests as forms: the grants and the client authentication (RFC 6749 sections 2.3, 4.4 and 6)."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote_plus, urldefrag, urlencode

from ..errors import ConfigurationError

METHODS = ("client_secret_basic", "client_secret_basic_raw", "client_secret_post", "none")


@dataclass(frozen=True, slots=True, repr=False)
class TokenRequest:
    """A POST that is ready to be sent; it is full of secrets, and its repr has none."""

    url: str
    headers: Mapping[str, str]
    body: bytes
    secrets: tuple[str, ...] = ()  # what must not come back in an error message

    def __repr__(self) -> str:
        return f"<TokenRequest to {self.url.partition('?')[0]}>"


def authenticate(method: str, client_id: str, client_secret: str | None) -> tuple[dict[str, str], dict[str, str]]:
    """The headers and the form parameters that authenticate the client; one method only (RFC 6749 2.3).

    Raises:
        ConfigurationError: the method is unknown, or needs a secret that is not there.
    """
    if method not in METHODS:
        raise ConfigurationError(f"client_auth must be one of {', '.join(METHODS)}, not {method!r}")
    if method == "none":
        return {}, {"client_id": client_id}  # RFC 6749 3.2.1
    if client_secret is None:
        raise ConfigurationError(f"client_auth {method} needs a client_secret")
    if method == "client_secret_post":
        return {}, {"client_id": client_id, "client_secret": client_secret}
    encode = quote_plus if method == "client_secret_basic" else str  # RFC 6749 2.3.1 and appendix B
    pair = f"{encode(client_id)}:{encode(client_secret)}".encode()
    return {"Authorization": "Basic " + base64.b64encode(pair).decode()}, {}


def refresh_request(
    url: str, method: str, client_id: str, client_secret: str | None, refresh_token: str, scope: str | None = None
) -> TokenRequest:
    """RFC 6749 section 6; without `scope` the server keeps what was granted."""
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token, "scope": scope}
    return _request(url, method, client_id, client_secret, form)


def client_credentials_request(
    url: str, method: str, client_id: str, client_secret: str | None, scope: str | None = None
) -> TokenRequest:
    """RFC 6749 section 4.4."""
    return _request(url, method, client_id, client_secret, {"grant_type": "client_credentials", "scope": scope})


def _request(
    url: str, method: str, client_id: str, client_secret: str | None, form: Mapping[str, str | None]
) -> TokenRequest:
    headers, params = authenticate(method, client_id, client_secret)
    headers |= {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    filled = {name: value for name, value in form.items() if value}  # RFC 6749 3.2: no value, no parameter
    secrets = tuple(s for s in (client_secret, form.get("refresh_token")) if s)
    return TokenRequest(urldefrag(url).url, headers, urlencode({**filled, **params}).encode(), secrets)
