"""What happened is seen: as an event, a log line, a metric and a span; and no callback can break a request."""

from __future__ import annotations

import inspect
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from conftest import Make, MakeClient, MakeProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from support.outcomes import OUTCOMES, SETTINGS
from support.shaky import Shaky, eventually
from support.snippets import run_snippets

from oauth_session import ConfigurationError, OAuthClient, OAuthSession, events, telling
from oauth_session.events import EVENTS, Event, GrantDead, RefreshEnded, RefreshStarted, RenewalEnded
from oauth_session.otel import OpenTelemetry
from oauth_session.rules.effects import Outcome
from oauth_session.rules.outcomes import ERRORS
from oauth_session.testing import FakeProvider


class Watch:
    """OpenTelemetry with everything kept in memory."""

    def __init__(self) -> None:
        self.exporter, self.reader = InMemorySpanExporter(), InMemoryMetricReader()
        self.tracing = TracerProvider()
        self.tracing.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.metering = MeterProvider([self.reader])
        self.listener = OpenTelemetry(tracer_provider=self.tracing, meter_provider=self.metering)

    def spans(self) -> list[ReadableSpan]:
        return [span for span in self.exporter.get_finished_spans() if span.name == "oauth_session.renewal"]

    def points(self, name: str) -> list[Any]:
        data: Any = self.reader.get_metrics_data()
        metrics = [m for r in (data.resource_metrics if data else []) for s in r.scope_metrics for m in s.metrics]
        return [point for metric in metrics if metric.name == name for point in metric.data.data_points]

    def close(self) -> None:
        self.tracing.shutdown()
        self.metering.shutdown()


@pytest.fixture
def watch() -> Iterator[Watch]:
    made = Watch()
    yield made
    made.close()


Lines = Callable[[], list[Any]]


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Lines:
    caplog.set_level(logging.DEBUG, "oauth_session")
    return lambda: list(caplog.records)


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: outcome.value)
def test_each_outcome_is_seen(
    provider: FakeProvider, make_client: MakeClient, watch: Watch, lines: Lines, outcome: Outcome
) -> None:
    """Law 15: every outcome, produced on purpose, is one event, one log line, one point of the metric and one span."""
    heard: list[Event] = []
    store = Shaky()
    listeners = [heard.append, watch.listener]
    client = make_client(provider, store=store, on_event=listeners, **SETTINGS.get(outcome, {}))
    assert client.auth("g").source
    client.put("g", provider.issue())
    case, error = OUTCOMES[outcome]
    with pytest.raises(error) if error else nullcontext():
        case(provider, client, store)

    def ends() -> list[RenewalEnded]:
        return [event for event in heard if isinstance(event, RenewalEnded) and event.outcome == outcome.value]

    assert eventually(
        lambda: len(ends()) == 1 and len(watch.spans()) == sum(isinstance(e, RenewalEnded) for e in heard)
    )
    [end] = ends()
    begun = [event for event in heard if isinstance(event, RefreshStarted) and event.renewal == end.renewal]
    assert len(begun) == 1 and end.seconds >= 0
    told = [line for line in lines() if getattr(line, "oauth_renewal", "") == end.renewal and line.oauth_outcome]
    assert [line.oauth_outcome for line in told] == [outcome.value]
    assert told[0].levelno == end.severity and outcome.value in told[0].getMessage()
    points = watch.points("oauth_session.renewal.duration")
    assert [p.count for p in points if p.attributes["oauth_session.outcome"] == outcome.value] == [1]
    spans = [span for span in watch.spans() if (span.attributes or {})["oauth_session.outcome"] == outcome.value]
    assert len(spans) == 1
    good = outcome in (Outcome.REFRESHED, Outcome.ADOPTED, Outcome.UNPERSISTED)
    assert (spans[0].status.status_code is StatusCode.ERROR) is not good
    assert (spans[0].attributes or {}).get("error.type") == (None if good else outcome.value)
    assert (spans[0].attributes or {})["oauth_session.token_requests"] == end.asked
    assert (end.asked > 0) is (outcome in ASKED)


ASKED = {
    *(Outcome.REFRESHED, Outcome.UNPERSISTED, Outcome.TRANSIENT, Outcome.UNKNOWN, Outcome.MISCONFIGURED, Outcome.DEAD),
}


def test_every_event_is_told_by_somebody() -> None:
    """No event is a name alone: each class is made somewhere in the package, and documented."""
    code = "".join(path.read_text() for path in Path(str(events.__file__)).parent.rglob("*.py"))
    code = code.replace(inspect.getsource(events), "")
    for kind in EVENTS:
        assert kind.__doc__ and kind.name != "event"
        assert re.search(rf"^(?!from ).*\b{kind.__name__}\b", code, re.M), kind
    assert len({kind.name for kind in EVENTS}) == len(EVENTS)


