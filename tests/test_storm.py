"""Many processes and threads on one grant of a provider that forgives nothing."""

from __future__ import annotations

import pytest
from conftest import MakeClient, MakeProvider
from support.crowd import crowd, settings_of, storm


@pytest.mark.alone
@pytest.mark.timeout(240)
@pytest.mark.parametrize("seconds", [8.0, pytest.param(20.0, marks=pytest.mark.soak)])
def test_a_storm_of_thirty_two(
    make_oauth_provider: MakeProvider, make_client: MakeClient, store_url: str, seconds: float
) -> None:
    """8 processes x 4 threads, tokens of 1 s, 100 ms per refresh, strict reuse detection: nothing fails or is lost."""
    provider = make_oauth_provider(lifetime=1.0, token_latency=0.1)
    client = make_client(provider, store=store_url)
    client.put(provider.url, provider.issue())
    results = crowd(8, storm, settings_of(provider, store_url), 4, seconds)
    assert [failure for _, failures in results for failure in failures] == []
    assert sum(count for count, _ in results) > 50 * seconds
    model = provider.model
    statuses, _ = client.grants()
    (status,) = [status for status in statuses if status.grant_id == provider.url]
    assert model.refresh_calls == model.generations == status.generation
    assert 0.75 * seconds <= model.refresh_calls <= 2 * seconds
    assert model.reuse_incidents == 0
    assert max(model.presented.values()) == 1
    assert model.grant_alive()
