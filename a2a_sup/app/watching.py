"""Children that are restarted when files change."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any

import structlog
import trio

from a2a_sup.app.reload import Reloader
from a2a_sup.app.watch_patterns import Scope, States, Watched, changed, scopes_of, watched_of
from a2a_sup.model.restarts import Backoff, Window
from a2a_sup.model.states import State
from a2a_sup.serve.api_problems import Problem
from a2a_sup.tree.handle import TreeHandle

SETTLE = 0.2
"""Seconds without a change until a change counts: an editor writes several times."""
LOOK_EVERY = 2.0
"""Seconds: so often directories are looked at that may have been replaced."""
SHOWN = 5
"""Files that a log line names."""
BURST = 3
"""Restarts of one child within ``CALM`` that are done at once; the next ones wait."""
CALM = 30.0
"""Seconds from a restart without a change until nothing waits any more."""
WAITS = Backoff.exponential(1.0, cap=60.0)
"""How long the restarts wait that are too many, one after the other."""

RESTARTED = frozenset(
    {State.STARTING, State.RUNNING, State.BACKING_OFF, State.FAILED, State.FINISHED}
)
"""Who is restarted: a change may be what a child that failed was waiting for."""


class Pace:
    """How soon one child is restarted when its files change. All times are seconds of one clock.

    A child that writes into files that it watches would be restarted for ever: nobody can tell
    its writing from that of others, but others are calm sooner or later.
    """

    def __init__(self) -> None:
        """Begin without a restart."""
        self._restarts = Window()
        self._last = -math.inf
        self._waits = 0

    @property
    def is_slowed(self) -> bool:
        """Whether restarts wait."""
        return self._waits > 0

    def wait(self, now: float) -> float:
        """Return how long to wait with a restart for a change that is seen now."""
        if now - self._last >= CALM:
            self._waits = 0
        if not self.is_slowed and self._restarts.count(now, CALM) < BURST:
            return 0.0
        self._waits += 1
        return WAITS.delay(self._waits - 1)

    def restarted(self, now: float) -> None:
        """Count a restart that is done now."""
        self._restarts.add(now)
        self._last = now


class Watching:
    """Watches the files of all children that ask for it: in a thread, or two if some are deep.

    Attributes:
        watched: the children whose files it knows: what changes from now on restarts them.
    """

    def __init__(
        self,
        tree: TreeHandle,
        reloader: Reloader,
        restart: Callable[[str], Awaitable[object]],
        *,
        is_stopped: Callable[[str], bool],
        ignored: str,
    ) -> None:
        """Watch what the configuration of ``reloader`` says, as it is at each moment.

        Args:
            tree: whose children these are.
            reloader: knows the configuration.
            restart: restarts the child at a path. It may raise Problem.
            is_stopped: says which children an operator wants to be down.
            ignored: the directory of state and logs.
        """
        self._tree = tree
        self._reloader = reloader
        self._restart = restart
        self._is_stopped = is_stopped
        self._ignored = os.path.realpath(ignored)
        self._seen: States = {}
        # Children that are being restarted now, and the files that changed meanwhile.
        self._busy: dict[str, set[str]] = {}
        self._paces: dict[str, Pace] = {}
        self.watched: tuple[Watched, ...] = ()

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Watch until cancelled."""
        task_status.started()
        async with trio.open_nursery() as restarts:
            while True:
                watched = watched_of(self._reloader.config)
                scopes = [*scopes_of(watched, self._ignored)]
                looked = [await self._first_states(scope) for scope in scopes]
                self._seen = {file: state for seen in looked for file, state in seen.items()}
                if self.watched != watched:
                    structlog.get_logger().info("watch.started", files=len(self._seen))
                    self._paces.clear()
                self.watched = watched
                async with trio.open_nursery() as watchers:
                    for scope, seen in zip(scopes, looked, strict=True):
                        watchers.start_soon(self._watch, scope, seen, restarts)
                    while watched_of(self._reloader.config) == watched:
                        await self._reloader.next_config()
                    watchers.cancel_scope.cancel()

    async def _first_states(self, scope: Scope) -> States:
        """Return the states to begin with: those seen before, where that was so."""
        found = await trio.to_thread.run_sync(scope.scan, abandon_on_cancel=True)
        # What changed while another configuration was applied counts too.
        return found | {file: state for file, state in self._seen.items() if scope.means(file)}

    async def _watch(self, scope: Scope, seen: States, restarts: trio.Nursery) -> None:
        while True:
            found = await _next_states(scope, seen)
            files = changed(seen, found)
            for file in files:
                self._seen.pop(file, None)
            self._seen |= found
            seen = found
            for one in self.watched:
                own = {file for file in files if any(each.matches(file) for each in one.patterns)}
                if own:
                    self._changed(one.path, own, restarts)

    def _changed(self, path: str, files: set[str], restarts: trio.Nursery) -> None:
        if path in self._busy:
            self._busy[path] |= files
        else:
            self._busy[path] = files
            restarts.start_soon(self._restart_one, path)

    async def _restart_one(self, path: str) -> None:
        try:
            while files := self._busy[path]:
                if self._is_wanted(path):
                    await self._keep_pace(path, files)
                # What changed while it waited is among them, and is one change with the rest.
                self._busy[path] = set()
                if self._is_wanted(path):
                    await self._restart_now(path, files)
        finally:
            del self._busy[path]

    def _is_wanted(self, path: str) -> bool:
        """Return whether a change restarts the child at ``path``, as things are now."""
        shown = self._tree.child(path)
        return (
            shown is not None
            and shown.state in RESTARTED
            and not self._is_stopped(path)
            and any(one.path == path for one in watched_of(self._reloader.config))
        )

    async def _keep_pace(self, path: str, files: set[str]) -> None:
        """Wait if the child was restarted too often. A reload ends that: it may be the cure."""
        pace = self._paces.setdefault(path, Pace())
        was_slowed = pace.is_slowed
        wait = pace.wait(trio.current_time())
        if pace.is_slowed and not was_slowed:
            structlog.get_logger().warning(
                "watch.slowed",
                child=path,
                files=sorted(files)[:SHOWN],
                restarts=BURST,
                within=CALM,
                because="a child that writes into files that it watches restarts for ever; now "
                f"each restart waits longer, until nothing has changed for {CALM:g} s after one",
            )
        if wait:
            with trio.move_on_after(wait):
                await self._reloader.next_config()

    async def _restart_now(self, path: str, files: set[str]) -> None:
        structlog.get_logger().info(
            "watch.changed", child=path, files=sorted(files)[:SHOWN], count=len(files)
        )
        try:
            await self._restart(path)
        except Problem as exc:
            # The child's own events say what became of it.
            structlog.get_logger().warning("watch.failed", child=path, because=str(exc))
        self._paces.setdefault(path, Pace()).restarted(trio.current_time())


