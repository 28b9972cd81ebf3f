"""Claims, attempts and pairs: small faults that the simulator found, each held down."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import pytest

from oauth_session import driver, policy
from oauth_session.driver import Driver, Ledger
from oauth_session.exchange import Answer, Exchange
from oauth_session.flight import Flight
from oauth_session.policy import RefreshPolicy
from oauth_session.rules import lineage, protocol
from oauth_session.rules import record as change
from oauth_session.rules.effects import Ask, Outcome, Post, Posted, Seen, Sleep, Swap, Terms
from oauth_session.rules.protocol import Do
from oauth_session.rules.record import Claim, Pair, Record
from oauth_session.rules.token_request import TokenRequest
from oauth_session.rules.token_response import read_token_response
from oauth_session.stores import MemoryStore
from oauth_session.stores.values import GrantKey

NOW = 1_750_000_000.0
PAIR = Pair("at-1", "rt-1", issued_at=NOW, lifetime=60.0)
RECORD = lineage.begin("g", "c", "lineage", PAIR)
ASK = Ask(("lineage", 0))
TERMS = Terms("ffff0000", RefreshPolicy(), RECORD)


@pytest.mark.parametrize("ahead", [0.0, 0.001, 2.0])
def test_a_claim_a_little_longer_than_a_lease_is_waited_for(ahead: float) -> None:
    """Law 12: a holder whose idea of the store's clock is ahead, by a slow command, keeps its claim."""
    record = change.claim(RECORD, "rival", NOW + ahead)
    assert protocol.decide(record, NOW, ASK, TERMS).do is Do.WAIT


def test_a_claim_from_before_the_clock_was_set_back_is_taken_over() -> None:
    """Law 12: nobody waits an hour for a claim that reaches far beyond a lease."""
    record = change.claim(RECORD, "rival", NOW + 3600)
    assert protocol.decide(record, NOW, ASK, TERMS).do is Do.CLAIM


def test_who_has_lost_the_claim_does_not_shorten_the_back_off() -> None:
    """Law 9: a Retry-After that a rival has brought stands, whoever gives up after it."""
    record = replace(RECORD, retry_at=NOW + 60)
    assert change.release(record, "loser", NOW, outcome="transient", wait=1.0).retry_at == NOW + 60


def test_a_failure_without_a_wait_is_no_back_off() -> None:
    """Law 9: who gives a claim back with nothing to wait for looks again at once, by a clock that is a moment behind."""
    mine = change.claim(RECORD, "me", NOW)
    released = change.release(mine, "me", NOW + 0.001, outcome="claim_lost")
    assert protocol.decide(released, NOW, ASK, TERMS).do is Do.CLAIM


def test_a_late_commit_takes_a_rivals_attempt_away() -> None:
    """Law 5: attempts at the refresh token before do not count against the new one, which was never presented."""
    first = change.claim(RECORD, "first", NOW)
    both = change.claim(first, "second", NOW + 6)
    done = change.commit(both, "first", first, Pair("at-2", "rt-2"), None, NOW + 7)
    assert done is not None
    assert done.claim is not None
    assert protocol.decide(done, NOW + 20, Ask(("lineage", 1)), TERMS).do is Do.CLAIM
    again = change.claim(done, "third", NOW + 20)
    assert protocol.decide(again, NOW + 30, Ask(("lineage", 1)), TERMS).do is Do.CLAIM


class Slow:
    """An endpoint that does `what` once the request is due, and then answers 503."""

    timeout = 20.0

    def __init__(self, what: Callable[[Callable[[], bool]], None]) -> None:
        self.what = what

    def begin(self, request: TokenRequest, may_write: Callable[[], bool]) -> Exchange:
        def send() -> Answer:
            self.what(may_write)
            return Answer(503, {}, json.dumps({"error": "temporarily_unavailable"}).encode())

        return Exchange(send, may_write)


