"""What an API asks of the person, read from its challenges."""

from __future__ import annotations

import base64
import pickle

import pytest

from oauth_session.rules.interaction import interaction_of

CLAIMS = '{"access_token":{"acrs":{"essential":true,"value":"c1"}}}'


def test_step_up() -> None:
    """D10: RFC 9470 3, the authentication that is wanted, as an error that survives a pickle and begins the next login."""
    header = 'Bearer error="insufficient_user_authentication", acr_values="strong phr", max_age="5"'
    error = interaction_of([header])
    assert error is not None
    again = pickle.loads(pickle.dumps(error))
    for each in (error, again):
        assert (each.error, each.acr_values, each.max_age) == ("insufficient_user_authentication", "strong phr", 5)
        assert each.params() == {"acr_values": "strong phr", "max_age": "5"}


@pytest.mark.parametrize("text", [base64.b64encode(CLAIMS.encode()).decode(), CLAIMS.replace('"', '\\"')])
def test_claims(text: str) -> None:
    """D10: a claims challenge, in base64 as Microsoft sends it or plain, comes out as JSON."""
    error = interaction_of([f'Bearer realm="", error="insufficient_claims", claims="{text}"'])
    assert error is not None
    assert error.params() == {"claims": CLAIMS}


@pytest.mark.parametrize("text", ["!!!", "bm8=", "[]", "\u00e9"])
def test_claims_that_are_none(text: str) -> None:
    """D10: what is no JSON object is not carried into a login."""
    error = interaction_of([f'Bearer error="insufficient_claims", claims="{text}"'])
    assert error is not None
    assert error.claims is None


def test_scope_and_metadata() -> None:
    """D4, F8: the wanted scope, and where the API describes itself."""
    url = "https://api.test/.well-known/oauth-protected-resource"
    error = interaction_of([f'Bearer error="insufficient_scope", scope="a b", resource_metadata="{url}"'])
    assert error is not None
    assert (error.params(), error.resource_metadata) == ({"scope": "a b"}, url)


@pytest.mark.parametrize("header", ['Bearer error="invalid_token"', "Bearer", "Basic realm=x", ""])
def test_other_refusals(header: str) -> None:
    """D3, D6: an ended token is no interaction."""
    assert interaction_of([header]) is None
