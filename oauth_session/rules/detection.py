"""Does a response mean that the token has ended? Exact rules first, then what the standards say, never free text.

The order: deny rules, the caller's rules, the challenge (RFC 6750 section 3.1, RFC 9449, RFC 9470), the bare status.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from requests.structures import CaseInsensitiveDict

from ..errors import ConfigurationError
from .challenges import Challenge, parse_challenges
from .rule import Looked, Replay, Rule, rules, statuses

__all__ = ["Detection", "Judgement", "Replay", "Rule", "Verdict"]


class Verdict(enum.Enum):
    """What a response says about the token that travelled."""

    ACCEPTED = "accepted"
    EXPIRED = "expired"  # said in so many words
    MAYBE = "maybe"  # refused, and nothing says why: worth one refresh
    NOT_EXPIRY = "not_expiry"  # not accepted, and a new token would not help
    NONCE = "nonce"  # repeat with the server's DPoP nonce (RFC 9449 section 9)


class Judgement(NamedTuple):
    """A verdict, and which requests may be sent again: all, or those with an idempotent method (RFC 9110 9.2.2)."""

    verdict: Verdict
    replay: Replay = "always"


# A refresh cannot add scope, authentication or claims: RFC 6750 3.1, RFC 9470 3, CAE (Microsoft), RFC 9449 7.1.
_NOT_EXPIRY = frozenset(
    {
        "insufficient_scope",
        "insufficient_user_authentication",
        "insufficient_claims",
        "invalid_request",
        "invalid_dpop_proof",
    }
)


@dataclass(frozen=True, slots=True)
class Detection:
    """Which responses mean that the token has ended, besides a 401. An immutable value.

    Attributes:
        refresh_on: statuses that are worth one refresh even when nothing else is said, such as ``{401, 403}``.
        expired_when: rules (see `Rule.of`) that say for certain that the token has ended.
        not_expired_when: rules that say that it has not; they come first.
        default_401: what a 401 means of which no rule and no challenge says more: ``"refresh"``, worth one refresh, or
            ``"only_rules"``, nothing.

    Raises:
        ConfigurationError: a status or a rule is malformed.
    """

    refresh_on: Iterable[int] = ()
    expired_when: Iterable[Mapping[str, Any] | Rule] = ()
    not_expired_when: Iterable[Mapping[str, Any] | Rule] = ()
    default_401: Literal["refresh", "only_rules"] = "refresh"
    _plain: frozenset[int] = field(init=False, repr=False, compare=False)
    _expired: tuple[Rule, ...] = field(init=False, repr=False, compare=False)
    _denied: tuple[Rule, ...] = field(init=False, repr=False, compare=False)
    _named: frozenset[int] = field(init=False, repr=False, compare=False)  # the statuses that anything here names

    def __post_init__(self) -> None:
        if self.default_401 not in ("refresh", "only_rules"):
            raise ConfigurationError(f'default_401 must be "refresh" or "only_rules", not {self.default_401!r}')
        refresh_on = statuses("refresh_on", self.refresh_on)
        expired, denied = rules("expired_when", self.expired_when), rules("not_expired_when", self.not_expired_when)
        for name, value in (
            ("refresh_on", refresh_on),
            ("_plain", refresh_on),
            ("expired_when", expired),
            ("_expired", expired),
            ("not_expired_when", denied),
            ("_denied", denied),
            ("_named", refresh_on.union(*(rule.statuses for rule in (*expired, *denied)))),
        ):
            object.__setattr__(self, name, value)

    def needs_body(self, status: int) -> bool:
        """Whether a rule for this status looks into the body."""
        return any(
            (rule.path or rule.body is not None) and status in rule.statuses for rule in (*self._denied, *self._expired)
        )

    def judge(
        self,
        status: int,
        www_authenticate: Sequence[str],
        headers: Mapping[str, str],
        body: Callable[[], bytes | None],
        scheme: str = "bearer",
    ) -> Judgement:
        """Judge a response to a request on which our token travelled.

        Args:
            www_authenticate: all values of that header.
            headers: all headers; names in any case.
            body: gives the body, or None if it is too long to be looked at; asked once at most, and only when
                everything else in a rule holds.
            scheme: the one the token travelled under; its challenge counts (RFC 9449 section 7.1).
        """
        if status < 400 and status not in self._named:
            return _ACCEPTED
        challenges = parse_challenges(www_authenticate)
        if status in self._named:
            seen = Looked(status, challenges, CaseInsensitiveDict(headers), body)
            if any(seen.matches(rule) for rule in self._denied):
                return _REFUSED
            for rule in self._expired:
                if seen.matches(rule):
                    return Judgement(Verdict.EXPIRED, rule.replay)
        error = _error_for(scheme.lower(), challenges) if status >= 400 else None
        if error == "use_dpop_nonce":
            return Judgement(Verdict.NONCE)
        if error in _NOT_EXPIRY:
            return _REFUSED
        if status == 401 and error == "invalid_token":  # not applied (RFC 9110 section 15.5.2)
            return Judgement(Verdict.EXPIRED)
        if status == 401 and (self.default_401 == "refresh" or 401 in self._plain):
            return Judgement(Verdict.MAYBE)
        if status in self._plain:
            # Other refusals are taken to come before the work; a success or a fault may well come after it.
            return Judgement(Verdict.MAYBE, "always" if 400 <= status < 500 else "idempotent")
        return _ACCEPTED if status < 400 else _REFUSED


_ACCEPTED = Judgement(Verdict.ACCEPTED)
_REFUSED = Judgement(Verdict.NOT_EXPIRY)


def _error_for(scheme: str, challenges: Sequence[Challenge]) -> str | None:
    """The one error code of the scheme used; of a single challenge if the scheme was not challenged at all.

    Challenges that contradict each other say nothing certain.
    """
    ours = [challenge for challenge in challenges if challenge.scheme == scheme]
    if not ours and len(challenges) == 1:
        ours = list(challenges)
    errors = {challenge.error for challenge in ours} - {None}
    return errors.pop() if len(errors) == 1 else None
