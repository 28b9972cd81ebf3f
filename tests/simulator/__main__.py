"""Schedules of the refresh protocol, by the million.

python -m simulator [SCHEDULES] [--seed FIRST] [--mutant NAME]     play that many; exit status 1 at a broken law
python -m simulator --seed SEED [--mutant NAME]                    one schedule as a timeline
python -m simulator --all DEPTH                                    every order of the first DEPTH choices, one fault
python -m simulator --mutants                                      each law's mutant, and the seed that catches it
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from contextlib import nullcontext

from . import mutants
from .explore import play_seed, timeline
from .fleet import Tally, play_everything, play_many
from .world import KINDS

SCHEDULES = 20_000


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="simulator", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("schedules", type=int, nargs="?")
    parser.add_argument("--seed", type=int, help="the first, or the only one")
    parser.add_argument("--mutant", choices=sorted(mutants.MUTANTS), metavar="NAME", help="without this law")
    parser.add_argument("--mutants", action="store_true")
    parser.add_argument("--all", type=int, metavar="DEPTH")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    given = parser.parse_args()
    if given.mutants:
        return print_mutants()
    if given.seed is not None and given.schedules is None and given.all is None:
        with mutants.at_work(given.mutant) if given.mutant else nullcontext():
            result = play_seed(given.seed, trace=True)
        print(timeline(result))
        return result.broken is not None
    began = time.monotonic()
    if given.all is not None:
        tally = play_everything(given.all, given.processes, given.mutant)
    else:
        tally = play_many(given.seed or 0, given.schedules or SCHEDULES, given.processes, given.mutant)
    report(tally, time.monotonic() - began, given.mutant)
    return bool(tally.broken)


def report(tally: Tally, took: float, mutant: str | None) -> None:
    """How many, how fast, what they had in them, and each broken law once."""
    for seed, says in tally.first_of_each():
        if seed is None:
            print(f"BROKEN {says}\n")
            continue
        with mutants.at_work(mutant) if mutant else nullcontext():
            print(timeline(play_seed(seed, trace=True)))
        print(f"BROKEN {says}; again: python -m simulator --seed {seed}{f' --mutant {mutant}' if mutant else ''}\n")
    print(
        f"{tally.played:,} schedules in {took:.1f} s, {tally.played / took:,.0f} per second; {len(tally.broken)} broken"
    )
    print_counts("with the fault", tally.met, KINDS)
    print_counts("where it came about that", tally.met, sorted(set(tally.met) - set(KINDS)))
    print_counts("with a renewal that ended as", tally.ended, sorted(tally.ended))


def print_counts(title: str, counts: Counter[str], names: tuple[str, ...] | list[str]) -> None:
    print(f"{title}: {', '.join(f'{name} {counts[name]:,}' for name in names)}")


def print_mutants() -> int:
    missed = 0
    print(f"{'law':>3}  {'mutant':<24}{'without it':<58}{'seed':>6}  broken")
    for mutant, seed, broken in mutants.table():
        missed += seed is None
        print(f"{mutant.law:>3}  {mutant.name:<24}{mutant.says:<58}{'-' if seed is None else seed:>6}  {broken}")
    return missed > 0


if __name__ == "__main__":
    sys.exit(main())
