"""Records in Redis or Valkey: for many machines. One hash per grant, in one slot; its clock is the server's."""

from __future__ import annotations

import inspect
import os
import time
from collections.abc import Callable
from typing import Any

import redis
from redis.exceptions import RedisError

from ..errors import ConfigurationError, StoreError
from ..policy import FRESHNESS, REST
from .redis_client import client_of, is_in_clear, says
from .redis_push import Subscriber, shard_of
from .values import GrantKey, Snapshot, Swapped

_redis: Any = redis  # half of it is untyped
_POLL_FIRST, _POLL_MOST = 0.01, 0.1  # seconds

# KEYS[1]: the grant's hash.
# -> revision and record ('' and '' when there is none), seconds and microseconds of the server's clock.
_LOAD = """
local there = redis.call('HMGET', KEYS[1], 'revision', 'record')
local now = redis.call('TIME')
return {there[1] or '', there[2] or '', now[1], now[2]}
"""

# KEYS[1]: the grant's hash; KEYS[2], optional: where the access token is mirrored.
# ARGV: expected revision, new revision, record, mirror; channel and message, or '' where nobody need be told.
# -> as above, what is there now. The write stands if that is the new revision. A resend after a lost reply finds it
# there already and changes nothing, so redis-py may resend as it likes. Telling comes last and by pcall: an ACL without the
# channel must not undo the write.
_SWAP = """
local there = redis.call('HMGET', KEYS[1], 'revision', 'record')
local now = redis.call('TIME')
if (there[1] or '') == ARGV[1] then
    redis.call('HSET', KEYS[1], 'revision', ARGV[2], 'record', ARGV[3])
    if KEYS[2] then redis.call('SET', KEYS[2], ARGV[4]) end
    if ARGV[5] ~= '' then redis.pcall('PUBLISH', ARGV[5], ARGV[6]) end
    return {ARGV[2], ARGV[3], now[1], now[2]}
end
return {there[1] or '', there[2] or '', now[1], now[2]}
"""

Template = str | Callable[[str], str]


