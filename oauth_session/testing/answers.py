"""HTTP answers as values, and what an ``Authorization: Basic`` header says."""

from __future__ import annotations

import base64
import binascii
import json
from typing import NamedTuple
from urllib.parse import unquote_plus


class Answer(NamedTuple):
    """An HTTP answer: status, headers, body."""

    status: int
    headers: dict[str, str]
    body: bytes


def json_answer(status: int, value: object, headers: dict[str, str] | None = None) -> Answer:
    """An answer with a JSON body."""
    return Answer(status, {"Content-Type": "application/json", **(headers or {})}, json.dumps(value).encode())


def error_answer(
    status: int, error: str, description: str | None = None, headers: dict[str, str] | None = None
) -> Answer:
    """An error of RFC 6749 section 5.2."""
    body = {"error": error} | ({"error_description": description} if description else {})
    return json_answer(status, body, headers)


def basic_readings(authorization: str) -> dict[str, tuple[str, str]]:
    """Client id and secret in a Basic header, by the name of the method that reads them so."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() != "basic":
        return {}
    try:
        user, colon, password = base64.b64decode(value.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return {}
    if not colon:
        return {}
    return {
        "client_secret_basic": (unquote_plus(user), unquote_plus(password)),  # RFC 6749 2.3.1
        "client_secret_basic_raw": (user, password),
    }
