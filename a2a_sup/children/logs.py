"""What a child prints: kept byte for byte in rotated files, and a bounded tail in memory."""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import attrs
import trio

from a2a_sup.errors import SpecError

MEBIBYTE = 1024 * 1024
TAIL_BYTES = 64 * 1024
"""Kept in memory of each child's output."""
FOLLOWER_BYTES = 256 * 1024
"""Waiting for a follower that is slower than the child; the oldest is dropped above it."""
COMPLAINT_SECONDS = 60.0
"""A disk that fails is reported once in this time."""
ENDED_LOGS = 256
"""Children that ended and whose tails are still in memory."""


@attrs.frozen
class LogFiles:
    """Where the output of a child is kept.

    Attributes:
        directory: made when it is missing, for this user only.
        max_bytes: the size at which a file is put aside and a new one begun.
        keep: files put aside, beside the current one; the oldest are deleted.
    """

    directory: Path = attrs.field(converter=Path)
    max_bytes: int = 10 * MEBIBYTE
    keep: int = 5

    def __attrs_post_init__(self) -> None:
        """Refuse sizes that make no sense."""
        problems = []
        if self.max_bytes < 1:
            problems.append(f"logs: max_bytes is a number >= 1, not {self.max_bytes!r}")
        if self.keep < 0:
            problems.append(f"logs: keep is a number >= 0, not {self.keep!r}")
        if problems:
            raise SpecError(problems)

    def path_of(self, child: str) -> Path:
        """Return the current file of the child with this path.

        Different children have different files, none has a name that means something to the file
        system, and the name stays short enough for it.
        """
        name = quote(child, safe=" ")
        if name.startswith("."):
            name = "%2E" + name[1:]
        if len(name) > 200:
            name = f"{name[:180]}~{hashlib.sha256(child.encode()).hexdigest()[:32]}"
        return self.directory / f"{name}.log"


