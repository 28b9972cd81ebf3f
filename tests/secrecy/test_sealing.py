"""Encryption at rest: what stands in a store, who can read it, and what somebody who can write there can do."""

from __future__ import annotations

import base64
import json
import os
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import price
import pytest
import redis
from conftest import Make, MakeClient
from support.raw import Raw, raw_store
from support.shaky import eventually

from oauth_session import (
    ConfigurationError,
    Event,
    InvalidGrant,
    OAuthClient,
    RecordForged,
    RecordPlain,
    RecordSealed,
    StoreError,
    Token,
    TokenAuth,
)
from oauth_session.rules.record_json import read_sign
from oauth_session.sealing import KeyRing, Sealer, new, new_key
from oauth_session.stores import MemoryStore, RedisStore
from oauth_session.testing import FakeProvider


@pytest.fixture
def raw(store_url: str) -> Raw:
    """What somebody with access to the store sees and writes."""
    return raw_store(store_url)


def records_of(raw: Raw) -> dict[str, str]:
    return {digest: text for digest, text in raw.records().items() if read_sign(text) is None}


def test_nothing_secret_is_readable(provider: FakeProvider, make_client: MakeClient, raw: Raw) -> None:
    """With keys the store holds neither token, nor the grant's name, in any key or value; the rest stays readable."""
    client = make_client(provider, store=raw.url, keys=new())
    pair = provider.issue()
    client.put("customer-42", pair | {"extra_member": "sentinel-extra"})
    first = client.token("customer-42")
    client.refresh("customer-42")
    everything = raw.everything()
    for secret in (
        *pair.values(),
        first.access_token,
        client.token("customer-42").access_token,
        "customer-42",
        "sentinel-extra",
    ):
        assert str(secret).encode() not in everything or str(secret) in ("Bearer", "3600")
    (text,) = records_of(raw).values()
    record = json.loads(text)
    assert record["generation"] == 1
    assert record["outcome"] == "refreshed"
    assert set(record["pair"]) >= {"sealed", "issued_at"}


def test_a_name_in_the_store_is_keyed(provider: FakeProvider, make_client: MakeClient, raw: Raw) -> None:
    """Who knows a grant's name, but not the keys, cannot say which key of the store is its; another seal: key changes none."""
    import hashlib

    ring = new()
    client = make_client(provider, store=raw.url, keys=ring)
    client.put("customer-42", provider.issue())
    (digest,) = records_of(raw)
    identity = client._registration.identity
    assert digest != hashlib.sha256(f"{identity}/customer-42".encode()).hexdigest()[:40]
    rotated = make_client(provider, store=raw.url, keys=f"{new_key()} {ring}")
    assert rotated._registration.key("customer-42").digest == digest


def test_another_process_reads_it(provider: FakeProvider, make_client: MakeClient, raw: Raw, tmp_path: Path) -> None:
    """Keys come from the environment, a file, a callable, words or bytes: all the same ring."""
    ring = new()
    (tmp_path / "ring").write_text(f"# made today\n{ring}\n")
    os.environ["RING_FOR_TEST"] = ring.replace("\n", ",")
    make_client(provider, store=raw.url, keys=ring).put("g", provider.issue())
    sources: list[Any] = [
        "env:RING_FOR_TEST",
        f"file:{tmp_path}/ring",
        lambda: ring.split(),
        [word.encode() for word in ring.split()],
        ring.encode(),
        KeyRing(ring),
    ]
    try:
        for source in sources:
            session = make_client(provider, store=raw.url, keys=source).session("g")
            assert session.get("me").status_code == 200
    finally:
        del os.environ["RING_FOR_TEST"]


WEAK = base64.urlsafe_b64encode(b"a password of thirty-two letters").decode()
GOOD = new()
SEAL, NAME = GOOD.split()
WRONG: list[tuple[Any, str]] = [
    ("", "seal:"),
    ("env:NOT_SET_HERE", "NOT_SET_HERE"),
    ("file:/nowhere/ring", "/nowhere/ring"),
    (SEAL, "name:"),
    (NAME, "seal:"),
    (f"{GOOD} name:{SEAL[5:]}", "name:"),
    (f"seal:AAAA {NAME}", "32"),
    (f"seal:{WEAK} {NAME}", "weak"),
    (f"seal:{'A' * 43} {NAME}", "weak"),
    (f"seal:!!!!{'A' * 40} {NAME}", "base64url"),
    (f"key:{SEAL[5:]} {NAME}", "seal:"),
    (lambda: None, "text"),
    (lambda: 1 / 0, "ZeroDivisionError"),
    (5, "keys"),
    ([5], "text"),
]