class RedisStore:
    """Safe for threads and processes; redis-py opens new connections after a fork.

    Args:
        server: a URL (``redis://``, ``rediss://``, ``unix://``, ``redis+sentinel://h:p,h:p/name``,
            ``redis+cluster://h:p,h:p``) or a client object of your own, which is used as it is, with its own timeouts.
        prefix: of the keys; the rest of a key is a hash, never a name or a secret.
        import_key: where another program left a grant as JSON with access_token and refresh_token: a template with
            ``{grant_id}``, or a callable. Read once; from then on this store's record is the only truth.
        export_key: where the access token, never the refresh token, is mirrored as JSON for programs that only read; in
            clear, so that beside `keys=` it has to be asked for.
    """

    name = "redis"
    shared = True

    def __init__(
        self,
        server: Any,
        *,
        prefix: str = "oauth-session:",
        import_key: Template | None = None,
        export_key: Template | None = None,
    ) -> None:
        if inspect.iscoroutinefunction(getattr(server, "execute_command", None)):
            raise ConfigurationError("this is a redis.asyncio client: give a redis.Redis or RedisCluster, or a URL")
        self.client: Any = client_of(server) if isinstance(server, str) else server
        self._url = server if isinstance(server, str) else None
        self._prefix, self._import, self._export = prefix, _template(import_key), _template(export_key)
        self._templates = (import_key, export_key)
        if self._export is not None and isinstance(self.client, _redis.RedisCluster):
            raise ConfigurationError("export_key needs the record and its mirror in one slot: not on a Redis Cluster")
        self._load = self.client.register_script(_LOAD)
        self._swap = self.client.register_script(_SWAP)
        self._push: tuple[int, Subscriber] | None = None

    def __repr__(self) -> str:
        return f"<RedisStore prefix={self._prefix!r}>"

    def __reduce__(self) -> tuple[Any, ...]:
        if self._url is None:
            raise TypeError("a RedisStore made from a client object cannot be pickled: make it from a URL")
        return _remade, (self._url, self._prefix, *self._templates)

    @property
    def exports(self) -> bool:
        """Whether access tokens are mirrored where others read them."""
        return self._export is not None

    @property
    def in_clear(self) -> bool:
        """Whether what is stored crosses a network without TLS."""
        return is_in_clear(self.client)

    @property
    def rest(self) -> float:
        """Seconds that a record rests after it was brought in, until a newer holder has been told, or has looked."""
        return REST if self._push and self._push[1].hears() else FRESHNESS

    def watch(self, key: GrantKey, told: Callable[[str], None]) -> None:
        """Call the bound method `told` after each commit by anybody, for as long as its object lives."""
        self._subscriber().watch(key.digest, told)

    def is_told(self, key: GrantKey) -> bool:
        """Whether a watcher need not look by itself."""
        return self._subscriber().alive(key.digest)

    def _subscriber(self) -> Subscriber:
        push = self._push
        if push is None or push[0] != os.getpid():
            self._push = push = (os.getpid(), Subscriber(self.client, self._prefix))
        return push[1]

    def load(self, key: GrantKey) -> Snapshot:
        """The text, its revision and the server's clock."""
        return self._look(key, lambda: self._load(keys=[self._prefix + key.digest]))

    def swap(
        self, key: GrantKey, expected: str, revision: str, text: str, mirror: str | None = None, tell: bool = True
    ) -> Swapped:
        """Write if the revision is still `expected`, or already `revision`."""
        keys = [self._prefix + key.digest]
        if self._export is not None and mirror is not None:
            keys.append(self._export(key.grant_id))
        channel = shard_of(self._prefix, key.digest) if tell else ""
        args = [expected, revision, text, mirror or "", channel, f"{key.digest} {revision}"]
        snapshot = self._look(key, lambda: self._swap(keys=keys, args=args))
        return Swapped(snapshot.revision == revision, snapshot)

    def _look(self, key: GrantKey, command: Callable[[], Any]) -> Snapshot:
        subscriber = self._subscriber()
        count = subscriber.count(key.digest)
        snapshot = self._snapshot(key, self._run(command))
        subscriber.looked(key.digest, snapshot.revision, count)
        return snapshot

    def wait(self, key: GrantKey, revision: str, timeout: float) -> None:
        """Return once the revision is another, or after `timeout` seconds."""
        end, pause = time.monotonic() + timeout, _POLL_FIRST
        subscriber = self._subscriber()
        while subscriber.alive(key.digest):
            left = end - time.monotonic()
            if left <= 0 or subscriber.wait(key.digest, revision, min(left, 0.25)):
                return
        while True:
            left = end - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(pause, left))
            pause = min(pause * 1.5, _POLL_MOST)
            there = self._run(lambda: self.client.hget(self._prefix + key.digest, "revision"))
            if (_text(there) or "") != revision:
                return

    def scan(self, cursor: str | None, count: int = 100) -> tuple[list[str], str | None]:
        """Some texts, and the cursor of the next; a record may come twice if it changes meanwhile (SCAN's promise)."""
        if isinstance(self.client, _redis.RedisCluster):
            return self._scan_cluster(cursor, count)
        at, keys = self._run(
            lambda: self.client.scan(int(cursor or 0), match=_escaped(self._prefix) + "*", count=count)
        )
        return self._texts(keys), str(at) if int(at) else None

    def inherited(self, grant_id: str) -> str | None:
        """What another program left under the import key."""
        if self._import is None:
            return None
        name = self._import(grant_id)
        return _text(self._run(lambda: self.client.get(name)))

    def close(self) -> None:
        """Close the connections of a client that we made; they are opened again when needed."""
        if self._push is not None and self._push[0] == os.getpid():
            self._push[1].stop()
        if self._url is not None:
            self.client.close()

    def _scan_cluster(self, cursor: str | None, count: int) -> tuple[list[str], str | None]:
        """One node after the other; the cursor is ``host:port/cursor``."""
        nodes = {f"{node.host}:{node.port}": node for node in self.client.get_primaries()}
        names = sorted(nodes)
        name, _, at = (cursor or f"{names[0]}/0").rpartition("/")
        node, match = nodes.get(name), _escaped(self._prefix) + "*"
        if node is None:
            raise StoreError("the Redis Cluster has changed while its grants were listed: list them again")
        cursors, keys = self._run(lambda: self.client.scan(int(at), match=match, count=count, target_nodes=node))
        following = int(next(iter(cursors.values())))
        if not following:
            name = next((n for n in names if n > name), "")
        return self._texts(keys), f"{name}/{following}" if name else None

    def _texts(self, keys: list[Any]) -> list[str]:
        if not keys:
            return []

        def read() -> list[Any]:
            with self.client.pipeline(transaction=False) as pipe:
                for key in keys:
                    pipe.hget(key, "record")
                found: list[Any] = pipe.execute(raise_on_error=False)
                return found

        return [text for value in self._run(read) if isinstance(value, str | bytes) and (text := _text(value))]

    def _snapshot(self, key: GrantKey, reply: Any) -> Snapshot:
        try:
            revision, text, seconds, micros = (_text(item) for item in reply)
        except UnicodeDecodeError:
            revision, text, seconds, micros = "damaged", "", "0", "0"
        now = float(seconds or 0) + float(micros or 0) / 1e6
        if not revision and not text:
            return Snapshot(None, "", now)
        if not revision or not text:
            raise StoreError(
                f"the hash {self._prefix}{key.digest} in Redis lacks revision or record; it was left alone: restore or "
                "delete it"
            )
        return Snapshot(text, revision, now)

    def _run(self, command: Callable[[], Any]) -> Any:
        try:
            return command()
        except (RedisError, OSError, UnicodeDecodeError) as error:
            wrong = says(error)
        raise StoreError(f"the Redis store: {wrong}")  # here: the other error may quote a command, and with it a record


def _remade(url: str, prefix: str, import_key: Template | None, export_key: Template | None) -> RedisStore:
    return RedisStore(url, prefix=prefix, import_key=import_key, export_key=export_key)


def _template(value: Template | None) -> Callable[[str], str] | None:
    if value is None or callable(value):
        return value
    if "{grant_id}" not in value:
        raise ConfigurationError("import_key and export_key must contain {grant_id}, or be callables (grant_id) -> key")
    return lambda grant_id: value.replace("{grant_id}", grant_id)


def _escaped(prefix: str) -> str:
    return "".join("\\" + c if c in "*?[]\\^" else c for c in prefix)


def _text(value: Any) -> str | None:
    return value.decode() if isinstance(value, bytes) else None if value is None else str(value)
