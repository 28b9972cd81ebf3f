"""One expiry that five processes meet, measured and drawn: ``python docs/expiry.py`` runs it and writes the drawing.

A real provider that takes 0.6 s for a token request, a SQLite file, five processes with a session each. All hold the same
token; it expires; four of them send a request within some milliseconds, the fifth when everything is over. What happened is
taken from the events of each process, and whose the claim was from the record in the store.
"""

from __future__ import annotations

import json
import multiprocessing
import sqlite3
import tempfile
import time
from pathlib import Path
from typing import Any

from oauth_session import OAuthSession
from oauth_session.events import Event, RefreshStarted, RenewalEnded
from oauth_session.testing import FakeProvider

FIGURES = Path(__file__).parent / "figures"
AFTER = (0.0, 0.03, 0.06, 0.12, 0.95)  # when each sends its request, in seconds
WAIT = multiprocessing.get_context("spawn")


def worker(number: int, settings: dict[str, Any], ready: Any, go: Any, told: Any) -> None:
    """One process: a request with a good token, and one when that has expired."""
    seen: list[tuple[str, float]] = []

    def listen(event: Event) -> None:
        if isinstance(event, RefreshStarted):
            seen.append(("began", time.time()))
        elif isinstance(event, RenewalEnded):
            seen.append((event.outcome, time.time()))

    session = OAuthSession(**settings, on_event=listen)
    assert session.get("me").ok
    seen.clear()
    ready.release()
    go.wait()
    time.sleep(AFTER[number])
    sent = time.time()
    answer = session.get("me")
    back = time.time()
    time.sleep(0.3)  # callbacks run on threads of their own
    told.put({"number": number, "sent": sent, "back": back, "status": answer.status_code, "seen": seen})


def measure() -> dict[str, Any]:
    """Run it; times in seconds since the token expired."""
    with tempfile.TemporaryDirectory() as folder, FakeProvider(token_latency=0.6) as provider:
        settings: dict[str, Any] = {
            "base_url": provider.api_url,
            "token_url": provider.token_url,
            "client_id": provider.client_id,
            "client_secret": provider.client_secret,
            "token": provider.issue(),
            "store": f"sqlite:///{folder}/grants.db",
        }
        ready, go, told = WAIT.Semaphore(0), WAIT.Event(), WAIT.Queue()
        processes = [WAIT.Process(target=worker, args=(n, settings, ready, go, told)) for n in range(len(AFTER))]
        for process in processes:
            process.start()
        for _ in processes:
            ready.acquire()
        provider.expire()
        start = time.time()
        go.set()
        claims = list(_watch(Path(folder) / "grants.db", start, max(AFTER) + 1.5))
        ends = sorted((told.get(timeout=30) for _ in processes), key=lambda end: end["number"])
        pids = [process.pid for process in processes]
        for process in processes:
            process.join()
        for end in ends:
            end["sent"], end["back"] = end["sent"] - start, end["back"] - start
            end["seen"] = [(what, at - start) for what, at in end["seen"] if at - start >= end["sent"]]
        holders = {pids.index(int(by.rpartition(":")[2].partition(".")[0])) for _, by, _ in claims if by}
        held = [at for at, by, _ in claims if by]
        return {
            "ends": ends,
            "holder": holders.pop() if len(holders) == 1 else None,
            "claim": [held[0], held[-1]],
            "committed": min(at for at, _, generation in claims if generation == claims[-1][2]),
            "refreshes": provider.counters()["refresh_calls"],
        }


def _watch(path: Path, start: float, seconds: float) -> Any:
    """Each few milliseconds: when, who has the claim, which generation."""
    connection = sqlite3.connect(path)
    while time.time() < start + seconds:
        record = json.loads(connection.execute("SELECT record FROM grants").fetchone()[0])
        yield time.time() - start, (record.get("claim") or {}).get("by", ""), record.get("generation", 0)
        time.sleep(0.005)
    connection.close()


# -- the drawing: processes side by side, time downwards, so that it can be read on a telephone -----------------------

