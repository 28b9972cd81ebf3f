"""For tests that record traffic with vcrpy: no token gets into a cassette."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

from ..redaction import SECRET_NAMES, QueryFilter

SCRUBBED = "scrubbed"
SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie", "dpop", "x-api-key"})
_filter = QueryFilter()
_FORM = re.compile(r"[^\s=&{}<>]+=[^\s&{}<>]*(?:&[^\s=&{}<>]+=[^\s&{}<>]*)*")


def cassette_filters() -> dict[str, Any]:
    """Arguments for ``vcr.VCR`` that take tokens and client secrets out of what is recorded and compared::

        vcr.VCR(**cassette_filters()).use_cassette("me.yaml")

    The token endpoint's connections are our own and not vcrpy's to see: with ``token_session=requests.Session()`` its
    exchanges are recorded too, and played back with tokens that read ``scrubbed-access_token``.
    """
    return {
        "decode_compressed_response": True,
        "before_record_request": _request,
        "before_record_response": _response,
    }


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


def _request(request: Any) -> Any:
    request.uri = _url(request.uri)
    request.headers = _headers(request.headers)
    if request.body:
        request.body = clean_body(request.body)
    return request


def _response(response: dict[str, Any]) -> dict[str, Any]:
    headers, body = _headers(response["headers"]), response.get("body") or {}
    before = body.get("string")
    after = clean_body(before)
    if after != before:
        length = [str(len(after if isinstance(after, bytes) else after.encode()))]
        headers = {name: length if name.lower() == "content-length" else value for name, value in headers.items()}
    return response | {"headers": headers, "body": {**body, "string": after} if body else body}


def _clean_text(text: str) -> str:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        data = None
    if isinstance(data, dict | list):
        cleaned = _members(data)
        return text if cleaned == data else json.dumps(cleaned)
    if not _FORM.fullmatch(text.strip()):
        return _filter.clean(text)
    fields = parse_qsl(text.strip(), keep_blank_values=True)
    cleaned = [(name, _instead(name) if name.lower() in SECRET_NAMES else value) for name, value in fields]
    return text if cleaned == fields else urlencode(cleaned)


def _members(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            name: _instead(name) if name.lower() in SECRET_NAMES and isinstance(item, str) else _members(item)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [_members(item) for item in value]
    return _filter.clean(value) if isinstance(value, str) else value


def _headers(headers: Mapping[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, value in headers.items():
        if name.lower() in SECRET_HEADERS:
            out[name] = [SCRUBBED] if isinstance(value, list) else SCRUBBED
        elif name.lower() == "location":
            out[name] = [_url(one) for one in value] if isinstance(value, list) else _url(value)
        else:
            out[name] = value
    return out


def _url(url: str) -> str:
    return re.sub(r"(//)[^/@\s]*@", r"\1", _filter.clean(url), count=1)


def _instead(name: str) -> str:
    return f"{SCRUBBED}-{name}"
