"""One manager that runs commands which make themselves known; nothing is left behind.

This process is a subreaper: whatever a manager leaves without a parent becomes its child, and is
found and ended.
"""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import attrs

from a2a_sup.children import linux
from bench.managers.beacon import PATIENCE, Beacon
from bench.managers.who import Commands, Launch, Manager, Words
from bench.measure import NotMeasured

FOREVER = "exec sleep"


@attrs.frozen
class Process:
    """A process in ``/proc``, and its parent."""

    pid: int
    parent: int
    words: tuple[bytes, ...]


def processes() -> Iterator[Process]:
    """Yield every process that is no zombie."""
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with suppress(OSError):
                fields = Path(entry.path, "stat").read_bytes().rsplit(b") ", 1)[1].split()
                if fields[0] != b"Z":
                    words = tuple(Path(entry.path, "cmdline").read_bytes().split(b"\0"))
                    yield Process(int(entry.name), int(fields[1]), words)


class Run:
    """A manager that runs commands.

    Attributes:
        beacon: what the commands tell their starts through.
        mark: the last argument of all commands: no other process has it.
        began: when the manager was launched, on the clock of ``time.perf_counter``.
        manager: the manager's process.
        launch: how it was launched.
    """

    def __init__(self, manager: Manager, directory: Path, commands: MakeCommands) -> None:
        """Start it. Raises NotMeasured if it is not here."""
        linux.become_subreaper()
        self.beacon = Beacon(directory / "beacon")
        self.mark = str(random.randrange(10**8, 10**9))
        self._prepare = manager.prepare
        self._directory = directory
        self.launch = manager.prepare(directory, commands(self))
        self.began = time.perf_counter()
        self.manager = self._start(self.launch)

    def _start(self, launch: Launch) -> subprocess.Popen[bytes]:
        with (self._directory / "told").open("wb") as told:
            return subprocess.Popen(
                list(map(str, launch.words)),
                cwd=self._directory,
                env=self._environ(),
                stdin=subprocess.DEVNULL,
                stdout=told,
                stderr=subprocess.STDOUT,
            )

    def _environ(self) -> dict[str, str]:
        return {**os.environ, **self.launch.env}

    def sleeper(self, seconds_more: int = 0) -> list[str]:
        """Return a command that tells its start and does nothing; another number, another one."""
        return self.beacon.command(f"{FOREVER} {self.mark}.{seconds_more}")

    def since_launch(self) -> float:
        """Return seconds."""
        return time.perf_counter() - self.began

    def starts(self, count: int, what: str) -> list[int]:
        """Wait for so many starts; return the processes. Raises NotMeasured."""
        try:
            return self.beacon.starts(count, what)
        except NotMeasured as exc:
            raise NotMeasured(f"{exc}: {self._told()}") from None

    def demand_alive(self) -> None:
        """Raise NotMeasured if the manager has ended: it would take nothing from now on."""
        if self.manager.poll() is not None:
            raise NotMeasured(f"it ended with {self.manager.returncode}: {self._told()}")

    def _told(self) -> str:
        return (self._directory / "told").read_text(errors="replace").strip()[-300:]

    @contextmanager
    def changing(self, commands: Commands) -> Iterator[None]:
        """Write a changed configuration and have it applied, meanwhile do the block.

        Raises:
            NotMeasured: the command that applies it failed.
        """
        with ThreadPoolExecutor(1) as pool:
            told = pool.submit(self.call, self._prepare(self._directory, commands).reload)
            yield
            told.result()

    def show(self, count: int) -> None:
        """Have the manager's command show ``count`` processes. Raises NotMeasured."""
        shown = len(re.findall(self.launch.shows, self.call(self.launch.status)))
        if shown < count:
            raise NotMeasured(f"it shows {shown} of {count}")

    def call(self, words: Words) -> str:
        """Run a command of the manager's; return what it printed. Raises NotMeasured."""
        try:
            done = subprocess.run(
                list(map(str, words)),
                cwd=self._directory,
                env=self._environ(),
                check=False,
                capture_output=True,
                text=True,
                timeout=PATIENCE,
            )
        except subprocess.TimeoutExpired:
            raise NotMeasured(f"{_name(words)} did not end in {PATIENCE:g} s") from None
        if done.returncode:
            said = (done.stderr or done.stdout).strip()[-300:]
            raise NotMeasured(f"{_name(words)} exited with {done.returncode}: {said}")
        return done.stdout

    def asking(self, times: int) -> Sequence[float]:
        """Ask it what runs, so many times; return the seconds of each answer."""
        answers = [*map(float, self.call([*self.launch.ask, str(times)]).split())]
        if len(answers) < times:
            raise NotMeasured(f"it gave {len(answers)} of {times} answers")
        return answers

    def output_bytes(self) -> int:
        """Return how much of the commands' output is in files."""
        return sum(path.stat().st_size for path in self._directory.glob(self.launch.output))

    # --- the manager's own processes ------------------------------------------------------------

    def own(self) -> list[int]:
        """Return the manager and its helpers: all below it but for what carries the mark."""
        everything = list(processes())
        found = {self.manager.pid}
        for _ in range(3):
            found |= {each.pid for each in everything if each.parent in found}
        return [each.pid for each in everything if each.pid in found and not self._is_marked(each)]

    def _is_marked(self, process: Process) -> bool:
        return any(self.mark.encode() in word for word in process.words)

    def spend(self) -> Callable[[], float]:
        """Return what returns the CPU seconds that the manager and its helpers used from now on.

        Of threads that have ended by then nothing is known.
        """
        before = self._ran()

        def spent() -> float:
            now = self._ran()
            return sum(ran - before.get(thread, 0) for thread, ran in now.items()) / 1e9

        return spent

    def _ran(self) -> dict[str, int]:
        """Return the nanoseconds that each thread has run."""
        found = {}
        for pid in self.own():
            with suppress(OSError):
                for thread in Path(f"/proc/{pid}/task").iterdir():
                    text = (thread / "schedstat").read_text(encoding="ascii")
                    found[thread.name] = int(text.split()[0])
        return found

    def memory_mb(self) -> float:
        """Return the memory of the manager and its helpers; shared pages are shared out."""
        total = 0
        for pid in self.own():
            with suppress(OSError):
                text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
                total += sum(int(line.split()[1]) for line in text.splitlines() if "Pss:" in line)
        return total / 1e3

    # --- ends -----------------------------------------------------------------------------------

    def kill(self) -> None:
        """Kill the manager alone, as a crash of it would."""
        _kill(self.manager.pid)

    def stop(self) -> None:
        """Ask the manager to end with all it runs."""
        self.manager.send_signal(self.launch.stop)

    def wait(self) -> None:
        """Wait until the manager itself has ended. Raises TimeoutExpired."""
        self.manager.wait(PATIENCE)

    def clear(self) -> None:
        """Kill what is left, by number. Raises NotMeasured if there is no end to it."""
        deadline = time.monotonic() + PATIENCE
        self.manager.kill()
        self.manager.wait()
        while left := {each.pid for each in processes() if self._is_marked(each)} | _below():
            if time.monotonic() > deadline:
                raise NotMeasured(f"{len(left)} processes could not be ended")
            for pid in left:
                _kill(pid)
            time.sleep(0.01)
            _reap()


MakeCommands = Callable[[Run], Commands]


def _name(words: Words) -> str:
    return Path(words[0]).name


def _below() -> set[int]:
    """Return all processes below this one."""
    everything, found = list(processes()), {os.getpid()}
    while more := {each.pid for each in everything if each.parent in found} - found:
        found |= more
    return found - {os.getpid()}


def _reap() -> None:
    """Collect the dead that came to this process for want of another parent."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@contextmanager
def running(manager: Manager, commands: MakeCommands) -> Iterator[Run]:
    """Run commands under a manager for the length of the block; leave nothing behind."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        run = Run(manager, Path(directory), commands)
        with run.beacon:
            try:
                yield run
            finally:
                run.clear()


def sleepers(count: int) -> MakeCommands:
    """Return ``count`` commands that do nothing."""
    return lambda run: [run.sleeper()] * count
