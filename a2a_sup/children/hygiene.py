"""Nothing that a child started outlives it: who is whose, and what is done about it.

Killing a process group is not enough: a grandchild can leave the group, empty its environment,
daemonize. So each child's process is marked (:mod:`a2a_sup.children.marks`), and when it has ended,
everything that carries its mark is killed before it may be started again. Where to look is a short
list: what lost its parent is now a child of somebody who inherits orphans.

- :class:`ProcessHost` is tame, for somebody's program: nothing about the program changes. Orphans
  go to an ancestor or to PID 1, and are found among their children by the mark. What there was
  before the first child, and whatever else turns out to carry no mark, is not looked at again.
- :class:`OwningHost` is for ``a2a-sup run``: all orphans below come to this process, which is PID 1
  or makes itself a subreaper. So it also answers for those that lost every mark: they are killed.
  Once a second it looks for such, and reaps the dead.

One round kills what it finds at once; the next finds what lost its parent by that. This outruns
processes that fork while they are killed, where walking down a tree does not. Two rounds that
find nothing end it.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import time
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import ExitStack, suppress
from subprocess import Popen
from typing import TypeAlias, TypeVar

import attrs
import trio

from a2a_sup.children import linux
from a2a_sup.children.heirs import Heirs
from a2a_sup.children.logs import LogBook
from a2a_sup.children.marks import carry, instance_of, mark_of, marks_on, new_instance
from a2a_sup.children.oom import OomKills
from a2a_sup.children.spawning import Spawner
from a2a_sup.errors import A2ASupError

TICK_SECONDS = 1.0
BURIED_PER_TICK = 1000
"""Reading the marks of more dead orphans than this would hold up the loop."""
SWEEP_SECONDS = 5.0
"""After which a sweep gives up and names what is left."""
BLIND_SECONDS = 0.01
"""Between two rounds that cannot look, as too many files are open."""
PATIENCE = 0.005
"""Seconds of a round after which it goes on before all others: what forks all the time must not
have the processor for itself."""

_log = logging.getLogger(__name__)
Found: TypeAlias = defaultdict[int, set[int]]
"""Condemned processes that a round came upon, by the marks on them."""
Host = TypeVar("Host", bound="ProcessHost")
_current: trio.lowlevel.RunVar[ProcessHost] = trio.lowlevel.RunVar("a2a_sup process host")


class NotOwnProc(A2ASupError):
    """/proc is missing or shows another pid namespace: its numbers must not be signalled.

    Mount a /proc that belongs to this namespace, as ``unshare --mount-proc`` does.
    """


def current_host() -> ProcessHost:
    """Return the host of this Trio run; a tame one is made on first use."""
    try:
        return _current.get()
    except LookupError:
        heirs = Heirs([os.getpid(), 1, *linux.ancestors()])
        # What there is now was there before the first child.
        for pid in heirs.children():
            heirs.settle(pid, linux.identity_of(pid))
        return _installed(ProcessHost(new_instance(), heirs))


def own_processes(instance: int) -> OwningHost:
    """Make this process answer for all processes below it, for the rest of its life.

    Call it once, inside the Trio run and before the first child starts. From then on a child
    process that is made elsewhere should stay in this process's session, or carry on its marks,
    as every child process does that does not clear them.

    Args:
        instance: the number of this supervisor, see ``StateDirectory``.

    Raises:
        NotOwnProc: /proc is not this pid namespace's.
        OSError: the kernel refused.
        RuntimeError: children were started before.
    """
    if not linux.own_proc_is_mounted():
        raise NotOwnProc("/proc does not show this pid namespace: mount its own /proc first")
    try:
        _current.get()
    except LookupError:
        if os.getpid() != 1:
            linux.become_subreaper()
        return _installed(OwningHost(instance))
    raise RuntimeError("own_processes() comes before the first child")


def _installed(host: Host) -> Host:
    _current.set(host)
    trio.lowlevel.spawn_system_task(host.serve)
    return host


class ProcessHost:
    """What the process children of one Trio run share. Tame: see the module.

    Attributes:
        spawner: the thread that makes processes.
        logs: the output of the children.
        oom: which of them the kernel killed for memory.
    """

    def __init__(self, instance: int, heirs: Heirs) -> None:
        """Take the number for the marks, and who may inherit orphans."""
        self.spawner = Spawner()
        self.logs = LogBook()
        self.oom = OomKills()
        self._instance = instance
        self._incarnations = 0
        self._alive: dict[int, int | None] = {}
        """The marks of living children, and their processes; None: it is being made."""
        self._ended: dict[int, int | None] = {}
        """The marks whose processes are being killed, and which session they began in."""
        self._at_large = set[int]()
        """Of these, the marks whose own process may be there: it was made, and is not reaped."""
        self._forbidden = set[int]()
        """Processes that may not be signalled."""
        self._heirs = heirs
        self._next_round: _Round | None = None

    async def serve(self) -> None:
        """Live as long as the Trio run."""
        try:
            await trio.sleep_forever()
        finally:
            self.spawner.close()
            self.logs.close()

    def new_mark(self) -> int:
        """Return the mark for a process that is about to be made."""
        self._incarnations += 1
        mark = mark_of(self._instance, self._incarnations)
        self._alive[mark] = None
        return mark

    def made(self, mark: int, process: Popen[bytes]) -> None:
        """Say which process was made with the mark. It has a session of its own."""
        self._alive[mark] = process.pid

    def has(self, leader: int, pid: int) -> bool:
        """Return whether a process is part of the living child whose own process is ``leader``."""
        if pid <= 0:
            return False
        if linux.session_of(pid) == leader:
            return True
        try:
            return any(self._alive.get(mark) == leader for mark in marks_on(pid))
        except OSError:
            return False

    async def sweep(self, mark: int, *, is_reaped: bool) -> Swept:
        """Kill everything that carries the mark.

        Args:
            mark: of a child.
            is_reaped: whether its own process, made in the spawner's thread, is no more.
        """
        self._ended[mark] = self._alive.pop(mark)
        if not is_reaped:
            self._at_large.add(mark)
        try:
            return await self._swept(mark)
        finally:
            del self._ended[mark]
            self._at_large.discard(mark)

    async def _swept(self, mark: int) -> Swept:
        deadline = math.inf
        found = set[int]()
        ever_found = set[int]()
        quiet_rounds = 0
        # The kernel's list can miss a process while others exit: one empty look proves nothing.
        while quiet_rounds < 2 and trio.current_time() < deadline:
            seen = await self._round()
            # From the first round on: on a machine that is overrun, that one takes seconds.
            deadline = min(deadline, trio.current_time() + SWEEP_SECONDS)
            if seen is None:
                quiet_rounds = 0
                await trio.sleep(BLIND_SECONDS)
                continue
            before, found = found, seen[mark]
            ever_found |= found
            if found <= self._forbidden:
                quiet_rounds += 1
            else:
                quiet_rounds = 0
                # What was killed needs a moment to die; what forked meanwhile must not have one.
                await trio.sleep(0.001 if found == before else 0)
        if seen is None:
            _log.error("too many open files: what a child left behind was not looked for")
        return Swept(len(ever_found), frozenset(pid for pid in found if _may_live(pid)))

    async def _round(self) -> Found | None:
        """Return what a round that starts from now finds; sweeps at the same time share one.

        None: it could not look, because too many files are open.
        """
        if (running := self._next_round) is not None:
            await running.done.wait()
            return running.found
        this = self._next_round = _Round()
        try:
            await trio.lowlevel.checkpoint()
        finally:
            self._next_round = None
            try:
                with suppress(OSError), ExitStack() as stack:
                    this.found = self._kill_condemned(stack)
            finally:
                this.done.set()
        return this.found

    def _kill_condemned(self, stack: ExitStack) -> Found:
        """Kill what is condemned; return what there was of it, by mark.

        What had died by itself counts too: it may have forked before. ``stack`` ends the hurry that
        this may get into.

        Raises:
            OSError: too many files are open.
        """
        hurry_at = time.monotonic() + PATIENCE
        found: Found = defaultdict(set)
        living = set(self._alive.values())
        ended = {session: mark for mark, session in self._ended.items()}
        for pid, session in self._strangers():
            if time.monotonic() > hurry_at:
                stack.enter_context(linux.before_all_others())
                hurry_at = math.inf
            # The cheap answers first: what forks all the time is caught only by being fast.
            if session in ended:
                marks = frozenset({ended[session]})
            elif session in living or (not ended and linux.is_dead(pid)):
                continue
            else:
                marks = self._marks_of_ours(pid)
                if not self._is_condemned(pid, marks):
                    continue
            self._kill(pid)
            for mark in marks & self._ended.keys():
                found[mark].add(pid)
        return found

    def _kill(self, pid: int) -> None:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        except PermissionError:
            self._forbidden.add(pid)
        if linux.reap(pid) is None:
            # It is somebody else's to reap, who perhaps never will.
            identity = linux.identity_of(pid)
            if linux.is_dead(pid):
                self._heirs.settle(pid, identity)

    def _marks_of_ours(self, pid: int) -> frozenset[int]:
        """Return the marks of this host on a process. One that has none never will have any."""
        identity = linux.identity_of(pid)
        marks = frozenset(mark for mark in marks_on(pid) if instance_of(mark) == self._instance)
        if not marks:
            self._settle(pid, identity)
        return marks

    def _settle(self, pid: int, identity: int | None) -> None:
        """Leave a process alone from now on.

        Not while a child is made: what was started by it is not known by its session yet. So never
        where all processes are owned, for there what has no mark is nobody's, and is killed.
        """
        if None not in self._alive.values():
            self._heirs.settle(pid, identity)

    def _orphans(self) -> Collection[int]:
        """Return the processes that may be orphans of ours: no child's own process."""
        # No orphan is the child of a thread that makes processes: those of children themselves are,
        # and there may be a thousand. Orphans are the first thread's.
        but = None if self._at_large else self.spawner.thread
        return self._heirs.children(spare=set(self._alive.values()), but=but)

    def _strangers(self) -> Iterator[tuple[int, int]]:
        """Yield the orphans that may be ours, with their sessions; no child's own process.

        Processes in our session are the program's own affair, whatever marks they carry. Our
        children's processes never are in our session.
        """
        own = os.getsid(0)
        # The last to come first: what forks all the time lives there, behind thousands of its dead.
        for pid in reversed([*self._orphans()]):
            session = linux.session_of(pid)
            if session not in (own, None):
                yield pid, session
            elif session == own:
                self._settle(pid, linux.identity_of(pid))

    def _is_condemned(self, pid: int, marks: frozenset[int]) -> bool:  # noqa: ARG002 - a subclass's
        return not marks.isdisjoint(self._ended)


