"""Fetching what a server says of itself, and asking it in one's own time: discovery, revocation, logins.

Metadata is kept per process and issuer for an hour; when it cannot be had again, what is known goes on being used.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

import requests

from .child import at_birth
from .endpoint import TokenEndpoint
from .errors import ConfigurationError, InteractionRequired, TemporarilyUnavailable
from .exchange import Answer
from .rules.flow import challenges
from .rules.interaction import interaction_of
from .rules.metadata import Metadata, read_metadata, read_resource_metadata, resource_metadata_of, well_known
from .rules.origins import is_loopback, origin_of
from .rules.token_request import TokenRequest

KEPT = 3600.0  # seconds; endpoints move seldom, and RFC 8414 says nothing of caching
TRY_AGAIN = 10.0  # seconds after a failure in which nobody asks again, when there is older metadata to go on with
LOOK_UP = 4.0  # seconds for all of a discovery: it happens under a claim, whose lease is five


@dataclass(frozen=True, slots=True)
class Server:
    """One authorization server, as far as it was configured; everything else it is asked itself.

    Attributes:
        by_hand: metadata that was given; it wins over what is found.
    """

    issuer: str | None
    by_hand: Metadata
    allow_http: bool = False
    session: requests.Session | None = None

    def __post_init__(self) -> None:
        if self.issuer is not None:
            check_url("issuer", well_known(self.issuer)[0], self.allow_http)
        for name, value in self.by_hand.members().items():
            if name.endswith("_endpoint"):
                check_url(name, value, self.allow_http)

    def metadata(self) -> Metadata:
        """All that is known; asks the issuer unless it said so within the hour.

        Raises:
            ConfigurationError: the issuer has no metadata, or another issuer's.
            TemporarilyUnavailable: it cannot be reached.
        """
        if self.issuer is None:
            return self.by_hand
        return self.by_hand.over(_found(self.issuer, self.session))

    def endpoint(self, name: str, *, mutual_tls: bool = False) -> str:
        """The URL of an endpoint, by its name in RFC 8414.

        Raises:
            ConfigurationError: there is none; the message says where it could come from.
        """
        url = None
        if not mutual_tls:  # whoever gave the URL by hand needs no discovery for it
            url = self.by_hand.endpoint(name)
        if url is None:
            url = self.metadata().endpoint(name, mutual_tls=mutual_tls)
        if url is None:
            where = f"{self.issuer} has no {name}" if self.issuer else f"no {name} is known"
            raise ConfigurationError(f"{where}: give issuer= or metadata={{{name!r}: 'https://...'}}")
        check_url(name, url, self.allow_http)
        return url


def check_url(name: str, url: object, allow_http: bool) -> None:
    """Whether secrets may go there.

    Raises:
        ConfigurationError: it is no absolute http(s) URL, or plain http beyond this machine.
    """
    origin = origin_of(url) if isinstance(url, str) else None
    if origin is None or origin.partition(":")[0] not in ("http", "https"):
        raise ConfigurationError(f"{name} must be an absolute http(s) URL, such as https://auth.example.com/token")
    if origin.startswith("http:") and not is_loopback(origin) and not allow_http:
        raise ConfigurationError(f"{name} must be https: client secrets and refresh tokens go there (RFC 6749 3.2)")


def ask(endpoint: TokenEndpoint, request: TokenRequest) -> Answer:
    """One request in the caller's own time: whole answers only, within the endpoint's total time.

    Raises:
        TemporarilyUnavailable: there was no complete answer.
    """
    exchange = endpoint.begin(request, lambda: True)
    threading.Thread(target=exchange.run, name="oauth-session-ask", daemon=True).start()
    try:
        if not exchange.finished.wait(endpoint.timeout):
            exchange.abort(f"no complete answer within {endpoint.timeout:g} s")
            exchange.finished.wait(1.0)
    except BaseException:  # Ctrl-C: the connection must not go on without us
        exchange.abort("interrupted")
        raise
    if exchange.answer is None:
        host = origin_of(request.url) or "the server"
        raise TemporarilyUnavailable(f"{host} cannot be reached or does not answer: {exchange.reason}")
    return exchange.answer


def interaction_required(response: requests.Response) -> InteractionRequired | None:
    """What a refusal wants of the person, as an error to raise or to log in with (`.params()`); None: nothing.

    It reads the challenge alone (RFC 9470 section 3, RFC 6750 section 3.1, the claims of CAE), and fetches nothing.
    """
    return interaction_of(challenges(response))


def about_api(response: requests.Response, *, session: requests.Session | None = None) -> dict[str, Any]:
    """What an API that refused says of itself (RFC 9728), such as its `authorization_servers`: to be shown to somebody.

    Nothing follows from it here: whom to trust is the caller's to decide. It is fetched from the API's own origin only.

    Args:
        session: fetches it; a plain one of our own if None.

    Raises:
        ConfigurationError: it says nothing, or nothing about the URL that was called.
        TemporarilyUnavailable: it cannot be reached.
    """
    called = (response.request.url or "").partition("#")[0]
    url = resource_metadata_of(challenges(response))
    if url is None or origin_of(url) is None or origin_of(url) != origin_of(called):
        raise ConfigurationError("the refusal names no metadata of its own origin (RFC 9728)")
    endpoint = TokenEndpoint(session, LOOK_UP)
    try:
        answer = ask(endpoint, TokenRequest(url, {"Accept": "application/json"}, b"", method="GET"))
    finally:
        endpoint.close()
    found = read_resource_metadata(called, answer.status, answer.body)
    if isinstance(found, str):
        raise ConfigurationError(f"the API's metadata is not used: {found} (RFC 9728 section 3.3)")
    return found


class _Kept:
    """What is known of one issuer; `until` on the monotonic clock."""

    def __init__(self) -> None:
        self.lock = threading.Lock()  # guards the other two: one looks up, the others wait
        self.metadata: Metadata | None = None
        self.until = 0.0


_kept: dict[str, _Kept] = {}


def forget() -> None:
    """Everything that was found; it is looked up again when needed."""
    _kept.clear()


def _found(issuer: str, session: requests.Session | None) -> Metadata:
    kept = _kept.setdefault(issuer, _Kept())
    with kept.lock:
        if kept.metadata is not None and time.monotonic() < kept.until:
            return kept.metadata
        try:
            found = _look_up(issuer, session)
        except (ConfigurationError, TemporarilyUnavailable):
            if kept.metadata is None:
                raise
            kept.until = time.monotonic() + TRY_AGAIN
            return kept.metadata
        kept.metadata, kept.until = found, time.monotonic() + KEPT
        return found


def _look_up(issuer: str, session: requests.Session | None) -> Metadata:
    reasons = []
    end = time.monotonic() + LOOK_UP
    for url in well_known(issuer):
        endpoint = TokenEndpoint(session, max(0.1, end - time.monotonic()))
        try:
            answer = ask(endpoint, TokenRequest(url, {"Accept": "application/json"}, b"", method="GET"))
        finally:
            endpoint.close()
        if answer.status >= 500 or answer.status == 429:
            raise TemporarilyUnavailable(f"{url} answers HTTP {answer.status}")
        found = read_metadata(issuer, answer.status, answer.body)
        if isinstance(found, Metadata):
            return found
        reasons.append(f"{url}: {found}")
    raise ConfigurationError(f"issuer {issuer!r} has no metadata of its own ({'; '.join(reasons)})")


def _after_fork() -> None:
    forget()


at_birth(_after_fork)
