"""Every profile, end to end over a socket against its double; and its real bodies against the rules."""

from __future__ import annotations

import json
import tomllib
from importlib.resources import files
from typing import Any

import pytest

from oauth_session import policy
from oauth_session.providers import load_profile, names
from oauth_session.providers.answers import Reader
from oauth_session.providers.profile import API_EXAMPLES, Example
from oauth_session.rules.detection import Verdict
from oauth_session.rules.token_response import DenialKind, Denied
from oauth_session.testing.trial import trial

# Those whose rule, rotation or grace differs from the default.
NAMED = (
    *("amazon_sp_api", "slack", "withings", "facebook", "salesforce", "xero", "exact_online", "zoho", "shopify"),
    *("github", "gitlab", "atlassian", "okta", "auth0", "entra", "google", "hubspot", "quickbooks", "fitbit"),
    *("dropbox", "box", "ebay"),
)
EACH = {"refresh that fails for now", "dead refresh token", "permission refused", "rate limit"}
REFRESHED = {"expiry, refresh, replay", "refresh while alive"}


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "CONFIRM", 0.05)


@pytest.mark.parametrize("name", names())
def test_a_profile_holds_end_to_end(name: str) -> None:
    """Expiry, refresh, replay, dead refresh token, permission refusal, rate limit: each, with each real body."""
    steps = list(trial(name))
    assert [step for step in steps if step.wrong] == []
    tried = {step.name for step in steps}
    assert tried >= EACH and tried & REFRESHED
    examples = [example for example in load_profile(name).examples if example.of != "refresh_early"]
    assert sum(bool(step.answer) for step in steps) >= len(examples)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"default_401": "only_rules"}, "0 refreshes for 1 expiries"),
        (
            {"expired_when": [{"status": 403, "path": "error", "equals": "permission_denied"}]},
            "it was taken for an expired token",
        ),
        (
            {"refresh_dead_when": [{"status": 400, "path": "error", "equals": "gone"}]},
            "a dead refresh token was not known",
        ),
    ],
)
def test_a_profile_that_does_not_hold_is_found(change: dict[str, Any], says: str) -> None:
    """The trial can fail: rules that miss an expiry, that catch a permission, or that miss a dead refresh token."""
    base = {"extends": "xero"} | change
    if "refresh_dead_when" in change:  # the double says what the profile does not know
        base["examples"] = [{"of": "refresh_dead", "status": 400, "body": '{"error":"other"}'}]
    else:
        base["examples"] = []
    assert any(says in step.wrong for step in trial(base))


def test_the_named_providers_are_there() -> None:
    """Those that differ from the default have a profile."""
    assert set(NAMED) <= set(names())


def bodies(*kinds: str) -> list[tuple[str, Example]]:
    found = [(name, example) for name in names() for example in load_profile(name).examples]
    return [(name, example) for name, example in found if example.of in kinds]


@pytest.mark.parametrize(("name", "example"), bodies(*API_EXAMPLES))
def test_a_real_body_is_judged_rightly(name: str, example: Example) -> None:
    """An expired token is refreshed, and nothing else is."""
    profile = load_profile(name)
    assert example.is_right(example.judged(profile.detection, profile.scheme).verdict)


@pytest.mark.parametrize(("name", "example"), bodies("refresh_dead", "refresh_transient", "refresh_early"))
def test_a_real_answer_of_the_token_endpoint_is_read_rightly(name: str, example: Example) -> None:
    """A dead refresh token is dead, and only then is the grant given up."""
    answer = Reader(load_profile(name)).read(example.status, example.headers, example.body.encode())
    assert isinstance(answer, Denied)
    assert (answer.kind is DenialKind.DEAD) is (example.of == "refresh_dead")
    assert example.of == "refresh_dead" or answer.kind is DenialKind.TRANSIENT


TRAPS: dict[str, tuple[str, str]] = {
    "CARD_TOKEN_EXPIRED": ("square", "CARD_TOKEN_EXPIRED"),
    "the Pinterest report token": ("pinterest", "The token you provided is not valid or has expired."),
    "the Asana sync token": ("asana", "Sync token invalid"),
    "Atlassian's scope": ("atlassian", "scope does not match"),
    "Dropbox's missing_scope": ("dropbox", "missing_scope"),
    "SP-API's permission": ("amazon_sp_api", "Access to requested resource is denied."),
}


@pytest.mark.parametrize(("name", "text"), TRAPS.values(), ids=TRAPS)
def test_a_trap_is_not_fallen_into(name: str, text: str) -> None:
    """Bodies that look like an expired token and are none."""
    profile = load_profile(name)
    found = [e for e in profile.examples if text in e.body and e.of not in ("expired", "refresh_dead")]
    assert found, "the trap is not among the examples"
    for example in found:
        assert example.judged(profile.detection, profile.scheme).verdict in (Verdict.NOT_EXPIRY, Verdict.ACCEPTED)


@pytest.mark.parametrize("name", names())
def test_every_fact_has_its_source(name: str) -> None:
    """Nothing invented: each fact says where it is from, whether it is verified, and when it was looked at last."""
    profile = load_profile(name)
    table = tomllib.loads(files("oauth_session.providers").joinpath("data", f"{name}.toml").read_text("utf-8"))
    no_facts = {"title", "last_checked", "notes", "params", "examples", "sources"}
    assert set(table) - no_facts == set(profile.sources)
    assert profile.title and profile.last_checked
    assert all(example.source for example in profile.examples)
    applied = {field for field, source in profile.sources.items() if source.startswith("verified: ")}
    assert applied.isdisjoint(profile.unverified)


def test_profiles_are_data() -> None:
    """No code in them: TOML, and the loader knows no provider by name."""
    room = files("oauth_session.providers")
    assert all(f.name.endswith(".toml") for f in room.joinpath("data").iterdir())
    code = "".join(f.read_text() for f in room.iterdir() if f.name.endswith(".py"))
    assert not [name for name in names() if len(name) > 1 and f'"{name}"' in code.replace('provider="xero"', "")]


def test_json_bodies_are_json() -> None:
    """A body that looks like JSON is JSON: it was quoted whole."""
    for name, example in bodies(*API_EXAMPLES, "refresh_dead", "refresh_transient", "refresh_early"):
        if example.body[:1] in ("{", "["):
            assert json.loads(example.body) is not None, name
