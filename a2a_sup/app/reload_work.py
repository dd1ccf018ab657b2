"""One run through the plan of a reload: its steps done to a running tree, one after another."""

from __future__ import annotations

from collections.abc import Awaitable, Iterator, Mapping
from contextlib import suppress

import attrs
import trio

from a2a_sup.app.reload_plan import Plan, Step, needed_first, needs_restart, path_of
from a2a_sup.app.settings import SupervisorConfig
from a2a_sup.errors import (
    A2ASupError,
    AlreadyPresent,
    AlreadyStarted,
    ChildRestarting,
    ChildRunning,
    ChildStuck,
)
from a2a_sup.model.spec import ChildSpec, SupervisorSpec
from a2a_sup.model.states import State
from a2a_sup.tree.handle import TreeHandle

DOWN = frozenset({State.STOPPED, State.PENDING, State.FINISHED, State.FAILED})
"""Children in these states need not be stopped. Those that somebody stopped stay down."""
GONE_WITHIN = 10.0
"""Seconds that a child may take longer than its stop: on a machine that is overrun, it does."""


class Failed(Exception):
    """A step could not be done. The cause says why.

    Attributes:
        step: which one.
    """

    def __init__(self, step: Step) -> None:
        """Take the step."""
        self.step = step
        super().__init__(str(step))


