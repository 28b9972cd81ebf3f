"""A token endpoint that is mistaken, or never comes to the point: no grant is given up for it."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from conftest import Make, MakeClient, MakeProvider
from support.crowd import crowd, settings_of, steps

from oauth_session import (
    InvalidClient,
    InvalidGrant,
    OAuthClient,
    RefreshPolicy,
    TemporarilyUnavailable,
    TokenRequestError,
)
from oauth_session.rules import record_json
from oauth_session.testing import FakeProvider


def says(status: int, error: str, description: str = "") -> tuple[int, dict[str, str], bytes]:
    body = {"error": error} | ({"error_description": description} if description else {})
    return status, {"Content-Type": "application/json"}, json.dumps(body).encode()


LAGGING = {
    "400": says(400, "invalid_grant"),
    "401": says(401, "invalid_grant"),
    "403": says(403, "invalid_grant"),
    "200": says(200, "invalid_grant"),
    "GitHub": says(200, "bad_refresh_token"),
}


def stored(client: OAuthClient, grant: str) -> Any:
    """The record as it stands in the store."""
    ledger = client.auth(grant).source.ledger
    text = ledger.store.load(ledger.key).text
    assert text is not None
    return record_json.load(text, grant)


@pytest.mark.parametrize("case", LAGGING)
def test_a_replica_that_lags(provider: FakeProvider, make_client: MakeClient, case: str) -> None:
    """Law 8: `invalid_grant` for a token that is still good, in whatever status: asked again, and nobody sees an error."""
    client = make_client(provider)
    client.put("g", {"refresh_token": provider.issue()["refresh_token"]})
    provider.fault(LAGGING[case])
    began = time.monotonic()
    assert client.session("g").get("me").status_code == 200
    assert time.monotonic() - began > 0.9  # a replica needs its time
    assert provider.token_requests == 2
    assert provider.model.refresh_calls == provider.model.generations == 1


@pytest.mark.timeout(120)
def test_a_replica_that_lags_under_a_fleet(
    make_oauth_provider: MakeProvider, make_client: MakeClient, store_url: str
) -> None:
    """Law 8: one process hears the wrong `invalid_grant`, three ask and wait; all get the token, for two token calls."""
    provider = make_oauth_provider()
    make_client(provider, store=store_url).put(provider.url, {"refresh_token": provider.issue()["refresh_token"]})
    provider.fault(LAGGING["400"])
    assert crowd(3, steps, settings_of(provider, store_url), 4) == [[200] * 4] * 3
    assert provider.token_requests == 2
    assert provider.model.reuse_incidents == 0


NAMED = {
    "please retry": (says(400, "invalid_request", "The request was concurrent. Please retry."), TemporarilyUnavailable),
    "invalid_request": (says(400, "invalid_request"), TokenRequestError),
    "invalid_scope": (says(400, "invalid_scope"), TokenRequestError),
    "invalid_client": (says(401, "invalid_client"), InvalidClient),
    "unauthorized_client": (says(400, "unauthorized_client"), InvalidClient),
    "200 server_error": (says(200, "server_error"), TemporarilyUnavailable),
    "403 HTML": ((403, {"Content-Type": "text/html"}, b"<html>firewall</html>"), TokenRequestError),
    "502 HTML": ((502, {"Content-Type": "text/html"}, b"<html>bad gateway</html>"), TemporarilyUnavailable),
    "429": (says(429, "slow_down"), TemporarilyUnavailable),
    "invalid_grant twice": (says(400, "invalid_grant"), InvalidGrant),
}


@pytest.mark.parametrize("case", NAMED)
def test_the_pair_outlives_every_refusal(provider: FakeProvider, make_client: MakeClient, case: str) -> None:
    """Laws 8 and 9: each refusal has its error; the record keeps both halves of the pair, and the grant can go on."""
    answer, error = NAMED[case]
    client = make_client(provider)
    pair = provider.issue()
    client.put("g", pair)
    provider.expire()
    provider.fault(answer, times=2)
    with pytest.raises(TokenRequestError) as caught:
        client.refresh("g")
    assert type(caught.value) is error
    assert provider.token_requests == (2 if error is InvalidGrant else 1)
    kept = stored(client, "g")
    assert (kept.pair.access_token, kept.pair.refresh_token) == (pair["access_token"], pair["refresh_token"])
    assert kept.claim is None
    provider.clear_faults()
    assert client.refresh("g", force=True)
    assert client.session("g").get("me").status_code == 200
    assert provider.model.refresh_calls == 1


@pytest.mark.parametrize("fault", ["html_200", "empty", "wrong_type"])
def test_a_success_without_a_token_keeps_the_pair(provider: FakeProvider, make_session: Make, fault: str) -> None:
    """Law 5: a 200 that holds no token may have spent the refresh token; twice so, and only somebody's word goes on."""
    session = make_session(provider, token=provider.issue())
    provider.expire()
    provider.fault(fault, times=2)
    assert session.get("me").status_code == 401  # inconclusive: the API's own answer
    assert session.get("me").status_code == 401
    assert provider.token_requests == 2
    assert session.auth.source.refresh(force=True)
    assert session.get("me").status_code == 200


@pytest.mark.parametrize("store_url", ["redis", pytest.param("sqlite", marks=pytest.mark.soak)], indirect=True)
def test_a_dripping_answer_is_cut_off(
    make_oauth_provider: MakeProvider, make_client: MakeClient, store_url: str
) -> None:
    """Laws 4 to 6: one byte per 150 ms is cut off at `token_timeout`; the claim holds meanwhile, although that is longer than
    a lease; then the old token goes out once more: a provider with grace gives a pair, one without ends in two calls."""

    def case(grace: str) -> None:
        provider = make_oauth_provider(grace=grace, grace_seconds=60.0)
        policy = RefreshPolicy(token_timeout=6.5)
        ours, theirs = (make_client(provider, store=store_url, refresh=policy, on_event=f) for f in (None, _other))
        ours.put(provider.url, {"refresh_token": provider.issue()["refresh_token"]})
        provider.fault("drip", interval=0.15)
        ends: list[tuple[float, str]] = []

        def ask(client: OAuthClient) -> None:
            began = time.monotonic()
            try:
                end = client.token(provider.url).access_token
            except InvalidGrant:
                end = "InvalidGrant"
            ends.append((time.monotonic() - began, end))

        threads = [threading.Thread(target=ask, args=(client,)) for client in (ours, theirs)]
        for thread in threads:
            thread.start()
        time.sleep(6.0)
        assert provider.token_requests == 1  # the rival waits: the heart beats
        for thread in threads:
            thread.join(30)
        assert len(ends) == 2
        assert all(6.0 < took < 14.0 for took, _ in ends)
        assert len({end for _, end in ends}) == 1
        if grace == "none":
            assert ends[0][1] == "InvalidGrant"
            assert provider.token_requests == 3  # the drip, and two that say that the grant is dead
        else:
            assert ends[0][1] != "InvalidGrant"
            assert provider.token_requests == 2
            assert provider.model.grant_alive()

    before = set(threading.enumerate())
    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(case, grace) for grace in ("same_pair", "none")]:
            future.result()
    left = [thread for thread in set(threading.enumerate()) - before if thread.name == "oauth-session-post"]
    assert left == []  # their sockets were shut: nobody listens to the drip to its end


def _other(event: object) -> None:
    """Another listener makes another source, as in another process."""
