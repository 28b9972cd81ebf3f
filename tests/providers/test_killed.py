"""Grace drives the protocol: what a profile says decides whether a dead holder's attempt is presented again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.crowd import settings_of
from test_kill_matrix import stopped

from oauth_session import OAuthClient, RefreshOutcomeUnknown
from oauth_session.testing import FakeProvider
from oauth_session.tokens import fingerprint

# Two holders die with the request on the wire. Whose refresh token is presented a third time: 30 minutes, 30 seconds, 10
# minutes, until the new token is used; and nothing known, where a third time could only revoke more.
CLASSES = {"xero": True, "okta": True, "atlassian": True, "doorkeeper": True, "slack": False, "github": False}


def twice_killed(name: str, folder: Path) -> tuple[FakeProvider, str]:
    """What became of the third who comes: "ok", or the error; with the provider."""
    store = f"sqlite:///{folder}/{name}.db"
    provider = FakeProvider(profile=name, token_latency=0.6)
    try:
        issued = provider.issue()
        settings = {n: value for n, value in settings_of(provider, store).items() if n != "grant_id"} | {
            "provider": name
        }
        OAuthClient(**settings).put(provider.url, {"refresh_token": issued["refresh_token"]})
        for _ in range(2):
            with stopped("on the wire", provider, store, name) as process:
                process.kill()
                process.wait(10)
        provider.token_latency = 0.0
        client = OAuthClient(**settings)
        said = "ok"
        try:
            client.token(provider.url)
        except RefreshOutcomeUnknown:
            said = "unknown"
        return provider, f"{said} after {provider.model.presented[fingerprint(issued['refresh_token'])]}"
    finally:
        provider.close()


@pytest.mark.timeout(180)
def test_an_attempt_is_presented_again_as_the_grace_allows(tmp_path: Path) -> None:
    """SIGKILL, twice, in six programs that only name their provider: each gets what its profile's grace allows."""
    with ThreadPoolExecutor(len(CLASSES)) as pool:
        found = {name: pool.submit(twice_killed, name, tmp_path) for name in CLASSES}
    ended = {name: future.result() for name, future in found.items()}
    expected = {name: "ok after 3" if again else "unknown after 2" for name, again in CLASSES.items()}
    assert {name: said for name, (_, said) in ended.items()} == expected
    assert all(ended[name][0].model.grant_alive() for name, again in CLASSES.items() if again)
