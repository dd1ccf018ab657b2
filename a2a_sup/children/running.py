"""A process while it runs: waited for, stopped, its output kept, and nothing of it left behind."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Protocol, TypeAlias

import trio

from a2a_sup.children.command import Command
from a2a_sup.children.hygiene import current_host
from a2a_sup.children.log_lines import OutputStream
from a2a_sup.children.pipes import Pipes, Stdio, drain, drain_rest, pipes
from a2a_sup.children.spawning import spawn

KILL_SECONDS = 5.0
"""How long a process may take to die of SIGKILL before it is given up."""


class Sink(Protocol):
    """Takes what a process prints."""

    def write(self, data: memoryview, stream: OutputStream) -> None:
        """Take the next bytes of one of its streams. Who keeps some of them copies them."""


class RunningProcess:
    """A process with its group and session. Made by :func:`running`.

    Attributes:
        pid: its number, and that of its process group and session.
        status: how it ended, as in :mod:`subprocess` (negative: by that signal); None: it has not.
        stdin: what it reads, under ``streams``.
        stdout: what it writes, under ``streams``.
        command: what it was made by; how to stop it may be changed while it runs.
        out_of_memory: it was killed by the kernel, because its control group had no memory left.
        leftovers: how many processes it had left behind when it ended.
        survivors: pids that could not be killed after its end.
    """

    def __init__(
        self,
        command: Command,
        process: subprocess.Popen[bytes],
        ends: Pipes,
    ) -> None:
        """Take over a new process.

        Raises:
            OSError: too many files are open.
        """
        self.pid = process.pid
        self.status: int | None = None
        self.stdin = ends.stdin
        self.stdout = ends.stdout
        self.out_of_memory = False
        self.leftovers = 0
        self.survivors = frozenset[int]()
        self.command = command
        self._process = process
        self._handle = os.pidfd_open(process.pid)
        self._was_killed = False
        self._ended = trio.Event()
        # A cancellation from outside kills the process, and its end is still waited for.
        self._watching = trio.CancelScope(shield=True)

    async def wait(self) -> int:
        """Wait for its end and return its status."""
        await self._ended.wait()
        assert self.status is not None  # noqa: S101 - set before the event
        return self.status

    async def stop(self) -> int:
        """Ask it to stop, kill it when its time is over, and return its status."""
        self.signal(self.command.stop_signal)
        # One that was suspended could not heed the request.
        self.signal(signal.SIGCONT)
        with trio.move_on_after(self.command.stop_timeout):
            return await self.wait()
        self.kill()
        return await self.wait()

    def kill(self) -> None:
        """Send SIGKILL to its group."""
        self._was_killed = True
        self.signal(signal.SIGKILL)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to its group; does nothing when it has ended."""
        if self.status is None:
            # Permission: all of the group changed to a user whom we may not signal.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    async def end(self) -> None:
        """Kill it and wait for its end, or give it up if it does not die."""
        if self.status is None:
            self.kill()
            with trio.move_on_after(KILL_SECONDS):
                await self.wait()
            self._watching.cancel()

    async def watch(self) -> None:
        """Wait for the end through a pidfd, kill the rest of the group, take the status."""
        with self._watching:
            try:
                await trio.lowlevel.wait_readable(self._handle)
            finally:
                os.close(self._handle)
        if self._watching.cancelled_caught:
            return
        # Before the status is taken: after it the group's number may be given away.
        self.signal(signal.SIGKILL)
        status = self._process.wait()
        if status == -signal.SIGKILL and not self._was_killed:
            self.out_of_memory = current_host().oom.claim()
        self.status = status
        self._ended.set()


Beside: TypeAlias = Callable[[RunningProcess], Awaitable[object]]
"""Something that is done while a process runs, and cancelled at its end."""


@asynccontextmanager
async def running(
    command: Command, log: Sink, *, stdio: Stdio = "logged", beside: Iterable[Beside] = ()
) -> AsyncIterator[RunningProcess]:
    """Run a program inside the block; after it, nothing that it started is left.

    A block that ends, also by an error or a cancellation, kills what is still alive. This takes a
    few milliseconds, and seconds at most if something does not die.

    Args:
        command: what to run.
        log: where its output goes.
        stdio: which of its standard streams are logged.
        beside: what is done while the block runs.

    Raises:
        CannotRun: it did not start.
    """
    host = current_host()
    mark = host.new_mark()
    error: Exception | None = None
    process: subprocess.Popen[bytes] | None = None
    with pipes(stdio) as ends:
        try:
            try:
                process = await host.spawner.run(partial(spawn, command, mark, ends.child_ends))
                host.made(mark, process)
            finally:
                ends.close_child_ends()
            child = RunningProcess(command, process, ends)
        except BaseException:
            with trio.CancelScope(shield=True):
                is_reaped = process is not None and await _ended(process)
                await host.sweep(mark, is_reaped=is_reaped)
            raise
        async with trio.open_nursery() as nursery:
            nursery.start_soon(child.watch)
            for stream, pipe in ends.logged.items():
                nursery.start_soon(drain, pipe, partial(log.write, stream=stream))
            for work in beside:
                nursery.start_soon(work, child)
            try:
                yield child
            except Exception as exc:  # noqa: BLE001 - raised below: the nursery would wrap it
                error = exc
            finally:
                with trio.CancelScope(shield=True):
                    await child.end()
                    swept = await host.sweep(mark, is_reaped=child.status is not None)
                    child.leftovers, child.survivors = swept.found, swept.survivors
                nursery.cancel_scope.cancel()
        for stream, pipe in ends.logged.items():
            drain_rest(pipe, partial(log.write, stream=stream))
    if error is not None:
        raise error


async def _ended(process: subprocess.Popen[bytes]) -> bool:
    """Kill and reap a process without opening a file; return whether it died in time."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with trio.move_on_after(KILL_SECONDS):
        while process.poll() is None:  # noqa: ASYNC110 - waiting for it takes a file
            await trio.sleep(0.001)
    return process.returncode is not None