def test_a_refusal_and_its_replay_are_told(provider: FakeProvider, make_session: Make, watch: Watch) -> None:
    """Seeded, begun, ended, replayed, and what was learned; the renewal's span is a child of the request's."""
    heard: list[Event] = []
    session = make_session(provider, token=provider.issue(), on_event=[heard.append, watch.listener])
    tracer = watch.tracing.get_tracer("mine")
    session.get("me")
    provider.expire()
    with tracer.start_as_current_span("request") as parent:
        assert session.get("me").ok
    assert eventually(lambda: any(e.name == "refresh_ended" for e in heard))
    names = [event.name for event in heard]
    assert names.count("seeded") == 1 and names.index("seeded") < names.index("refresh_ended")
    assert {"refresh_started", "replayed", "detection_remembered"} <= set(names)
    span = next(s for s in watch.spans() if (s.attributes or {})["oauth_session.outcome"] == "refreshed")
    assert span.parent is not None and span.parent.span_id == parent.get_span_context().span_id
    noted = next(s for s in watch.exporter.get_finished_spans() if s.name == "request").events
    assert "oauth_session.replayed" in [event.name for event in noted]
    assert {p.attributes["oauth_session.event"] for p in watch.points("oauth_session.events")} >= {"replayed", "seeded"}
    provider.expire()
    assert session.get("me").ok
    assert [event.name for event in heard].count("detection_remembered") == 1  # what is known is not told again


def test_a_hold_is_told(make_oauth_provider: MakeProvider, make_session: Make) -> None:
    """A server that refuses fresh tokens as well."""
    heard: list[Event] = []
    provider = make_oauth_provider(refusal="bare401")
    session = make_session(provider, token=provider.issue(), on_event=heard.append)
    provider.model.judge = lambda token, now: "unknown"  # type: ignore[method-assign]
    assert session.get("me").status_code == 401
    [hold] = [event for event in heard if event.name == "hold"]
    assert hold.origin.startswith("http://127.0.0.1:") and hold.level == logging.INFO


def test_a_dead_grant_is_told_once(provider: FakeProvider, make_client: MakeClient) -> None:
    """However many requests meet it."""
    heard: list[Event] = []
    client = make_client(provider, on_event=heard.append)
    client.put("g", provider.issue())
    provider.expire()
    provider.revoke()
    for _ in range(3):
        with pytest.raises(Exception, match="dead"):
            client.session("g").get("me")
    assert [event.name for event in heard].count("grant_dead") == 1


def test_a_lost_claim_is_told(provider: FakeProvider, make_client: MakeClient) -> None:
    """Somebody has taken the claim over while we were on our way to the endpoint."""
    heard: list[Event] = []
    store = Shaky()
    client = make_client(provider, store=store, on_event=heard.append)
    client.put("g", provider.issue())
    source = client.auth("g").source
    build = source.grant.build

    def steal(pair: Any) -> Any:
        from dataclasses import replace

        from oauth_session.rules.record import Claim

        source.ledger.update(lambda record, now: record and replace(record, claim=Claim("thief", now + 1.0)))
        provider.token_latency = 1.6
        return build(pair)

    source.grant = source.grant._replace(build=steal)
    client.refresh("g", timeout=20)
    assert eventually(lambda: "claim_lost" in [event.name for event in heard])


# -- callbacks


def raising(event: Event) -> None:
    raise SystemExit("a broken callback")