class OwningHost(ProcessHost):
    """A host to which all orphans come: see the module."""

    def __init__(self, instance: int) -> None:
        """Take the number for the marks, and carry it too."""
        super().__init__(instance, Heirs([os.getpid()]))
        # Processes that the program makes itself, such as a probe's command, carry this mark.
        own = mark_of(instance, 0)
        carry(own)
        self._alive[own] = None
        self._zombies = frozenset[int]()
        self._told = frozenset[int]()

    async def serve(self) -> None:
        """Look around once a second, as long as the Trio run lives."""
        try:
            while True:
                await trio.sleep(TICK_SECONDS)
                with suppress(OSError):  # too many files are open: the next look is soon
                    if self._orphans():
                        await self._round()
                        self._bury()
                self.oom.look()
        finally:
            self.spawner.close()
            self.logs.close()

    def _bury(self) -> None:
        """Reap the orphans.

        One in no child's session may have been made by the program itself, with a session of its
        own: it is left for the program to wait for if it carries the program's mark, or if it has
        not been dead for a tick and the mark may be an accident.
        """
        living = set(self._alive.values())
        dead = set[int]()
        for pid, session in self._strangers():
            if session in living:
                linux.reap(pid)
            elif linux.is_dead(pid):
                dead.add(pid)
        for pid in [*dead & self._zombies][:BURIED_PER_TICK]:
            if not any(self._alive.get(mark, 0) is None for mark in self._marks_of_ours(pid)):
                linux.reap(pid)
        self._zombies = frozenset(dead)

    def _is_condemned(self, pid: int, marks: frozenset[int]) -> bool:
        if super()._is_condemned(pid, marks):
            return True
        if not marks.isdisjoint(self._alive):
            return False
        if pid not in self._told:
            _log.warning("killing orphan %d, of no child: %s", pid, linux.command_line(pid))
        self._told = self._told & linux.children_of(os.getpid()) | {pid}
        return True


@attrs.frozen
class Swept:
    """What a child had left behind when it ended.

    Attributes:
        found: how many processes, dead ones too that nobody had reaped.
        survivors: the pids that are left: they may not be signalled, or did not die in time.
    """

    found: int
    survivors: frozenset[int]


class _Round:
    """One look at all orphans, for everybody who asked before it began."""

    def __init__(self) -> None:
        self.done = trio.Event()
        self.found: Found | None = None


def _may_live(pid: int) -> bool:
    try:
        return not linux.is_dead(pid)
    except OSError:
        return True
