"""The profiles against what is known of the providers, written down a second time, and against the quoted answers."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import requests

from oauth_session import InvalidGrant, OAuthSession
from oauth_session.providers import load_profile, names
from oauth_session.providers.answers import Reader, at
from oauth_session.rules.token_response import DenialKind, Denied, Granted
from oauth_session.stores import MemoryStore
from oauth_session.testing import FakeProvider
from oauth_session.testing.trial import trial

# What quoted refusals of an expired token look like: status, and text that stands in the body or the challenge.
EXPIRED: dict[str, list[tuple[int, str]]] = {
    "google": [(401, '"message":"Request had invalid authentication credentials. ...","status":"UNAUTHENTICATED"}}')],
    "entra": [(401, "InvalidAuthenticationToken"), (401, "Lifetime validation failed, the token is expired.")],
    "facebook": [
        (400, '{"error":{"type":"OAuthException","code":190,"error_subcode":463,'),
        (400, '"message":"Error validating access token: Session has expired ..."}}'),
    ],
    "instagram": [(400, '"code":190')],
    "linkedin": [
        (401, '{"code":"EXPIRED_ACCESS_TOKEN","serviceErrorCode":65602,'),
        (401, '"message":"The token used in the request has expired"}'),
    ],
    "reddit": [(401, 'Bearer realm="reddit", error="invalid_token"')],
    "tiktok": [(401, "access_token_invalid")],
    "pinterest": [(401, '{"code":2,"message":"Authentication failed."}')],
    "spotify": [(401, '{"error":{"status":401,"message":"The access token expired"}}')],
    "mastodon": [(401, '{"error":"The access token is invalid"}')],
    "gitlab": [
        (401, '{"error":"invalid_token","error_description":"Token is expired. You can either do re-authorization or '),
        (401, 're-authorization or token refresh."}'),
    ],
    "doorkeeper": [
        (401, 'error="invalid_token", error_description="The access token expired"'),
        (401, "was revoked"),
        (401, "is invalid"),
    ],
    "slack": [(200, '{"ok":false,"error":"token_expired"}'), (200, "invalid_auth"), (200, "token_revoked")],
    "atlassian": [(401, '{"code":401,"message":"Unauthorized"}')],
    "asana": [(401, "The bearer token has expired...")],
    "notion": [(401, '{"object":"error","code":"unauthorized","message":"API token is invalid."}')],
    "zendesk": [
        (
            401,
            '{"error":"invalid_token","error_description":"The access token provided is expired, revoked, malformed or',
        ),
        (401, "malformed or invalid for other reasons."),
    ],
    "box": [
        (
            401,
            'Bearer realm="Service", error="invalid_token", error_description="The access token provided is invalid."',
        )
    ],
    "dropbox": [(401, '{"error":{".tag":"expired_access_token"}}')],
    "zoom": [(401, '{"code":124,"message":"Access token is expired."}')],
    "docusign": [(401, "AUTHORIZATION_INVALID_TOKEN"), (401, "USER_AUTHENTICATION_FAILED")],
    "databricks": [(401, "Token is expired")],
    "procore": [(401, "The access token is invalid")],
    "salesforce": [
        (401, '[{"errorCode":"INVALID_SESSION_ID","message":"Session expired or invalid"}]'),
        (403, "Bad_OAuth_Token"),
    ],
    "hubspot": [(401, '"category":"EXPIRED_AUTHENTICATION"'), (401, "second(s) ago.")],
    "xero": [(401, '{"Title":"Unauthorized","Status":401,"Detail":"TokenExpired: token expired at ..."}')],
    "quickbooks": [(401, "message=AuthenticationFailed; errorCode=003200; statusCode=401")],
    "zoho": [(401, '{"code":"INVALID_TOKEN","message":"invalid oauth token","status":"error"}')],
    "shopify": [(401, '{"errors":"[API] Invalid API key or access token (unrecognized login or wrong password)"}')],
    "amazon_sp_api": [
        (403, '{"errors":[{"code":"Unauthorized","message":"Access to requested resource is denied.",'),
        (403, '"details":"The access token you provided has expired."}]}'),
    ],
    "ebay": [(401, '{"errors":[{"errorId":1001,"domain":"OAuth","message":"Invalid access token"}]}')],
    "paypal": [(401, '{"error":"invalid_token","error_description":"Access Token not found in cache"}')],
    "square": [(401, "ACCESS_TOKEN_EXPIRED"), (401, "ACCESS_TOKEN_REVOKED")],
    "fitbit": [(401, '"errorType":"expired_token"'), (401, "Access token expired: ...")],
    "strava": [
        (
            401,
            '{"message":"Authorization Error","errors":[{"resource":"Athlete","field":"access_token","code":"invalid"}]}',
        )
    ],
    "withings": [(200, '"status":401')],
    "cognito": [(401, '{"message":"The incoming token has expired"}')],
    "xai": [(403, 'code":"unauthenticated:bad-credentials"')],
    **{name: [(401, "")] for name in ("bullhorn", "exact_online", "twitch")},
    **{name: [(403, "")] for name in ("frappe", "gotowebinar")},
}
# Quoted answers that are no expired token.
OTHERS: dict[str, list[tuple[int, str]]] = {
    "entra": [(401, 'error="insufficient_claims", claims=')],
    "facebook": [(400, '"error_subcode":460'), (400, '"error_subcode":467')],
    "instagram": [(400, '"error_subcode":460'), (400, '"error_subcode":467')],
    "reddit": [(403, 'error="insufficient_scope"')],
    "tiktok": [(200, '"code":"ok"')],
    "pinterest": [(400, "The token you provided is not valid or has expired.")],
    "atlassian": [(401, '{"code":401,"message":"Unauthorized; scope does not match"}')],
    "asana": [(412, "Sync token invalid")],
    "dropbox": [(401, "missing_scope"), (401, "invalid_access_token")],
    "bullhorn": [(412, "")],
    "hubspot": [(403, "MISSING_SCOPES")],
    "square": [(400, "CARD_EXPIRED"), (400, "CARD_TOKEN_EXPIRED")],
    "amazon_sp_api": [(403, "is denied."), (403, "revoked, malformed or invalid")],
}
# Quoted answers of token endpoints: of a dead refresh token, or of one that is good later.
REFUSED: dict[str, list[tuple[str, int, str]]] = {
    "x": [("refresh_dead", 400, "Value passed for the token was invalid")],
    "github": [("refresh_dead", 200, '{"error":"bad_refresh_token"}')],
    "atlassian": [("refresh_dead", 403, "invalid_grant"), ("refresh_dead", 403, "Unknown or invalid refresh token")],
    "auth0": [
        ("refresh_dead", 403, '{"error":"invalid_grant","error_description":"Unknown or invalid refresh token."}')
    ],
    "box": [("refresh_dead", 400, "Refresh token has expired")],
    "hubspot": [("refresh_dead", 400, '"status":"BAD_REFRESH_TOKEN"')],
    "keycloak": [
        ("refresh_dead", 400, "Maximum allowed refresh token reuse exceeded"),
        ("refresh_dead", 400, "Stale token"),
    ],
    "musicbrainz": [("refresh_dead", 400, "'refresh_token' in request was already revoked")],
    "slack": [("refresh_dead", 200, "invalid_refresh_token")],
    "withings": [("refresh_dead", 200, "Invalid Params: invalid refresh_token")],
    "strava": [("refresh_dead", 400, '"resource":"RefreshToken"')],
    "twitch": [("refresh_dead", 400, "Invalid refresh token")],
    "exact_online": [
        ("refresh_early", 400, '{"error":"access_denied","error_description":"Rate limit exceeded: access_token not ')
    ],
    "zoho": [
        ("refresh_transient", 400, '{"error":"Access Denied","error_description":"You have made too many requests cont')
    ],
    "ory_hydra": [("refresh_transient", 400, "multiple concurrent requests")],
}
QUOTES = [
    *((name, ("expired",), *quote) for name, quotes in EXPIRED.items() for quote in quotes),
    *((name, ("permission", "other", "success"), *quote) for name, quotes in OTHERS.items() for quote in quotes),
    *((name, (of,), status, text) for name, quotes in REFUSED.items() for of, status, text in quotes),
]
# What sets a provider apart, and is verified.
APART: dict[str, dict[str, Any]] = {
    "amazon_sp_api": {"header": "x-amz-access-token", "lifetime": 3600},
    "atlassian": {"rotation": "always", "reuse_grace": 600, "lifetime": 3600, "revoke_on_reuse": True},
    "atproto": {"rotation": "always", "revoke_on_reuse": True},
    "auth0": {"rotation": "maybe", "reuse_grace": 0, "revoke_on_reuse": True},
    "box": {"rotation": "always", "lifetime": 3600, "reuse_grace": 0},
    "bullhorn": {"rotation": "always", "lifetime": 600, "request_format": "query"},
    "cognito": {"rotation": "maybe", "reuse_grace": 0},
    "connect2id": {"reuse_grace": 5},
    "curity": {"reuse_grace": 0, "revoke_on_reuse": True},
    "discord": {"lifetime": 604800},
    "docusign": {"client_auth": "client_secret_basic", "rotation": "always"},
    "doorkeeper": {"rotation": "always", "grace": "until_used", "lifetime": 7200},
    "dropbox": {"default_401": "only_rules", "refresh_margin": 300},
    "duende": {"rotation": "none"},
    "ebay": {"rotation": "none", "lifetime": 7200, "expired_when": ()},
    "entra": {"rotation": "always", "refresh_margin": 300},
    "exact_online": {"rotation": "always", "lifetime": 600, "min_token_age": 570, "refresh_margin": 30},
    "facebook": {"rotation": "none", "refresh_needs_live_token": True, "lifetime": 5184000},
    "fitbit": {"rotation": "always", "lifetime": 28800, "client_auth": "client_secret_basic"},
    "freshbooks": {"rotation": "always", "lifetime": 43200},
    "github": {"rotation": "always", "lifetime": 28800, "access_dies_at_refresh": True},
    "gitlab": {"rotation": "always", "lifetime": 7200, "access_dies_at_refresh": True, "revoke_on_reuse": False},
    "google": {"rotation": "none", "lifetime": 3600, "refresh_margin": 225},
    "gong": {"request_format": "query"},
    "gusto": {"rotation": "always", "grace": "until_used"},
    "hubspot": {"rotation": "none", "lifetime": 1800},
    "instagram": {"min_token_age": 86400, "refresh_needs_live_token": True, "lifetime": 5184000},
    "keycloak": {"rotation": "maybe", "reuse_grace": 0},
    "linkedin": {"lifetime": 5184000},
    "mailchimp": {"scheme": "OAuth", "expiry_format": "none"},
    "miro": {"lifetime": 3600},
    "notion": {"rotation": "always", "request_format": "json", "client_auth": "client_secret_basic"},
    "okta": {"rotation": "maybe", "reuse_grace": 30, "revoke_on_reuse": True},
    "openiddict": {"rotation": "always", "reuse_grace": 30},
    "ory_hydra": {"rotation": "always", "reuse_grace": 0, "revoke_on_reuse": True},
    "pinterest": {"lifetime": 2592000, "client_auth": "client_secret_basic"},
    "procore": {"rotation": "always", "lifetime": 5400, "reuse_grace": 0},
    "quickbooks": {"lifetime": 3600, "client_auth": "client_secret_basic"},
    "reddit": {"lifetime": 86400, "client_auth": "client_secret_basic"},
    "ringcentral": {"rotation": "always", "access_dies_at_refresh": True},
    "sage": {"rotation": "always", "lifetime": 300},
    "salesforce": {"expiry_format": "none", "lifetime": None, "revoke_on_reuse": True},
    "sap_fieldglass": {"access_dies_at_refresh": True},
    "sentry": {"expiry_format": "iso8601"},
    "shopify": {"rotation": "always", "reuse_grace": 2592000, "grace": "until_used", "lifetime": 3600, "scheme": ""},
    "slack": {"rotation": "always", "lifetime": 43200, "refresh_margin": 7200, "reuse_grace": 0},
    "smartcar": {"reuse_grace": 60},
    "spotify": {"rotation": "maybe", "lifetime": 3600, "refresh_margin": 60},
    "square": {"expiry_format": "iso8601", "lifetime": 2592000},
    "strava": {"expiry_format": "epoch", "lifetime": 21600},
    "supabase": {"rotation": "always", "reuse_grace": 0, "revoke_on_reuse": True},
    "tiktok": {"rotation": "always", "lifetime": 7200, "param_names": {"client_id": "client_key"}},
    "tiktok_business": {"header": "Access-Token", "scheme": ""},
    "toast": {"refresh_margin": 60},
    "twitch": {"refresh_margin": None},
    "withings": {"rotation": "always", "reuse_grace": 28800, "grace": "until_used", "lifetime": 10800},
    "wso2": {"rotation": "maybe", "reuse_grace": 0},
    "x": {"rotation": "always", "lifetime": 7200, "client_auth": "client_secret_basic"},
    "xero": {"rotation": "always", "reuse_grace": 1800, "lifetime": 1800, "client_auth": "client_secret_basic"},
    "zendesk": {"rotation": "always", "request_format": "json", "access_dies_at_refresh": True},
    "zoho": {"rotation": "none", "scheme": "Zoho-oauthtoken", "request_format": "query", "refresh_dead_when": ()},
    "zoom": {"rotation": "always", "lifetime": 3600, "client_auth": "client_secret_basic"},
}


@pytest.mark.parametrize(("name", "of", "status", "text"), QUOTES)
def test_a_quoted_answer_is_among_the_examples(name: str, of: tuple[str, ...], status: int, text: str) -> None:
    """Word for word, with its status and its meaning."""
    found = [e for e in load_profile(name).examples if e.of in of and e.status == status]
    assert any(text in example.body or text in str(list(example.headers.values())) for example in found)


@pytest.mark.parametrize("name", APART)
def test_a_profile_says_what_sets_its_provider_apart(name: str) -> None:
    """What is verified is applied, and what is not is not: zeros and empty rules are said here on purpose."""
    profile = load_profile(name)
    assert {field: getattr(profile, field) for field in APART[name]} == APART[name]


def test_no_example_is_of_an_unknown_kind_and_no_provider_is_forgotten() -> None:
    """Each profile stands in one of the tables above, or has nothing verified that sets it apart."""
    known = {*APART, *EXPIRED, *OTHERS, *REFUSED}
    assert set(names()) - known == {"figma", "schwab", "stripe_apps"}
    assert known <= set(names())


# -- real token responses


SENTRY = {"access_token": "token", "refresh_token": "refreshToken", "expires_in": "expiresAt"}
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"extends": "withings", "token_response": {"root": "data"}}, "no access token is found"),
    ({"extends": "sentry", "token_response": SENTRY | {"access_token": "accessToken"}}, "no access token is found"),
    ({"extends": "sentry", "token_response": SENTRY | {"refresh_token": "refresh"}}, "and none is found"),
    ({"extends": "sentry", "token_response": SENTRY | {"refresh_token": "x"}, "rotation": "always"}, "and it rotates"),
    ({"extends": "sentry", "token_response": SENTRY | {"expires_in": "expires"}}, "no lifetime is found"),
    ({"extends": "sentry", "expiry_format": "epoch"}, "no lifetime is found"),
    ({"extends": "withings", "expiry_format": "milliseconds"}, "the token lives 10.8 s, and the profile 10800 s"),
]


@pytest.mark.parametrize(("profile", "says"), WRONG)
def test_a_real_token_response_shows_a_wrong_profile(profile: dict[str, Any], says: str) -> None:
    """The double makes its answers from the profile, so only a real one can tell that the profile is wrong."""
    below = load_profile(profile["extends"])
    real = next(e for e in below.examples if e.of == "refresh_granted")
    said = {"of": real.of, "status": real.status, "body": real.body, "headers": real.headers}
    steps = list(trial(profile | {"examples": [said]}))
    assert any(step.name == "new tokens are read" and says in step.wrong for step in steps)
    assert not [s for s in trial({"extends": profile["extends"], "examples": [said]}) if s.wrong]


def test_what_shows_a_field_goes_with_it() -> None:
    """Slack's user tokens, as its notes have it: the real answer of a bot's token is not taken for one of them."""
    changed = {"extends": "slack", "token_response": {"root": "authed_user"}}
    assert {e.of for e in load_profile(changed).examples} == {"expired", "refresh_dead"}
    assert [step for step in trial(changed) if step.wrong] == []
    ruled = load_profile({"extends": "slack", "expired_when": []})
    assert {e.of for e in ruled.examples} == {"refresh_granted", "refresh_dead"}


def test_a_refusal_that_passes_must_be_known_as_one() -> None:
    """Without its rule Zoho's rate limit is taken for a wrong request."""
    steps = list(trial({"extends": "zoho", "refresh_transient_when": []}))
    assert any("not known as one that passes" in step.wrong for step in steps)
    dead = [{"status": 400, "path": "error", "equals": "Access Denied"}]
    assert any("the grant was given up" in s.wrong for s in trial({"extends": "zoho", "refresh_dead_when": dead}))


