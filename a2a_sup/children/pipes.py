"""A child's pipes: opened, and emptied so that no line is lost and the child never held up."""

from __future__ import annotations

import fcntl
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Literal, TypeAlias

import attrs
import trio

from a2a_sup.children.log_lines import OutputStream

Stdio: TypeAlias = Literal["logged", "told apart", "streams"]
"""``logged``: no input, and output and errors are logged together, in their order.
``told apart``: no input, and output and errors are logged each with its name.
``streams``: input and output are the owner's byte streams, and only errors are logged."""

F_SETPIPE_SZ = 1031
F_GETPIPE_SZ = 1032
LARGE = 1024 * 1024
BUSY_BYTES_PER_SECOND = 1024 * 1024
SHORTEST_SLEEP = 0.001
LONGEST_SLEEP = 0.005


@attrs.frozen
class Pipes:
    """Both ends of the pipes to a child.

    Attributes:
        child_ends: what subprocess takes as stdin, stdout and stderr.
        close_child_ends: to be called when the child has them.
        logged: the reading ends of what is to be logged, non-blocking, by what they carry.
        stdin: writes to the child, under ``streams``.
        stdout: reads from the child, under ``streams``.
    """

    child_ends: tuple[int, int, int]
    close_child_ends: Callable[[], None]
    logged: Mapping[OutputStream, int]
    stdin: trio.lowlevel.FdStream | None = None
    stdout: trio.lowlevel.FdStream | None = None


@contextmanager
def pipes(stdio: Stdio) -> Iterator[Pipes]:
    """Open the pipes to a child for the length of a block.

    Raises:
        OSError: too many files are open.
    """
    with ExitStack() as ours, ExitStack() as childs:
        logged, errors = _logged_pipe(ours, childs)
        if stdio == "logged":
            ends = (subprocess.DEVNULL, errors, errors)
            yield Pipes(ends, childs.close, {"output": logged})
            return
        if stdio == "told apart":
            printed, output = _logged_pipe(ours, childs)
            ends = (subprocess.DEVNULL, output, errors)
            yield Pipes(ends, childs.close, {"stdout": printed, "stderr": logged})
            return
        stdin, to_stdin = os.pipe()
        childs.callback(os.close, stdin)
        writer = trio.lowlevel.FdStream(to_stdin)
        ours.callback(writer.close)
        from_stdout, stdout = os.pipe()
        childs.callback(os.close, stdout)
        reader = trio.lowlevel.FdStream(from_stdout)
        ours.callback(reader.close)
        ends = (stdin, stdout, errors)
        yield Pipes(ends, childs.close, {"stderr": logged}, writer, reader)


def _logged_pipe(ours: ExitStack, childs: ExitStack) -> tuple[int, int]:
    reading, writing = os.pipe()
    ours.callback(os.close, reading)
    childs.callback(os.close, writing)
    os.set_blocking(reading, False)
    return reading, writing


Write: TypeAlias = Callable[[memoryview], None]
"""Takes what was read. It is the reader's again afterwards: who keeps some of it copies it."""
_buffer: trio.lowlevel.RunVar[bytearray] = trio.lowlevel.RunVar("buffer for what children print")


def _read(pipe: int, most: int) -> memoryview:
    """Return what is in a pipe, ``LARGE`` bytes at most; empty at its end. Raises BlockingIOError.

    In a buffer for all pipes: to have new memory for each read takes longer than to read.
    """
    try:
        buffer = _buffer.get()
    except LookupError:
        buffer = bytearray(LARGE)
        _buffer.set(buffer)
    view = memoryview(buffer)[:most]
    return view[: os.readv(pipe, [view])]


async def drain(pipe: int, write: Write) -> None:
    """Hand everything that comes out of a pipe to ``write``, until its end.

    A pipe that proves busy is made large, and then each read waits a moment for more to come:
    a child that prints line by line would else cause a read per line. A small pipe is read at
    once, for waiting would hold up the child.

    Args:
        pipe: its reading end, non-blocking.
        write: is given chunks.
    """
    capacity = fcntl.fcntl(pipe, F_GETPIPE_SZ)
    window, carried = trio.current_time(), 0
    patience = 0.0
    while True:
        await trio.lowlevel.wait_readable(pipe)
        if patience >= SHORTEST_SLEEP:
            await trio.sleep(patience)
        data = _read(pipe, capacity)
        if not data:
            return
        write(data)
        if capacity >= LARGE:
            patience = _next_patience(patience, len(data) / capacity)
            continue
        if trio.current_time() - window > 1:
            window, carried = trio.current_time(), 0
        carried += len(data)
        if carried > BUSY_BYTES_PER_SECOND:
            window, carried = trio.current_time(), 0
            capacity = _enlarged(pipe)


def _next_patience(patience: float, filled: float) -> float:
    """Return how long to let a large pipe fill, given how full it was: neither idle nor stuck."""
    if filled > 1 / 2:
        return patience / 2
    if filled < 1 / 8:
        return min(max(patience, SHORTEST_SLEEP / 2) * 2, LONGEST_SLEEP)
    return patience


def drain_rest(pipe: int, write: Write) -> None:
    """Hand what is in the pipe now to ``write``, without waiting for its end.

    For a child that is gone: somebody outside its tree may hold the other end for ever, so no
    more is read than fitted into the pipe.
    """
    left = fcntl.fcntl(pipe, F_GETPIPE_SZ)
    while left > 0:
        try:
            data = _read(pipe, left)
        except BlockingIOError:
            return
        if not data:
            return
        write(data)
        left -= len(data)


def _enlarged(pipe: int) -> int:
    """Make a pipe large if allowed: an ordinary user may have 64 such pipes. Return its size."""
    try:
        return fcntl.fcntl(pipe, F_SETPIPE_SZ, LARGE)
    except OSError:
        return fcntl.fcntl(pipe, F_GETPIPE_SZ)
