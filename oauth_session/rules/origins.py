"""Where a token may go: origins (RFC 6454 section 4), compared as parsed, never as text prefixes (RFC 9700 4.9.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, ip_address
from urllib.parse import urlsplit

from urllib3.util import parse_url

from ..errors import ConfigurationError

_DEFAULT_PORTS = {"http": 80, "https": 443}
# Everything up to the path. A backslash ends an authority for urllib3 and continues it for urllib.parse, which
# requests uses to connect; blanks and control characters are cut out by one and refused by the other: no match then.
_AUTHORITY = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*+)://([^/?#\\\x00-\x20\x7f-\xa0]++)(?=[/?#]|\Z)")
_LOOPBACK = IPv4Network("127.0.0.0/8")


def origin_of(url: str) -> str | None:
    """Give ``scheme://host:port`` in lower case with the port always named, or None when there is no certain host.

    The host is the one that requests would connect to. Whatever its two parsers could read differently is None:
    backslashes, control characters, blanks, percent-encoding in the host, port 0. User-info is passed over. Schemes
    other than http and https have no default port, so theirs is named only if the URL names it.
    """
    match = _AUTHORITY.match(url)
    if match is None:
        return None
    # User-info is cut off before the cache, so that no password stays in it.
    return _origin(match.group(1).lower(), match.group(2).rpartition("@")[2])


@lru_cache(maxsize=1024)
def _origin(scheme: str, host_and_port: str) -> str | None:
    url = f"{scheme}://{host_and_port}/"
    try:
        parsed = parse_url(url)
        host, port = parsed.host, parsed.port
        # The second opinion: how requests' adapter reads it. It also refuses what NFKC turns into a separator.
        other = urlsplit(url)
        if not host or port == 0 or other.port != port or (scheme in _DEFAULT_PORTS and "%" in host_and_port):
            return None
        if host_and_port.isascii() and (other.hostname or "").lower() != host.lower().strip("[]"):
            return None
    except ValueError:
        return None
    port = port or _DEFAULT_PORTS.get(scheme)
    return f"{scheme}://{host.lower()}" + (f":{port}" if port else "")


@lru_cache(maxsize=1024)
def is_loopback(origin: str) -> bool:
    """Whether an origin is on this machine by name: 127.0.0.0/8, [::1] or localhost (RFC 8252 section 8.3)."""
    host = urlsplit(origin).hostname or ""
    if host == "localhost":
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return address in _LOOPBACK if address.version == 4 else address == ip_address("::1")


@dataclass(frozen=True, slots=True)
class Guard:
    """Says which URLs a token may travel to.

    Attributes:
        origins: the allowed origins, or None for any that the caller names (``"*"``).
        allow_http: let the token travel over plain http to hosts other than loopback.
    """

    origins: frozenset[str] | None
    allow_http: bool = False

    def allows(self, url: str) -> bool:
        """Whether the token may go to this URL (RFC 6750 section 5.3: TLS; RFC 9700 section 4.9.1: known servers)."""
        origin = origin_of(url)
        if origin is None or (self.origins is not None and origin not in self.origins):
            return False
        return not origin.startswith("http://") or self.allow_http or is_loopback(origin)

    @classmethod
    def of(cls, base_url: str | None, origins: Iterable[str] | None, allow_http: bool = False) -> Guard:
        """Build a guard from the arguments of a session: ``origins`` is a list of URLs, ``"*"`` or None.

        Raises:
            ConfigurationError: nothing says where the token may go, or something that is said cannot be allowed.
        """
        anywhere = origins == "*"
        if isinstance(origins, str) and not anywhere:
            raise ConfigurationError('origins must be a list of URLs such as ["https://api.example.com"], or "*"')
        allowed = set()
        if base_url is not None:
            allowed.add(_checked("base_url", base_url, anywhere, allow_http))
        if origins is not None and not isinstance(origins, Iterable):
            raise ConfigurationError(f'origins must be a list of URLs, or "*", not {type(origins).__name__}')
        for entry in () if anywhere or origins is None else origins:
            allowed.add(_checked("origins", entry, False, allow_http))
            if not re.fullmatch(r"[^/]*//[^/?#@]*/?", entry):
                raise ConfigurationError(
                    f"origins: {_shown(entry)} must be scheme, host and port only: an origin has no path, query or user"
                )
        if not allowed and not anywhere:
            raise ConfigurationError(
                "nothing says where the token may go: give base_url, or origins as a list of URLs, "
                'or origins="*" to send it to any URL that you request'
            )
        return cls(None if anywhere else frozenset(allowed), allow_http)


def _checked(name: str, url: object, any_scheme: bool, allow_http: bool) -> str:
    origin = origin_of(url) if isinstance(url, str) else None
    if origin is None:
        raise ConfigurationError(f"{name}: {_shown(url)} is not an absolute URL such as https://api.example.com/")
    scheme = origin.partition(":")[0]
    if scheme not in _DEFAULT_PORTS and not any_scheme:
        raise ConfigurationError(f'{name}: {_shown(url)} is neither https nor http; others need origins="*"')
    if scheme == "http" and not allow_http and not is_loopback(origin):
        raise ConfigurationError(
            f"{name}: http never carries a token, and {_shown(url)} is not on this machine; "
            "use https, or allow_http=True for a network that you trust"
        )
    return origin


def _shown(url: object) -> str:
    """A URL fit for a message: without user-info, query and fragment."""
    if not isinstance(url, str):
        return type(url).__name__
    return repr(re.sub(r"^([^/@]*//)?.*@", r"\1", re.split(r"[?#]", url)[0], flags=re.DOTALL))
