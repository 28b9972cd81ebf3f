"""What a profile can say, seen on the wire: each field against a provider that insists on it."""

from __future__ import annotations

import json
import pickle
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import requests

from oauth_session import OAuthClient, OAuthSession, RefreshPolicy, Token, mount, telling
from oauth_session.errors import InvalidGrant, TemporarilyUnavailable
from oauth_session.events import Event
from oauth_session.providers import load_profile
from oauth_session.providers.answers import flatten
from oauth_session.stores import MemoryStore
from oauth_session.testing import Answer, FakeProvider

Run = Callable[..., tuple[FakeProvider, OAuthSession]]


@pytest.fixture
def run() -> Iterator[Run]:
    """A double of a profile, and a session with it; both see `more` of their own settings."""
    made: list[Any] = []

    def start(profile: dict[str, Any], **more: Any) -> tuple[FakeProvider, OAuthSession]:
        double = {name: more.pop(name) for name in ("lifetime", "min_token_age", "double") if name in more}
        provider = FakeProvider(profile=double.pop("double", profile), **double)
        session = OAuthSession(
            **{
                "provider": profile,
                "token_url": provider.token_url,
                "base_url": provider.api_url,
                "client_id": provider.client_id,
                "client_secret": provider.client_secret,
                "store": MemoryStore(),
                "token": provider.issue(),
                "on_event": lambda event: None,
            }
            | more
        )
        made.extend([session, provider])
        return provider, session

    yield start
    for one in made:
        one.close()


WAYS: dict[str, dict[str, Any]] = {
    "basic": {"client_auth": "client_secret_basic"},
    "body": {"client_auth": "client_secret_post"},
    "json": {"request_format": "json", "client_auth": "client_secret_basic"},
    "json with the secret": {"request_format": "json", "client_auth": "client_secret_post"},
    "query": {"request_format": "query", "client_auth": "client_secret_post"},
    "GET": {"request_format": "query", "request_method": "GET", "client_auth": "client_secret_post"},
    "further parameters": {"refresh_params": {"action": "requesttoken"}},
    "further headers": {"refresh_headers": {"Accept": "application/vnd.acme+json", "Notion-Version": "2026-01-01"}},
    "other names": {
        "param_names": {"refresh_token": "fb_exchange_token", "client_id": "client_key"},
        "client_auth": "client_secret_post",
    },
    "another grant type": {"refresh_params": {"grant_type": "ig_refresh_token"}},
    "nested": {"token_response": {"root": "data.body"}},
    "elsewhere": {
        "token_response": {"access_token": "token", "refresh_token": "refreshToken", "expires_in": "expiresAt"}
    },
    "in a list": {"token_response": {"root": "tokens[0]"}},
    "header": {"header": "X-Shopify-Access-Token", "scheme": ""},
    "scheme": {"scheme": "Zoho-oauthtoken"},
    "success by a member": {"token_success": [{"status": 200, "path": "status", "equals": 0}]},
    **{
        f"expiry in {form}": {"expiry_format": form}
        for form in ("milliseconds", "epoch", "epoch_milliseconds", "iso8601")
    },
    "lifetime unsaid": {"default_lifetime": 3600},
}


@pytest.mark.parametrize("profile", WAYS.values(), ids=WAYS)
def test_a_way_of_asking_and_answering(profile: dict[str, Any], run: Run) -> None:
    """The double refuses whoever asks otherwise; and the lifetime is read rightly."""
    provider, session = run(profile)
    assert session.get("me").ok
    provider.expire()
    assert session.get("me").ok
    assert provider.model.refresh_calls == 1
    token = session.auth.source.held().token  # type: ignore[union-attr]
    assert token.expires_at is not None and abs(token.expires_at - time.time() - 3600) < 30


DIFFERENT = {name: way for name, way in WAYS.items() if name != "success by a member"}


