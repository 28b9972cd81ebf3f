"""What `doctor` looks at. Nothing here spends a refresh token, and nothing says a secret."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import Any

from ..client import OAuthClient
from ..errors import OAuthSessionError, RecordSealed, StoreError
from ..ledger import Ledger, Store
from ..registration import Registration
from ..rules import lineage
from ..rules.origins import is_loopback
from ..rules.record import Pair
from ..sealed import key_of
from ..stores import open_store
from ..tokens import fingerprint
from .endpoint_checks import endpoint
from .findings import Finding, clock, note, ok, wrong

_PUSH = 2.0  # seconds in which a subscription stands, if it is allowed


def examine(client: OAuthClient, seed: str | None = None) -> Iterator[Finding]:
    """Everything, one after the other; a check that fails says so, and the next one goes on.

    Args:
        seed: the refresh token that a program brings along, to see what it is still worth.
    """
    registration, store = client._registration, open_store(client._registration.store)
    yield from _guarded("store", lambda: _store(store))
    yield from _guarded("records", lambda: _records(client, seed))
    yield from _guarded("rotation and grace", lambda: _grace(registration))
    yield from _guarded("where tokens go", lambda: _origins(client))
    yield from _guarded("token endpoint", lambda: endpoint(registration))


def _guarded(about: str, check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from check()
    except OAuthSessionError as error:
        yield wrong(about, str(error))


# -- the store


def _store(store: Store) -> Iterator[Finding]:
    probe = Ledger(store, key_of("doctor", "doctor", None), None)
    asked = time.time()
    try:
        probe.load()
    except StoreError as error:
        yield Finding(
            "wrong", "store", f"it cannot be read: {error}. Look at its address, its password and the network."
        )
        return
    ear = _Ear()
    store.watch(probe.key, ear.told)
    blank = lineage.begin("doctor", "doctor", "doctor", Pair())
    try:
        seen = probe.update(lambda record, now: lineage.end(record or blank, "logged_out"))
    except StoreError as error:
        yield wrong(
            "store",
            f"it can be read but not written: {error}. It may be full, a replica, or the user may lack a right; a refresh "
            "cannot be kept in it.",
        )
        return
    yield ok("store", f"the {store.name} store can be read and written")
    yield from clock("the store's clock", seen.now - (asked + time.time()) / 2)
    if not store.shared:
        yield Finding(
            "note", "store", "it is this process' own memory: other processes, and the next start, know nothing of it"
        )
    yield from _redis(store, probe)


class _Ear:
    def told(self, revision: str) -> None:
        """Stores hold it weakly, so it must be somebody's method."""


def _redis(store: Any, probe: Ledger) -> Iterator[Finding]:
    client = getattr(store, "client", None)
    if client is None:
        return
    try:
        about = client.info("memory")
        policy = str(about.get("maxmemory_policy", "")) if isinstance(about, dict) else ""
        if policy and policy != "noeviction" and int(about.get("maxmemory", 0)):
            yield wrong(
                "store",
                f"Redis evicts keys when it is full (maxmemory-policy {policy}): an evicted refresh token is a lost login. "
                "Set maxmemory-policy noeviction.",
            )
        elif policy and policy != "noeviction":
            yield note(
                "store",
                f"maxmemory-policy is {policy}: with a maxmemory, logins would be evicted; set noeviction",
            )
    except Exception:  # the user may not ask; whatever redis-py makes of that
        yield note("store", "whether Redis evicts keys cannot be seen by this user (INFO): it must not")
    end = time.monotonic() + _PUSH
    while not store.is_told(probe.key) and time.monotonic() < end:
        time.sleep(0.05)
    if store.is_told(probe.key):
        yield ok("store", "news of other processes' refreshes arrives by push")
    else:
        yield wrong(
            "store",
            "no news from other processes: the user may not subscribe to the channels (ACL: resetchannels "
            "&oauth-session:told:*), or connections to the server are short. Everything works, but a token that another "
            "process got is seen up to 4 s later.",
        )


