"""What `doctor` has to say: one finding after the other, in plain words."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Literal, NamedTuple

CLOCKS = 30.0  # seconds that clocks may be apart: lifetimes are minutes, and answers take a while
Level = Literal["ok", "note", "wrong"]


class Finding(NamedTuple):
    """What was looked at, and what was found, in plain words."""

    level: Level
    about: str
    says: str


ok, note, wrong = (partial(Finding, level) for level in ("ok", "note", "wrong"))


def clock(whose: str, ahead: float) -> Iterator[Finding]:
    if abs(ahead) <= CLOCKS:
        yield ok("clocks", f"{whose} and this machine's agree within {CLOCKS:.0f} s")
        return
    way = "ahead of" if ahead > 0 else "behind"
    yield wrong(
        "clocks",
        f"{whose} is {abs(ahead):.0f} s {way} this machine's: tokens are renewed too late or too early, and signed requests "
        "are refused. Set the clock (NTP) on whichever is wrong.",
    )
