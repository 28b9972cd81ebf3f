"""Proxies and CA bundle from the environment: asked of requests once, and again when the variables have changed.

More than half of the CPU of a request goes into looking these up. Every answer here is requests' own; it is given
again only while all that it was made of is the same: the variables, the origin, the call's `no_proxy`, and requests
itself (somebody may have patched it).
"""

from __future__ import annotations

import os
import sys
import urllib.request
from collections import OrderedDict
from collections.abc import Callable
from operator import itemgetter
from typing import Any

import requests

# what they import from elsewhere is looked up there, too, and they leave it unexported
sessions: Any = requests.sessions
utils: Any = requests.utils
library: Any = urllib.request

MOST = 1024  # origins that are remembered
_PLAIN = requests.Session.merge_environment_settings

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


def _is_own(function: Any) -> bool:
    """Whether it is its library's, and not what somebody had put in its place before we were imported."""
    home = sys.modules.get(getattr(function, "__module__", None) or "")
    return home is not None and getattr(function, "__globals__", None) is vars(home) and _of_library(home.__name__)


def _of_library(name: str) -> bool:
    return name.partition(".")[0] in ("requests", "urllib")


_OWN = [pick(names) for names, pick in _PARTS]
_PATCHED_EARLY = not all(_is_own(part) for parts in (*_OWN, (_PLAIN,)) for part in parts)
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


def merged(
    plain: Callable[..., dict[str, Any]],
    session: requests.Session,
    url: Any,
    proxies: Any,
    stream: Any,
    verify: Any,
    cert: Any,
) -> dict[str, Any]:
    """What `plain`, the next `merge_environment_settings`, would return."""
    look = _looked() if session.trust_env and getattr(plain, "__func__", None) is _PLAIN else None
    no_proxy = proxies.get("no_proxy") if proxies else None
    if look is None or not (no_proxy is None or isinstance(no_proxy, str)):
        return plain(url, proxies, stream, verify, cert)
    found = _proxies(look, url, no_proxy)
    if found is None:
        return plain(url, proxies, stream, verify, cert)
    if proxies is not None:
        for scheme, proxy in found.items():
            proxies.setdefault(scheme, proxy)
    if verify is True or verify is None:
        verify = look.bundle or verify
    merge: Callable[..., Any] = sessions.merge_setting
    none = type(proxies) is dict is type(session.proxies) and not proxies and not session.proxies
    return {
        "proxies": OrderedDict() if none else merge(proxies, session.proxies),
        "stream": merge(stream, session.stream),
        "verify": merge(verify, session.verify),
        "cert": merge(cert, session.cert),
    }


def _looked() -> _Look | None:
    """What is remembered, after a look at the variables; None: requests must be asked."""
    global _last
    if _PATCHED_EARLY or [pick(names) for names, pick in _PARTS] != _OWN:
        return None
    variables = _variables()
    look = _last
    if look is None or look.variables != variables:
        if variables is None:
            return None
        look = _Look(variables)
        if look.variables != variables:  # another thread is changing them just now
            return None
        _last = look
    return look if look.complete else None


def _variables() -> dict[Any, Any] | None:
    """All variables in one dict, to be compared and copied at once; `os.environ` keeps one inside."""
    variables = getattr(os.environ, "_data", os.environ)
    return variables if type(variables) is dict else None


def _proxies(look: _Look, url: Any, no_proxy: str | None) -> dict[str, str] | None:
    """The proxies for this URL's origin, which is all that requests looks at; None: requests must be asked."""
    if type(url) is not str or (start := url.find("://")) < 0 or (end := url.find("/", start + 3)) < 0:
        return None
    origin = url[:end]
    found = look.proxies.get((origin, no_proxy))
    if found is None:
        if "@" in origin:  # no password stays here
            return None
        found = dict(sessions.get_environ_proxies(url, no_proxy=no_proxy))
        if look.variables == _variables():
            if len(look.proxies) >= MOST:
                look.proxies.clear()
            look.proxies[origin, no_proxy] = found
    return found
