"""Replays: the very same bytes, or none."""

from __future__ import annotations

import contextlib
import hashlib
import io
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from oauth_session import Event
from oauth_session.testing import FakeProvider

from .conftest import Open

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
    provider: FakeProvider, open_door: Open, tmp_path: Path, kind: str, method: str
) -> None:
    """What the server gets on the replay is byte for byte what it refused, and no shorter."""
    session = open_door(provider)
    (tmp_path / "upload.bin").write_bytes(BYTES)
    provider.expire()
    with (tmp_path / "upload.bin").open("rb") as file:
        response = session.request(method, provider.api_url + "upload", **BODIES[kind](file))
    assert response.status_code == 200
    refused, replayed = [seen for seen in provider.requests if seen.path == "/api/upload"]
    assert refused.status == 401
    assert refused.length == replayed.length > 1000
    assert refused.sha256 == replayed.sha256 == response.json()["sha256"]


def test_a_file_at_an_offset_starts_there(provider: FakeProvider, open_door: Open) -> None:
    """The replay starts where the caller's file stood, not at its beginning."""
    session = open_door(provider)
    file = io.BytesIO(BYTES)
    file.seek(1000)
    provider.expire()
    assert (
        session.post(provider.api_url + "upload", data=file).json()["sha256"]
        == hashlib.sha256(BYTES[1000:]).hexdigest()
    )


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
def test_a_body_that_is_gone_is_not_replayed(provider: FakeProvider, open_door: Open, kind: str) -> None:
    """A stream without a way back: the token is renewed, the 401 goes to the caller, nothing empty is sent."""
    events: list[Event] = []
    session = open_door(provider, on_event=events.append)
    provider.expire()
    response = session.post(provider.api_url + "upload", data=GONE[kind]())
    assert response.status_code == 401
    assert provider.model.refresh_calls == 1
    sent = [seen.length for seen in provider.requests if seen.path == "/api/upload"]
    assert len(sent) == 1
    assert sent[0] >= len(BYTES)
    assert "not_replayable" in [event.name for event in events]
    assert session.post(provider.api_url + "upload", data=generator()).status_code == 200
    assert provider.model.refresh_calls == 1


def test_a_file_that_was_closed_is_not_replayed(provider: FakeProvider, open_door: Open) -> None:
    """A file that cannot be rewound any more is like a stream: the refusal is returned."""
    session = open_door(provider)

    class ClosesAtEnd(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            data = super().read(size)
            if not data:
                self.close()
            return data

    provider.expire()
    assert session.post(provider.api_url + "upload", data=ClosesAtEnd(BYTES)).status_code == 401
    assert provider.model.refresh_calls == 1


def test_the_refusal_is_in_the_history(provider: FakeProvider, open_door: Open) -> None:
    """The 401 stands in `history` with its body read; the replay tells its own elapsed time and request."""
    session = open_door(provider)
    provider.expire()
    response = session.post(provider.api_url + "upload", data="x", stream=True)
    assert [r.status_code for r in response.history] == [401]
    assert response.history[0].content is not None
    assert response.elapsed.total_seconds() > 0
    assert response.request.headers["Authorization"] != response.history[0].request.headers["Authorization"]
    response.close()


@pytest.mark.doors("session", "auth", "adapter")
def test_a_length_set_by_hand(provider: FakeProvider, open_door: Open) -> None:
    """A `Content-Length` of the caller's, on a prepared request, frames the replay too, and a generator that is gone."""
    session = open_door(provider)
    for body, status in ((io.BytesIO(BYTES), 200), (iter([BYTES]), 401)):
        provider.expire()
        prepared = session.prepare_request(requests.Request("PUT", provider.api_url + "upload", data=body))
        prepared.headers.pop("Transfer-Encoding", None)
        prepared.headers["Content-Length"] = str(len(BYTES))
        assert session.send(prepared).status_code == status
    sent = [seen for seen in provider.requests if seen.path == "/api/upload"]
    assert [(seen.status, seen.length) for seen in sent] == [(401, len(BYTES)), (200, len(BYTES)), (401, len(BYTES))]


def test_a_chunked_body_is_chunked_again(provider: FakeProvider, open_door: Open) -> None:
    """What went out in chunks, since its length cannot be told, is replayed in chunks if it can be rewound."""

    class NoLength:
        def __init__(self) -> None:
            self._file = io.BytesIO(BYTES)

        def __iter__(self) -> Iterator[bytes]:
            return iter(lambda: self._file.read(10_000), b"")

        def tell(self) -> int:
            return self._file.tell()

        def seek(self, position: int, whence: int = 0) -> int:
            if whence:
                raise OSError("it has no end")
            return self._file.seek(position)

    session = open_door(provider)
    provider.expire()
    assert session.post(provider.api_url + "upload", data=NoLength()).ok
    sent = [seen for seen in provider.requests if seen.path == "/api/upload"]
    assert [seen.headers.get("transfer-encoding") for seen in sent] == ["chunked"] * 2
    assert {seen.sha256 for seen in sent} == {hashlib.sha256(BYTES).hexdigest()}


class Hasty:
    """An API that says 401 to the first request before it has read the body, and slams the door; then it is patient."""

    def __init__(self) -> None:
        self.received: list[int] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self) -> Hasty:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection, contextlib.suppress(OSError), connection.makefile("rb") as file:
                    head = {}
                    while line := file.readline().strip():
                        name, _, value = line.decode().partition(": ")
                        head[name.lower()] = value
                    first = not self.received
                    self.received.append(0 if first else len(file.read(int(head["content-length"]))))
                    status = "401 No" if first else "200 OK"
                    connection.sendall(f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".encode())


def outcome(session: requests.Session, url: str, body: Any) -> int | str:
    try:
        return session.post(url, data=body, timeout=30).status_code
    except requests.ConnectionError:
        return "ConnectionError"


@pytest.mark.parametrize("body", ["bytes", "file", "generator"])
def test_a_server_that_does_not_read_on(provider: FakeProvider, open_door: Open, body: str) -> None:
    """A 401 given before the body was read, and the door slammed: the whole replay, or what plain requests raises."""
    big = b"x" * 8_000_000
    bodies = {"bytes": lambda: big, "file": lambda: io.BytesIO(big), "generator": lambda: iter([big])}
    with Hasty() as hasty:
        plain = outcome(requests.Session(), hasty.url, bodies[body]())
    assert plain in (401, "ConnectionError")
    with Hasty() as hasty:
        ours = outcome(open_door(provider, api=hasty.url), hasty.url, bodies[body]())
    if body == "generator":
        assert (ours in (401, "ConnectionError"), hasty.received) == (True, [0])
    else:
        assert (ours, hasty.received) in [(200, [0, len(big)]), ("ConnectionError", [0])]
