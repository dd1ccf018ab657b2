"""What a child prints, from chunks of bytes to lines that know when and where they came from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Literal, NamedTuple, TypeAlias

OutputStream: TypeAlias = Literal["output", "stdout", "stderr"]
"""``output``: standard output and standard error through one pipe, in the order of printing."""

LINE_BYTES = 128 * 1024
"""A line that is longer comes as several. No tail in memory has that much."""


class Chunk(NamedTuple):
    """What one read gave.

    Attributes:
        time: when, in seconds since 1970.
        stream: from where.
        data: the bytes; none: the child ended, and with it a line that has no end.
    """

    time: float
    stream: OutputStream
    data: bytes


class LogLine(NamedTuple):
    """One line that a child printed.

    Attributes:
        time: when its beginning was read, in seconds since 1970. Of a busy child whole blocks are
            read, at most 5 ms late: their lines have one time.
        stream: ``output``, or ``stdout`` and ``stderr`` where they are told apart.
        text: without its end; what is no UTF-8 is replaced.
    """

    time: float
    stream: OutputStream
    text: str


class LineCutter:
    """Cuts the chunks of one child into lines and keeps what is not yet a whole one."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._begun: dict[OutputStream, Chunk] = {}

    def feed(self, chunk: Chunk) -> Iterator[Chunk]:
        """Yield the lines that ``chunk`` completes, without their ends."""
        time, stream, data = chunk
        begun = self._begun.pop(stream, None)
        if not data:
            yield from _lines(begun) if begun else ()
            return
        *whole, rest = data.split(b"\n")
        if begun and whole:
            yield from _lines(begun._replace(data=begun.data + whole.pop(0)))
            begun = None
        for line in whole:
            # Most lines are short and have no end of another kind inside.
            if b"\r" in line or len(line) > LINE_BYTES:
                yield from _lines(Chunk(time, stream, line))
            else:
                yield Chunk(time, stream, line)
        if begun:
            rest = begun.data + rest
            time = begun.time
        while len(rest) > LINE_BYTES:
            yield Chunk(time, stream, rest[:LINE_BYTES])
            rest = rest[LINE_BYTES:]
        if rest:
            self._begun[stream] = Chunk(time, stream, rest)

    def end(self) -> Iterator[Chunk]:
        """Yield the lines that have begun, as they are, and forget them."""
        begun, self._begun = self._begun, {}
        for chunk in begun.values():
            yield from _lines(chunk)

    def forget(self) -> int:
        """Forget the lines that have begun; return their bytes."""
        size = sum(len(chunk.data) for chunk in self._begun.values())
        self._begun = {}
        return size


def _lines(chunk: Chunk) -> Iterator[Chunk]:
    """Yield the lines of a text that has no line feed: carriage returns end lines too."""
    for line in chunk.data.splitlines() or [b""]:
        for start in range(0, max(len(line), 1), LINE_BYTES):
            yield chunk._replace(data=line[start : start + LINE_BYTES])


def last_lines(chunks: Iterable[Chunk], count: int) -> list[Chunk]:
    """Return the last lines of ``chunks``, by the time of their beginning.

    A line that has no end yet is one of them.
    """
    needed: list[Chunk] = []
    ends = 0
    for chunk in reversed(list(chunks)):
        needed.append(chunk)
        ends += chunk.data.count(b"\n")
        if ends > count:
            break
    cutter = LineCutter()
    lines = [line for chunk in reversed(needed) for line in cutter.feed(chunk)]
    lines += cutter.end()
    lines.sort(key=_time_of)
    return lines[-count:] if count > 0 else []


def _time_of(chunk: Chunk) -> float:
    return chunk.time


def as_log_line(line: Chunk) -> LogLine:
    """Return a line as text."""
    return LogLine(line.time, line.stream, line.data.decode(errors="replace"))


def as_json(child: str, line: Chunk) -> bytes:
    """Return a line as ``{"time", "child", "stream", "line"}`` and a line feed.

    ``time`` is ISO 8601 in UTC, with microseconds.
    """
    fields = {
        "time": datetime.fromtimestamp(line.time, UTC).isoformat(timespec="microseconds"),
        "child": child,
        "stream": line.stream,
        "line": line.data.decode(errors="replace"),
    }
    return json.dumps(fields, ensure_ascii=False).encode(errors="replace") + b"\n"
