"""A redis client from a URL, with timeouts; and what its errors mean, in plain words."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as LostConnection
from redis.retry import Retry

from ..errors import ConfigurationError
from ..policy import STORE_TIMEOUT
from ..rules.origins import is_loopback

_redis: Any = redis  # half of it is untyped


_WORDS = {
    "WRONGTYPE": "a key of ours holds another type; it was left alone: choose another prefix, or delete the key",
    "OOM": "it is out of memory and writes nothing: raise maxmemory; never evict these keys (noeviction)",
    "READONLY": "this is a read-only replica: connect to the primary",
    "MISCONF": "it cannot save to disk and refuses to write: see its log",
    "NOPERM": "its ACL forbids the commands or the keys: allow hash commands, eval and the key prefix",
    "NOAUTH": "it wants a password: put it into the URL",
    "WRONGPASS": "it refuses the user name or the password",
    "LOADING": "it is still loading its data",
}


def says(error: Exception) -> str:
    """What is wrong in plain words; an error's own message may quote the URL, or the command with the record in it."""
    said = str(error)
    for word, words in _WORDS.items():
        if said.startswith(word) or f" {word} " in said[:200]:
            return words
    kind = type(error).__name__
    for word, words in (("OutOfMemory", "OOM"), ("ReadOnly", "READONLY"), ("NoPermission", "NOPERM")):
        if kind.startswith(word):
            return _WORDS[words]
    if kind.startswith("Auth"):
        return _WORDS["WRONGPASS"]
    return f"it cannot be reached or does not answer in time ({kind})"


def client_of(url: str) -> Any:
    """A client with timeouts: redis-py's own defaults block for a minute on a black hole.

    A lost connection is tried once more; a timeout is not, since the next answer would be as late.
    """
    options: dict[str, Any] = {
        "socket_timeout": STORE_TIMEOUT,
        "socket_connect_timeout": STORE_TIMEOUT,
        "retry": Retry(NoBackoff(), 1, (LostConnection,)),
        "health_check_interval": 30,
    }
    scheme = url.partition(":")[0].lower()
    try:
        if scheme in ("redis+sentinel", "redis+cluster"):
            return _several(url, scheme, options)
        return _redis.Redis.from_url(url, **options)
    except (ValueError, TypeError):
        pass  # its message may quote the URL, so it must not be the context of ours
    raise ConfigurationError("the Redis URL cannot be used: check host, port and database; see RedisStore")


def _several(url: str, scheme: str, options: dict[str, Any]) -> Any:
    parts = urlsplit(url)
    hosts = parts.netloc.rpartition("@")[2].split(",")
    nodes = [(host.rpartition(":")[0].strip("[]"), int(host.rpartition(":")[2])) for host in hosts]
    who = {"username": unquote(parts.username or "") or None, "password": unquote(parts.password or "") or None}
    if scheme == "redis+cluster":
        startup = [_redis.cluster.ClusterNode(host, port) for host, port in nodes]
        return _redis.RedisCluster(startup_nodes=startup, **who, **options)
    name, _, db = parts.path.strip("/").partition("/")
    sentinel = _redis.Sentinel(nodes, socket_timeout=STORE_TIMEOUT, socket_connect_timeout=STORE_TIMEOUT)
    return sentinel.master_for(name or "mymaster", db=int(db or 0), **who, **options)


def is_in_clear(client: Any) -> bool:
    """Whether commands go to another machine without TLS; what cannot be told is taken for safe."""
    if isinstance(client, _redis.RedisCluster):
        nodes, options = (
            client.get_nodes() or client.nodes_manager.startup_nodes.values(),
            client.get_connection_kwargs(),
        )
        hosts, safe = [node.host for node in nodes], options.get("ssl", False)
    else:
        pool = getattr(client, "connection_pool", None)
        kind, options = getattr(pool, "connection_class", None), getattr(pool, "connection_kwargs", {})
        sentinels = getattr(getattr(pool, "sentinel_manager", None), "sentinels", ())
        hosts = [options.get("host"), *(one.connection_pool.connection_kwargs.get("host") for one in sentinels)]
        safe = isinstance(kind, type) and issubclass(kind, _redis.SSLConnection | _redis.UnixDomainSocketConnection)
    return not safe and any(
        host and not is_loopback(f"http://{host if ':' not in host else f'[{host}]'}") for host in hosts
    )
