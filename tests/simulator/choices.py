"""Who decides what the protocol does not: who goes next, what goes wrong, how long things take.

A list of choices is a schedule, and the same choices give the same schedule again.
"""

from __future__ import annotations

import random
from typing import Protocol


class Chooser(Protocol):
    """Decides what the protocol does not. `left` faults may still come."""

    left: int

    def pick(self, options: int) -> int:
        """Who goes next among those who could."""

    def fault(self, kinds: tuple[str, ...]) -> str | None:
        """What goes wrong here, if anything."""

    def span(self, what: str) -> float:
        """How long it takes."""

    def among(self, options: tuple[float, ...]) -> float:
        """One of them: how bad a fault is."""


class Dice:
    """Chooses by a seed."""

    def __init__(self, seed: int, faults: int, rate: float = 0.07) -> None:
        self.random = random.Random(seed)
        self.left, self.rate = faults, rate

    def pick(self, options: int) -> int:
        return int(self.random.random() * options)

    def fault(self, kinds: tuple[str, ...]) -> str | None:
        if self.left and self.random.random() < self.rate:
            self.left -= 1
            return kinds[int(self.random.random() * len(kinds))]
        return None

    def span(self, what: str) -> float:
        dice = self.random.random()
        if what == "store":
            return dice * 0.01
        if what == "wire":
            return dice * 0.2 if dice < 0.85 else (dice - 0.85) * 50  # one in seven takes up to 7.5 s
        return dice * 0.03

    def among(self, options: tuple[float, ...]) -> float:
        return options[int(self.random.random() * len(options))]


class Script:
    """Follows a list of choices, then always takes the first; remembers how many there were at each point.

    Nothing takes time here, so that every order of steps is possible. Orders are varied in the first `depth` choices.
    """

    def __init__(self, prefix: list[int], depth: int, faults: int) -> None:
        self.prefix, self.depth, self.left = prefix, depth, faults
        self.made: list[tuple[int, int]] = []
        self._orders = 0

    def _choose(self, options: int) -> int:
        at = len(self.made)
        choice = self.prefix[at] if at < len(self.prefix) else 0
        self.made.append((choice, options))
        return choice

    def pick(self, options: int) -> int:
        if options == 1 or self._orders >= self.depth:
            return 0
        self._orders += 1
        return self._choose(options)

    def fault(self, kinds: tuple[str, ...]) -> str | None:
        if not self.left:
            return None
        choice = self._choose(len(kinds) + 1)
        if not choice:
            return None
        self.left -= 1
        return kinds[choice - 1]

    def span(self, what: str) -> float:
        return 0.0

    def among(self, options: tuple[float, ...]) -> float:
        return options[0]

    def next(self) -> list[int] | None:
        """The prefix of the next schedule in order; None after the last."""
        made = self.made
        while made:
            choice, options = made.pop()
            if choice + 1 < options:
                return [c for c, _ in made] + [choice + 1]
        return None
