"""Reload: a changed configuration is applied to the running tree, and nothing else is touched.

Everything that can be checked is checked first: the files, the specifications, that commands exist.
Then the steps of the plan are done one after another. When one fails, as a child cannot start, that
child is put back to what it was, the rest of the plan is left undone, and the outcome says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import attrs
import trio

from a2a_sup.app.reload_plan import Plan, Step, partly, path_of, plan, step_to_json
from a2a_sup.app.reload_work import Failed, Work, give, upwards
from a2a_sup.app.scene import Build
from a2a_sup.app.settings import ChildConfig, Config, SupervisorConfig
from a2a_sup.errors import A2ASupError, CallError
from a2a_sup.model.spec import ChildSpec, SupervisorSpec
from a2a_sup.tree.handle import TreeHandle

__all__ = ["CannotReload", "Outcome", "Plan", "Reloader", "Step", "plan"]


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


Check = Callable[[ChildConfig], str | None]


def _nothing_wrong(_: ChildConfig) -> str | None:
    return None


class Reloader:
    """Brings one running tree from configuration to configuration.

    Attributes:
        config: what the tree is now; its ``serve`` is that of the start, which is in force.
        spec: the specification of that.
        on_news: is called with each other configuration.
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
        self.on_news: Callable[[Config], object] = lambda _: None
        self._tree = tree
        self._build = build
        self._check = check
        self._one_at_a_time = trio.Lock()
        self._news = trio.Event()

    async def next_config(self) -> None:
        """Return when ``config`` is another one."""
        await self._news.wait()

    def _become(self, config: Config) -> None:
        self.config = attrs.evolve(config, serve=self.config.serve)
        self.on_news(self.config)
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
        work = Work(self._tree, todo, self._specs_of(self.config), specs)
        try:
            await work.family("", self.config.root, new.root)
        except Failed as failure:
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
        copied, told = set[str](), set[str]()
        for path, child in walk("", new.root):
            family = path.rpartition("/")[0]
            if isinstance(child, SupervisorConfig):
                copied |= {path} if child.template is not None else set()
            elif family not in told and started & {*upwards(path)}:
                problem = self._check(child)
                if problem is not None:
                    yield f"{path}: {problem}"
                    # What is wrong with one copy is wrong with most of the others.
                    told |= copied & {family}

    def _specs_of(self, config: Config) -> dict[str, ChildSpec]:
        root = self._build(config)
        return {"": root, **dict(_specs("", root))}

    async def _list_again(self, todo: Plan) -> None:
        """After half a plan, let supervisors boot next time what is there, and not the rest."""
        specs = self._specs_of(self.config)
        for path in sorted({path for step in todo.steps for path in upwards(step.path)}):
            if path in specs and specs[path].is_supervisor:
                await give(self._tree, path, specs[path])


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