@pytest.mark.parametrize("profile", DIFFERENT.values(), ids=DIFFERENT)
def test_a_way_is_not_found_by_accident(profile: dict[str, Any], run: Run) -> None:
    """A client without the profile fails against the same double, or learns no lifetime."""
    auth = profile.get("client_auth")
    if len(profile) == 1 and auth is not None:
        auth = "client_secret_post" if auth == "client_secret_basic" else "client_secret_basic"
    provider, session = run({}, double=profile, client_auth=auth, token={"refresh_token": "seed"})
    source = session.auth.source  # type: ignore[union-attr]
    source.put(lambda now: session_pair(provider.model.issue(time.time()), now))
    provider.expire()
    reached = knows = False
    with suppress(requests.RequestException):
        reached = session.get("me").ok
        ends = source.held().token.expires_at
        knows = ends is not None and abs(ends - time.time() - 3600) < 30
    assert not (reached and knows)


def test_what_has_not_the_sign_of_success_is_none(run: Run) -> None:
    """Even if it has an access token; and what it says is no reason to give the grant up."""
    rule = {"status": 200, "path": "status", "equals": 0}
    provider, session = run({"token_success": [rule]})
    provider.expire()
    provider.fault((200, {}, b'{"status": 601, "access_token": "no", "token_type": "Bearer"}'))
    assert session.get("me").ok and provider.token_requests == 2  # it was asked once more
    assert session.auth.source.held().token.access_token != "no"  # type: ignore[union-attr]


def session_pair(issued: dict[str, Any], now: float) -> Any:
    from oauth_session.seeds import pair_of

    return pair_of(issued, now, just_issued=True)


def session_pair_of(session: OAuthSession, issued: dict[str, Any], now: float) -> Any:
    return session.auth._remake.args[0].pair(issued, now, just_issued=True)  # type: ignore[union-attr]


def test_the_tokens_are_not_kept_as_extra() -> None:
    """What was taken out of a nest does not stay in what is shown."""
    profile = load_profile({"token_response": {"root": "authed_user"}})
    told = {
        "ok": True,
        "team": "T1",
        "authed_user": {"id": "U1", "access_token": "a", "refresh_token": "r", "expires_in": 60},
    }
    flat = flatten(profile, told)
    assert flat["access_token"] == "a" and flat["id"] == "U1" and flat["team"] == "T1" and "authed_user" not in flat


# -- where the token travels


@pytest.mark.parametrize("door", ["session", "auth", "mount"])
def test_a_header_of_its_own_stays_at_home(door: str, run: Run) -> None:
    """It travels to its origin, along redirects within it, and never beyond: requests itself strips Authorization only."""
    profile = {"header": "X-Shopify-Access-Token", "scheme": ""}
    provider, session = run(profile)
    with FakeProvider(profile=profile) as foreign:
        plain: requests.Session = session
        if door != "session":
            plain = requests.Session()
        if door == "auth":
            plain.auth = session.auth
        if door == "mount":
            mount(plain, provider.url, session.auth)  # type: ignore[arg-type]
        assert plain.get(provider.api_url + "me").ok
        assert plain.get(provider.api_url + "redirect", params={"to": "/api/me"}).ok
        provider.expire()
        answer = plain.get(provider.api_url + "redirect", params={"to": foreign.url + "/api/me"})
        assert answer.status_code == 401 and len(answer.history) >= 1
        assert foreign.requests and all(seen.token is None for seen in foreign.requests)
        assert not any("x-shopify-access-token" in seen.headers for seen in foreign.requests)


def test_a_callers_own_header_wins(run: Run) -> None:
    """As with `Authorization`: what is there already is not replaced, and not followed up."""
    provider, session = run({"header": "X-Token", "scheme": ""})
    assert session.get("me", headers={"X-Token": "mine"}).status_code == 401
    assert provider.model.refresh_calls == 0


# -- hooks


