"""For tests of programs that use OAuth: a provider on a real socket that rotates, detects reuse and breaks on demand."""

from __future__ import annotations

from .answers import Answer
from .cassettes import cassette_filters
from .minted import LIFETIME, NOTHING
from .model import ProviderModel
from .provider import FakeProvider

__all__ = ["LIFETIME", "NOTHING", "Answer", "FakeProvider", "ProviderModel", "cassette_filters"]
