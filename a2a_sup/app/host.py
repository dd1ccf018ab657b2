"""The program around a tree: signals, state directory, logs, exit status."""

from __future__ import annotations

import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias

import attrs
import structlog
import trio

from a2a_sup.app.assembly import build, check_child
from a2a_sup.app.config import read_config
from a2a_sup.app.control_path import NotOurs, prepare_directory
from a2a_sup.app.deadline import MARGIN, end_program_after, stop_bound
from a2a_sup.app.essential import Essential
from a2a_sup.app.log_writer import LogWriter
from a2a_sup.app.logs import LogFormat, configure_logs
from a2a_sup.app.narration import Narrator, narrate_services
from a2a_sup.app.notify import Notifier, notifier
from a2a_sup.app.operator import FILE_NAME, OperatorStops
from a2a_sup.app.reload import Reloader
from a2a_sup.app.reloading import Reloading
from a2a_sup.app.replicas import with_copies
from a2a_sup.app.services import Shown, addresses_of, run_services, services_of
from a2a_sup.app.settings import Config
from a2a_sup.app.watching import Watching
from a2a_sup.children.hygiene import own_processes
from a2a_sup.children.logs import Everything
from a2a_sup.children.state import State, state_directory
from a2a_sup.errors import ChildExit
from a2a_sup.registry import AgentRegistry
from a2a_sup.serve.api_control import Control
from a2a_sup.serve.authority import Authority
from a2a_sup.serve.lag import LoopLag
from a2a_sup.serve.listen import Address
from a2a_sup.serve.metrics import Metrics
from a2a_sup.serve.webhooks import Receivers
from a2a_sup.tree.bus import Subscription
from a2a_sup.tree.handle import TreeHandle

STOP_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT})
HANDLED = STOP_SIGNALS | {signal.SIGHUP}
Output = Literal["files", "stdout", "both"]
Watcher: TypeAlias = Callable[[Subscription], Awaitable[None]]
EVENTS_HELD = 10_000
"""Events that the log may lag behind."""


@attrs.frozen
class Options:
    """What ``a2a-sup run`` was told beside the configuration.

    Attributes:
        file: the configuration file, for messages.
        state_dir: where state and logs are kept.
        log_format: ``console`` or ``json``.
        log_level: one of ``a2a_sup.app.logs.LEVELS``.
        output: where the output of all children goes: ``files``, ``stdout`` or ``both``.
        environ: what variables in the files are looked up in when they are read again. It holds
            the supervisor's own secrets.
        addresses: where to listen, whatever the file says: see ``Config.served_at``.
        token: who sends it over TCP may change things; None: nobody may.
        watch: reload when one of the files changes.
        fresh: forget what an operator decided before.
        control: the path of the control socket; None: there is none.
        default_control: nobody asked for this path: if it cannot be had, there is none.
    """

    file: Path
    state_dir: Path
    log_format: LogFormat
    log_level: str
    output: Output = "files"
    environ: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    addresses: Mapping[str, Address | None] = attrs.field(factory=dict)
    token: str | None = attrs.field(default=None, repr=False)
    watch: bool = False
    fresh: bool = False
    control: Path | None = None
    default_control: bool = False


