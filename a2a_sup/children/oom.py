"""Whether the kernel killed a process because its control group was out of memory.

The kernel tells nobody: the process dies of SIGKILL like any other. But it counts such kills for
each control group, and counts before it kills. So a SIGKILL that nobody here sent, right after the
count rose, was for memory.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from a2a_sup.children.linux import read

CLAIM_SECONDS = 2.0
"""How long a rise of the count explains a death. It is looked at once a second."""


def oom_kills(proc: Path = Path("/proc/self"), groups: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Return how many processes of this control group were killed for memory; None: not told.

    Args:
        proc: of the process whose group it is.
        groups: where control groups are mounted, of version 1, 2, or both.
    """
    for file in _counters(proc, groups):
        for line in read(str(file)).splitlines():
            word, _, number = line.partition(b" ")
            if word == b"oom_kill":
                return int(number)
    return None


def _counters(proc: Path, groups: Path) -> list[Path]:
    """Return where the count may be.

    In a container the mount often shows its own group as the top, and the path that of the host.
    """
    found = []
    for line in os.fsdecode(read(str(proc / "cgroup"))).splitlines():
        _, controllers, path = line.split(":", 2)
        below = path.lstrip("/")
        if "memory" in controllers.split(","):
            top, name = groups / "memory", "memory.oom_control"
        elif not controllers:
            top, name = groups, "memory.events"
        else:
            continue
        found += [top / below / name, top / name]
    return found


class OomKills:
    """The kills for memory that have not been told as the end of a child yet."""

    def __init__(
        self,
        count: Callable[[], int | None] = oom_kills,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin with what there was before: it explains nothing here."""
        self._count = count
        self._clock = clock
        self._seen = count()
        self._unclaimed = deque[float]()

    def look(self) -> None:
        """Note new kills, and forget those that explain nothing any more."""
        if self._seen is None:
            return
        now = self._clock()
        count = self._count() or 0
        self._unclaimed.extend([now] * (count - self._seen))
        self._seen = max(self._seen, count)
        while self._unclaimed and now - self._unclaimed[0] > CLAIM_SECONDS:
            self._unclaimed.popleft()

    def claim(self) -> bool:
        """Return whether a death by SIGKILL that was seen just now was for memory."""
        self.look()
        if self._unclaimed:
            self._unclaimed.popleft()
            return True
        return False
