"""Providers: what each does differently, as data. ``provider="xero"``, a file of one's own, or a dict."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError
from .profile import API_EXAMPLES, Profile
from .provider import Provider
from .schema import load

__all__ = ["Profile", "Provider", "bound", "load_profile", "names"]

Named = str | os.PathLike[str] | Mapping[str, Any] | Profile

# What shows how these fields were, and is not taken over where one of them is replaced.
_SHOWN = (
    ({"expired_when", "not_expired_when", "refresh_on", "default_401"}, API_EXAMPLES),
    ({"token_response", "expiry_format", "token_success"}, ("refresh_granted",)),
)


@lru_cache(maxsize=1)
def names() -> tuple[str, ...]:
    """The providers that come with the package."""
    return tuple(
        sorted(
            f.name.removesuffix(".toml") for f in files(__name__).joinpath("data").iterdir() if f.name[-5:] == ".toml"
        )
    )


def load_profile(provider: Named) -> Profile:
    """A profile by its name, from a TOML file, or from a dict; the latter two may say ``extends``.

    Raises:
        ConfigurationError: there is none, or it is wrong; the message names file, field and reason.
    """
    if isinstance(provider, Profile):
        return provider
    if isinstance(provider, Mapping):
        return load(_extended(provider, "provider", 0), "provider")
    if isinstance(provider, str) and provider in names():
        return _built_in(provider)
    return load(*_read(provider))


def bound(provider: Named, values: Mapping[str, object], token_url: str | None = None) -> Provider:
    """A provider with the values of its placeholders; a `token_url` of the caller's own wins.

    Raises:
        ConfigurationError: the profile is wrong, or a value.
    """
    profile = load_profile(provider)
    if token_url is not None:
        profile = replace(profile, token_url="", refresh_url="")
    profile = profile.bind(values)
    return Provider(profile if token_url is None else replace(profile, token_url=token_url))


@lru_cache(maxsize=64)
def _built_in(name: str) -> Profile:
    return load(_table(name), f"{name}.toml")


@lru_cache(maxsize=64)
def _table(name: str) -> dict[str, Any]:
    text = files(__name__).joinpath("data", f"{name}.toml").read_text("utf-8")
    return {"name": name} | tomllib.loads(text)


def _read(provider: object) -> tuple[Mapping[str, Any], str]:
    if not isinstance(provider, str | os.PathLike):
        raise ConfigurationError("provider must be a name, the path of a TOML file, or a dict")
    path = Path(provider)
    if path.suffix != ".toml":
        raise ConfigurationError(
            f"provider: there is no {str(provider)!r}; `oauth-session providers` lists what there is, and a file of your "
            "own must end in .toml"
        )
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path.name}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path.name}: is no TOML: {error}") from None
    return {"name": path.stem} | _extended(table, path.name, 0), path.name


def _extended(table: Mapping[str, Any], file: str, depth: int) -> dict[str, Any]:
    """The table over the one that it extends: field by field, a field as a whole."""
    own = dict(table)
    base = own.pop("extends", None)
    if base is None:
        return own
    if not isinstance(base, str) or base not in names():
        raise ConfigurationError(f"{file}: extends: must be one of {', '.join(names())}, not {base!r}")
    below = dict(_table(base))
    sources = {name: text for name, text in below.get("sources", {}).items() if name not in own}
    gone = {kind for fields, kinds in _SHOWN for kind in kinds if own.keys() & fields}
    below["examples"] = [example for example in below.get("examples", ()) if example["of"] not in gone]
    return below | {"sources": sources} | own