@pytest.mark.parametrize(("keys", "named"), WRONG, ids=[str(number) for number in range(len(WRONG))])
def test_a_weak_or_missing_key_is_told(provider: FakeProvider, make_client: MakeClient, keys: Any, named: str) -> None:
    """Each unusable ring is a ConfigurationError that says how to make one, and shows no key."""
    with pytest.raises(ConfigurationError, match=named) as caught:
        make_client(provider, keys=keys)
    said = str(caught.value) + repr(caught.value)
    assert "oauth-session keys new" in said or callable(keys)
    assert not any(word in said for word in (SEAL[5:], NAME[5:], WEAK))
    assert caught.value.__cause__ is None


def test_a_ring_shows_no_key() -> None:
    """`repr` of a ring shows no key, and a pickle of one from the environment holds none."""
    os.environ["RING_FOR_TEST"] = GOOD
    try:
        ring = KeyRing("env:RING_FOR_TEST")
        seal = base64.urlsafe_b64decode(SEAL[5:] + "=")
        assert SEAL[5:] not in repr(ring)
        assert SEAL[5:].encode() not in pickle.dumps(ring)
        assert seal not in pickle.dumps(ring)
        assert pickle.loads(pickle.dumps(ring)).digest("x") == ring.digest("x")
    finally:
        del os.environ["RING_FOR_TEST"]


@pytest.mark.parametrize("keys", [None, new(), f"{new_key()} {NAME}"], ids=["none", "another", "same-names"])
def test_without_the_keys_nothing_is_opened_or_overwritten(
    provider: FakeProvider, make_client: MakeClient, raw: Raw, keys: Any
) -> None:
    """A sealed record without its key is RecordSealed, for a token and for a put, and stays as it is."""
    sealed = make_client(provider, store=raw.url, keys=GOOD)
    sealed.put("g", provider.issue())
    before = raw.records()
    other = make_client(provider, store=raw.url, keys=keys)
    for call in (lambda: other.token("g"), lambda: other.put("g", provider.issue()), lambda: other.forget("g")):
        with pytest.raises(RecordSealed, match="keys="):
            call()
    assert raw.records() == before
    with pytest.raises(RecordSealed):
        other.session("g").get("me")
    assert provider.token_requests == 0


def forge_move(raw: Raw, mine: str, other: str) -> None:
    raw.write(mine, raw.read(other))


def forge_parts(raw: Raw, mine: str, other: str) -> None:
    """The other's secrets in my record."""
    record = json.loads(raw.read(mine))
    record["pair"] = json.loads(raw.read(other))["pair"]
    raw.write(mine, json.dumps(record))


def forge_all_but_the_name(raw: Raw, mine: str, other: str) -> None:
    """The other's record, with whatever is readable in it made mine."""
    record = json.loads(raw.read(mine))
    theirs = json.loads(raw.read(other))
    raw.write(mine, json.dumps(theirs | {"client": record["client"]}))


def forge_generation(raw: Raw, mine: str, other: str) -> None:
    raw.write(mine, json.dumps(json.loads(raw.read(mine)) | {"generation": 99}))


def forge_lineage(raw: Raw, mine: str, other: str) -> None:
    raw.write(mine, json.dumps(json.loads(raw.read(mine)) | {"lineage": "ffff"}))


def forge_state(raw: Raw, mine: str, other: str) -> None:
    raw.write(mine, json.dumps(json.loads(raw.read(mine)) | {"state": "dead"}))


def forge_seeds(raw: Raw, mine: str, other: str) -> None:
    raw.write(mine, json.dumps(json.loads(raw.read(mine)) | {"seeds": []}))


def forge_spare(raw: Raw, mine: str, other: str) -> None:
    record = json.loads(raw.read(mine))
    record["spare"] = record["pair"]
    raw.write(mine, json.dumps(record))


def forge_bits(raw: Raw, mine: str, other: str) -> None:
    record = json.loads(raw.read(mine))
    sealed = record["pair"]["sealed"]
    record["pair"]["sealed"] = sealed[:-6] + ("A" if sealed[-6] != "A" else "B") + sealed[-5:]
    raw.write(mine, json.dumps(record))


