"""Proof of possession (RFC 9449): a key that travels with the grant, a proof for each attempt, a nonce for each server.

The key stands in the token's `extra` as a private JWK, so it is stored, sealed and carried wherever the grant is.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from requests import PreparedRequest, Response

from .child import at_birth
from .errors import ConfigurationError
from .rules.origins import origin_of
from .rules.token_request import TokenRequest
from .signing import library, private_key, sign
from .tokens import DPOP_KEY, Token

HEADER, NONCE = "DPoP", "DPoP-Nonce"
_SENDABLE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,1024}")  # NQCHAR of RFC 6749, as section 8.1 says of nonces

_nonces: dict[str, str] = {}  # origin -> the newest; each server has its own (sections 8.2 and 9)


def new_key() -> str:
    """A private JWK for ES256, as JSON text."""
    jwt = library()
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    text: str = jwt.algorithms.ECAlgorithm.to_jwk(key)
    return json.dumps(
        {name: value for name, value in json.loads(text).items() if name in ("kty", "crv", "x", "y", "d")}
    )


@lru_cache(maxsize=256)
def _loaded(key: str) -> tuple[Any, dict[str, str]]:
    """The key, and its public half (section 4.2: no private part in the header)."""
    loaded, _ = private_key(key)
    members = json.loads(key)
    return loaded, {name: members[name] for name in ("kty", "crv", "x", "y") if name in members}


def proof(key: str, method: str, url: str, access_token: str | None = None) -> str:
    """A new proof, for one attempt (section 4.2); with the newest nonce of that server, if it has sent one."""
    loaded, public = _loaded(key)
    claims: dict[str, Any] = {
        "jti": secrets.token_urlsafe(18),
        "htm": method,
        "htu": _htu(url),
        "iat": int(time.time()),
    }
    if access_token is not None:
        digest = hashlib.sha256(access_token.encode()).digest()
        claims["ath"] = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    nonce = _nonces.get(origin_of(url) or "")
    if nonce is not None:
        claims["nonce"] = nonce
    return sign(claims, loaded, "ES256", {"typ": "dpop+jwt", "jwk": public})


def _htu(url: str) -> str:
    return re.sub(r"^([^/@?#]*//)[^/?#]*@", r"\1", re.split(r"[?#]", url)[0])


def is_bound(token: Token) -> bool:
    """Whether the token is of no use without its key."""
    return token.token_type.lower() == "dpop"


def prove(request: PreparedRequest, token: Token, access_token: str | None = None) -> None:
    """Put a new proof on a request to an API; nothing for a bearer token.

    Args:
        access_token: the one that travels, where that is a later one of the same grant.
    """
    if is_bound(token):
        key = str(token.extra[DPOP_KEY])
        request.headers[HEADER] = proof(
            key, request.method or "", request.url or "", access_token or token.access_token
        )


def is_of_another_request(request: PreparedRequest) -> bool:
    """Whether the proof on it is: a plain session takes the first one along when it follows a redirect."""
    try:
        payload = str(request.headers[HEADER]).split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return bool((claims["htm"], claims["htu"]) != (request.method, _htu(request.url or "")))
    except (LookupError, TypeError, ValueError):
        return False


def listen(response: Response) -> None:
    """Keep the nonce that came with any answer of an API (section 8.2)."""
    _note(response.request.url or "", response.headers)


def _note(url: str, headers: Mapping[str, str]) -> None:
    nonce, origin = headers.get(NONCE), origin_of(url)
    if nonce is not None and origin is not None and _SENDABLE.fullmatch(nonce):
        _nonces[origin] = nonce


def asked_again(
    url: str, make: Callable[[], TokenRequest], *, first: bool
) -> Callable[[int, Mapping[str, str], bytes], TokenRequest | None]:
    """For `TokenRequest.again`: keeps the nonce of any answer; the same once more where only the nonce was wrong."""

    def again(status: int, headers: Mapping[str, str], body: bytes) -> TokenRequest | None:
        _note(url, headers)  # another thread may have heard it meanwhile: the refused request was made before
        if not first or headers.get(NONCE) is None or status not in (400, 401):
            return None
        try:
            data = json.loads(body)
        except (ValueError, RecursionError):
            return None
        wanted = isinstance(data, dict) and data.get("error") == "use_dpop_nonce"
        return make() if wanted else None

    return again


def key_of(extra: Mapping[str, Any]) -> str:
    """The grant's key.

    Raises:
        ConfigurationError: it has none.
    """
    key = extra.get(DPOP_KEY)
    if not isinstance(key, str) or not key:
        raise ConfigurationError(
            f"this grant has no key for DPoP: log in with dpop=True, or bring the key in the token's extra[{DPOP_KEY!r}]"
        )
    return key


def _after_fork() -> None:
    _nonces.clear()


at_birth(_after_fork)
