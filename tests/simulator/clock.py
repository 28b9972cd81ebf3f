"""Stands in for the module `time` in the package's rooms while a schedule is played."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from oauth_session import driver, held, policy

if TYPE_CHECKING:
    from .world import World


class Clock:
    """The clocks of the process that is running: a wall clock that is wrong, a monotonic one that sleeps with the machine."""

    def __init__(self, world: World) -> None:
        self._world = world

    def monotonic(self) -> float:
        return self._world.now - self._world.who.slept

    def time(self) -> float:
        return self._world.now + self._world.who.offset


@contextmanager
def set_to(world: World) -> Iterator[None]:
    """Within, `driver` and `held` live in this world's time, and `policy` throws dice that can be thrown again."""
    before, dice = driver.time, policy.random
    driver.time = held.time = Clock(world)
    policy.random = random.Random(0)
    try:
        yield
    finally:
        driver.time = held.time = before
        policy.random = dice
