"""A provider on a real socket of 127.0.0.1: the token endpoint and the API of a `ProviderModel`, and their faults."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, Unpack
from urllib.parse import parse_qsl

from oauth_session.providers import Named, load_profile
from oauth_session.tokens import fingerprint

from .answers import Answer, error_answer, json_answer
from .consent import Front
from .faults import Fault, make_fault
from .manner import Form, Manner, Profiled
from .model import ProviderModel, Rules
from .resource import Recorded, Refusal, echo
from .wire import Delivery, Hangup, Request, Server

REMEMBERED = 10_000  # requests; the counters count on


class FakeProvider:
    """An authorization server with its API, for tests::

        with FakeProvider(lifetime=2) as provider:
            pair = provider.issue()
            requests.post(provider.token_url, data={"grant_type": "refresh_token", ...}, auth=(..., ...))
            requests.get(provider.api_url + "me", headers={"Authorization": "Bearer ..."})

    * ``POST /token``: the token endpoint.
    * ``/authorize``: a page where a person allows or denies; it answers the code flow with PKCE, for any ``redirect_uri``.
      `consent` does the same without a browser. `url` is the issuer, with metadata (RFC 8414) and ``POST /revoke``.
    * ``/api/...``, any method: 200 and ``{"method", "path", "query", "sha256", "length", "content_type", "token"}`` for a
      good bearer token, a refusal otherwise.
    * ``/api/forbidden...`` and ``/api/limited...``: the answers `forbidden` and `limited` for a good token (403 and 429
      unless set), a refusal otherwise.
    * ``/redirect?to=URL&status=302`` and ``/slow?seconds=1`` for anybody; below ``/api`` for a good token. ``/api/slow``
      judges the token when it arrives and answers later.

    Args:
        profile: a provider's name, the path of a profile, or a dict: it behaves as that says, in all of this: where the
            token is looked for, how token requests are read and answered, how an expired token, a permission, a rate
            limit and a dead refresh token are told, rotation, grace, lifetime. Other arguments win.
        refusal: how the API refuses: ``challenge`` (401 with ``WWW-Authenticate``; the default), ``bare401``, ``403`` (with
            an error body), ``body`` (200 with an error body), or a callable from the verdict to an `Answer`.
        token_latency: seconds that a token request takes, half of them before it is processed.
        api_latency: the same for the API.
        clock: seconds since the epoch.

    The others are those of `ProviderModel`. Attributes of the same names may be set while it runs; those of the model
    are set at `model`. It serves from construction until `close`.

    Attributes:
        model: the rules and their counters; hold `lock` to read several that must fit together.
        token_requests: requests to the token endpoint, those that a fault kept from the model included.
        api_requests: requests to the API.
        api_refusals: how many of them had no good token.
    """

    def __init__(
        self,
        *,
        profile: Named | None = None,
        refusal: Refusal | None = None,
        token_latency: float = 0.0,
        api_latency: float = 0.0,
        clock: Callable[[], float] = time.time,
        **rules: Unpack[Rules],
    ) -> None:
        if refusal is not None and not callable(refusal) and refusal not in ("challenge", "bare401", "403", "body"):
            raise ValueError(f"unknown refusal {refusal!r}")
        self.manner = Manner() if profile is None else Profiled(load_profile(profile))
        rules = {"seed": None, **self.manner.rules(), **rules}  # two providers of one test issue different tokens
        self.model = ProviderModel(**rules)
        self.client_id, self.client_secret = self.model.client_id, self.model.client_secret
        self.refusal, self.token_latency, self.api_latency = refusal or self.manner.refusal, token_latency, api_latency
        self.forbidden, self.limited = self.manner.forbidden, self.manner.limited
        self.token_requests = self.api_requests = self.api_refusals = 0
        self.lock = threading.Lock()  # guards the model, the faults, the counters and the records
        self._clock = clock
        self._faults: deque[Fault] = deque()
        self._records: deque[Recorded] = deque(maxlen=REMEMBERED)
        self._connections: dict[str, set[int]] = {"token": set(), "api": set()}
        self._server = Server(self)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.token_url, self.api_url = self.url + "/token", self.url + "/api/"
        self._front = Front(self.url, self.model)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="fake-provider", daemon=True
        )
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop, and close all connections. May be called twice."""
        if not self._server.closing.is_set():
            self._server.stop()
            self._thread.join()

    # -- what a test does to it

    def issue(self, *, scope: str | None = None) -> dict[str, Any]:
        """A resource owner logs in; the token response."""
        with self.lock:
            now = self._clock()
            return self.manner.issued(self.model.issue(now, scope=scope), now)

    def consent(self, url: str, *, allow: bool = True) -> str:
        """A resource owner opens this authorization URL and decides: where the browser is sent, with the answer."""
        with self.lock:
            return self._front.decide(dict(parse_qsl(url.partition("?")[2])), allow, self._clock())

    def expire(self) -> None:
        """All access tokens so far are refused from now on, as if expired."""
        with self.lock:
            self.model.expire()

    def revoke(self, family: int | None = None) -> None:
        """One login, or all logins so far, are revoked with all their tokens."""
        with self.lock:
            self.model.revoke(family)

    def hang_up(self) -> None:
        """Close all open connections, as a restart of the server would."""
        self._server.hang_up()

    def fault(
        self,
        kind: str | tuple[int, dict[str, str], bytes],
        *,
        times: int = 1,
        processed: bool | None = None,
        retry_after: str | float | None = None,
        interval: float = 0.15,
    ) -> None:
        """Queue a fault for the next token requests.

        Args:
            kind: an answer in place of the real one: ``500``, ``503``, ``429``, ``wrong_type`` (a JSON array), ``html_200``,
                ``html_error``, ``empty``, ``error_200``, or any (status, headers, body); or a mishap: ``drop_before``
                (closed before the request is processed), ``drop_after`` (processed, then closed without an answer),
                ``truncated`` (half the JSON, as if it were all), ``cut`` (half of what the head announces), ``drip``
                (byte by byte).
            times: for how many requests.
            processed: whether the server does what was asked for, so that the refresh token is spent. By default it
                does for all mishaps but ``drop_before``, and for no replaced answer.
            retry_after: a header of that name on a replaced answer; ``429`` has 1 by itself.
            interval: seconds between two bytes of a ``drip``.
        """
        one = make_fault(kind, processed, retry_after, interval)
        with self.lock:
            self._faults.extend([one] * times)

    def clear_faults(self) -> None:
        """Forget the faults that are still queued."""
        with self.lock:
            self._faults.clear()

    # -- what a test reads

    @property
    def requests(self) -> list[Recorded]:
        """The last requests, oldest first, in the order of their answers."""
        with self.lock:
            return list(self._records)

    def counters(self) -> dict[str, int | bool]:
        """All counters at one moment."""
        with self.lock:
            model = self.model
            return {
                "token_requests": self.token_requests,
                "token_calls": model.token_calls,
                "refresh_calls": model.refresh_calls,
                "generations": model.generations,
                "reuse_incidents": model.reuse_incidents,
                "client_credentials_calls": model.client_credentials_calls,
                "api_requests": self.api_requests,
                "api_refusals": self.api_refusals,
                "token_connections": len(self._connections["token"]),
                "api_connections": len(self._connections["api"]),
                "grant_alive": model.grant_alive(),
            }

    @property
    def token_connections(self) -> int:
        """TCP connections on which at least one token request came."""
        return len(self._connections["token"])

    @property
    def api_connections(self) -> int:
        """TCP connections on which at least one API request came."""
        return len(self._connections["api"])

    # -- what its server asks

    def deliver(self, request: Request) -> Delivery:
        """Answer one request; called on the thread of its connection."""
        path, _, query = request.target.partition("?")
        bearer = self.manner.token_of(request.headers)
        form = Form({})
        delivery: Delivery | None = None
        try:
            if path == "/token":
                form = self.manner.form(request)
                delivery = self._token(request, form)
            elif path.startswith("/api/"):
                delivery = Delivery(self._api(request, path, query, bearer))
            else:
                with self.lock:
                    shown = self._front.answer(request, path, query, self._clock())
                delivery = Delivery(shown or self._anybody(path, query) or error_answer(404, "not_found"))
            return delivery
        finally:
            record = Recorded(
                method=request.method,
                path=path,
                query=query,
                status=delivery.answer.status if delivery else None,
                token=None if bearer is None else fingerprint(bearer),
                authorization="authorization" in request.headers,
                length=len(request.body),
                sha256=request.sha256,
                connection=request.connection,
                headers=request.headers,
                form=form.params,
            )
            with self.lock:
                self._records.append(record)

    def _token(self, request: Request, form: Form) -> Delivery:
        with self.lock:
            self.token_requests += 1
            self._connections["token"].add(request.connection)
            fault = self._faults.popleft() if self._faults else None
        if form.wrong == "method_not_allowed":
            return Delivery(error_answer(405, form.wrong, headers={"Allow": "POST"}))

        def process() -> Answer:
            if form.wrong:
                return error_answer(400, "invalid_request", form.wrong)
            with self.lock:
                now, authorization = self._clock(), request.headers.get("authorization")
                return self.manner.token_answer(self.model.token(form.params, now, authorization=authorization), now)

        self._pause(self.token_latency / 2)
        delivery = fault.deliver(process) if fault else Delivery(process())
        self._pause(self.token_latency / 2)
        return delivery

    def _api(self, request: Request, path: str, query: str, bearer: str | None) -> Answer:
        self._pause(self.api_latency / 2)
        with self.lock:
            self.api_requests += 1
            self._connections["api"].add(request.connection)
            verdict = self.model.judge(bearer, self._clock())
            self.api_refusals += verdict != "good"
        self._pause(self.api_latency / 2)
        inner = self._anybody(path.removeprefix("/api"), query)  # first, so that a refusal of /api/slow is slow too
        if verdict != "good":
            return self.manner.refuse(self.refusal, verdict)
        if inner is not None:
            return inner
        if path.startswith("/api/forbidden"):
            return self.forbidden
        if path.startswith("/api/limited"):
            return self.limited
        return echo(request, path, query, bearer or "")

    def _anybody(self, path: str, query: str) -> Answer | None:
        arguments = dict(parse_qsl(query))
        if path == "/redirect":
            return Answer(int(arguments.get("status", "302")), {"Location": arguments.get("to", "/")}, b"")
        if path == "/slow":
            self._pause(float(arguments.get("seconds", "1")))
            return json_answer(200, {"slow": True})
        return None

    def _pause(self, seconds: float) -> None:
        if seconds > 0 and self._server.closing.wait(seconds):
            raise Hangup
