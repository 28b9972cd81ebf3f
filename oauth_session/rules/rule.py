"""Exact rules about a response: status, challenge, header, JSON path, whole text. Never free text."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..errors import ConfigurationError
from .challenges import Challenge

Replay = Literal["always", "idempotent"]

_KEYS = ("status", "error", "header", "path", "equals", "in", "body", "replay")
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
    body: str | None = None
    replay: Replay = "always"

    @classmethod
    def of(cls, value: Mapping[str, Any] | Rule) -> Rule:
        """Build a rule from ``{"status": 403, "path": "errors[0].details", "equals": "..."}``.

        Keys: ``status``, one or a list; ``error``, of a challenge; ``header``, names with exact values; ``path`` into
        a JSON body (``errors[0].details``, ``[0].errorCode``, ``error[".tag"]``) with ``equals`` or ``in``;
        ``body``, the whole body as text, for those that are not JSON;
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
        if not {"error", "header", "path", "body"} & value.keys():
            raise ConfigurationError("a rule needs error, header, path or body; a status alone belongs in refresh_on")
        wants = [key for key in ("equals", "in") if key in value]
        if wants and "path" not in value:
            raise ConfigurationError(f"a rule's {wants[0]} needs a path")
        if "path" in value and len(wants) != 1:
            raise ConfigurationError("a rule's path needs equals or in, one of them")
        error, replay, header = value.get("error"), value.get("replay", "always"), value.get("header", {})
        if "error" in value and (not isinstance(error, str) or not error):
            raise ConfigurationError("a rule's error must be the error code of a challenge")
        if "body" in value and (not isinstance(value["body"], str) or not value["body"].strip()):
            raise ConfigurationError("a rule's body must be the whole of it, as text")
        if replay not in ("always", "idempotent"):
            raise ConfigurationError(f'a rule\'s replay must be "always" or "idempotent", not {replay!r}')
        if not isinstance(header, Mapping) or not all(
            isinstance(text, str) for pair in header.items() for text in pair
        ):
            raise ConfigurationError("a rule's header must map names to exact values")
        if "header" in value and not header:
            raise ConfigurationError("a rule's header names no header")
        return cls(
            statuses=statuses("a rule's status", value["status"]),
            error=error,
            headers=tuple(header.items()),
            path=path_of(value["path"]) if "path" in value else (),
            values=_values(wants[0], value[wants[0]]) if wants else (),
            body=value["body"].strip() if "body" in value else None,
            replay=replay,
        )


class Looked:
    """What the rules look at; the body is fetched and parsed at most once."""

    def __init__(
        self,
        status: int,
        challenges: Sequence[Challenge],
        headers: Mapping[str, str],
        body: Callable[[], bytes | None],
    ) -> None:
        self.status, self.challenges, self.headers, self.body = status, challenges, headers, body
        self.fetched: list[bytes | None] = []
        self.parsed: list[object] = []

    def matches(self, rule: Rule) -> bool:
        if self.status not in rule.statuses:
            return False
        if rule.error is not None and all(challenge.error != rule.error for challenge in self.challenges):
            return False
        if any(self.headers.get(name) != text for name, text in rule.headers):
            return False
        if rule.body is not None and (self._read() or b"").strip() != rule.body.encode():
            return False
        return not rule.path or any(_same(self._at(rule.path), value) for value in rule.values)

    def _read(self) -> bytes | None:
        if not self.fetched:
            self.fetched.append(self.body())
        return self.fetched[0]

    def _at(self, path: tuple[str | int, ...]) -> object:
        if not self.parsed:
            self.parsed.append(_json(self._read()))
        value = self.parsed[0]
        for step in path:
            if isinstance(step, int):
                value = value[step] if isinstance(value, list) and step < len(value) else _MISSING
            else:
                value = value.get(step, _MISSING) if isinstance(value, dict) else _MISSING
        return value


def _same(found: object, wanted: object) -> bool:
    """JSON equality: 1 is 1.0, but true is not 1."""
    return isinstance(found, bool) == isinstance(wanted, bool) and found == wanted


def _json(body: bytes | None) -> object:
    try:
        return json.loads(body) if body else _MISSING
    except (ValueError, RecursionError):
        return _MISSING


def rules(name: str, value: object) -> tuple[Rule, ...]:
    if isinstance(value, Mapping | Rule | str) or not isinstance(value, Iterable):
        raise ConfigurationError(f"{name} must be a list of rules")
    return tuple(Rule.of(rule) for rule in value)


def statuses(name: str, value: object) -> frozenset[int]:
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


def path_of(text: object) -> tuple[str | int, ...]:
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
