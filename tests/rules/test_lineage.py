"""What a holder may write back over a store that has forgotten something (law 11)."""

from __future__ import annotations

import pytest

from oauth_session import policy
from oauth_session.rules import lineage, protocol
from oauth_session.rules import record as change
from oauth_session.rules.effects import Ask, Terms
from oauth_session.rules.protocol import Do
from oauth_session.rules.record import Claim, Pair, Record

OLD = lineage.begin("g", "c", "first", Pair("a0", "r0"))
NEWER = lineage.begin_again(OLD, "first", Pair("a1", "r1"))
ENDED = lineage.end(OLD, "logged_out")
LOGIN = lineage.put(OLD, lineage.begin("g", "c", "second", Pair()), Pair("a2", "r2"))
ELSEWHERE = lineage.put(None, lineage.begin("g", "c", "third", Pair()), Pair("a3", "r3"))


@pytest.mark.parametrize("record", [None, OLD])
@pytest.mark.parametrize("known", [NEWER, ENDED, LOGIN], ids=["a refresh", "a logout", "a new login"])
def test_what_was_lost_is_written_back(record: Record | None, known: Record) -> None:
    """A refresh, a logout and a login that a failover or a wipe has lost come back, to be used and not refreshed at once."""
    healed = lineage.heal(record, known, 100.0, 3.0, 1.0)
    assert healed is not None
    assert (healed.lineage, healed.generation, healed.state) == (known.lineage, known.generation, known.state)
    assert (healed.pair.access_token, healed.pair.issued_at, healed.rest_until) == (
        known.pair.access_token,
        97.0,
        101.0,
    )


@pytest.mark.parametrize(
    ("record", "known"),
    [
        (NEWER, OLD),
        (OLD, OLD),
        (ENDED, OLD),
        (LOGIN, OLD),
        (LOGIN, NEWER),
        (ELSEWHERE, LOGIN),
        (ENDED, LOGIN),
        (OLD, None),
    ],
    ids=["older", "the same", "logged out", "replaced", "replaced too", "another login", "a logout", "nothing known"],
)
def test_what_is_newer_stays(record: Record, known: Record | None) -> None:
    """Nothing is written over a newer generation, a logout, or a login that we know nothing of, whatever its generation."""
    assert lineage.heal(record, known, 100.0, 3.0, 1.0) is None


@pytest.mark.parametrize("logins", [1, policy.SEEDS_REMEMBERED - 1])
def test_an_earlier_login_is_known_again(logins: int) -> None:
    """A login comes back over an earlier one although its record has forgotten the oldest seeds, as long as it knows that
    one's own; over a login that it has never seen, put on top of the earlier one, it does not.
    """
    earlier = ELSEWHERE
    for number in range(policy.SEEDS_REMEMBERED):
        earlier = lineage.put(earlier, lineage.begin("g", "c", f"l{number}", Pair()), Pair("a", f"r{number}"))
    later = earlier
    for number in range(logins):
        later = lineage.put(later, lineage.begin("g", "c", f"m{number}", Pair()), Pair("a", f"s{number}"))
    assert lineage.heal(earlier, later, 100.0, 3.0, 1.0) is not None
    strange = lineage.put(earlier, lineage.begin("g", "c", "strange", Pair()), Pair("a", "never seen"))
    further = lineage.begin_again(later, later.lineage, Pair("a", "refreshed"))
    assert lineage.heal(strange, further, 100.0, 3.0, 1.0) is None


def test_a_claim_survives_healing() -> None:
    """Who refreshes from the older record keeps the claim; one that has lapsed would only make everybody rest twice."""
    claim = Claim("them", 102.0)
    healed = lineage.heal(Record("g", "c", "first", seeds=OLD.seeds, claim=claim), NEWER, 100.0, 3.0, 1.0)
    assert healed is not None
    assert healed.claim == claim
    later = lineage.heal(Record("g", "c", "first", seeds=OLD.seeds, claim=claim), NEWER, 103.0, 3.0, 1.0)
    assert later is not None
    assert later.claim is None


@pytest.mark.parametrize(("rest", "ends"), [(1.0, 102.0 + policy.SPEAK), (4.0, 102.0 + policy.SPEAK), (8.0, 108.0)])
def test_a_claim_that_lapses_in_a_rest_is_no_second_rest(rest: float, ends: float) -> None:
    """A dead holder, whose claim came back with an older record, keeps everybody waiting once: then it is taken over."""
    claim = Claim("dead", 102.0)
    healed = lineage.heal(Record("g", "c", "first", seeds=OLD.seeds, claim=claim), NEWER, 100.0, 3.0, rest)
    assert healed is not None
    ask, terms = Ask((healed.lineage, healed.generation)), Terms("me", policy.RefreshPolicy(), OLD, rest=rest)
    assert (healed.claim, healed.rest_until) == (claim, ends)
    assert protocol.decide(healed, ends - 0.1, ask, terms).do is Do.WAIT
    assert protocol.decide(healed, ends, ask, terms).do is Do.CLAIM
    alive = change.beat(healed, "dead", 101.9)  # it was slow only: it is waited for, and heard
    assert alive is not None
    assert protocol.decide(alive, ends, ask, terms).do is (Do.WAIT if ends < 106.9 else Do.LAPSE)


def test_where_nothing_rests_a_claim_makes_nobody_rest() -> None:
    """Grants that are simply run again."""
    claim = Claim("them", 102.0)
    healed = lineage.heal(Record("g", "c", "first", seeds=OLD.seeds, claim=claim), NEWER, 100.0, 3.0, 0.0)
    assert healed is not None
    assert healed.rest_until == 100.0