class Work:
    """One run through a plan.

    Attributes:
        done: the steps that were done.
    """

    def __init__(
        self,
        tree: TreeHandle,
        todo: Plan,
        old: Mapping[str, ChildSpec],
        new: Mapping[str, ChildSpec],
    ) -> None:
        """Take a tree, what is to be done to it, and all specifications by path: old and new."""
        self.done: list[Step] = []
        self._tree = tree
        self._steps = {step.path: step for step in todo.steps}
        self._touched = {path for step in todo.steps for path in upwards(step.path)}
        self._old = old
        self._new = new
        # What was stopped and is to be started again, the last one first, and its place.
        self._stopped: dict[str, tuple[str, ...]] = {}
        # Who restarts, and needs another who does.
        self._waiting: set[str] = set()

    async def family(self, path: str, old: SupervisorConfig, new: SupervisorConfig) -> None:
        """Bring a supervisor and all below it from ``old`` to ``new``."""
        if path not in self._touched:
            return
        step = self._steps.get(path)
        # Its list of children too: from now on it boots what the new files say.
        await self._try(step or Step(path, "update"), give(self._tree, path, self._new[path]))
        if step is not None:
            self.done.append(step)
        names = tuple(child.name for child in new.children)
        before = {child.name: child for child in old.children}
        self._waiting.update(self._needy(path, old, new))
        await self._make_room(path, old, grouped=new.strategy.grouped)
        for child in needed_first(new):
            place = path_of(path, child.name)
            step, was = self._steps.get(place), before.get(child.name)
            if (
                isinstance(was, SupervisorConfig)
                and isinstance(child, SupervisorConfig)
                and (step is None or step.act == "update")
            ):
                await self.family(place, was, child)
            elif step is not None:
                own = was is None or needs_restart(was, child)
                await self._try(step, self._do(step, names, own=own))
                self.done.append(step)

    async def _make_room(self, path: str, old: SupervisorConfig, *, grouped: bool) -> None:
        """Remove what goes, and stop what is not only to be down for its own restart, last first.

        That is who needs another that restarts, and under a group strategy everybody who restarts.
        """
        names = tuple(child.name for child in old.children)
        for child in reversed(needed_first(old)):
            place = path_of(path, child.name)
            step = self._steps.get(place)
            if step is not None and step.act == "remove":
                await self._try(step, self._remove(place))
                self.done.append(step)
            elif step is not None and step.act == "restart" and (grouped or place in self._waiting):
                await self._try(step, self._stop(place, names))

    def _needy(self, path: str, old: SupervisorConfig, new: SupervisorConfig) -> Iterator[str]:
        """Yield who restarts and needs, or needed, another that this reload brings back."""
        before = {child.name: child.after for child in old.children}
        back = {child.name for child in new.children if self._is_back(path_of(path, child.name))}
        for child in new.children:
            place = path_of(path, child.name)
            step = self._steps.get(place)
            if step is None or step.act != "restart":
                continue
            if not back.isdisjoint({*child.after, *before[child.name]}):
                yield place

    def _is_back(self, path: str) -> bool:
        """Return whether this reload starts a child. Who was stopped, or waits, is left at that."""
        step, shown = self._steps.get(path), self._tree.child(path)
        is_down = shown is not None and shown.state in (State.STOPPED, State.PENDING)
        return step is not None and step.act in ("add", "restart") and not is_down

    async def _try(self, step: Step, doing: Awaitable[None]) -> None:
        try:
            await doing
        except A2ASupError as exc:
            if step.act == "restart":
                await self._put_back(step.path)
            raise Failed(step) from exc

    async def _do(self, step: Step, names: tuple[str, ...], *, own: bool) -> None:
        """Do a step with one child; ``own``: for its own sake, not for that of its group."""
        spec = self._new[step.path]
        shown = self._tree.child(step.path)
        if not self._is_supervisor_up(step.path):
            return  # it will boot what its specification lists
        if step.act == "update":
            if shown is not None:
                await give(self._tree, step.path, await self._with_its_probes(step, spec))
        elif step.act == "add":
            await self._start(step.path, spec, names)
        else:
            await self._restart(step.path, spec, names, own=own)

    async def _with_its_probes(self, step: Step, spec: ChildSpec) -> ChildSpec:
        """Return ``spec`` with the probes that the child has, unless they are what changed."""
        asked = ("probes", "memory_limit")
        if any(key.startswith(asked) for key in step.why) or not spec.probes:
            return spec
        return attrs.evolve(spec, probes=(await self._tree.get_childspec(step.path)).probes)

    async def _restart(
        self, path: str, spec: ChildSpec, names: tuple[str, ...], *, own: bool
    ) -> None:
        shown = self._tree.child(path)
        if shown is None:  # a temporary child that has ended, or was stopped with its group
            if own or self._was_stopped(path):
                await self._start(path, spec, names)
                self._stopped.pop(path, None)
            return
        if not self._was_stopped(path):
            await self._stop(path, names)
        if self._tree.child(path) is None:  # temporary: forgotten when it was stopped
            await self._start(path, spec, names)
        elif self._was_stopped(path):
            if spec.after:
                await self._tree.update_child(path, spec)  # it was stopped without its needs
            await self._start_again(path)
        else:
            await self._tree.update_child(path, spec)
            if shown.state is State.FAILED or (shown.state is State.FINISHED and own):
                await self._start_again(path)
        self._stopped.pop(path, None)

    async def _stop(self, path: str, names: tuple[str, ...]) -> None:
        """Stop a child that is to be started again, unless it is down."""
        shown = self._tree.child(path)
        if shown is None or shown.state in DOWN:
            return
        self._stopped[path] = names
        # Others may still have needs that form a circle with its new ones.
        spec = attrs.evolve(self._new[path], after={})
        # Before it is stopped: whoever may start it meanwhile starts the new one.
        can_be_updated = (shown.kind == "supervisor") is spec.is_supervisor
        if can_be_updated:
            await self._tree.update_child(path, spec)
        await self._terminate(path)
        if not can_be_updated and self._tree.child(path) is not None:
            await self._tree.update_child(path, spec)

    def _was_stopped(self, path: str) -> bool:
        return path in self._stopped

    async def _terminate(self, path: str) -> None:
        """Stop a child. One that is still there after its time is waited for a little longer."""
        try:
            await self._tree.terminate_child(path)
        except ChildStuck:
            with trio.move_on_after(GONE_WITHIN):
                await self._tree.wait_until(lambda _: not self._is_stuck(path))
            if self._is_stuck(path):
                raise

    def _is_stuck(self, path: str) -> bool:
        shown = self._tree.child(path)
        return shown is not None and shown.state is State.STUCK

    async def _remove(self, path: str) -> None:
        if self._tree.child(path) is not None:
            await self._terminate(path)
        if self._tree.child(path) is not None:
            await self._tree.delete_child(path)

    async def _start(self, path: str, spec: ChildSpec, names: tuple[str, ...]) -> None:
        """Start a child that its supervisor does not have, in its place among ``names``."""
        parent, _, name = path.rpartition("/")
        later = names[names.index(name) + 1 :] if name in names else ()
        present = (other for other in later if self._tree.child(path_of(parent, other)))
        # Already there: the supervisor was restarted meanwhile, and booted what is listed now.
        with suppress(AlreadyStarted, AlreadyPresent):
            await self._tree.start_child(parent, spec, before=next(present, None))

    async def _start_again(self, path: str) -> None:
        # Already there: its group, or an operator, was faster.
        with suppress(ChildRunning, ChildRestarting):
            await self._tree.restart_child(path, by_need=path in self._waiting)

    async def _put_back(self, path: str) -> None:
        """Let a child whose restart failed be what it was, and run if it did."""
        await self._resume(path, self._stopped.pop(path, None))

    async def resume_the_stopped(self) -> None:
        """Start what was stopped for a restart that will not be."""
        while self._stopped:
            await self._resume(*self._stopped.popitem())

    async def _resume(self, path: str, names: tuple[str, ...] | None) -> None:
        """Give a child its old specification again; ``names``: start it, in its place there."""
        spec = self._old_spec(path)
        # Events say what becomes of it; the outcome tells of the first trouble only.
        with suppress(A2ASupError):
            if self._tree.child(path) is not None:
                await self._tree.update_child(path, spec)
                if names is not None:
                    await self._start_again(path)
            elif names is not None:
                await self._start(path, spec, names)

    def _old_spec(self, path: str) -> ChildSpec:
        """Return what a child was, without needs that its family as it is now has no room for."""
        spec, parent = self._old[path], path.rpartition("/")[0]
        family = self._new[parent].run
        is_grouped = isinstance(family, SupervisorSpec) and family.strategy.grouped

        def has_room(name: str) -> bool:
            place = path_of(parent, name)
            return not is_grouped and (place in self._new or self._tree.child(place) is not None)

        return attrs.evolve(spec, after={n: need for n, need in spec.after.items() if has_room(n)})

    def _is_supervisor_up(self, path: str) -> bool:
        parent = path.rpartition("/")[0]
        if not parent:
            return True
        shown = self._tree.child(parent)
        return shown is not None and shown.supervisor is not None


async def give(tree: TreeHandle, path: str, spec: ChildSpec) -> None:
    """Give a child, or the root, a specification, if it is there to take it."""
    if not path:
        await tree.update_root(spec)
    elif tree.child(path) is not None:
        await tree.update_child(path, spec)


def upwards(path: str) -> Iterator[str]:
    """Yield a path and all above it, the root's too."""
    while path:
        yield path
        path = path.rpartition("/")[0]
    yield ""
