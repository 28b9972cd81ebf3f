"""The provider's rules, without a socket."""

from __future__ import annotations

import base64
import copy
import json
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote_plus

import pytest

from oauth_session.testing import LIFETIME, NOTHING, ProviderModel
from oauth_session.tokens import fingerprint

T0 = 1_700_000_000.0


def public(**arguments: Any) -> ProviderModel:
    return ProviderModel(client_secret=None, **arguments)


def refresh(model: ProviderModel, token: str, now: float = T0) -> tuple[int, dict[str, Any]]:
    form = {"grant_type": "refresh_token", "refresh_token": token, "client_id": model.client_id}
    answer = model.token(form, now)
    return answer.status, json.loads(answer.body)


def bought(model: ProviderModel, token: str, now: float = T0) -> dict[str, Any]:
    status, body = refresh(model, token, now)
    assert status == 200, body
    return body


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def test_login_and_rotation() -> None:
    """A refresh buys a new pair, once; the old access token lives on unless told otherwise."""
    model = public(lifetime=10)
    first = model.issue(T0)
    second = bought(model, first["refresh_token"])
    assert first.keys() == second.keys() == {"access_token", "refresh_token", "token_type", "expires_in"}
    assert {first["access_token"], first["refresh_token"]}.isdisjoint(second.values())
    assert second["expires_in"] == 10
    assert model.judge(first["access_token"], T0) == model.judge(second["access_token"], T0) == "good"
    assert (model.refresh_calls, model.generations, model.reuse_incidents) == (1, 1, 0)


def test_access_tokens_expire() -> None:
    """An access token is good until its lifetime is over, to the fraction of a second."""
    model = public(lifetime=0.5)
    token = model.issue(T0)["access_token"]
    assert model.judge(token, T0 + 0.49) == "good"
    assert model.judge(token, T0 + 0.5) == "expired"
    assert model.judge("never-issued", T0) == "unknown"
    assert model.judge(None, T0) == "missing"


def test_reuse_revokes_the_family_and_no_other() -> None:
    """A spent refresh token revokes all tokens of its login: the newer refresh token and both access tokens."""
    model = public()
    first, other = model.issue(T0), model.issue(T0)
    family = model.family_of(first["access_token"])
    second = bought(model, first["refresh_token"])
    assert model.grant_alive(family)
    assert refresh(model, first["refresh_token"])[1]["error"] == "invalid_grant"
    assert model.reuse_incidents == 1
    assert not model.grant_alive(family)
    assert model.judge(first["access_token"], T0) == model.judge(second["access_token"], T0) == "revoked"
    assert refresh(model, second["refresh_token"])[1]["error"] == "invalid_grant"
    assert model.reuse_incidents == 1, "an unspent token of a revoked family is no reuse"
    assert model.grant_alive() and model.judge(other["access_token"], T0) == "good"
    assert bought(model, other["refresh_token"])
    assert model.presented[fingerprint(first["refresh_token"])] == 2
    assert (model.refresh_calls, model.generations) == (4, 2)


def test_reuse_may_be_harmless() -> None:
    """With revoke_on_reuse off a spent token is refused and counted, and the family lives."""
    model = public(revoke_on_reuse=False)
    first = model.issue(T0)
    second = bought(model, first["refresh_token"])
    assert refresh(model, first["refresh_token"])[0] == 400
    assert model.reuse_incidents == 1 and model.grant_alive()
    assert bought(model, second["refresh_token"])


def test_unknown_refresh_token_is_no_reuse() -> None:
    """A refresh token that was never issued is refused and harms nobody."""
    model = public()
    model.issue(T0)
    assert refresh(model, "made-up")[1]["error"] == "invalid_grant"
    assert (model.reuse_incidents, model.generations, model.grant_alive()) == (0, 0, True)


def test_rotation_none() -> None:
    """Without rotation the refresh token buys again and again and no answer returns one."""
    model = public(rotation="none")
    first = model.issue(T0)
    one, two = (bought(model, first["refresh_token"]) for _ in range(2))
    assert "refresh_token" not in one and "refresh_token" not in two
    assert one["access_token"] != two["access_token"]
    assert (model.generations, model.reuse_incidents, model.grant_alive()) == (2, 0, True)


@pytest.mark.parametrize("grace", ["same_pair", "new_pair", "newest_only"])
def test_grace_ends(grace: Any) -> None:
    """A timed grace counts from the first use; after it the spent token is reuse and revokes."""
    model = public(grace=grace, grace_seconds=5)
    first = model.issue(T0)
    bought(model, first["refresh_token"], T0)
    bought(model, first["refresh_token"], T0 + 4.9)
    assert model.reuse_incidents == 0 and model.grant_alive()
    assert refresh(model, first["refresh_token"], T0 + 5)[0] == 400
    assert model.reuse_incidents == 1 and not model.grant_alive()


def test_grace_same_pair() -> None:
    """same_pair repeats the first answer and mints nothing."""
    model = public(grace="same_pair")
    first = model.issue(T0)
    assert bought(model, first["refresh_token"]) == bought(model, first["refresh_token"], T0 + 1)
    assert (model.refresh_calls, model.generations) == (2, 1)


