"""Does this answer say that the token has ended? Exact rules, and a default that survives servers without manners.

The order binds: deny rules, then the user's rules, then the challenge, then the status. Free text is never matched.
"""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from ..errors import ConfigurationError
from .challenges import Challenge, parse_challenges

Replay = Literal["always", "idempotent"]

# RFC 6750 3.1, RFC 9470, RFC 9449, and Entra's claims challenge: a new token would be refused just the same.
_OTHER = {
    "insufficient_scope",
    "insufficient_user_authentication",
    "insufficient_claims",
    "invalid_request",
    "invalid_dpop_proof",
}


class Verdict(enum.Enum):
    """What an answer says of the token that travelled."""

    ACCEPTED = "accepted"
    EXPIRED = "expired"  # conclusively
    MAYBE = "maybe"  # 401 and no reason given: try once
    NOT_EXPIRY = "not_expiry"  # refused for another reason
    NONCE = "nonce"  # repeat with the server's nonce (RFC 9449 section 9)


class Judgement(NamedTuple):
    """The verdict, and which requests may be sent again: only a 401 is known not to have been applied."""

    verdict: Verdict
    replay: Replay = "always"


_ACCEPTED = Judgement(Verdict.ACCEPTED)
_MISSING = object()
_KEYS = {"status", "error", "header", "path", "equals", "in", "replay"}
_STEP = re.compile(r'\.?(?:"([^"]+)"|([^.\[\]"]+))|\[(\d+)\]')


@dataclass(frozen=True, slots=True)
class Rule:
    """One exact rule; every condition that it names must hold."""

    statuses: frozenset[int]
    error: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    path: tuple[str | int, ...] = ()
    values: tuple[Any, ...] = ()
    replay: Replay = "always"

    @classmethod
    def of(cls, value: Mapping[str, Any] | Rule) -> Rule:
        """From a mapping such as ``{"status": 403, "path": "errors[0].details", "equals": "..."}``.

        Keys: `status` (one or a list, required), `error` (of the challenge), `header` (name to exact value), `path`
        into the JSON body with `equals` or `in`, `replay` ("always", or "idempotent" where the server may have applied
        the request).

        Raises:
            ConfigurationError: a key is unknown or missing, or a value is of the wrong kind.
        """
        if isinstance(value, Rule):
            return value
        if not isinstance(value, Mapping):
            raise ConfigurationError('a rule must be a mapping such as {"status": 403, "error": "invalid_token"}')
        if unknown := set(value) - _KEYS:
            raise ConfigurationError(f"a rule has no key {sorted(map(str, unknown))[0]!r}; it may have {sorted(_KEYS)}")
        if "status" not in value:
            raise ConfigurationError("a rule needs a status")
        if ("path" in value) != ("equals" in value or "in" in value) or ("equals" in value and "in" in value):
            raise ConfigurationError("a rule's path goes with either equals or in, and they with a path")
        if not {"error", "header", "path"} & set(value):
            raise ConfigurationError("a rule needs error, header or path; a status alone belongs into refresh_on")
        header = value.get("header", {})
        if not isinstance(header, Mapping) or not all(isinstance(s, str) for item in header.items() for s in item):
            raise ConfigurationError("a rule's header must map names to exact values")
        if not isinstance(value.get("error", ""), str):
            raise ConfigurationError("a rule's error must be the exact error code of a challenge")
        if value.get("replay", "always") not in ("always", "idempotent"):
            raise ConfigurationError('a rule\'s replay must be "always" or "idempotent"')
        options = value.get("in", ())
        if isinstance(options, str) or not isinstance(options, Iterable):
            raise ConfigurationError("a rule's in must be a list of values")
        return cls(
            statuses=_statuses(value["status"], "a rule's status"),
            error=value.get("error"),
            headers=tuple((name.lower(), text) for name, text in header.items()),
            path=_path(value["path"]) if "path" in value else (),
            values=(value["equals"],) if "equals" in value else tuple(options),
            replay=value.get("replay", "always"),
        )

    def matches(
        self, status: int, challenges: Sequence[Challenge], headers: Mapping[str, str], body: Callable[[], object]
    ) -> bool:
        """Whether all of it holds; `body` gives the parsed JSON and is asked last."""
        if status not in self.statuses:
            return False
        if self.error is not None and all(challenge.error != self.error for challenge in challenges):
            return False
        if any(headers.get(name) != text for name, text in self.headers):
            return False
        if not self.path:
            return True
        found = _follow(body(), self.path)
        return any(found == value and type(found) is type(value) for value in self.values)


