"""The rules of an authorization server that rotates, without sockets, clocks or threads.

The fake provider serves it over HTTP, and a simulator can step it; `now` is always passed in, in seconds.
"""

from __future__ import annotations

import base64
import binascii
import itertools
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import unquote_plus

Grace = Literal["none", "same_pair", "new_pair", "newest_only", "until_used"]


@dataclass(slots=True)
class Family:
    """Everything that one login has brought; reuse of a spent refresh token kills all of it."""

    name: str
    alive: bool = True
    newest: str = ""


@dataclass(slots=True)
class Issued:
    """One pair; `refresh` is None for grants without a refresh token."""

    access: str
    refresh: str | None
    family: Family
    issued_at: float
    lifetime: float
    parent: Issued | None = None
    spent_at: float | None = None
    child: Issued | None = None
    access_dead: bool = False
    access_used: bool = False


@dataclass(slots=True)
class ProviderModel:
    """An authorization server and its API's view of tokens.

    Attributes:
        lifetime: of access tokens, seconds.
        expires_in: what is told instead of the lifetime; a value that is not told when it is `...`.
        rotation: "always", or "none": the refresh token stays the same and is not returned.
        grace: what a spent refresh token still gets for `grace_seconds`: nothing; the same pair again; a new pair each
            time; a new pair, and only the newest lives. "until_used": it lives until its successor is used.
        access_dies_at_refresh: the old access token ends when a new one is issued.
        client_auth: the methods that are accepted.
        refresh_calls, generations, reuse_incidents, token_calls: counters.
    """

    client_id: str = "app"
    client_secret: str | None = "s3cret: with/odd %+&= signs"
    lifetime: float = 3600.0
    expires_in: Any = None
    rotation: Literal["always", "none"] = "always"
    grace: Grace = "none"
    grace_seconds: float = 10.0
    access_dies_at_refresh: bool = False
    client_auth: tuple[str, ...] = ("client_secret_basic", "client_secret_post")
    token_calls: int = 0
    refresh_calls: int = 0
    generations: int = 0
    reuse_incidents: int = 0
    presented: Counter[str] = field(default_factory=Counter)
    families: list[Family] = field(default_factory=list)
    _by_access: dict[str, Issued] = field(default_factory=dict)
    _by_refresh: dict[str, Issued] = field(default_factory=dict)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def issue(self, now: float) -> dict[str, Any]:
        """A login: a token response that starts a new family."""
        family = Family(f"family-{next(self._numbers)}")
        self.families.append(family)
        return self._answer(self._new(family, now, True), now)

    def token(self, form: Mapping[str, str], authorization: str | None, now: float) -> tuple[int, dict[str, Any]]:
        """The token endpoint: status and JSON body (RFC 6749 sections 5.1 and 5.2)."""
        self.token_calls += 1
        if not self._client_ok(form, authorization):
            return 401, {"error": "invalid_client"}
        grant_type = form.get("grant_type")
        if grant_type == "client_credentials":
            self.generations += 1
            family = Family(f"client-{next(self._numbers)}")
            self.families.append(family)
            return 200, self._answer(self._new(family, now, False), now)
        if grant_type != "refresh_token":
            return 400, {"error": "unsupported_grant_type"}
        self.refresh_calls += 1
        return self._refresh(form.get("refresh_token", ""), now)

    def accepts(self, access_token: str, now: float) -> bool:
        """Whether the API lets this access token in."""
        pair = self._by_access.get(access_token)
        if pair is None or pair.access_dead or not pair.family.alive or now >= pair.issued_at + pair.lifetime:
            return False
        pair.access_used = True
        return True

    def grant_alive(self, now: float = 0.0) -> bool:
        """Whether the newest login can still be refreshed."""
        return bool(self.families) and self.families[-1].alive

    def expire(self) -> None:
        """All access tokens end at once; refresh tokens live on."""
        for pair in self._by_access.values():
            pair.access_dead = True

    def revoke(self) -> None:
        """All logins end."""
        for family in self.families:
            family.alive = False

    def _refresh(self, refresh_token: str, now: float) -> tuple[int, dict[str, Any]]:
        pair = self._by_refresh.get(refresh_token)
        self.presented[refresh_token] += 1
        dead = 400, {"error": "invalid_grant", "error_description": "the refresh token is invalid, expired or revoked"}
        if pair is None or not pair.family.alive:
            return dead
        if self.rotation == "none":
            self.generations += 1
            return 200, self._answer(self._successor(pair, now, refresh=False), now)
        if pair.spent_at is None or self._until_used(pair):
            if pair.spent_at is None:
                pair.spent_at = now
            self.generations += 1
            pair.child = self._successor(pair, now)
            return 200, self._answer(pair.child, now)
        graced = self.grace not in ("none", "until_used") and now < pair.spent_at + self.grace_seconds
        if not graced:
            self.reuse_incidents += 1
            pair.family.alive = False
            return dead
        if self.grace == "same_pair" and pair.child is not None:
            return 200, self._answer(pair.child, now)
        self.generations += 1
        if self.grace == "newest_only" and pair.child is not None:
            self._kill(pair.child)
        pair.child = self._successor(pair, now)
        return 200, self._answer(pair.child, now)

    def _until_used(self, pair: Issued) -> bool:
        return self.grace == "until_used" and pair.child is not None and not pair.child.access_used

    def _kill(self, pair: Issued) -> None:
        while True:
            pair.access_dead = True
            if pair.refresh is not None:
                self._by_refresh.pop(pair.refresh, None)
            if pair.child is None:
                return
            pair = pair.child

    def _successor(self, pair: Issued, now: float, refresh: bool = True) -> Issued:
        if self.access_dies_at_refresh:
            pair.access_dead = True
        return self._new(pair.family, now, refresh)

    def _new(self, family: Family, now: float, refresh: bool) -> Issued:
        number = next(self._numbers)
        pair = Issued(f"access-{number}", f"refresh-{number}" if refresh else None, family, now, self.lifetime)
        self._by_access[pair.access] = pair
        if pair.refresh is not None:
            self._by_refresh[pair.refresh] = pair
        return pair

    def _answer(self, pair: Issued, now: float) -> dict[str, Any]:
        answer: dict[str, Any] = {"access_token": pair.access, "token_type": "Bearer"}
        told = self.lifetime if self.expires_in is None else self.expires_in
        if told is not ...:
            answer["expires_in"] = told
        if pair.refresh is not None:
            answer["refresh_token"] = pair.refresh
        return answer

    def _client_ok(self, form: Mapping[str, str], authorization: str | None) -> bool:
        if authorization is not None:
            try:
                kind, _, encoded = authorization.partition(" ")
                name, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                return False
            if kind.lower() != "basic" or "client_secret_basic" not in self.client_auth or "client_secret" in form:
                return False
            return (unquote_plus(name), unquote_plus(secret)) == (self.client_id, self.client_secret)
        if self.client_secret is None:
            return form.get("client_id") == self.client_id
        return "client_secret_post" in self.client_auth and (
            (form.get("client_id"), form.get("client_secret")) == (self.client_id, self.client_secret)
        )
