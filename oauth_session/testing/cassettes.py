"""Recordings of HTTP without secrets: hooks for vcrpy, and for whatever else records requests and responses.

.. code-block:: python

    vcr.VCR(before_record_request=clean_request, before_record_response=clean_response)
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

from ..redaction import REDACTED, SECRET_NAMES, QueryFilter

SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie", "dpop", "x-api-key"})
_filter = QueryFilter()
_FORM = re.compile(r"[^\s=&{}<>]+=[^\s&{}<>]*(?:&[^\s=&{}<>]+=[^\s&{}<>]*)*")


def clean_request(request: Any) -> Any:
    """A request of vcrpy, before it is recorded."""
    request.uri = _url(request.uri)
    request.headers = _headers(request.headers)
    if request.body:
        request.body = clean_body(request.body)
    return request


def clean_response(response: Any) -> Any:
    """A response of vcrpy (a mapping), before it is recorded; the caller's own is left as it is."""
    headers = _headers(response["headers"])
    body = response.get("body") or {}
    if body.get("string"):
        body = {**body, "string": clean_body(body["string"])}
    return {**response, "headers": headers, "body": body}


def clean_body(body: Any) -> Any:
    """Text or bytes with the secret members of JSON, or the secret fields of a form, replaced; else as it was."""
    if not isinstance(body, str | bytes):
        return body
    try:
        text = body.decode() if isinstance(body, bytes) else body
    except UnicodeDecodeError:
        return body
    cleaned = _clean_text(text)
    return cleaned.encode() if isinstance(body, bytes) else cleaned


def _clean_text(text: str) -> str:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        data = None
    if isinstance(data, dict | list):
        return json.dumps(_members(data))
    if not _FORM.fullmatch(text.strip()):
        return _filter.clean(text)
    fields = parse_qsl(text.strip(), keep_blank_values=True)
    return urlencode([(name, REDACTED if name.lower() in SECRET_NAMES else value) for name, value in fields])


def _members(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: REDACTED if k.lower() in SECRET_NAMES and v is not None else _members(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_members(item) for item in value]
    return _filter.clean(value) if isinstance(value, str) else value


def _headers(headers: Mapping[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, value in headers.items():
        if name.lower() in SECRET_HEADERS:
            out[name] = [REDACTED] if isinstance(value, list) else REDACTED
        elif name.lower() == "location":
            out[name] = [_url(one) for one in value] if isinstance(value, list) else _url(value)
        else:
            out[name] = value
    return out


def _url(url: str) -> str:
    return re.sub(r"(//)[^/@\s]*@", r"\1", _filter.clean(url), count=1)