@dataclass(frozen=True, slots=True)
class Detection:
    """Which answers mean that the token has ended, beyond the default. An immutable value.

    Attributes:
        refresh_on: plain statuses that may mean it, such as ``{401, 403}``.
        expired_when: rules that do mean it.
        not_expired_when: rules that do not, whatever else matches.

    Raises:
        ConfigurationError: a status is none, or a rule is malformed.
    """

    refresh_on: Iterable[int] = ()
    expired_when: Sequence[Mapping[str, Any] | Rule] = ()
    not_expired_when: Sequence[Mapping[str, Any] | Rule] = ()

    def __post_init__(self) -> None:
        for name in ("expired_when", "not_expired_when"):
            rules = getattr(self, name)
            if isinstance(rules, Mapping | str) or not isinstance(rules, Iterable):
                raise ConfigurationError(f"{name} must be a list of rules")
            object.__setattr__(self, name, tuple(Rule.of(rule) for rule in rules))
        object.__setattr__(self, "refresh_on", _statuses(self.refresh_on, "refresh_on"))

    def judge(
        self,
        status: int,
        www_authenticate: Sequence[str],
        headers: Mapping[str, str],
        body: Callable[[], bytes | None],
        scheme: str = "bearer",
    ) -> Judgement:
        """What an answer to a request with our token says of the token.

        Args:
            www_authenticate: the header's values.
            headers: of the answer; looked up case-insensitively.
            body: reads the body, or gives None when it is too long; only asked when a rule needs it.
            scheme: under which the token was sent; its challenge counts (RFC 9449 section 7.1).
        """
        rules = (*self.not_expired_when, *self.expired_when)
        if not rules and status < 400 and status not in self.refresh_on:
            return _ACCEPTED
        challenges = parse_challenges(www_authenticate)
        parsed: list[object] = []

        def content() -> object:
            if not parsed:
                parsed.append(_json(body()))
            return parsed[0]

        if any(_rule(r).matches(status, challenges, headers, content) for r in self.not_expired_when):
            return Judgement(Verdict.NOT_EXPIRY)
        for rule in map(_rule, self.expired_when):
            if rule.matches(status, challenges, headers, content):
                return Judgement(Verdict.EXPIRED, rule.replay)
        if status < 400 and status not in self.refresh_on:
            return _ACCEPTED
        errors = {c.error for c in challenges if c.scheme == scheme}
        if status == 401 and "use_dpop_nonce" in errors:
            return Judgement(Verdict.NONCE)
        if errors & _OTHER:
            return Judgement(Verdict.NOT_EXPIRY)
        if status == 401:
            return Judgement(Verdict.EXPIRED if "invalid_token" in errors else Verdict.MAYBE)
        if status in self.refresh_on:
            return Judgement(Verdict.MAYBE)
        return Judgement(Verdict.NOT_EXPIRY)


def _rule(rule: Mapping[str, Any] | Rule) -> Rule:
    return rule if isinstance(rule, Rule) else Rule.of(rule)


def _statuses(value: object, name: str) -> frozenset[int]:
    found = [value] if isinstance(value, int) else list(value) if isinstance(value, Iterable) else [None]
    if not all(isinstance(s, int) and not isinstance(s, bool) and 100 <= s <= 599 for s in found):
        raise ConfigurationError(f"{name} must be an HTTP status or a list of them")
    return frozenset(s for s in found if isinstance(s, int))


def _path(text: object) -> tuple[str | int, ...]:
    steps: list[str | int] = []
    at = 0
    while isinstance(text, str) and at < len(text):
        step = _STEP.match(text, at)
        if step is None or (step[0].startswith(".") and at == 0):
            break
        quoted, plain, index = step.groups()
        steps.append(int(index) if index is not None else quoted or plain)
        at = step.end()
    else:
        if steps:
            return tuple(steps)
    raise ConfigurationError('a rule\'s path must be like errors[0].details or [0]."dotted.name"')


def _follow(value: object, path: tuple[str | int, ...]) -> object:
    for step in path:
        if isinstance(step, int):
            value = value[step] if isinstance(value, list) and step < len(value) else _MISSING
        else:
            value = value.get(step, _MISSING) if isinstance(value, dict) else _MISSING
    return value


def _json(body: bytes | None) -> object:
    try:
        return json.loads(body) if body else _MISSING
    except (ValueError, RecursionError):
        return _MISSING