def forge_plain(raw: Raw, mine: str, other: str) -> None:
    """A token of the attacker's own, not sealed."""
    record = json.loads(raw.read(mine))
    raw.write(mine, json.dumps(record | {"grant": "mine", "pair": {"access_token": "planted"}}))


def forge_beside(raw: Raw, mine: str, other: str) -> None:
    """A token of the attacker's own beside the sealed one."""
    record = json.loads(raw.read(mine))
    record["pair"]["access_token"] = "planted"
    raw.write(mine, json.dumps(record))


FORGERIES = [
    forge_move,
    forge_parts,
    forge_all_but_the_name,
    forge_generation,
    forge_lineage,
    forge_state,
    forge_seeds,
    forge_spare,
    forge_bits,
    forge_plain,
    forge_beside,
]


@pytest.mark.parametrize("forge", FORGERIES, ids=[forge.__name__ for forge in FORGERIES])
def test_a_forged_record_is_refused(
    provider: FakeProvider, make_client: MakeClient, raw: Raw, forge: Callable[[Raw, str, str], None]
) -> None:
    """Who can write to the store can neither move nor alter what is sealed: RecordForged, no call, until a new login."""
    client = make_client(provider, store=raw.url, keys=GOOD)
    client.put("mine", provider.issue())
    client.put("other", provider.issue())
    mine, other = (client._registration.key(grant).digest for grant in ("mine", "other"))
    forge(raw, mine, other)
    events: list[Event] = []
    victim = make_client(provider, store=raw.url, keys=GOOD, on_event=events.append)
    forged = raw.read(mine)
    with pytest.raises(RecordForged, match="mine"):
        victim.token("mine")
    with pytest.raises(RecordForged):
        victim.session("mine").get("me")
    assert (raw.read(mine), provider.api_requests, provider.token_requests) == (forged, 0, 0)
    assert eventually(lambda: any(event.outcome == "store_down" for event in events))
    assert not any("planted" in event.reason for event in events)
    victim.put("mine", provider.issue())
    assert victim.session("mine").get("me").status_code == 200


def test_a_token_is_bound_to_its_client(provider: FakeProvider, make_client: MakeClient, raw: Raw) -> None:
    """A token of one client, put under the name that another client's grant has, goes to no origin of the other's."""
    ours = make_client(provider, store=raw.url, keys=GOOD)
    theirs = make_client(provider, store=raw.url, keys=GOOD, client_id="another", origins=["https://elsewhere.example"])
    ours.put("g", provider.issue())
    text = raw.read(ours._registration.key("g").digest)
    for planted in (text, text.replace(ours._registration.identity, theirs._registration.identity)):
        raw.write(theirs._registration.key("g").digest, planted)
        with pytest.raises(RecordForged):
            theirs.token("g")


def test_a_roll_back_does_not_pass_unnoticed(provider: FakeProvider, make_client: MakeClient, raw: Raw) -> None:
    """Law 11: an older record of the same login, put back, is written over by who has seen the newer; `healed` says so."""
    events: list[Event] = []
    client = make_client(provider, store=raw.url, keys=GOOD, on_event=events.append)
    client.put("g", provider.issue())
    digest = client._registration.key("g").digest
    old = raw.read(digest)
    session = client.session("g")
    newer = client.refresh("g")
    assert session.get("me").status_code == 200
    raw.write(digest, old)
    provider.expire()
    assert session.get("me").status_code == 200
    assert [event.name for event in events].count("healed") == 1
    assert provider.model.reuse_incidents == 0
    assert client.token("g").access_token != newer.access_token


def test_an_earlier_login_is_not_rolled_back_to(provider: FakeProvider, make_client: MakeClient, raw: Raw) -> None:
    """Law 11: the record of an earlier login, perhaps to another account, is written over by who has seen the later one."""
    events: list[Event] = []
    client = make_client(provider, store=raw.url, keys=GOOD, on_event=events.append)
    for _ in range(17):  # more than a record remembers
        client.put("g", provider.issue())
    digest = client._registration.key("g").digest
    old, earlier = raw.read(digest), client.token("g").access_token
    client.put("g", provider.issue())
    session = client.session("g")
    raw.write(digest, old)
    provider.expire()
    assert session.get("me").status_code == 200
    assert [event.name for event in events].count("healed") == 1
    assert client.token("g").access_token != earlier
    assert provider.model.refresh_calls == 1


