"""What must hold in every schedule, checked from the outside: from what the store, the provider and the callers see.

I1  Without crash, stall, partition or rollback: one refresh per expiry, as many as there are generations, no refresh
    token presented twice, the family alive, and everybody has a token that works.
I2  A grant is lost only where DESIGN section 6 says that it can be; with a grace that covers it, never.
I3  Every client ends in bounded time with a token or a named outcome.
I4  The generation never goes down.
I5  A loser never removes a winner; nothing stale lands on a logout or on another login.
I6  A dead grant costs at most two token calls for each pair that the record holds.
I7  A tombstone keeps the pair, and stands only on a dead grant.
I8  While the record says wait, nobody asks the provider.
I9  Of two successes the last issued is current.
I10 A token is used only after its pair was stored, unless that was announced.
I11 After an attempt without an answer the refresh token goes out once more; more often only within a known grace.
I12 Who has seen a newer generation writes no more.
I13 A refresh that moved no expiry is the last early one.
I14 A record that was seeded or brought back rests before it is refreshed.
I15 Nobody brings back what it knows to be replaced or logged out.
I16 What the store has forgotten is brought back before it is refreshed, if somebody who holds it has looked.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from oauth_session import policy
from oauth_session.rules import record_json
from oauth_session.rules.effects import Ask, Ending, Outcome
from oauth_session.rules.protocol import is_stale
from oauth_session.rules.record import Record
from oauth_session.rules.token_response import DenialKind, Denied, Granted
from oauth_session.testing.answers import Answer

from .world import Violation, World

if TYPE_CHECKING:
    from .process import Flight, Process
    from .wire import Exchange

NEVER_MIND = 1000


class Laws:
    """Follows one schedule and raises `Violation` at the first law that does not hold."""

    def __init__(self) -> None:
        self.quiet_until = self.quiet_since = 0.0
        self.dead_calls = 0
        self.unmoved = 0.0  # until when there is no reason for another early refresh
        self.on_wire: dict[str, list[Exchange]] = {}  # by refresh token
        self.claims: Counter[str] = Counter()  # by refresh token
        self.reused: list[tuple[int | None, str]] = []  # (family, refresh token) of each incident at the provider
        self.minted: dict[str, list[Exchange]] = {}
        self.presented: dict[str, int] = {}  # refresh token -> how often, forced ones apart
        self.stored: set[str] = set()  # access tokens that the store has had
        self.family: int | None = None  # of the login that the store knows last
        self.revoked: int | None = None  # the family that the provider has revoked before it began
        self.resting = (0.0, 0.0)  # since and until when the record rests
        self.over: set[tuple[str, str]] = set()  # (client, a lineage that it knows to be over)
        self.outcomes: list[str] = []

    # -- the store

    def wrote(self, world: World, client: Process, old: Record | None, new: Record) -> None:
        flight = client.flight
        exchange = flight.exchange if flight else None
        answer = exchange.answer if exchange else None
        own = isinstance(answer, Granted) and answer.access_token == new.pair.access_token
        own = own and exchange is not None and not exchange.committed
        known = new.pair.access_token in self.stored and not own
        if new.pair.access_token:
            self.stored.add(new.pair.access_token)
        claim, before = new.claim, old.claim if old else None
        if claim and (before is None or claim.by != before.by):
            self.claims[new.pair.refresh_token or ""] += 1
            lost = world.facts[
                "reply_lost"
            ]  # with two, that of a claim and that of the look that asks what became of it
            calm = lost < 2 and world.faults == world.facts["resent"] + lost
            if calm and new.attempt and new.attempt.number > 1:
                raise Violation("I11", "a second attempt, although nothing happened to the first")
        if old is None or client.name[0] == "Z":
            self.resting = (0.0, 0.0)
            self.family = world.model.family_of(new.pair.refresh_token or "")
            self.quiet_until = self.unmoved = 0.0
            if known:
                self._brought(world, client, new)
            return
        if new.lineage != old.lineage and old.state == "live" and not (known and world.store.forgot_at):
            raise Violation("I5", "another login was replaced")
        if (old.state, new.state) == ("dead", "live") and new.pair.refresh_token == old.pair.refresh_token:
            raise Violation("I5", "a dead grant was started again from the token that it died with")
        if new.spare and new.spare.access_token == new.pair.access_token:
            raise Violation("I9", "the spare is the pair itself")
        if old.state in ("logged_out", "revoked"):
            if new != old and new.state == "live":
                raise Violation("I5", f"a {old.state} grant came back")
            return
        if new.generation < old.generation:
            raise Violation("I4", f"generation {old.generation} -> {new.generation}")
        if new.generation != old.generation:
            self._grew(world, old, new)
            if known:
                self.unmoved = 0.0  # that was no refresh
                if new.lineage == old.lineage:
                    self._brought(world, client, new)
        if exchange is not None and exchange.finished and flight is not None and exchange.ask is flight.ask:
            self._told(world, exchange, old, new)
        if new.state == "dead" and old.state != "dead":
            self._died(world, exchange, old, new)

    def forgot(self, world: World, dropped: Record | None) -> None:
        """The store is back at an earlier record, or at none."""
        record = world.store.record
        if dropped and (record is None or record.generation < dropped.generation):
            world.facts["commit_lost"] += 1
        self.quiet_until = self.unmoved = 0.0
        self.dead_calls = 0
        self.resting = (0.0, 0.0)
        self.family = world.model.family_of(record.pair.refresh_token or "") if record else None
        if world.facts["forgot"]:
            self.over.clear()  # what was over may be true again

    def learnt(self, client: Process, record: Record) -> None:
        """What a process knows now; called with what it had known before still in its memory."""
        before, over = client.memory, record.state in ("logged_out", "revoked")
        if before is not None and (record.lineage != before.lineage or over):
            self.over.add((client.name, before.lineage))
        self.over.discard((client.name, record.lineage if record.state == "live" else ""))

    def crashed(self, client: Process) -> None:
        """The process that comes after it knows nothing."""
        self.over = {(name, lineage) for name, lineage in self.over if name != client.name}

    def _brought(self, world: World, client: Process, record: Record) -> None:
        """A record came from a process's memory, or from a seed."""
        world.facts["healed" if record.generation else "seeded_again"] += 1
        if (client.name, record.lineage) in self.over:
            raise Violation("I15", f"{client.name} brings back a lineage that it knows to be over")
        self.resting = (world.now, client.looked_at + world.rest)

    def _grew(self, world: World, old: Record, new: Record) -> None:
        self.quiet_until = 0.0
        self.resting = (0.0, 0.0)
        ends, ended = (None if p.lifetime is None else p.issued_at + p.lifetime for p in (new.pair, old.pair))
        still = ends is not None and ended is not None and old.pair.access_token is not None and ends <= ended + 1
        usable_for = world.rules.expired_after(new.pair.lifetime or 0.0)
        self.unmoved = new.pair.issued_at + usable_for if still else 0.0
        self.dead_calls = 0  # another pair, another try: a late success may be all that is left
        family = world.model.family_of(new.pair.refresh_token or "")
        if new.lineage != old.lineage:
            self.family = family
        elif family != self.family and new.state == "live":
            raise Violation("I5", "a late answer landed on another login")
        if new.spare and new.spare.date and new.pair.date and new.spare.date > new.pair.date:
            raise Violation("I9", "the earlier of two successes became current")

    def _told(self, world: World, exchange: Exchange, old: Record, new: Record) -> None:
        """The first write after an answer shares it with everybody."""
        answer = exchange.answer
        if isinstance(answer, Granted):
            pairs = (new.pair, new.spare)
            if any(pair and pair.access_token == answer.access_token for pair in pairs):
                exchange.committed = True
        elif isinstance(answer, Denied) and not exchange.told:
            exchange.told = True
            if answer.kind is not DenialKind.TRANSIENT or exchange.client.slept != exchange.slept:
                return  # a machine that slept counts the back-off from before its sleep: one call too early at most
            if (old.lineage, old.generation) != (exchange.origin.lineage, exchange.origin.generation):
                return  # there is a newer pair, with a back-off of its own
            self.quiet_since = world.now
            least = max(answer.retry_after or 0.0, policy.BACKOFF_FIRST * 0.5 * 2 ** min(old.failures, 5))
            self.quiet_until = exchange.answered_at + least

    def _died(self, world: World, exchange: Exchange | None, old: Record, new: Record) -> None:
        if new.pair.refresh_token is None or new.pair != old.pair:
            raise Violation("I7", "the tombstone does not keep the pair")
        if exchange is None or exchange.refresh_token != old.pair.refresh_token:
            raise Violation("I5", "a loser made a tombstone of a winner's pair")
        if usable(world, old) and world.facts["lag"] < 2:
            raise Violation("I7", "a tombstone on a grant that is alive")

    # -- the provider

    def passing(self, exchange: Exchange) -> None:
        """The gate: from here on, the process cannot stop it."""
        if exchange.overtaken:
            raise Violation("I12", "a POST of a refresh token that is known to be spent")

    def sending(self, world: World, exchange: Exchange) -> None:
        since, until = self.resting
        if since < exchange.claimed_at < until and not exchange.ask.force:
            raise Violation("I14", f"a POST of a record that rests for another {until - world.now:.2f} s")
        late = world.store.record is None or world.store.record.generation != exchange.origin.generation
        if exchange.ask.early and world.now < self.unmoved and not late:
            raise Violation("I13", "an early refresh, although the last one moved nothing")
        self.on_wire.setdefault(exchange.refresh_token, []).append(exchange)
        if world.now < self.quiet_until and not exchange.ask.force and exchange.claimed_at >= self.quiet_since:
            raise Violation("I8", f"a POST {self.quiet_until - world.now:.2f} s before the back-off ends")

    def presenting(self, world: World, exchange: Exchange) -> None:
        token, record = exchange.refresh_token, world.store.record
        if exchange.ask.force:
            return
        self.presented[token] = times = self.presented.get(token, 0) + 1
        others = [other for other in self.on_wire[token] if other is not exchange and other.held]
        overtaken = record is not None and record.generation > exchange.origin.generation
        if others or overtaken:
            forgot_at = world.store.forgot_at
            for each in self.on_wire[token]:
                cut = max(each.client.failed_at, forgot_at) >= each.claimed_at
                offering = isinstance(each.answer, Granted) and each.held and each is not exchange
                if cut and not (offering and max(each.client.parted_until, forgot_at) < each.claimed_at):
                    each.blame("ousted")
        if token in self.minted and not overtaken and not others and world.store.forgot_at:
            exchange.blame("rolled_back")  # the store has forgotten what this refresh token brought
            if any(_could_have_spoken(world, client, exchange) for client in world.clients):
                raise Violation("I16", "a POST from a record that the store was set back to, past a newer holder")
        if overtaken:
            world.facts["overtaken"] += 1  # nobody can call back what is on the wire
        if times > 1 and not world.impaired and world.setting.start != "dead":
            raise Violation("I1", "a refresh token was presented twice")
        forgets = world.facts["forgot"] + world.facts["wiped"]
        late = any("late_write" in each.blamed for each in self.on_wire[token])
        if times > 2 + forgets and not world.setting.reuse_grace and not late:
            raise Violation("I11", "a refresh token was presented three times")
        if record is None or record.state != "live":
            return
        if not usable(world, record):
            self.dead_calls += 1
            if self.dead_calls > 2 + world.faults:  # each may keep an answer from being heard or shared
                raise Violation("I6", f"{self.dead_calls} token calls for a dead grant")
        elif exchange.origin.generation != record.generation:
            return  # a login meanwhile
        elif not world.impaired and fit(world, record):
            raise Violation("I1", "a refresh although the current token is good")

    def answered(self, world: World, exchange: Exchange, answer: Answer) -> None:
        """The provider has decided; what it refused may be asked once more, to confirm (law 8)."""
        if answer.status == 200:
            self.minted.setdefault(exchange.refresh_token, []).append(exchange)
        else:
            self.presented[exchange.refresh_token] = -NEVER_MIND
        family = world.model.family_of(exchange.refresh_token)
        if world.model.reuse_incidents > len(self.reused):
            self.reused.append((family, exchange.refresh_token))

    # -- the callers

    def used(self, world: World, client: Process, access: str) -> None:
        if access not in self.stored and not world.facts["unpersisted"]:
            raise Violation("I10", f"{client.name} uses a token that was never stored")

    def told(self, world: World, client: Process, ask: Ask, outcome: str, asked: float) -> None:
        self.outcomes.append(outcome)

    def ended(self, world: World, client: Process, flight: Flight, ending: Ending, started: float) -> None:
        took = world.now - started
        if took > 90 + 70 * world.faults:
            raise Violation("I3", f"a renewal took {took:.0f} s")
        record = ending.seen.record if ending.seen else None
        if record is None:
            return
        token = record.pair.refresh_token or ""
        if ending.outcome is Outcome.UNKNOWN and self.claims[token] < 2:
            raise Violation("I11", "given up after one attempt without an answer")
        answers = ending.outcome is Outcome.ADOPTED and not flight.ask.early
        if answers and (record.lineage, record.generation) == flight.ask.unlike:
            raise Violation("I3", "the refused token is the answer")

    def finished(self, world: World) -> None:
        """All is over, and the last client has tried to get a token in peace."""
        record, facts = world.store.record, world.facts
        if record is None and any(client.memory for client in world.clients):
            raise Violation("I16", "the store was wiped, and who held the pair did not bring it back")
        if record is None or record.state in ("logged_out", "revoked"):
            return
        if record_json.load(record_json.dump(record), "g") != record:
            raise Violation("I3", "the record does not survive its own text")
        setting, model = world.setting, world.model
        if not world.impaired and not setting.logins:
            if model.generations != record.generation:
                raise Violation("I1", f"{model.generations} refreshes, generation {record.generation}")
            calm = world.faults == world.facts["resent"] and setting.start != "dead" and not any(setting.outage)
            if calm and not set(self.outcomes) <= {"refreshed", "adopted", "held"}:
                raise Violation("I1", f"without any fault: {self.outcomes}")
        if model.family_of(record.pair.refresh_token or "") == self.revoked:
            return
        if usable(world, record) and record.state == "live":
            return
        family = model.family_of(record.pair.refresh_token or "")
        again = next((token for of, token in self.reused if of == family), None)  # what the provider has revoked it for
        excused = facts["lag"] > 1 and record.state == "dead" and usable(world, record)
        if again is not None and setting.grace in ("none", "until_used"):
            excused |= any(each.blamed for each in self.on_wire[again])
        if setting.grace in ("until_used", "newest_only") and (facts["overtaken"] or facts["commit_lost"]):
            excused = True  # these graces end with the success of another, or end what another got
        died = any(len(several) > 1 and several[-1].lost for several in self.minted.values())
        if setting.grace == "newest_only" and died:
            excused = True
        if setting.grace == "until_used" and facts["unpersisted"]:
            excused = True  # law 10: what was used before it was stored has ended this grace
        if not excused:
            raise Violation("I2", f"the grant is lost ({record.state}); {dict(facts)}")


def usable(world: World, record: Record) -> bool:
    """Whether the provider would still take what the record holds."""
    return any(pair is not None and _buys(world, pair.refresh_token or "") for pair in (record.pair, record.spare))


def _buys(world: World, token: str) -> bool:
    known = world.model._refresh.get(token)
    if known is None or known.dead or known.family.revoked:
        return False
    return known.spent_at is None or world.model._in_grace(known, world.now)


def _could_have_spoken(world: World, client: Process, exchange: Exchange) -> bool:
    """Whether a process that holds a newer pair has looked at the store since that was lost, and before this was claimed."""
    record, lost_at = client.memory, world.store.forgot_at
    newer = record and record.lineage == exchange.origin.lineage and record.generation > exchange.origin.generation
    heard = lost_at < client.spoke_at < exchange.claimed_at - 0.1 and client.failed_at < lost_at
    return bool(newer and heard and client.frozen < lost_at)


def fit(world: World, record: Record) -> bool:
    """Whether the current access token is good, and not yet due for renewal."""
    known = world.model._access.get(record.pair.access_token or "")
    good = known is not None and not known.dead and not known.family.revoked and world.now < known.expires_at
    return good and not is_stale(record, world.now, world.rules)
