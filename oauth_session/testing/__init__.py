"""For tests of programs that use this package: a provider on a real socket, and the contract of stores."""

from .model import ProviderModel
from .provider import FakeProvider

__all__ = ["FakeProvider", "ProviderModel"]
