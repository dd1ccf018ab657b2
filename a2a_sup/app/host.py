"""The program around a tree: signals, state directory, exit status.

The children come first. Everything else, the log included, is for those who look at them, and is
loaded once they have had a head start: see :mod:`a2a_sup.app.onlookers`.
"""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, closing, suppress
from functools import partial
from importlib import import_module
from typing import Any

import trio

from a2a_sup.app import signals
from a2a_sup.app.assembly import build
from a2a_sup.app.doors import control_path, doors_of
from a2a_sup.app.ending import Ending
from a2a_sup.app.essential import Essential
from a2a_sup.app.log_writer import LogWriter
from a2a_sup.app.logs import configure_logs, logger
from a2a_sup.app.notify import notifier
from a2a_sup.app.operator import FILE_NAME, OperatorStops
from a2a_sup.app.options import Options
from a2a_sup.app.replicas import with_copies
from a2a_sup.app.scene import Scene
from a2a_sup.app.settings import Config
from a2a_sup.children import files
from a2a_sup.children.hygiene import own_processes
from a2a_sup.children.logs import Everything
from a2a_sup.children.state import State, state_directory
from a2a_sup.errors import ChildExit
from a2a_sup.serve.lag import LoopLag
from a2a_sup.tree.handle import TreeHandle

EVENTS_HELD = 100_000
"""Events that wait for the onlookers: those of a boot of some 20,000 children."""
HEAD_START = 1.0
"""Seconds: so long a boot that takes longer has the program for itself."""


def supervise(config: Config, options: Options) -> int:
    """Run the tree of ``config`` until it is stopped by a signal or ends by itself.

    Returns:
        The exit status of the essential child that ended; else 0 after a requested stop or an
        auto_shutdown, 1 when the root gave up or did not start.

    Raises:
        StateInUse: another supervisor has the state directory.
        OSError: the state directory cannot be used.
    """
    files.allow_many()
    with closing(LogWriter(sys.stderr)) as log:
        configure_logs(options.log_format, options.log_level, log)
        with state_directory(options.state_dir) as state:
            return trio.run(_supervise, config, options, state)


async def _supervise(config: Config, options: Options, state: State) -> int:
    for pid in sorted(state.survivors):
        logger().error("leftover.survived", pid=pid)
    for skipped in config.skipped:
        logger().info("child.skipped", child=skipped.path, because=skipped.reason)
    stops = OperatorStops(state.directory / FILE_NAME, fresh=options.fresh)
    config = with_copies(config, stops.copies)
    make = partial(build, logs_dir=state.logs, held=stops.is_stopped)
    spec = make(config)
    tree = TreeHandle(spec)
    with (
        ExitStack() as last_resort,
        trio.open_signal_receiver(*signals.HEEDED) as arriving,
        LoopLag(logger=logger) as lag,
    ):
        # Before there is a thread that makes processes: children inherit what it blocks.
        signals.let_through()
        host = own_processes(state.instance)
        host.logs.everything = Everything(
            forward=options.output != "files", files=options.output != "stdout"
        )
        doors = doors_of(config.serve, control_path(options))
        last_resort.callback(doors.release)
        manager = notifier()
        hangups, heard = trio.open_memory_channel[str](1)
        scene = Scene(
            options=options,
            config=config,
            make=make,
            tree=tree,
            early=tree.events(EVENTS_HELD),
            ending=Ending(tree, spec, manager, last_resort),
            state_dir=state.directory,
            stops=stops,
            logs=host.logs,
            lag=lag,
            doors=doors,
            manager=manager,
            hangups=heard,
        )
        status = await _run(scene, arriving, hangups)
    logger().info("tree.stopped", status=status)
    return status


async def _run(
    scene: Scene, arriving: AsyncIterator[int], hangups: trio.MemorySendChannel[str]
) -> int:
    """Run the tree to its end; return the exit status."""
    tree, ending = scene.tree, scene.ending
    essential = Essential(tree.child, ending.stop)
    inform = partial(scene.manager.inform, walk=lambda: tree.snapshot().walk())
    has_begun = trio.Event()
    async with trio.open_nursery() as nursery:
        listener = await nursery.start(_heed_signals, arriving, ending, hangups)
        try:
            # A place that is taken ends the program before anything has been started.
            await scene.doors.reserve()
            for watch in (essential.watch, inform):
                nursery.start_soon(watch, tree.events(EVENTS_HELD))
            nursery.start_soon(_look_on, scene, has_begun)
            await tree.run(has_begun.set)
        except ChildExit as exc:
            ending.verdict = exc
        finally:
            has_begun.set()
        # Nobody heeds signals from here on.
        ending.is_near()
        listener.cancel()
    if ending.verdict is not None:
        logger().critical("tree.failed", because=str(ending.verdict))
    return int(ending.verdict is not None) if essential.status is None else essential.status


async def _look_on(scene: Scene, has_begun: trio.Event) -> None:
    """Give the children a head start, then load who looks at them, and let them look."""
    with trio.move_on_after(HEAD_START):
        await has_begun.wait()
    onlookers = await trio.to_thread.run_sync(_onlookers)
    # What is loaded now stays: the garbage collector need not look at it again and again.
    gc.freeze()
    try:
        await onlookers.look_on(scene)
    except* ChildExit as failed:  # those who looked on beside it have been cancelled with it
        scene.ending.fail(_first_of(failed))


def _first_of(group: BaseExceptionGroup[ChildExit]) -> ChildExit:
    first = group.exceptions[0]
    return _first_of(first) if isinstance(first, BaseExceptionGroup) else first


def _onlookers() -> Any:
    logger()  # what renders lines is loaded with the first one
    return import_module("a2a_sup.app.onlookers")


async def _heed_signals(
    arriving: AsyncIterator[int],
    ending: Ending,
    hangups: trio.MemorySendChannel[str],
    task_status: trio.TaskStatus[trio.CancelScope],
) -> None:
    """Stop the tree at the first stop signal, hurry at the second."""
    with trio.CancelScope() as scope:
        task_status.started(scope)
        is_stopping = False
        async for number in arriving:
            name = signal.Signals(number).name
            if number == signal.SIGHUP:
                logger().info("signal.reload", signal=name)
                with suppress(trio.WouldBlock):  # one is waiting: it will see all that changed
                    hangups.send_nowait(name)
            elif is_stopping:
                ending.tree.hurry()
                logger().warning("signal.hurry", signal=name)
            else:
                is_stopping = True
                at_most = ending.stop()  # first: to load the log may take a while
                logger().info("signal.stop", signal=name, at_most=at_most)
