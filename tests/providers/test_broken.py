"""Broken profiles: the error names file, field and reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from oauth_session import ConfigurationError, OAuthSession
from oauth_session.providers import load_profile

BROKEN: dict[str, tuple[str, str, str]] = {
    "an unknown field": ('expired_if = "always"', "expired_if", "there is no such field"),
    "a bad path": (
        '[[expired_when]]\nstatus = 403\npath = "errors[].details"\nequals = "x"',
        "expired_when: rule 1",
        "path must be like",
    ),
    "free text": ('[[expired_when]]\nstatus = 403\nmatches = "expired"', "expired_when: rule 1", "has no key"),
    "a status alone": (
        "[[expired_when]]\nstatus = 403",
        "expired_when: rule 1",
        "a status alone belongs in refresh_on",
    ),
    "a status that is none": ("refresh_on = [4010]", "refresh_on", "100 to 599"),
    "no number": ('reuse_grace = "ten"', "reuse_grace", "number of seconds"),
    "a grace without rotation": ('rotation = "none"\nreuse_grace = 30', "reuse_grace", "needs no grace"),
    "a word that is none": ('rotation = "often"', "rotation", "must be one of none, maybe, always"),
    "a source without a word": ('lifetime = 60\n[sources]\nlifetime = "docs"', "sources: lifetime", "verified: where"),
    "a source of nothing": ('[sources]\nlifetime = "verified: docs"', "sources: lifetime", "is not given"),
    "plain http": ('token_url = "http://example.com/token"', "token_url", "must be https"),
    "a user in the URL": ('token_url = "https://me@example.com/token"', "token_url", "must not have a user"),
    "an unknown placeholder": ('token_url = "https://{shop}.example.com/token"', "token_url", "shop"),
    "a header that is none": ('header = "X Token"', "header", "name of a header"),
    "an example that is judged wrongly": (
        '[[examples]]\nof = "permission"\nstatus = 401\nbody = "no"\nsource = "verified: x"',
        "examples",
        "the rules say",
    ),
    "no TOML": ("rotation = always", "is no TOML", ""),
    "extends nothing": ('extends = "nobody"', "extends", "must be one of"),
}
# Placeholders with which a value could change the host.
SMUGGLERS = {
    "a segment in the host": ("segment", "https://{x}.example.com/token"),
    "a value in the host": ("value", "https://{x}.example.com/token"),
    "the end of the host": ("label", "https://api.{x}/token"),
    "a host with more around it": ("host", "https://{x}.example.com/token"),
    "no fixed domain behind it": ("label", "https://{x}.com/token"),
    "the port": ("label", "https://example.com:{x}/token"),
}


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(("text", "field", "reason"), BROKEN.values(), ids=BROKEN)
def test_the_error_names_file_field_and_reason(text: str, field: str, reason: str, tmp_path: Path) -> None:
    """So that it can be mended without reading our code."""
    with pytest.raises(ConfigurationError) as caught:
        load_profile(written(tmp_path, text))
    assert str(caught.value).startswith("mine.toml: ")
    assert field in str(caught.value) and reason in str(caught.value)


@pytest.mark.parametrize(("kind", "url"), SMUGGLERS.values(), ids=SMUGGLERS)
@pytest.mark.parametrize("field", ["token_url", "refresh_url", "origins"])
def test_a_template_cannot_let_a_value_choose_the_host(kind: str, url: str, field: str, tmp_path: Path) -> None:
    """Found when the profile is loaded, whatever the values will be."""
    url = url.removesuffix("/token") if field == "origins" else url
    value = f'["{url}"]' if field == "origins" else f'"{url}"'
    with pytest.raises(ConfigurationError, match=rf"mine\.toml: {field}: "):
        load_profile(written(tmp_path, f'{field} = {value}\n[params.x]\nkind = "{kind}"\n'))


@pytest.mark.parametrize(
    "value",
    [
        *(
            "evil.com/",
            "evil.com#",
            "evil.com?",
            "a.b",
            "a@b",
            "a:1",
            "",
            "..",
            "a\n",
            "ä",
            "a/b",
            "%2f",
            " acme",
            "-acme",
        ),
        *("acme.myshopify.com", "evil.com\\", "x" * 64, None, 7, ["acme"]),
    ],
)
def test_a_value_cannot_change_the_host(value: Any) -> None:
    """One part of a host name is all that a label can be."""
    profile = {"token_url": "https://{shop}.example.com/token", "params": {"shop": {"kind": "label"}}}
    with pytest.raises(ConfigurationError, match="provider_params: shop must be one part of a host name"):
        OAuthSession(provider=profile, provider_params={"shop": value}, client_id="c", refresh_token="r")


def test_a_missing_and_an_unknown_value_are_named() -> None:
    """Which, and what there is."""
    profile = {"token_url": "https://{shop}.example.com/token", "params": {"shop": {"kind": "label"}}}
    with pytest.raises(ConfigurationError, match="provider_params: shop must be given"):
        OAuthSession(provider=profile, client_id="c", refresh_token="r")
    with pytest.raises(ConfigurationError, match="there is no 'store'; it has shop"):
        OAuthSession(provider=profile, provider_params={"store": "x"}, client_id="c", refresh_token="r")


def test_an_unknown_provider_is_an_error_that_says_what_to_do() -> None:
    """No silent default."""
    with pytest.raises(ConfigurationError, match="there is no 'zero'; `oauth-session providers` lists"):
        OAuthSession(provider="zero", client_id="c", refresh_token="r")
    with pytest.raises(ConfigurationError, match=r"nowhere\.toml: cannot be read"):
        OAuthSession(provider="nowhere.toml", client_id="c", refresh_token="r")
    with pytest.raises(ConfigurationError, match="provider must be a name, the path of a TOML file, or a dict"):
        OAuthSession(provider=7, client_id="c", refresh_token="r")  # type: ignore[arg-type]
