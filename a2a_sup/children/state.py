"""The state directory: one living supervisor for each, and the traces of the one before."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

from a2a_sup.children import linux
from a2a_sup.children.marks import instance_of, marks_on, new_instance
from a2a_sup.errors import A2ASupError

LEFTOVERS_SECONDS = 10.0


class StateInUse(A2ASupError):
    """A living supervisor has this state directory. Stop it, or take another directory.

    Attributes:
        pid: the supervisor's process; None: it has not written it yet.
    """

    def __init__(self, directory: Path, pid: int | None) -> None:
        """Name the directory and who has it."""
        self.pid = pid
        holder = "another process" if pid is None else f"process {pid}"
        super().__init__(f"{directory}: a supervisor is running with it: {holder}")


@attrs.frozen
class State:
    """A state directory that is ours.

    Attributes:
        directory: the place.
        instance: the number of this supervisor, for marks.
        survivors: pids left by an earlier supervisor that could not be killed.
    """

    directory: Path
    instance: int
    survivors: frozenset[int]

    @property
    def logs(self) -> Path:
        """Where the output of children is kept."""
        return self.directory / "logs"


@contextmanager
def state_directory(directory: Path) -> Iterator[State]:
    """Have a state directory for the length of the block, and end what its last owner left.

    The lock is the kernel's and falls with this process. What the last owner started carries its
    number, so pids, which may have been given away since, do not matter.

    Args:
        directory: made when it is missing, for this user only.

    Raises:
        StateInUse: another supervisor is alive.
        OSError: the directory cannot be made, locked or written.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    file = os.open(directory / "supervisor.json", flags, 0o600)
    try:
        record = _read(file)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StateInUse(directory, record.pid if record else None) from None
        # Read again: the last owner may have written between the look and the lock.
        record = _read(file)
        mine = _Record(os.getpid(), new_instance(), _boot_id())
        survivors = frozenset[int]()
        if record is not None and record.boot == mine.boot:
            survivors = end_leftovers(record.instance)
        _write(file, mine, directory)
        yield State(directory, mine.instance, survivors)
    finally:
        os.close(file)


def end_leftovers(instance: int) -> frozenset[int]:
    """Kill every process that carries a mark of ``instance``, and all below it.

    Below it, because the children of a supervised supervisor may carry that one's marks only.
    This process and its ancestors are spared: they may have been started from such a child.

    Returns:
        The pids that are still there: they may not be signalled, or do not die.
    """
    if not linux.own_proc_is_mounted():
        return frozenset()
    spared = {os.getpid(), *linux.ancestors()}
    forbidden = set[int]()
    deadline = time.monotonic() + LEFTOVERS_SECONDS
    while True:
        doomed = set[int]()
        for pid in linux.all_pids():
            if pid not in spared and pid not in doomed and _belongs_to(pid, instance):
                doomed |= {pid, *linux.descendants_of(pid)} - spared
        if doomed <= forbidden or time.monotonic() > deadline:
            return frozenset(doomed)
        for pid in doomed:
            try:
                os.kill(pid, signal.SIGKILL)
            except PermissionError:
                forbidden.add(pid)
            except ProcessLookupError:
                pass
        time.sleep(0.001)


def _belongs_to(pid: int, instance: int) -> bool:
    return any(instance_of(mark) == instance for mark in marks_on(pid)) and not linux.is_dead(pid)


@attrs.frozen
class _Record:
    """What a supervisor leaves in the file for the next one."""

    pid: int
    instance: int
    boot: str


def _boot_id() -> str:
    return linux.read("/proc/sys/kernel/random/boot_id").decode().strip()


def _read(file: int) -> _Record | None:
    """Return what is in the file; None if it is new, or its owner was killed while writing."""
    try:
        found = json.loads(os.pread(file, 4096, 0))
        return _Record(int(found["pid"]), int(found["instance"]), str(found["boot"]))
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None


def _write(file: int, record: _Record, directory: Path) -> None:
    os.ftruncate(file, 0)
    try:
        os.pwrite(file, json.dumps(attrs.asdict(record)).encode(), 0)
    except OSError as exc:
        exc.filename = str(directory / "supervisor.json")
        raise
