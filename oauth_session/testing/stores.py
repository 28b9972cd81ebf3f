"""The contract of stores, as tests: subclass `StoreContract` for a store of your own.

.. code-block:: python

    class TestMyStore(StoreContract):
        @pytest.fixture
        def open_store(self, tmp_path):
            return lambda: MyStore(tmp_path)      # each call: another handle on the same data
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from ..stores.values import GrantKey

Open = Callable[[], Any]

KEY = GrantKey("0123456789abcdef", "customer-42")


class StoreContract:
    """What the refresh relies on. `open_store` is a fixture that returns a function that opens the store."""

    def test_nothing_is_there_at_first(self, open_store: Open) -> None:
        """A record that nobody has written is None, at the empty revision."""
        snapshot = open_store().load(KEY)
        assert (snapshot.text, snapshot.revision) == (None, "")

    def test_what_is_written_is_read(self, open_store: Open) -> None:
        """A write is seen through another handle, text and revision, whatever characters and size."""
        text = '{"name":"Zoë ☃ \U0001f600","long":"' + "x" * 100_000 + '"}'
        assert open_store().swap(KEY, "", "r1", text).done
        assert open_store().load(KEY)[:2] == (text, "r1")

    def test_only_the_expected_revision_is_replaced(self, open_store: Open) -> None:
        """Law 2: a swap against another revision changes nothing and returns what is there."""
        store = open_store()
        store.swap(KEY, "", "r1", "one")
        refused = store.swap(KEY, "r0", "r2", "two")
        assert not refused.done
        assert refused.snapshot[:2] == store.load(KEY)[:2] == ("one", "r1")
        assert not store.swap(KEY, "", "r3", "three").done
        assert store.swap(KEY, "r1", "r4", "four").done
        assert store.load(KEY)[:2] == ("four", "r4")

    def test_a_resend_is_a_success(self, open_store: Open) -> None:
        """Law 3: the same swap again, as after a lost reply, says that it is done and changes nothing."""
        store = open_store()
        assert store.swap(KEY, "", "r1", "one").done
        again = store.swap(KEY, "", "r1", "one")
        assert again.done
        assert again.snapshot[:2] == ("one", "r1")

    def test_records_do_not_touch_each_other(self, open_store: Open) -> None:
        """A write under one key is not seen under another."""
        store, other = open_store(), GrantKey("fedcba", "another")
        store.swap(KEY, "", "r1", "one")
        assert store.load(other).text is None
        assert store.swap(other, "", "r1", "two").done

    def test_no_update_is_lost(self, open_store: Open) -> None:
        """Law 2: eight threads that count by compare-and-swap count exactly."""

        def count(number: int) -> None:
            store = open_store()
            for turn in range(25):
                while True:
                    there = store.load(KEY)
                    text = str(int(there.text or 0) + 1)
                    if store.swap(KEY, there.revision, f"r-{number}-{turn}", text).done:
                        break

        threads = [threading.Thread(target=count, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert open_store().load(KEY).text == "200"

    def test_a_waiter_is_told(self, open_store: Open) -> None:
        """Law 12: a wait ends soon after a change that another handle makes."""
        store = open_store()
        store.swap(KEY, "", "r1", "one")
        timer = threading.Timer(0.2, lambda: open_store().swap(KEY, "r1", "r2", "two"))
        timer.start()
        began = time.monotonic()
        store.wait(KEY, "r1", 20.0)
        assert 0.1 < time.monotonic() - began < 10.0
        assert store.load(KEY).revision == "r2"
        timer.join()

    def test_a_wait_ends(self, open_store: Open) -> None:
        """Law 12: a wait without a change ends at its time, and a change that was made already ends it at once."""
        store = open_store()
        store.swap(KEY, "", "r1", "one")
        began = time.monotonic()
        store.wait(KEY, "r1", 0.2)
        assert 0.15 < time.monotonic() - began < 5.0
        began = time.monotonic()
        store.wait(KEY, "r0", 20.0)
        assert time.monotonic() - began < 10.0

    def test_the_clock_goes_forward(self, open_store: Open) -> None:
        """Law 17: each look brings the store's clock, in epoch seconds."""
        store = open_store()
        first = store.load(KEY).now
        time.sleep(0.05)
        assert 0.03 < store.load(KEY).now - first < 10
        assert abs(first - time.time()) < 86_400

    def test_a_listing_shows_everything(self, open_store: Open) -> None:
        """Pages of a listing at rest show each record, and end."""
        store = open_store()
        for number in range(25):
            store.swap(GrantKey(f"{number:016x}", f"g{number}"), "", "r", f"text-{number}")
        texts, cursor = store.scan(None, 10)
        for _ in range(100):
            if cursor is None:
                break
            page, cursor = store.scan(cursor, 10)
            texts += page
        assert cursor is None
        assert {f"text-{number}" for number in range(25)} <= set(texts)

    def test_it_can_be_closed(self, open_store: Open) -> None:
        """After a close, what was written is still there for the next handle."""
        store = open_store()
        store.swap(KEY, "", "r1", "one")
        store.close()
        assert open_store().load(KEY).text == "one"