@pytest.mark.parametrize("what", ["raises", "hangs"])
def test_a_callback_breaks_no_request(
    provider: FakeProvider, make_session: Make, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    """One that raises, be it to end the program, or never comes back: each request is answered, soon; and it is logged."""
    over, heard = threading.Event(), []

    def hanging(event: Event) -> None:
        over.wait(30)

    session = make_session(
        provider, token=provider.issue(), on_event=[raising if what == "raises" else hanging, heard.append]
    )
    start = time.monotonic()
    for _ in range(10):
        provider.expire()
        assert session.get("me").ok
    took = time.monotonic() - start
    threads = sum(thread.name == "oauth-session-event" for thread in threading.enumerate())
    over.set()
    assert took < 8 and threads <= telling.LATE_MOST + 1  # the other callback's last thread may be on its way out
    assert [event.name for event in heard].count("replayed") == 10  # the other one hears everything
    assert ("raised" if what == "raises" else "has not come back") in caplog.text
    assert eventually(lambda: not any(t.name == "oauth-session-event" for t in threading.enumerate()))


def test_a_callback_that_came_back_is_told_again(provider: FakeProvider, make_session: Make) -> None:
    """A hang is forgiven."""
    over, heard = threading.Event(), []

    def listen(event: Event) -> None:
        over.wait(30)
        heard.append(event.name)

    session = make_session(provider, token=provider.issue(), on_event=listen)
    provider.expire()
    assert session.get("me").ok
    over.set()
    assert eventually(lambda: not any(t.name == "oauth-session-event" for t in threading.enumerate()))
    before = len(heard)
    provider.expire()
    assert session.get("me").ok
    assert heard[before:].count("replayed") == 1


def test_a_callback_that_hangs_holds_no_more_threads_than_is_said() -> None:
    """However many threads tell it at once, once it is known to hang."""
    over, entered = threading.Event(), []

    def hanging(event: Event) -> None:
        entered.append(event)
        over.wait(30)

    telling.tell((hanging,), RefreshStarted())
    together = threading.Barrier(50)

    def crowd() -> None:
        together.wait()
        telling.tell((hanging,), RefreshStarted())

    threads = [threading.Thread(target=crowd) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert eventually(lambda: len(entered) == telling.LATE_MOST)
    over.set()
    assert eventually(lambda: not any(t.name == "oauth-session-event" for t in threading.enumerate()))


def test_many_threads_tell_one_callback(provider: FakeProvider, make_session: Make) -> None:
    """Calls at the same time are not taken for a hang, and none is lost."""
    heard: list[str] = []

    def listen(event: Event) -> None:
        time.sleep(0.01)
        heard.append(event.name)

    session = make_session(provider, token=provider.issue(), on_event=listen)
    provider.expire()
    threads = [threading.Thread(target=session.get, args=("me",)) for _ in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert eventually(lambda: heard.count("replayed") == provider.api_refusals)


@pytest.mark.parametrize("wrong", [7, "print", [print, None]])
def test_what_is_no_callback_is_refused(wrong: Any) -> None:
    """At once, and named."""
    with pytest.raises(ConfigurationError, match="on_event must be a callable, or a list of them"):
        OAuthSession(token_url="https://a.test/t", client_id="c", on_event=wrong)


def test_nothing_is_paid_for_events_when_a_request_goes_well(provider: FakeProvider, make_session: Make) -> None:
    """No event is made, and no thread started, for a request with a good token."""
    heard: list[Event] = []
    session = make_session(provider, token=provider.issue(), on_event=heard.append)
    session.get("me")
    before, there = len(heard), set(threading.enumerate())
    for _ in range(20):
        session.get("me")
    assert len(heard) == before and not [t for t in set(threading.enumerate()) - there if t.name.startswith("oauth")]


# -- logging


class Broken(logging.Handler):
    """A program's own handler with a mistake in it."""

    def emit(self, record: logging.LogRecord) -> None:
        raise AttributeError("'LogRecord' object has no attribute 'request_id'")


@pytest.mark.parametrize("where", ["the handler", "its filter"])
def test_a_log_handler_that_raises_breaks_no_request(
    provider: FakeProvider, make_session: Make, capfd: pytest.CaptureFixture[str], where: str
) -> None:
    """Renewals begin, end and are committed all the same, the second one too; it is shown as logging shows such."""
    logger, handler = (
        logging.getLogger("oauth_session"),
        Broken() if where == "the handler" else logging.StreamHandler(),
    )
    if where == "its filter":
        handler.addFilter(lambda record: bool(record.request_id))  # type: ignore[attr-defined]
    session = make_session(provider, token=provider.issue(), store="memory:")
    level, others = logger.level, set(threading.enumerate())  # what tests before this one have left to land

    def flying() -> bool:
        return any(t.name == "oauth-session-refresh" for t in set(threading.enumerate()) - others)

    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        for number in (1, 2):
            provider.expire()
            assert session.get("me").ok and provider.model.refresh_calls == number
        assert eventually(lambda: not flying())
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    assert "request_id" in capfd.readouterr().err and provider.model.reuse_incidents == 0


def test_quiet_by_default(provider: FakeProvider) -> None:
    """A program that has not set up logging sees nothing on its standard error, not even a dead grant."""
    import subprocess
    import sys

    program = f"""
import oauth_session
client = oauth_session.OAuthClient(token_url={provider.token_url!r}, client_id="x", client_secret="wrong")
client.put("g", {{"access_token": "a", "refresh_token": "r"}})
try:
    client.refresh("g")
except oauth_session.OAuthSessionError as error:
    print(type(error).__name__)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert (done.stdout.strip(), done.stderr) == ("InvalidClient", "")


def test_a_line_has_fields(provider: FakeProvider, make_session: Make, lines: Lines) -> None:
    """For programs that log as JSON: each field of the event, under a name that takes nobody's place."""
    session = make_session(provider, token=provider.issue(), grant_id="customer-42")
    provider.expire()
    assert session.get("me").ok
    assert eventually(lambda: any(getattr(line, "oauth_event", "") == "refresh_ended" for line in lines()))
    line = next(line for line in lines() if getattr(line, "oauth_event", "") == "refresh_ended")
    assert (line.oauth_grant, line.oauth_outcome, line.oauth_asked, line.levelname) == (
        "customer-42",
        "refreshed",
        1,
        "INFO",
    )
    assert line.getMessage() == "refresh_ended customer-42 refreshed"


def test_a_span_that_has_ended_is_left_alone(watch: Watch, caplog: pytest.LogCaptureFixture) -> None:
    """A renewal in advance outlives its request: the SDK has nothing to complain of, and the event is counted."""
    with watch.tracing.get_tracer("mine").start_as_current_span("request", end_on_exit=False) as span:
        span.end()
        watch.listener(GrantDead(grant="g", outcome="dead"))
    assert caplog.text == ""
    assert [p.attributes["oauth_session.event"] for p in watch.points("oauth_session.events")] == ["grant_dead"]


def test_durations_fall_into_buckets_of_seconds(watch: Watch) -> None:
    """The SDK's own are for milliseconds: a renewal of 20 ms and one of 4 s would be one bucket. Who waited is told apart."""
    for seconds, early in ((0.02, False), (4.0, False), (4.0, True)):
        watch.listener(RefreshEnded(outcome="refreshed", seconds=seconds, early=early))
    points = {p.attributes["oauth_session.early"]: p for p in watch.points("oauth_session.renewal.duration")}
    assert [sum(map(bool, points[early].bucket_counts)) for early in (False, True)] == [2, 1]


def test_two_clients_may_share_a_listener(provider: FakeProvider, watch: Watch) -> None:
    """One OpenTelemetry serves them all; grants are named on spans only when that is asked for."""
    named = OpenTelemetry(tracer_provider=watch.tracing, meter_provider=watch.metering, grant_ids=True)
    for listener in (watch.listener, named):
        client = OAuthClient(
            token_url=provider.token_url,
            client_id=provider.client_id,
            client_secret=provider.client_secret,
            store="memory:",
            on_event=listener,
        )
        client.put("customer-42", provider.issue())
        client.refresh("customer-42")
    assert eventually(lambda: len(watch.spans()) == 2)
    assert [(span.attributes or {}).get("oauth_session.grant") for span in watch.spans()] == [None, "customer-42"]


VARY = {events.RefreshEnded: "see below", events.NotRefreshed: "as its outcome"}


def test_the_page_says_what_there_is(provider: FakeProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every event with its level, every outcome with its level and error, none else; and the examples run."""
    page = Path(__file__).parent.parent / "docs" / "observability.rst"
    text = page.read_text()
    levels = {logging.DEBUG: "debug", logging.INFO: "info", logging.WARNING: "warning", logging.ERROR: "error"}
    for kind in EVENTS:
        row = re.search(rf"\* - [^\n]*``{kind.__name__}``[^\n]*\n     - ([^\n]*)\n", text)
        assert row, kind
        assert row[1] == VARY.get(kind, levels[kind.level]), kind
    table = text[text.index("Each renewal has exactly one end") : text.index("\nLog\n")]
    assert re.findall(r"\* - ``(\w+)``\n", table) == [outcome.value for outcome in Outcome]
    for outcome in Outcome:
        row = re.search(rf"\* - ``{outcome.value}``\n     - (\w+)\n     -(?: ``(\w+)``)?", table)
        kinds = {Outcome.ADOPTED: events.Adopted, Outcome.UNPERSISTED: events.Unpersisted}
        assert row and row[1] == levels[kinds.get(outcome, events.RefreshEnded)(outcome=outcome.value).severity], (
            outcome
        )
        assert row[2] == (ERRORS[outcome][0].__name__ if outcome in ERRORS else None), outcome
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("APP_SECRET", str(provider.client_secret))
    level = logging.getLogger().level
    namespace = run_snippets(page, provider, "")
    logging.getLogger().setLevel(level)
    assert provider.model.refresh_calls == 1
    namespace["client"].close()
