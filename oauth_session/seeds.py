"""Seeds (law 16): tokens from outside, as pairs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .errors import ConfigurationError, StoreError
from .ledger import Store
from .rules.record import Pair
from .tokens import Token

Seed = Token | Mapping[str, Any] | Callable[[str], Token | Mapping[str, Any] | None]


class SeedBox:
    """The seeds of one grant (law 16): what constructors brought, then what another program left in the store."""

    def __init__(
        self,
        store: Store,
        grant_id: str,
        read: Callable[..., Pair],
        finish: Callable[[Pair], Pair] | None = None,
    ) -> None:
        self._store, self._grant_id, self._read, self._finish = store, grant_id, read, finish
        self._seeds: list[Seed] = []

    def add(self, seeds: Sequence[Seed]) -> None:
        """Newer ones first; each once."""
        self._seeds[:0] = [seed for seed in seeds if seed not in self._seeds]
        del self._seeds[16:]

    def __call__(self, now: float) -> Sequence[Pair]:
        pairs = []
        for seed in self._seeds:
            value = seed(self._grant_id) if callable(seed) else seed
            if value is not None:
                pairs.append(self._read(value, now))
        left = self._store.inherited(self._grant_id)
        if left is not None and (pair := _inherited(left, self._grant_id, now, self._read)) is not None:
            pairs.append(pair)
        return [self._finish(pair) for pair in pairs] if self._finish else pairs


def pair_of(value: Token | Mapping[str, Any], now: float, *, just_issued: bool = False) -> Pair:
    """A token from outside as a pair.

    Args:
        just_issued: `expires_in` counts from now; otherwise nobody knows since when, and it is not read.
    """
    if isinstance(value, Token):
        return Pair.of(value, now)
    if not isinstance(value, Mapping):
        raise ConfigurationError("a token must be a Token or a mapping with access_token, refresh_token and so on")
    if not value.get("access_token") and is_text(value.get("refresh_token")):
        return Pair(refresh_token=value["refresh_token"])
    lifetime = value.get("expires_in")
    if just_issued and value.get("expires_at") is None and lifetime is not None:
        try:
            lifetime = float(lifetime)
        except (TypeError, ValueError):
            lifetime = 0.0
        if lifetime > 0:
            value = {**value, "expires_at": now + lifetime}
    return Pair.of(Token.from_mapping(value), now)


def _inherited(text: str, grant_id: str, now: float, read: Callable[..., Pair] = pair_of) -> Pair | None:
    try:
        value = json.loads(text)
        if not isinstance(value, dict):
            raise ValueError
        if "generation" in value and "refresh_token" not in value:
            return None  # our own mirror of the access token: the export key may be the same
        return read(value, now)
    except (ValueError, ConfigurationError):
        pass  # which holds the text: it must not be the context of ours
    raise StoreError(
        f"what another program left for grant {grant_id!r} under the import key is no JSON object with "
        "access_token and refresh_token; it was left alone"
    )


def is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""
