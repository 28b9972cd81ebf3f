"""Parsers of foreign bytes: whatever comes, each returns or fails in the one way it may."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fuzz.targets import SEEDS, TARGETS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("a"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def bent(seed: bytes) -> st.SearchStrategy[bytes]:
    """A seed with a piece cut out and another put in; JSON also with a member that is something else."""
    cuts = st.tuples(st.integers(0, len(seed)), st.integers(0, 8), st.binary(max_size=12))
    plain = cuts.map(lambda cut: seed[: cut[0]] + cut[2] + seed[cut[0] + cut[1] :])
    start = seed.find(b"{")
    if start < 0:
        return plain
    data = json.loads(seed[start:])
    members = st.tuples(st.sampled_from(sorted(data)), JSON)
    return plain | members.map(lambda new: seed[:start] + json.dumps(data | {new[0]: new[1]}).encode())


@pytest.mark.parametrize("name", TARGETS)
def test_foreign_bytes_do_no_harm(name: str) -> None:
    """Bytes, text, JSON and bent examples: no parser fails in any but its named way, nor loses what it took."""
    target = TARGETS[name]
    strategies = [
        st.binary(max_size=200),
        st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass")),
    ]
    strategies += [JSON.map(lambda value: json.dumps(value).encode()), *(bent(seed) for seed in SEEDS[name])]

    @settings(max_examples=150, deadline=2000, suppress_health_check=[HealthCheck.too_slow], database=None)
    @given(st.one_of(strategies))
    def check(data: bytes) -> None:
        target(data)

    check()


FOUND = [
    ("token_response", b"\xa2\x1f0"),  # Retry-After
    ("token_response", b'\x00{"access_token":"a","expires_in":"\\u001f1"}'),
    ("left_by_others", b'{"access_token":"a","scope":[null]}'),
    ("put_value", b'{"access_token":"a","scope":[null]}'),
    ("left_by_others", b'{"access_token":"a","extra":true}'),
    ("put_value", b'{"access_token":"a","extra":[1]}'),
    ("callback", b"http://["),
    ("interaction", b'Bearer error="insufficient_claims", claims="eyJhI"'),
    ("callback", b"\x80"),
    ("callback", b"?state=a\r-state-of-32-characters-or-more&code=a"),
]


@pytest.mark.parametrize(("name", "data"), FOUND)
def test_what_was_found(name: str, data: bytes) -> None:
    """Each input that once broke a parser breaks it no more."""
    TARGETS[name](data)
