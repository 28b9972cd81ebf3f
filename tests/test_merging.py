"""Preparing a request: exactly requests' results, though what there is nothing to merge with is not merged."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict

from oauth_session import OAuthSession
from oauth_session.stores import MemoryStore

NAMES = ["User-Agent", "user-agent", "X-Own", b"X-Bytes"]
some_headers = st.dictionaries(st.sampled_from(NAMES), st.sampled_from([None, "one", b"two", "", 3]), max_size=3)
headers = st.one_of(st.none(), st.just({}), st.just([]), some_headers)
params = st.one_of(
    st.sampled_from([None, "", "a=1&b=2", b"c=3", [("a", "1"), ("a", "2")], [], 5]),
    st.dictionaries(st.sampled_from(["a", "b", "c d"]), st.sampled_from(["1", None, ["x", "y"], 7, ""]), max_size=2),
)
requested = st.fixed_dictionaries(
    {
        "method": st.sampled_from(["GET", "post"]),
        "url": st.sampled_from(
            ["https://a.test/x", "https://a.test/x?y=1#z", "https://b.test", " https://a.test/", "mailto:x"]
        ),
        "headers": headers,
        "params": params,
        "data": st.sampled_from([None, {}, {"k": "v"}, b"raw", ""]),
        "json": st.sampled_from([None, {}, {"k": 1}]),
        "cookies": st.sampled_from([None, {}, {"c": "1"}]),
    }
)
kinds = st.sampled_from([CaseInsensitiveDict, OrderedDict, None])


@pytest.fixture(scope="module")
def sessions() -> Iterator[tuple[OAuthSession, requests.Session]]:
    """Ours, and one of requests' own."""
    ours = OAuthSession(
        token_url="https://auth.test/",
        client_id="c",
        origins=["https://a.test"],
        token={"access_token": "t"},
        store=MemoryStore(),
    )
    with ours, requests.Session() as plain:
        yield ours, plain


def outcome(session: requests.Session, asked: dict[str, Any]) -> object:
    """What would be sent, or how it fails; nothing that was given may change by it, now or when the result is changed."""
    try:
        request = requests.Request(**asked, auth=lambda prepared: prepared)
        before = repr((vars(request), session.headers, session.params))
        prepared = session.prepare_request(request)
        sent = prepared.method, prepared.url, list(prepared.headers.items()), prepared.body, dict(prepared._cookies)  # type: ignore[attr-defined]
        prepared.headers["X-Later"] = "changed"
        assert repr((vars(request), session.headers, session.params)) == before
    except AssertionError:
        raise
    except Exception as error:
        return repr(error)
    return sent


@settings(max_examples=1000)
@given(requested, kinds, st.none() | some_headers, params)
def test_what_is_sent_is_requests_own(
    sessions: tuple[OAuthSession, requests.Session], asked: dict[str, Any], kind: Any, lasting: Any, always: Any
) -> None:
    """For any headers, parameters, cookies and body of a call, and any of the session: what requests would send."""
    outcomes = []
    for session in sessions:
        session.headers = lasting if kind is None else kind(lasting or {})
        session.params = always if isinstance(always, dict) else {}
        outcomes.append(outcome(session, asked))
    assert outcomes[0] == outcomes[1]
