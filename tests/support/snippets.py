"""The Python blocks of a page, run as they stand, with a provider in place of the example hosts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from oauth_session.testing import FakeProvider


def run_snippets(page: Path, provider: FakeProvider, redis_url: str) -> dict[str, Any]:
    """In order and in one namespace, which is returned; only hosts, secrets and tokens are put in."""
    puts = _puts(provider, redis_url)
    blocks = re.findall(r"\.\. code-block:: python\n\n((?:    .*\n|\n)+)", page.read_text())
    assert blocks, page
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks:
        exec(compile(_put_in(block, puts), str(page), "exec"), namespace)
    return namespace


def write_files(page: Path, folder: Path, provider: FakeProvider, redis_url: str) -> None:
    """Each block with a name, as a file of that name."""
    puts = _puts(provider, redis_url)
    named = re.findall(r"\.\. code-block:: \w+\n   :name: (\S+)\n\n((?:    .*\n|\n)+)", page.read_text())
    assert named, page
    for name, block in named:
        (folder / name).write_text(_put_in(block, puts) + "\n")


def _put_in(block: str, puts: dict[str, str]) -> str:
    text = "\n".join(line[4:] for line in block.splitlines())
    for old, new in puts.items():
        text = text.replace(old, new)
    return text


def _puts(provider: FakeProvider, redis_url: str) -> dict[str, str]:
    pair = provider.issue()
    return {
        "https://auth.example.com/token": provider.token_url,
        "https://api.example.com/v1/": provider.api_url,
        "https://api.example.com": provider.url,
        "redis://localhost:6379/0": redis_url,
        'client_id="app"': f'client_id="{provider.client_id}"',
        "the one from the login": pair["refresh_token"],
        '"access_token": "..."': f'"access_token": "{provider.issue()["access_token"]}"',
        '"refresh_token": "..."': f'"refresh_token": "{provider.issue()["refresh_token"]}"',
    }