class RotatedFile:
    """A file that is put aside as ``NAME.1`` (then ``.2``, ...) when it is full.

    Cuts at the end of a line if there is one, so that lines stay whole. Nothing is lost at the
    cut: one file ends where the next begins.
    """

    def __init__(self, path: Path, *, max_bytes: int, keep: int) -> None:
        """Take the place; nothing is opened before the first write."""
        self._path = path
        self._max_bytes = max_bytes
        self._keep = keep
        self._file: int | None = None
        self._size = 0
        self._inside_line = False

    def write(self, data: bytes) -> None:
        """Append ``data``.

        Raises:
            OSError: what is not yet written of ``data`` is lost; a later call tries afresh.
        """
        rest = memoryview(data)
        while rest:
            file = self._opened()
            room = self._room(data, len(data) - len(rest))
            if room <= 0:
                self._rotate()
                continue
            written = os.write(file, rest[:room])
            self._size += written
            self._inside_line = rest[written - 1] != 0x0A
            rest = rest[written:]

    def close(self) -> None:
        """Close the file. A later write opens it again."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _room(self, data: bytes, start: int) -> int:
        """Return how many bytes of ``data`` from ``start`` belong into the current file."""
        room = self._max_bytes - self._size
        if len(data) - start <= room:
            return len(data) - start
        line_end = data.rfind(b"\n", start, start + max(room, 0)) + 1
        if line_end:
            return line_end - start
        # No line ends in the room that is left: the next file begins with this line, unless
        # a part of it is here already or it is longer than a whole file.
        return room if self._inside_line or not self._size else 0

    def _opened(self) -> int:
        if self._file is None:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._file = os.open(self._path, flags, 0o600)
            self._size = os.fstat(self._file).st_size
            self._inside_line = False
        return self._file

    def _rotate(self) -> None:
        self.close()
        if not self._keep:
            self._path.unlink(missing_ok=True)
            return
        free = 1
        while free < self._keep and self._aside(free).exists():
            free += 1
        for number in range(free, 1, -1):
            self._aside(number - 1).replace(self._aside(number))
        self._path.replace(self._aside(1))

    def _aside(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")


class ChildLog:
    """The output of one child, over all its incarnations.

    Attributes:
        written: bytes the child has printed so far; a position to ask ``tail`` about.
    """

    def __init__(self) -> None:
        """Begin empty, with the tail only."""
        self.written = 0
        self._file: RotatedFile | None = None
        self._tail = deque[bytes]()
        self._tail_bytes = 0
        self._followers = set[Follower]()
        self._report: Callable[[str], None] = lambda _: None
        self._lost = 0
        self._complained = -COMPLAINT_SECONDS

    @contextmanager
    def kept_in(self, file: RotatedFile | None, report: Callable[[str], None]) -> Iterator[None]:
        """Keep what is printed meanwhile in ``file`` too.

        Args:
            file: None: in memory only.
            report: is told about a file that cannot be written, once per minute.
        """
        self._file, self._report = file, report
        try:
            yield
        finally:
            self._file, self._report = None, lambda _: None
            if file is not None:
                file.close()

    def write(self, data: bytes) -> None:
        """Keep what the child printed. Never fails: a child does not end for a full disk."""
        self.written += len(data)
        self._remember(data)
        for follower in self._followers:
            follower.put(data)
        if self._file is not None:
            try:
                self._file.write(data)
            except OSError as exc:
                self._complain(exc, len(data))

    def tail(self, lines: int, *, since: int = 0) -> list[bytes]:
        """Return the last lines, without their ends, as far as they are in memory.

        Args:
            lines: at most so many.
            since: only what was printed after this position.
        """
        wanted = max(0, min(self.written - since, self._tail_bytes))
        data = b"".join(self._tail)[self._tail_bytes - wanted :]
        return data.splitlines()[-lines:] if lines > 0 else []

    @contextmanager
    def follow(self, limit: int = FOLLOWER_BYTES) -> Iterator[Follower]:
        """Follow what the child prints from now on, through restarts.

        Args:
            limit: bytes that may wait; see ``Follower``.
        """
        follower = Follower(limit)
        self._followers.add(follower)
        try:
            yield follower
        finally:
            self._followers.discard(follower)

    @property
    def followed(self) -> bool:
        """Whether anybody follows it now."""
        return bool(self._followers)

    def _remember(self, data: bytes) -> None:
        kept = data[-TAIL_BYTES:]
        self._tail.append(kept)
        self._tail_bytes += len(kept)
        while self._tail_bytes - len(self._tail[0]) >= TAIL_BYTES:
            self._tail_bytes -= len(self._tail.popleft())

    def _complain(self, error: OSError, lost: int) -> None:
        self._lost += lost
        now = trio.current_time()
        if now - self._complained >= COMPLAINT_SECONDS:
            self._complained = now
            self._report(f"{error}; up to {self._lost} bytes of output are not in the file")
            self._lost = 0


class Follower:
    """Somebody who reads along, at their own pace."""

    def __init__(self, limit: int) -> None:
        """Let at most ``limit`` bytes wait."""
        self._limit = limit
        self._waiting = deque[bytes]()
        self._size = 0
        self._lost = 0
        self._arrived = trio.Event()

    def put(self, data: bytes) -> None:
        """Add output; drop the oldest that is too much."""
        self._waiting.append(data)
        self._size += len(data)
        while self._size > self._limit:
            oldest = self._waiting.popleft()
            kept = oldest[self._size - self._limit :]
            self._lost += len(oldest) - len(kept)
            self._size -= len(oldest) - len(kept)
            if kept:
                self._waiting.appendleft(kept)
        self._arrived.set()

    async def receive(self) -> tuple[bytes, int]:
        """Wait for output.

        Returns:
            All that is waiting, and how many bytes were dropped right before it.
        """
        while not self._waiting:
            self._arrived = trio.Event()
            await self._arrived.wait()
        data, lost = b"".join(self._waiting), self._lost
        self._waiting.clear()
        self._size = self._lost = 0
        return data, lost


class LogBook:
    """The logs of all children, by path."""

    def __init__(self) -> None:
        """Begin empty."""
        self._open: dict[str, ChildLog] = {}
        self._ended: OrderedDict[str, ChildLog] = OrderedDict()

    def get(self, child: str) -> ChildLog | None:
        """Return the log of the child with this path, or None if it printed nothing lately."""
        return self._open.get(child) or self._ended.get(child)

    @contextmanager
    def opened(
        self, child: str, files: LogFiles | None, report: Callable[[str], None]
    ) -> Iterator[ChildLog]:
        """Have the log of a child for the life of one incarnation.

        Args:
            child: its path.
            files: where to keep it; None: in memory only.
            report: is told about files that cannot be written, once per minute.
        """
        log = self._ended.pop(child, None) or ChildLog()
        file = None
        if files is not None:
            path = files.path_of(child)
            file = RotatedFile(path, max_bytes=files.max_bytes, keep=files.keep)
        self._open[child] = log
        try:
            with log.kept_in(file, report):
                yield log
        finally:
            if self._open.get(child) is log:
                del self._open[child]
            self._ended[child] = log
            self._forget_the_oldest()

    def _forget_the_oldest(self) -> None:
        while len(self._ended) > ENDED_LOGS:
            oldest = next((path for path, log in self._ended.items() if not log.followed), None)
            if oldest is None:
                break
            del self._ended[oldest]
