"""An MCP server while it runs: started, greeted, talked to, and stopped by closing its input."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Literal, TypeAlias, get_args

import attrs
import trio

from a2a_sup.children.command import Command
from a2a_sup.children.hygiene import current_host
from a2a_sup.children.logs import ChildLog, LogFiles
from a2a_sup.children.mcp_connections import ConnectionLost, HandshakeFailed
from a2a_sup.children.process import (
    ProcessExited,
    last_output_of,
    report_left,
    report_log_error_to,
)
from a2a_sup.children.running import RunningProcess, running
from a2a_sup.errors import ChildExit, SpecError
from a2a_sup.model.spec import ChildContext, StopRequest

Handshake: TypeAlias = Literal["auto", "legacy"]
"""``auto``: ask by ``server/discover`` (revision 2026-07-28), else ``initialize``.
``legacy``: ``initialize`` at once, for servers that cannot bear another first message."""

EXIT_SECONDS = 0.5
"""A dying process closes its output first; so long its status is waited for."""

_importing: trio.lowlevel.RunVar[trio.CapacityLimiter] = trio.lowlevel.RunVar(
    "a2a_sup import of the mcp SDK"
)


@attrs.frozen
class MCPCommand:
    """How to run an MCP server and begin to talk to it.

    Attributes:
        command: the program.
        logs: where its errors are kept; None: only the last lines, in memory.
        handshake: how to begin.
        handshake_timeout: seconds, from when the SDK is there.
    """

    command: Command
    logs: LogFiles | None = None
    handshake: Handshake = "auto"
    handshake_timeout: float = 30.0

    def __attrs_post_init__(self) -> None:
        """Raise SpecError with every mistake."""
        problems = []
        words = get_args(Handshake)
        if self.handshake not in words:
            problems.append(f"handshake is one of {', '.join(words)}, not {self.handshake!r}")
        seconds: object = self.handshake_timeout
        is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
        if not is_number or not 0 < self.handshake_timeout < math.inf:
            problems.append(f"handshake_timeout is seconds > 0, not {seconds!r}")
        if problems:
            raise SpecError(problems)


async def run_server(server: MCPCommand, context: ChildContext, *, is_probed: bool = False) -> None:
    """Run a server as a child, until it ends, or its session does, or it is asked to.

    Args:
        server: what to run.
        context: of the child.
        is_probed: whether probes say that it is ready: then it takes the handshake too.

    Raises:
        CannotRun: it did not start.
        HandshakeFailed: it is no MCP server, or was late.
        ConnectionLost: it can no longer be talked to.
        ProcessExited: its status is no success.
    """
    stop = context.stop_request()
    shaken = trio.Event()
    report_log_error = partial(report_log_error_to, context)
    tell = context.printed
    with current_host().logs.opened(context.path, server.logs, report_log_error, tell) as log:
        begin = log.written
        async with running(server.command, log, stdio="streams") as child:
            context.report(pid=child.pid)
            if is_probed:
                context.ready(is_ready=False)
            context.started(child.pid)
            failure = await _talk(server, child, context, log, stop=stop, shaken=shaken)
            if child.status is not None:
                failure = None
                status = child.status
            else:
                server = latest(server, context)
                child.command = server.command
                status = await _end(server, child)
        server = latest(server, context)
        context.report(exit_status=status)
        report_left(child, context)
        verdict = failure or _verdict(server.command, child, status, stop, shaken)
        if verdict is not None:
            context.report(last_output=last_output_of(log, begin))
            raise verdict


def latest(server: MCPCommand, context: ChildContext) -> MCPCommand:
    """Return the server as the child's specification has it now; ``server`` if it has none."""
    run = context.spec.run
    given = run.args[0] if isinstance(run, partial) and run.args else None
    return given if isinstance(given, MCPCommand) else server


async def _talk(
    server: MCPCommand,
    child: RunningProcess,
    context: ChildContext,
    log: ChildLog,
    *,
    stop: StopRequest,
    shaken: trio.Event,
) -> ChildExit | None:
    """Talk to a server until it is asked to stop, or ends, or why it cannot be talked to."""
    failure: ChildExit | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_cancel_after, nursery.cancel_scope, stop.wait)
        nursery.start_soon(_cancel_after, nursery.cancel_scope, child.wait)
        try:
            # While the server starts up.
            converse = await _imported()
        except ImportError as exc:
            failure = HandshakeFailed(f"the mcp extra does not fit this version: {exc}")
        else:
            failure = await converse(server, child, context, log, shaken)
        with trio.move_on_after(EXIT_SECONDS):
            await child.wait()
        nursery.cancel_scope.cancel()
    return failure


async def _cancel_after(scope: trio.CancelScope, happens: Callable[[], Awaitable[object]]) -> None:
    await happens()
    scope.cancel()


async def _end(server: MCPCommand, child: RunningProcess) -> int:
    """End a server the polite way first: it exits when its input ends. Return its status."""
    assert child.stdin is not None  # noqa: S101 - it runs under "streams"
    assert child.stdout is not None  # noqa: S101 - it is a pipe
    child.stdin.close()
    async with trio.open_nursery() as nursery:
        # One that is stuck writing would never see the end of its input.
        nursery.start_soon(_discard, child.stdout)
        with trio.move_on_after(server.command.stop_timeout):
            await child.wait()
        status = await child.stop() if child.status is None else child.status
        nursery.cancel_scope.cancel()
    return status


async def _discard(stream: trio.abc.ReceiveStream) -> None:
    while await stream.receive_some():
        pass


def _verdict(
    command: Command, child: RunningProcess, status: int, stop: StopRequest, shaken: trio.Event
) -> ChildExit | None:
    """Return what to raise for a process that ended by itself or was asked to; None: nothing."""
    if stop.is_set() and status == -command.stop_signal:
        return None
    if status not in command.success:
        return ProcessExited(status, out_of_memory=child.out_of_memory)
    if stop.is_set() or shaken.is_set():
        return None
    return HandshakeFailed(f"exited with status {status} before the handshake was done")


# --- the SDK --------------------------------------------------------------------------------------

Converse: TypeAlias = Callable[
    [MCPCommand, RunningProcess, ChildContext, ChildLog, trio.Event],
    Awaitable[HandshakeFailed | ConnectionLost],
]


async def _imported() -> Converse:
    """Import the SDK in a thread, for it takes a second; one at a time, so that it is done once.

    Raises:
        ImportError: it is not the SDK that is needed.
    """
    try:
        limiter = _importing.get()
    except LookupError:
        limiter = trio.CapacityLimiter(1)
        _importing.set(limiter)
    return await trio.to_thread.run_sync(_import, limiter=limiter, abandon_on_cancel=True)


def _import() -> Converse:
    from a2a_sup.children.mcp_session import converse  # noqa: PLC0415 - see above

    return converse
