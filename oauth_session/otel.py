"""OpenTelemetry: renewals as spans and metrics. It needs the extra ``otel``.

``OAuthClient(..., on_event=OpenTelemetry())``; spans stand below the request that began the renewal. Names follow the
semantic conventions' rules for attributes of one's own; ``error.type`` is theirs.
"""

from __future__ import annotations

import threading

from opentelemetry import metrics, trace
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, TracerProvider

from ._version import __version__
from .events import Event, OfRenewal, RenewalEnded

OPEN_MOST = 1000  # spans of renewals whose end was not told; the oldest is forgotten
# The semantic conventions' for HTTP requests, and on to a caller's deadline; the SDK's own are for milliseconds.
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 30.0, 60.0)
_GOOD = ("refreshed", "adopted", "unpersisted")


class OpenTelemetry:
    """A listener that makes spans and metrics of events; safe for threads, one serves any number of clients.

    * Span ``oauth_session.renewal`` (internal): from the beginning of a renewal to its end, with the attributes
      ``oauth_session.outcome``, ``oauth_session.generation``, ``oauth_session.token_requests``, ``oauth_session.early``, and
      ``error.type`` (the outcome) with the status ERROR where no token came of it.
    * Histogram ``oauth_session.renewal.duration`` in seconds, by ``oauth_session.outcome``, ``oauth_session.early``
      (nobody waited) and ``error.type``.
    * Counter ``oauth_session.events``: every other event, by ``oauth_session.event``, and by ``oauth_session.outcome`` where
      there is one; also noted on the span of the request that it happened to, unless that has ended.

    Args:
        tracer_provider, meter_provider: where spans and metrics go; the global ones if None.
        grant_ids: put ``oauth_session.grant`` on spans; off, since it may name a customer. Never on metrics.
    """

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        grant_ids: bool = False,
    ) -> None:
        self._tracer = trace.get_tracer("oauth_session", __version__, tracer_provider)
        meter = metrics.get_meter("oauth_session", __version__, meter_provider)
        self._duration = meter.create_histogram(
            "oauth_session.renewal.duration",
            "s",
            "From the beginning of a renewal to its end",
            explicit_bucket_boundaries_advisory=BOUNDS,
        )
        self._events = meter.create_counter("oauth_session.events", "{event}", "What happened beside renewals")
        self._grant_ids = grant_ids
        self._lock = threading.Lock()  # guards _open
        self._open: dict[str, Span] = {}

    def __call__(self, event: Event) -> None:
        if isinstance(event, RenewalEnded):
            self._end(event)
        elif isinstance(event, OfRenewal):
            self._begin(event)
        else:
            found = {"oauth_session.event": event.name}
            if event.outcome:
                found["oauth_session.outcome"] = event.outcome
            self._events.add(1, found)
            span = trace.get_current_span()
            if span.is_recording():  # a renewal in advance outlives the request that began it
                span.add_event(f"oauth_session.{event.name}", found)

    def _begin(self, event: OfRenewal) -> None:
        span = self._tracer.start_span("oauth_session.renewal", kind=SpanKind.INTERNAL)
        if self._grant_ids:
            span.set_attribute("oauth_session.grant", event.grant)
        with self._lock:
            self._open[event.renewal] = span
            forgotten = self._open.pop(next(iter(self._open))) if len(self._open) > OPEN_MOST else None
        if forgotten is not None:
            forgotten.end()

    def _end(self, event: RenewalEnded) -> None:
        found: dict[str, str] = {"oauth_session.outcome": event.outcome}
        if event.outcome not in _GOOD:
            found["error.type"] = event.outcome
        self._duration.record(event.seconds, {**found, "oauth_session.early": event.early})
        with self._lock:
            span = self._open.pop(event.renewal, None)
        if span is None:
            return
        span.set_attributes({**found, "oauth_session.token_requests": event.asked, "oauth_session.early": event.early})
        if event.generation is not None:
            span.set_attribute("oauth_session.generation", event.generation)
        if "error.type" in found:
            span.set_status(Status(StatusCode.ERROR, event.reason or None))
        span.end()