async def _next_states(scope: Scope, seen: States) -> States:
    """Return the states of all files when they are not any more those that were ``seen``."""
    stop = threading.Event()
    try:
        return await trio.to_thread.run_sync(
            partial(_wait_for_change, scope, seen, stop), abandon_on_cancel=True
        )
    finally:
        stop.set()


def _wait_for_change(scope: Scope, seen: States, stop: threading.Event) -> States:
    while not stop.is_set():
        bases = scope.bases()
        is_new = True
        for is_told in _wakes(scope, seen, bases, stop):
            is_same = scope.bases() == bases
            # What changed while the watch was set up was not told.
            if is_told or is_new or not is_same:
                found = scope.scan()
                if found != seen:
                    return found
            is_new = False
            if not is_same:
                break  # those that came are to be watched
    return seen


def _wakes(
    scope: Scope, seen: States, bases: dict[str, Any], stop: threading.Event
) -> Iterator[bool]:
    """Yield now and then; True if a change was told.

    A directory that is not there, or cannot be watched, is looked at now and then.
    """
    there = [base for base, identity in bases.items() if identity is not None]
    try:
        yield from _told(scope, seen, there, stop) if there else ()
    except (OSError, RuntimeError) as exc:
        # Most likely there are more directories than the kernel watches for one user.
        structlog.get_logger().warning("watch.polls", because=str(exc))
        while not stop.wait(LOOK_EVERY):
            yield True
    if not there and not stop.wait(LOOK_EVERY):
        yield False


def _told(
    scope: Scope, seen: States, directories: list[str], stop: threading.Event
) -> Iterator[bool]:
    import watchfiles  # noqa: PLC0415 - heavy, and only for those who watch

    for changes in watchfiles.watch(
        *directories,
        watch_filter=lambda _, path: scope.may_mean(path, seen),
        step=round(SETTLE * 1000),
        stop_event=stop,
        rust_timeout=round(LOOK_EVERY * 1000),
        yield_on_timeout=True,
        recursive=scope.is_deep,
        raise_interrupt=False,
        ignore_permission_denied=True,
    ):
        yield bool(changes)
