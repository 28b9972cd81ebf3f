"""What is signed: client assertions (RFC 7523, OpenID Connect Core 9) and the keys for it. Needs the extra `crypto`.

The library is imported when something is signed: who signs nothing needs nothing.
"""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import ConfigurationError
from .reveal import reveal
from .rules.grants import JWT_BEARER, About, Form, Text, text_of

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASYMMETRIC = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
SYMMETRIC = ("HS256", "HS384", "HS512")
LIFETIME = 60.0  # seconds; an assertion is made for one attempt and used at once

Key = str | Mapping[str, Any] | Callable[[], str]


def library() -> Any:
    """PyJWT.

    Raises:
        ConfigurationError: it is not installed; the message says how to get it.
    """
    try:
        import cryptography  # noqa: F401
        import jwt
    except ImportError:
        raise ConfigurationError("signing needs the extra crypto: pip install 'oauth-session[crypto]'") from None
    return jwt


def private_key(key: Key) -> tuple[Any, str | None]:
    """A private key, and its `kid` if it has one, from PEM text or from a JWK, as a mapping or as JSON.

    Raises:
        ConfigurationError: it is none. No part of it is shown.
    """
    jwt = library()
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    text = key if isinstance(key, Mapping) else reveal(key, "the key")
    loaded, name = None, None
    try:
        if isinstance(text, str) and text.lstrip().startswith("{"):
            text = json.loads(text)
        if isinstance(text, Mapping):
            loaded, name = jwt.PyJWK.from_dict(dict(text)).key, text.get("kid")
        elif text:
            loaded = load_pem_private_key(text.encode(), None)
    except Exception:  # whose messages may quote the key
        loaded = None
    if not hasattr(loaded, "private_bytes"):
        raise ConfigurationError("the key must be an unencrypted private key, as PEM text or as a JWK") from None
    return loaded, name if isinstance(name, str) else None


def algorithm_of(key: Any) -> str:
    """The usual algorithm for a private key."""
    name = type(key).__name__.lower()
    if "rsa" in name:
        return "RS256"
    if "ed25519" in name or "ed448" in name:
        return "EdDSA"
    curves = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
    return curves.get(getattr(getattr(key, "curve", None), "name", ""), "ES256")


def sign(claims: Mapping[str, Any], key: Any, algorithm: str, headers: Mapping[str, Any] | None = None) -> str:
    """A compact JWS over the claims.

    Raises:
        ConfigurationError: this key cannot sign with this algorithm.
    """
    jwt = library()
    try:
        # not jwt.encode(): it warns of short secrets, whose length is the server's matter, and filters of warnings are
        # not for a thread to change
        method = jwt.PyJWS().get_algorithm_by_name(algorithm)
        head = {"typ": "JWT", "alg": algorithm, **(headers or {})}
        parts = b".".join(_encoded(json.dumps(part, separators=(",", ":")).encode()) for part in (head, dict(claims)))
        signature = _encoded(method.sign(parts, method.prepare_key(key)))
        return f"{parts.decode()}.{signature.decode()}"
    except Exception as error:
        kind = type(error).__name__
    raise ConfigurationError(f"this key cannot sign with {algorithm} ({kind})")  # here: the other may quote the key


def _encoded(part: bytes) -> bytes:
    return base64.urlsafe_b64encode(part).rstrip(b"=")


def _timed(claims: Mapping[str, Any]) -> dict[str, Any]:
    """With an end and a new name: a `jti` that the server has seen is refused (RFC 7523 section 3)."""
    now = int(time.time())
    return dict(claims) | {"iat": now, "exp": now + int(LIFETIME), "jti": secrets.token_urlsafe(24)}


def _assertion(client_id: str, audience: str, key: Any, algorithm: str, headers: Mapping[str, Any]) -> dict[str, str]:
    """A new one for each attempt."""
    signed = sign(_timed({"iss": client_id, "sub": client_id, "aud": audience}), key, algorithm, headers)
    return {"client_id": client_id, "client_assertion_type": ASSERTION_TYPE, "client_assertion": signed}


