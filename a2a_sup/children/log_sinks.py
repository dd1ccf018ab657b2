"""Where the output of a child goes beside memory: into a file, to standard output, into events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

import trio

from a2a_sup.children.log_files import RotatedFile
from a2a_sup.children.log_lines import Chunk, LineCutter, OutputStream, as_json

COMPLAINT_SECONDS = 60.0
"""A disk that fails is reported once in this time."""
EVENTS_PER_SECOND = 100
"""Lines of one child that become events; more are counted and left out."""
EVENT_CHARACTERS = 1_000
"""Of a line that becomes an event."""

TellLine: TypeAlias = Callable[[OutputStream, str, int], None]
"""Is told a stream, a line, and how many lines before it were left out."""


class Sink(Protocol):
    """Takes what one incarnation of a child prints. Never fails and never waits."""

    def take(self, chunk: Chunk) -> None:
        """Take what was printed."""

    def end(self) -> None:
        """There is no more."""


class FileSink:
    """Writes what is printed into a file, as it is. A disk that fails is no child's crash."""

    def __init__(self, file: RotatedFile, report: Callable[[str], None]) -> None:
        """Take the file; ``report`` is told about trouble, once per minute."""
        self._file = file
        self._report = report
        self._lost = 0
        self._complained = -COMPLAINT_SECONDS

    def write(self, data: bytes | memoryview) -> None:
        """Write these bytes."""
        try:
            self._file.write(data)
        except OSError as exc:
            self._complain(exc, len(data))

    def end(self) -> None:
        """Close the file."""
        self._file.close()

    def _complain(self, error: OSError, lost: int) -> None:
        self._lost += lost
        now = trio.current_time()
        if now - self._complained >= COMPLAINT_SECONDS:
            self._complained = now
            self._report(f"{error}; up to {self._lost} bytes of output are not in the file")
            self._lost = 0


class JsonSink:
    """Writes each line into a file as a JSON object."""

    def __init__(self, child: str, file: FileSink) -> None:
        """Take the child's path and where to write."""
        self._child = child
        self._file = file
        self._cutter = LineCutter()

    def take(self, chunk: Chunk) -> None:
        """Write the lines that it completes."""
        if lines := [as_json(self._child, line) for line in self._cutter.feed(chunk)]:
            self._file.write(b"".join(lines))

    def end(self) -> None:
        """Write what has no end, and close the file."""
        for line in self._cutter.end():
            self._file.write(as_json(self._child, line))
        self._file.end()


class EventSink:
    """Tells each line as an event, as many as are good for a tree."""

    def __init__(self, tell: TellLine) -> None:
        """Take who makes the events."""
        self._tell = tell
        self._cutter = LineCutter()
        self._second = -1
        self._told = 0
        self._left_out = 0

    def take(self, chunk: Chunk) -> None:
        """Tell the lines that it completes."""
        second = int(chunk.time)
        if second != self._second:
            self._second, self._told = second, 0
        if self._told >= EVENTS_PER_SECOND:
            # A flood is counted and not looked at.
            self._left_out += chunk.data.count(b"\n")
            self._cutter.forget()
            return
        for line in self._cutter.feed(chunk):
            self._tell_one(line)

    def end(self) -> None:
        """Tell what has no end, and how much was left out last."""
        self._told = 0
        for line in self._cutter.end():
            self._tell_one(line)
        if self._left_out:
            self._tell("output", "", self._left_out)

    def _tell_one(self, line: Chunk) -> None:
        if self._told >= EVENTS_PER_SECOND:
            self._left_out += 1
            return
        text = line.data[: 4 * EVENT_CHARACTERS].decode(errors="replace")[:EVENT_CHARACTERS]
        self._tell(line.stream, text, self._left_out)
        self._told += 1
        self._left_out = 0
