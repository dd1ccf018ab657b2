"""The measures: what each manager takes to start, replace, hold and stop processes.

Processes are told apart by an argument that no other has, and counted in ``/proc``; what is left at
the end of a measure is killed, by its number.
"""

from __future__ import annotations

import os
import random
import signal
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import attrs

from bench.peers.install import NotMeasured
from bench.peers.managers import Commands, Manager, start

PATIENCE = 60.0
"""Seconds that a manager is given for anything."""
Marked = Callable[[str, str], Commands]
"""Makes commands that carry the two marks of a run."""
TICK = os.sysconf("SC_CLK_TCK")


@attrs.frozen
class Process:
    """A process in ``/proc``: its number, its parent, and CPU ticks: its own and its dead's."""

    pid: int
    parent: int
    ticks: int
    reaped_ticks: int
    words: tuple[bytes, ...]


def processes() -> Iterator[Process]:
    """Yield every process that is no zombie."""
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with suppress(OSError):
                fields = Path(entry.path, "stat").read_bytes().rsplit(b") ", 1)[1].split()
                if fields[0] != b"Z":
                    words = tuple(Path(entry.path, "cmdline").read_bytes().split(b"\0"))
                    used, reaped = map(int, fields[11:13]), map(int, fields[13:15])
                    yield Process(int(entry.name), int(fields[1]), sum(used), sum(reaped), words)


class Run:
    """A manager that runs commands, all of which carry one mark.

    Attributes:
        mark: a number of seconds: the last argument of what is counted.
        leader: another one, of commands that have something beside them.
        manager: the manager's process.
    """

    def __init__(self, manager: Manager, directory: Path, commands: Marked) -> None:
        """Start it. Raises NotMeasured if it is not here."""
        self.mark, self.leader = (str(random.randrange(10**8, 10**9)) for _ in range(2))
        self._launch = manager.prepare(directory, commands(self.mark, self.leader))
        self._output = directory / "output"
        self._helpers: set[int] = set()
        self.began = time.perf_counter()
        self.manager = start(self._launch, directory)

    def alive(self) -> list[int]:
        """Return the processes that are counted."""
        return _sleeping(self.mark, *_numbered(self.mark))

    def leaders(self) -> list[int]:
        """Return the commands that have something beside them."""
        return _sleeping(*_numbered(self.leader))

    def own(self) -> list[Process]:
        """Return the manager and its helpers: what it runs, but for what carries the mark."""
        everything = list(processes())
        marks = {
            mark.encode() for mark in (self.mark, *_numbered(self.mark), *_numbered(self.leader))
        }
        found = {self.manager.pid}
        for _ in range(3):
            found |= {each.pid for each in everything if each.parent in found}
        return [each for each in everything if each.pid in found and marks.isdisjoint(each.words)]

    def cpu(self) -> tuple[float, float]:
        """Return the CPU seconds that the manager used, and those of what it reaped."""
        own = self.own()
        return sum(p.ticks for p in own) / TICK, sum(p.reaped_ticks for p in own) / TICK

    def resident_mb(self) -> float:
        """Return the memory of the manager and its helpers: shared pages are shared out."""
        total = 0
        for process in self.own():
            with suppress(OSError):
                text = Path(f"/proc/{process.pid}/smaps_rollup").read_text(encoding="ascii")
                total += sum(int(line.split()[1]) for line in text.splitlines() if "Pss:" in line)
        return total / 1e3

    def until(self, condition: Callable[[], bool], what: str) -> float:
        """Wait for ``condition``; return the seconds since the launch."""
        deadline = time.perf_counter() + PATIENCE
        while True:
            begin = time.perf_counter()
            if condition():
                break
            if time.perf_counter() > deadline:
                tail = self._output.read_text(errors="replace").strip()[-300:]
                raise NotMeasured(f"not {what} within {PATIENCE:g} s: {tail}")
            # To look costs CPU too, of which the manager is not to be robbed.
            time.sleep(max(0.002, 4 * (time.perf_counter() - begin)))
        return time.perf_counter() - self.began

    def kill(self) -> None:
        """Kill the manager alone, as a crash of it would."""
        self._helpers.update(each.pid for each in self.own() if each.pid != self.manager.pid)
        _kill(self.manager.pid)

    def stop(self) -> None:
        """Ask the manager to end with all it runs."""
        self._helpers.update(each.pid for each in self.own() if each.pid != self.manager.pid)
        self.manager.send_signal(self._launch.stop)

    def clear(self) -> None:
        """Kill what is left, by number."""
        # Once the manager is gone its helpers are nobody's, and go on starting what they keep.
        helpers = [each.pid for each in self.own() if each.pid != self.manager.pid]
        self.manager.kill()
        self.manager.wait()
        for pid in {*helpers, *self._helpers}:
            _kill(pid)
        while pids := self.alive() + self.leaders():
            for pid in pids:
                _kill(pid)
            time.sleep(0.01)


