"""What can go wrong at a token endpoint, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .answers import Answer, json_answer
from .wire import Delivery, Hangup

_HTML = {"Content-Type": "text/html"}
# Answers in place of the token endpoint's own; unless told so, the server does not process the request.
ANSWERS: dict[str, Answer] = {
    "500": Answer(500, {}, b""),
    "503": json_answer(503, {"error": "temporarily_unavailable"}),
    "429": json_answer(429, {"error": "slow_down"}, {"Retry-After": "1"}),
    "wrong_type": json_answer(200, ["not", "an", "object"]),
    "html_200": Answer(200, _HTML, b"<html><body>Welcome</body></html>"),
    "html_error": Answer(502, _HTML, b"<html><body>Bad gateway</body></html>"),
    "empty": Answer(200, {"Content-Type": "application/json"}, b""),
    "error_200": json_answer(200, {"error": "server_error", "error_description": "no luck today"}),
}
# What becomes of the answer on its way; all but the first process the request, so the refresh token is spent.
MISHAPS = ("drop_before", "drop_after", "truncated", "cut", "drip")


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault for one token request."""

    kind: str | Answer
    processed: bool
    retry_after: str | None
    interval: float

    def deliver(self, process: Callable[[], Answer]) -> Delivery:
        """Process the request, or do not, and bring out an answer, or `Hangup`."""
        real = process() if self.processed else Answer(503, {}, b"not processed")
        if self.kind in ("drop_before", "drop_after"):
            raise Hangup
        if self.kind == "cut":
            return Delivery(real, cut=True)
        if self.kind == "drip":
            return Delivery(real, drip=self.interval)
        if self.kind == "truncated":
            return Delivery(real._replace(body=real.body[: len(real.body) // 2]))
        answer = ANSWERS[self.kind] if isinstance(self.kind, str) else self.kind
        if self.retry_after is not None:
            answer = answer._replace(headers={**answer.headers, "Retry-After": self.retry_after})
        return Delivery(answer)


def make_fault(
    kind: str | tuple[int, dict[str, str], bytes],
    processed: bool | None,
    retry_after: str | float | None,
    interval: float,
) -> Fault:
    """Check the name and fill in what it means by default.

    Raises:
        ValueError: there is no such fault.
    """
    if isinstance(kind, str) and kind not in ANSWERS and kind not in MISHAPS:
        raise ValueError(f"unknown fault {kind!r}; known are {', '.join((*ANSWERS, *MISHAPS))}")
    if processed is None:
        processed = kind in MISHAPS and kind != "drop_before"
    return Fault(
        kind if isinstance(kind, str) else Answer(*kind),
        processed,
        None if retry_after is None else str(retry_after),
        interval,
    )
