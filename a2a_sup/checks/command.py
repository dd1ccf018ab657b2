"""A check that runs a command: exit status 0 passes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs

from a2a_sup.children.command import Command, Inherited, StrPath
from a2a_sup.children.log_lines import OutputStream
from a2a_sup.children.process import signal_name
from a2a_sup.children.running import running
from a2a_sup.children.spawning import CannotRun
from a2a_sup.errors import CheckFailed
from a2a_sup.model.spec import ChildContext

OUTPUT_BYTES = 4096
"""Kept of what a command printed last."""


@attrs.frozen
class CommandCheck:
    """A check: a command that exits with a status that counts as success. See :func:`command`.

    Attributes:
        command: what is run.
    """

    command: Command

    @property
    def name(self) -> str:
        """What the probe is called."""
        return f"command {' '.join(self.command.argv)}"

    async def __call__(self, _context: ChildContext) -> str:
        """Run it; return the last line it printed. Raises CheckFailed."""
        output = _Tail()
        try:
            # Cancelled, this kills the whole group, and what left it.
            async with running(self.command, output) as process:
                status = await process.wait()
        except CannotRun as exc:
            raise CheckFailed(str(exc)) from exc
        if status in self.command.success:
            return output.last_line
        end = f"killed by {signal_name(-status)}" if status < 0 else f"exited with status {status}"
        raise CheckFailed(f"{end}: {output.last_line}" if output.last_line else end)


class _Tail:
    """Keeps the end of what is printed."""

    def __init__(self) -> None:
        self._kept = b""

    def write(self, data: memoryview, stream: OutputStream) -> None:  # noqa: ARG002 - all in one
        self._kept = (self._kept + data[-OUTPUT_BYTES:])[-OUTPUT_BYTES:]

    @property
    def last_line(self) -> str:
        lines = self._kept.rstrip().splitlines()
        return lines[-1].decode(errors="replace").strip() if lines else ""


def command(
    argv: Iterable[str],
    *,
    cwd: StrPath | None = None,
    env: Mapping[str, str] | None = None,
    inherit_env: Inherited = "all",
    env_file: StrPath | None = None,
    user: str | int | None = None,
    group: str | int | None = None,
    umask: int | None = None,
    success: Iterable[int] = (0,),
) -> CommandCheck:
    """Return a check that runs a command and passes if it exits with status 0.

    It runs in a session of its own. When it ends, or takes too long, everything that it started is
    killed. The last line that it prints is the message.

    Args:
        argv: the program and its arguments; no shell is involved. This and all below: see
            ``process``.
        cwd: the working directory.
        env: variables to add.
        inherit_env: ``"all"``, or the names of the variables that it may inherit.
        env_file: a file with variables to add.
        user: a name or number.
        group: a name or number.
        umask: 0 to 0o777.
        success: exit statuses that pass.

    Raises:
        SpecError: an argument is out of range.
    """
    return CommandCheck(
        Command(
            argv,
            cwd=cwd,
            env=env or {},
            inherit_env=inherit_env,
            env_file=env_file,
            user=user,
            group=group,
            umask=umask,
            success=success,
        )
    )