@pytest.mark.parametrize(
    "name", [n for n in names() if any(e.of == "refresh_granted" for e in load_profile(n).examples)]
)
def test_a_double_answers_as_the_real_one(name: str) -> None:
    """With the status and the further members of the real answer, and with no token of it."""
    profile = load_profile(name)
    example = next(e for e in profile.examples if e.of == "refresh_granted")
    real = json.loads(example.body)
    with FakeProvider(profile=name) as provider:
        issued = provider.issue()
    kept = {
        "ok",
        "team",
        "status",
        "instance_url",
        "merchant_id",
        "api_domain",
        "request_id",
        "refresh_token_expires_in",
    }
    assert {k: v for k, v in issued.items() if k in kept} == {k: v for k, v in real.items() if k in kept}
    read = Reader(profile).read(example.status, {}, json.dumps(issued).encode())
    assert isinstance(read, Granted) and read.access_token.startswith("at-")
    assert read.refresh_token is None or read.refresh_token.startswith(("rt-", "at-"))
    if profile.default_lifetime is None:
        assert (read.lifetime is None) is (profile.expiry_format == "none")


def test_a_double_says_what_its_provider_says() -> None:
    """Slack's type of a token, Salesforce's silence about the lifetime, Sentry's names."""
    told: dict[str, Any] = {}
    for name in ("slack", "salesforce", "sentry"):
        with FakeProvider(profile=name) as provider:
            told[name] = provider.issue()
    assert told["slack"]["token_type"] == "bot" and told["slack"]["ok"] is True
    assert "expires_in" not in told["salesforce"] and told["salesforce"]["instance_url"]
    assert set(told["sentry"]) >= {"token", "refreshToken", "expiresAt"}