def test_grace_new_pair() -> None:
    """new_pair mints another pair at each use, and all of them live."""
    model = public(grace="new_pair")
    first = model.issue(T0)
    one, two = (bought(model, first["refresh_token"]) for _ in range(2))
    assert one["refresh_token"] != two["refresh_token"] and model.generations == 2
    for pair in (one, two):
        assert model.judge(pair["access_token"], T0) == "good"
        assert bought(model, pair["refresh_token"])


def test_grace_newest_only() -> None:
    """newest_only kills what the spent token bought before, and what was bought with that; asking for it revokes nothing."""
    model = public(grace="newest_only")
    first = model.issue(T0)
    one = bought(model, first["refresh_token"])
    child = bought(model, one["refresh_token"])
    other = model.issue(T0)
    two = bought(model, first["refresh_token"])
    assert bought(model, other["refresh_token"]), "another login is untouched"
    for dead in (one, child):
        assert model.judge(dead["access_token"], T0) == "revoked"
        assert refresh(model, dead["refresh_token"])[1]["error"] == "invalid_grant"
    assert model.reuse_incidents == 0 and model.grant_alive()
    assert model.judge(first["access_token"], T0) == model.judge(two["access_token"], T0) == "good"
    assert bought(model, two["refresh_token"])


def test_grace_until_used() -> None:
    """until_used lasts as long as no access token that was bought is used at the API, however long, and then ends."""
    model = public(grace="until_used", grace_seconds=1, lifetime=10_000)
    first = model.issue(T0)
    assert model.judge(first["access_token"], T0) == "good"
    bought(model, first["refresh_token"])
    two = bought(model, first["refresh_token"], T0 + 1000)
    assert model.reuse_incidents == 0
    assert model.judge(two["access_token"], T0 + 1000) == "good"
    assert refresh(model, first["refresh_token"], T0 + 1000)[0] == 400
    assert model.reuse_incidents == 1


def test_until_used_ignores_a_refused_use() -> None:
    """An access token that the API refuses was not used: the old refresh token stays good."""
    model = public(grace="until_used", lifetime=1)
    first = model.issue(T0)
    pair = bought(model, first["refresh_token"])
    assert model.judge(pair["access_token"], T0 + 2) == "expired"
    assert bought(model, first["refresh_token"], T0 + 2)


@pytest.mark.parametrize("rotation", ["always", "none"])
def test_access_dies_at_refresh(rotation: Any) -> None:
    """With access_dies_at_refresh only the last access token lives, with rotation and without."""
    model = public(access_dies_at_refresh=True, rotation=rotation)
    pair = first = model.issue(T0)
    dead = []
    for _ in range(2):
        dead.append(pair["access_token"])
        pair = {**first, **bought(model, pair.get("refresh_token", first["refresh_token"]))}
    assert [model.judge(token, T0) for token in dead] == ["revoked", "revoked"]
    assert model.judge(pair["access_token"], T0) == "good"


def test_expire_and_revoke() -> None:
    """expire ends access tokens only, those so far; revoke ends families, one or all."""
    model = public()
    one, two = model.issue(T0), model.issue(T0)
    model.expire()
    assert model.judge(one["access_token"], T0) == "expired"
    fresh = bought(model, one["refresh_token"])
    assert model.judge(fresh["access_token"], T0) == "good"
    model.revoke(model.family_of(one["refresh_token"]))
    assert model.judge(fresh["access_token"], T0) == "revoked"
    assert model.grant_alive(model.family_of(two["refresh_token"]))
    model.issue(T0)
    model.revoke(3)
    assert not model.grant_alive(), "the latest login is meant by default"
    model.revoke()
    assert refresh(model, two["refresh_token"])[1]["error"] == "invalid_grant"
    assert not model.grant_alive() and model.reuse_incidents == 0


@pytest.mark.parametrize("value", ["3600", 3600.0, 0, None, -1, "soon"])
def test_expires_in_as_told(value: object) -> None:
    """expires_in is sent as told, whatever the true lifetime is."""
    assert public(expires_in=value).issue(T0)["expires_in"] == value


def test_members_left_out_and_replaced() -> None:
    """NOTHING leaves a member out, LIFETIME tells the truth, and other members replace the model's own."""
    assert "expires_in" not in public(expires_in=NOTHING).issue(T0)
    assert public(expires_in=LIFETIME, lifetime=1.5).issue(T0)["expires_in"] == 1.5
    odd = public(members={"refresh_token": "", "token_type": NOTHING, "instance_url": "x"}).issue(T0)
    assert odd["refresh_token"] == "" and "token_type" not in odd and odd["instance_url"] == "x"