@dataclass(frozen=True, slots=True)
class PrivateKeyJwt:
    """Client authentication by a signature: ``private_key_jwt`` (RFC 7523, OpenID Connect Core 9).

    Attributes:
        key: a private key as PEM text or JWK; ``env:NAME``, ``file:PATH`` or a callable keep it out of the program.
        algorithm: RS, PS or ES with 256, 384 or 512, or EdDSA; the key's usual one if None.
        key_id: the `kid` by which the server finds the public key; a JWK's own if None.
        audience: what stands in `aud`; the issuer when it is known, else the token endpoint, if None.
    """

    key: Key = field(repr=False, hash=False)
    algorithm: str | None = None
    key_id: str | None = None
    audience: str | None = None
    name = "private_key_jwt"
    cert = None

    def __post_init__(self) -> None:
        if self.algorithm is not None and self.algorithm not in ASYMMETRIC:
            raise ConfigurationError(f"private_key_jwt signs with one of {', '.join(ASYMMETRIC)}")
        if not self.key:
            raise ConfigurationError("private_key_jwt needs a key, as PEM text or as a JWK")

    def params(self, client_id: str, client_secret: str | None, audience: str) -> dict[str, str]:
        """A fresh assertion."""
        key, own = private_key(self.key)
        headers = {"kid": self.key_id or own} if self.key_id or own else {}
        return _assertion(client_id, self.audience or audience, key, self.algorithm or algorithm_of(key), headers)


@dataclass(frozen=True, slots=True)
class ClientSecretJwt:
    """Client authentication by a keyed hash with the client's secret: ``client_secret_jwt`` (OpenID Connect Core 9).

    Attributes:
        algorithm: HS256, HS384 or HS512.
        audience: as in `PrivateKeyJwt`.
    """

    algorithm: str = "HS256"
    audience: str | None = None
    name = "client_secret_jwt"
    cert = None

    def __post_init__(self) -> None:
        if self.algorithm not in SYMMETRIC:
            raise ConfigurationError(f"client_secret_jwt signs with one of {', '.join(SYMMETRIC)}")

    def params(self, client_id: str, client_secret: str | None, audience: str) -> dict[str, str]:
        """A fresh assertion."""
        if not client_secret:
            raise ConfigurationError("client_auth client_secret_jwt needs a client_secret")
        return _assertion(client_id, self.audience or audience, client_secret, self.algorithm, {})


@dataclass(frozen=True, slots=True)
class MutualTls:
    """Client authentication by the client's certificate (RFC 8705): `tls_client_auth`, or a self-signed one.

    Tokens may be bound to the certificate: give the session that calls the API the same one, as requests' `cert`.

    Attributes:
        cert: the path of a PEM file with certificate and key, or of the two, as requests takes it.
        self_signed: the certificate itself was registered, not its subject.
    """

    cert: str | tuple[str, str]
    self_signed: bool = False

    @property
    def name(self) -> str:
        """The registered name."""
        return "self_signed_tls_client_auth" if self.self_signed else "tls_client_auth"

    def params(self, client_id: str, client_secret: str | None, audience: str) -> dict[str, str]:
        """RFC 8705 section 2: the `client_id` says whose certificate it is."""
        return {"client_id": client_id}


@dataclass(frozen=True, slots=True)
class SignedJwtBearer:
    """A JWT bearer grant whose assertion is signed here, as service accounts do (RFC 7523 section 2.1).

    Attributes:
        key, algorithm, key_id: as in `PrivateKeyJwt`.
        issuer: who signs; the client_id if None.
        subject: for whom the token shall be; a callable is given the grant's id.
        audience: the issuer when it is known, else the token endpoint, if None.
        claims: more claims, such as the scope where a server wants it there.
    """

    key: Key = field(repr=False, hash=False)
    subject: Text
    issuer: str | None = None
    audience: str | None = None
    algorithm: str | None = None
    key_id: str | None = None
    claims: tuple[tuple[str, Any], ...] | Mapping[str, Any] = field(default=(), hash=False)
    grant_type = JWT_BEARER

    def form(self, about: About) -> Form:
        """A fresh assertion, good for a minute."""
        key, own = private_key(self.key)
        headers = {"kid": self.key_id or own} if self.key_id or own else {}
        claims = dict(self.claims) | {
            "iss": self.issuer or about.client_id,
            "sub": text_of(self.subject, about.grant_id, "subject"),
            "aud": self.audience or about.audience,
        }
        return {"assertion": sign(_timed(claims), key, self.algorithm or algorithm_of(key), headers)}
