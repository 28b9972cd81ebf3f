"""The rules of an authorization server and its API, without any I/O: time is passed in, answers come out.

The same rules stand behind `FakeProvider`'s socket and inside simulations. Everything is plain data, so a model can be
copied with ``copy.deepcopy``. It is not locked: whoever shares one between threads holds a lock around each call.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Mapping
from email.utils import formatdate
from typing import Any, Literal, TypedDict

from oauth_session.tokens import fingerprint

from .answers import Answer, basic_readings, error_answer, json_answer
from .minted import LIFETIME, NOTHING, Access, Code, Family, Refresh, Verdict

Grace = Literal["none", "same_pair", "new_pair", "newest_only", "until_used"]
METHODS = ("client_secret_basic", "client_secret_basic_raw", "client_secret_post", "none")


class Rules(TypedDict, total=False):
    """The arguments of `ProviderModel`."""

    client_id: str
    client_secret: str | None
    client_auth: Collection[str] | None
    lifetime: float
    expires_in: object
    members: Mapping[str, Any] | None
    rotation: Literal["always", "none"]
    grace: Grace
    grace_seconds: float
    revoke_on_reuse: bool
    access_dies_at_refresh: bool
    min_token_age: float
    renews_access_token: bool
    seed: int | None


class ProviderModel:
    """An authorization server with one registered client, and the judgement of its API's bearer tokens.

    Args:
        client_id: the registered client.
        client_secret: its secret; None makes it a public client.
        client_auth: the accepted methods; by default basic and post with a secret, ``none`` without. Several are not
            ambiguous but tolerant: ``client_secret_basic_raw`` reads the header without form-decoding it.
        lifetime: how long an access token is good, in seconds.
        expires_in: what the answer says about it: any JSON value, `LIFETIME`, or `NOTHING`.
        members: further members of a successful answer, or replacements (`NOTHING` removes one).
        rotation: ``"always"``, each refresh token buys once; ``"none"``, it stays and no answer returns one.
        grace: what a refresh token buys that was spent less than ``grace_seconds`` ago. ``none``: nothing.
            ``same_pair``: the first answer again, word for word. ``new_pair``: another pair, and all live.
            ``newest_only``: another pair, and those bought before with this token, and all bought with them, die.
            ``until_used``: another pair, without a limit in time, until an access token it bought is used at the API.
        grace_seconds: how long after the first use the grace lasts.
        revoke_on_reuse: a spent refresh token outside its grace revokes everything since that login.
        access_dies_at_refresh: the access token that came with a refresh token dies when that is used.
        min_token_age: how old the access token must be before a refresh is allowed.
        renews_access_token: there is no refresh token; a live access token is presented in its place.
        seed: makes the token strings repeatable; None takes random ones.

    Attributes:
        token_calls: all token requests that reached the model.
        refresh_calls: refresh grants among them, refused ones included.
        generations: refresh grants that minted something; a ``same_pair`` repetition does not.
        client_credentials_calls: client credentials grants, refused ones included.
        reuse_incidents: how often a spent refresh token was presented outside its grace.
        presented: how often each refresh token was presented, by fingerprint.

    All arguments are attributes too and may be changed at any time.
    """

    def __init__(
        self,
        *,
        client_id: str = "fake-client",
        client_secret: str | None = "fake-secret",
        client_auth: Collection[str] | None = None,
        lifetime: float = 3600.0,
        expires_in: object = LIFETIME,
        members: Mapping[str, Any] | None = None,
        rotation: Literal["always", "none"] = "always",
        grace: Grace = "none",
        grace_seconds: float = 30.0,
        revoke_on_reuse: bool = True,
        access_dies_at_refresh: bool = False,
        min_token_age: float = 0.0,
        renews_access_token: bool = False,
        seed: int | None = 0,
    ) -> None:
        if client_auth is None:
            client_auth = ("none",) if client_secret is None else ("client_secret_basic", "client_secret_post")
        if rotation not in ("always", "none"):
            raise ValueError(f"unknown rotation {rotation!r}")
        if grace not in ("none", "same_pair", "new_pair", "newest_only", "until_used"):
            raise ValueError(f"unknown grace {grace!r}")
        if isinstance(client_auth, str) or not set(client_auth) <= set(METHODS):
            raise ValueError(f"client_auth must be a collection of {METHODS}")
        self.client_id, self.client_secret, self.client_auth = client_id, client_secret, frozenset(client_auth)
        self.lifetime, self.expires_in, self.members = lifetime, expires_in, dict(members or {})
        self.rotation, self.grace, self.grace_seconds = rotation, grace, grace_seconds
        self.revoke_on_reuse, self.access_dies_at_refresh = revoke_on_reuse, access_dies_at_refresh
        self.min_token_age, self.renews_access_token = min_token_age, renews_access_token
        self.token_calls = self.refresh_calls = self.generations = 0
        self.client_credentials_calls = self.reuse_incidents = 0
        self.presented: Counter[str] = Counter()
        self._random = random.Random(seed)
        self._serial = 0
        self._families: list[Family] = []
        self._access: dict[str, Access] = {}
        self._refresh: dict[str, Refresh] = {}
        self._codes: dict[str, Code] = {}

    # -- logins and their end

    def issue(self, now: float, *, scope: str | None = None) -> dict[str, Any]:
        """A resource owner logs in: a new family and its first token response."""
        return self._mint(self._login(scope), now, source=None)

    def authorize(self, asked: Mapping[str, str], now: float) -> str:
        """A resource owner has consented to an authorization request with PKCE: the code."""
        code = self._string("code")
        self._codes[code] = Code(asked, now)
        return code

    def expire(self) -> None:
        """Every access token so far is refused as expired from now on."""
        for access in self._access.values():
            access.dead = access.dead or "expired"

    def revoke(self, family: int | None = None) -> None:
        """One family, or every family so far, is revoked with all its tokens."""
        for one in self._families:
            if family in (None, one.number):
                one.revoked = True

    def family_of(self, token: str) -> int | None:
        """The number of the family that an access or refresh token belongs to, if it was ever issued."""
        known = self._access.get(token) or self._refresh.get(token)
        return known.family.number if known else None

    def grant_alive(self, family: int | None = None) -> bool:
        """Whether a family (the latest, by default) was not revoked and has a refresh token that can still buy."""
        refreshable = [r for r in self._refresh.values() if family in (None, r.family.number)]
        latest = max((r.family.number for r in refreshable), default=None)
        return any(
            r.family.number == latest and not r.family.revoked and not r.dead and r.spent_at is None
            for r in refreshable
        )

    # -- the API's side

    def judge(self, access_token: str | None, now: float) -> Verdict:
        """What the API thinks of a bearer token; a good one counts as used."""
        if access_token is None:
            return "missing"
        access = self._access.get(access_token)
        if access is None:
            return "unknown"
        if access.family.revoked:
            return "revoked"
        if access.dead:
            return access.dead
        if now >= access.expires_at:
            return "expired"
        if self.grace == "until_used" and access.source is not None:
            access.source.closed = True
        return "good"

    # -- the token endpoint's side

    def token(self, form: Mapping[str, str], now: float, *, authorization: str | None = None) -> Answer:
        """Answer a token request: its form, and its ``Authorization`` header as it was sent."""
        self.token_calls += 1
        grant = form.get("grant_type")
        if grant == "refresh_token":
            self.refresh_calls += 1
            self.presented[fingerprint(form.get("refresh_token", ""))] += 1
        elif grant == "client_credentials":
            self.client_credentials_calls += 1
        refused = self.refuse_client(form, authorization)
        if refused:
            answer = refused
        elif grant == "refresh_token":
            answer = self._answer_refresh(form, now)
        elif grant == "authorization_code":
            answer = self._answer_code(form, now)
        elif grant == "client_credentials":
            pair = self._mint(self._login(form.get("scope")), now, source=None, refreshable=False)
            answer = json_answer(200, pair)
        else:
            answer = error_answer(400, "unsupported_grant_type" if grant else "invalid_request")
        answer.headers.update({"Cache-Control": "no-store", "Date": formatdate(now, usegmt=True)})
        return answer

    def _answer_code(self, form: Mapping[str, str], now: float) -> Answer:
        code = self._codes.get(form.get("code", ""))
        refused = code.refusal(form, now) if code else "unknown code"
        if code is None or refused:
            return error_answer(400, "invalid_grant", refused)
        code.family = self._login(code.asked.get("scope"))
        return json_answer(200, self._mint(code.family, now, source=None))

    def _answer_refresh(self, form: Mapping[str, str], now: float) -> Answer:
        if not form.get("refresh_token"):
            return error_answer(400, "invalid_request", "refresh_token is missing")
        refresh = self._refresh.get(form["refresh_token"])
        if refresh is None or refresh.dead:
            return error_answer(400, "invalid_grant", "unknown refresh token")
        again = refresh.spent_at is not None
        if again and not self._in_grace(refresh, now):
            self.reuse_incidents += 1
            refresh.family.revoked |= self.revoke_on_reuse
            return error_answer(400, "invalid_grant", "refresh token reused")
        if refresh.family.revoked:
            return error_answer(400, "invalid_grant", "grant revoked")
        if self.renews_access_token and self.judge(refresh.token, now) != "good":
            return error_answer(400, "invalid_grant", "the token has ended")
        if not again and now < refresh.partner.issued_at + self.min_token_age:
            return error_answer(400, "too_early", "the token is too young to be refreshed")
        if again and self.grace == "same_pair":
            return json_answer(200, refresh.bought)  # expires_in included: as servers do, it then says too much
        if again and self.grace == "newest_only":
            self._kill_bought(refresh)
        if self.access_dies_at_refresh:
            refresh.partner.dead = refresh.partner.dead or "revoked"
        pair = self._mint(refresh.family, now, source=refresh)
        self.generations += 1
        if self.rotation == "always" and not again:
            refresh.spent_at, refresh.bought = now, pair
        return json_answer(200, pair)

    def _in_grace(self, refresh: Refresh, now: float) -> bool:
        if self.grace == "until_used":
            return not refresh.closed
        return self.grace != "none" and refresh.spent_at is not None and now < refresh.spent_at + self.grace_seconds

    def _kill_bought(self, source: Refresh) -> None:
        # Serials only grow, and a family is one chain here: all that is younger came from this token.
        for access in self._access.values():
            if access.family is source.family and access.serial > source.serial:
                access.dead = access.dead or "revoked"
        for refresh in self._refresh.values():
            if refresh.family is source.family and refresh.serial > source.serial:
                refresh.dead = True

    def refuse_client(self, form: Mapping[str, str], authorization: str | None) -> Answer | None:
        """The answer to a client that is not the registered one."""
        if authorization is not None:
            if "client_secret" in form:
                return error_answer(400, "invalid_request", "more than one client authentication")
            readings = basic_readings(authorization)
            for method, reading in readings.items():
                if method in self.client_auth and reading == (self.client_id, self.client_secret):
                    return None
            return error_answer(401, "invalid_client", headers={"WWW-Authenticate": 'Basic realm="fake"'})
        method = "client_secret_post" if "client_secret" in form else "none"
        given = form.get("client_id"), form.get("client_secret", self.client_secret if method == "none" else None)
        if method in self.client_auth and given == (self.client_id, self.client_secret):
            return None
        return error_answer(401, "invalid_client")

    # -- minting

    def _login(self, scope: str | None) -> Family:
        self._families.append(Family(len(self._families) + 1, scope))
        return self._families[-1]

    def _mint(self, family: Family, now: float, *, source: Refresh | None, refreshable: bool = True) -> dict[str, Any]:
        self._serial += 1
        access = Access(self._string("at"), family, self._serial, now, now + self.lifetime, source)
        self._access[access.token] = access
        pair: dict[str, Any] = {"access_token": access.token, "token_type": "Bearer", "expires_in": self.expires_in}
        if self.renews_access_token:
            self._refresh[access.token] = Refresh(access.token, family, self._serial, access)
        elif source is not None and self.rotation == "none":
            source.partner = access
        elif refreshable:
            refresh = Refresh(self._string("rt"), family, self._serial, access)
            self._refresh[refresh.token] = refresh
            pair["refresh_token"] = refresh.token
        if family.scope is not None:
            pair["scope"] = family.scope
        whole = int(self.lifetime) if self.lifetime == int(self.lifetime) else self.lifetime
        pair.update(self.members)
        return {name: whole if v is LIFETIME else v for name, v in pair.items() if v is not NOTHING}

    def _string(self, kind: str) -> str:
        return f"{kind}-{self._serial}-{self._random.getrandbits(128):032x}"
