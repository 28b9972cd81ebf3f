"""Reading ``WWW-Authenticate`` (RFC 9110 section 11.6.1), whatever a server puts there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

# RFC 9110 section 5.6.2 (token), 11.2 (token68), 5.6.4 (quoted-string). The possessive quantifiers keep time linear.
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]++")
_TOKEN68 = re.compile(r"[ \t]++([A-Za-z0-9\-._~+/]++=*+)(?=[ \t]*+(?:,|$))")
_EQUALS = re.compile(r"[ \t]*+=[ \t]*+")
_QUOTED = re.compile(r'"((?:[^"\\]++|\\.)*+)("?)', re.DOTALL)
_BARE = re.compile(r'[^\s,"]*+')  # wider than token: unquoted URLs are common
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Challenge:
    """One challenge: the scheme in lower case with either parameters (names in lower case) or a token68."""

    scheme: str
    params: Mapping[str, str] = field(default_factory=dict, hash=False)
    token68: str | None = None

    @property
    def error(self) -> str | None:
        """The error code (RFC 6750 section 3), if there is exactly one."""
        return self.params.get("error")


def parse_challenges(values: Iterable[str]) -> tuple[Challenge, ...]:
    """Give the challenges of all ``WWW-Authenticate`` values, in order; never fails and takes linear time.

    A comma parts parameters as well as challenges and headers: a word followed by ``=`` is a parameter, any other
    word starts a challenge. What cannot be read is passed over. Of a repeated parameter the first counts, but a
    repeated ``error`` says nothing certain (RFC 6750 section 3 allows one): the challenge then carries none.
    """
    challenges: list[Challenge] = []
    for value in values:
        _parse_one(value, challenges)
    return tuple(challenges)


def _parse_one(text: str, challenges: list[Challenge]) -> None:
    params: dict[str, str] | None = None  # of the challenge being read
    seen_error = False
    at = 0
    while at < len(text):
        word = _TOKEN.match(text, at)
        if word is None:
            # A separator, or rubbish. A quoted string is passed over whole: what is inside starts nothing.
            quoted = _QUOTED.match(text, at)
            at = quoted.end() if quoted else at + 1
            continue
        equals = _EQUALS.match(text, word.end())
        if equals is None:
            token68 = _TOKEN68.match(text, word.end())
            params, seen_error = {}, False
            challenges.append(Challenge(word.group().lower(), params, token68.group(1) if token68 else None))
            at = token68.end() if token68 else word.end()
            continue
        content, at = _read_value(text, equals.end())
        if params is None or content is None:
            continue  # belongs to no challenge, or was cut off inside the quotes
        name = word.group().lower()
        if name == "error" and seen_error:
            params.pop("error", None)
        else:
            params.setdefault(name, content)
        seen_error = seen_error or name == "error"


def _read_value(text: str, at: int) -> tuple[str | None, int]:
    quoted = _QUOTED.match(text, at)
    if quoted is None:
        bare = _BARE.match(text, at)
        return (bare.group(), bare.end()) if bare else (None, at)
    return (_ESCAPED.sub(r"\1", quoted.group(1)) if quoted.group(2) else None), quoted.end()
