"""A token request on its way: the gate, the wire, the provider, and the way back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from oauth_session.driver import _Lease
from oauth_session.rules.effects import Ask, Seen, Silence
from oauth_session.rules.token_response import Denied, Granted, read_token_response
from oauth_session.testing.answers import Answer, error_answer, json_answer

from .world import ANSWERED, AT_GATE, ON_WIRE, START, Crashed, Steps, Task, World

if TYPE_CHECKING:
    from .process import Process


class Exchange:
    """One POST. Up to the first byte it is the client's; from then on nobody can call it back.

    Attributes:
        gated: the gate was passed.
        on_wire: the bytes have left.
        processed: the provider has minted something.
        committed: what it minted is in the store.
        told: its refusal is.
        overtaken: its process has seen a newer generation.
        blamed: for what, if its refresh token is presented again; only these excuse the loss of a grant.
    """

    def __init__(self, world: World, client: Process, ask: Ask, seen: Seen, lease: _Lease) -> None:
        assert seen.record is not None
        self.world, self.client, self.ask, self.origin, self.lease = world, client, ask, seen.record, lease
        self.refresh_token = seen.record.pair.refresh_token or ""
        self.answer: Granted | Denied | Silence | None = None
        self.gated = self.on_wire = self.processed = self.committed = self.told = False
        self.claimed_at = self.answered_at = seen.now
        self.overtaken, self.slept = False, client.slept
        self.blamed: set[str] = set()
        self._abandoned = False
        self._waiter: Task | None = None
        self._task = world.spawn(self._run(), client)

    @property
    def finished(self) -> bool:
        return self.answer is not None

    @property
    def held(self) -> bool:
        """Whether a process that is alive and awake still has its pair to store, or waits for it."""
        over = self._abandoned or self.committed or isinstance(self.answer, Denied)
        return not over and self.client.frozen <= self.world.now

    @property
    def lost(self) -> bool:
        """Whether what it brought died with its holder or on the way."""
        return not self.committed and (self._abandoned or self.answer is Silence.CUT_OFF)

    def blame(self, kind: str) -> None:
        self.blamed.add(kind)
        self.world.facts[kind] += 1

    def wait(self, until: float) -> Steps:
        """For the answer, at most until then."""
        self._waiter = self.world.running
        yield until
        self._waiter = None

    def abort(self) -> None:
        """The POST's own deadline."""
        self._abandoned = True
        if self.on_wire:
            self.blame("lost_by_holder")
        self.answer = Silence.CUT_OFF if self.on_wire else Silence.NOT_SENT

    def holder_gone(self) -> None:
        self._abandoned = True
        if self.on_wire and not self.committed and not isinstance(self.answer, Denied):
            self.blame("lost_by_holder")

    def holder_frozen(self) -> None:
        """Longer than the lease, while in flight or about to be written: a limit that DESIGN section 6 names."""
        if self.gated and not self.on_wire:
            self.blame("late_write")
        if self.gated and not self.committed and not isinstance(self.answer, Denied):
            self.blame("lost_by_holder")

    # -- its way

    def _finish(self, answer: Granted | Denied | Silence) -> None:
        if self._abandoned:
            return
        self.answer, self.answered_at = answer, self.world.now
        if self._waiter is not None:
            self._waiter.wake = self.world.now

    def _run(self) -> Steps:
        world, client = self.world, self.client
        yield world.now + world.chooser.span("wire")
        kind = client.suffer(AT_GATE)
        if client.frozen > world.now:
            yield world.now
        if self._abandoned:
            return
        if kind == "not_sent":
            world.log(client.name, "POST", "no connection")
            return self._finish(Silence.NOT_SENT)
        if not self.lease.holds():
            world.log(client.name, "POST", "stopped at the gate: the claim is lost")
            return self._finish(Silence.CLAIM_LOST)
        world.laws.passing(self)
        self.gated = True
        kind = client.suffer(ON_WIRE)
        if client.frozen > world.now:
            yield world.now
        if self._abandoned and not self.on_wire:
            return
        self.on_wire = True
        world.laws.sending(world, self)
        world.log(client.name, "POST", f"sends {short(self.refresh_token)}")
        self._task.owner = None
        yield world.now + world.chooser.span("wire")
        if kind == "dropped":
            world.log("provider", "drops it unprocessed")
            return self._finish(Silence.CUT_OFF)
        answer = self._lag() if kind == "lag" else self._process()
        try:
            kind = None if self._abandoned else client.suffer(ANSWERED)
        except Crashed:
            return
        yield world.now + world.chooser.span("wire")
        if kind == "answer_lost":
            if self.processed:
                self.blame("lost_by_holder")
            world.log(client.name, "POST", "the answer is lost")
            return self._finish(Silence.CUT_OFF)
        granted_or_denied = read_token_response(*answer)
        world.log(client.name, "POST is answered", str(granted_or_denied))
        self._finish(granted_or_denied)

    def _lag(self) -> Answer:
        """A replica that has not heard of this token yet (gitlab#599181)."""
        self.world.log("provider", "a lagging replica says invalid_grant")
        return error_answer(400, "invalid_grant")

    def _process(self) -> Answer:
        world, model = self.world, self.world.model
        since, until = world.setting.outage
        if since <= world.now - START < until:
            late = world.now - START > (since + until) / 2
            world.log("provider", "is down", "503" + (", Retry-After: 5" if late else ""))
            return json_answer(503, {"error": "temporarily_unavailable"}, {"Retry-After": "5"} if late else {})
        world.laws.presenting(world, self)
        if world.setting.fixed_end:
            model.expires_in = max(1, int(START + world.setting.lifetime - world.now))
        form = {"grant_type": "refresh_token", "refresh_token": self.refresh_token, "client_id": model.client_id}
        answer = model.token(form, world.now)
        if not world.setting.dated:
            del answer.headers["Date"]
        self.processed = answer.status == 200
        world.log("provider", f"processes {short(self.refresh_token)}", str(answer.status))
        world.laws.answered(world, self, answer)
        return answer


def short(token: str | None) -> str:
    """A token's kind and serial."""
    return "-".join((token or "none").split("-")[:2])
