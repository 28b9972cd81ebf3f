"""Secrets that stand elsewhere: in the environment, in a file, or behind a callable; read when they are needed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from .errors import ConfigurationError

Secret = str | Callable[[], str] | None


def check(value: object, name: str) -> None:
    """Whether it can be a secret at all.

    Raises:
        ConfigurationError: it cannot.
    """
    if value is not None and not callable(value) and not (isinstance(value, str) and value):
        raise ConfigurationError(f'{name} must be a non-empty string, "env:NAME", "file:PATH", a callable, or None')


def reveal(secret: Secret, name: str) -> str | None:
    """The secret itself, fetched now.

    Args:
        name: what to call it in an error.

    Raises:
        ConfigurationError: there is none where it should be.
    """
    value = secret() if callable(secret) else secret
    if isinstance(value, str) and value.startswith("env:"):
        variable = value.removeprefix("env:")
        value = os.environ.get(variable)
        if not value:
            raise ConfigurationError(f"{name} is taken from the environment, and {variable} is not set there")
    elif isinstance(value, str) and value.startswith("file:"):
        try:
            value = Path(value.removeprefix("file:")).expanduser().read_text().strip()
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"{name} is taken from a file, which cannot be read: {_words(error)}") from None
        if not value:
            raise ConfigurationError(f"{name} is taken from a file, which is empty")
    if value is not None and not (isinstance(value, str) and value):
        raise ConfigurationError(f"the {name} callable must return a non-empty string")
    return value


def _words(error: Exception) -> str:
    return getattr(error, "strerror", None) or type(error).__name__
