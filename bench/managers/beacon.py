"""How the watched processes make themselves known: through a FIFO, without anybody looking.

Every process opens the FIFO, writes its number into it, and keeps it open. So a start is a line,
and the end of the last process is the end of the file. To look into ``/proc`` again and again
instead would take time from those who are measured.
"""

from __future__ import annotations

import os
import select
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.measure import NotMeasured

PATIENCE = 60.0
"""Seconds that a manager is given for anything."""


class Beacon:
    """The reading end of a FIFO.

    Attributes:
        path: where it is.
    """

    def __init__(self, path: Path) -> None:
        """Make it."""
        self.path = path
        os.mkfifo(path)
        self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)
        self._text = b""

    def command(self, then: str) -> list[str]:
        """Return a command that tells its start, and then runs the shell command ``then``."""
        return ["sh", "-c", f"exec 9>{self.path}; echo $$ >&9; {then}"]

    def starts(self, count: int, what: str, patience: float = PATIENCE) -> list[int]:
        """Wait for so many starts; return the processes.

        Raises:
            NotMeasured: they did not come in time.
        """
        found: list[int] = []
        deadline = time.monotonic() + patience
        while True:
            is_closed = self._pull()
            found += self._lines()
            if len(found) >= count:
                return found
            if time.monotonic() > deadline:
                raise NotMeasured(f"{len(found)} of {count} {what} in {patience:g} s")
            if is_closed:
                time.sleep(0.0005)  # nobody has it open, and the end of a file is always ready
            else:
                self._poll.poll(100)

    def ended(self, what: str, patience: float = PATIENCE) -> None:
        """Wait until no process has the FIFO open any more.

        Raises:
            NotMeasured: they are still there.
        """
        deadline = time.monotonic() + patience
        while not self._pull():
            if time.monotonic() > deadline:
                raise NotMeasured(f"not all {what} in {patience:g} s")
            self._poll.poll(100)

    def drain(self) -> int:
        """Return how many starts there were since the last look."""
        self._pull()
        return len(self._lines())

    def _pull(self) -> bool:
        """Read what is there; return whether nobody has it open for writing."""
        while True:
            try:
                piece = os.read(self._fd, 65536)
            except BlockingIOError:
                return False
            if not piece:
                return True
            self._text += piece

    def _lines(self) -> list[int]:
        """Return the processes that have told their start."""
        *lines, self._text = self._text.split(b"\n")
        return list(map(int, lines))

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        os.close(self._fd)
