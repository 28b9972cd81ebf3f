"""Replays: the very same bytes, or none."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Make

from oauth_session import Event
from oauth_session.testing import FakeProvider

TEXT = "grüße, " * 2000
BYTES = bytes(range(256)) * 300


class Unseekable(io.RawIOBase):
    """A stream with an end and no way back."""

    def __init__(self) -> None:
        self._left = io.BytesIO(BYTES)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._left.readinto(buffer)


def at_1000(file: Any) -> Any:
    file.seek(1000)
    return file


BODIES: dict[str, Callable[[Any], dict[str, Any]]] = {
    "bytes": lambda file: {"data": BYTES},
    "text": lambda file: {"data": TEXT},
    "json": lambda file: {"json": {"text": TEXT, "list": [1, 2.5, None]}},
    "form": lambda file: {"data": {"a": TEXT, "b": ["1", "2"]}},
    "file": lambda file: {"data": file},
    "file at an offset": lambda file: {"data": at_1000(file)},
    "memory file": lambda file: {"data": io.BytesIO(BYTES)},
    "multipart": lambda file: {"files": {"upload": ("name.bin", file), "field": (None, "value")}},
}


@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_body_is_replayed_whole(
    provider: FakeProvider, make_session: Make, tmp_path: Path, kind: str, method: str
) -> None:
    """What the server gets on the replay is byte for byte what it refused, and no shorter."""
    session = make_session(provider, token=provider.issue())
    (tmp_path / "upload.bin").write_bytes(BYTES)
    provider.expire()
    with (tmp_path / "upload.bin").open("rb") as file:
        response = session.request(method, "upload", **BODIES[kind](file))
    assert response.status_code == 200
    refused, replayed = [seen for seen in provider.requests if seen.path == "/api/upload"]
    assert refused.status == 401
    assert refused.length == replayed.length > 1000
    assert refused.sha256 == replayed.sha256 == response.json()["sha256"]


def test_a_file_at_an_offset_starts_there(provider: FakeProvider, make_session: Make) -> None:
    """The replay starts where the caller's file stood, not at its beginning."""
    session = make_session(provider, token=provider.issue())
    file = io.BytesIO(BYTES)
    file.seek(1000)
    provider.expire()
    assert session.post("upload", data=file).json()["sha256"] == hashlib.sha256(BYTES[1000:]).hexdigest()


class Forgetful:
    """Can seek, but requests could not note where it stood."""

    def __iter__(self) -> Iterator[bytes]:
        yield BYTES

    def seek(self, position: int) -> None:
        raise AssertionError("nobody knows where to")


def generator() -> Iterator[bytes]:
    yield BYTES
    yield BYTES


GONE: dict[str, Callable[[], Any]] = {
    "generator": lambda: generator(),
    "unseekable": Unseekable,
    "forgetful": Forgetful,
}


@pytest.mark.parametrize("kind", GONE)
def test_a_body_that_is_gone_is_not_replayed(provider: FakeProvider, make_session: Make, kind: str) -> None:
    """A stream without a way back: the token is renewed, the 401 goes to the caller, nothing empty is sent."""
    events: list[Event] = []
    session = make_session(provider, token=provider.issue(), on_event=events.append)
    provider.expire()
    response = session.post("upload", data=GONE[kind]())
    assert response.status_code == 401
    assert provider.model.refresh_calls == 1
    sent = [seen.length for seen in provider.requests if seen.path == "/api/upload"]
    assert len(sent) == 1
    assert sent[0] >= len(BYTES)
    assert "not_replayable" in [event.name for event in events]
    assert session.post("upload", data=generator()).status_code == 200
    assert provider.model.refresh_calls == 1


def test_a_file_that_was_closed_is_not_replayed(provider: FakeProvider, make_session: Make) -> None:
    """A file that cannot be rewound any more is like a stream: the refusal is returned."""
    session = make_session(provider, token=provider.issue())

    class ClosesAtEnd(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            data = super().read(size)
            if not data:
                self.close()
            return data

    provider.expire()
    assert session.post("upload", data=ClosesAtEnd(BYTES)).status_code == 401
    assert provider.model.refresh_calls == 1


def test_the_refusal_is_in_the_history(provider: FakeProvider, make_session: Make) -> None:
    """The 401 stands in `history` with its body read; the replay tells its own elapsed time and request."""
    session = make_session(provider, token=provider.issue())
    provider.expire()
    response = session.post("upload", data="x", stream=True)
    assert [r.status_code for r in response.history] == [401]
    assert response.history[0].content is not None
    assert response.elapsed.total_seconds() > 0
    assert response.request.headers["Authorization"] != response.history[0].request.headers["Authorization"]
    response.close()
