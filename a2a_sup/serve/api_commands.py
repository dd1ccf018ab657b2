"""Start, stop and restart: one after the other for each child, whoever asks and however long."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, TypeAlias

import attrs
import structlog
import trio

from a2a_sup.errors import (
    CallError,
    ChildRestarting,
    ChildRunning,
    ChildStuck,
    NotSupported,
    StartFailed,
    TreeEnded,
)
from a2a_sup.model.snapshot import ChildSnapshot
from a2a_sup.model.states import State
from a2a_sup.serve.api_jobs import Job
from a2a_sup.serve.api_problems import Problem, nearest
from a2a_sup.tree.handle import TreeHandle

Verb: TypeAlias = Literal["start", "stop", "restart"]

Decided: TypeAlias = Callable[[Verb, str], object]

DOWN = frozenset({State.STOPPED, State.FINISHED, State.FAILED})
ABOUT_TO_START = frozenset({State.PENDING, State.STARTING})


@attrs.frozen
class Done:
    """What became of a command.

    Attributes:
        path: of the child; another one if it came back with a new number.
        already: it was so before, nothing was done.
    """

    path: str
    already: bool = False


class Commands:
    """Carries out commands on the children of one tree.

    A command goes on when nobody waits for it any more: half a restart is worse than a late one.
    Commands on one child wait for each other in the order in which they came. Only a stop ends a
    start that is under way: otherwise a child that never comes up could not be stopped.
    """

    def __init__(self, tree: TreeHandle, decided: Decided) -> None:
        """Command the children of ``tree``; ``decided`` is told of each command when it begins."""
        self._tree = tree
        self._decided = decided
        self._queues: dict[str, _Queue] = {}

    async def run(self, verb: Verb, path: str, by: str, *, patience: float = math.inf) -> Done:
        """Carry out a command and return when it is so.

        Args:
            verb: what to do.
            path: of the child.
            by: who asked, for the log.
            patience: seconds to wait for the end.

        Raises:
            Problem: it was refused or failed, or it takes longer than ``patience``.
        """
        self._require(path)
        log = structlog.get_logger().bind(child=path, by=by)
        log.info(f"control.{verb}")
        job = Job(lambda: self._in_turn(verb, path))
        try:
            with trio.move_on_after(patience):
                return await job.result()
        except Exception as exc:  # noqa: BLE001 - what it was is told and logged
            problem = problem_of(exc)
            log.warning(f"control.{verb}.refused", because=problem.detail)
            raise problem from None
        log.warning(f"control.{verb}.slow", waited=patience)
        detail = f"{verb} of {path!r} takes longer than {patience:g} s, and goes on"
        raise Problem("timed-out", detail, child=path)

    def _require(self, path: str) -> ChildSnapshot:
        child = child_at(self._tree, path)
        if child is None:
            raise no_such_child(self._tree, path)
        return child

    async def _in_turn(self, verb: Verb, path: str) -> Done:
        queue = self._queues.setdefault(path, _Queue())
        queue.length += 1
        queue.stops += verb == "stop"
        try:
            if verb == "stop" and queue.is_starting:
                # Ends the start; this stop itself has its turn after the start was answered.
                await self._tree.terminate_child(path)
            async with queue.turn:
                self._decided(verb, path)
                match verb:
                    case "start":
                        return await self._start(path, queue)
                    case "stop":
                        return await self._stop(path)
                    case "restart":
                        return await self._restart(path, queue)
        finally:
            queue.length -= 1
            queue.stops -= verb == "stop"
            if not queue.length:
                del self._queues[path]

    async def _start(self, path: str, queue: _Queue) -> Done:
        if queue.stops:
            raise _interrupted("start", path)
        with queue.starting():
            try:
                return await self._started(path)
            except StartFailed as exc:
                if queue.stops:
                    raise _interrupted("start", path) from None
                raise Problem("start-failed", str(exc), child=path) from None

    async def _started(self, path: str) -> Done:
        child = self._require(path)
        while child.state in ABOUT_TO_START:
            await self._change_of(child)
            child = self._require(path)
        if child.state is State.RUNNING:
            return Done(path, already=True)
        if child.state is State.BACKING_OFF:
            # It would start later by itself: now is what was asked for.
            await self._tree.terminate_child(path)
        try:
            await self._tree.restart_child(path)
        except (ChildRunning, ChildRestarting):
            # Its supervisor was faster, for example to start its whole group.
            return await self._started(path)
        return Done(path)

    async def _stop(self, path: str) -> Done:
        was_down = self._require(path).state in DOWN
        await self._tree.terminate_child(path)
        if self._tree.child(path) is None:
            # It was forgotten, as it is temporary or dynamic: so is what was decided about it.
            self._decided("start", path)
        return Done(path, already=was_down)

    async def _restart(self, path: str, queue: _Queue) -> Done:
        self._require(path)
        spec = await self._tree.get_childspec(path)
        await self._tree.terminate_child(path)
        if self._tree.child(path) is not None:
            return attrs.evolve(await self._start(path, queue), already=False)
        # A temporary child, or one of a dynamic supervisor, is forgotten when it ends.
        if queue.stops:
            raise _interrupted("restart", path)
        try:
            ref = await self._tree.start_child(path.rpartition("/")[0], spec)
        except StartFailed as exc:
            raise Problem("start-failed", str(exc), child=path) from None
        return Done(ref.path)

    async def _change_of(self, child: ChildSnapshot) -> None:
        with self._tree.events(capacity=1) as changes:
            while self._tree.child(child.path) == child:
                if await anext(changes, None) is None:
                    raise TreeEnded("the tree ended meanwhile")


class _Queue:
    """The commands on one child: who is at it, and what comes after."""

    def __init__(self) -> None:
        self.turn = trio.StrictFIFOLock()
        self.length = 0
        self.stops = 0
        self.is_starting = False

    def starting(self) -> _Starting:
        return _Starting(self)


@attrs.frozen
class _Starting:
    queue: _Queue

    def __enter__(self) -> None:
        self.queue.is_starting = True

    def __exit__(self, *_: object) -> None:
        self.queue.is_starting = False


def problem_of(error: Exception) -> Problem:
    """Return what a failed call into the tree is for somebody outside."""
    match error:
        case Problem():
            return error
        case ChildStuck():
            return Problem("child-stuck", str(error))
        case NotSupported():
            return Problem("not-supported", str(error))
        case TreeEnded():
            return Problem("tree-ended", str(error))
        case CallError():
            return Problem("child-moved", str(error))
    structlog.get_logger().error("control.failed", exc_info=error)
    return Problem("internal-error", "see the log of the supervisor", error=type(error).__name__)


def child_at(tree: TreeHandle, path: str) -> ChildSnapshot | None:
    """Return the child of exactly this path: commands and decisions go by it."""
    child = tree.child(path) if path else None
    return child if child is not None and child.path == path else None


def no_such_child(tree: TreeHandle, path: str) -> Problem:
    """Return the problem that names the nearest child there is."""
    if not path:
        return Problem("no-such-child", "the root is not a child: stop the supervisor itself")
    known = [child.path for child in tree.snapshot().walk()]
    return Problem("no-such-child", f"no child is called {path!r:.200}{nearest(path, known)}")


def _interrupted(verb: Verb, path: str) -> Problem:
    return Problem("interrupted", f"{verb} of {path!r}: a stop that was asked for later wins")
