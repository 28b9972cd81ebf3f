"""For tests that record traffic with vcrpy: no token gets into a cassette."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl, urlencode

SECRET = {"access_token", "refresh_token", "id_token", "client_secret", "client_assertion", "assertion", "code"}
SCRUBBED = "scrubbed"


def cassette_filters() -> dict[str, Any]:
    """Arguments for ``vcr.VCR`` that take tokens and client secrets out of what is recorded and compared::

        vcr.VCR(**cassette_filters()).use_cassette("me.yaml")

    The token endpoint's connections are our own and not vcrpy's to see: with ``token_session=requests.Session()`` its
    exchanges are recorded too, and played back with tokens that read ``scrubbed-access_token``.
    """
    return {
        "decode_compressed_response": True,
        "filter_headers": [("authorization", SCRUBBED)],
        "before_record_request": _request,
        "before_record_response": _response,
    }


def _request(request: Any) -> Any:
    body = request.body
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
    if isinstance(text, str):
        form = parse_qsl(text, keep_blank_values=True)
        if any(name in SECRET for name, _ in form):
            request.body = urlencode([(name, _instead(name) if name in SECRET else value) for name, value in form])
    return request


def _response(response: dict[str, Any]) -> dict[str, Any]:
    try:
        value = json.loads(response["body"]["string"])
    except (ValueError, KeyError, TypeError):
        return response
    if not isinstance(value, dict) or not SECRET & set(value):
        return response
    body = json.dumps({name: _instead(name) if name in SECRET else item for name, item in value.items()}).encode()
    headers = {name: item for name, item in response["headers"].items() if name.lower() != "content-length"}
    return response | {"headers": headers | {"Content-Length": [str(len(body))]}, "body": {"string": body}}


def _instead(name: str) -> str:
    return f"{SCRUBBED}-{name}"
