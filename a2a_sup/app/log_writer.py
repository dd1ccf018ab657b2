"""A stream that never holds up the program and never fails: supervision outlives its log."""

from __future__ import annotations

import threading
from collections import deque
from typing import TextIO

LINES_HELD = 10_000
"""Lines that wait for a reader; more are dropped, the oldest first."""
FLUSH_SECONDS = 1.0
"""How long the end of the program waits for what was not written yet."""


class LogWriter:
    """Writes lines to a stream from a thread of its own.

    The stream may be a pipe that nobody reads, a terminal that was closed, or a full disk. Then
    lines are lost, and the number of lost ones is written when it works again.
    """

    def __init__(self, stream: TextIO) -> None:
        """Write to ``stream``. The thread does not keep the program from ending."""
        self._stream = stream
        self._lines: deque[str] = deque()
        self._lost = 0
        self._changed = threading.Condition()
        self._is_writing = False
        threading.Thread(target=self._serve, name="a2a-sup log", daemon=True).start()

    def write(self, text: str) -> int:
        """Take lines to write; return at once."""
        with self._changed:
            if len(self._lines) >= LINES_HELD:
                self._lines.popleft()
                self._lost += 1
            self._lines.append(text)
            self._changed.notify_all()
        return len(text)

    def flush(self) -> None:
        """Do nothing: each line is flushed as it is written."""

    def isatty(self) -> bool:
        """Return whether the stream is a terminal."""
        return self._stream.isatty()

    def close(self) -> None:
        """Wait until everything is written, or for FLUSH_SECONDS."""
        with self._changed:
            self._changed.wait_for(
                lambda: not self._lines and not self._is_writing, timeout=FLUSH_SECONDS
            )

    def _serve(self) -> None:
        while True:
            with self._changed:
                self._is_writing = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._lines)
                self._is_writing = True
                text = self._lines.popleft()
                lost, self._lost = self._lost, 0
            if not self._write(f"a2a-sup: {lost} log lines were lost\n{text}" if lost else text):
                with self._changed:
                    self._lost += lost + 1

    def _write(self, text: str) -> bool:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):  # ValueError: the stream was closed
            return False
        return True
