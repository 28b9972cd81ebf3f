"""Stores: where the records of grants are kept. Neither redis nor sqlite3 is imported before it is needed."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Any

from ..child import at_birth
from ..errors import ConfigurationError
from .memory import MemoryStore

if TYPE_CHECKING:
    from .redis import RedisStore
    from .sqlite import SQLiteStore

__all__ = ["MemoryStore", "RedisStore", "SQLiteStore", "open_store"]

_ACCEPTED = (
    'store must be "memory:", "sqlite:///path", a "redis://", "rediss://" or "unix://" URL, "redis+sentinel://", '
    '"redis+cluster://", a redis client or a store object'
)


def __getattr__(name: str) -> Any:
    if name == "SQLiteStore":
        from .sqlite import SQLiteStore

        return SQLiteStore
    if name == "RedisStore":
        from .redis import RedisStore

        return RedisStore
    raise AttributeError(name)


def open_store(spec: Any) -> Any:
    """The store of a URL, of a redis client, or the store itself; one per URL and process.

    Raises:
        ConfigurationError: it is none of these.
    """
    if isinstance(spec, str):
        with _lock:
            store = _opened.get(spec)
            if store is None:
                store = _opened.setdefault(spec, _open(spec))
            return store
    if hasattr(spec, "load") and hasattr(spec, "swap"):
        return spec
    if hasattr(spec, "execute_command") and hasattr(spec, "register_script"):
        with _lock:
            store = _wrapped.get(id(spec))
            if store is None or store.client is not spec:
                from .redis import RedisStore

                store = _wrapped[id(spec)] = RedisStore(spec)
            return store
    raise ConfigurationError(f"{_ACCEPTED}; not {type(spec).__name__}")


def _open(url: str) -> Any:
    scheme = url.partition(":")[0].lower()
    if scheme == "memory":
        return _memory
    if scheme == "sqlite":
        path = url[len("sqlite:") :]
        path = path[3:] if path.startswith("///") else path
        if not path or path.startswith(("//", ":memory:")):
            raise ConfigurationError("a SQLite store is sqlite:///relative/path or sqlite:////absolute/path")
        from .sqlite import SQLiteStore

        return SQLiteStore(path)
    if scheme in ("redis", "rediss", "unix", "redis+sentinel", "redis+cluster"):
        from .redis import RedisStore

        return RedisStore(url)
    raise ConfigurationError(f"{_ACCEPTED}; not {scheme[:20]!r}:")


_memory = MemoryStore()
_lock = threading.RLock()  # guards the two tables; a signal handler may come in again
_opened: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()
_wrapped: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()


def _after_fork() -> None:
    global _lock
    _lock = threading.RLock()


at_birth(_after_fork)