# -- the records


def _records(client: OAuthClient, seed: str | None) -> Iterator[Finding]:
    states: dict[str, int] = {}
    dead, unreadable, failing, cursor = [], [], [], None
    while True:
        page, cursor = client.grants(cursor)
        for grant in page:
            states[grant.state] = states.get(grant.state, 0) + 1
            if grant.state == "dead":
                dead.append(grant.grant_id)
            elif grant.state == "damaged":
                unreadable.append(grant.last_error)
            elif grant.failures:
                failing.append(f"{grant.grant_id} ({grant.last_error or grant.last_outcome})")
        if cursor is None:
            break
    if unreadable:
        yield wrong(
            "records",
            f"{len(unreadable)} cannot be read, such as: {unreadable[0]}. If they are sealed, the key that sealed them is "
            "missing in keys.",
        )
    if dead:
        yield wrong("records", f"{_some(dead)}: the refresh token is dead; log in again")
    if failing:
        yield note("records", f"renewals fail for now: {_some(failing)}")
    if not (unreadable or dead or failing):
        yield ok("records", ", ".join(f"{n:,} {state}" for state, n in sorted(states.items())) or "none yet")
    yield from _seed(client, seed) if seed is not None else ()


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")


def _seed(client: OAuthClient, seed: str) -> Iterator[Finding]:
    """What becomes of a refresh token that a program is configured with."""
    source = client.auth("default").source
    try:
        record = source.ledger.load().record  # type: ignore[attr-defined]
    except RecordSealed as error:
        yield wrong("seed", str(error))
        return
    known = record is not None and (fingerprint(seed) in record.seeds or record.pair.refresh_token == seed)
    if record is None:
        yield ok("seed", "nothing is stored yet: it will be used once, at the first need; it is not tried now")
    elif record.state == "dead" and known:
        yield wrong(
            "seed",
            "it is stale: it was used before, its grant has died since, and it will not be tried again. Log in, and give "
            "the new one.",
        )
    elif record.state == "dead":
        yield note("seed", "the stored grant is dead, so it will be tried")
    elif known:
        yield ok("seed", "it was used before; what came of it is in the store, and wins. It can be taken out.")
    else:
        yield note("seed", "the store has another login, which wins")


# -- rotation, origins


def _grace(registration: Registration) -> Iterator[Finding]:
    policy = registration.refresh
    if policy.is_in_time:
        lasts = f"a claim lasts {policy.lease:g} s, an answer is waited for {policy.patience:g} s"
        until = (
            "until the new access token is used" if policy.reuse_grace == math.inf else f"for {policy.reuse_grace:g} s"
        )
        grace = f", a used refresh token is good {until}" if policy.reuse_grace else ""
        yield ok("rotation and grace", lasts + grace)
        return
    most = policy.reuse_grace - policy.succession
    mend = f"Set token_timeout to {most:g} s or less, or h" if most >= 1 else "No token_timeout is short enough: h"
    mend += "ave the provider make the grace longer."
    yield wrong(
        "rotation and grace",
        f"when a process dies in the middle of a refresh, its successor may come {policy.patience + policy.succession:g} s "
        f"after its request (token_timeout {policy.patience:g} s, claim {policy.lease:g} s, and what lies between), but the "
        f"provider's grace is {policy.reuse_grace:g} s: the login would be lost. {mend}",
    )


def _origins(client: OAuthClient) -> Iterator[Finding]:
    found = client._guard.origins
    origins = ["wherever a URL says"] if found is None else sorted(found)
    plain = [origin for origin in origins if origin.startswith("http:") and not is_loopback(origin)]
    if plain:
        yield Finding(
            "wrong", "where tokens go", f"{', '.join(plain)} is plain http: tokens can be read on the way. Use https."
        )
    else:
        yield ok("where tokens go", ", ".join(origins))
