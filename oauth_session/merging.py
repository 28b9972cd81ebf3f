"""Merging a call's settings with the session's, without the work where there is nothing to merge.

The results are requests' own. Where somebody has patched it, or a class in between has something to say, it is called
as it stands.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from requests import PreparedRequest, Request, Session
from requests.structures import CaseInsensitiveDict

from .environment import is_own, is_patched, look_up, sessions

_PREPARE, _SETTINGS = Session.prepare_request, Session.merge_environment_settings
_OWN = is_own(_PREPARE) and is_own(_SETTINGS)


def prepared(plain: Callable[[Request], PreparedRequest], session: Session, request: Request) -> PreparedRequest:
    """What `plain`, the next `prepare_request`, returns; `request` is ours to change.

    Where neither side has parameters there is no query, and where the call has no headers the session's are sent;
    requests takes long to find that out. It copies the headers that it is given here.
    """
    if _is_plain(plain, _PREPARE):
        if _is_empty(request.params) and _is_empty(session.params):
            request.params = ""
        if _is_empty(request.headers) and type(session.headers) is CaseInsensitiveDict and not _takes_away(session):
            request.headers = None  # type: ignore[assignment]  # requests takes None, as its constructor does
    return plain(request)


def environment_settings(
    plain: Callable[..., dict[str, Any]], session: Session, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any
) -> dict[str, Any]:
    """What `plain`, the next `merge_environment_settings`, returns."""
    no_proxy = proxies.get("no_proxy") if proxies else None
    known = None
    if session.trust_env and (no_proxy is None or isinstance(no_proxy, str)) and _is_plain(plain, _SETTINGS):
        known = look_up(url, no_proxy)
    if known is None:
        return plain(url, proxies, stream, verify, cert)
    found, bundle = known
    if proxies is not None:
        for scheme, proxy in found.items():
            proxies.setdefault(scheme, proxy)
    if verify is True or verify is None:
        verify = bundle or verify
    merge: Callable[..., Any] = sessions.merge_setting
    nothing = _is_empty(proxies) and _is_empty(session.proxies)
    return {
        "proxies": OrderedDict() if nothing else merge(proxies, session.proxies),
        "stream": merge(stream, session.stream),
        "verify": merge(verify, session.verify),
        "cert": merge(cert, session.cert),
    }


def _is_plain(method: Any, own: Any) -> bool:
    return _OWN and getattr(method, "__func__", None) is own and not is_patched()


def _takes_away(session: Session) -> bool:
    """Whether a header is None, so that it is not to be sent."""
    return any(value is None for value in session.headers.values())


def _is_empty(value: Any) -> bool:
    return type(value) is dict and not value
