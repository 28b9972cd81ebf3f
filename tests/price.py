"""The price of encryption: plain and sealed, in turns, in one run: `python -m price`, or `tox -e price`."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import redis
from support.servers import RedisServer, redis_binaries

from oauth_session import OAuthClient, RefreshPolicy
from oauth_session.rules import record_json
from oauth_session.rules.lineage import begin
from oauth_session.rules.record import Pair
from oauth_session.sealing import KeyRing, new
from oauth_session.testing import FakeProvider

ROUNDS, TIMES = 15, 20


def cpu(work: Callable[[], object], times: int) -> float:
    """Seconds of the processor for one."""
    began = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - began) / times


def in_turns(plain: Callable[[], object], sealed: Callable[[], object], times: int) -> tuple[float, float, float]:
    """Both, as medians, and the median of the ratios of neighbours."""
    pairs = [(cpu(plain, times), cpu(sealed, times)) for _ in range(ROUNDS + 1)][1:]
    return (*(statistics.median(side) for side in zip(*pairs, strict=True)), statistics.median(s / p for p, s in pairs))


def line(what: str, plain: float, sealed: float, unit: str, ratio: float | None = None) -> None:
    print(f"{what:46} {plain:10.1f} {sealed:10.1f} {unit:9} {ratio or sealed / plain:6.2f}", flush=True)


def sizes(keys: str) -> None:
    """What one grant takes, with tokens of 40 and of 1200 characters (a JWT)."""
    folder = tempfile.TemporaryDirectory()
    server = RedisServer(sorted(redis_binaries().items())[0][1], Path(folder.name))
    try:
        with redis.Redis.from_url(server.url) as there:
            for length in (40, 1200):
                texts, hashes = [], []
                for ring in (None, keys):
                    there.flushall()
                    client = OAuthClient(**ANY, store=server.url, keys=ring)
                    token = {"access_token": "a" * length, "refresh_token": "r" * 40, "expires_in": 3600}
                    client.put("customer-42", token)
                    name = f"oauth-session:{client._registration.key('customer-42').digest}"
                    texts.append(len(there.hget(name, "record")))
                    hashes.append(int(there.memory_usage(name)))
                    client.close()
                line(f"the record, token of {length} characters", *texts, "bytes")
                line(f"its hash in Redis, token of {length} characters", *hashes, "bytes")
    finally:
        server.stop()
        folder.cleanup()


def seals(keys: str) -> None:
    """Writing and reading one record."""
    sealer = KeyRing(keys).sealer()
    record = begin("customer-42", "client", "l", Pair("a" * 40, "r" * 40, lifetime=3600.0))
    text, sealed = record_json.dump(record), record_json.dump(record, sealer)
    for what, plain, other in (
        ("writing a record", lambda: record_json.dump(record), lambda: record_json.dump(record, sealer)),
        ("reading a record", lambda: record_json.load(text, "g"), lambda: record_json.load(sealed, "g", sealer)),
    ):
        one, two, ratio = in_turns(plain, other, 25 * TIMES)
        line(what, one * 1e6, two * 1e6, "us CPU", ratio)


def whole(keys: str) -> None:
    """A refresh and a request, as a program makes them; the fake provider's own share is in both."""
    with FakeProvider(lifetime=3600) as provider, tempfile.TemporaryDirectory() as folder:
        settings = {"token_url": provider.token_url, "client_id": provider.client_id, "origins": [provider.url]}
        settings |= {"client_secret": provider.client_secret, "refresh": RefreshPolicy(background=False)}
        clients = [OAuthClient(**settings, store=f"sqlite:///{folder}/{k is None}.db", keys=k) for k in (None, keys)]
        for client in clients:
            client.put("g", provider.issue())
        one, two, ratio = in_turns(*((lambda c=c: c.refresh("g")) for c in clients), TIMES)  # type: ignore[misc]
        line("a refresh, SQLite, with its provider", one * 1e6, two * 1e6, "us CPU", ratio)
        sessions = [client.session("g") for client in clients]
        one, two, ratio = in_turns(*((lambda s=s: s.get(provider.api_url + "me")) for s in sessions), TIMES)  # type: ignore[misc]
        line("a request with a token in hand, with its API", one * 1e6, two * 1e6, "us CPU", ratio)
        for client in clients:
            client.close()


ANY = {"token_url": "https://a.test/token", "client_id": "c", "origins": ["https://a.test"]}


def main() -> None:
    keys = new()
    print(f"{'':46} {'plain':>10} {'sealed':>10} {'':9} {'ratio':>6}   Python {sys.version.split()[0]}")
    sizes(keys)
    seals(keys)
    whole(keys)


if __name__ == "__main__":
    main()
