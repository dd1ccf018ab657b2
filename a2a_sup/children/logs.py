"""What a child prints: kept in memory as a bounded tail, and handed to who else wants it."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import attrs
import trio

from a2a_sup.children.log_asides import Packer
from a2a_sup.children.log_files import LogFiles, RotatedFile
from a2a_sup.children.log_forwarding import Forwarder
from a2a_sup.children.log_lines import (
    Chunk,
    LineCutter,
    LogLine,
    OutputStream,
    as_log_line,
    last_lines,
)
from a2a_sup.children.log_sinks import EventSink, FileSink, JsonSink, Sink, TellLine

__all__ = ["ChildLog", "Follower", "LineFollower", "LogBook", "LogFiles", "LogLine", "RotatedFile"]

TAIL_BYTES = 64 * 1024
"""Kept in memory of each child's output."""
TAIL_CHUNKS = 4096
"""Reads whose output is kept: a child that prints a byte at a time has a shorter tail."""
FOLLOWER_BYTES = 256 * 1024
"""Waiting for a follower that is slower than the child; the oldest is dropped above it."""
ENDED_LOGS = 256
"""Children that ended and whose tails are still in memory."""


class ChildLog:
    """The output of one child, over all its incarnations.

    Attributes:
        written: bytes the child has printed so far; a position to ask ``tail`` about.
    """

    def __init__(self) -> None:
        """Begin empty, with the tail only."""
        self.written = 0
        self._files: tuple[FileSink, ...] = ()
        self._sinks: tuple[Sink, ...] = ()
        self._tail = deque[Chunk]()
        self._tail_bytes = 0
        self._followers = set[Follower]()

    @contextmanager
    def sent_to(self, sinks: Iterable[Sink | FileSink]) -> Iterator[None]:
        """Hand what is printed meanwhile to ``sinks`` too: the output of one incarnation."""
        made = tuple(sinks)  # or none: what makes them may fail
        self._files = (*self._files, *(sink for sink in made if isinstance(sink, FileSink)))
        self._sinks = (*self._sinks, *(sink for sink in made if not isinstance(sink, FileSink)))
        try:
            yield
        finally:
            ended: tuple[Sink | FileSink, ...] = (*self._files, *self._sinks)
            self._files, self._sinks = (), ()
            for sink in ended:
                sink.end()
            self._end_lines()

    def write(self, data: bytes | memoryview, stream: OutputStream = "output") -> None:
        """Keep what the child printed. Never fails: a child does not end for a full disk."""
        if not data:
            return
        self.written += len(data)
        now = time.time()
        self._remember(Chunk(now, stream, bytes(data[-TAIL_BYTES:])))
        for file in self._files:
            file.write(data)
        if self._followers or self._sinks:
            chunk = Chunk(now, stream, bytes(data))
            for follower in self._followers:
                follower.put(chunk)
            for sink in self._sinks:
                sink.take(chunk)

    def tail(self, lines: int, *, since: int = 0) -> list[bytes]:
        """Return the last lines, without their ends, as far as they are in memory.

        Args:
            lines: at most so many.
            since: only what was printed after this position.
        """
        return [line.data for line in last_lines(self._tail_since(since), lines)]

    def recent(self, lines: int, *, since: float = 0.0) -> tuple[LogLine, ...]:
        """Return the last lines with their times and streams, as far as they are in memory.

        They are in the order of their times; so those of several children can be merged by
        ``heapq.merge(*(log.recent(100) for log in logs), key=lambda line: line.time)``. The tail
        in memory is some 64 KiB. A last line that has no end yet is one of them. Costs a
        millisecond at most for usual lines, and nothing while nobody asks.

        Args:
            lines: at most so many.
            since: only those that were printed at this time or later, in seconds since 1970.
        """
        found = last_lines(self._tail, lines)
        return tuple(as_log_line(line) for line in found if line.time >= since)

    @contextmanager
    def follow(self, limit: int = FOLLOWER_BYTES) -> Iterator[Follower]:
        """Follow what the child prints from now on, byte by byte, through restarts.

        Args:
            limit: bytes that may wait; see ``Follower``.
        """
        follower = Follower(limit)
        self._followers.add(follower)
        try:
            yield follower
        finally:
            self._followers.discard(follower)

    @contextmanager
    def follow_lines(self, last: int = 0, limit: int = FOLLOWER_BYTES) -> Iterator[LineFollower]:
        """Follow the lines the child prints from now on, through restarts.

        Args:
            last: so many of the lines before come first. None is missing or twice between them
                and those that follow; a line that has begun comes when it is whole.
            limit: bytes that may wait; see ``Follower``.
        """
        cutter = LineCutter()
        before = [line for chunk in self._tail for line in cutter.feed(chunk)]
        with self.follow(limit) as follower:
            yield LineFollower(follower, cutter, before[-last:] if last > 0 else [])

    @property
    def followed(self) -> bool:
        """Whether anybody follows it now."""
        return bool(self._followers)

    def _tail_since(self, since: int) -> Iterator[Chunk]:
        position = self.written - self._tail_bytes
        for chunk in self._tail:
            position += len(chunk.data)
            if position > since:
                begin = max(0, len(chunk.data) - (position - since))
                yield chunk._replace(data=chunk.data[begin:]) if begin else chunk

    def _remember(self, chunk: Chunk) -> None:
        self._tail.append(chunk)
        self._tail_bytes += len(chunk.data)
        while (
            self._tail_bytes - len(self._tail[0].data) >= TAIL_BYTES
            or len(self._tail) > TAIL_CHUNKS
        ):
            self._tail_bytes -= len(self._tail.popleft().data)

    def _end_lines(self) -> None:
        """Let the next incarnation begin with a line of its own."""
        begun = {chunk.stream: chunk.data[-1:] not in (b"\n", b"") for chunk in self._tail}
        for stream in (stream for stream, has_begun in begun.items() if has_begun):
            chunk = Chunk(time.time(), stream, b"")
            self._tail.append(chunk)
            for follower in self._followers:
                follower.put(chunk)


