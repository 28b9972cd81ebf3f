"""Token requests as forms to send: the grants of RFC 6749 (sections 4.4 and 6) and the client's authentication."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol
from urllib.parse import parse_qsl, quote_plus, urlencode

from ..errors import ConfigurationError
from .grants import Form
from .token_response import Denied, Granted, read_token_response

# The registered names (RFC 7591 section 2), and one for servers that skip the encoding of RFC 6749 2.3.1.
METHODS = ("client_secret_basic", "client_secret_basic_raw", "client_secret_post", "none")


Cert = str | tuple[str, str]  # of a file, or of two: as requests takes it


class ClientAuth(Protocol):
    """A client authentication beyond a secret; a frozen dataclass is a good one."""

    @property
    def name(self) -> str:
        """The registered name."""

    @property
    def cert(self) -> Cert | None:
        """The client's certificate for mutual TLS (RFC 8705), or None."""

    def params(self, client_id: str, client_secret: str | None, audience: str) -> dict[str, str]:
        """The form parameters, made afresh for each attempt; `audience` is the issuer, else the token endpoint."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a server wants its token requests, where that is not what RFC 6749 says.

    Attributes:
        names: of parameters, where they are called something else.
        params: further parameters, which win; an empty one takes its parameter away.
        headers: further headers, which win.
    """

    request_format: Literal["form", "json", "query"] = "form"
    method: Literal["POST", "GET"] = "POST"
    names: Mapping[str, str] = field(default_factory=dict, hash=False)
    params: Mapping[str, str] = field(default_factory=dict, hash=False, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, hash=False, repr=False)


STANDARD = Dialect()


@dataclass(frozen=True, slots=True, repr=False)
class TokenRequest:
    """A request to the token endpoint. It is full of secrets; its repr shows none.

    Attributes:
        secrets: what must not appear in a message about this request.
        cert: the client's certificate for mutual TLS.
        again: given (status, headers, body) of the answer, the request with which to ask once more at once, where that
            one was not applied (a DPoP nonce is wanted); None for any other answer.
        method: POST; GET for a server's metadata, and where a provider wants it.
        token_type: the only one that will do; None: any.
        read: makes of the answer's status, headers and body, and of the secrets, what was granted or denied.
        follow: called with the answer before it is read, while the claim is still held; must not raise.
    """

    url: str
    headers: Mapping[str, str] = field(hash=False)
    body: bytes
    secrets: tuple[str, ...] = ()
    cert: Cert | None = None
    again: Callable[[int, Mapping[str, str], bytes], TokenRequest | None] | None = None
    method: str = "POST"
    token_type: str | None = None
    read: Callable[[int, Mapping[str, str], bytes, Sequence[str]], Granted | Denied] = read_token_response
    follow: Callable[[int, Mapping[str, str], bytes], object] | None = None

    def __repr__(self) -> str:
        return f"<TokenRequest {shown_url(self.url)}>"


def shown_url(url: str) -> str:
    """A URL for people: user-info and query may be secrets."""
    return re.sub(r"^([^/@]*//)?.*@", r"\1", url.partition("?")[0], flags=re.DOTALL)


def authenticate(method: str, client_id: str, client_secret: str | None) -> tuple[dict[str, str], dict[str, str]]:
    """Give the headers and the form parameters that authenticate the client (RFC 6749 section 2.3: one method only).

    Raises:
        ConfigurationError: the method is unknown, or ``client_id`` or a ``client_secret`` that it needs is missing.
    """
    if method not in METHODS:
        raise ConfigurationError(f"client_auth must be one of {', '.join(METHODS)}, not {method!r}")
    if not client_id:
        raise ConfigurationError("client_id is missing")
    if method == "none":
        return {}, {"client_id": client_id}  # RFC 6749 section 3.2.1
    if not client_secret:
        raise ConfigurationError(f"client_auth {method} needs a client_secret; a client without one uses none")
    try:
        if method == "client_secret_post":
            return {}, {"client_id": client_id, "client_secret": client_secret}
        if method == "client_secret_basic":  # each is form-urlencoded first: RFC 6749 section 2.3.1, appendix B
            pair = f"{quote_plus(client_id)}:{quote_plus(client_secret)}"
        elif ":" in client_id:
            raise ConfigurationError("client_secret_basic_raw cannot carry a client_id with a colon (RFC 7617)")
        else:
            pair = f"{client_id}:{client_secret}"
        return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}, {}
    except UnicodeEncodeError:  # which holds the secret: it must not be the context of ours
        pass
    raise ConfigurationError("client_id and client_secret must be text that UTF-8 can carry")


def form_request(
    url: str,
    method: str | ClientAuth,
    client_id: str,
    client_secret: str | None,
    form: Form,
    *,
    audience: str = "",
    more_headers: Mapping[str, str] | None = None,
    dialect: Dialect = STANDARD,
) -> TokenRequest:
    """RFC 6749 section 3.2: the endpoint keeps its query, has no fragment, and no parameter comes twice or empty.

    What RFC 8693 and RFC 8707 let come several times, such as `resource`, is a list.
    """
    names = dialect.names
    cert = None
    headers: dict[str, str] = {}
    if isinstance(method, str):
        headers, params = authenticate(method, client_id, client_secret)
    else:
        params, cert = method.params(client_id, client_secret, audience), method.cert
    own = {names.get(name, name): value for name, value in {**form, **params}.items()}
    filled = {name: value for name, value in {**own, **dialect.params}.items() if value}
    if "#" in url:
        raise ConfigurationError("the token endpoint's URL must have no fragment (RFC 6749 section 3.2)")
    for name, _ in parse_qsl(url.partition("?")[2], keep_blank_values=True):
        if name in filled:
            raise ConfigurationError(f"the token endpoint's URL already has {name}; it must not be sent twice")
    try:
        encoded: str | None = urlencode(filled, doseq=True)
    except UnicodeEncodeError:
        encoded = None
    if encoded is None:  # raised here: the other error holds the secret
        raise ConfigurationError("a parameter of the token request is no text that UTF-8 can carry")
    secrets = [client_secret, headers.get("Authorization", "").removeprefix("Basic ")]
    secrets += [value for name in _SECRET if isinstance(value := filled.get(names.get(name, name)), str)]
    headers |= {"Accept": "application/json", **dialect.headers, **(more_headers or {})}
    if dialect.request_format == "query":
        url, encoded = f"{url}{'&' if '?' in url else '?'}{encoded}", ""
    elif dialect.request_format == "json":
        encoded = json.dumps(filled)
        headers["Content-Type"] = "application/json"
    else:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    kept = tuple(secret for secret in secrets if secret)
    return TokenRequest(url, headers, encoded.encode(), kept, cert, method=dialect.method)


# The parameters that a server's message must not carry any further.
_SECRET = (
    *("refresh_token", "client_assertion", "assertion", "subject_token", "actor_token"),
    *("code", "code_verifier", "device_code", "token"),
)
