"""URLs with ``{placeholders}``: checked when the profile is loaded, so that no value can change the host."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from ..errors import ConfigurationError
from ..rules.origins import origin_of

KINDS = ("label", "host", "segment", "value")
_PLACE = re.compile(r"\{([^{}]*)\}")
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
_AUTHORITY = re.compile(r"https?://([^/?#]*)(.*)", re.DOTALL)
# What may stand behind a label: two further labels at least, fixed ones, such as ".myshopify.com".
_FIXED = re.compile(rf"\.(?:{_LABEL}\.)+[A-Za-z]{{2,63}}(?::[0-9]{{1,5}})?")
# Under these, of two letters more, names are sold one by one, as under .com: co.uk, com.au, or.jp.
_SOLD = re.compile(r"\.(?:ac|co|com|edu|gob|gov|gv|mil|ne|net|nom|or|org)\.[A-Za-z]{2}(?::[0-9]{1,5})?")
_VALUES = {
    "label": re.compile(_LABEL),
    "host": re.compile(rf"(?:{_LABEL}\.)+[A-Za-z]{{2,63}}"),
    "segment": re.compile(r"(?!\.\.?\Z)[A-Za-z0-9._~-]{1,200}"),
    "value": re.compile(r"[\x20-\x7e]{1,2000}"),
}
_SAYS = {
    "label": "one part of a host name (letters, digits, hyphens)",
    "host": "a host name and nothing else, such as login.example.com",
    "segment": "one part of a path (letters, digits, . _ ~ -)",
    "value": "printable ASCII",
}


@dataclass(frozen=True, slots=True)
class Param:
    """One placeholder.

    Attributes:
        kind: ``label``, one part of a host name or of a path; ``host``, a whole host name; ``segment``, one part of a
            path; ``value``, any text, for parameters and headers only.
        choices: the only values that there are, or empty.
        default: the value when none is given.
    """

    name: str
    kind: str
    choices: tuple[str, ...] = ()
    default: str | None = None
    about: str = ""

    def check(self, value: object) -> str:
        """The value, if it is one.

        Raises:
            ConfigurationError: it is none.
        """
        if self.choices:
            if value not in self.choices:
                raise ConfigurationError(f"{self.name} must be one of {', '.join(self.choices)}")
        elif not isinstance(value, str) or not _VALUES[self.kind].fullmatch(value):
            raise ConfigurationError(f"{self.name} must be {_SAYS[self.kind]}")
        return str(value)


def names_in(text: str) -> list[str]:
    """The placeholders, in order."""
    return _PLACE.findall(text)


def check_url(url: str, params: Mapping[str, Param], *, origin: bool = False) -> None:
    """Complain about a URL whose host a value could change.

    Raises:
        ConfigurationError: and why.
    """
    _check_names(url, params)
    match = _AUTHORITY.fullmatch(url)
    if match is None:
        raise ConfigurationError("must be an absolute https URL, such as https://{shop}.example.com/token")
    authority, rest = match.groups()
    if not url.startswith("https://") and not re.match(r"http://(127\.0\.0\.1|localhost|\[::1\])[:/]", url + "/"):
        raise ConfigurationError("must be https; plain http is for this machine")
    if origin and rest not in ("", "/"):
        raise ConfigurationError("must be scheme and host only: an origin has no path")
    if "@" in authority:
        raise ConfigurationError("must not have a user in it")
    for place in _PLACE.finditer(authority):
        param, behind = params[place[1]], authority[place.end() :]
        if param.kind in ("segment", "value"):
            raise ConfigurationError(f"{{{param.name}}} is a {param.kind} and cannot stand in the host")
        if param.kind == "host" and place[0] != authority:
            raise ConfigurationError(f"{{{param.name}}} is a host, so it must be the whole host")
        free = param.kind == "label" and not param.choices
        if free and (not _FIXED.fullmatch(plain := _PLACE.sub("x", behind)) or _SOLD.fullmatch(plain)):
            raise ConfigurationError(
                f"{{{param.name}}} could change the host: behind it must stand a fixed one such as .example.com, "
                "or it must have choices"
            )
        if param.kind == "label" and authority[: place.start()][-1:] not in ("", ".", "-"):
            raise ConfigurationError(f"{{{param.name}}} must stand behind a dot or a hyphen")
    for place in _PLACE.finditer(rest):
        if params[place[1]].kind == "value":
            raise ConfigurationError(f"{{{place[1]}}} is a value and cannot stand in a URL")
    if origin_of(_PLACE.sub("x.example.com" if _PLACE.fullmatch(authority) else "x", url)) is None:
        raise ConfigurationError("is no URL with a certain host")


def check_text(text: str, params: Mapping[str, Param]) -> None:
    """Complain about a placeholder that is not declared."""
    _check_names(text, params)


def _check_names(text: str, params: Mapping[str, Param]) -> None:
    for name in names_in(text):
        if name not in params:
            raise ConfigurationError(f"{{{name}}} is not among params")
    if re.search(r"[{}]", _PLACE.sub("", text)):
        raise ConfigurationError("has a brace without its partner")


def check_param(name: str, value: object) -> Param:
    """One entry of ``params``.

    Raises:
        ConfigurationError: and why.
    """
    if not _NAME.fullmatch(name):
        raise ConfigurationError("must be named in small letters, digits and _")
    if not isinstance(value, Mapping) or (unknown := set(value) - {"kind", "choices", "default", "about"}):
        wrong = f", not {sorted(unknown)[0]}" if isinstance(value, Mapping) else ""
        raise ConfigurationError(f"must be a table of kind, choices, default, about{wrong}")
    kind, choices, default = value.get("kind", "label"), value.get("choices", ()), value.get("default")
    if kind not in KINDS:
        raise ConfigurationError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}")
    if isinstance(choices, str) or not isinstance(choices, Collection) or not all(isinstance(c, str) for c in choices):
        raise ConfigurationError("choices must be a list of texts")
    if any(not re.fullmatch(r"[A-Za-z0-9.-]+", choice) for choice in choices):
        raise ConfigurationError("choices must be made of letters, digits, dots and hyphens")
    param = Param(name, kind, tuple(choices), None, str(value.get("about", "")))
    return param if default is None else Param(name, kind, tuple(choices), param.check(default), param.about)


def fill(text: str, values: Mapping[str, str]) -> str:
    """The text with values, which have been checked, in place of the placeholders."""
    return _PLACE.sub(lambda place: values[place[1]], text)


def missing(texts: Iterable[str], values: Mapping[str, str]) -> list[str]:
    """The placeholders without a value."""
    return sorted({name for text in texts for name in names_in(text)} - set(values))
