"""What a tree shares with the program around it: context variables, threads, other trees."""

from __future__ import annotations

import threading
from contextvars import ContextVar
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked as settle

from a2a_sup import (
    OTP,
    ChildContext,
    ChildRef,
    ChildSpec,
    NoSuchChild,
    NoSuchSupervisor,
    SpecError,
    TreeEnded,
    TreeHandle,
    dynamic_supervisor,
    open_tree,
    supervisor,
)
from a2a_sup.testing import ScriptedChild

word: ContextVar[str] = ContextVar("word", default="nobody's")


# --- context variables -------------------------------------------------------------------------


async def test_every_incarnation_runs_in_the_context_that_the_tree_was_opened_in() -> None:
    seen: list[str] = []

    async def look(context: ChildContext) -> None:
        seen.append(word.get())
        word.set("a child's")
        context.started()
        await crash.wait()
        raise ValueError

    async def call() -> None:
        word.set("a request's")
        await tree.terminate_child("s/a")
        await tree.restart_child("s/a")
        await tree.start_child("", ChildSpec("b", look, OTP))

    crash = trio.Event()
    word.set("the program's")
    async with open_tree(supervisor("app", [supervisor("s", [ChildSpec("a", look, OTP)])])) as tree:
        word.set("the block's")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(call)
        assert seen == ["the program's"] * 3
        word_before = word.get()
        crash.set()
        crash = trio.Event()
        await settle()
        assert seen == ["the program's"] * 5
        assert word.get() == word_before == "the block's"


async def test_what_a_template_sets_reaches_no_child() -> None:
    seen: list[str] = []

    async def look(context: ChildContext) -> None:
        seen.append(word.get())
        context.started()
        await trio.sleep_forever()

    def template() -> ChildSpec:
        word.set("the template's")
        return ChildSpec("a", look)

    word.set("the program's")
    async with open_tree(dynamic_supervisor("pool", template)) as tree:
        await tree.start_from_template("")
        await tree.start_from_template("")
    assert seen == ["the program's"] * 2


async def test_a_child_may_open_a_tree_of_its_own() -> None:
    inner, outer = ScriptedChild("inner"), ScriptedChild("outer")

    async def run(context: ChildContext) -> None:
        async with open_tree(supervisor("app", [inner.spec()], strategy="one_for_all")) as tree:
            await tree.terminate_child("inner")
            await tree.restart_child("inner")
            context.started()
            await trio.sleep_forever()

    specs = [outer.spec(), ChildSpec("a", run)]
    async with open_tree(supervisor("app", specs, strategy="one_for_all")):
        assert (inner.alive, outer.alive) == (1, 1)
    assert (inner.alive, outer.alive) == (0, 0)


# --- threads -----------------------------------------------------------------------------------


def in_a_thread(handles: list[TreeHandle], calls: list[object]) -> None:
    """Call the tree from a thread that Trio does not know, while it runs."""
    tree = handles[0]
    child = ScriptedChild("a", value=7)
    calls.append(tree.from_thread(tree.start_child, "", child.spec()))
    try:
        tree.from_thread(tree.terminate_child, "x")
    except NoSuchChild as exc:
        calls.append(exc.path)
    tree.from_thread(tree.terminate_child, "a")
    calls.append(child.alive)


def test_a_foreign_thread_calls_through_one_door() -> None:
    calls: list[object] = []

    async def main() -> TreeHandle:
        async with open_tree(supervisor("app")) as tree:
            thread = threading.Thread(target=in_a_thread, args=([tree], calls))
            thread.start()
            await trio.to_thread.run_sync(thread.join)
        return tree

    tree = trio.run(main)
    assert calls == [ChildRef("a", 1, value=7), "x", 0]
    with pytest.raises(TreeEnded, match="the Trio run of this tree is over"):
        tree.from_thread(tree.restart_child, "a")


def test_a_thread_may_outlive_the_tree_while_the_run_goes_on() -> None:
    errors: list[str] = []

    def late(tree: TreeHandle) -> None:
        with pytest.raises(NoSuchSupervisor) as raised:
            tree.from_thread(tree.restart_child, "a")
        errors.append(str(raised.value))

    async def main() -> None:
        async with open_tree(supervisor("app")) as tree:
            pass
        await trio.to_thread.run_sync(late, tree)

    trio.run(main)
    assert errors == ["the root: the supervisor has ended"]


async def test_a_tree_runs_once() -> None:
    async with open_tree(supervisor("app")) as handle:
        with pytest.raises(RuntimeError, match="was run already"):
            await handle.run()


async def test_an_async_condition_is_refused() -> None:
    async def condition(_: object) -> bool:
        return True

    wrong: Any = condition
    async with open_tree(supervisor("app")) as handle:
        with pytest.raises(TypeError, match="not async"):
            await handle.wait_until(wrong)


async def test_a_tree_of_something_else_is_refused() -> None:
    wrong: Any = "app"
    with pytest.raises(SpecError, match="not of 'app'"):
        async with open_tree(wrong):
            pass