def test_concurrent_use_is_no_dead_refresh_token() -> None:
    """Hydra calls it invalid_request, and means: later."""
    example = next(e for e in load_profile("ory_hydra").examples if e.of == "refresh_transient")
    answer = Reader(load_profile("ory_hydra")).read(400, {}, example.body.encode())
    assert isinstance(answer, Denied) and answer.kind is DenialKind.TRANSIENT


def test_a_grace_without_seconds_lasts_until_the_new_token_is_used() -> None:
    """Doorkeeper and Gusto: who died before the commit has not used it, so the attempt may be made again."""
    for name in ("doorkeeper", "gusto"):
        policy = load_profile(name).policy
        assert policy.reuse_grace == float("inf") and policy.is_in_time
    assert load_profile({"extends": "gusto", "rotation": "none"}).policy.reuse_grace == 0
    assert load_profile("box").policy.reuse_grace == 0  # said by staff only


def test_a_lost_answer_costs_what_the_grace_says() -> None:
    """Xero forgives for 30 minutes and Doorkeeper until the new token is used: nobody notices. Slack's login is gone."""
    for name, forgives in (("xero", True), ("doorkeeper", True), ("slack", False)):
        with FakeProvider(profile=name) as provider:
            session = OAuthSession(
                provider=name,
                token_url=provider.token_url,
                base_url=provider.api_url,
                client_id=provider.client_id,
                client_secret=provider.client_secret,
                store=MemoryStore(),
                token=provider.issue(),
            )
            provider.expire()
            provider.fault("drop_after")
            if forgives:
                assert session.get("me").ok and provider.model.grant_alive()
            else:
                with pytest.raises(InvalidGrant):
                    session.get("me")
            session.close()