WIDE, TOP, COLUMN, LEFT = 400, 46, 70, 48
INK = "var(--color-foreground-primary, #555)"
# Words stand on lines: the page's ground around each letter keeps them legible.
HALO = "paint-order: stroke; stroke: var(--color-background-primary, #fff); stroke-width: 4px"
FAINT = "var(--color-foreground-muted, #888)"
CLAIM, ASKS, WAITS, GOOD, BAD = "#2f9e63", "#2f9e63", "#d9982b", "#2f9e63", "#e0564a"


def draw(found: dict[str, Any]) -> str:
    """As SVG; colours of text come from the page around it."""
    last = max(end["back"] for end in found["ends"])
    scale = 470 / last
    height = TOP + 470 + 112

    def y(at: float) -> float:
        return TOP + max(at, 0.0) * scale

    parts = []
    for at in [step / 5 for step in range(int(last * 5) + 1)]:
        parts.append(_line(LEFT - 6, y(at), WIDE - 6, y(at), FAINT, 0.4))
        parts.append(_text(LEFT - 9, y(at) + 3.5, f"{at:.1f} s", "end", FAINT))
    for end in found["ends"]:
        parts.append(_process(end, found, y))
    bottom = TOP + 470 + 44
    legend = [
        (BAD, "token sent, refused"),
        (CLAIM, "has the claim, asks the provider"),
        (WAITS, "waits for the result"),
        (GOOD, "sent again, 200"),
    ]
    for place, (colour, says) in enumerate(legend):
        left, line = 14 + 205 * (place % 2), bottom + 20 * (place // 2)
        dash = "dot" if "200" in says or "refused" in says else "bar"
        parts.append(_circle(left, line - 4, colour) if dash == "dot" else _bar(left - 4, line - 9, 10, colour))
        parts.append(_text(left + 12, line, says, "start", INK))
    counted = "1 refresh" if found["refreshes"] == 1 else f"{found['refreshes']} refreshes"
    says = f"{len(found['ends'])} processes, {counted}, commit after {found['committed']:.2f} s"
    parts.append(_text(WIDE / 2, bottom + 52, says, "middle", INK))
    inner = "\n".join(parts)
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE} {height}" font-size="11.5">\n{inner}\n</svg>\n'


def _process(end: dict[str, Any], found: dict[str, Any], y: Any) -> str:
    middle = LEFT + COLUMN * end["number"] + COLUMN / 2 - 4
    began = min((at for what, at in end["seen"] if what == "began"), default=end["sent"])
    ended = max((at for what, at in end["seen"] if what != "began"), default=end["back"])
    outcome = next((what for what, _ in end["seen"] if what != "began"), "")
    parts = [
        _text(middle, 18, f"process {end['number'] + 1}", "middle", INK),
        _line(middle, TOP - 12, middle, TOP + 470, FAINT, 1),
    ]
    holds = end["number"] == found["holder"]
    first, last = found["claim"] if holds else (began, ended)
    parts.append(_bar(middle - 7, y(first), max(3.0, y(last) - y(first)), CLAIM if holds else WAITS, 14))
    parts.append(_circle(middle, y(end["sent"]), BAD))
    parts.append(_circle(middle, y(end["back"]) + 4, GOOD if end["status"] == 200 else BAD))
    parts.append(_text(middle, y(end["back"]) + 21, outcome, "middle", INK))
    return "\n".join(parts)


def _text(x: float, y: float, says: str, anchor: str, colour: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" style="fill: {colour}; {HALO}">{says}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float) -> str:
    at = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {at} stroke-width="{width}" style="stroke: {colour}"/>'


def _bar(x: float, y: float, height: float, colour: str, width: float = 10) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width}" height="{height:.1f}" rx="3" fill="{colour}"/>'


def _circle(x: float, y: float, colour: str) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{colour}"/>'


def main() -> None:
    found = measure()
    (FIGURES / "expiry.json").write_text(json.dumps(found, indent=1) + "\n")
    (FIGURES / "expiry.svg").write_text(draw(found))


if __name__ == "__main__":
    main()
