"""Keeping secrets out of what others write: urllib3's debug lines, and recordings of HTTP."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from typing import Any

# Parameters and members that are secrets wherever they stand (RFC 6749, 7009, 7521, 7523, 7636, 8628, 8693, OpenID Connect).
SECRET_NAMES = frozenset(
    {
        "access_token",
        "refresh_token",
        "id_token",
        "token",
        "client_secret",
        "client_assertion",
        "assertion",
        "code",
        "code_verifier",
        "device_code",
        "user_code",
        "password",
        "subject_token",
        "actor_token",
        "id_token_hint",
        "logout_token",
        "state",
        "sig",
        "signature",
        "api_key",
        "apikey",
    }
)
REDACTED = "[redacted]"

_LOGGERS = ("urllib3.connectionpool", "urllib3.util.retry", "urllib3.poolmanager")


class QueryFilter(logging.Filter):
    """Takes the values of secret parameters out of the URLs in a log line.

    urllib3 writes the path and query of each request at DEBUG. For an API or a provider that wants a secret there:
    ``hide_in_urllib3_log("my_key")``. The token endpoint's own requests are covered without it.

    Args:
        names: of further parameters.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        super().__init__()
        self._names: set[str] = set(SECRET_NAMES)
        self.add(names)

    def add(self, names: Iterable[str]) -> None:
        """Hide these as well."""
        self._names |= {name.lower() for name in names}
        alternatives = "|".join(re.escape(name) for name in sorted(self._names, key=len, reverse=True))
        self._pattern = re.compile(rf"((?<![\w.-])(?:{alternatives})=)[^&;\s#'\"]+", re.IGNORECASE)

    def clean(self, text: str) -> str:
        """The text without the secrets."""
        return self._pattern.sub(rf"\1{REDACTED}", text)

    def filter(self, record: logging.LogRecord) -> bool:
        """Never drops a line."""
        if isinstance(record.args, tuple) and record.args:
            record.args = tuple(self._argument(value) for value in record.args)
        record.msg = self.clean(record.msg) if isinstance(record.msg, str) else record.msg
        return True

    def _argument(self, value: Any) -> Any:
        if isinstance(value, int | float | None):
            return value
        text = str(value)
        cleaned = self.clean(text)
        return value if cleaned == text else cleaned


_filter = QueryFilter()


def hide_in_urllib3_log(*names: str) -> None:
    """Keep the values of these query parameters, and of those that OAuth knows, out of urllib3's log; once for all."""
    _filter.add(names)
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_filter)  # adding it again changes nothing