def test_a_logout_is_not_rolled_back(provider: FakeProvider, make_client: MakeClient, raw: Raw) -> None:
    """Law 11: the record from before a logout, put back, is ended again by who has seen the logout; `healed` says so."""
    events: list[Event] = []
    client = make_client(provider, store=raw.url, keys=GOOD, on_event=events.append)
    client.put("g", provider.issue())
    digest = client._registration.key("g").digest
    old = raw.read(digest)
    session = client.session("g")
    assert session.get("me").status_code == 200
    client.forget("g")
    raw.write(digest, old)
    with pytest.raises(InvalidGrant):
        session.get("me")
    assert [event.name for event in events].count("healed") == 1


def test_records_from_before_the_keys(provider: FakeProvider, make_client: MakeClient, raw: Raw) -> None:
    """A plain record is refused with a word on what to do, taken over when that is asked for, and by no two at once."""
    plain = make_client(provider, store=raw.url)
    plain.put("g", provider.issue())
    plain.put("h", provider.issue())
    kept = plain.token("g")
    strict = make_client(provider, store=raw.url, keys=GOOD)
    before = raw.records()
    with pytest.raises(RecordPlain, match="reencrypt"):
        strict.token("g")
    with pytest.raises(RecordPlain):
        strict.put("g", provider.issue())
    assert raw.records() == before
    lenient = make_client(provider, store=raw.url, keys=KeyRing(GOOD, accept_plain=True))
    assert lenient.token("g") == kept
    assert strict.token("g") == kept
    assert strict.refresh("g") != kept
    assert not any(kept.access_token in text for text in raw.records().values())
    assert plain.token("g") == kept  # it has that in memory, and goes on with it until it ends
    plain.close()
    with pytest.raises(RecordSealed, match="keys="):
        plain.token("g")
    done = strict.reencrypt()
    assert (done.written, done.unreadable) == (1, 0)
    assert strict.token("h")
    assert sorted(status.grant_id for status in strict.grants()[0]) == ["g", "h"]
    assert provider.model.reuse_incidents == 0


def test_a_take_over_waits_for_a_refresh_under_way(provider: FakeProvider, make_client: MakeClient) -> None:
    """A record that a program without keys is refreshing is taken over after its commit, never before."""
    store = MemoryStore()
    plain = make_client(provider, store=store)
    plain.put("g", provider.issue())
    ring = KeyRing(GOOD, accept_plain=True)
    provider.token_latency = 0.8
    fresh: list[Token] = []
    worker = threading.Thread(target=lambda: fresh.append(plain.refresh("g")))
    worker.start()
    assert eventually(lambda: provider.token_requests or any('"claim"' in row[1] for row in store._rows.values()))
    token = make_client(provider, store=store, keys=ring).token("g")
    worker.join()
    assert provider.model.generations == 1
    assert provider.model.reuse_incidents == 0
    assert token == fresh[0]


def test_the_keys_are_changed(provider: FakeProvider, make_client: MakeClient, raw: Raw, tmp_path: Path) -> None:
    """The first key writes, all read; after a re-encryption the old key is not needed, and a second run changes nothing."""
    old, (seal, name) = GOOD, (new_key(), NAME)
    path = tmp_path / "ring"
    path.write_text(old)
    client = make_client(provider, store=raw.url, keys=f"file:{path}")
    for number in range(5):
        client.put(f"g{number}", provider.issue())
    path.write_text(f"{seal}\n{old}")
    changed = make_client(provider, store=raw.url, keys=f"{seal} {old}")
    done = changed.reencrypt()
    assert (done.written, done.current, done.unreadable) == (5, 0, 0)
    assert changed.reencrypt() == type(done)(0, 5, 0)
    without = make_client(provider, store=raw.url, keys=[seal, name])
    assert without.refresh("g3")
    assert client.refresh("g3")  # it has read its file again when it met the new key
    assert provider.model.reuse_incidents == 0


def test_a_ring_that_cannot_be_read_again_stays(provider: FakeProvider, make_client: MakeClient) -> None:
    """A key service that is down later on, or gives another name: key, costs no grant."""
    answers = [GOOD]

    def service() -> str:
        return answers[0] if answers else str(1 / 0)

    client = make_client(provider, keys=service)
    client.put("g", provider.issue())
    ring = client._registration.keys
    for answer in ([], [new()]):
        answers[:] = answer
        ring._read_again()
        assert client.refresh("g")


