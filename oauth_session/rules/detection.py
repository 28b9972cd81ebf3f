"""Does a response mean that the token has ended? Exact rules first, then what the standards say, never free text.

The order: deny rules, the caller's rules, the challenge (RFC 6750 section 3.1, RFC 9449, RFC 9470), the bare status.
"""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from requests.structures import CaseInsensitiveDict

from ..errors import ConfigurationError
from .challenges import Challenge, parse_challenges

Replay = Literal["always", "idempotent"]


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
_KEYS = ("status", "error", "header", "path", "equals", "in", "replay")
_STEP = re.compile(r'\[(?P<index>[0-9]{1,9})\]|\[(?P<quoted>"(?:[^"\\]|\\.)*")\]|(?P<dot>\.?)(?P<name>[^.\[\]"\s]+)')
_MISSING = object()


@dataclass(frozen=True, slots=True)
class Rule:
    """One exact description of a response; everything that it names must hold. Build it with `Rule.of`."""

    statuses: frozenset[int]
    error: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    path: tuple[str | int, ...] = ()
    values: tuple[object, ...] = ()
    replay: Replay = "always"

    @classmethod
    def of(cls, value: Mapping[str, Any] | Rule) -> Rule:
        """Build a rule from ``{"status": 403, "path": "errors[0].details", "equals": "..."}``.

        Keys: ``status``, one or a list; ``error``, of a challenge; ``header``, names with exact values; ``path`` into
        a JSON body (``errors[0].details``, ``[0].errorCode``, ``error[".tag"]``) with ``equals`` or ``in``;
        ``replay``, ``"idempotent"`` where the server may have applied the request.

        Raises:
            ConfigurationError: a key is unknown, missing or of the wrong kind; the message names it.
        """
        if isinstance(value, Rule):
            return value
        if not isinstance(value, Mapping):
            raise ConfigurationError(f"a rule must be a mapping, not {type(value).__name__}")
        for key in value:
            if key not in _KEYS:
                raise ConfigurationError(f"a rule has no key {key!r}; there are {', '.join(_KEYS)} (never free text)")
        if "status" not in value:
            raise ConfigurationError("a rule needs a status")
        if not {"error", "header", "path"} & value.keys():
            raise ConfigurationError("a rule needs error, header or path; a status alone belongs in refresh_on")
        wants = [key for key in ("equals", "in") if key in value]
        if wants and "path" not in value:
            raise ConfigurationError(f"a rule's {wants[0]} needs a path")
        if "path" in value and len(wants) != 1:
            raise ConfigurationError("a rule's path needs equals or in, one of them")
        error, replay, header = value.get("error"), value.get("replay", "always"), value.get("header", {})
        if "error" in value and (not isinstance(error, str) or not error):
            raise ConfigurationError("a rule's error must be the error code of a challenge")
        if replay not in ("always", "idempotent"):
            raise ConfigurationError(f'a rule\'s replay must be "always" or "idempotent", not {replay!r}')
        if not isinstance(header, Mapping) or not all(
            isinstance(text, str) for pair in header.items() for text in pair
        ):
            raise ConfigurationError("a rule's header must map names to exact values")
        if "header" in value and not header:
            raise ConfigurationError("a rule's header names no header")
        return cls(
            statuses=_statuses("a rule's status", value["status"]),
            error=error,
            headers=tuple(header.items()),
            path=_path(value["path"]) if "path" in value else (),
            values=_values(wants[0], value[wants[0]]) if wants else (),
            replay=replay,
        )


@dataclass(frozen=True, slots=True)
class Detection:
    """Which responses mean that the token has ended, besides a 401. An immutable value.

    Attributes:
        refresh_on: statuses that are worth one refresh even when nothing else is said, such as ``{401, 403}``.
        expired_when: rules (see `Rule.of`) that say for certain that the token has ended.
        not_expired_when: rules that say that it has not; they come first.

    Raises:
        ConfigurationError: a status or a rule is malformed.
    """

    refresh_on: Iterable[int] = ()
    expired_when: Iterable[Mapping[str, Any] | Rule] = ()
    not_expired_when: Iterable[Mapping[str, Any] | Rule] = ()
    _plain: frozenset[int] = field(init=False, repr=False, compare=False)
    _expired: tuple[Rule, ...] = field(init=False, repr=False, compare=False)
    _denied: tuple[Rule, ...] = field(init=False, repr=False, compare=False)
    _named: frozenset[int] = field(init=False, repr=False, compare=False)  # the statuses that anything here names

    def __post_init__(self) -> None:
        refresh_on = _statuses("refresh_on", self.refresh_on)
        expired, denied = _rules("expired_when", self.expired_when), _rules("not_expired_when", self.not_expired_when)
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
        return any(rule.path and status in rule.statuses for rule in (*self._denied, *self._expired))

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
            seen = _Response(status, challenges, CaseInsensitiveDict(headers), body)
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
        if status == 401:  # the request has not been applied (RFC 9110 section 15.5.2)
            return Judgement(Verdict.EXPIRED if error == "invalid_token" else Verdict.MAYBE)
        if status in self._plain:
            # Other refusals are taken to come before the work; a success or a fault may well come after it.
            return Judgement(Verdict.MAYBE, "always" if 400 <= status < 500 else "idempotent")
        return _ACCEPTED if status < 400 else _REFUSED


