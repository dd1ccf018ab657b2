"""What an embedding program holds: open a tree, call it, watch it."""

from __future__ import annotations

import contextlib
import contextvars
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any, TypeVar, TypeVarTuple

import trio

from a2a_sup.errors import (
    ChildExit,
    GaveUp,
    NoSuchSupervisor,
    ShutdownExit,
    SpecError,
    TreeEnded,
    WouldDeadlock,
)
from a2a_sup.model.snapshot import ChildSnapshot, TreeSnapshot
from a2a_sup.model.spec import ChildSpec, SupervisorSpec
from a2a_sup.tree import calls
from a2a_sup.tree.bus import Bus, Subscription
from a2a_sup.tree.calls import ChildCounts, ChildRef, Request
from a2a_sup.tree.supervisor import Supervisor

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class TreeHandle:
    """A running tree.

    A child is named by its path from the root, without the root's name: ``pipeline/loader``. The
    root itself is the empty path. All methods are for tasks of the same Trio run; a foreign
    thread goes through ``from_thread``.

    Attributes:
        name: the root's name.
    """

    def __init__(self, spec: ChildSpec) -> None:
        """Prepare the tree of ``spec``; ``run`` runs it. Most programs use ``open_tree``.

        Raises:
            SpecError: ``spec`` is not a supervisor.
        """
        if not isinstance(spec, ChildSpec):
            raise SpecError(f"a tree is made of supervisor(name, [...]), not of {spec!r}")
        if not isinstance(spec.run, SupervisorSpec):
            raise SpecError(f"{spec.name!r} is not a supervisor; wrap it: supervisor('app', [...])")
        self.name = spec.name
        self._bus = Bus()
        self._root = Supervisor(spec.run, "", self._bus, contextvars.copy_context(), None)
        self._token = trio.lowlevel.current_trio_token()
        self._wall_offset = time.time() - trio.current_time()
        self._ended = trio.Event()
        self._has_run = False

    async def run(self, started: Callable[[], object] = lambda: None) -> None:
        """Run the tree, once, until it was stopped or ended by itself.

        Cancelling this stops the tree in order. ``started`` is called when it has booted.

        Raises:
            StartFailed: a child failed while the tree booted; those before it were stopped.
            GaveUp: the root gave up; ``__cause__`` is the last crash.
            ShutdownExit: a significant child ended while the tree booted. Once it has booted,
                an auto_shutdown is a return.
            RuntimeError: it was run before.
        """
        if self._has_run:
            raise RuntimeError(f"the tree {self.name!r} was run already; a TreeHandle runs once")
        self._has_run = True
        is_booted = False

        def booted() -> None:
            nonlocal is_booted
            is_booted = True
            started()

        try:
            await self._root.run(booted)
        except GaveUp:
            raise
        except ShutdownExit:
            if not is_booted:
                raise
        finally:
            self._bus.close()
            self._ended.set()

    # --- calls ----------------------------------------------------------------------------------

    async def start_child(
        self, parent: str, spec: ChildSpec, *, before: str | None = None
    ) -> ChildRef:
        """Add a child to the supervisor at ``parent`` and start it; return when it has started.

        It is put before its sibling of the name ``before``, or at the end.

        Raises:
            SpecError: the child may not be under this supervisor; nothing was changed.
            StartFailed: it did not start, and was forgotten.
            CallError: NoSuchSupervisor, NoSuchChild (``before``), AlreadyStarted, AlreadyPresent,
                TooManyChildren, SupervisorEnded or WouldDeadlock; nothing was changed.
        """
        ref: ChildRef = await self._call(parent, calls.start_child(spec, before))
        return ref

    async def start_from_template(self, parent: str, *args: Any) -> ChildRef:
        """Start a child of the dynamic supervisor at ``parent``, made by its template.

        Raises what the template raises, what ``start_child`` raises, and NotSupported if the
        supervisor has no template.
        """
        ref: ChildRef = await self._call(parent, calls.start_from_template(args))
        return ref

    async def terminate_child(self, path: str) -> None:
        """Stop a child; return when it is gone. It stays down until it is restarted by a call.

        Raises:
            ChildStuck: it was cancelled and is still there.
            CallError: NoSuchChild, NoSuchSupervisor, SupervisorEnded or WouldDeadlock.
        """
        parent, name = _split(path)
        await self._call(parent, calls.terminate_child(name))

    async def restart_child(self, path: str, *, by_need: bool = False) -> ChildRef:
        """Start a child that is down, with a fresh budget; return when it has started.

        Args:
            path: the child.
            by_need: if what it needs of its siblings is not so, return at once; it is pending,
                and its supervisor starts it when that is so.

        Raises:
            StartFailed: it did not start, and stays down.
            CallError: NoSuchChild, ChildRunning, ChildRestarting, ChildStuck, NotSupported,
                NoSuchSupervisor, SupervisorEnded or WouldDeadlock.
        """
        parent, name = _split(path)
        ref: ChildRef = await self._call(parent, calls.restart_child(name, by_need=by_need))
        return ref

    async def delete_child(self, path: str) -> None:
        """Forget a child that is down.

        Raises:
            CallError: NoSuchChild, ChildRunning, ChildRestarting, ChildStuck, NotSupported,
                NoSuchSupervisor, SupervisorEnded or WouldDeadlock.
        """
        parent, name = _split(path)
        await self._call(parent, calls.delete_child(name))

    async def update_child(self, path: str, spec: ChildSpec) -> None:
        """Give a child another specification and leave its running incarnation alone.

        Its restart policy, shutdown, probes, tags and the like are in force at once; what it runs
        is what its next start will run. A supervisor behaves by its new strategy and limits at
        once, its children take the order of the new specification, and its next boot starts what
        is listed there; children are neither started nor stopped by this.

        Raises:
            SpecError: the name differs, the child may not be so under its supervisor, or a running
                child would become a supervisor, or cease to be one; nothing was changed.
            CallError: NoSuchChild, NotSupported, NoSuchSupervisor, SupervisorEnded or
                WouldDeadlock.
        """
        parent, name = _split(path)
        if not path:
            raise SpecError("the root is updated by update_root")
        await self._call(parent, calls.update_child(name, spec))

    async def update_root(self, spec: ChildSpec) -> None:
        """Give the root another specification, as ``update_child`` does.

        Raises:
            SpecError: ``spec`` is no supervisor, or one that is dynamic and the root is not.
            CallError: NoSuchSupervisor, SupervisorEnded or WouldDeadlock.
        """
        if not isinstance(spec, ChildSpec) or not isinstance(spec.run, SupervisorSpec):
            raise SpecError(f"the root is a supervisor, not {spec!r}")
        # With the event, so that no two snapshots of one revision differ in it.
        rename = partial(setattr, self, "name", spec.name)
        await self._call("", calls.update_root(spec.run, rename))

    async def which_children(self, parent: str = "") -> tuple[ChildSnapshot, ...]:
        """Return the children of a supervisor in start order, once it has answered."""
        children: tuple[ChildSnapshot, ...] = await self._call(parent, calls.which_children())
        return children

    async def count_children(self, parent: str = "") -> ChildCounts:
        """Return how many children a supervisor has, once it has answered."""
        counts: ChildCounts = await self._call(parent, calls.count_children())
        return counts

    async def get_childspec(self, path: str) -> ChildSpec:
        """Return a child's specification. Raises NoSuchChild, NoSuchSupervisor."""
        parent, name = _split(path)
        spec: ChildSpec = await self._call(parent, calls.get_childspec(name))
        return spec

    async def _call(self, parent: str, request: Request) -> Any:
        await trio.lowlevel.checkpoint_if_cancelled()
        supervisor = self._find(parent)
        _refuse_deadlock(supervisor)
        supervisor.send(request)
        return await request.result()

    def _find(self, path: str) -> Supervisor:
        supervisor = self._look(path)
        if supervisor is None:
            raise NoSuchSupervisor(path, "no supervisor runs there")
        if supervisor.is_over:
            raise NoSuchSupervisor(path, "the supervisor has ended")
        return supervisor

    def _look(self, path: str) -> Supervisor | None:
        """Return the supervisor that snapshots show at ``path``: it may have ended."""
        supervisor = self._root
        for name in path.split("/") if path else ():
            record = supervisor.roster.records.get(name)
            if record is None or record.nested is None:
                return None
            supervisor = record.nested
        return supervisor

    def from_thread(self, call: Callable[[*Ts], Awaitable[T]], *args: *Ts) -> T:
        """Run ``await call(*args)`` in the tree's Trio run, from another thread, and wait.

        The one door for threads: ``handle.from_thread(handle.restart_child, "api")``.

        Raises what the call raises, and TreeEnded if the Trio run is over.
        """
        try:
            return trio.from_thread.run(call, *args, trio_token=self._token)
        except trio.RunFinishedError:
            raise TreeEnded("the Trio run of this tree is over") from None

    # --- watching -------------------------------------------------------------------------------

    def snapshot(self) -> TreeSnapshot:
        """Return the whole tree as it is now. What did not change is shared with the last one."""
        return TreeSnapshot(
            revision=self._bus.seq,
            time=trio.current_time(),
            name=self.name,
            root=self._root.roster.picture(),
        )

    def child(self, path: str) -> ChildSnapshot | None:
        """Return one child as it is now, or None; the cost is that of its depth.

        A nested supervisor is shown without its children.
        """
        parent, name = _split(path)
        supervisor = self._look(parent)
        record = None if supervisor is None else supervisor.roster.records.get(name)
        return None if record is None else record.row()

    def events(self, capacity: int = 1000) -> Subscription:
        """Return an async iterator over all events from now on.

        It holds ``capacity`` events for a slow reader, then drops the oldest and says how many.
        """
        return self._bus.subscribe(capacity)

    async def wait_until(self, condition: Callable[[TreeSnapshot], bool]) -> TreeSnapshot:
        """Return the first snapshot, from now on, for which ``condition`` holds.

        Raises TreeEnded if the tree ends before, and TypeError if ``condition`` is async.
        """
        with self.events(capacity=1) as changes:
            while True:
                snapshot = self.snapshot()
                holds = condition(snapshot)
                if inspect.iscoroutine(holds):
                    holds.close()
                    raise TypeError("a condition is a plain function of a snapshot, not async")
                if holds:
                    return snapshot
                if await anext(changes, None) is None:
                    raise TreeEnded("the tree ended before the condition held")

    def wall_time(self, when: float) -> float:
        """Return a time on Trio's clock as seconds since 1970."""
        return when + self._wall_offset

    @property
    def has_ended(self) -> bool:
        """Whether the tree is over."""
        return self._ended.is_set()

    async def wait_ended(self) -> None:
        """Return when the tree is over."""
        await self._ended.wait()

    def stop(self) -> None:
        """Ask the whole tree to stop in order. Returns at once; ``wait_ended`` waits."""
        self._root.request_stop()

    def hurry(self) -> None:
        """Stop the whole tree without grace: every child is cancelled, processes are killed."""
        self._root.hurry()


