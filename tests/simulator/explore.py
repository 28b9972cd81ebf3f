"""Schedules by the thousand: one from a seed, all of them to a depth, and what a failing one looked like."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

from oauth_session.rules import lineage
from oauth_session.rules.effects import Ask, Seen
from oauth_session.rules.record import Pair, Record
from oauth_session.testing.model import Grace
from oauth_session.tokens import Token

from . import clock
from .choices import Chooser, Dice, Script
from .client import Client
from .laws import Laws, usable
from .wire import short
from .world import START, Setting, Steps, Violation, World

OFFSETS = (0.0, 300.0, -300.0, 150.0)  # how wrong the clients' wall clocks are


class Result(NamedTuple):
    """How a schedule went."""

    world: World
    laws: Laws
    broken: Violation | None


def play(setting: Setting, chooser: Chooser, *, trace: bool = False) -> Result:
    """One schedule from its start to a last attempt in peace."""
    laws = Laws()
    world = World(setting, chooser, laws, trace=trace)
    with clock.set_to(world):
        return _play(world)


def _play(world: World) -> Result:
    setting, laws, model = world.setting, world.laws, world.model
    raw = model.issue(START)
    seed = Token(raw["access_token"], raw["refresh_token"], START + setting.lifetime)
    laws.family, laws.stored = model.family_of(seed.access_token), {seed.access_token}
    if setting.start != "seeds":
        world.store.swap("", "0", lineage.begin("g", "c", "lineage", Pair.of(seed, START)))
    if setting.start == "dead":
        model.revoke()
        laws.revoked = laws.family
    for at in setting.ends:
        world.spawn(_expire(world), None, START + at)
    times = [START + end for end in setting.ends]
    for number in range(setting.clients):
        client = Client(world, "ABCD"[number], OFFSETS[number], seed if setting.start == "seeds" else None)
        if setting.warm:
            world.who = client
            client.remember(Seen(world.store.record, "0", START))
        world.clients.append(client)
        client.live(times if setting.warm else [START, *times])
    for number, (action, at) in enumerate(setting.logins):
        world.spawn(_admin(world, Client(world, f"Z{number}", 0.0), action), None, START + at)
    try:
        world.run()
        _peace(world)
        world.run()
        laws.finished(world)
    except Violation as broken:
        return Result(world, laws, broken)
    return Result(world, laws, None)


def _expire(world: World) -> Steps:
    world.model.expire()
    world.log("provider", "all access tokens so far have ended")
    return
    yield 0.0


def _admin(world: World, client: Client, action: str) -> Steps:
    """A login somewhere else, or a logout."""
    model = world.model
    raw = model.issue(world.now) if action == "put" else {}

    def step(record: Record | None, now: float) -> Record | None:
        blank = lineage.begin("g", "c", world.name(), Pair())
        if action == "put":
            lifetime = world.setting.lifetime
            return lineage.put(
                record, blank, Pair.of(Token(raw["access_token"], raw["refresh_token"], now + lifetime), now)
            )
        return lineage.end(record or blank, "logged_out")

    world.log(client.name, action)
    yield from client.update(step)


def _peace(world: World) -> None:
    """Everything is well again, and a new process wants a token: a dead grant costs it nothing, a living one works."""
    world.chooser.left = 0
    world.now = max(world.now, world.store.away_until, START + world.setting.outage[1]) + 100.0
    for client in world.clients:  # who is alive may speak first: law 11 is theirs
        client.live([world.now])
    world.spawn(_last(world, Client(world, "last", 0.0)), None, world.now + 60.0)


def _last(world: World, client: Client) -> Steps:
    record = world.store.record
    if record is None:
        return
    calls, alive = world.model.token_calls, usable(world, record)
    got, _ = yield from client.renew(Ask((record.lineage, record.generation), force=record.state == "live"))
    if record.state == "live":
        if alive and got is None:
            raise Violation("I2", f"the grant is alive, and yet: {world.laws.outcomes[-1]}")
    elif got is not None or world.model.token_calls != calls:
        raise Violation("I6", f"a {record.state} grant is asked for again: {world.laws.outcomes[-1]}")


# -- by seed


def setting_of(seed: int) -> tuple[Setting, Dice]:
    """A seed's own setting and dice."""
    dice = random.Random(-seed - 1)
    grace = dice.choice(GRACES)
    start = dice.choice(("stored", "stored", "stored", "seeds", "seeds", "dead"))
    ends, at = [], 0.0
    for _ in range(dice.choice((1, 1, 2, 3))):
        at += dice.choice((1.0, 8.0, 31.0, 42.0))
        ends.append(at)
    outage = (0.0, 0.0)
    if dice.random() < 0.15:
        outage = (ends[0] - 0.5, ends[0] + dice.choice((2.0, 10.0, 40.0)))
    logins: tuple[tuple[str, float], ...] = ()
    if dice.random() < 0.15:
        logins = ((dice.choice(("put", "put", "logout")), ends[0] + dice.random() * 3),)
    setting = Setting(
        clients=dice.choice((2, 2, 3, 4)),
        grace=grace,
        reuse_grace=3600.0 if grace != "none" and dice.random() < 0.5 else 0.0,
        start=start,
        warm=start != "seeds" and dice.random() < 0.7,
        ends=tuple(ends),
        outage=outage,
        access_dies=dice.random() < 0.3,
        fixed_end=dice.random() < 0.1,
        dated=dice.random() < 0.8,
        push=dice.random() < 0.5,
        logins=logins,
    )
    faults = dice.choice((0, 1, 1, 2, 2, 3, 4))
    known = dice.choice((3600.0, 3600.0, 40.0, 12.0)) if setting.reuse_grace else 0.0  # the true one is longer
    setting = replace(setting, rotation=dice.choice(("maybe", "always")), reuse_grace=known)
    return setting, Dice(seed, faults=faults)


