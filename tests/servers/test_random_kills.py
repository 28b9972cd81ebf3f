"""Workers die or freeze at random moments around a refresh; with a provider that forgives, the grant lives through it."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from conftest import MakeProvider
from support.authorization import PLAIN, AuthorizationServer
from support.crowd import settings_of
from support.roulette import Lane

from oauth_session import OAuthClient
from oauth_session.rules import record_json

ALL = [(grace, store) for grace in ("same_pair", "new_pair", "newest_only", "until_used", "toolkit") for store in "rs"]
SOME = [("same_pair", "s"), ("newest_only", "r"), ("until_used", "s"), ("toolkit", "r"), ("toolkit", "s")]


@pytest.mark.parametrize(
    ("kinds", "rounds", "workers"),
    [
        pytest.param(SOME, 2, 2, id="10 rounds", marks=pytest.mark.timeout(300)),
        pytest.param(ALL, 10, 3, id="100 rounds", marks=[pytest.mark.soak, pytest.mark.timeout(1800)]),
    ],
)
def test_random_kills(
    make_oauth_provider: MakeProvider,
    forgiving_toolkit: AuthorizationServer,
    valkey_url: str,
    tmp_path: Path,
    kinds: list[tuple[str, str]],
    rounds: int,
    workers: int,
) -> None:
    """Law 5: SIGKILL, or SIGSTOP past the lease, of some workers at a random moment around a refresh: no grant is lost,
    against the kit's grace models and against django-oauth-toolkit with ten seconds of grace, on Valkey and SQLite."""
    seed, lanes = secrets.token_hex(4), {}
    for grace, store in kinds:
        url = valkey_url if store == "r" else f"sqlite:///{tmp_path}/{grace}.db"
        if grace == "toolkit":
            lane = _toolkit_lane(forgiving_toolkit, url, store)
        else:
            lane = _model_lane(make_oauth_provider(token_latency=0.2, grace=grace, grace_seconds=60.0), url)
        lanes[grace + store] = Lane(*lane, workers, seed + grace + store)
    with ThreadPoolExecutor(len(lanes)) as pool:
        games = {name: pool.submit(lane.play, rounds) for name, lane in lanes.items()}
    lost = {name: repr(error)[:500] for name, game in games.items() if (error := game.exception())}
    print(seed, {name: (dict(lane.shots), dict(lane.ends)) for name, lane in lanes.items()})
    assert lost == {}, seed
    shots = sum((lane.shots for lane in lanes.values()), Counter())
    assert shots["killed"] + shots["frozen"] == len(kinds) * rounds
    assert sum(lane.ends["InvalidGrant"] for lane in lanes.values()) == 0


Parts = tuple[dict[str, Any], Callable[[], None], tuple[float, float], Callable[[], bool]]


def _model_lane(provider: Any, store: str) -> Parts:
    settings = settings_of(provider, store)
    client = OAuthClient(**{k: v for k, v in settings.items() if k != "grant_id"})
    client.put(provider.url, provider.issue())
    return settings, provider.expire, (0.0, 0.5), lambda: bool(provider.model.grant_alive())


def _toolkit_lane(server: AuthorizationServer, store: str, name: str) -> Parts:
    settings = {
        "base_url": server.url + "/api/",
        "token_url": server.token_url,
        "client_id": PLAIN["client_id"],
        "client_secret": PLAIN["client_secret"],
        "refresh_on": [401, 403],  # old access tokens die at a refresh, and this server says 403
        "store": store,
        "grant_id": f"{server.url}{name}",
    }
    client = OAuthClient(**{k: v for k, v in settings.items() if k != "grant_id"})
    client.put(settings["grant_id"], server.login())
    ledger = client.auth(settings["grant_id"]).source.ledger

    def wait() -> None:
        """Until the advisory window of its two seconds begins."""
        snapshot = ledger.store.load(ledger.key)
        assert snapshot.text
        age = record_json.load(snapshot.text, name).age(snapshot.now)
        time.sleep(max(0.0, 1.4 - age))

    def alive() -> bool:
        """Asked more than once: between our look and the server's answer a worker may have refreshed."""
        looks = (client.token(settings["grant_id"]) for _ in range(5))
        return any(server.alive({"refresh_token": token.refresh_token}) for token in looks)

    return settings, wait, (0.0, 0.7), alive
