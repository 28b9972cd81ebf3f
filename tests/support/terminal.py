"""A command in a terminal of its own, as a person has it: what stands on the screen, and what was sent to it."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Mapping, Sequence

import pyte


class Terminal:
    """Runs a command on a pseudo-terminal of so many columns and lines; ends it, if need be, when it is left."""

    def __init__(
        self, command: Sequence[str], columns: int, lines: int = 24, *, env: Mapping[str, str] | None = None
    ) -> None:
        self.screen = pyte.HistoryScreen(columns, lines, history=2000, ratio=1.0)
        self._stream, self._lock = pyte.ByteStream(self.screen), threading.Lock()  # guards the screen
        self.sent = b""
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        env = {**os.environ, **(env or {}), "TERM": "xterm-256color"}
        for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"):
            env.pop(name, None)
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=env, start_new_session=True, preexec_fn=_control
        )
        os.close(slave)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        self._reader.join(10)
        os.close(self._master)

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._master, 65536)
            except OSError:  # the other end is closed
                return
            if not data:
                return
            with self._lock:
                self.sent += data
                self._stream.feed(data)

    def text(self) -> str:
        """What stands there now."""
        with self._lock:
            return "\n".join(line.rstrip() for line in self.screen.display).rstrip()

    def cells(self) -> list[list[pyte.screens.Char]]:
        """The same with its colors, from what has been scrolled out at the top to the last line that is not empty."""
        with self._lock:
            columns = range(self.screen.columns)
            rows = [*self.screen.history.top, *(self.screen.buffer[y] for y in range(self.screen.lines))]
            found = [[row[x] for x in columns] for row in rows]
        while found and not "".join(cell.data for cell in found[-1]).strip():
            found.pop()
        return found

    def wait_for(self, *words: str, patience: float = 60.0) -> str:
        """The text in which all these words stand."""
        end = time.monotonic() + patience
        while not all(word in (text := self.text()) for word in words):
            assert time.monotonic() < end, f"{words} is not in:\n{text}"
            time.sleep(0.02)
        return text

    def wait_without(self, word: str, patience: float = 60.0) -> str:
        """The text from which it has gone."""
        end = time.monotonic() + patience
        while word in (text := self.text()):
            assert time.monotonic() < end, f"{word} is still in:\n{text}"
            time.sleep(0.02)
        return text

    def press_ctrl_c(self) -> None:
        os.write(self._master, b"\x03")

    def ended(self, patience: float = 60.0) -> int:
        """Its exit code."""
        code = self.process.wait(patience)
        self._reader.join(patience)
        return code


def _control() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # so that Ctrl-C reaches it
    signal.signal(signal.SIGINT, signal.default_int_handler)