_ACCEPTED = Judgement(Verdict.ACCEPTED)
_REFUSED = Judgement(Verdict.NOT_EXPIRY)


class _Response:
    """What the rules look at; the body is fetched and parsed at most once."""

    def __init__(
        self,
        status: int,
        challenges: Sequence[Challenge],
        headers: Mapping[str, str],
        body: Callable[[], bytes | None],
    ) -> None:
        self.status, self.challenges, self.headers, self.body = status, challenges, headers, body
        self.parsed: list[object] = []

    def matches(self, rule: Rule) -> bool:
        if self.status not in rule.statuses:
            return False
        if rule.error is not None and all(challenge.error != rule.error for challenge in self.challenges):
            return False
        if any(self.headers.get(name) != text for name, text in rule.headers):
            return False
        return not rule.path or any(_same(self._at(rule.path), value) for value in rule.values)

    def _at(self, path: tuple[str | int, ...]) -> object:
        if not self.parsed:
            self.parsed.append(_json(self.body()))
        value = self.parsed[0]
        for step in path:
            if isinstance(step, int):
                value = value[step] if isinstance(value, list) and step < len(value) else _MISSING
            else:
                value = value.get(step, _MISSING) if isinstance(value, dict) else _MISSING
        return value


def _error_for(scheme: str, challenges: Sequence[Challenge]) -> str | None:
    """The one error code of the scheme used; of a single challenge if the scheme was not challenged at all.

    Challenges that contradict each other say nothing certain.
    """
    ours = [challenge for challenge in challenges if challenge.scheme == scheme]
    if not ours and len(challenges) == 1:
        ours = list(challenges)
    errors = {challenge.error for challenge in ours} - {None}
    return errors.pop() if len(errors) == 1 else None


def _same(found: object, wanted: object) -> bool:
    """JSON equality: 1 is 1.0, but true is not 1."""
    return isinstance(found, bool) == isinstance(wanted, bool) and found == wanted


def _json(body: bytes | None) -> object:
    try:
        return json.loads(body) if body else _MISSING
    except (ValueError, RecursionError):
        return _MISSING


def _rules(name: str, value: object) -> tuple[Rule, ...]:
    if isinstance(value, Mapping | Rule | str) or not isinstance(value, Iterable):
        raise ConfigurationError(f"{name} must be a list of rules")
    return tuple(Rule.of(rule) for rule in value)


def _statuses(name: str, value: object) -> frozenset[int]:
    found = [value] if isinstance(value, int) and name != "refresh_on" else value
    if not isinstance(found, Iterable) or isinstance(found, str | bytes | Mapping):
        raise ConfigurationError(f"{name} must be a list of HTTP statuses, not {value!r}")
    found = tuple(found)
    if name != "refresh_on" and not found:
        raise ConfigurationError(f"{name} names no status")
    for status in found:
        if isinstance(status, bool) or not isinstance(status, int) or not 100 <= status <= 599:
            raise ConfigurationError(f"{name} must be made of HTTP statuses (100 to 599), not {status!r}")
    return frozenset(found)


def _values(name: str, value: object) -> tuple[object, ...]:
    values = [value] if name == "equals" else value
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Collection) or not values:
        raise ConfigurationError(f"a rule's {name} must be a list of values")
    if not all(entry is None or isinstance(entry, str | int | float) for entry in values):
        raise ConfigurationError(f"a rule's {name} compares with text, numbers, true, false or null only")
    return tuple(values)


def _path(text: object) -> tuple[str | int, ...]:
    steps: list[str | int] = []
    at, length = 0, len(text) if isinstance(text, str) else 0
    while isinstance(text, str) and at < length:
        step = _STEP.match(text, at)
        # A dot stands between names, and not before the first.
        if step is None or (step["name"] and bool(step["dot"]) != bool(steps)):
            break
        try:
            steps.append(int(step["index"]) if step["index"] else step["name"] or json.loads(step["quoted"]))
        except ValueError:  # an escape that JSON does not know
            break
        at = step.end()
    if not steps or at < length:
        raise ConfigurationError(f'a rule\'s path must be like errors[0].details or a["b.c"], not {text!r}')
    return tuple(steps)
