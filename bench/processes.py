"""Processes under the real program, ``a2a-sup run``: up, replaced, idle, captured, stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

BIN = Path(sys.executable).parent / "a2a-sup"
DEAF = "import signal,time; signal.signal(15, 1); print(flush=True); time.sleep(1000)"


class Program:
    """A running ``a2a-sup run`` and its log."""

    def __init__(self, tree: str, directory: Path) -> None:
        """Start it on the configuration ``tree``."""
        file = directory / "tree.toml"
        file.write_text(tree, encoding="utf-8")
        self.state = directory / "state"
        self.began = time.perf_counter()
        words = [str(BIN), "run", str(file), "--state-dir", str(self.state)]
        words += ["--log-format", "json", "--log-level", "info"]
        self.process = subprocess.Popen(words, stderr=subprocess.PIPE)
        self._log = cast(IO[bytes], self.process.stderr)

    def until(self, event: str, count: int = 1) -> list[dict[str, Any]]:
        """Read the log until it has said ``event`` so many times; return those lines."""
        found: list[dict[str, Any]] = []
        for line in self._log:
            said = json.loads(line)
            if said["event"] == event:
                found.append(said)
                if len(found) == count:
                    return found
        raise RuntimeError(f"the program ended before it said {event} {count} times")

    def rest(self, event: str) -> list[dict[str, Any]]:
        """Read the log to its end; return the lines that say ``event``."""
        return [said for said in map(json.loads, self._log) if said["event"] == event]

    def supervisor(self) -> int:
        """Return the pid of the supervisor: the guardian's only child."""
        pid = self.process.pid
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii"))

    def cpu_seconds(self) -> float:
        """Return the CPU that the supervisor used, without its children."""
        fields = Path(f"/proc/{self.supervisor()}/stat").read_text(encoding="ascii").split()
        return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")

    def resident_mb(self) -> float:
        """Return the resident memory of guardian and supervisor together."""
        total = 0
        for pid in (self.process.pid, self.supervisor()):
            pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
            total += int(pages) * os.sysconf("SC_PAGE_SIZE")
        return total / 1e6

    def stop(self) -> float:
        """Send SIGTERM; return the seconds until the program has ended."""
        begin = time.perf_counter()
        self.process.send_signal(signal.SIGTERM)
        self._log.read()
        self.process.wait()
        return time.perf_counter() - begin


@contextmanager
def running(tree: str) -> Iterator[Program]:
    """Run the program on ``tree`` for the length of the block."""
    with tempfile.TemporaryDirectory() as directory:
        program = Program(tree, Path(directory))
        try:
            yield program
        finally:
            program.process.kill()
            program.process.wait()


def sleepers(count: int, extra: str = "") -> str:
    """Return a tree of ``count`` processes that do nothing."""
    return "".join(
        f"[children.c{number}]\ncommand = ['sleep', '1000']\n{extra}" for number in range(count)
    )


def up(count: int) -> float:
    """Return seconds from the launch of the program until ``count`` processes run."""
    with running(sleepers(count)) as program:
        program.until("tree.started")
        return time.perf_counter() - program.began


def stopped(count: int) -> float:
    """Return seconds from SIGTERM until ``count`` processes and the program are gone."""
    with running(sleepers(count)) as program:
        program.until("tree.started")
        return program.stop()


def stopped_deaf(count: int, timeout: float) -> float:
    """Return the same for processes that ignore SIGTERM, with this stop timeout."""
    tree = "".join(
        f"[children.c{n}]\ncommand = [{sys.executable!r}, '-S', '-c', '{DEAF}']\n"
        f"stop_timeout = {timeout}\n"
        for n in range(count)
    )
    with running(tree) as program:
        program.until("tree.started")
        logs = program.state / "logs"
        while sum(path.stat().st_size > 0 for path in logs.rglob("*") if path.is_file()) < count:
            time.sleep(0.05)
        return program.stop()


def idle(count: int, seconds: float) -> tuple[float, float]:
    """Return the share of a core and the resident MB of the program with idle processes."""
    with running(sleepers(count)) as program:
        program.until("tree.started")
        time.sleep(2)
        begin, used = time.perf_counter(), program.cpu_seconds()
        time.sleep(seconds)
        share = (program.cpu_seconds() - used) / (time.perf_counter() - begin)
        return share, program.resident_mb()
