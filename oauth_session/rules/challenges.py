"""`WWW-Authenticate`, parsed as RFC 9110 section 11.6.1 has it, and never failing on what servers make of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_PARAM = re.compile(rf"\s*({_TOKEN})\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^\s,\"]*))", re.DOTALL)
_SCHEME = re.compile(rf"\s*({_TOKEN})(?:[ \t]+|(?=,|$))")
_TOKEN68 = re.compile(r"([A-Za-z0-9\-._~+/]+=*)[ \t]*(?=,|$)")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_MOST = 16 * 1024  # characters; a header that is longer says nothing


@dataclass(frozen=True, slots=True)
class Challenge:
    """One challenge; scheme and parameter names in lower case."""

    scheme: str
    params: Mapping[str, str]
    token68: str | None = None

    @property
    def error(self) -> str | None:
        """The error code of RFC 6750 section 3."""
        return self.params.get("error")


def parse_challenges(values: Iterable[str]) -> tuple[Challenge, ...]:
    """All challenges of all headers; what cannot be read is passed over.

    A challenge with two `error` parameters is malformed (RFC 6750 section 3) and keeps neither.
    """
    return tuple(challenge for value in values if len(value) <= _MOST for challenge in _parse(value))


def _parse(text: str) -> list[Challenge]:
    found: list[tuple[str, list[tuple[str, str]], str | None]] = []
    at = 0
    while at < len(text):
        if text[at] in ", \t\r\n":
            at += 1
            continue
        param = _PARAM.match(text, at)
        if (
            param and found
        ):  # a comma separates parameters just as it separates challenges: name=value belongs to the last
            name, quoted, plain = param.groups()
            found[-1][1].append((name.lower(), plain if quoted is None else _ESCAPED.sub(r"\1", quoted)))
            at = param.end()
            continue
        scheme = _SCHEME.match(text, at)
        if scheme:
            at = scheme.end()
            token68 = None if _PARAM.match(text, at) else _TOKEN68.match(text, at)
            found.append((scheme[1].lower(), [], token68[1] if token68 else None))
            at = token68.end() if token68 else at
            continue
        skip = text.find(",", at + 1)
        at = len(text) if skip < 0 else skip
    return [Challenge(scheme, _params(pairs), token68) for scheme, pairs, token68 in found]


def _params(pairs: list[tuple[str, str]]) -> dict[str, str]:
    params: dict[str, str] = {}
    for name, value in pairs:
        params.setdefault(name, value)
    if sum(name == "error" for name, _ in pairs) > 1:
        del params["error"]
    return params
