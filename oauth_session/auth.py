"""The main door: an `auth=` for any requests session or call, and the two steps that every door takes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from time import perf_counter
from typing import Any, Protocol
from urllib.parse import urljoin

from requests import PreparedRequest, Response
from requests.auth import AuthBase

from . import dpop
from .errors import InvalidGrant
from .events import Event, InteractionRequired, Listeners, NotRefreshed, NotReplayable, Replayed
from .flight import Renewed
from .held import Held
from .marks import Marked
from .rules.detection import Detection, Judgement, Verdict
from .rules.flow import BEARER, HEADER, Placement, challenges, drain, is_idempotent, read_body, replay_of
from .rules.interaction import interaction_of
from .rules.origins import Guard, origin_of
from .telling import tell

Send = Callable[..., Response]


class Source(Protocol):
    """Where the tokens come from."""

    def token(self, timeout: float | None = None) -> Held:
        """One that is fit to send."""

    def renew(self, unlike: Held, origin: str) -> Renewed:
        """Another than the one that this origin refused."""

    def refused_again(self, renewed: Renewed, origin: str) -> None:
        """The other was refused too."""

    def accepted(self, held: Held, origin: str, after_refusal: bool) -> None:
        """A request went through."""


class TokenAuth(AuthBase):
    """Attaches the grant's token to requests to its own origins, and follows up when one is refused.

    Made by `OAuthClient.auth`; give it to any session or call as `auth=`. Safe for threads: it keeps no state of a
    request. An `Authorization` header that is there already wins, and nothing is followed up then.
    """

    def __init__(
        self,
        source: Source,
        guard: Guard,
        detection: Detection,
        *,
        grant_id: str,
        listeners: Listeners = (),
        remake: Callable[[], tuple[Any, ...]] | None = None,
        placement: Placement = BEARER,
    ) -> None:
        self.source, self.guard, self.detection, self.placement = source, guard, detection, placement
        self.grant_id, self._listeners, self._remake = grant_id, listeners, remake

    def __repr__(self) -> str:
        return f"<TokenAuth grant={self.grant_id!r}>"

    def __reduce__(self) -> tuple[Any, ...]:
        if self._remake is None:
            raise TypeError("this TokenAuth cannot be pickled: make it with OAuthClient.auth()")
        return self._remake()

    def __copy__(self) -> TokenAuth:
        return self  # a copy shares the grant

    def __deepcopy__(self, memo: dict[int, Any]) -> TokenAuth:
        return self

    def within(self, guard: Guard) -> TokenAuth:
        """The same door for other origins."""
        return TokenAuth(
            self.source,
            guard,
            self.detection,
            grant_id=self.grant_id,
            listeners=self._listeners,
            remake=lambda: (TokenAuth.within, (self, guard)),
            placement=self.placement,
        )

    # -- attach ------------------------------------------------------------------------------------------------------

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        held = self.attach(request)
        if held is not None:
            request.hooks["response"] = Marked(request.hooks["response"], _FollowUp(self, held))
        return request

    def attach(self, request: PreparedRequest) -> Held | None:
        """Set the header if the request may have the token; the answer remembers which one travels.

        Raises:
            OAuthSessionError: there is no token, for the reason that its class says; nothing was sent.
        """
        if self.placement.header in request.headers or not self.guard.allows(request.url or ""):
            return None
        held = self.source.token()
        request.headers[self.placement.header] = self.placement.value(held.token)
        dpop.prove(request, held.token)
        return held

    # -- follow up ---------------------------------------------------------------------------------------------------

    def follow_up(self, response: Response, held: Held, send: Send, options: dict[str, Any]) -> Response:
        """After the answer: if it refuses our token as expired, get another and send the request once more.

        Returns the response that the caller shall see: the replay's, or the refusal itself when nothing can be done.

        Raises:
            InvalidGrant: the provider says for good that there will be no other token.
        """
        request = response.request
        url = request.url or ""
        travels = request.headers.get(self.placement.header)
        if travels != self.placement.value(held.token) or not self.guard.allows(url):
            return response  # a redirect has taken the token off, or led away
        judgement = self._judge(response, held)
        if _wants_proof(response, judgement, held):
            answer = self._replay(response, held, send, options)
            if answer is not None:
                response, judgement = answer, self._judge(answer, held)
        if judgement.verdict is Verdict.ACCEPTED and not held.holds:
            return response
        origin = origin_of(url) or url
        if judgement.verdict not in (Verdict.EXPIRED, Verdict.MAYBE):
            if judgement.verdict is Verdict.ACCEPTED:
                self.source.accepted(held, origin, after_refusal=False)
            elif (wanted := interaction_of(challenges(response))) is not None:
                self._tell(InteractionRequired, held, origin, reason=str(wanted))
            return response
        renewed = self.source.renew(held, origin)
        if renewed.held is None:
            return self._stay(response, renewed, origin)
        replay = None
        if judgement.replay == "always" or is_idempotent(request):
            replay = self._replay(response, renewed.held, send, options)
        if replay is None:
            self._tell(NotReplayable, renewed.held, origin)
            return response
        judgement = self._judge(replay, renewed.held)
        if judgement.verdict is Verdict.NONCE:  # it may change just then: the two counters are apart
            replay = self._replay(replay, renewed.held, send, options) or replay
            judgement = self._judge(replay, renewed.held)
        if judgement.verdict in (Verdict.EXPIRED, Verdict.MAYBE):
            self.source.refused_again(renewed, origin)
        else:
            self.source.accepted(renewed.held, origin, after_refusal=True)
        self._tell(Replayed, renewed.held, origin)
        return replay

    def _replay(self, response: Response, held: Held, send: Send, options: dict[str, Any]) -> Response | None:
        """The answer to the same request with this token, and a new proof; None if its body is gone."""
        again = replay_of(response.request, response, self.placement.value(held.token), self.placement.header)
        if again is None:
            return None
        dpop.prove(again, held.token)
        drain(response)
        start = perf_counter()
        replay = send(again, **options)
        replay.elapsed = timedelta(seconds=perf_counter() - start)
        replay.history.extend([*response.history, response])
        replay.request = again
        return replay

    def _stay(self, response: Response, renewed: Renewed, origin: str) -> Response:
        error = renewed.error
        if isinstance(error, InvalidGrant) and renewed.outcome.is_final:
            drain(response)  # nobody will see it: its connection must go back
            raise error
        reason = str(error) if error else ""
        self._tell(NotRefreshed, None, origin, outcome=renewed.outcome.value, reason=reason)
        return response

    def _judge(self, response: Response, held: Held) -> Judgement:
        scheme = self.placement.scheme
        if dpop.is_bound(held.token):
            dpop.listen(response)
            scheme = "dpop"
        return self.detection.judge(
            response.status_code, challenges(response), response.headers, lambda: read_body(response), scheme
        )

    def _tell(self, kind: type[Event], held: Held | None, origin: str, **more: str) -> None:
        generation = held.generation if held is not None else None
        tell(self._listeners, kind(grant=self.grant_id, generation=generation, origin=origin, **more))


def _wants_proof(response: Response, judgement: Judgement, held: Held) -> bool:
    """Whether only the proof was wrong: its nonce, or it is the one from before a redirect."""
    if judgement.verdict is Verdict.NONCE:
        return True
    return response.status_code == 401 and dpop.is_bound(held.token) and dpop.is_of_another_request(response.request)


class _FollowUp:
    """The response hook: it knows which token travels."""

    __slots__ = ("_auth", "_held")

    def __init__(self, auth: TokenAuth, held: Held) -> None:
        self._auth, self._held = auth, held

    def go_on(self, request: PreparedRequest, value: str) -> None:
        """A redirect within the origin: the newest token goes on, with a proof of its own."""
        request.headers[self.header] = value
        dpop.prove(request, self._held.token, value.partition(" ")[2])

    def __call__(self, response: Response, **options: Any) -> Response:
        connection = getattr(response, "connection", None)
        if connection is None:
            return response
        answer = self._auth.follow_up(response, self._held, connection.send, options)
        if answer.is_redirect and self.header != HEADER:
            self._keep_home(answer, response.request)
        return answer

    @property
    def header(self) -> str:
        """Where the token is."""
        return self._auth.placement.header

    def _keep_home(self, answer: Response, request: PreparedRequest) -> None:
        """requests takes `Authorization` off before it follows a redirect to another origin, but knows no other header;
        what it follows with is a copy of this request (RFC 9110 section 15.4)."""
        target = origin_of(urljoin(answer.url or "", answer.headers.get("Location", "")))
        if target is None or target != origin_of(request.url or ""):
            request.headers.pop(self.header, None)
