"""What stores and their users hand each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class GrantKey:
    """Names one grant's record: `digest` (hex) in the store, `grant_id` for people and templates."""

    digest: str
    grant_id: str


class Snapshot(NamedTuple):
    """A record's text (None: there is none, and the revision is empty), and the store's clock in epoch seconds.

    `forked`: this copy was written by the parent of a fork, and the parent has it too.
    """

    text: str | None
    revision: str
    now: float
    forked: bool = False

    def __repr__(self) -> str:
        return f"<Snapshot {self.revision!r}>"


class Swapped(NamedTuple):
    """Whether our write stands, and what is there now."""

    done: bool
    snapshot: Snapshot