def test_build_refresh_makes_the_request(run: Run) -> None:
    """It gets the request as it would be sent, and the old token."""
    seen: list[Any] = []

    def build(request: Any, old: Any) -> Any:
        seen.append(old)
        from dataclasses import replace

        return replace(request, body=request.body + b"&extra=1")

    provider, session = run({"build_refresh": build})
    provider.expire()
    assert session.get("me").ok
    assert provider.requests[-2].form["extra"] == "1" and seen[0].access_token.startswith("at-")


def test_parse_refresh_reads_the_answer(run: Run) -> None:
    """What it gives is read in the names of RFC 6749; None leaves it to the profile."""

    def parse(status: int, headers: Any, body: bytes) -> Any:
        data = json.loads(body)
        return {**data["x"], "expires_in": 77} if "x" in data else None

    provider, session = run(
        {"parse_refresh": parse}, double={"token_response": {"root": "x"}}, token={"refresh_token": "no"}
    )
    session.auth.source.put(lambda now: session_pair(provider.model.issue(time.time()), now))  # type: ignore[union-attr]
    provider.expire()
    assert session.get("me").ok
    ends = session.auth.source.held().token.expires_at  # type: ignore[union-attr]
    assert ends is not None and ends - time.time() < 80


def test_after_refresh_exchanges_once_more(run: Run) -> None:
    """Called once per refresh, before anybody uses the token; what it returns is what everybody uses."""
    calls: list[str] = []

    def after(token: Token) -> Token:
        calls.append(token.access_token)
        return Token(token.access_token, token.refresh_token, token.expires_at, extra={"restUrl": "https://r.test/"})

    provider, session = run({"after_refresh": after})
    provider.expire()
    assert session.get("me").ok and len(calls) == 1
    assert session.auth.source.held().token.extra["restUrl"] == "https://r.test/"  # type: ignore[union-attr]


@pytest.mark.parametrize("hook", ["parse_refresh", "after_refresh"])
def test_a_hook_that_raises_costs_no_refresh_token(hook: str, run: Run) -> None:
    """The request gets its 401, and the new refresh token is kept: the next refresh works."""
    broken = [True]

    def work(*given: Any) -> Any:
        if broken[0]:
            raise ZeroDivisionError
        return None

    provider, session = run({hook: work})
    provider.expire()
    assert session.get("me").status_code == 401
    broken[0] = False
    session.auth.source.refresh(True)  # type: ignore[union-attr]
    assert session.get("me").ok and provider.model.reuse_incidents == 0


def test_build_refresh_must_give_a_request(run: Run) -> None:
    """Otherwise nothing is sent, and the error says so."""
    provider, session = run({"build_refresh": lambda request, old: None})
    provider.expire()
    assert session.get("me").status_code == 401 and provider.token_requests == 0


# -- dead, for now, too early, alive


def test_a_dead_refresh_token_by_another_name(run: Run) -> None:
    """GitHub's 200 with an error, for one."""
    rule = {"status": 200, "path": "error", "equals": "bad_refresh_token"}
    provider, session = run({"refresh_dead_when": [rule]})
    provider.expire()
    provider.fault((200, {}, b'{"error":"bad_refresh_token"}'), times=2)
    with pytest.raises(InvalidGrant, match="bad_refresh_token"):
        session.get("me")


def test_a_refusal_that_passes(run: Run) -> None:
    """An `access_denied` that means a rate limit is no refusal of the grant."""
    rule = {"status": 400, "path": "error_description", "equals": "Rate limit exceeded: access_token not expired"}
    provider, session = run({"refresh_transient_when": [rule]})
    provider.expire()
    says = {"error": "access_denied", "error_description": "Rate limit exceeded: access_token not expired"}
    provider.fault((400, {}, json.dumps(says).encode()))
    assert session.get("me").status_code == 401
    time.sleep(1.1)
    assert session.get("me").ok