def _numbered(mark: str) -> list[str]:
    return [f"{mark}.{number}" for number in range(len(HIDERS))]


def _sleeping(*marks: str) -> list[int]:
    words = {(mark.encode(), b"") for mark in marks}
    return [
        each.pid
        for each in processes()
        if each.words[1:] in words and each.words[0].endswith(b"sleep")
    ]


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@contextmanager
def running(manager: Manager, commands: Marked) -> Iterator[Run]:
    """Run commands under a manager for the length of the block; leave nothing behind."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        run = Run(manager, Path(directory), commands)
        try:
            yield run
        finally:
            run.clear()


def sleepers(count: int) -> Marked:
    """Return ``count`` commands that do nothing."""
    return lambda mark, _: [["sleep", mark]] * count


# --- measures -----------------------------------------------------------------------------------


def up(manager: Manager, count: int) -> float:
    """Return seconds from the launch until ``count`` processes run."""
    with running(manager, sleepers(count)) as run:
        return run.until(lambda: len(run.alive()) == count, f"{count} up")


def replaced(manager: Manager, times: int = 7) -> float:
    """Return the median of seconds from kill -9 of one of ten processes to its replacement."""
    taken = []
    with running(manager, sleepers(10)) as run:
        run.until(lambda: len(run.alive()) == 10, "up")
        time.sleep(1.5)  # peers count a process as started after a second
        for _ in range(times):
            before = set(run.alive())
            victim = random.choice(sorted(before))
            begin = time.perf_counter()
            os.kill(victim, signal.SIGKILL)
            run.until(lambda: len(set(run.alive()) - {victim}) == 10, "replaced")  # noqa: B023 - called at once
            taken.append(time.perf_counter() - begin)
            time.sleep(1.1)
    return statistics.median(taken)


def idle(manager: Manager, count: int, seconds: float) -> tuple[float, float]:
    """Return the share of a core in percent, and the resident MB, with idle processes."""
    with running(manager, sleepers(count)) as run:
        run.until(lambda: len(run.alive()) == count, "up")
        time.sleep(3)
        begin, used = time.perf_counter(), run.cpu()[0]
        time.sleep(seconds)
        share = (run.cpu()[0] - used) / (time.perf_counter() - begin)
        return share * 100, run.resident_mb()


def storm(manager: Manager, count: int, seconds: float) -> tuple[float, float]:
    """Return the manager's CPU in percent of a core and starts a second: all exit at once."""
    with tempfile.NamedTemporaryFile() as starts:
        command = ["sh", "-c", f"echo >> {starts.name} && false # $0"]
        with running(manager, lambda mark, _: [[*command, mark]] * count) as run:
            begin = time.perf_counter()
            time.sleep(seconds)
            took = time.perf_counter() - begin
            share = run.cpu()[0] / took * 100
            return share, Path(starts.name).stat().st_size / took


def stopped(manager: Manager, count: int) -> float:
    """Return seconds from the stop signal until all processes and the manager are gone."""
    with running(manager, sleepers(count)) as run:
        run.until(lambda: len(run.alive()) == count, "up")
        time.sleep(1)
        begin = time.perf_counter()
        run.stop()
        run.until(lambda: not run.alive() and run.manager.poll() is not None, "stopped")
        return time.perf_counter() - begin


# --- what is left behind ------------------------------------------------------------------------

HIDERS = {
    "plain": "sleep $0 & exec sleep $1",
    "new session": "setsid sleep $0 & exec sleep $1",
    "daemonized": "setsid sh -c 'sleep $0 & exit' $0; exec sleep $1",
}
"""Commands that leave a process beside themselves, by how well it hides."""
ENDINGS = ("stop", "crash", "kill -9")
"""What should end it: a stop of the manager, a crash of the command, the death of the manager."""


def left_behind(manager: Manager, ending: str) -> dict[str, int]:
    """Return, for each way to hide, how many processes outlive what should end them.

    After a crash the command is restarted and one copy is wanted: that one is not counted.
    """

    def commands(mark: str, leader: str) -> Commands:
        return [
            ["sh", "-c", script, f"{mark}.{number}", f"{leader}.{number}"]
            for number, script in enumerate(HIDERS.values())
        ]

    with running(manager, commands) as run:
        run.until(lambda: len(run.alive()) == len(run.leaders()) == len(HIDERS), "up")
        time.sleep(1.5)
        if ending == "stop":
            run.stop()
            with suppress(NotMeasured):
                run.until(lambda: run.manager.poll() is not None, "stopped")
        elif ending == "crash":
            before = set(run.leaders())
            for leader in before:
                _kill(leader)
            run.until(lambda: len(set(run.leaders()) - before) == len(HIDERS), "restarted")
        else:
            run.kill()
        time.sleep(3)
        return {
            how: len(_sleeping(f"{run.mark}.{number}")) - (ending == "crash")
            for number, how in enumerate(HIDERS)
        }
