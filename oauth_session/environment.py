"""Proxies and CA bundle from the environment: asked of requests once, and again when the variables have changed.

More than half of the CPU of a request goes into looking these up. Every answer here is requests' own; it is given
again only while all that it was made of is the same: the variables, the origin, the call's `no_proxy`, and requests
itself (somebody may have patched it).
"""

from __future__ import annotations

import os
import sys
import urllib.request
from operator import itemgetter
from typing import Any

import requests

# what they import from elsewhere is looked up there, too, and they leave it unexported
sessions: Any = requests.sessions
utils: Any = requests.utils
library: Any = urllib.request

MOST = 1024  # origins that are remembered
_NAMES: tuple[tuple[Any, tuple[str, ...]], ...] = (
    (sessions, ("get_environ_proxies", "merge_setting")),
    (
        utils,
        (
            "address_in_network",
            "getproxies",
            "is_ipv4_address",
            "is_valid_cidr",
            "proxy_bypass",
            "should_bypass_proxies",
            "urlparse",
        ),
    ),
    (library, ("getproxies", "getproxies_environment", "proxy_bypass", "proxy_bypass_environment")),
)
_PARTS = [(vars(module), itemgetter(*names)) for module, names in _NAMES]


def is_own(function: Any) -> bool:
    """Whether it is its library's, and not what somebody had put in its place before we were imported."""
    home = sys.modules.get(getattr(function, "__module__", None) or "")
    if home is None or home.__name__.partition(".")[0] not in ("requests", "urllib"):
        return False
    return getattr(function, "__globals__", None) is vars(home)  # a wrapper bears the name, but has a home of its own


_OWN = [pick(names) for names, pick in _PARTS]
_PATCHED_EARLY = not all(is_own(part) for parts in _OWN for part in parts)
# macOS and Windows have further sources, which are asked where the variables name no proxy
_FURTHER_SOURCES = (utils.getproxies, utils.proxy_bypass) != (
    library.getproxies_environment,
    library.proxy_bypass_environment,
)


class _Look:
    """What was found while the variables were these."""

    __slots__ = ("bundle", "complete", "proxies", "variables")

    def __init__(self, variables: dict[Any, Any]) -> None:
        self.variables = variables.copy()
        self.bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
        self.complete = not _FURTHER_SOURCES or bool(library.getproxies_environment())
        self.proxies: dict[tuple[str, str | None], dict[str, str]] = {}


_last: _Look | None = None  # replaced whole, so that no lock is needed


def is_patched() -> bool:
    """Whether somebody has put something of their own in place of what requests would call."""
    return _PATCHED_EARLY or [pick(names) for names, pick in _PARTS] != _OWN


def look_up(url: Any, no_proxy: str | None) -> tuple[dict[str, str], str | None] | None:
    """The proxies for this URL (not to be written to) and the CA bundle; None: requests must be asked."""
    global _last
    variables, look = _variables(), _last
    if look is None or look.variables != variables:
        if variables is None:
            return None
        look = _Look(variables)
        if look.variables != variables:  # another thread is changing them just now
            return None
        _last = look
    found = _proxies(look, url, no_proxy) if look.complete else None
    return None if found is None else (found, look.bundle)


def _variables() -> dict[Any, Any] | None:
    """All variables in one dict, to be compared and copied at once; `os.environ` keeps one inside."""
    variables = getattr(os.environ, "_data", os.environ)
    return variables if type(variables) is dict else None


def _proxies(look: _Look, url: Any, no_proxy: str | None) -> dict[str, str] | None:
    if type(url) is not str or (start := url.find("://")) < 0 or (end := url.find("/", start + 3)) < 0:
        return None
    origin = url[:end]  # all that requests looks at
    found = look.proxies.get((origin, no_proxy))
    if found is None:
        if "@" in origin:  # no password stays here
            return None
        found = dict(sessions.get_environ_proxies(url, no_proxy=no_proxy))
        if look.variables != _variables():
            return None
        if len(look.proxies) >= MOST:
            look.proxies.clear()
        look.proxies[origin, no_proxy] = found
    return found