def test_no_token_is_refreshed_too_early(run: Run) -> None:
    """Where the provider refuses young tokens, nobody asks before; afterwards, one does."""
    early = {"status": 400, "path": "error", "equals": "too_early"}
    provider, session = run({"min_token_age": 1.5, "refresh_transient_when": [early]}, min_token_age=1.4)
    provider.expire()
    assert session.get("me").status_code == 401 or provider.model.refresh_calls == 1  # a seed's age is not known
    time.sleep(1.5)
    assert session.get("me").ok  # minted now: its age is known
    before = provider.token_requests
    provider.expire()
    assert session.get("me").status_code == 401
    with pytest.raises(TemporarilyUnavailable, match="so young"):
        session.auth.source.refresh(False)  # type: ignore[union-attr]
    assert provider.token_requests == before
    time.sleep(1.6)
    assert session.get("me").ok and provider.token_requests == before + 1


def test_a_token_that_must_be_alive_is_renewed_in_time(run: Run) -> None:
    """Where only a live access token can be exchanged, it is; the access token is what is presented."""
    profile = {
        "refresh_needs_live_token": True,
        "rotation": "none",
        "param_names": {"refresh_token": "fb_exchange_token"},
        "refresh_params": {"grant_type": "fb_exchange_token"},
    }
    provider, session = run(profile, lifetime=2.0, refresh=RefreshPolicy(background=False))
    session.auth.source.put(lambda now: session_pair_of(session, provider.issue(), now))  # type: ignore[union-attr]
    end = time.monotonic() + 6.0
    while time.monotonic() < end:
        assert session.get("me").ok
        time.sleep(0.1)
    assert provider.model.generations >= 3 and provider.api_refusals == 0
    time.sleep(2.1)  # nobody asked in time: it is over
    with pytest.raises(InvalidGrant, match="the token has ended"):
        session.get("me")
    assert provider.model.refresh_calls == provider.model.generations


# -- grace drives the protocol


@pytest.mark.parametrize(
    ("rotation", "grace", "lease", "patience", "in_time"),
    [
        ("none", 0.0, 5.0, 30.0, True),
        ("maybe", 0.0, 5.0, 30.0, True),
        ("always", 0.0, 10.0, 30.0, True),
        ("always", 1800.0, 5.0, 30.0, True),
        ("always", 30.0, 5.0, 21.0, True),
        ("always", 12.0, 3.0, 5.0, True),
        ("always", 5.0, 2.5, 5.0, False),
    ],
)
def test_grace_decides_claim_and_deadline(
    rotation: Any, grace: float, lease: float, patience: float, in_time: bool
) -> None:
    """Law 5: what a dead holder sent last is presented again before the grace is over, or one is told that it cannot be."""
    policy = RefreshPolicy(rotation=rotation, reuse_grace=grace)
    assert (policy.lease, policy.patience, policy.is_in_time) == (lease, patience, in_time)


