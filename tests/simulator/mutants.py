"""For each law that lives in the machine, the machine without it, and the first seed that shows the difference.

`python -m simulator.mutants` prints the table.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple
from unittest.mock import patch

from oauth_session import policy
from oauth_session.driver import _Lease
from oauth_session.errors import StoreError
from oauth_session.rules import lineage, protocol
from oauth_session.rules import record as change
from oauth_session.rules.effects import Announce, Ask, Bring, Effect, Ending, Load, Outcome, Post, Seen, Swap, Terms
from oauth_session.rules.protocol import Decision, Renewal
from oauth_session.rules.record import Pair, Record
from oauth_session.rules.token_response import Granted

from .explore import first_failure
from .process import Process
from .world import ModelStore


class Mutant(NamedTuple):
    """A law, what is missing, where, and what stands there instead."""

    law: int
    name: str
    says: str
    where: object
    what: str
    instead: Any


decide, commit, claim, release, doubt = protocol.decide, change.commit, change.claim, change.release, change.doubt
is_answer, failure, renewal, committed = protocol._is_answer, protocol._failure, protocol.renewal, change._committed


def never_takes_another(record: Record, now: float, ask: Ask, terms: Terms) -> bool:
    return ask.unlike is None and is_answer(record, now, ask, terms)


swap = ModelStore.swap


def writes_over(self: ModelStore, expected: str, revision: str, record: Record) -> bool:
    return swap(self, self.revision, revision, record)


def knows_no_resend(self: ModelStore, expected: str, revision: str, record: Record) -> bool:
    return self.revision == expected and swap(self, expected, revision, record)


def commits_anything(record: Record, by: str, origin: Record, *rest: Any) -> Record | None:
    return commit(record, by, replace(origin, generation=record.generation), *rest)


def takes_its_own_for_a_rivals(record: Record, by: str, origin: Record, pair: Pair, *rest: Any) -> Record | None:
    if record.committed == by and record.lineage == origin.lineage and record.spare is None:
        return replace(record, spare=pair)
    return commit(record, by, origin, pair, *rest)


def ignores_lineage(record: Record, by: str, origin: Record, *rest: Any) -> Record | None:
    live = replace(record, state="live") if record.state == "logged_out" else record
    return commit(live, by, replace(origin, lineage=record.lineage, generation=record.generation), *rest)


def first_wins(record: Record, by: str, origin: Record, *rest: Any) -> Record | None:
    return commit(record, by, origin, *rest) if record.generation == origin.generation else None


def keeps_no_spare(record: Record, *rest: Any) -> Record | None:
    done = commit(record, *rest)
    return replace(done, spare=None) if done else None


def earlier_wins(mine: Pair, theirs: Pair) -> bool:
    return (mine.date or 0.0, mine.attempt) < (theirs.date or 0.0, theirs.attempt)


def leaves_the_dead(record: Record, *rest: Any) -> Record | None:
    done = commit(record, *rest)
    return replace(record, spare=done.pair) if done and record.state == "dead" else done


def notes_no_attempt(record: Record, by: str, now: float, lease: float) -> Record:
    return replace(claim(record, by, now, lease), attempt=None)


def never_again(record: Record, now: float, ask: Ask, terms: Terms) -> bool:
    return record.attempt is None or ask.force


def no_confirmation(record: Record, by: str, now: float, error: str) -> Record:
    return doubt(replace(record, doubts=1), by, now, error)


def empty_tombstone(record: Record, by: str, now: float, error: str) -> Record:
    done = doubt(record, by, now, error)
    return replace(done, pair=Pair()) if done.state == "dead" else done


def blames_the_winner(record: Record, origin: Record, *rest: Any) -> tuple[Record | None, Ending | None]:
    return failure(record, replace(origin, lineage=record.lineage, generation=record.generation), *rest)


def keeps_it_to_itself(record: Record, by: str, now: float, *, wait: float = 0.0, **how: Any) -> Record:
    return release(record, by, now, wait=0.0, **how)


def does_not_wait(record: Record, now: float, ask: Ask, terms: Terms) -> Decision:
    return decide(replace(record, retry_at=0.0), now, ask, terms)


def sees_no_tombstone(record: Record, now: float, ask: Ask, terms: Terms) -> Decision:
    return decide(replace(record, state="live") if record.state == "dead" else record, now, ask, terms)


def sees_no_claim(record: Record, now: float, ask: Ask, terms: Terms) -> Decision:
    return decide(replace(record, claim=None), now, ask, terms)


admit = protocol._admit


def takes_any_seed(record: Record | None, seeds: Sequence[Pair], now: float, terms: Terms) -> Record | None:
    for pair in seeds:
        return lineage.reseed(record, pair) if record else admit(record, seeds, now, terms)
    return record


look = Process.look


def own_clock(self: Process) -> Seen:
    return look(self)._replace(now=self.world.now + self.offset)


def never_settled(*given: Any) -> Record:
    return replace(committed(*given), settled=False)


def seeds_first(ask: Ask, terms: Terms) -> Renewal:
    """A process that starts from its seed, whatever the store has."""
    inner, looked = renewal(ask, terms), terms.known is not None
    reply: Any = None
    while True:
        try:
            effect = inner.send(reply)
            reply = yield effect
            if isinstance(effect, Load) and not looked and (yield Bring(reply.now)):
                looked, reply = True, reply._replace(record=None)
        except StopIteration as stop:
            ending: Ending = stop.value
            return ending
        except StoreError as error:
            return Ending(Outcome.STORE_DOWN, reason=str(error))


def claims_without_store(ask: Ask, terms: Terms) -> Renewal:
    """A claim that could not be written counts as one."""
    inner = renewal(ask, terms)
    reply: Any = None
    seen = Seen(None, "", 0.0)
    failed: StoreError | None = None
    while True:
        try:
            effect = inner.throw(failed) if failed else inner.send(reply)
        except StopIteration as stop:
            ending: Ending = stop.value
            return ending
        failed = None
        try:
            reply = yield effect
            seen = reply if isinstance(reply, Seen) else reply[1] if isinstance(reply, tuple) else seen
        except StoreError as error:
            claim = effect.record.claim if isinstance(effect, Swap) else None
            if isinstance(effect, Swap) and claim and claim.by.startswith(terms.me):
                reply = True, seen._replace(record=effect.record)
            else:
                failed = error


def uses_before_it_stores(ask: Ask, terms: Terms) -> Renewal:
    """The waiters go on with the answer, and then it is committed."""
    inner = renewal(ask, terms)
    reply: Any = None
    failed: StoreError | None = None
    granted = False
    while True:
        try:
            effect = inner.throw(failed) if failed else inner.send(reply)
        except StopIteration as stop:
            ending: Ending = stop.value
            return ending
        failed = None
        if granted and isinstance(effect, Swap):
            granted = False
            yield Announce(
                Ending(Outcome.REFRESHED, Seen(effect.record, effect.revision, effect.record.pair.issued_at))
            )
        try:
            reply = yield effect
        except StoreError as error:
            failed = error
        granted = isinstance(effect, Post) and isinstance(reply.answer, Granted)


heal, begin, behind = lineage.heal, lineage.begin, lineage.behind


def never_behind(record: Record, known: Record) -> bool:
    return False


def heals_a_logout(record: Record, known: Record) -> bool:
    return record.state == "logged_out" and record.lineage == known.lineage and known.state == "live"


def heals_another_lineage(record: Record, known: Record) -> bool:
    return record.lineage != known.lineage and known.state == "live"


def heals_with_older(record: Record, known: Record) -> bool:
    return record.lineage == known.lineage and record.generation > known.generation


def heals_without_rest(
    record: Record | None, known: Record | None, now: float, age: float, rest: float
) -> Record | None:
    return heal(record, known, now, age, 0.0)


def sees_no_rest(record: Record, now: float, ask: Ask, terms: Terms) -> Decision:
    return decide(replace(record, rest_until=0.0), now, ask, terms)


def begins_without_rest(grant: str, client: str, name: str, pair: Pair, rest_until: float = 0.0) -> Record:
    return begin(grant, client, name, pair)


def takes_a_long_claim_for_none(record: Record, now: float, ask: Ask, terms: Terms) -> Decision:
    if record.claim and record.claim.until > now + record.claim.lease:
        record = replace(record, claim=None)
    return decide(record, now, ask, terms)


def shortens_the_back_off(record: Record, by: str, now: float, *, wait: float = 0.0, **how: Any) -> Record:
    return replace(release(record, by, now, wait=wait, **how), retry_at=now + wait)


def keeps_the_attempts(record: Record, *given: Any) -> Record:
    return replace(done := committed(record, *given), attempt=record.attempt if done.claim else None)


def forgets_who_asked(seen: Seen, ask: Ask, terms: Terms) -> Any:
    """A failure that finds the store wiped writes its record there as it was."""
    return refresh(seen, ask, replace(terms, rest=0.0))


refresh = protocol._refresh


def drops_the_pair(offers: int) -> Generator[Effect, Any, tuple[Seen, int]]:
    raise StoreError("the pair is dropped")
    yield Load()


def a_lapsed_claim_is_free(record: Record, now: float, ask: Ask, terms: Terms) -> Decision:
    return decide(record, now, ask, replace(terms, rest=0.0))


def takes_a_lost_claim_for_none(
    seen: Seen, record: Record, me: str, lease: float
) -> Generator[Effect, Any, tuple[bool, Seen]]:
    answer: tuple[bool, Seen] = yield Swap(seen.revision, change.claim(record, me, seen.now, lease))
    return answer


_ALL = (
    Mutant(1, "no-compare", "the refused token's successor is not taken", protocol, "_is_answer", never_takes_another),
    Mutant(2, "no-cas", "a write does not compare", ModelStore, "swap", writes_over),
    Mutant(2, "commits-anything", "a commit does not compare generations", change, "commit", commits_anything),
    Mutant(3, "no-resend", "a repeated write is refused", ModelStore, "swap", knows_no_resend),
    Mutant(3, "unknown-commit", "one's own commit is not recognized", change, "commit", takes_its_own_for_a_rivals),
    Mutant(4, "open-gate", "the gate is always open", _Lease, "holds", lambda self: True),
    Mutant(4, "no-heart", "the claim's heart does not beat", policy, "HEARTBEAT", 1e6),
    Mutant(
        4, "deaf-heart", "a heartbeat does not see that the generation is over", _Lease, "covers", lambda *given: True
    ),
    Mutant(
        5, "kept-attempts", "attempts count against the next refresh token", change, "_committed", keeps_the_attempts
    ),
    Mutant(5, "unnoted", "the attempt is not noted", change, "claim", notes_no_attempt),
    Mutant(5, "never-again", "not once more", protocol, "_may_present", never_again),
    Mutant(5, "again-and-again", "again and again", protocol, "_may_present", lambda *given: True),
    Mutant(7, "first-wins", "of two successes the first to commit stays", change, "commit", first_wins),
    Mutant(7, "earlier-wins", "the earlier issued wins", change, "_later", earlier_wins),
    Mutant(7, "no-spare", "no spare is kept", change, "commit", keeps_no_spare),
    Mutant(8, "no-confirmation", "no confirmation", change, "doubt", no_confirmation),
    Mutant(
        8, "blames-winner", "a refusal of the old pair is held against the new", protocol, "_failure", blames_the_winner
    ),
    Mutant(8, "empty-tombstone", "a tombstone without its pair", change, "doubt", empty_tombstone),
    Mutant(8, "late-spare", "a late success leaves a dead grant dead", change, "commit", leaves_the_dead),
    Mutant(9, "shorter-back-off", "a loser shortens a rival's back-off", change, "release", shortens_the_back_off),
    Mutant(9, "unshared-failure", "a failure is not shared", change, "release", keeps_it_to_itself),
    Mutant(9, "unread-back-off", "the shared back-off is not read", protocol, "decide", does_not_wait),
    Mutant(9, "unread-tombstone", "the tombstone is not read", protocol, "decide", sees_no_tombstone),
    Mutant(10, "eager-use", "used before it is stored", protocol, "renewal", uses_before_it_stores),
    Mutant(10, "drops-pair", "a pair that could not be stored is dropped", protocol, "_until_seen", drops_the_pair),
    Mutant(
        10,
        "no-lapse",
        "who finds a lease lapsed does not let its holder speak",
        protocol,
        "decide",
        a_lapsed_claim_is_free,
    ),
    Mutant(
        3, "lost-claim", "a claim whose reply is lost counts for none", protocol, "_claim", takes_a_lost_claim_for_none
    ),
    Mutant(11, "other-login", "a late answer lands on another login", change, "commit", ignores_lineage),
    Mutant(11, "never-heals", "what the store has lost is not brought back", lineage, "behind", never_behind),
    Mutant(11, "heals-logout", "brought back over a logout", lineage, "behind", heals_a_logout),
    Mutant(11, "heals-login", "brought back over another login", lineage, "behind", heals_another_lineage),
    Mutant(11, "heals-older", "brought back although the store has newer", lineage, "behind", heals_with_older),
    Mutant(11, "no-rest", "what was brought back does not rest", lineage, "heal", heals_without_rest),
    Mutant(11, "no-rest-for-seeds", "a seed does not rest", lineage, "begin", begins_without_rest),
    Mutant(
        11,
        "no-rest-after-wipe",
        "what is written over a wiped record does not rest",
        protocol,
        "_refresh",
        forgets_who_asked,
    ),
    Mutant(11, "unread-rest", "the rest is not read", protocol, "decide", sees_no_rest),
    Mutant(
        12,
        "long-claim",
        "a claim a little longer than a lease counts for none",
        protocol,
        "decide",
        takes_a_long_claim_for_none,
    ),
    Mutant(12, "unread-claim", "nobody waits for the holder", protocol, "decide", sees_no_claim),
    Mutant(
        13, "no-claim", "refreshed without a claim when the store is away", protocol, "renewal", claims_without_store
    ),
    Mutant(16, "any-seed", "a dead grant is started again from its own seed", protocol, "_admit", takes_any_seed),
    Mutant(16, "seed-first", "the seed is taken whatever the store has", protocol, "renewal", seeds_first),
    Mutant(17, "own-clock", "the process's own clock", Process, "look", own_clock),
    Mutant(
        17, "never-settled", "early refreshes go on although they move nothing", change, "_committed", never_settled
    ),
)


MUTANTS = {mutant.name: mutant for mutant in _ALL}


@contextmanager
def at_work(name: str) -> Iterator[None]:
    """The machine without this law."""
    mutant = MUTANTS[name]
    with patch.object(mutant.where, mutant.what, mutant.instead):
        yield


def table(most: int = 100_000) -> Iterator[tuple[Mutant, int | None, str]]:
    """Each mutant, the first seed that catches it (None: none does), and the invariant that it breaks."""
    for mutant in _ALL:
        with at_work(mutant.name):
            found = first_failure(range(most))
        yield mutant, found[0] if found else None, str(found[1]) if found else "-"
