"""The blocks of a page, run as they stand, with a provider in place of the example hosts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from oauth_session.testing import FakeProvider

BLOCK = re.compile(r"^\.\. code-block:: python\n\n((?:    .*\n|\n)+)", re.MULTILINE)
NAMED = re.compile(r"^\.\. code-block:: (\w+)\n   :name: (\S+)\n\n((?:    .*\n|\n)+)", re.MULTILINE)


def blocks_of(page: Path) -> list[str]:
    """The Python blocks of a page, as they stand; those with a name are files, see `write_files`."""
    return list(map(_plain, BLOCK.findall(page.read_text())))


def files_of(page: Path) -> list[tuple[str, str, str]]:
    """Language, name and text of the blocks that are files."""
    return [(language, name, _plain(block)) for language, name, block in NAMED.findall(page.read_text())]


def run_snippets(
    page: Path, provider: FakeProvider, redis_url: str, more: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """In order and in one namespace, which is returned; only hosts, secrets and tokens are put in, `more` before others."""
    puts = _puts(provider, redis_url, more)
    blocks = blocks_of(page)
    assert blocks, page
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks:
        exec(compile(_put_in(block, puts), str(page), "exec"), namespace)
    return namespace


def write_files(page: Path, folder: Path, provider: FakeProvider, redis_url: str) -> None:
    """Each block with a name, as a file of that name."""
    puts = _puts(provider, redis_url)
    named = files_of(page)
    assert named, page
    for _, name, block in named:
        (folder / name).write_text(_put_in(block, puts) + "\n")


def _plain(block: str) -> str:
    return "\n".join(line[4:] for line in block.splitlines())


def _put_in(text: str, puts: Mapping[str, str]) -> str:
    for old, new in puts.items():
        text = text.replace(old, new)
    return text


def _puts(provider: FakeProvider, redis_url: str, more: Mapping[str, str] | None = None) -> dict[str, str]:
    pair = provider.issue()
    return {
        **(more or {}),
        "https://auth.example.com/token": provider.token_url,
        "https://api.example.com/v1/": provider.api_url,
        "https://api.example.com": provider.url,
        "redis://localhost:6379/0": redis_url,
        'client_id="app"': f'client_id="{provider.client_id}"',
        "the one from the login": pair["refresh_token"],
        '"access_token": "..."': f'"access_token": "{provider.issue()["access_token"]}"',
        '"refresh_token": "..."': f'"refresh_token": "{provider.issue()["refresh_token"]}"',
        **(more or {}),  # its place is the first, and so is its word
    }
