"""A secret that can be told wherever it appears, plain or in base64."""

from __future__ import annotations

import base64
import logging
import pickle
import traceback
from collections.abc import Iterable
from typing import Any

SENTINEL = "S3NT1NELs3cr3t"


def forms(secret: str = SENTINEL) -> list[bytes]:
    """The secret as bytes, and the part of its base64 that is the same wherever in a text it stands."""
    found = [secret.encode()]
    for shift in range(3):
        encoded = base64.b64encode(b"x" * shift + secret.encode() + b"xxx").decode()
        found.append(encoded[4 if shift else 0 : len(encoded) - 8].encode())
    return found


def hits(shown: dict[str, bytes], secret: str = SENTINEL) -> list[str]:
    """Where the secret can be read."""
    return sorted(where for where, what in shown.items() if any(form in what for form in forms(secret)))


def shown_of(thing: Any) -> bytes:
    """Whatever `repr`, `str`, `format` and a pickle of a value show."""
    if isinstance(thing, bytes):
        return thing
    return "\n".join((repr(thing), str(thing), f"{thing}")).encode(errors="replace")


def shown_of_error(error: BaseException) -> bytes:
    """An error with all that hangs on it: arguments, attributes, response, pickle, traceback, and its whole chain."""
    parts: list[bytes] = ["".join(traceback.format_exception(error)).encode(errors="replace")]
    seen: list[BaseException] = []
    queue: list[BaseException | None] = [error]
    while queue:
        one = queue.pop()
        if one is None or one in seen:
            continue
        seen.append(one)
        queue += [one.__cause__, one.__context__]  # also one that `from None` hides from tracebacks
        parts += [shown_of(one), shown_of(one.args)]
        for name, value in [*vars(one).items(), *((n, getattr(one, n, None)) for n in ("doc", "object", "pos"))]:
            parts.append(f"{name}={value!r}".encode(errors="replace"))
            if hasattr(value, "headers"):
                parts += [shown_of(dict(value.headers)), shown_of(getattr(value, "text", ""))]
    parts.append(pickle.dumps(error))
    return b"\n".join(parts)


class LogBook(logging.Handler):
    """Every line of every logger at DEBUG, formatted, with the arguments and extras it was made from."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[bytes] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        self.lines.append(text.encode(errors="replace"))
        self.lines += [shown_of(value) for name, value in vars(record).items() if name != "exc_info"]
        if record.exc_info and record.exc_info[1]:
            self.lines.append(shown_of_error(record.exc_info[1]))

    def __enter__(self) -> LogBook:
        root = logging.getLogger()
        self._before = root.level
        root.setLevel(logging.DEBUG)
        root.addHandler(self)
        return self

    def __exit__(self, *given: object) -> None:
        root = logging.getLogger()
        root.setLevel(self._before)
        root.removeHandler(self)

    def shown(self) -> bytes:
        return b"\n".join(self.lines)


def all_shown(things: Iterable[Any]) -> bytes:
    return b"\n".join(map(shown_of, things))
