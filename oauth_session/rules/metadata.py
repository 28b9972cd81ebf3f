"""What a server says of itself: RFC 8414, OpenID Connect Discovery, and RFC 9728 for APIs; reading, not fetching."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ..errors import ConfigurationError
from .challenges import parse_challenges

_RFC8414, _OIDC = "oauth-authorization-server", "openid-configuration"


@dataclass(frozen=True, slots=True)
class Metadata:
    """An authorization server's metadata, in the names of RFC 8414; hashable, and compared by content.

    Attributes:
        text: the members as JSON text.
    """

    text: str = "{}"

    @classmethod
    def of(cls, value: Mapping[str, Any] | Metadata | None) -> Metadata:
        """From a mapping that was given by hand.

        Raises:
            ConfigurationError: it is no mapping, or an endpoint in it is no text.
        """
        if isinstance(value, Metadata):
            return value
        if value is not None and not isinstance(value, Mapping):
            raise ConfigurationError("metadata must be a mapping with the names of RFC 8414, such as token_endpoint")
        for name, entry in (value or {}).items():
            if name.endswith("_endpoint") and not (isinstance(entry, str) and entry):
                raise ConfigurationError(f"metadata: {name} must be a URL")
        try:
            return cls(json.dumps(dict(value or {}), sort_keys=True))
        except (TypeError, ValueError):
            raise ConfigurationError("metadata must be JSON values") from None

    def members(self) -> dict[str, Any]:
        """All of it."""
        members: dict[str, Any] = json.loads(self.text)
        return members

    def endpoint(self, name: str, *, mutual_tls: bool = False) -> str | None:
        """An endpoint's URL; with mutual TLS the alias comes first (RFC 8705 section 5)."""
        members = self.members()
        aliases = members.get("mtls_endpoint_aliases")
        alias = aliases.get(name) if mutual_tls and isinstance(aliases, dict) else None
        url = alias or members.get(name)
        return url if isinstance(url, str) and url else None

    def flag(self, name: str) -> bool:
        """A boolean member; only true is true."""
        return self.members().get(name) is True

    def listed(self, name: str) -> list[str] | None:
        """A list of texts; None when absent."""
        value = self.members().get(name)
        return [entry for entry in value if isinstance(entry, str)] if isinstance(value, list) else None

    def over(self, other: Metadata) -> Metadata:
        """These members over the other's."""
        return Metadata(json.dumps(other.members() | self.members(), sort_keys=True))


def well_known(issuer: str) -> tuple[str, ...]:
    """Where an issuer's metadata may be, the likeliest first (RFC 8414 sections 3.1 and 5).

    Raises:
        ConfigurationError: this can be no issuer (RFC 8414 section 2).
    """
    if not isinstance(issuer, str) or "?" in issuer or "#" in issuer:
        raise ConfigurationError("issuer must be a URL without query and fragment (RFC 8414 section 2)")
    parts = urlsplit(issuer)
    if parts.scheme not in ("http", "https") or not parts.netloc or "@" in parts.netloc:
        raise ConfigurationError("issuer must be an absolute URL such as https://auth.example.com")
    host, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    urls = [f"{host}/.well-known/{_RFC8414}{path}", f"{host}{path}/.well-known/{_OIDC}"]
    if path:
        urls.append(f"{host}/.well-known/{_OIDC}{path}")
    return tuple(urls)


def read_metadata(issuer: str, status: int, body: bytes) -> Metadata | str:
    """The document, or why it is none. Its `issuer` must be the very one that was asked for (RFC 8414 section 3.3)."""
    if status != 200:
        return f"HTTP {status}"
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return "no JSON"
    if not isinstance(data, dict):
        return "no JSON object"
    if data.get("issuer") != issuer:
        return f"it names another issuer, {str(data.get('issuer')).partition('?')[0][:200]!r}"
    return Metadata(json.dumps(data, sort_keys=True))


def resource_metadata_of(www_authenticate: Iterable[str]) -> str | None:
    """Where an API says its metadata is (RFC 9728 section 5.1). To be shown, never followed by itself."""
    for challenge in parse_challenges(www_authenticate):
        url = challenge.params.get("resource_metadata")
        if url and url.startswith(("https://", "http://")) and url.isprintable() and len(url) < 2000:
            return url
    return None


def read_resource_metadata(resource: str, status: int, body: bytes) -> dict[str, Any] | str:
    """An API's metadata, or why it is not to be used: `resource` must be the very URL asked (RFC 9728 section 3.3)."""
    try:
        data = json.loads(body) if status == 200 else None
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        return f"no metadata (HTTP {status})"
    if data.get("resource") != resource:
        return "it is about another resource"
    return data
