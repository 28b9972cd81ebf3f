"""Refusals that are no expiry: what they cost, and that the caller still reads every byte."""

from __future__ import annotations

import socket
import threading
import time

import pytest
from conftest import Make, MakeClient, MakeProvider
from support.shaky import Shaky

from oauth_session import (
    RefreshPolicy,
)
from oauth_session.testing import Answer, FakeProvider


def serve(answer: bytes) -> tuple[str, threading.Thread]:
    """One connection, one answer, then the end of it."""
    server = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        with server:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

    thread = threading.Thread(target=run)
    thread.start()
    return f"http://127.0.0.1:{server.getsockname()[1]}/", thread


RULE = {"status": 200, "path": "error", "equals": "token_expired"}


@pytest.mark.parametrize("stream", [False, True])
def test_a_long_chunked_answer_is_handed_on_whole(provider: FakeProvider, make_session: Make, stream: bool) -> None:
    """Section 7: a body that is too long for a rule still reaches the caller complete."""
    chunks = b"".join(b"10000\r\n" + b"x" * 65536 + b"\r\n" for _ in range(10)) + b"0\r\n\r\n"
    url, thread = serve(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks)
    session = make_session(provider, token=provider.issue(), base_url=url, expired_when=[RULE])
    response = session.get("big", stream=stream)
    length = len(response.content)
    thread.join()
    assert length == 655_360


def test_bodies_that_cannot_be_replayed_do_not_cost_a_refresh_each(provider: FakeProvider, make_session: Make) -> None:
    """Section 7: refusals for good cost one refresh, whatever the body: a hold also when nothing can be replayed."""
    provider.forbidden = Answer(401, {}, b"{}")
    session = make_session(provider, token=provider.issue())
    for _ in range(4):
        assert session.post("forbidden", data=iter([b"x"])).status_code == 401
        time.sleep(0.6)
    assert provider.model.refresh_calls <= 2


def test_a_hold_outlives_a_natural_renewal(make_oauth_provider: MakeProvider, make_session: Make) -> None:
    """Section 7: during a hold a refusal of the current generation, also a renewed one, costs no refresh."""
    provider = make_oauth_provider(lifetime=1.0)
    provider.forbidden = Answer(401, {}, b"{}")
    session = make_session(
        provider, refresh_token=provider.issue()["refresh_token"], refresh=RefreshPolicy(background=False)
    )
    end, generations = time.monotonic() + 6.0, 0
    while time.monotonic() < end:
        session.get("forbidden")
        time.sleep(0.05)
    generations = provider.model.refresh_calls
    assert generations <= 9, "a token of 1 s: 7 by the clock, 1 for the refusal"


def test_a_store_that_is_away_is_not_asked_by_each_request(provider: FakeProvider, make_client: MakeClient) -> None:
    """Law 13: with the store away, requests with a valid token do not each wait for it to end an old hold."""
    store = Shaky()
    client = make_client(provider, store=store)
    client.put("g", provider.issue())
    provider.forbidden = Answer(401, {}, b"{}")
    session = client.session("g")
    session.get("forbidden")  # a hold
    client.refresh("g")
    store.load_fails, before = True, store.loads
    for _ in range(10):
        assert session.get("me").status_code == 200
    store.load_fails = False
    assert store.loads - before <= 2
