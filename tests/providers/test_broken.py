"""Broken profiles: the error names file, field and reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from oauth_session import ConfigurationError, OAuthSession
from oauth_session.providers import load_profile
from oauth_session.providers.schema import CHECKS

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
    "a number without an end": ("lifetime = inf", "lifetime", "number of seconds"),
    "a number beyond all bounds": (f"reuse_grace = 1{'0' * 400}", "reuse_grace", "number of seconds"),
    "new tokens that are none": (
        '[[examples]]\nof = "refresh_granted"\nstatus = 200\nbody = "[]"',
        "examples: example 1",
        "a JSON object",
    ),
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
    "a domain under which names are sold": ("label", "https://{x}.co.uk/token"),
    "another such": ("label", "https://api-{x}.com.au/token"),
    "the scheme": ("label", "{x}://example.com/token"),
    "behind letters": ("label", "https://api{x}.example.com/token"),
    "two in a row": ("label", "https://{x}{x}.example.com/token"),
    "a backslash": ("label", "https://{x}\\\\.example.com/token"),
    "an address": ("label", "https://{x}.1.2.3.4/token"),
    "brackets": ("label", "https://[{x}]/token"),
    "a dot at the end": ("label", "https://{x}.example.com./token"),
    "a user": ("label", "https://u@{x}.example.com/token"),
    "an escape": ("label", "https://{x}.example.com%2eevil.com/token"),
    "letters that are no letters": ("label", "https://{x}.exämple.com/token"),
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
        *("evil.com", "a%2eb", "[::1]", "a.", "a\x00", "\uff41", "a\u3002b", "a\u2024b", "acme\u200b", "_a", "a-"),
    ],
)
def test_a_value_cannot_change_the_host(value: Any) -> None:
    """One part of a host name is all that a label can be."""
    profile = {"token_url": "https://{shop}.example.com/token", "params": {"shop": {"kind": "label"}}}
    with pytest.raises(ConfigurationError, match="provider_params: shop must be one part of a host name"):
        OAuthSession(provider=profile, provider_params={"shop": value}, client_id="c", refresh_token="r")


@pytest.mark.parametrize(
    "value", ["..", ".", "a/b", "%2e%2e", "a?b", "a#b", "a;b", "", "a\n", "a" * 201, "\u00e4", None]
)
def test_a_value_cannot_change_the_path(value: Any) -> None:
    """One part of it is all that a segment can be."""
    profile = {"token_url": "https://example.com/{tenant}/token", "params": {"tenant": {"kind": "segment"}}}
    with pytest.raises(ConfigurationError, match="provider_params: tenant must be one part of a path"):
        OAuthSession(provider=profile, provider_params={"tenant": value}, client_id="c", refresh_token="r")


@pytest.mark.parametrize(
    "value", ["a", "a.b.", "1.2.3.4", "a..b", "-a.com", "evil.com:1", "u@evil.com", "a.com/x", "a.com#", ""]
)
def test_a_host_is_a_host_and_nothing_else(value: str) -> None:
    """Neither address, port nor user."""
    profile = {"token_url": "https://{host}/token", "params": {"host": {"kind": "host"}}}
    with pytest.raises(ConfigurationError, match="provider_params: host must be a host name and nothing else"):
        OAuthSession(provider=profile, provider_params={"host": value}, client_id="c", refresh_token="r")


def test_a_field_that_is_overridden_is_checked_with_the_others() -> None:
    """Placeholders of the base cannot be made to mean more."""
    for change in ({"params": {"shop": {"kind": "host"}}}, {"token_url": "https://{shop}/token"}, {"params": {}}):
        with pytest.raises(ConfigurationError, match="provider: token_url: "):
            load_profile({"extends": "shopify"} | change)


NO_VALUES: list[Any] = [
    None,
    1,
    "x",
    [],
    {},
    [1],
    [None],
    {"a": 1},
    {1: 2},
    [{}],
    object(),
    b"x",
    10**400,
    float("nan"),
    "{x}",
]


def complaint(field: str, value: Any) -> str:
    try:
        load_profile({field: value})
    except ConfigurationError as error:
        return str(error)
    return f"provider: {field}"


@pytest.mark.parametrize("field", [*CHECKS, "extends"])
def test_whatever_stands_in_a_field_is_read_or_refused_with_its_name(field: str) -> None:
    """No other error, and file and field are named."""
    said = [complaint(field, value) for value in NO_VALUES]
    assert [text for text in said if not text.startswith("provider: ") or field not in text] == []
    assert any(text != f"provider: {field}" for text in said)


@pytest.mark.parametrize("values", [7, "shop", [("shop", "acme")]])
def test_the_values_are_a_mapping(values: Any) -> None:
    """And nothing that could be taken for one."""
    with pytest.raises(ConfigurationError, match="provider_params must map"):
        OAuthSession(provider="shopify", provider_params=values, client_id="c", refresh_token="r")


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
