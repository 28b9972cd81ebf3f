"""What a provider shows to a browser and to those who look it up: the page that asks for consent, and the metadata."""

from __future__ import annotations

import html
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode, urlsplit

from .answers import Answer, error_answer, json_answer
from .model import ProviderModel
from .wire import Request

METADATA = "/.well-known/oauth-authorization-server"
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>A provider for tests</title>
<style>:root {{color-scheme: light dark}} body {{font: 1.1rem system-ui; max-width: 30rem; margin: 15vh auto; padding: 1rem}}
button {{font: inherit; padding: .4em 1.2em; margin-right: .6em}}</style>
<h1>{heading}</h1><p>{text}</p>{form}"""


class Front:
    """The authorization endpoint (RFC 6749 4.1, RFC 7636, RFC 9207), revocation (RFC 7009) and metadata (RFC 8414)."""

    def __init__(self, url: str, model: ProviderModel) -> None:
        self._url, self._model = url, model

    def answer(self, request: Request, path: str, query: str, now: float) -> Answer | None:
        """The answer to one request; None: it is for somebody else."""
        form = dict(parse_qsl(request.body.decode("utf-8", "replace")))
        if path == METADATA:
            return json_answer(200, self._metadata())
        if path == "/revoke" and request.method == "POST":
            return self._revoke(form, request.headers.get("authorization"))
        if path != "/authorize":
            return None
        asked = form if request.method == "POST" else dict(parse_qsl(query))
        decision = asked.pop("decision", None)
        wrong = self._wrong(asked)
        if wrong:
            return _page(400, "This address is wrong", wrong)
        if request.method == "POST":
            return Answer(303, {"Location": self.decide(asked, decision == "allow", now)}, b"")
        return _page(200, "May it?", f"{asked['client_id']} asks for {asked.get('scope') or 'access'}.", asked)

    def decide(self, asked: Mapping[str, str], allow: bool, now: float) -> str:
        """The redirect with a code, or with an error."""
        if wrong := self._wrong(asked):
            raise ValueError(wrong)
        if asked.get("response_type") != "code":
            answer = {"error": "unsupported_response_type"}
        elif asked.get("code_challenge_method") != "S256" or not asked.get("code_challenge"):
            answer = {"error": "invalid_request", "error_description": "PKCE with S256 is required"}
        elif not allow:
            answer = {"error": "access_denied"}
        else:
            answer = {"code": self._model.authorize(asked, now)}
        if "state" in asked:
            answer["state"] = asked["state"]
        uri = asked["redirect_uri"]
        return f"{uri}{'&' if '?' in uri else '?'}{urlencode(answer | {'iss': self._url})}"

    def _wrong(self, asked: Mapping[str, str]) -> str | None:
        """What must be told to the person, since the browser cannot be sent back with it (RFC 6749 4.1.2.1)."""
        if asked.get("client_id") != self._model.client_id:
            return "There is no such client_id."
        uri = urlsplit(asked.get("redirect_uri", ""))
        return None if uri.scheme and uri.netloc and not uri.fragment else "The redirect_uri is no absolute URL."

    def _revoke(self, form: Mapping[str, str], authorization: str | None) -> Answer:
        refused = self._model.refuse_client(form, authorization)
        if refused:
            return refused
        if not form.get("token"):
            return error_answer(400, "invalid_request", "token is missing")
        if family := self._model.family_of(form["token"]):
            self._model.revoke(family)
        return Answer(200, {}, b"")

    def _metadata(self) -> dict[str, object]:
        model = self._model
        return {
            "issuer": self._url,
            "authorization_endpoint": f"{self._url}/authorize",
            "token_endpoint": f"{self._url}/token",
            "revocation_endpoint": f"{self._url}/revoke",
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": sorted(model.client_auth - {"client_secret_basic_raw"}),
            "authorization_response_iss_parameter_supported": True,
        }


def _page(status: int, heading: str, text: str, asked: Mapping[str, str] | None = None) -> Answer:
    form = ""
    if asked is not None:
        hidden = (f'<input type="hidden" name="{html.escape(n)}" value="{html.escape(v)}">' for n, v in asked.items())
        buttons = (
            '<button name="decision" value="allow">Allow</button><button name="decision" value="deny">Deny</button>'
        )
        form = f'<form method="post" action="/authorize">{"".join(hidden)}{buttons}</form>'
    body = _PAGE.format(heading=html.escape(heading), text=html.escape(text), form=form)
    headers = {
        "Content-Type": "text/html; charset=utf-8",
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
    }
    return Answer(status, headers, body.encode())
