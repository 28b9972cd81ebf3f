"""A profile run end to end: a client that believes it, against a double that behaves as it says, over a socket."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple

from oauth_session.client import OAuthClient
from oauth_session.errors import InvalidGrant, OAuthSessionError, TemporarilyUnavailable
from oauth_session.policy import RefreshPolicy
from oauth_session.providers import Named, load_profile
from oauth_session.providers.answers import Reader
from oauth_session.providers.profile import Profile
from oauth_session.rules.token_response import Denied
from oauth_session.session import OAuthSession
from oauth_session.stores import MemoryStore

from .answers import Answer
from .manner import Profiled, answer_of
from .provider import FakeProvider

_VALUES = {"label": "acme", "host": "login.example.com", "segment": "acme", "value": "acme"}


_UNREAD = "it speaks of a refresh token, and none is found"


class _Wrong(Exception):
    """What was tried did not go as it should."""


def _must(ok: object, says: str) -> None:
    if not ok:
        raise _Wrong(says)


class Step(NamedTuple):
    """One thing that was tried: its name, what went wrong ("" if nothing did), and the answer that it was tried with."""

    name: str
    wrong: str
    answer: str = ""


def trial(provider: Named) -> Iterator[Step]:
    """Try everything that a profile says, one thing after another, each with a login of its own."""
    profile = load_profile(provider)
    manner = Profiled(profile)
    lives = profile.refresh_needs_live_token
    for answer in manner.expired or [Answer(401, {}, b"")]:
        yield _step("refresh while alive" if lives else "expiry, refresh, replay", answer, profile)
    for answer in _of(profile, "refresh_granted"):
        yield _step("new tokens are read", answer, profile)
    dead: list[Answer | None] = [*_of(profile, "refresh_dead")]
    for said in dead or [None]:
        yield _step("dead refresh token", said, profile)
    for answer in _of(profile, "refresh_transient") or [Answer(503, {}, b"")]:
        yield _step("refresh that fails for now", answer, profile)
    if profile.min_token_age:
        yield _step("refresh of a young token", None, profile)
    for answer in _of(profile, "permission") or [manner.forbidden]:
        yield _step("permission refused", answer, profile)
    for answer in _of(profile, "rate_limit") or [manner.limited]:
        yield _step("rate limit", answer, profile)
    for answer in [*_of(profile, "other"), *_of(profile, "success")]:
        yield _step("another answer", answer, profile)


def _of(profile: Profile, kind: str) -> list[Answer]:
    return [answer_of(example) for example in profile.examples if example.of == kind]


def _step(name: str, answer: Answer | None, profile: Profile) -> Step:
    says = "" if answer is None else f"HTTP {answer.status} {answer.body[:60].decode(errors='replace')}".strip()
    try:
        with _Trial(profile) as tried:
            _STEPS[name](tried, answer)
    except (_Wrong, OAuthSessionError) as error:
        return Step(name, f"{error}" or type(error).__name__, says)
    return Step(name, "", says)


class _Trial:
    """A double with one login, and a session on it."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        profile = replace(profile, min_token_age=0.0)  # ages of minutes and days are not waited for
        self.double = FakeProvider(profile=profile)
        self.client = OAuthClient(
            provider=profile,
            provider_params=example_params(profile),
            token_url=self.double.token_url,
            base_url=self.double.api_url,
            client_id=self.double.client_id,
            client_secret=self.double.client_secret,
            store=MemoryStore(),
            refresh=RefreshPolicy(background=False),
            on_event=lambda event: None,  # what is tried on purpose is no news
        )
        self.client.put("g", self.double.issue())
        self.session: OAuthSession = self.client.session("g")

    def __enter__(self) -> _Trial:
        return self

    def __exit__(self, *given: object) -> None:
        self.session.close()
        self.client.close()
        self.double.close()

    def get(self, path: str = "me") -> Any:
        return self.session.get(path, timeout=20)

    def refreshes(self) -> int:
        return self.double.model.refresh_calls

    def refuse_refresh(self, known: bool = True) -> None:
        """A refresh that does not succeed, and must not cost the grant; `known` as a matter of time only."""
        try:
            self.client.refresh("g")
        except InvalidGrant:
            raise _Wrong("the grant was given up") from None
        except TemporarilyUnavailable:
            return
        except OAuthSessionError as error:
            _must(not known, f"it was not known as one that passes: {error}")
            return
        raise _Wrong("the refresh was said to have succeeded")

    def end_token(self, answer: Answer | None) -> None:
        """The access token has expired, and the API says so with this answer."""
        if answer is not None:
            self.double.refusal = lambda verdict: answer
        self.double.expire()


