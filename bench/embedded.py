"""Processes in a tree of this program: replaced after a kill, and their output captured."""

from __future__ import annotations

import os
import select
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from a2a_sup import NO_BACKOFF, LogFiles, Restart, events, open_tree, process, supervisor
from a2a_sup.children.hygiene import own_processes
from a2a_sup.children.marks import new_instance

LINE = "x" * 99
WRITER = f"import os; block = b'{LINE}\\n' * 650; [os.write(1, block) for _ in range({{}} // 650)]"


def bare_replacement(count: int) -> float:
    """Return the median seconds from SIGKILL to the next spawn, by hand with a pidfd."""
    taken = []
    child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    for _ in range(count):
        pidfd = os.pidfd_open(child.pid)
        begin = time.perf_counter()
        child.send_signal(signal.SIGKILL)
        select.select([pidfd], [], [])
        child.wait()
        os.close(pidfd)
        child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
        taken.append(time.perf_counter() - begin)
    child.kill()
    child.wait()
    return statistics.median(taken)


async def program_replacement(count: int) -> float:
    """Return what ``tree_replacement`` does, with the process host of ``a2a-sup run``."""
    own_processes(new_instance())
    return await tree_replacement(count)


async def tree_replacement(count: int) -> float:
    """Return the median seconds from SIGKILL to the acknowledged start of the next process."""
    policy = Restart(backoff=NO_BACKOFF, intensity=None)
    spec = supervisor("app", [process("sleep", ["sleep", "1000"], restart=policy)])
    taken = []
    async with open_tree(spec) as handle:
        pid = handle.snapshot().child("sleep").details["pid"]
        with handle.events() as stream:
            for _ in range(count):
                begin = time.perf_counter()
                os.kill(pid, signal.SIGKILL)
                async for event in stream:
                    if isinstance(event, events.ChildReported) and "pid" in event.details:
                        pid = event.details["pid"]
                    if isinstance(event, events.ChildStarted):
                        break
                taken.append(time.perf_counter() - begin)
    return statistics.median(taken)


async def captured(lines: int) -> tuple[float, int]:
    """Return megabytes a second captured from one child, and how many bytes were lost."""
    with tempfile.TemporaryDirectory() as directory:
        logs = LogFiles(Path(directory), keep=100)
        writer = [sys.executable, "-S", "-c", WRITER.format(lines)]
        spec = supervisor(
            "app",
            [process("writer", writer, restart="temporary", logs=logs)],
        )
        expected = lines // 650 * 65_000
        begin = time.perf_counter()
        async with open_tree(spec) as handle:
            await handle.wait_until(lambda tree: not tree.root.children)
        taken = time.perf_counter() - begin
        return expected / 1e6 / taken, expected - size_of(Path(directory))


def size_of(directory: Path) -> int:
    """Return the bytes in all files below ``directory``."""
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
