"""`WWW-Authenticate`, read as RFC 9110 section 11.6.1 says and as servers write it."""

from __future__ import annotations

from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth_session.rules.challenges import Challenge, parse_challenges

TOKEN = st.text("abcXYZ019!#$%&'*+-.^_`|~", min_size=1, max_size=8)
VALUE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF), max_size=20)


def read(*values: str) -> list[tuple[str, dict[str, str], str | None]]:
    return [(c.scheme, dict(c.params), c.token68) for c in parse_challenges(values)]


def test_the_example_of_the_standard() -> None:
    """RFC 9110 section 11.6.1: a comma parts challenges and parameters in one header."""
    assert read('Basic realm="simple", Newauth realm="apps", type=1, title="Login to \\"apps\\""') == [
        ("basic", {"realm": "simple"}, None),
        ("newauth", {"realm": "apps", "type": "1", "title": 'Login to "apps"'}, None),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Negotiate", [("negotiate", {}, None)]),
        ("Negotiate, NTLM", [("negotiate", {}, None), ("ntlm", {}, None)]),
        ("Negotiate YWJj==, Bearer", [("negotiate", {}, "YWJj=="), ("bearer", {}, None)]),
        ("Negotiate YWJj, Basic realm=x", [("negotiate", {}, "YWJj"), ("basic", {"realm": "x"}, None)]),
        ("BEARER  Error = \t invalid_token", [("bearer", {"error": "invalid_token"}, None)]),
        (',, ,Bearer , , realm="a" ,,error=b,', [("bearer", {"realm": "a", "error": "b"}, None)]),
        ('Bearer realm="a, Basic b=\\"c\\"", x=y', [("bearer", {"realm": 'a, Basic b="c"', "x": "y"}, None)]),
        ('Bearer realm=""', [("bearer", {"realm": ""}, None)]),
        (
            "Bearer authorization_uri=https://a.test/x?y=z, error=invalid_token",
            [("bearer", {"authorization_uri": "https://a.test/x?y=z", "error": "invalid_token"}, None)],
        ),
        ('Bearer realm="a" error="b"', [("bearer", {"realm": "a", "error": "b"}, None)]),
        ('Bearer realm="a"; error="b"', [("bearer", {"realm": "a", "error": "b"}, None)]),
        ('realm="nobody\'s", Bearer x=y', [("bearer", {"x": "y"}, None)]),
        ('Bearer realm="a", error="cut off', [("bearer", {"realm": "a"}, None)]),
        ("", []),
        (' , "x', []),
        ("\u20ac\x00=\xff", []),
    ],
)
def test_what_servers_write(text: str, expected: list[object]) -> None:
    """RFC 9110 section 11: bad whitespace, empty elements, token68, quoting; and what comes near them."""
    assert read(text) == expected


def test_several_headers_are_as_good_as_one_that_joins_them() -> None:
    """RFC 9110 section 5.3: repeated headers and the same joined by ", " (as urllib3 does) give the same."""
    values = ['Bearer realm="a", error="invalid_token"', "Negotiate abc=", 'DPoP algs="ES256 PS256"']
    assert read(*values) == read(", ".join(values))
    assert [c.scheme for c in parse_challenges(values)] == ["bearer", "negotiate", "dpop"]


@pytest.mark.parametrize("count", [2, 3, 4])
def test_a_repeated_error_says_nothing(count: int) -> None:
    """RFC 6750 section 3: error comes at most once; a malformed challenge carries none, the next is untouched."""
    first, second = parse_challenges(["Bearer " + ", ".join(["ERROR=a"] * count) + ", realm=x, DPoP error=b"])
    assert (first.error, dict(first.params), second.error) == (None, {"realm": "x"}, "b")


def test_parameters_follow_only_their_own_challenge() -> None:
    """RFC 9110 section 11.6.1: a parameter in a new header without a scheme belongs to nobody."""
    assert read("Bearer realm=a", "error=invalid_token") == [("bearer", {"realm": "a"}, None)]


@given(st.lists(st.text(max_size=200) | st.text('Bearer ,="\\\\\t;', max_size=60), max_size=5))
def test_foreign_text_never_fails(values: list[str]) -> None:
    """RFC 9110 section 11.6.1: whatever the header says, reading it does not raise, and names come in lower case."""
    for challenge in parse_challenges(values):
        assert challenge.scheme == challenge.scheme.lower() != ""
        assert all(name == name.lower() for name in challenge.params)


@given(st.lists(st.tuples(TOKEN, st.dictionaries(TOKEN.map(str.lower), VALUE, min_size=1, max_size=4)), max_size=4))
def test_what_is_written_well_is_read_back(challenges: list[tuple[str, dict[str, str]]]) -> None:
    """RFC 9110 section 5.6.4: quoted strings come back as they were before the escaping."""
    written = []
    for scheme, params in challenges:
        quoted = ", ".join(
            '{}="{}"'.format(name, value.replace("\\", "\\\\").replace('"', '\\"')) for name, value in params.items()
        )
        written.append(f"{scheme} {quoted}")
    expected = tuple(Challenge(scheme.lower(), params) for scheme, params in challenges)
    assert parse_challenges([", ".join(written)]) == expected


@pytest.mark.parametrize(
    "piece", ['"', "\\", 'a="', "a ", "a=", "a\t", ",", "=", 'a="\\', "a=\\,", '"\\"a', "é", "a", " "]
)
def test_a_hostile_header_costs_no_more_than_its_length(piece: str) -> None:
    """RFC 9110 section 11.6.1: a header of 400,000 characters is read in about a second."""
    start = perf_counter()
    for text in (piece * (400_000 // len(piece)), "Bearer " + piece * (400_000 // len(piece)) + '"'):
        parse_challenges([text])
    assert perf_counter() - start < 20
