"""A profile in words, for the command line and the docs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from ..rules.rule import Rule
from .profile import Profile, Shape
from .schema import CHECKS, NO_FACT

_LABELS = {
    "token_url": "Token endpoint",
    "refresh_url": "Refresh endpoint",
    "origins": "API",
    "client_auth": "Client authentication",
    "request_format": "Token request is sent as",
    "request_method": "Method of a token request",
    "refresh_params": "Sent with a refresh",
    "refresh_headers": "Headers of a token request",
    "param_names": "Parameters by other names",
    "token_response": "Where a token response has it",
    "expiry_format": "Expiry is given in",
    "default_lifetime": "Lifetime, where none is said",
    "token_success": "A token response is one with",
    "header": "Token travels in the header",
    "scheme": "Behind the word",
    "expired_when": "Expired token",
    "not_expired_when": "Not an expired token",
    "refresh_on": "May be an expired token",
    "default_401": "Any other 401",
    "refresh_dead_when": "Dead refresh token",
    "refresh_transient_when": "Refresh fails for now",
    "rotation": "Refresh token",
    "reuse_grace": "A used refresh token is good for",
    "grace": "What it then buys",
    "revoke_on_reuse": "Later reuse revokes the grant",
    "access_dies_at_refresh": "Refresh ends the old access token",
    "lifetime": "Access token lives",
    "refresh_margin": "Renewed in advance by",
    "min_token_age": "No refresh before",
    "refresh_needs_live_token": "Refresh needs a live access token",
}
_ROTATION = {"none": "stays", "maybe": "may be replaced", "always": "is replaced at each use"}
_DEFAULT_401 = {"refresh": "is taken for one, once", "only_rules": "is not"}
_SECONDS = ("default_lifetime", "reuse_grace", "lifetime", "refresh_margin", "min_token_age")
_BARE = "(nothing: the bare token)"


class Fact(NamedTuple):
    """One field: what it is, what it says, and where that is known from. What is not verified is not applied."""

    label: str
    says: str
    verified: bool
    source: str


def facts(profile: Profile) -> list[Fact]:
    """What a profile says, in the order of the schema; each field once."""
    given = {name: getattr(profile, name) for name in profile.sources if name not in profile.unverified}
    found = []
    for name in (name for name in CHECKS if name not in NO_FACT):
        if name in profile.unverified or name in given:
            value = profile.unverified[name] if name in profile.unverified else given[name]
            word, _, source = profile.sources[name].partition(": ")
            source = f"chosen here: {source}" if word == "chosen" else source
            found.append(Fact(_LABELS[name], said(name, value), word != "unverified", source))
    return found


def said(name: str, value: Any) -> str:
    """A field's value in words."""
    if name in _SECONDS:
        return "never" if value is None else duration(value)
    if name == "rotation":
        return _ROTATION[value]
    if name == "default_401":
        return _DEFAULT_401[value]
    if name == "expiry_format" and value == "none":
        return "nothing: no lifetime is told"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Shape):
        plain = Shape()
        members = {n: getattr(value, n) for n in Shape.__dataclass_fields__ if getattr(value, n) != getattr(plain, n)}
        return ", ".join(f"{n} at {_path(path)}" for n, path in members.items())
    if isinstance(value, Mapping):
        return ", ".join(f"{n} = {text}" for n, text in value.items())
    if isinstance(value, tuple):
        return "; ".join(rule_words(entry) if isinstance(entry, Rule) else str(entry) for entry in value)
    return str(value) or _BARE


def rule_words(rule: Rule) -> str:
    """A rule, such as ``HTTP 403 with errors[0].details = "..."``."""
    parts = [f"error={rule.error} in the challenge"] if rule.error is not None else []
    parts += [f"{name}: {text}" for name, text in rule.headers]
    if rule.path:
        parts.append(f"{_path(rule.path)} = {' or '.join(map(json.dumps, rule.values))}")
    if rule.body is not None:
        parts.append(f"the body {json.dumps(rule.body)}")
    return f"HTTP {' or '.join(map(str, sorted(rule.statuses)))} with {' and '.join(parts)}"


def expiry_words(profile: Profile) -> str:
    """How an expired token shows."""
    rules = [rule_words(rule) for rule in profile.expired_when]
    if profile.refresh_on:
        rules.append(f"HTTP {' or '.join(map(str, profile.refresh_on))}")
    if profile.default_401 == "refresh":
        rules.append("any bare 401")
    return "; ".join(rules)


def grace_words(profile: Profile) -> str:
    """For how long a used refresh token is good, or nothing."""
    if profile.reuse_grace:
        return duration(profile.reuse_grace)
    return "until used" if profile.policy.reuse_grace else ""


def duration(seconds: float) -> str:
    """Such as ``30 min``."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size or (seconds >= size and not seconds % size):
            return f"{seconds / size:g} {unit}" if not seconds % size else f"{seconds:g} s"
    return f"{seconds:g} s"


def _path(path: tuple[str | int, ...]) -> str:
    text = ""
    for step in path:
        plain = isinstance(step, str) and step.replace("_", "").replace("-", "").isalnum()
        text += f"[{json.dumps(step)}]" if not plain else f".{step}"
    return text.removeprefix(".")
