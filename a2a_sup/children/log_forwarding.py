"""The output of children on the supervisor's own standard output, for containers."""

from __future__ import annotations

import os
import select
import signal
import threading
from collections import Counter, deque
from typing import get_args

from a2a_sup.children.log_lines import Chunk, LineCutter, OutputStream, as_json

STANDARD_OUTPUT = 1
HELD_BYTES = 4 * 1024 * 1024
"""Output that waits for a reader; of more the oldest is dropped, counted, and that is told."""
CHUNK_COST = 256
"""Bytes that a chunk needs beside its data."""
FLUSH_SECONDS = 1.0
"""How long the end of the program waits for what was not written yet."""
NOBODY = ""


class Forwarder:
    """Writes whole lines to a descriptor from a thread of its own, each with its child's path.

    The descriptor may be a pipe that nobody reads any more or reads slowly, a file on a full disk,
    a terminal that was closed: then lines are lost. How much is told where they are missing.
    """

    def __init__(self, descriptor: int = STANDARD_OUTPUT) -> None:
        """Write to ``descriptor``. The thread does not keep the program from ending."""
        self._descriptor = descriptor
        self._held: deque[tuple[_Source, Chunk]] = deque()
        self._size = 0
        self._lost: Counter[_Source] = Counter()
        self._unwritten = 0
        self._is_torn = False
        self._changed = threading.Condition()
        self._is_writing = self._is_closed = False
        threading.Thread(target=self._serve, name="a2a-sup forward", daemon=True).start()

    def source(self, child: str, *, is_json: bool) -> ForwardSink:
        """Return what takes the output of one incarnation of a child."""
        return ForwardSink(self, _Source(child, is_json))

    def put(self, source: _Source, chunk: Chunk) -> None:
        """Take output to write; return at once."""
        with self._changed:
            self._held.append((source, chunk))
            self._size += len(chunk.data) + CHUNK_COST
            while self._size > HELD_BYTES:
                loser, dropped = self._held.popleft()
                self._size -= len(dropped.data) + CHUNK_COST
                self._lost[loser] += len(dropped.data)
            self._changed.notify_all()

    def close(self) -> None:
        """Wait until everything is written, or for FLUSH_SECONDS."""
        with self._changed:
            self._changed.wait_for(
                lambda: not self._held and not self._is_writing, timeout=FLUSH_SECONDS
            )
            self._is_closed = True
            self._changed.notify_all()

    def _serve(self) -> None:
        # A terminal may stop who writes to it from the background; not if this is blocked.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
        while True:
            with self._changed:
                self._is_writing = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._held or self._lost or self._is_closed)
                if not self._held and not self._lost:
                    return
                self._is_writing = True
                held, self._held, self._size = self._held, deque(), 0
                lost, self._lost = self._lost, Counter()
            self._write(b"".join(_lines_of(held, lost)))

    def _write(self, data: bytes) -> None:
        if self._unwritten:
            begin = b"\n" if self._is_torn else b""
            data = begin + _loss(NOBODY, self._unwritten) + data
        rest = memoryview(data)
        try:
            while rest:
                try:
                    rest = rest[os.write(self._descriptor, rest) :]
                except BlockingIOError:
                    poll = select.poll()
                    poll.register(self._descriptor, select.POLLOUT)
                    poll.poll()
        except OSError:
            self._unwritten += len(rest)
            if len(rest) < len(data):
                self._is_torn = data[-len(rest) - 1 : -len(rest)] != b"\n"
        else:
            self._is_torn = False
            self._unwritten = 0


class ForwardSink:
    """Hands the output of one incarnation to the forwarder."""

    def __init__(self, forwarder: Forwarder, source: _Source) -> None:
        """Take both."""
        self._forwarder = forwarder
        self._source = source

    def take(self, chunk: Chunk) -> None:
        """Hand it on."""
        self._forwarder.put(self._source, chunk)

    def end(self) -> None:
        """Have the line that has no end written."""
        for stream in self._source.streams:
            self._forwarder.put(self._source, Chunk(0.0, stream, b""))


class _Source:
    """One incarnation of a child, as the writing thread sees it."""

    streams: tuple[OutputStream, ...] = get_args(OutputStream)

    def __init__(self, child: str, is_json: bool) -> None:  # noqa: FBT001 - private
        self.child = child
        self.is_json = is_json
        self.cutter = LineCutter()

    def write(self, line: Chunk) -> bytes:
        if self.is_json:
            return as_json(self.child, line)
        return b"%s | %s\n" % (self.child.encode(errors="replace"), line.data)


def _lines_of(held: deque[tuple[_Source, Chunk]], lost: Counter[_Source]) -> list[bytes]:
    """Return what to write; what was lost of a child was printed before all that is held of it."""
    written: list[bytes] = []
    for source in [source for source, _ in held if source in lost]:
        if size := lost.pop(source, 0):
            written.append(_loss(source.child, size + source.cutter.forget()))
    written += (_loss(source.child, size) for source, size in lost.items())
    for source, chunk in held:
        written += map(source.write, source.cutter.feed(chunk))
    return written


def _loss(child: str, size: int) -> bytes:
    of = f" of {child}" if child else ""
    return f"a2a-sup | {size} bytes of output{of} were lost\n".encode(errors="replace")
