"""How a provider talks: where it looks for the token, what it wants of token requests, and what its answers look like."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from oauth_session.providers import Profile
from oauth_session.providers.answers import at as _at
from oauth_session.providers.profile import Example
from oauth_session.providers.templates import names_in
from oauth_session.rules.rule import Rule

from .answers import Answer, json_answer
from .minted import Verdict
from .model import Rules
from .resource import Refusal, bearer_token, refuse
from .wire import Request

FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Form:
    """The parameters of a token request, in the names of RFC 6749.

    Attributes:
        wrong: why it is no request that the provider takes, or "".
    """

    params: Mapping[str, str]
    wrong: str = ""


class Manner:
    """As the RFCs have it."""

    refusal: Refusal = "challenge"
    forbidden = json_answer(403, {"error": "permission_denied"})
    limited = json_answer(429, {"error": "rate_limited"}, {"Retry-After": "1"})

    def rules(self) -> Rules:
        """What the model is told, where a test says nothing else."""
        return {}

    def token_of(self, headers: Mapping[str, str]) -> str | None:
        """The access token of a request to the API; names of headers are in lower case."""
        return bearer_token(headers.get("authorization"))

    def form(self, request: Request) -> Form:
        """What is asked for."""
        if request.method != "POST":
            return Form({}, "method_not_allowed")
        pairs = parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True)
        params = dict(pairs)
        # RFC 6749 3.2: parameters must not be included more than once
        return Form(params, "a parameter is repeated" if len(params) < len(pairs) else "")

    def token_answer(self, answer: Answer, now: float) -> Answer:
        """The model's answer in the provider's words."""
        return answer

    def issued(self, answer: dict[str, Any], now: float) -> dict[str, Any]:
        """A token response in the provider's words."""
        return answer

    def refuse(self, refusal: Refusal, verdict: Verdict) -> Answer:
        """The API's refusal of a token."""
        return refusal(verdict) if callable(refusal) else refuse(refusal, verdict)


class Profiled(Manner):
    """As a profile has it. Where the profile says nothing, or nothing verified, as the RFCs have it."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self.expired = self._answers("expired") or [_made(rule) for rule in profile.expired_when]
        self.refusal = self._refuse
        granted = next((example for example in profile.examples if example.of == "refresh_granted"), None)
        self._status = granted.status if granted else 200
        self._granted: Any = json.loads(granted.body) if granted else {}
        self.forbidden = next(iter(self._answers("permission")), Manner.forbidden)
        self.limited = next(iter(self._answers("rate_limit")), Manner.limited)

    def rules(self) -> Rules:
        """Rotation, grace and times; a provider that may rotate does."""
        profile = self._profile
        grace = profile.grace
        if grace == "none" and profile.reuse_grace:
            grace = "same_pair"  # that there is a grace is known, what it gives is not
        rules: Rules = {
            "rotation": "none" if profile.rotation == "none" else "always",
            "grace": grace,
            "revoke_on_reuse": profile.revoke_on_reuse,
            "access_dies_at_refresh": profile.access_dies_at_refresh,
            "min_token_age": profile.min_token_age,
            "renews_access_token": profile.refresh_needs_live_token,
        }
        if profile.reuse_grace:
            rules["grace_seconds"] = profile.reuse_grace
        if profile.lifetime:
            rules["lifetime"] = profile.lifetime
        if profile.client_auth is not None:
            rules["client_auth"] = (profile.client_auth,)
            if profile.client_auth == "none":
                rules["client_secret"] = None
        return rules

    def token_of(self, headers: Mapping[str, str]) -> str | None:
        """Where the profile has it."""
        value, scheme = headers.get(self._profile.header.lower()), self._profile.scheme
        if value is None or not scheme:
            return value
        found, _, token = value.partition(" ")
        return token.strip() if found.lower() == scheme.lower() else None

    def form(self, request: Request) -> Form:
        """In the method, format and names of the profile, with what it sends besides."""
        profile = self._profile
        if request.method != profile.request_method:
            return Form({}, "method_not_allowed")
        try:
            given = self._read(request)
        except ValueError:
            return Form({}, f"the body is no {profile.request_format}")
        back = {theirs: ours for ours, theirs in profile.param_names.items()}
        if renamed := [name for name in given if name in profile.param_names and name not in back]:
            return Form(given, f"{renamed[0]} is called {profile.param_names[renamed[0]]} here")
        params = {back.get(name, name): value for name, value in given.items()}
        renews = "refresh_token" in params
        for name, value in profile.refresh_params.items() if renews else ():
            if name not in given or (not names_in(value) and given[name] != value):
                return Form(params, f"{name} is missing or wrong")
        for name, value in profile.refresh_headers.items():
            if not names_in(value) and request.headers.get(name.lower()) != value:
                return Form(params, f"the header {name} is missing or wrong")
        if renews:
            params["grant_type"] = "refresh_token"  # whatever this provider calls it
        return Form(params)

    def _read(self, request: Request) -> dict[str, str]:
        profile, kind = self._profile, request.headers.get("content-type", "")
        if profile.request_format == "query":
            return dict(parse_qsl(request.target.partition("?")[2], keep_blank_values=True))
        if profile.request_format == "json":
            found = json.loads(request.body)
            if not isinstance(found, dict) or not kind.startswith("application/json"):
                raise ValueError
            return found
        if not kind.startswith(FORM):
            raise ValueError
        return dict(parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True))

    def token_answer(self, answer: Answer, now: float) -> Answer:
        """A success in the profile's shape; a dead refresh token, or one that comes too early, in its words."""
        data = json.loads(answer.body)
        if answer.status == 200:
            shaped = json_answer(self._status, self.issued(data, now))
            return shaped._replace(headers=answer.headers | shaped.headers)
        of = {"invalid_grant": "refresh_dead", "too_early": "refresh_early"}.get(data.get("error"))
        if of is None:
            return answer
        said = self._answers(of)
        if not said and of == "refresh_dead":
            said = [_made(rule) for rule in self._profile.refresh_dead_when]
        return said[0]._replace(headers=answer.headers | said[0].headers) if said else answer

    def issued(self, answer: dict[str, Any], now: float) -> dict[str, Any]:
        """With its names, nested as it has them, and the expiry in its format; the rest is as in a real answer."""
        profile, told, shaped = self._profile, dict(answer), self._granted
        seconds = told.pop("expires_in", None)
        if seconds is not None and profile.default_lifetime is None and profile.expiry_format != "none":
            told["expires_in"] = _expiry(seconds, profile.expiry_format, now)
        for name in ("access_token", "refresh_token", "expires_in"):
            shaped = _without(shaped, getattr(profile.token_response, name))
        if _at(shaped, profile.token_response.token_type) is not None:
            told.pop("token_type", None)
        for name in profile.token_response.__dataclass_fields__:
            if name in told:
                shaped = _put(shaped, getattr(profile.token_response, name), told.pop(name))
        for rule in profile.token_success[:1]:
            if rule.path:
                shaped = _put(shaped, rule.path, rule.values[0])
        return shaped | told if isinstance(shaped, dict) else shaped

    def _refuse(self, verdict: Verdict) -> Answer:
        return self.expired[0] if self.expired else refuse("challenge", verdict)

    def _answers(self, of: str) -> list[Answer]:
        return [answer_of(example) for example in self._profile.examples if example.of == of]