def block_signals() -> None:
    """Hold back the signals that ``supervise`` handles until it does.

    PID 1 would lose those that come before: the kernel drops what init has no handler for,
    unless it is blocked.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)


def supervise(config: Config, options: Options) -> int:
    """Run the tree of ``config`` until it is stopped by a signal or ends by itself.

    Returns:
        The exit status of the essential child that ended; else 0 after a requested stop or an
        auto_shutdown, 1 when the root gave up or did not start.

    Raises:
        StateInUse: another supervisor has the state directory.
        OSError: the state directory cannot be used.
    """
    with closing(LogWriter(sys.stderr)) as log:
        configure_logs(options.log_format, options.log_level, log)
        with state_directory(options.state_dir) as state:
            return trio.run(_supervise, config, options, state)


async def _supervise(config: Config, options: Options, state: State) -> int:
    log = structlog.get_logger()
    for pid in sorted(state.survivors):
        log.error("leftover.survived", pid=pid)
    for skipped in config.skipped:
        log.info("child.skipped", child=skipped.path, because=skipped.reason)
    stops = OperatorStops(state.directory / FILE_NAME, fresh=options.fresh)
    config = with_copies(config, stops.copies)
    make = partial(build, logs_dir=state.logs, held=stops.is_stopped)
    tree = TreeHandle(make(config))
    receivers = Receivers(config.webhooks, tree)
    reloader = Reloader(tree, config, make, check_child)
    reloader.on_news = lambda news: receivers.become(news.webhooks)
    reloading = Reloading(reloader, partial(_read_again, options), stops)
    manager = notifier()
    reloading.around = manager.reloading
    with (
        ExitStack() as last_resort,
        trio.open_signal_receiver(*HANDLED) as signals,
        LoopLag() as lag,
    ):
        # Before there is a thread that makes processes: children inherit what it blocks.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
        host = own_processes(state.instance)
        host.logs.everything = Everything(
            forward=options.output != "files", files=options.output != "stdout"
        )
        metrics = Metrics(tree.snapshot, lag)
        decided = {"start": stops.started, "restart": stops.started, "stop": stops.stopped}
        registry = AgentRegistry()
        registry.deploy_batch(config.serve.agents)
        metrics.gauges += [
            ("a2a_total_agents", "Agents known.", lambda: registry.stats().total),
            ("a2a_enabled_agents", "Agents that can be used.", lambda: registry.stats().enabled),
        ]
        control = Control(
            tree,
            Authority(options.token, origins=config.serve.origins, names=config.serve.names),
            logs=host.logs.get,
            registry=registry,
            reload=reloading.reload,
            scale=reloading.scale,
            decided=lambda verb, path: decided[verb](path),
        )
        watching = Watching(
            tree,
            reloader,
            lambda path: control.commands.run("restart", path, "watch"),
            is_stopped=stops.is_stopped,
            ignored=str(state.directory),
        )
        shown = Shown(
            tree=tree,
            lag=lag,
            metrics=metrics,
            serve=config.serve,
            receivers=receivers,
            registry=registry,
            control=control,
            control_path=_control_path(options),
            watching=watching,
            token=options.token,
        )
        about = {"file": str(options.file), "state_dir": str(state.directory)}
        async with trio.open_nursery() as nursery:
            stop = partial(_stop_in_time, tree, reloading, manager, last_resort)
            essential = Essential(tree.child, stop)
            inform = partial(manager.inform, walk=lambda: tree.snapshot().walk())
            listener = await nursery.start(_heed_signals, signals, tree, reloading, stop)
            reloads = await nursery.start(partial(reloading.run, watch=options.watch))
            verdict: ChildExit | None = None
            try:
                await _run_shown(shown, about, (essential.watch, inform), nursery)
            except ChildExit as exc:
                verdict = exc
            # Nobody heeds signals from here on: nothing may keep the program from ending.
            last_resort.callback(end_program_after(MARGIN).cancel)
            listener.cancel()
            reloads.cancel()
    if verdict is not None:
        log.critical("tree.failed", because=str(verdict))
    status = essential.status if essential.status is not None else int(verdict is not None)
    log.info("tree.stopped", status=status)
    return status


def _read_again(options: Options) -> Config:
    return read_config(options.file, options.environ).served_at(options.addresses)


def _control_path(options: Options) -> Path | None:
    """Return where the control socket is to be; its directory is there."""
    if options.control is None or not options.default_control:
        return options.control
    try:
        prepare_directory(options.control.parent)
    except (NotOurs, OSError) as exc:
        # As in a container whose file system is read-only: the servers are what counts.
        structlog.get_logger().warning("control.off", because=str(exc))
        return None
    return options.control


async def _run_shown(
    shown: Shown, about: dict[str, str], watchers: Iterable[Watcher], nursery: trio.Nursery
) -> None:
    """Run the tree, with the services around it.

    Raises ChildExit: a service did not start; or what the tree raises.
    """
    services = services_of(shown)

    def narrate(beside: TreeHandle) -> None:
        nursery.start_soon(narrate_services, beside.events(EVENTS_HELD))

    beside: TreeHandle = await nursery.start(run_services, services, narrate)
    # These end with the events of their trees, so not before the tree is sure to run.
    narrator = Narrator({**about, **addresses_of(services)})
    for watch in (narrator.narrate, *watchers):
        nursery.start_soon(watch, shown.tree.events(EVENTS_HELD))
    try:
        await shown.tree.run()
    finally:
        beside.stop()


async def _heed_signals(
    signals: AsyncIterator[int],
    tree: TreeHandle,
    reloading: Reloading,
    stop: Callable[[], float],
    task_status: trio.TaskStatus[trio.CancelScope],
) -> None:
    """Stop the tree at the first stop signal, hurry at the second."""
    log = structlog.get_logger()
    with trio.CancelScope() as scope:
        task_status.started(scope)
        is_stopping = False
        async for number in signals:
            name = signal.Signals(number).name
            if number == signal.SIGHUP:
                log.info("signal.reload", signal=name)
                reloading.request(name)
            elif is_stopping:
                log.warning("signal.hurry", signal=name)
                tree.hurry()
            else:
                is_stopping = True
                log.info("signal.stop", signal=name, at_most=stop())


def _stop_in_time(
    tree: TreeHandle, reloading: Reloading, manager: Notifier, last_resort: ExitStack
) -> float:
    """Stop the tree, and end the program at last; return the seconds that this takes at most."""
    bound = stop_bound(reloading.spec)
    manager.tell(STOPPING=1, STATUS=f"stopping, within {bound:g} s")
    last_resort.callback(end_program_after(bound + MARGIN).cancel)
    tree.stop()
    return bound