def test_a_grace_that_is_too_short_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, as the event `short_grace`, with the numbers."""
    monkeypatch.setattr(telling, "_told", set())  # another test of this process may have had one
    heard: list[Event] = []
    for _ in range(2):
        run({"rotation": "always", "reuse_grace": 5}, on_event=heard.append)
    said = [event for event in heard if event.name == "short_grace"]
    assert len(said) == 1 and "5 s" in said[0].reason
    run({"rotation": "always", "reuse_grace": 600}, on_event=heard.append)
    assert len([event for event in heard if event.name == "short_grace"]) == 1


def test_the_claim_says_how_long_it_lasts(run: Run) -> None:
    """The lease of the profile is what stands in the record."""
    provider, session = run({"rotation": "always", "reuse_grace": 12})
    source, leases = session.auth.source, []  # type: ignore[union-attr]
    provider.token_latency = 0.4
    swap = source.ledger.store.swap

    def watched(key: Any, expected: str, revision: str, text: str, *more: Any, **named: Any) -> Any:
        claim = json.loads(text).get("claim")
        if claim:
            leases.append(claim["lease"])
        return swap(key, expected, revision, text, *more, **named)

    source.ledger.store.swap = watched
    provider.expire()
    assert session.get("me").ok and set(leases) == {3.0}


# -- who wins


def test_an_argument_wins_over_the_profile(run: Run) -> None:
    """Rules, rotation, times: the user's own word is the last."""
    provider, session = run(
        {"rotation": "always", "reuse_grace": 600, "expired_when": [{"status": 403, "path": "a", "equals": 1}]},
        rotation="none",
        reuse_grace=0.0,
        expired_when=[{"status": 418, "path": "b", "equals": 2}],
        refresh=RefreshPolicy(margin=7.0),
    )
    registration = session.auth._remake.args[0]  # type: ignore[union-attr]
    assert registration.refresh.rotation == "none" and registration.refresh.margin == 7.0
    assert [sorted(rule.statuses) for rule in registration.detect.expired_when] == [[418]]
    provider.refusal = lambda verdict: Answer(418, {}, b'{"b": 2}')
    provider.expire()
    assert session.get("me").ok


def test_one_field_is_overridden() -> None:
    """The rest stays, its source with it."""
    profile = load_profile({"extends": "xero", "reuse_grace": 60})
    base = load_profile("xero")
    assert (profile.reuse_grace, profile.token_url, profile.rotation) == (60, base.token_url, base.rotation)
    assert "reuse_grace" not in profile.sources and profile.sources["rotation"] == base.sources["rotation"]


def test_what_is_unverified_is_not_applied() -> None:
    """It is kept for people, and the default holds."""
    profile = load_profile({"rotation": "always", "lifetime": 60, "sources": {"rotation": "unverified: a forum"}})
    assert profile.rotation == "maybe" and profile.unverified == {"rotation": "always"} and profile.lifetime == 60


def test_one_client_of_a_provider_with_many_tenants() -> None:
    """The placeholder's value stands in the token endpoint's URL and in the origins."""
    profile = {
        "token_url": "https://{shop}.example.com/token",
        "origins": ["https://{shop}.example.com"],
        "params": {"shop": {"kind": "label"}},
    }
    client = OAuthClient(provider=profile, provider_params={"shop": "acme"}, client_id="c", store=MemoryStore())
    assert client._registration.token_url == "https://acme.example.com/token"
    assert client.auth("g").guard.allows("https://acme.example.com/x")
    assert not client.auth("g").guard.allows("https://other.example.com/x")


# -- every kind of rule, and the other address


RULES: dict[str, tuple[dict[str, Any], Answer, Answer]] = {
    "status and path": (
        {"status": 403, "path": "error.code", "equals": 9},
        Answer(403, {}, b'{"error": {"code": 9}}'),
        Answer(403, {}, b'{"error": {"code": "9"}}'),
    ),
    "one of several statuses": (
        {"status": [400, 403], "path": "code", "in": ["a", "b"]},
        Answer(400, {}, b'{"code": "b"}'),
        Answer(400, {}, b'{"code": "c"}'),
    ),
    "a path into a list": (
        {"status": 403, "path": "[1].errors[0].name", "equals": "expired"},
        Answer(403, {}, b'[{}, {"errors": [{"name": "expired"}]}]'),
        Answer(403, {}, b'[{"errors": [{"name": "expired"}]}, {}]'),
    ),
    "a challenge": (
        {"status": 403, "error": "invalid_token"},
        Answer(403, {"WWW-Authenticate": 'Bearer realm="x", error="invalid_token"'}, b""),
        Answer(403, {"WWW-Authenticate": 'Bearer realm="invalid_token", error="other"'}, b""),
    ),
    "a header": (
        {"status": 403, "header": {"X-Reason": "token-expired"}},
        Answer(403, {"x-reason": "token-expired"}, b""),
        Answer(403, {"x-reason": "not token-expired"}, b""),
    ),
    "the whole text": (
        {"status": 403, "body": "Bad_OAuth_Token"},
        Answer(403, {}, b"Bad_OAuth_Token\n"),
        Answer(403, {}, b"No Bad_OAuth_Token"),
    ),
    "a success": (
        {"status": 200, "path": "ok", "equals": False},
        Answer(200, {}, b'{"ok": false}'),
        Answer(200, {}, b'{"ok": 0}'),
    ),
}