def test_a_grace_that_is_too_short_for_a_successor_is_known() -> None:
    """Of the built-in ones Connect2id's 5 seconds."""
    assert [name for name in names() if not load_profile(name).policy.is_in_time] == ["connect2id"]


@pytest.mark.parametrize(
    ("name", "rotation", "lease", "patience"),
    [
        ("google", "none", 5.0, 30.0),
        ("slack", "always", 10.0, 30.0),
        ("procore", "always", 10.0, 30.0),
        ("xero", "always", 5.0, 30.0),
        ("atlassian", "always", 5.0, 30.0),
        ("doorkeeper", "always", 5.0, 30.0),
        ("okta", "maybe", 5.0, 21.0),
        ("connect2id", "maybe", 2.5, 5.0),
        ("dropbox", "maybe", 5.0, 30.0),
    ],
)
def test_a_provider_decides_claim_and_deadline(name: str, rotation: str, lease: float, patience: float) -> None:
    """As a session has them that only names its provider: nothing is forgiven, so a frozen holder gets longer; or it is."""
    session = OAuthSession(
        provider=name,
        token_url="https://auth.example.com/token",
        base_url="https://api.example.com/",
        client_id="c",
        refresh_token="r",
        on_event=lambda event: None,
    )
    policy = session.auth._remake.args[0].refresh  # type: ignore[union-attr]
    assert (policy.rotation, policy.lease, policy.patience) == (rotation, lease, patience)