def test_client_credentials() -> None:
    """A client credentials grant mints an access token, no refresh token, and does not count as a login."""
    model = ProviderModel()
    login = model.issue(T0)
    form = {"grant_type": "client_credentials", "scope": "a b"}
    pair = json.loads(model.token(form, T0, authorization=basic("fake-client", "fake-secret")).body)
    assert "refresh_token" not in pair and pair["scope"] == "a b"
    assert model.judge(pair["access_token"], T0) == "good"
    assert (model.client_credentials_calls, model.refresh_calls, model.token_calls) == (1, 0, 1)
    assert model.grant_alive() and model.grant_alive(model.family_of(login["access_token"]))


ODD_ID, ODD_SECRET = "a:b c", "s%c+r/t é:"
BASIC = basic(quote_plus(ODD_ID), quote_plus(ODD_SECRET))
RAW = basic("plain", ODD_SECRET)


@pytest.mark.parametrize(
    ("method", "client", "secret", "form", "authorization", "status"),
    [
        ("client_secret_basic", ODD_ID, ODD_SECRET, {}, BASIC, 200),
        ("client_secret_basic", ODD_ID, ODD_SECRET, {}, basic(ODD_ID, ODD_SECRET), 401),
        ("client_secret_basic", ODD_ID, ODD_SECRET, {"client_id": ODD_ID, "client_secret": ODD_SECRET}, None, 401),
        ("client_secret_basic", ODD_ID, ODD_SECRET, {"client_secret": ODD_SECRET}, BASIC, 400),
        ("client_secret_basic", ODD_ID, ODD_SECRET, {}, "Basic ???", 401),
        ("client_secret_basic", ODD_ID, ODD_SECRET, {}, None, 401),
        ("client_secret_basic_raw", "plain", ODD_SECRET, {}, RAW, 200),
        ("client_secret_basic_raw", "plain", ODD_SECRET, {}, basic("plain", quote_plus(ODD_SECRET)), 401),
        ("client_secret_post", ODD_ID, ODD_SECRET, {"client_id": ODD_ID, "client_secret": ODD_SECRET}, None, 200),
        ("client_secret_post", ODD_ID, ODD_SECRET, {"client_id": ODD_ID, "client_secret": "no"}, None, 401),
        ("client_secret_post", ODD_ID, ODD_SECRET, {}, BASIC, 401),
        ("none", ODD_ID, None, {"client_id": ODD_ID}, None, 200),
        ("none", ODD_ID, None, {"client_id": "other"}, None, 401),
        ("none", ODD_ID, None, {"client_id": ODD_ID, "client_secret": ""}, None, 401),
    ],
)
def test_client_authentication(
    method: str, client: str, secret: str | None, form: dict[str, str], authorization: str | None, status: int
) -> None:
    """Each method is read as its RFC says, no other passes, and two at once are an invalid request."""
    model = ProviderModel(client_id=client, client_secret=secret, client_auth=[method])
    answer = model.token({"grant_type": "client_credentials", **form}, T0, authorization=authorization)
    assert answer.status == status
    if status == 401:
        assert json.loads(answer.body)["error"] == "invalid_client"
        assert ("WWW-Authenticate" in answer.headers) == (authorization is not None)


def test_a_refused_client_spends_nothing() -> None:
    """A request whose client is refused counts as arrived, and its refresh token is still good."""
    model = ProviderModel()
    token = model.issue(T0)["refresh_token"]
    form = {"grant_type": "refresh_token", "refresh_token": token}
    assert model.token(form, T0, authorization=basic("fake-client", "wrong")).status == 401
    assert model.token(form, T0, authorization=basic("fake-client", "fake-secret")).status == 200
    assert (model.refresh_calls, model.generations) == (2, 1)


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({}, "invalid_request"),
        ({"grant_type": "refresh_token"}, "invalid_request"),
        ({"grant_type": "refresh_token", "refresh_token": ""}, "invalid_request"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
    ],
)
def test_bad_requests(form: dict[str, str], error: str) -> None:
    """Requests that ask for nothing sensible get the error of RFC 6749 5.2."""
    model = public()
    answer = model.token({"client_id": model.client_id, **form}, T0)
    assert (answer.status, json.loads(answer.body)["error"]) == (400, error)


def test_answers_carry_the_models_time() -> None:
    """The Date header is the time that was passed in, and no answer may be cached."""
    answer = public().token({}, T0)
    assert parsedate_to_datetime(answer.headers["Date"]).timestamp() == T0
    assert answer.headers["Cache-Control"] == "no-store"


def test_seeded_and_copyable() -> None:
    """One seed gives one sequence of tokens, and a deep copy goes its own way from there."""
    one, two = public(seed=7), public(seed=7)
    assert one.issue(T0) == two.issue(T0) != public(seed=8).issue(T0)
    token = one.issue(T0)["refresh_token"]
    branch = copy.deepcopy(one)
    assert bought(one, token) == bought(branch, token)
    assert refresh(branch, token)[0] == 400
    assert one.grant_alive() and not branch.grant_alive()


@pytest.mark.parametrize("wrong", [{"rotation": "yes"}, {"grace": "some"}, {"client_auth": "none"}])
def test_wrong_arguments(wrong: Any) -> None:
    """A misspelt rule is an error, not a rule that never applies."""
    with pytest.raises(ValueError):
        ProviderModel(**wrong)