def test_a_mirror_has_to_be_asked_for(provider: FakeProvider, make_client: MakeClient, valkey_url: str) -> None:
    """With keys an export key, which shows access tokens, is an error until it is asked for by name."""
    store = RedisStore(valkey_url, export_key="access:{grant_id}")
    with pytest.raises(ConfigurationError, match="mirror_in_clear"):
        make_client(provider, store=store, keys=GOOD)
    client = make_client(provider, store=store, keys=KeyRing(GOOD, mirror_in_clear=True))
    client.put("g", provider.issue())
    token = client.token("g")
    with redis.Redis.from_url(valkey_url) as plain:
        assert json.loads(plain.get("access:g"))["access_token"] == token.access_token


@pytest.mark.parametrize(
    ("url", "warned"),
    [
        ("redis://192.0.2.1:6379/0", True),
        ("redis+sentinel://192.0.2.1:26379/main", True),
        ("redis+sentinel://127.0.0.1:26379/main", False),
        ("rediss://192.0.2.1:6379/0", False),
        ("redis://localhost:6379/0", False),
        ("redis://[::1]:6379/0", False),
        ("unix:///tmp/redis.sock", False),
    ],
)
def test_a_redis_in_clear_is_told_of_once(
    provider: FakeProvider, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch, url: str, warned: bool
) -> None:
    """Plain Redis beyond this machine without encryption: one warning for the process; with keys or TLS none."""
    from oauth_session import telling

    monkeypatch.setattr(telling, "_told", set())
    told: list[Event] = []
    sealed: TokenAuth = make_client(provider, store=url, keys=GOOD, on_event=told.append).auth("g")
    assert told == []
    auths = [make_client(provider, store=url, on_event=told.append).auth(grant) for grant in ("g", "h")]
    assert [event.name for event in told] == (["store_in_clear"] if warned else [])
    del auths, sealed


def test_a_request_seals_and_opens_nothing(
    provider: FakeProvider, make_client: MakeClient, raw: Raw, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Encryption's price is paid by who refreshes: with a token in hand no request makes, seals or opens anything."""
    client = make_client(provider, store=raw.url, keys=GOOD)
    client.put("g", provider.issue())
    session = client.session("g")
    assert session.get("me").ok
    for used in ("seal", "open"):
        monkeypatch.setattr(Sealer, used, lambda *_: pytest.fail("a request used the keys"))
    monkeypatch.setattr(KeyRing, "digest", lambda *_: pytest.fail("a request used the keys"))
    assert all(session.get("me").ok for _ in range(20))


def test_the_price_can_be_measured(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The price is measured side by side by a command; a sealed record is less than one and a half times the plain one."""
    monkeypatch.setattr(price, "ROUNDS", 1)
    monkeypatch.setattr(price, "TIMES", 3)
    price.main()
    lines = capsys.readouterr().out.splitlines()[1:]
    ratios = {line.partition("  ")[0]: float(line.split()[-1]) for line in lines}
    assert len(ratios) == 8
    assert all(1 < ratio < 1.5 for what, ratio in ratios.items() if "token of" in what)


def test_a_memory_store_can_be_sealed(provider: FakeProvider, make_session: Make) -> None:
    """Any store can hold sealed records, since it keeps a text."""
    session = make_session(provider, refresh_token=provider.issue()["refresh_token"], keys=GOOD)
    assert session.get("me").status_code == 200
    text = session.auth.source.ledger.store.load(session.auth.source.ledger.key).text
    assert "sealed" in text
    assert session.auth.source.token().token.access_token not in text


def test_a_listing_without_keys(provider: FakeProvider, make_client: MakeClient, raw: Raw) -> None:
    """A listing without the keys shows that something is there, but no name."""
    make_client(provider, store=raw.url, keys=GOOD).put("customer-42", provider.issue())
    client: OAuthClient = make_client(provider, store=raw.url)
    (status,) = client.grants()[0]
    assert (status.grant_id, status.state) == ("", "damaged")
    assert "keys=" in status.last_error


def test_errors_of_sealing_are_store_errors() -> None:
    """Who catches StoreError catches what sealing raises."""
    assert all(issubclass(kind, StoreError) for kind in (RecordSealed, RecordPlain, RecordForged))