def _split(path: str) -> tuple[str, str]:
    parent, _, name = path.rpartition("/")
    return parent, name


def _refuse_deadlock(target: Supervisor) -> None:
    """Raise if ``target`` can answer only after a start or stop that waits for this very task."""
    task: trio.lowlevel.Task | None = trio.lowlevel.current_task()
    blocking = {incarnation.task: incarnation for incarnation in target.blocked_by()}
    while blocking and task is not None:
        if task in blocking:
            path = blocking[task].path
            if blocking[task].is_asked:
                raise WouldDeadlock(target.path, f"waits for {path} to stop, which called it")
            raise WouldDeadlock(
                target.path,
                f"waits for {path} to start, which called it; call task_status.started() first",
            )
        nursery = task.parent_nursery
        task = None if nursery is None else nursery.parent_task


@contextlib.asynccontextmanager
async def open_tree(spec: ChildSpec) -> AsyncIterator[TreeHandle]:
    """Run the tree of ``spec`` (from ``supervisor(...)``) for the length of the block.

    The block is entered when the tree has booted. At its end, however it ends, the children are
    stopped in order. If the tree ends first (it gave up, or shut itself down) the block is
    cancelled.

    Raises:
        SpecError: ``spec`` is not a supervisor.
        StartFailed: a child failed while the tree booted; those before it were stopped.
        GaveUp: the root gave up; ``__cause__`` is the last crash.
    """
    handle = TreeHandle(spec)
    booted = trio.Event()
    block = trio.CancelScope()
    errors: list[Exception] = []

    async def run_beside_the_block() -> None:
        try:
            await handle.run(booted.set)
        except ChildExit as exc:
            errors.append(exc)
        finally:
            block.cancel()

    # Errors are kept and raised outside the nursery, which would wrap them in a group.
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_beside_the_block)
        try:
            with block:
                await booted.wait()
                yield handle
        except Exception as exc:  # noqa: BLE001 - raised again below
            errors.append(exc)
        handle.stop()
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise ExceptionGroup("the tree ended, and so did the block that it ran in", errors)


async def run_tree(spec: ChildSpec) -> None:
    """Run the tree of ``spec`` until it ends by itself, or until cancelled.

    Returns after an auto_shutdown; raises what ``open_tree`` raises.
    """
    async with open_tree(spec):
        await trio.sleep_forever()
