"""A child that is an MCP server over stdio: its process, its pipes and the session with it."""

from __future__ import annotations

import importlib.util
import signal
from collections.abc import Iterable, Mapping
from functools import partial

from a2a_sup.children.command import Command, Inherited, StrPath
from a2a_sup.children.logs import LogFiles
from a2a_sup.children.mcp_child import Handshake, MCPCommand, run_server
from a2a_sup.children.mcp_connections import (
    ConnectionLost,
    Connections,
    HandshakeFailed,
    current_connections,
)
from a2a_sup.children.notify import HEARTBEAT_REFUSED, heartbeats_of
from a2a_sup.children.process import shutdown_of
from a2a_sup.errors import SpecError
from a2a_sup.model.health import Probe, says_ready
from a2a_sup.model.restarts import Restart, RestartWord
from a2a_sup.model.spec import ChildSpec

__all__ = [
    "ENVIRONMENT",
    "ConnectionLost",
    "Connections",
    "HandshakeFailed",
    "current_connections",
    "mcp_server",
]

ENVIRONMENT = ("HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER")
"""What a server inherits: the variables that MCP clients pass on, as the SDK's do."""


def mcp_server(
    name: str,
    argv: Iterable[str],
    *,
    cwd: StrPath | None = None,
    env: Mapping[str, str] | None = None,
    inherit_env: Inherited = ENVIRONMENT,
    env_file: StrPath | None = None,
    user: str | int | None = None,
    group: str | int | None = None,
    umask: int | None = None,
    limits: Mapping[str, int | None] | None = None,
    nice: int | None = None,
    stop_signal: str | int = signal.SIGTERM,
    stop_timeout: float = 2.0,
    success: Iterable[int] = (0,),
    logs: LogFiles | None = None,
    handshake: Handshake = "auto",
    handshake_timeout: float = 30.0,
    restart: Restart | RestartWord = "permanent",
    significant: bool = False,
    wait_ready: bool = False,
    start_timeout: float | None = None,
    tags: Iterable[str] = (),
    probes: Iterable[Probe] = (),
) -> ChildSpec:
    """Return a child that runs an MCP server and keeps a session with it.

    It counts as started when the program has been executed, and as ready when the handshake is
    done. Its snapshot then shows ``era``, ``protocol``, ``server``, ``tools``, ``tool_count``; and
    ``junk_lines`` and ``last_junk`` if it prints to its standard output what is no message. Its
    errors are logged, and the junk with them. Others reach the session through
    ``current_connections()``.

    Asked to stop, its standard input is closed; after ``stop_timeout`` its group is sent
    ``stop_signal``, and after as long again SIGKILL (MCP 2025-11-25, lifecycle, shutdown).

    Args:
        name: unique among siblings.
        argv: this and all up to ``success``: see :class:`Command`.
        cwd: the working directory.
        env: variables to add.
        inherit_env: ``"all"``, or the names of the variables that it may inherit.
        env_file: a file with variables to add.
        user: a name or number.
        group: a name or number.
        umask: 0 to 0o777.
        limits: of ``nofile``, ``core``, ``as``, ``cpu``.
        nice: -20 to 19.
        stop_signal: a name or number.
        stop_timeout: seconds, for each of the two steps; the default is the SDK's.
        success: exit statuses.
        logs: where its errors are kept; None: only the last lines, in memory.
        handshake: ``auto`` or ``legacy``.
        handshake_timeout: seconds; a server that is later is stopped, and that is a crash.
        restart: a restart type with the default budget, or a whole policy.
        significant: see ``auto_shutdown`` of ``supervisor``.
        wait_ready: its start is acknowledged when it is ready.
        start_timeout: seconds until the acknowledgment. None: no limit.
        tags: words to find it by.
        probes: what it is asked while it runs; see ``a2a_sup.checks.mcp_ping``.

    Raises:
        SpecError: an argument is out of range, or the ``mcp`` extra is not installed.
    """
    probes = tuple(probes)
    if heartbeats_of(probes):
        raise SpecError(f"child {name!r}: {HEARTBEAT_REFUSED}")
    # Looked up, not imported: a configuration is checked without the second that this takes.
    if importlib.util.find_spec("mcp") is None:
        raise SpecError(f'child {name!r}: it needs the mcp extra: pip install "a2a_sup[mcp]"')
    try:
        command = Command(
            argv,
            cwd=cwd,
            env=env or {},
            inherit_env=inherit_env,
            env_file=env_file,
            user=user,
            group=group,
            umask=umask,
            limits=limits or {},
            nice=nice,
            stop_signal=stop_signal,
            stop_timeout=stop_timeout,
            success=success,
        )
        server = MCPCommand(command, logs, handshake, handshake_timeout)
    except SpecError as exc:
        raise SpecError(f"child {name!r}: {problem}" for problem in exc.problems) from None
    return ChildSpec(
        name,
        partial(run_server, server, is_probed=says_ready(probes)),
        restart=restart,
        shutdown=command.stop_timeout + shutdown_of(command),
        significant=significant,
        wait_ready=wait_ready,
        start_timeout=start_timeout,
        kind="mcp",
        info={"command": list(command.argv), "cwd": command.cwd},
        tags=tags,
        probes=probes,
    )