@pytest.mark.parametrize(("rule", "expired", "near"), RULES.values(), ids=RULES)
def test_a_kind_of_rule(rule: dict[str, Any], expired: Answer, near: Answer, run: Run) -> None:
    """What it describes is followed up, what only looks like it is not; as a deny rule it keeps a 401 from being one."""
    provider, session = run({"expired_when": [rule]})
    provider.refusal = lambda verdict: expired
    provider.expire()
    assert session.get("me").json()["method"] == "GET" and provider.model.refresh_calls == 1
    provider.forbidden = near
    assert session.get("forbidden").content == near.body and provider.model.refresh_calls == 1
    deny = rule | {"status": 401}
    provider, session = run({"not_expired_when": [deny]})
    provider.refusal = lambda verdict: expired._replace(status=401)
    provider.expire()
    assert session.get("me").status_code == 401 and provider.model.refresh_calls == 0
    provider.refusal = lambda verdict: near._replace(status=401)
    assert session.get("me").ok and provider.model.refresh_calls == 1


def test_a_refresh_goes_to_its_own_address(run: Run) -> None:
    """`refresh_url`, as Figma has it; and a `token_url` that is given wins over both."""
    provider, _ = run({})
    profile = {"token_url": "http://127.0.0.1:1/code", "refresh_url": provider.token_url}
    session = OAuthSession(
        provider=profile,
        base_url=provider.api_url,
        client_id=provider.client_id,
        client_secret=provider.client_secret,
        store=MemoryStore(),
        token=provider.issue(),
    )
    provider.expire()
    assert session.get("me").ok and provider.model.refresh_calls == 1
    session.close()
    nowhere = {"token_url": provider.token_url, "refresh_url": "http://127.0.0.1:1/refresh"}
    _, other = run(nowhere, token_url=provider.token_url, base_url=provider.api_url, token=provider.issue())
    provider.expire()
    assert other.get("me").ok and provider.model.refresh_calls == 2


def test_a_profile_goes_along_in_a_pickle() -> None:
    """By name, as a dict, or as it was loaded."""
    for given in ("shopify", {"extends": "shopify", "lifetime": 60}, load_profile("shopify")):
        made = OAuthSession(provider=given, provider_params={"shop": "acme"}, client_id="c", refresh_token="r")
        again = pickle.loads(pickle.dumps(made))
        assert again.auth.placement.header == "X-Shopify-Access-Token"
        assert again.auth.guard.allows("https://acme.myshopify.com/x")


@pytest.mark.parametrize(("margin", "refused"), [("never", 1), (225, 0)])
def test_the_margin_is_the_providers(margin: Any, refused: int, run: Run) -> None:
    """Twitch wants tokens to be renewed when they are refused, Google in advance."""
    provider, session = run({"refresh_margin": margin}, lifetime=1.0)
    session.auth.source.put(lambda now: session_pair_of(session, provider.issue(), now))  # type: ignore[union-attr]
    assert session.get("me").ok
    time.sleep(1.2)
    assert session.get("me").ok and provider.model.refresh_calls == 1
    assert provider.api_refusals == refused


def test_the_margins_of_the_known_ones() -> None:
    """As their own libraries have them."""
    margins = {
        "google": 225,
        "twitch": None,
        "exact_online": 30,
        "slack": 7200,
        "spotify": 60,
        "entra": 300,
        "xero": 300,
    }
    assert {name: load_profile(name).policy.margin for name in margins} == margins
