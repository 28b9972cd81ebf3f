"""The refresh protocol in the simulator: schedules by the thousand, and each law missed where it is taken out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from simulator import mutants
from simulator.caught import CAUGHT
from simulator.explore import play_seed, timeline
from simulator.fleet import play_everything, play_many
from simulator.world import KINDS

import oauth_session

TESTS = Path(__file__).parent
DEPTH = 3


@pytest.mark.timeout(400)
def test_twenty_thousand_schedules_keep_the_laws() -> None:
    """Laws 1 to 17: random schedules of two to four clients with up to four faults; every kind of fault comes up often."""
    tally = play_many(0, 20_000, None)
    assert not tally.broken
    assert tally.played == 20_000
    assert min(tally.met[kind] for kind in KINDS) >= 100
    assert {"healed", "unpersisted", "overtaken"} <= set(tally.met)
    assert {"refreshed", "adopted", "dead", "ended", "transient", "store_down", "held"} <= set(tally.ended)


@pytest.mark.timeout(400)
def test_every_order_of_two_clients_with_one_fault() -> None:
    """Laws 1 to 17: all interleavings of the first three choices, each with one fault of every kind at every point."""
    tally = play_everything(DEPTH, None)
    assert not tally.broken
    assert tally.played > 5_000
    assert set(KINDS) <= set(tally.met)


@pytest.mark.parametrize("name", sorted(mutants.MUTANTS))
def test_each_law_is_missed_where_it_is_taken_out(name: str) -> None:
    """Each law of the machine: without it a known schedule breaks a known invariant, and with it that schedule is clean."""
    seed, invariant = CAUGHT[name]
    assert play_seed(seed).broken is None
    with mutants.at_work(name):
        broken = play_seed(seed).broken
    assert broken is not None
    assert broken.law == invariant


def test_every_law_of_the_machine_has_a_mutant() -> None:
    """Laws 1 to 5, 7 to 11, 13, 16 and 17 live in the machine; the table names no mutant that there is not."""
    assert {mutant.law for mutant in mutants.MUTANTS.values()} >= {1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 13, 16, 17}
    assert set(CAUGHT) == set(mutants.MUTANTS)


def test_a_seed_is_a_schedule() -> None:
    """A failing schedule can be played again: the same seed gives the same timeline, in this process and in another."""
    here = timeline(play_seed(4711, trace=True))
    assert timeline(play_seed(4711, trace=True)) == here
    there = subprocess.run(
        [sys.executable, "-m", "simulator", "--seed", "4711"],
        cwd=TESTS,
        env=os.environ | {"PYTHONPATH": str(Path(oauth_session.__file__).parent.parent)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert there.stdout.rstrip("\n") == here


def test_a_broken_law_is_told(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The command ends in 1, prints the timeline of a schedule that breaks a law, and says how to play it again."""
    from simulator.__main__ import main

    seed, invariant = CAUGHT["unread-claim"]
    monkeypatch.setattr(
        sys, "argv", ["simulator", "3", "--seed", str(seed), "--mutant", "unread-claim", "--processes", "1"]
    )
    assert main() == 1
    out = capsys.readouterr().out
    assert f"broken: {invariant}" in out
    assert f"python -m simulator --seed {seed} --mutant unread-claim" in out
    assert "per second" in out