def _expiry(tried: _Trial, answer: Answer | None) -> None:
    _must(tried.get().ok, "the first request was refused: the token is not where the double looks for it")
    _must(tried.refreshes() == 0, "a fresh token was refreshed")
    for times in (1, 2):
        tried.end_token(answer)
        found = tried.get()
        done = tried.refreshes()
        _must(done == times, f"{done} refreshes for {times} expiries: the rules do not see them")
        _must(found.ok and "token" in found.json(), "the request was not replayed")


def _alive(tried: _Trial, answer: Answer | None) -> None:
    _must(tried.get().ok, "the first request was refused: the token is not where the double looks for it")
    old = tried.client.token("g").access_token
    _must(tried.client.refresh("g").access_token != old, "no other token came")
    _must(tried.get().ok and tried.refreshes() == 1, "the next request failed")


def _granted(tried: _Trial, answer: Answer | None) -> None:
    assert answer is not None
    profile = tried.profile
    found = Reader(profile).read(*answer)
    if isinstance(found, Denied):
        raise _Wrong("no access token is found in it")
    _must(profile.rotation != "always" or found.refresh_token, "no refresh token is found in it, and it rotates")
    _must(found.refresh_token or profile.rotation == "none" or "refresh" not in answer.body.decode().lower(), _UNREAD)
    if profile.expiry_format == "none" or "expir" not in answer.body.decode().lower():
        return
    lives = found.lifetime
    _must(lives is not None, "no lifetime is found in it")
    if profile.lifetime and profile.expiry_format.endswith("seconds") and not profile.expiry_format.startswith("epoch"):
        fits = profile.lifetime / 10 <= (lives or 0.0) <= profile.lifetime * 10
        _must(fits, f"it says that the token lives {lives:g} s, and the profile {profile.lifetime:g} s")


def _dead(tried: _Trial, answer: Answer | None) -> None:
    if answer is not None:
        tried.double.fault((answer.status, answer.headers, answer.body), times=9)
    tried.end_token(None)
    tried.double.revoke()
    lives = tried.client._registration.refresh.needs_live_token
    try:
        found = tried.client.refresh("g") if lives else tried.get()
    except InvalidGrant:
        found = None
    _must(found is None, "a dead refresh token was not known as dead")
    asked = tried.double.token_requests
    _must(asked == 2, f"it was asked {asked} times, not twice")  # once more, since replicas lag
    with suppress(InvalidGrant):
        tried.get()
    _must(tried.double.token_requests == asked, "a dead refresh token was presented again")


def _transient(tried: _Trial, answer: Answer | None) -> None:
    assert answer is not None
    tried.double.fault((answer.status, answer.headers, answer.body), times=9)  # a refusal for good is asked about again
    tried.refuse_refresh()
    tried.double.clear_faults()
    _must(tried.client.refresh("g", force=True), "the grant was lost")
    _must(tried.get().ok, "the next request failed")


def _young(tried: _Trial, answer: Answer | None) -> None:
    tried.double.model.min_token_age = 600.0
    tried.refuse_refresh(known=any(example.of == "refresh_early" for example in tried.profile.examples))
    tried.double.model.min_token_age = 0.0
    _must(tried.client.refresh("g", force=True), "the grant was lost")
    _must(tried.get().ok, "the next request failed")


def _untouched(path: str) -> Callable[[_Trial, Answer | None], None]:
    def run(tried: _Trial, answer: Answer | None) -> None:
        assert answer is not None
        tried.double.forbidden = tried.double.limited = answer
        # A bare status that may mean an expired token costs one refresh, and is then held back for all.
        most = 1 if answer.status in tried.client._registration.detect.refresh_on else 0
        for _ in range(3):
            found = tried.get(path)
            _must((found.status_code, found.content) == (answer.status, answer.body), "the answer was changed")
        _must(tried.refreshes() <= most, "it was taken for an expired token")

    return run


_STEPS = {
    "expiry, refresh, replay": _expiry,
    "refresh while alive": _alive,
    "new tokens are read": _granted,
    "dead refresh token": _dead,
    "refresh that fails for now": _transient,
    "refresh of a young token": _young,
    "permission refused": _untouched("forbidden/x"),
    "rate limit": _untouched("limited/x"),
    "another answer": _untouched("forbidden/y"),
}


def example_params(profile: Profile) -> dict[str, str]:
    """Values for its placeholders, with which it can be tried."""
    return {
        name: param.choices[0] if param.choices else param.default or _VALUES[param.kind]
        for name, param in profile.params.items()
    }