def test_what_does_not_rotate_is_presented_again_at_will() -> None:
    """Google's refresh token outlives any number of lost answers."""
    with FakeProvider(profile="google") as provider:
        session = OAuthSession(
            provider="google",
            token_url=provider.token_url,
            base_url=provider.api_url,
            client_id=provider.client_id,
            client_secret=provider.client_secret,
            store=MemoryStore(),
            token=provider.issue(),
        )
        provider.expire()
        provider.fault("drop_after", times=3)
        end = time.monotonic() + 30
        while not session.get("me").ok:
            assert time.monotonic() < end
            time.sleep(0.5)
        assert provider.model.refresh_calls == 4
        session.close()


def test_no_token_of_the_real_answer_is_given_out() -> None:
    """Where the double gives no refresh token and no lifetime, it gives none of the example's either."""
    body = '{"access_token":"a","refresh_token":"r","expires_in":60,"shop":"acme"}'
    granted = {"of": "refresh_granted", "status": 200, "body": body}
    profile = {"rotation": "none", "expiry_format": "none", "examples": [granted]}
    assert [step for step in trial(profile) if step.wrong] == []
    with FakeProvider(profile=profile, renews_access_token=True) as provider:
        issued = provider.issue()
    assert (
        issued["shop"] == "acme" and not {"refresh_token", "expires_in"} & set(issued) and issued["access_token"] != "a"
    )


@pytest.mark.parametrize(
    "name", ["amazon_sp_api", "box", "dropbox", "facebook", "salesforce", "shopify", "spotify", "withings", "xero"]
)
def test_a_double_refuses_in_the_words_of_its_provider(name: str) -> None:
    """As anybody's client sees it: the real answer, byte for byte, to an expired token and to a missing permission."""
    profile = load_profile(name)
    real = next(e for e in profile.examples if e.of == "expired")
    permission = next((e for e in profile.examples if e.of == "permission"), None)
    with FakeProvider(profile=name) as provider:
        token = at(provider.issue(), profile.token_response.access_token)
        headers = {profile.header: f"{profile.scheme} {token}".strip()}
        assert requests.get(provider.api_url + "me", headers=headers, timeout=10).json()["method"] == "GET"
        if permission is not None:
            refused = requests.get(provider.api_url + "forbidden", headers=headers, timeout=10)
            assert (refused.status_code, refused.text) == (permission.status, permission.body)
        provider.expire()
        found = requests.get(provider.api_url + "me", headers=headers, timeout=10)
    assert (found.status_code, found.text) == (real.status, real.body)
    assert {n: found.headers[n] for n in real.headers} == dict(real.headers)