def refresh(ledger: Ledger, what: Callable[[Callable[[], bool]], None]) -> Record:
    """One renewal of a record that is stored first."""
    ledger.swap("", replace(RECORD, pair=replace(PAIR, issued_at=time.time())))
    request = TokenRequest("https://auth.example.com/token", {}, b"")
    runs = Driver(
        ledger, Slow(what), lambda pair: request, lambda now: [], lambda ending: None, lambda *seen: None, Flight(Ask())
    )
    assert runs.run(protocol.renewal(ASK, TERMS)).outcome is Outcome.TRANSIENT
    record = ledger.load().record
    assert record is not None
    return record


def test_the_back_off_counts_from_the_answer() -> None:
    """Law 9: what was waited for the answer is not taken off the back-off."""
    ledger = Ledger(MemoryStore(), GrantKey("00", "g"))
    answered = []

    def slowly(may_write: Callable[[], bool]) -> None:
        time.sleep(0.7)  # less than a heartbeat: no look at the store meanwhile
        answered.append(time.time())

    assert refresh(ledger, slowly).retry_at >= answered[0] + policy.BACKOFF_FIRST / 2


def test_a_commit_meanwhile_closes_the_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Law 4: who holds a claim of a generation that is over, by a late commit, does not write to the socket."""
    monkeypatch.setattr(policy, "HEARTBEAT", 0.02)
    ledger = Ledger(MemoryStore(), GrantKey("00", "g"))
    closed = threading.Event()

    def late_commit(may_write: Callable[[], bool]) -> None:
        assert may_write()
        ledger.update(
            lambda record, now: record and replace(record, generation=record.generation + 1, pair=replace(PAIR))
        )
        end = time.monotonic() + 2
        while time.monotonic() < end:
            if not may_write():
                closed.set()
                return
            time.sleep(0.01)

    refresh(ledger, late_commit)
    assert closed.is_set()


def test_a_wiped_record_that_is_written_again_rests() -> None:
    """Law 11: a failure that finds the store wiped leaves a record that others may heal before it is refreshed."""
    terms = replace(TERMS, rest=5.0)
    run = protocol.renewal(ASK, terms)
    next(run)
    claim = run.send(Seen(RECORD, "r0", NOW))
    assert isinstance(claim, Swap)
    seen = Seen(claim.record, "r1", NOW)
    assert isinstance(run.send((True, seen)), Post)
    answer = read_token_response(503, {}, b"")
    written = run.send(Posted(answer, Seen(None, "", NOW + 1)))
    assert isinstance(written, Swap)
    assert written.record.rest_until == NOW + 6


def doubted(record: Record) -> Record:
    told = change.doubt(change.claim(record, "me", NOW), "me", NOW, "invalid_grant")
    assert told is not None
    return told


def test_one_refusal_does_not_cost_the_pair_that_has_a_spare() -> None:
    """Law 8: a lagging replica refuses the good pair once; the spare is tried, refused, and the pair asked again."""
    good, bad = Pair("at-3", "rt-3"), Pair("at-2", "rt-2")
    record = replace(RECORD, pair=good, spare=bad)
    for pair, waits in ((bad, False), (good, True)):
        record = doubted(record)
        assert (record.state, record.pair) == ("live", pair)
        assert (record.retry_at > NOW) is waits
    record = doubted(record)
    assert (record.state, record.pair) == ("dead", good)


def test_one_refusal_that_is_told_twice_confirms_nothing() -> None:
    """Law 8: its first telling stood although the reply was lost, and another has asked meanwhile."""
    told = change.doubt(change.claim(RECORD, "me", NOW), "me", NOW, "invalid_grant")
    assert told is not None
    rival = change.claim(told, "rival", NOW + 2)
    for record in (told, rival, change.release(rival, "rival", NOW + 3, outcome="transient")):
        assert change.doubt(record, "me", NOW + 4, "invalid_grant") is None
    confirmed = change.doubt(rival, "rival", NOW + 3, "invalid_grant")
    assert confirmed is not None
    assert confirmed.state == "dead"
    assert change.doubt(confirmed, "me", NOW + 4, "invalid_grant") is None


def test_a_refusal_does_not_shorten_the_back_off_that_a_rival_was_given() -> None:
    """Law 9: `Retry-After` came with a late answer while the claim was ours; a clock set back does not make it endless."""
    mine = change.claim(RECORD, "me", NOW)
    told = change.release(mine, "rival", NOW + 1, outcome="transient", wait=5.0)
    doubted = change.doubt(told, "me", NOW + 2, "invalid_grant")
    assert doubted is not None
    assert doubted.retry_at == NOW + 6
    far = replace(mine, retry_at=NOW + 1e9)
    assert change.release(far, "me", NOW, outcome="transient").retry_at == NOW + policy.BACKOFF_LONGEST


def test_of_three_successes_the_two_last_issued_are_kept() -> None:
    """Law 7: a pair that comes last but was issued first does not take the spare's place."""
    origin = change.claim(RECORD, "first", NOW)
    done = origin
    for name, date, best, spare in (("second", 8.0, "second", None), ("third", 7.0, "second", "third")):
        kept = change.commit(done, name, origin, Pair(name, f"rt-{name}", date=NOW + date), None, NOW + 9)
        assert kept is not None
        assert (kept.pair.access_token, kept.spare and kept.spare.access_token) == (best, spare)
        done = kept
    late = change.commit(done, "first", origin, Pair("first", "rt-first", date=NOW + 1), None, NOW + 40)
    assert late is not None
    assert (late.pair.access_token, late.spare and late.spare.access_token) == ("second", "third")


