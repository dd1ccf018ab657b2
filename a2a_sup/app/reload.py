"""Reload: a changed configuration is applied to the running tree, and nothing else is touched.

Everything that can be checked is checked first: the files, the specifications, that commands exist.
Then the steps of the plan are done one after another. When one fails, as a child cannot start, that
child is put back to what it was, the rest of the plan is left undone, and the outcome says so.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import attrs
import trio

from a2a_sup.app.reload_plan import Plan, Step, needs_restart, partly, path_of, plan, step_to_json
from a2a_sup.app.settings import ChildConfig, Config, SupervisorConfig
from a2a_sup.errors import (
    A2ASupError,
    AlreadyPresent,
    AlreadyStarted,
    CallError,
    ChildRestarting,
    ChildRunning,
)
from a2a_sup.model.spec import ChildSpec, SupervisorSpec
from a2a_sup.model.states import State
from a2a_sup.tree.handle import TreeHandle

__all__ = ["CannotReload", "Outcome", "Plan", "Reloader", "Step", "plan"]

DOWN = frozenset({State.STOPPED, State.PENDING, State.FINISHED, State.FAILED})
"""Children in these states need not be stopped. Those that somebody stopped stay down."""


class CannotReload(A2ASupError):
    """The new configuration cannot be applied. Nothing was changed.

    Attributes:
        problems: one line per mistake.
    """

    def __init__(self, problems: tuple[str, ...]) -> None:
        """Take every mistake."""
        self.problems = problems
        super().__init__("\n".join(problems))


@attrs.frozen
class Outcome:
    """What became of a reload.

    Attributes:
        plan: what was to be done.
        applied: the steps that were done.
        failed: the step that could not be done, if any; its child is as it was.
        because: why it could not be done.
    """

    plan: Plan
    applied: tuple[Step, ...]
    failed: Step | None = None
    because: str = ""

    @property
    def left(self) -> tuple[Step, ...]:
        """The steps that were not begun."""
        begun = {*self.applied, self.failed}
        return tuple(step for step in self.plan.steps if step not in begun)

    def to_json(self) -> dict[str, Any]:
        """Return ``{"ok", "plan", "applied", "failed", "because", "not_applied"}``.

        ``plan`` is that of :meth:`Plan.to_json`; ``applied`` and ``not_applied`` are lists of
        its steps; ``failed`` is a step or null.
        """
        return {
            "ok": self.failed is None,
            "plan": self.plan.to_json(),
            "applied": [step_to_json(step) for step in self.applied],
            "failed": None if self.failed is None else step_to_json(self.failed),
            "because": self.because,
            "not_applied": [step_to_json(step) for step in self.left],
        }


Build = Callable[[Config], ChildSpec]
Check = Callable[[ChildConfig], str | None]


def _nothing_wrong(_: ChildConfig) -> str | None:
    return None


class Reloader:
    """Brings one running tree from configuration to configuration.

    Attributes:
        config: what the tree is now.
        spec: the specification of that.
    """

    def __init__(
        self, tree: TreeHandle, config: Config, build: Build, check: Check = _nothing_wrong
    ) -> None:
        """Take over a tree that was made by ``build(config)``.

        Args:
            tree: what is changed.
            config: what it is now.
            build: makes the specification of a tree.
            check: says what keeps a child that would be started from starting, if anything does.
        """
        self.config = config
        self.spec = build(config)
        self._tree = tree
        self._build = build
        self._check = check
        self._one_at_a_time = trio.Lock()
        self._news = trio.Event()

    async def next_config(self) -> None:
        """Return when ``config`` is another one."""
        await self._news.wait()

    def _become(self, config: Config) -> None:
        self.config = config
        news, self._news = self._news, trio.Event()
        news.set()

    def plan(self, new: Config) -> Plan:
        """Return what ``apply`` would do."""
        return plan(self.config, new)

    async def apply(self, new: Config) -> Outcome:
        """Bring the tree to ``new``; a reload that is under way is waited for.

        It is not cancelled half way: a caller that is cancelled meanwhile loses only the outcome.

        Raises:
            CannotReload: nothing was changed.
        """
        return await self.change(lambda _: new)

    async def change(self, make: Callable[[Config], Config]) -> Outcome:
        """Bring the tree to what ``make`` makes of its configuration, as ``apply`` does.

        Raises what ``apply`` and ``make`` raise.
        """
        async with self._one_at_a_time:
            with trio.CancelScope(shield=True):
                outcome = await self._apply(make(self.config))
        return outcome

    async def _apply(self, new: Config) -> Outcome:
        todo = plan(self.config, new)
        problems = tuple(self._problems(todo, new))
        if problems:
            raise CannotReload(problems)
        if not todo.steps:
            self._become(new)
            return Outcome(todo, ())
        specs = self._specs_of(new)
        work = _Work(self._tree, todo, self._specs_of(self.config), specs)
        try:
            await work.family("", self.config.root, new.root)
        except _Failed as failure:
            done = tuple(work.done)
            self._become(partly(self.config, new, done))
            self.spec = self._build(self.config)
            await work.resume_the_stopped()
            with suppress(CallError):  # the tree is ending
                await self._list_again(todo)
            return Outcome(todo, done, failure.step, str(failure.__cause__))
        self._become(new)
        self.spec = specs[""]
        return Outcome(todo, tuple(work.done))

    def _problems(self, todo: Plan, new: Config) -> Iterator[str]:
        """Yield what keeps the children that would be started from starting."""
        started = {step.path for step in todo.steps if step.act in ("add", "restart")}
        for path, child in walk("", new.root):
            parents = {path[:end] for end, char in enumerate(path) if char == "/"}
            if not isinstance(child, SupervisorConfig) and started & {path, *parents}:
                problem = self._check(child)
                if problem is not None:
                    yield f"{path}: {problem}"

    def _specs_of(self, config: Config) -> dict[str, ChildSpec]:
        root = self._build(config)
        return {"": root, **dict(_specs("", root))}

    async def _list_again(self, todo: Plan) -> None:
        """After half a plan, let supervisors boot next time what is there, and not the rest."""
        specs = self._specs_of(self.config)
        for path in sorted({above for step in todo.steps for above in _above(step.path)}):
            if path in specs and specs[path].is_supervisor:
                await _give(self._tree, path, specs[path])


class _Failed(Exception):
    """A step could not be done. The cause says why."""

    def __init__(self, step: Step) -> None:
        self.step = step
        super().__init__(str(step))


class _Work:
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
        self.done: list[Step] = []
        self._tree = tree
        self._steps = {step.path: step for step in todo.steps}
        self._touched = {above for step in todo.steps for above in _above(step.path)}
        self._old = old
        self._new = new
        # What was stopped and is to be started again, the last one first, and its place.
        self._stopped: dict[str, tuple[str, ...]] = {}

    async def family(self, path: str, old: SupervisorConfig, new: SupervisorConfig) -> None:
        """Bring a supervisor and all below it from ``old`` to ``new``."""
        if path not in self._touched:
            return
        step = self._steps.get(path)
        # Its list of children too: from now on it boots what the new files say.
        await self._try(step or Step(path, "update"), _give(self._tree, path, self._new[path]))
        if step is not None:
            self.done.append(step)
        names = tuple(child.name for child in new.children)
        before = {child.name: child for child in old.children}
        await self._make_room(path, old, grouped=new.strategy.grouped)
        for child in new.children:
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
        """Remove what goes; under a group strategy also stop first what restarts, last first."""
        names = tuple(child.name for child in old.children)
        for child in reversed(old.children):
            place = path_of(path, child.name)
            step = self._steps.get(place)
            if step is not None and step.act == "remove":
                await self._try(step, self._remove(place))
                self.done.append(step)
            elif step is not None and step.act == "restart" and grouped:
                await self._try(step, self._stop(place, names))

    async def _try(self, step: Step, doing: Awaitable[None]) -> None:
        try:
            await doing
        except A2ASupError as exc:
            if step.act == "restart":
                await self._put_back(step.path)
            raise _Failed(step) from exc

    async def _do(self, step: Step, names: tuple[str, ...], *, own: bool) -> None:
        """Do a step with one child; ``own``: for its own sake, not for that of its group."""
        spec = self._new[step.path]
        shown = self._tree.child(step.path)
        if not self._is_supervisor_up(step.path):
            return  # it will boot what its specification lists
        if step.act == "update":
            if shown is not None:
                await _give(self._tree, step.path, await self._with_its_probes(step, spec))
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
            await self._start_again(path)
        else:
            await self._tree.update_child(path, spec)
            if shown.state is State.FAILED or (shown.state is State.FINISHED and own):
                await self._start_again(path)
        self._stopped.pop(path, None)

    async def _stop(self, path: str, names: tuple[str, ...]) -> None:
        """Stop a child that is to be started again, unless it is down."""
        shown, spec = self._tree.child(path), self._new[path]
        if shown is None or shown.state in DOWN:
            return
        self._stopped[path] = names
        # Before it is stopped: whoever may start it meanwhile starts the new one.
        can_be_updated = (shown.kind == "supervisor") is spec.is_supervisor
        if can_be_updated:
            await self._tree.update_child(path, spec)
        await self._tree.terminate_child(path)
        if not can_be_updated and self._tree.child(path) is not None:
            await self._tree.update_child(path, spec)

    def _was_stopped(self, path: str) -> bool:
        return path in self._stopped

    async def _remove(self, path: str) -> None:
        if self._tree.child(path) is not None:
            await self._tree.terminate_child(path)
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
            await self._tree.restart_child(path)

    async def _put_back(self, path: str) -> None:
        """Let a child whose restart failed be what it was, and run if it did."""
        await self._resume(path, self._stopped.pop(path, None))

    async def resume_the_stopped(self) -> None:
        """Start what was stopped for a restart that will not be."""
        while self._stopped:
            await self._resume(*self._stopped.popitem())

    async def _resume(self, path: str, names: tuple[str, ...] | None) -> None:
        """Give a child its old specification again; ``names``: start it, in its place there."""
        spec = self._old[path]
        # Events say what becomes of it; the outcome tells of the first trouble only.
        with suppress(A2ASupError):
            if self._tree.child(path) is not None:
                await self._tree.update_child(path, spec)
                if names is not None:
                    await self._start_again(path)
            elif names is not None:
                await self._start(path, spec, names)

    def _is_supervisor_up(self, path: str) -> bool:
        parent = path.rpartition("/")[0]
        if not parent:
            return True
        shown = self._tree.child(parent)
        return shown is not None and shown.supervisor is not None


async def _give(tree: TreeHandle, path: str, spec: ChildSpec) -> None:
    """Give a child, or the root, a specification, if it is there to take it."""
    if not path:
        await tree.update_root(spec)
    elif tree.child(path) is not None:
        await tree.update_child(path, spec)


def _above(path: str) -> Iterator[str]:
    """Yield a path and all above it, the root's too."""
    while path:
        yield path
        path = path.rpartition("/")[0]
    yield ""


def walk(path: str, family: SupervisorConfig) -> Iterator[tuple[str, ChildConfig]]:
    """Yield every child below a supervisor with its path, parents first."""
    for child in family.children:
        place = path_of(path, child.name)
        yield place, child
        if isinstance(child, SupervisorConfig):
            yield from walk(place, child)


def _specs(path: str, spec: ChildSpec) -> Iterator[tuple[str, ChildSpec]]:
    if isinstance(spec.run, SupervisorSpec):
        for child in spec.run.children:
            place = path_of(path, child.name)
            yield place, child
            yield from _specs(place, child)