def answer_of(example: Example) -> Answer:
    """An example as an answer."""
    plain = "application/json" if example.body[:1] in ("{", "[") else "text/plain"
    headers = {"Content-Type": plain} if example.body else {}
    return Answer(example.status, {**headers, **example.headers}, example.body.encode())


def _made(rule: Rule) -> Answer:
    """An answer that the rule describes."""
    headers = dict(rule.headers)
    if rule.error is not None:
        headers["WWW-Authenticate"] = f'Bearer error="{rule.error}"'
    status = min(rule.statuses)
    if rule.body is not None:
        return Answer(status, {"Content-Type": "text/plain", **headers}, rule.body.encode())
    if rule.path:
        return json_answer(status, _put(None, rule.path, rule.values[0]), headers)
    return Answer(status, headers, b"")


def _put(whole: Any, path: tuple[str | int, ...], value: Any) -> Any:
    """The value at its place in what may be nothing yet."""
    if not path:
        return value
    step, rest = path[0], path[1:]
    if isinstance(step, int):
        found = list(whole) if isinstance(whole, list) else []
        found += [None] * (step + 1 - len(found))
        found[step] = _put(found[step], rest, value)
        return found
    members = dict(whole) if isinstance(whole, dict) else {}
    return members | {step: _put(members.get(step), rest, value)}


def _without(whole: Any, path: tuple[str | int, ...]) -> Any:
    """The value less what stands there."""
    outer = _at(whole, path[:-1])
    if not isinstance(outer, dict):
        return whole
    rest = {name: value for name, value in outer.items() if name != path[-1]}
    return _put(whole, path[:-1], rest)


def _expiry(seconds: float, form: str, now: float) -> object:
    if form == "iso8601":
        return datetime.fromtimestamp(now + seconds, UTC).isoformat().replace("+00:00", "Z")
    number = now + seconds if form.startswith("epoch") else seconds
    return int(number * 1000) if form.endswith("milliseconds") else int(number) if form == "epoch" else number