def test_what_a_renewal_has_seen_it_brings_back() -> None:
    """Law 11: a newer generation that the store loses in the middle of a renewal is not forgotten with it."""
    newer = replace(RECORD, generation=RECORD.generation + 1, pair=Pair("at-2", "rt-2"), claim=Claim("rival", NOW + 5))
    run = protocol.renewal(Ask((RECORD.lineage, newer.generation)), replace(TERMS, known=RECORD))
    next(run)
    assert isinstance(run.send(Seen(newer, "r1", NOW)), Sleep)
    swap = run.send(Seen(None, "", NOW + 1))
    assert isinstance(swap, Swap)
    assert (swap.record.generation, swap.record.pair.refresh_token) == (newer.generation, "rt-2")


def test_a_machine_that_sleeps_before_the_claims_reply_has_lost_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Law 4: the monotonic clock stands still in a suspended machine, so the wall clock of before the claim counts."""
    wall = [1000.0]
    monkeypatch.setattr(driver, "time", SimpleNamespace(monotonic=lambda: 50.0, time=lambda: wall[0]))
    asked = driver._clocks()
    wall[0] += 60
    assert not driver._Lease(Seen(change.claim(RECORD, "me", NOW), "r1", NOW), asked).holds()


def test_a_late_success_brings_a_dead_grant_back() -> None:
    """Law 8: the earlier pair of two is confirmed dead when the answer with the later one comes; that one is alive."""
    first = change.claim(RECORD, "first", NOW)
    second = change.claim(first, "second", NOW + 6)
    done = change.commit(second, "second", second, Pair("at-2", "rt-2", date=NOW + 9), None, NOW + 10)
    assert done is not None
    late = Pair("at-3", "rt-3", date=NOW + 8)
    again = change.commit(replace(done, state="dead"), "first", first, late, None, NOW + 60)
    assert again is not None
    assert (again.state, again.pair, again.generation) == ("live", late, 2)


def test_a_lost_logout_is_brought_back() -> None:
    """Law 11: who knows of a logout that the store has lost writes it there again, over no record and over an older one."""
    out = lineage.end(RECORD, "logged_out")
    for there in (None, RECORD):
        healed = lineage.heal(there, out, NOW, 0.0, 1.0)
        assert healed is not None
        assert (healed.state, healed.generation) == ("logged_out", 1)
    assert lineage.heal(replace(RECORD, lineage="another login", seeds=("another",)), out, NOW, 0.0, 1.0) is None
