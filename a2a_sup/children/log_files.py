"""Rotated files: what a child prints, kept by size and by age, and packed if asked."""

from __future__ import annotations

import hashlib
import math
import os
import time
from pathlib import Path
from typing import Literal, TypeAlias, get_args
from urllib.parse import quote

import attrs

from a2a_sup.children.log_asides import Packer, put_aside
from a2a_sup.errors import SpecError

MEBIBYTE = 1024 * 1024

OutputFormat: TypeAlias = Literal["text", "json"]
"""``text``: byte for byte as printed. ``json``: an object a line, see ``log_lines.as_json``."""


@attrs.frozen
class LogFiles:
    """Where the output of a child goes, beside the tail that is kept in memory.

    Attributes:
        directory: of its files; made when it is missing, for this user only. None: no files.
        max_bytes: the size at which a file is put aside and a new one begun.
        keep: files put aside, beside the current one; the oldest are deleted.
        max_age: seconds; a file holds output of no more than that: time since 1970 is cut into
            such spans (days begin at midnight UTC), and what is printed in another span goes into
            another file. None: no limit.
        gzip: files put aside are packed, by a thread.
        format: ``text`` or ``json``; for ``json`` a process has a pipe each for standard output
            and standard error.
        forward: everything is written to the supervisor's standard output too, each line with
            the child's path before it, or as JSON.
        events: every line is an event too (``child.output``), within limits.
    """

    directory: Path | None = attrs.field(default=None, converter=attrs.converters.optional(Path))
    max_bytes: int = 10 * MEBIBYTE
    keep: int = 5
    max_age: float | None = attrs.field(default=None, kw_only=True)
    gzip: bool = attrs.field(default=False, kw_only=True)
    format: OutputFormat = attrs.field(default="text", kw_only=True)
    forward: bool = attrs.field(default=False, kw_only=True)
    events: bool = attrs.field(default=False, kw_only=True)

    def __attrs_post_init__(self) -> None:
        """Refuse what makes no sense."""
        problems = []
        if self.max_bytes < 1:
            problems.append(f"logs: max_bytes is a number >= 1, not {self.max_bytes!r}")
        if self.keep < 0:
            problems.append(f"logs: keep is a number >= 0, not {self.keep!r}")
        if self.max_age is not None and not 0 < self.max_age < math.inf:
            problems.append(f"logs: max_age is a number of seconds > 0, not {self.max_age!r}")
        if self.format not in get_args(OutputFormat):
            problems.append(f"logs: format is text or json, not {self.format!r}")
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
        return (self.directory or Path()) / f"{name}.log"

    def file_of(self, child: str, packer: Packer) -> RotatedFile | None:
        """Return the file of the child with this path, if it has one."""
        if self.directory is None:
            return None
        return RotatedFile(
            self.path_of(child),
            max_bytes=self.max_bytes,
            keep=self.keep,
            max_age=self.max_age,
            packer=packer if self.gzip else None,
        )


class RotatedFile:
    """A file that is put aside as ``NAME.1`` (then ``.2``, ...) when it is full or too old.

    Cuts at the end of a line if there is one, so that lines stay whole. Nothing is lost at the
    cut: one file ends where the next begins.
    """

    def __init__(
        self,
        path: Path,
        *,
        max_bytes: int,
        keep: int,
        max_age: float | None = None,
        packer: Packer | None = None,
    ) -> None:
        """Take the place; nothing is opened before the first write.

        Args:
            path: of the current file.
            max_bytes: see :class:`LogFiles`.
            keep: see :class:`LogFiles`.
            max_age: see :class:`LogFiles`.
            packer: packs what is put aside; None: nobody does.
        """
        self._path = path
        self._max_bytes = max_bytes
        self._keep = keep
        self._max_age = max_age
        self._packer = packer
        self._file: int | None = None
        self._size = 0
        self._span_ends = math.inf
        self._inside_line = False

    def write(self, data: bytes | memoryview) -> None:
        """Append ``data``.

        Raises:
            OSError: what is not yet written of ``data`` is lost; a later call tries afresh.
        """
        rest = memoryview(data)
        while rest:
            file = self._opened()
            room = self._room(rest)
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

    def _room(self, data: memoryview) -> int:
        """Return how many bytes of ``data``, from its beginning, belong into the current file."""
        room = self._max_bytes - self._size
        if self._max_age is not None and (now := time.time()) >= self._span_ends:
            if not self._size:
                # Nothing in it is too old; and a span may be shorter than a file takes to begin.
                self._begin_span(now)
            elif not self._inside_line:
                return 0
            else:
                end = bytes(data).find(b"\n") + 1 or len(data)
                return min(end, room)
        if len(data) <= room:
            return len(data)
        line_end = bytes(data[: max(room, 0)]).rfind(b"\n") + 1
        if line_end:
            return line_end
        # No line ends in the room that is left: the next file begins with this line, unless
        # a part of it is here already or it is longer than a whole file.
        return room if self._inside_line or not self._size else 0

    def _opened(self) -> int:
        if self._file is None:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._file = os.open(self._path, flags, 0o600)
            status = os.fstat(self._file)
            self._size = status.st_size
            self._inside_line = False
            self._begin_span(status.st_mtime if self._size else time.time())
            if self._packer is not None:
                # What an earlier run put aside may be unpacked yet.
                self._packer.pack(self._path)
        return self._file

    def _begin_span(self, now: float) -> None:
        if self._max_age is not None:
            self._span_ends = (now // self._max_age + 1) * self._max_age

    def _rotate(self) -> None:
        self.close()
        if not self._keep:
            self._path.unlink(missing_ok=True)
            return
        put_aside(self._path, self._keep)
