"""Origins: where a token may go. Compared as parsed, never as text: `api.test` is also the start of `api.test.evil`."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from ..errors import ConfigurationError

_PORTS = {"http": 80, "https": 443}


def origin_of(url: str) -> str | None:
    """``scheme://host:port`` of a URL as urllib3 will connect to it; None if there is none.

    User information is no part of it. A backslash or a control character, which parsers disagree on, makes it None.
    """
    head, mark, rest = url.partition("://")
    if not mark:
        return None
    for stop in "/?#":
        rest = rest.partition(stop)[0]
    return _origin(f"{head}://{rest}")


@lru_cache(maxsize=1024)
def _origin(base: str) -> str | None:
    if "\\" in base or any(ord(c) <= 0x20 or ord(c) == 0x7F for c in base):
        return None
    try:
        parsed = parse_url(base)
    except LocationParseError:
        return None
    if not parsed.scheme or not parsed.host:
        return None
    scheme, host = parsed.scheme.lower(), parsed.host.lower().rstrip(".")
    if not host.isascii():
        try:
            host = host.encode("idna").decode()
        except UnicodeError:
            return None
    port = parsed.port if parsed.port is not None else _PORTS.get(scheme)
    return f"{scheme}://{host}:{'' if port is None else port}"


def is_loopback(origin: str) -> bool:
    """Whether an origin is this machine by its name alone: 127.0.0.0/8, [::1] or localhost (RFC 8252 7.3)."""
    host = origin.partition("://")[2].rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Guard:
    """Says which URLs a token may go to.

    Attributes:
        origins: the allowed ones, or None for any that the caller names.
        allow_http: whether plain http beyond loopback is allowed.
    """

    origins: frozenset[str] | None
    allow_http: bool = False

    @classmethod
    def of(cls, base_url: str | None, origins: Sequence[str] | str | None, allow_http: bool) -> Guard:
        """From what a user says.

        Raises:
            ConfigurationError: nothing is allowed, or an entry is no origin.
        """
        if origins == "*":
            return cls(None, allow_http)
        if isinstance(origins, str):
            raise ConfigurationError('origins must be a list of origins such as ["https://api.example.com"], or "*"')
        urls = ([] if base_url is None else [base_url]) + list(origins or ())
        if not urls:
            raise ConfigurationError(
                'say where the token may go: give base_url=, origins=[...], or origins="*" for any URL that you call'
            )
        allowed = set()
        for url in urls:
            origin = origin_of(url) if isinstance(url, str) else None
            if origin is None or origin.partition(":")[0] not in _PORTS:
                raise ConfigurationError("an origin must be an absolute http(s) URL, such as https://api.example.com")
            if url is not base_url and url.partition("://")[2].partition("/")[2]:
                raise ConfigurationError("an origin is scheme, host and port; a path after it would allow nothing less")
            if origin.startswith("http:") and not allow_http and not is_loopback(origin):
                raise ConfigurationError(
                    f"a token must not travel over plain http to {origin} (RFC 6750 5.3): use https, or allow_http=True"
                )
            allowed.add(origin)
        return cls(frozenset(allowed), allow_http)

    def allows(self, url: str) -> bool:
        """Whether a token may go to this URL."""
        origin = origin_of(url)
        if origin is None:
            return self.origins is None and "://" in url and not url.lower().startswith(("http:", "https:"))
        if self.origins is not None:
            return origin in self.origins
        return not origin.startswith("http:") or self.allow_http or is_loopback(origin)