class Follower:
    """Somebody who reads along, at their own pace."""

    def __init__(self, limit: int) -> None:
        """Let at most ``limit`` bytes wait."""
        self._limit = limit
        self._waiting = deque[Chunk]()
        self._size = 0
        self._lost = 0
        self._arrived = trio.Event()

    def put(self, chunk: Chunk) -> None:
        """Add output; drop the oldest that is too much."""
        self._waiting.append(chunk)
        self._size += len(chunk.data)
        while self._size > self._limit or len(self._waiting) > TAIL_CHUNKS:
            oldest = self._waiting.popleft()
            surplus = self._size - self._limit
            # Too many pieces: the oldest goes as a whole.
            kept = oldest.data[surplus:] if surplus > 0 else b""
            self._lost += len(oldest.data) - len(kept)
            self._size -= len(oldest.data) - len(kept)
            if kept:
                self._waiting.appendleft(oldest._replace(data=kept))
        self._arrived.set()

    async def receive(self) -> tuple[bytes, int]:
        """Wait for output.

        Returns:
            All that is waiting, and how many bytes were dropped right before it.
        """
        while True:
            chunks, lost = await self.receive_chunks()
            if data := b"".join(chunk.data for chunk in chunks):
                return data, lost
            self._lost += lost

    async def receive_chunks(self) -> tuple[list[Chunk], int]:
        """Wait for output, or the end of an incarnation in the middle of a line.

        Returns:
            All that is waiting, and how many bytes were dropped right before it.
        """
        while not self._waiting:
            self._arrived = trio.Event()
            await self._arrived.wait()
        chunks, lost = list(self._waiting), self._lost
        self._waiting.clear()
        self._size = self._lost = 0
        return chunks, lost


class LineFollower:
    """Somebody who reads along line by line, at their own pace."""

    def __init__(self, follower: Follower, cutter: LineCutter, before: list[Chunk]) -> None:
        """Follow ``follower``; ``before`` and what has begun in ``cutter`` come first."""
        self._follower = follower
        self._cutter = cutter
        self._before = before

    async def receive(self) -> tuple[tuple[LogLine, ...], int]:
        """Wait for lines.

        Returns:
            All that are waiting, and how many bytes were dropped right before them.
        """
        if self._before:
            before, self._before = self._before, []
            return tuple(map(as_log_line, before)), 0
        dropped = 0
        while True:
            chunks, lost = await self._follower.receive_chunks()
            if lost:
                dropped += lost + self._cutter.forget()
            lines = [line for chunk in chunks for line in self._cutter.feed(chunk)]
            if lines:
                return tuple(map(as_log_line, lines)), dropped


@attrs.define
class Everything:
    """What holds for all children, whatever they say themselves.

    Attributes:
        forward: all are forwarded to standard output.
        files: files are kept; False: of none.
    """

    forward: bool = False
    files: bool = True


class LogBook:
    """The logs of all children, by path.

    Attributes:
        everything: may be changed; holds for incarnations that begin later.
    """

    def __init__(self) -> None:
        """Begin empty."""
        self.everything = Everything()
        self._open: dict[str, ChildLog] = {}
        self._ended: OrderedDict[str, ChildLog] = OrderedDict()
        self._packer = Packer()
        self._forwarder: Forwarder | None = None

    def get(self, child: str) -> ChildLog | None:
        """Return the log of the child with this path, or None if it printed nothing lately."""
        return self._open.get(child) or self._ended.get(child)

    @contextmanager
    def opened(
        self,
        child: str,
        files: LogFiles | None,
        report: Callable[[str], None],
        tell: TellLine | None = None,
    ) -> Iterator[ChildLog]:
        """Have the log of a child for the life of one incarnation.

        Args:
            child: its path.
            files: where to keep it; None: in memory only.
            report: is told about files that cannot be written, once per minute.
            tell: is told the lines, if ``files`` asks for events.
        """
        log = self._ended.pop(child, None) or ChildLog()
        self._open[child] = log
        try:
            with log.sent_to(self._sinks(child, files or LogFiles(), report, tell)):
                yield log
        finally:
            if self._open.get(child) is log:
                del self._open[child]
            self._ended[child] = log
            self._forget_the_oldest()

    def close(self) -> None:
        """Have everything written that waits for standard output, if it is soon."""
        if self._forwarder is not None:
            self._forwarder.close()

    def _sinks(
        self,
        child: str,
        files: LogFiles,
        report: Callable[[str], None],
        tell: TellLine | None,
    ) -> Iterator[Sink | FileSink]:
        file = files.file_of(child, self._packer) if self.everything.files else None
        if file is not None:
            sink = FileSink(file, report)
            yield JsonSink(child, sink) if files.format == "json" else sink
        if files.forward or self.everything.forward:
            if self._forwarder is None:
                self._forwarder = Forwarder()
            yield self._forwarder.source(child, is_json=files.format == "json")
        if files.events and tell is not None:
            yield EventSink(tell)

    def _forget_the_oldest(self) -> None:
        while len(self._ended) > ENDED_LOGS:
            oldest = next((path for path, log in self._ended.items() if not log.followed), None)
            if oldest is None:
                break
            del self._ended[oldest]
