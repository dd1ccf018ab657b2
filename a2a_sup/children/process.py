"""A child that is a program: any command, kept running, and nothing of it left behind."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Mapping
from functools import partial

from a2a_sup.children.command import Command, Inherited, StrPath
from a2a_sup.children.hygiene import SWEEP_SECONDS, current_host
from a2a_sup.children.logs import ChildLog, LogFiles
from a2a_sup.children.notify import Listener, Notify, heartbeats_of, listener
from a2a_sup.children.pipes import Stdio
from a2a_sup.children.running import KILL_SECONDS, Beside, RunningProcess, running
from a2a_sup.children.spawning import CannotRun
from a2a_sup.errors import ChildExit, SpecError
from a2a_sup.model.health import Probe, says_ready
from a2a_sup.model.restarts import Restart, RestartWord
from a2a_sup.model.spec import ChildContext, ChildSpec, StopRequest

__all__ = ["CannotRun", "Command", "LogFiles", "ProcessExited", "process", "run_command"]

LAST_LINES = 20
LAST_BYTES = 4096


class ProcessExited(ChildExit):
    """A process ended by itself with a status that does not count as success, or by a signal.

    Attributes:
        exit_status: negative: ended by that signal.
        last_output: the last lines it printed, a few kilobytes at most.
    """

    def __init__(
        self, status: int, last_output: tuple[str, ...] = (), *, out_of_memory: bool = False
    ) -> None:
        """Take the status as :mod:`subprocess` gives it, and whether the kernel lacked memory."""
        self.exit_status = status
        self.last_output = last_output
        if out_of_memory:
            self.kind = "out_of_memory"
            super().__init__("killed by the kernel: out of memory")
        elif status < 0:
            self.kind = "killed"
            super().__init__(f"killed by {signal_name(-status)}")
        else:
            super().__init__(f"exited with status {status}")


def signal_name(number: int) -> str:
    """Return ``SIGKILL`` for 9; ``signal 40`` for one that Python has no name for."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def process(
    name: str,
    argv: Iterable[str],
    *,
    cwd: StrPath | None = None,
    env: Mapping[str, str] | None = None,
    inherit_env: Inherited = "all",
    env_file: StrPath | None = None,
    user: str | int | None = None,
    group: str | int | None = None,
    umask: int | None = None,
    limits: Mapping[str, int | None] | None = None,
    nice: int | None = None,
    stop_signal: str | int = signal.SIGTERM,
    stop_timeout: float = 5.0,
    success: Iterable[int] = (0,),
    logs: LogFiles | None = None,
    restart: Restart | RestartWord = "permanent",
    significant: bool = False,
    wait_ready: bool = False,
    notify: bool = False,
    start_timeout: float | None = None,
    tags: Iterable[str] = (),
    probes: Iterable[Probe] = (),
) -> ChildSpec:
    """Return a child that runs a program.

    It counts as started when the program has been executed, or with ``wait_ready`` when a
    readiness or startup probe has passed, or it said ``READY=1``. It gets a session and process
    group of its own. Asked to stop, the whole group is sent ``stop_signal``, and after
    ``stop_timeout`` SIGKILL. Whenever it ends, everything that it started is killed before it may
    be started again.

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
        stop_timeout: seconds.
        success: exit statuses.
        logs: where its output is kept; None: only the last lines, in memory.
        restart: a restart type with the default budget, or a whole policy.
        significant: see ``auto_shutdown`` of ``supervisor``.
        wait_ready: its start is acknowledged when it is ready.
        notify: give it a ``NOTIFY_SOCKET``, as systemd does; a heartbeat among ``probes`` does so
            too. It then says of itself that it is ready, and its status is shown.
        start_timeout: seconds until the acknowledgment. None: no limit.
        tags: words to find it by.
        probes: what it is asked while it runs.

    Raises:
        SpecError: an argument is out of range; all mistakes are named.
    """
    probes = tuple(probes)
    listening = _notify(probes, notify=notify)
    if wait_ready and not (listening or says_ready(probes)):
        raise SpecError(
            f"child {name!r}: wait_ready needs a readiness or startup probe, or notify: somebody "
            "has to say when it is ready"
        )
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
    except SpecError as exc:
        raise SpecError(f"child {name!r}: {problem}" for problem in exc.problems) from None
    return ChildSpec(
        name,
        partial(run_command, command, logs, notify=listening),
        restart=restart,
        shutdown=shutdown_of(command),
        significant=significant,
        wait_ready=wait_ready,
        start_timeout=start_timeout,
        kind="process",
        info={"command": list(command.argv), "cwd": command.cwd},
        tags=tags,
        probes=probes,
    )


