"""What the comparison with Erlang/OTP (tests/conformance) found, each with a name.

The expectation is OTP's in every case.
"""

from __future__ import annotations

import trio
from trio.testing import wait_all_tasks_blocked as settle

from a2a_sup import OTP, AlreadyStarted, State, TreeHandle, open_tree, supervisor
from a2a_sup.testing import Scripted, scripted


def states(tree: TreeHandle) -> list[str]:
    return [child.state.value for child in tree.snapshot().root.children]


async def test_a_group_restart_that_fails_early_leaves_the_child_that_caused_it_down() -> None:
    # It stayed "about to be restarted" with nobody about to do it.
    a, b = children = scripted("a b")
    async with open_tree(
        supervisor(
            "app", [each.spec(restart=OTP) for each in children], strategy="one_for_all"
        )
    ) as tree:
        a.fail_next_start(Scripted())
        async with trio.open_nursery() as nursery:
            b.crash()
            nursery.start_soon(tree.terminate_child, "a")  # cancels the retry
        assert states(tree) == [State.STOPPED, State.STOPPED]
        await tree.restart_child("b")
        assert states(tree) == [State.STOPPED, State.RUNNING]
