"""Cancelled at any moment of its life, a tree leaves nothing behind and tells no half stories.

Each scenario is run again and again, and cancelled one step of Trio's scheduler later each time,
until it is over before the cancellation comes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock
from trio.testing import wait_all_tasks_blocked as settle

from a2a_sup import (
    OTP,
    CallError,
    ChildSpec,
    GaveUp,
    StartFailed,
    TreeHandle,
    dynamic_supervisor,
    open_tree,
    supervisor,
)
from a2a_sup.model.states import ALIVE
from a2a_sup.testing import Recorder, ScriptedChild, scripted

MOST_STEPS = 2_000


class Canceller(trio.abc.Instrument):
    """Cancels a scope after so many steps of any task."""

    def __init__(self, steps: int) -> None:
        self.steps_left = steps
        self.scope: trio.CancelScope | None = None

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if self.scope is not None:
            self.steps_left -= 1
            if self.steps_left == 0:
                self.scope.cancel()

    @property
    def has_cancelled(self) -> bool:
        return self.steps_left <= 0

    @contextmanager
    def cancelling(self) -> Iterator[None]:
        """Count steps, and cancel what is inside."""
        with trio.CancelScope() as scope:
            self.scope = scope
            try:
                yield
            finally:
                self.scope = None


@attrs.define
class World:
    """What one run of a scenario works with."""

    canceller: Canceller
    family: list[ScriptedChild] = attrs.field(
        factory=lambda: scripted("a b c d", politeness="heeds", stop_delay=1)
    )

    @property
    def specs(self) -> list[ChildSpec]:
        return [child.spec(restart=OTP) for child in self.family]


Scenario = Callable[[World, TreeHandle], Awaitable[None]]


def tasks_below(task: trio.lowlevel.Task) -> int:
    return sum(
        1 + tasks_below(child) for nursery in task.child_nurseries for child in nursery.child_tasks
    )


def run_at_every_step(
    make: Callable[[World], ChildSpec], scenario: Callable[..., Awaitable[None]], new_story: Any
) -> None:
    """Run ``scenario`` beside a tree until no step is left to cancel it at."""

    async def main(world: World) -> None:
        tree = TreeHandle(make(world))
        recorder = Recorder(tree)
        tasks_before = tasks_below(trio.lowlevel.current_task())
        await scenario(world, tree)
        await tree.wait_ended()
        assert tasks_below(trio.lowlevel.current_task()) == tasks_before
        assert [child.alive for child in world.family] == [0] * 4
        assert max(child.most_alive for child in world.family) <= 1
        story = new_story()
        story.read(recorder.events)
        story.assert_over()
        assert not [child for child in tree.snapshot().walk() if child.state in ALIVE]

    for steps in range(1, MOST_STEPS):
        canceller = Canceller(steps)
        trio.run(
            main,
            World(canceller),
            clock=MockClock(autojump_threshold=0),
            instruments=[canceller],
        )
        if not canceller.has_cancelled:
            assert steps > 4, "the scenario has no steps worth the name"
            return
    raise AssertionError("the scenario does not end")


# --- cancelling the whole tree -----------------------------------------------------------------


def a_nested_tree(world: World) -> ChildSpec:
    a, b, c, d = world.specs
    inner = supervisor("inner", [b, c], strategy="one_for_all", restart=OTP, intensity=1, period=99)
    return supervisor("app", [a, inner, d], intensity=2, period=99)


def a_group(world: World) -> ChildSpec:
    return supervisor("app", world.specs, strategy="rest_for_one")


def a_parallel_tree(world: World) -> ChildSpec:
    return supervisor("app", world.specs, stop_order="parallel")


def an_isolated_tree(world: World) -> ChildSpec:
    return supervisor("app", [child.spec() for child in world.family])


async def boot(world: World, tree: TreeHandle) -> None:
    """Boot with slow starts, and stop."""
    for child in world.family[1:3]:
        child.start_delay = 1


async def restart(world: World, tree: TreeHandle) -> None:
    await settle()
    for child in world.family[:3]:
        if child.alive:
            child.crash()
        await trio.sleep(2)


async def fail_to_restart(world: World, tree: TreeHandle) -> None:
    await settle()
    world.family[1].fail_next_start(ValueError())
    world.family[1].crash()
    await trio.sleep(5)


async def call(world: World, tree: TreeHandle) -> None:
    await settle()
    extra = ScriptedChild("extra")
    await tree.start_child("", extra.spec())
    await tree.terminate_child("extra")
    await tree.restart_child("extra")
    await tree.terminate_child("extra")
    await tree.delete_child("extra")


@pytest.mark.parametrize("make", [a_nested_tree, a_group, a_parallel_tree, an_isolated_tree])
@pytest.mark.parametrize("script", [boot, restart, fail_to_restart, call])
def test_a_tree_cancelled_at_any_step(
    make: Callable[[World], ChildSpec], script: Scenario, new_story: Any
) -> None:
    async def scenario(world: World, tree: TreeHandle) -> None:
        with world.canceller.cancelling():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(tree.run)
                await script(world, tree)
                await settle()
                tree.stop()

    run_at_every_step(make, scenario, new_story)


def test_open_tree_cancelled_at_any_step() -> None:
    """The same through the door that programs use."""
    for steps in range(1, MOST_STEPS):
        canceller = Canceller(steps)
        a, b = scripted("a b", politeness="heeds", stop_delay=1, start_delay=1)

        async def main() -> None:
            before = tasks_below(trio.lowlevel.current_root_task())  # type: ignore[arg-type]
            with canceller.cancelling():  # noqa: B023 - called in this turn
                async with open_tree(supervisor("app", [a.spec(), supervisor("s", [b.spec()])])):  # noqa: B023
                    await trio.sleep(1)
            assert tasks_below(trio.lowlevel.current_root_task()) == before  # type: ignore[arg-type]

        trio.run(main, clock=MockClock(autojump_threshold=0), instruments=[canceller])
        assert (a.alive, b.alive) == (0, 0)
        if not canceller.has_cancelled:
            assert b.starts == 1
            return
    raise AssertionError("the scenario does not end")


# --- cancelling one call -----------------------------------------------------------------------


async def start_some(world: World, tree: TreeHandle) -> None:
    for number in range(3):
        await tree.start_child("", ScriptedChild(f"extra{number}", start_delay=1).spec())


async def terminate_one(world: World, tree: TreeHandle) -> None:
    await tree.terminate_child("a")


async def terminate_a_supervisor(world: World, tree: TreeHandle) -> None:
    await tree.terminate_child("inner")


async def restart_one(world: World, tree: TreeHandle) -> None:
    await tree.terminate_child("a")
    await tree.restart_child("a")


async def count(world: World, tree: TreeHandle) -> None:
    for _ in range(10):
        await tree.count_children()


@pytest.mark.parametrize("make", [a_nested_tree, a_group])
@pytest.mark.parametrize(
    "script", [start_some, terminate_one, terminate_a_supervisor, restart_one, count]
)
def test_a_call_cancelled_at_any_step(
    make: Callable[[World], ChildSpec], script: Scenario, new_story: Any
) -> None:
    """The tree goes on, and answers the next caller."""
    if make is a_group and script is terminate_a_supervisor:
        script = terminate_one

    async def scenario(world: World, tree: TreeHandle) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tree.run)
            await settle()
            with world.canceller.cancelling():
                await script(world, tree)
            await trio.sleep(10)
            assert (await tree.count_children()).active >= 2
            await tree.start_child("", ScriptedChild("next").spec())
            tree.stop()

    run_at_every_step(make, scenario, new_story)


def test_calls_and_crashes_under_a_dynamic_supervisor_cancelled_at_any_step(
    new_story: Any,
) -> None:
    async def scenario(world: World, tree: TreeHandle) -> None:
        with world.canceller.cancelling():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(tree.run)
                await settle()
                refs = [await tree.start_child("pool", spec) for spec in world.specs]
                world.family[0].crash()
                await tree.terminate_child(refs[1].path)
                await settle()
                tree.stop()

    run_at_every_step(
        lambda _: supervisor("app", [dynamic_supervisor("pool")]), scenario, new_story
    )


def test_a_tree_that_gives_up_cancelled_at_any_step(new_story: Any) -> None:
    """Whatever comes first, the verdict or the cancellation."""
    seen: set[str] = set()

    async def scenario(world: World, tree: TreeHandle) -> None:
        async def run() -> None:
            try:
                await tree.run()
            except (GaveUp, StartFailed) as exc:
                seen.add(type(exc).__name__)

        with world.canceller.cancelling():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(run)
                await settle()
                for _ in range(8):
                    if world.family[1].alive:
                        world.family[1].crash()
                    await trio.sleep(2)
                try:
                    await tree.count_children()
                except CallError as exc:
                    seen.add(type(exc).__name__)
                tree.stop()

    run_at_every_step(a_nested_tree, scenario, new_story)
    assert seen == {"GaveUp", "NoSuchSupervisor"}