def _notify(probes: Iterable[Probe], *, notify: bool) -> Notify | None:
    if heartbeats := heartbeats_of(probes):
        return Notify(min(each.within for each in heartbeats), says_ready=notify)
    return Notify(says_ready=True) if notify else None


def shutdown_of(command: Command) -> float:
    """Return the seconds in which a child that runs this command stops by itself, at the latest."""
    return command.stop_timeout + KILL_SECONDS + SWEEP_SECONDS


async def run_command(
    command: Command, logs: LogFiles | None, context: ChildContext, notify: Notify | None = None
) -> None:
    """Run a command as a child, until it ends or is asked to.

    Args:
        command: what to run.
        logs: where its output is kept; None: only the last lines, in memory.
        context: of the child.
        notify: what its ``NOTIFY_SOCKET`` is for; None: it has none.

    Raises:
        CannotRun: it did not start.
        ProcessExited: its status is no success.
    """
    stop = context.stop_request()
    if notify is None:
        await _run(command, logs, context, stop, None)
        return
    async with listener(command, notify, context) as ear:
        await _run(ear.command, logs, context, stop, ear)


async def _run(
    command: Command,
    logs: LogFiles | None,
    context: ChildContext,
    stop: StopRequest,
    ear: Listener | None,
) -> None:
    report_log_error = partial(report_log_error_to, context)
    tell = context.printed
    with current_host().logs.opened(context.path, logs, report_log_error, tell) as log:
        begin = log.written
        beside: list[Beside] = [partial(_stop_on_request, context, stop)]
        if ear is not None:
            beside.append(lambda child: ear.listen(child.pid))
        async with running(command, log, stdio=stdio_of(logs), beside=beside) as child:
            context.report(pid=child.pid)
            context.started(child.pid)
            status = await child.wait()
        command = latest(command, context)
        context.report(exit_status=status)
        report_left(child, context)
        if status in command.success or (stop.is_set() and status == -command.stop_signal):
            return
        last_output = last_output_of(log, begin)
        context.report(last_output=last_output)
        raise ProcessExited(status, last_output, out_of_memory=child.out_of_memory)


async def _stop_on_request(context: ChildContext, stop: StopRequest, child: RunningProcess) -> None:
    await stop.wait()
    child.command = latest(child.command, context)
    await child.stop()


def latest(command: Command, context: ChildContext) -> Command:
    """Return the command as the child's specification has it now; ``command`` if it has none.

    How a process is to be stopped, and what counts as success, may have changed while it ran.
    """
    run = context.spec.run
    given = run.args[0] if isinstance(run, partial) and run.args else None
    return given if isinstance(given, Command) else command


def stdio_of(logs: LogFiles | None) -> Stdio:
    """Return whether a process needs a pipe each for its output and its errors."""
    return "told apart" if logs is not None and logs.format == "json" else "logged"


def report_log_error_to(context: ChildContext, problem: str) -> None:
    """Show that the output of a child could not be kept."""
    context.report(log_error=problem)


def report_left(child: RunningProcess, context: ChildContext) -> None:
    """Show how many processes it left behind, and which of them could not be killed."""
    if child.leftovers:
        context.report(leftovers=child.leftovers)
    if child.survivors:
        context.report(survivors=sorted(child.survivors))


def last_output_of(log: ChildLog, since: int) -> tuple[str, ...]:
    """Return the last lines of what was logged since the byte ``since``, LAST_BYTES at most."""
    since = max(since, log.written - LAST_BYTES)
    return tuple(line.decode(errors="replace") for line in log.tail(LAST_LINES, since=since))