GRACES: tuple[Grace, ...] = ("none", "none", "same_pair", "new_pair", "newest_only", "until_used")


def play_seed(seed: int, *, trace: bool = False) -> Result:
    """The schedule of this seed."""
    setting, dice = setting_of(seed)
    return play(setting, dice, trace=trace)


def first_failure(seeds: Iterable[int]) -> tuple[int, Violation] | None:
    """The first seed whose schedule breaks a law."""
    for seed in seeds:
        broken = play_seed(seed).broken
        if broken is not None:
            return seed, broken
    return None


# -- in order


ORDERED = tuple(
    Setting(
        clients=2, grace=grace, reuse_grace=reuse_grace, start=start, warm=start == "stored", push=push, logins=logins
    )
    for grace, reuse_grace, start, push, logins in (
        ("none", 0.0, "stored", True, ()),
        ("none", 0.0, "seeds", False, ()),
        ("none", 0.0, "dead", True, ()),
        ("none", 0.0, "stored", True, (("logout", 1.0),)),
        ("none", 0.0, "stored", False, (("put", 1.0),)),
        ("same_pair", 3600.0, "stored", False, ()),
        ("new_pair", 3600.0, "stored", True, ()),
        ("newest_only", 0.0, "stored", True, ()),
        ("until_used", 0.0, "stored", False, ()),
    )
)


def play_all(setting: Setting, depth: int, faults: int) -> Iterator[Result]:
    """Every schedule of this setting whose order differs in its first `depth` choices, with up to that many faults."""
    prefix: list[int] | None = []
    while prefix is not None:
        script = Script(prefix, depth, faults)
        result = play(setting, script)
        if result.broken is not None:
            result = play(setting, Script(prefix, depth, faults), trace=True)
        yield result
        prefix = script.next()


# -- for people


def timeline(result: Result) -> str:
    """The schedule as a table: time, who, what, how it went, and the record after it."""
    lines = [str(result.world.setting), f"{'time':>9}  {'who':<9}{'what':<44}record"]
    for at, who, what, how, record in result.world.trace or ():
        lines.append(f"{at:9.3f}  {who:<9}{f'{what}: {how}' if how else what:<44}{_summary(result.world, record)}")
    lines.append(f"broken: {result.broken}" if result.broken else "every law holds")
    return "\n".join(lines)


def _summary(world: World, record: Record | None) -> str:
    if record is None:
        return "-"
    words = [f"g{record.generation}", record.state, short(record.pair.refresh_token)]
    if record.spare:
        words.append(f"spare {short(record.spare.refresh_token)}")
    if record.claim:
        words.append(
            f"claim {world.names.get(record.claim.by.partition('.')[0])} until {record.claim.until - START:.2f}"
        )
    if record.attempt:
        words.append(f"attempt {record.attempt.number}")
    if record.doubts:
        words.append("in doubt")
    if record.retry_at > world.now - 1e6:
        words.append(f"retry at {record.retry_at - START:.2f}")
    return " ".join(words)
