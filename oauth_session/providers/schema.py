"""Reading a profile: every field is checked, and what is wrong is said by file, field and reason."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, get_args

from ..errors import ConfigurationError
from ..rules.rule import Rule, path_of, statuses
from ..rules.token_request import METHODS
from ..rules.token_response import parse_json
from .profile import API_EXAMPLES, TOKEN_EXAMPLES, Example, Expiry, Format, Profile, Shape
from .templates import Param, check_param, check_text, check_url

_HEADER = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_SOURCE = re.compile(r"(verified|unverified|chosen): \S.*", re.DOTALL)
_CENTURY = 100 * 365.25 * 86400.0
HOOKS = ("build_refresh", "parse_refresh", "after_refresh")
# What is no fact about the provider, and so needs no source.
NO_FACT = ("name", "title", "last_checked", "notes", "params", "examples", "sources", "extends", *HOOKS)


def load(value: Mapping[str, Any], file: str) -> Profile:
    """Make a profile of what stands in a file or a dict.

    Raises:
        ConfigurationError: a field is unknown or wrong; the message names file, field and reason.
    """
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{file}: a profile must be a table, not {type(value).__name__}")
    for name in value:
        if name not in CHECKS:
            raise ConfigurationError(f"{file}: {name}: there is no such field; there are {', '.join(CHECKS)}")
    reader = _Reader(value, file)
    found: dict[str, Any] = {}
    for name, check in CHECKS.items():
        if name in value:
            found[name] = reader.field(name, check)
            reader.params = found.get("params", {})
    unverified = {n: found.pop(n) for n in list(found) if found.get("sources", {}).get(n, "").startswith("unverified")}
    for name in found.get("sources", {}):
        if name not in value or name in NO_FACT:
            raise ConfigurationError(f"{file}: sources: {name} is not given")
    profile = Profile(**{"file": file, "name": file} | found | {"unverified": unverified})
    for name in ("refresh_dead_when", "refresh_transient_when"):
        if any(rule.replay != "always" for rule in found.get(name, ())):
            raise ConfigurationError(f"{file}: {name}: replay is for the API's answers only")
    if profile.reuse_grace and profile.rotation == "none":
        raise ConfigurationError(f"{file}: reuse_grace: a refresh token that does not rotate needs no grace")
    for example, verdict in profile.wrong_examples():
        raise ConfigurationError(
            f"{file}: examples: HTTP {example.status} {_short(example)} is of {example.of!r}, and the rules say {verdict.value}"
        )
    return profile


def _short(example: Example) -> str:
    return json.dumps(example.body[:60])


class _Reader:
    def __init__(self, value: Mapping[str, Any], file: str) -> None:
        self.value, self.file = value, file
        self.params: Mapping[str, Param] = {}

    def field(self, name: str, check: Callable[[_Reader, Any], Any]) -> Any:
        try:
            return check(self, self.value[name])
        except ConfigurationError as error:
            raise ConfigurationError(f"{self.file}: {name}: {error}") from None

    # -- kinds of fields; each gives the value as the profile holds it

    def text(self, value: Any) -> str:
        if not isinstance(value, str) or not value.strip():
            raise ConfigurationError("must be text")
        return value

    def texts(self, value: Any) -> tuple[str, ...]:
        if isinstance(value, str) or not isinstance(value, list | tuple):
            raise ConfigurationError("must be a list of texts")
        return tuple(self.text(entry) for entry in value)

    def day(self, value: Any) -> str:
        if isinstance(value, date):
            return value.isoformat()
        try:
            return date.fromisoformat(value).isoformat()
        except (TypeError, ValueError):
            raise ConfigurationError("must be a date such as 2026-11-23") from None

    def parameters(self, value: Any) -> dict[str, Param]:
        return {name: self.inside(name, check_param, name, entry) for name, entry in self.table(value).items()}

    def url(self, value: Any) -> str:
        check_url(self.text(value), self.params)
        return str(value)

    def origin_list(self, value: Any) -> tuple[str, ...]:
        for origin in self.texts(value):
            self.inside(origin, check_url, origin, self.params, origin=True)
        return tuple(value)

    def table(self, value: Any) -> Mapping[str, Any]:
        if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
            raise ConfigurationError("must be a table")
        return value

    def pairs(self, value: Any) -> dict[str, str]:
        for name, entry in self.table(value).items():
            if not isinstance(entry, str):
                raise ConfigurationError(f"{name}: must be text")
            self.inside(name, check_text, entry, self.params)
        return dict(value)

    def headers(self, value: Any) -> dict[str, str]:
        for name, entry in self.pairs(value).items():
            self.inside(name, self.header, name)
            if re.search(r"[^\x20-\x7e]", entry):
                raise ConfigurationError(f"{name}: must be printable ASCII")
        return dict(value)

    def header(self, value: Any) -> str:
        if not _HEADER.fullmatch(self.text(value)):
            raise ConfigurationError("must be the name of a header")
        return str(value)

    def scheme(self, value: Any) -> str:
        if value != "" and not (isinstance(value, str) and _HEADER.fullmatch(value)):
            raise ConfigurationError('must be a word such as Bearer, or "" for the bare token')
        return str(value)

    def shape(self, value: Any) -> Shape:
        members = dict(self.table(value))
        root = members.pop("root", None)
        start = () if root is None else self.inside("root", path_of, root)
        for name in members:
            if name not in Shape.__dataclass_fields__:
                raise ConfigurationError(
                    f"{name}: there is no such member; there are root, {', '.join(Shape.__dataclass_fields__)}"
                )
        paths = {n: (self.inside(n, path_of, members[n]) if n in members else (n,)) for n in Shape.__dataclass_fields__}
        return Shape(**{name: (*start, *path) for name, path in paths.items()})

    def rules(self, value: Any) -> tuple[Rule, ...]:
        if not isinstance(value, list | tuple):
            raise ConfigurationError("must be a list of rules")
        return tuple(self.inside(f"rule {number}", Rule.of, rule) for number, rule in enumerate(value, 1))

    def status_list(self, value: Any) -> tuple[int, ...]:
        return tuple(sorted(statuses("refresh_on", value)))

    def seconds(self, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _CENTURY:
            raise ConfigurationError(f"must be a number of seconds, from 0 to a century, not {str(value)[:40]!r}")
        return float(value)

    def margin(self, value: Any) -> float | None:
        return None if value == "never" else self.seconds(value)

    def flag(self, value: Any) -> bool:
        if not isinstance(value, bool):
            raise ConfigurationError("must be true or false")
        return value

    def hook(self, value: Any) -> Callable[..., Any]:
        if not callable(value):
            raise ConfigurationError("must be a callable, so it can only stand in a dict")
        found: Callable[..., Any] = value
        return found

    def example_list(self, value: Any) -> tuple[Example, ...]:
        if not isinstance(value, list | tuple):
            raise ConfigurationError("must be a list of tables")
        return tuple(self.inside(f"example {number}", self.example, entry) for number, entry in enumerate(value, 1))

    def example(self, value: Any) -> Example:
        entry = self.table(value)
        if unknown := set(entry) - {"of", "status", "body", "headers", "source"}:
            raise ConfigurationError(f"has no {sorted(unknown)[0]}; there are of, status, body, headers, source")
        if entry.get("of") not in (*API_EXAMPLES, *TOKEN_EXAMPLES):
            raise ConfigurationError(f"of must be one of {', '.join((*API_EXAMPLES, *TOKEN_EXAMPLES))}")
        status = sorted(statuses("status", [entry.get("status")]))[0]
        if not isinstance(entry.get("body", ""), str):
            raise ConfigurationError("body must be text")
        granted = entry["of"] == "refresh_granted"
        if granted and not (200 <= status < 300 and isinstance(parse_json(entry.get("body", "").encode()), dict)):
            raise ConfigurationError("new tokens come in a JSON object, with a status from 200 to 299")
        source = self.source(entry["source"]) if "source" in entry else ""
        return Example(entry["of"], status, entry.get("body", ""), self.headers(entry.get("headers", {})), source)

    def source(self, value: Any) -> str:
        if not isinstance(value, str) or not _SOURCE.fullmatch(value):
            raise ConfigurationError('must read "verified: where", "unverified: where" or "chosen: why"')
        return value

    def source_table(self, value: Any) -> dict[str, str]:
        return {name: self.inside(name, self.source, entry) for name, entry in self.table(value).items()}

    def inside(self, where: str, check: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        try:
            return check(*args, **kwargs)
        except ConfigurationError as error:
            raise ConfigurationError(f"{where}: {error}") from None


def _one_of(*words: str) -> Callable[[_Reader, Any], str]:
    def check(reader: _Reader, value: Any) -> str:
        if value not in words:
            raise ConfigurationError(f"must be one of {', '.join(words)}, not {value!r}")
        return str(value)

    return check


# In the order in which they are checked and shown: params before all that may use them.
CHECKS: dict[str, Callable[[_Reader, Any], Any]] = {
    "name": _Reader.text,
    "title": _Reader.text,
    "last_checked": _Reader.day,
    "notes": _Reader.texts,
    "params": _Reader.parameters,
    "token_url": _Reader.url,
    "refresh_url": _Reader.url,
    "origins": _Reader.origin_list,
    "client_auth": _one_of(*METHODS),
    "request_format": _one_of(*get_args(Format)),
    "request_method": _one_of("POST", "GET"),
    "refresh_params": _Reader.pairs,
    "refresh_headers": _Reader.headers,
    "param_names": _Reader.pairs,
    "token_response": _Reader.shape,
    "expiry_format": _one_of(*get_args(Expiry)),
    "default_lifetime": _Reader.seconds,
    "token_success": _Reader.rules,
    "header": _Reader.header,
    "scheme": _Reader.scheme,
    "expired_when": _Reader.rules,
    "not_expired_when": _Reader.rules,
    "refresh_on": _Reader.status_list,
    "default_401": _one_of("refresh", "only_rules"),
    "refresh_dead_when": _Reader.rules,
    "refresh_transient_when": _Reader.rules,
    "rotation": _one_of("none", "maybe", "always"),
    "reuse_grace": _Reader.seconds,
    "grace": _one_of("none", "same_pair", "new_pair", "newest_only", "until_used"),
    "revoke_on_reuse": _Reader.flag,
    "access_dies_at_refresh": _Reader.flag,
    "lifetime": _Reader.seconds,
    "refresh_margin": _Reader.margin,
    "min_token_age": _Reader.seconds,
    "refresh_needs_live_token": _Reader.flag,
    "examples": _Reader.example_list,
    "sources": _Reader.source_table,
    "build_refresh": _Reader.hook,
    "parse_refresh": _Reader.hook,
    "after_refresh": _Reader.hook,
}
