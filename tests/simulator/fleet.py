"""Schedules over the cores."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from functools import partial
from typing import NamedTuple

from . import mutants
from .explore import ORDERED, Result, play_all, play_seed, timeline

CHUNK = 500


class Tally(NamedTuple):
    """What came of some schedules.

    Attributes:
        met: in how many schedules each kind of fault, or of consequence, came up.
        ended: in how many a renewal ended with this outcome.
        broken: (seed, what) of each schedule that broke a law; no seed: `what` has the timeline.
    """

    played: int
    met: Counter[str]
    ended: Counter[str]
    broken: list[tuple[int | None, str]]

    def first_of_each(self) -> Iterator[tuple[int | None, str]]:
        """One schedule for each law that was broken."""
        seen = set()
        for seed, says in sorted(self.broken, key=lambda one: one[0] or 0):
            law = says.partition(":")[0]
            if law not in seen:
                seen.add(law)
                yield seed, says


def play_many(first: int, count: int, processes: int | None, mutant: str | None = None) -> Tally:
    """The schedules of `count` seeds."""
    starts = range(first, first + count, CHUNK)
    return _spread(partial(_seeds, first + count, mutant), starts, processes)


def play_everything(depth: int, processes: int | None, mutant: str | None = None) -> Tally:
    """Every schedule of `explore.ORDERED` to this depth, with one fault."""
    return _spread(partial(_ordered, depth, mutant), range(len(ORDERED)), processes)


def _spread(work: Callable[[int], Tally], jobs: Iterable[int], processes: int | None) -> Tally:
    if processes == 1:
        return _sum(map(work, jobs))
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        return _sum(pool.imap_unordered(work, jobs))


def _sum(parts: Iterable[Tally]) -> Tally:
    played, met, ended, broken = 0, Counter[str](), Counter[str](), []
    for part in parts:
        played += part.played
        met.update(part.met)
        ended.update(part.ended)
        broken += part.broken
    return Tally(played, met, ended, broken)


def _count(results: Iterable[tuple[int | None, Result]]) -> Tally:
    played, met, ended, broken = 0, Counter[str](), Counter[str](), []
    for seed, result in results:
        played += 1
        met.update(kind for kind, times in result.world.facts.items() if times)
        ended.update(set(result.laws.outcomes))
        if result.broken is not None:
            broken.append((seed, str(result.broken) if seed is not None else timeline(result)))
    return Tally(played, met, ended, broken)


def _seeds(end: int, mutant: str | None, start: int) -> Tally:
    with mutants.at_work(mutant) if mutant else nullcontext():
        return _count((seed, play_seed(seed)) for seed in range(start, min(start + CHUNK, end)))


def _ordered(depth: int, mutant: str | None, job: int) -> Tally:
    with mutants.at_work(mutant) if mutant else nullcontext():
        return _count((None, result) for result in play_all(ORDERED[job], depth, 1))
