"""The last resort."""

from __future__ import annotations

import subprocess
import sys

import attrs
import trio

from a2a_sup import supervisor, task
from a2a_sup.app.deadline import LONGEST, stop_bound
from a2a_sup.tree.stopper import STUCK_AFTER


async def idle() -> None:
    await trio.sleep_forever()


def test_children_that_stop_one_after_another_need_the_sum_of_their_times() -> None:
    children = [task("a", idle, shutdown=3), task("b", idle, shutdown=7)]
    assert stop_bound(supervisor("s", children)) == (3 + 7) + 3 * STUCK_AFTER


def test_children_that_stop_at_once_need_the_longest_of_their_times() -> None:
    children = [task("a", idle, shutdown=3), task("b", idle, shutdown=7)]
    both = supervisor("s", children, stop_order="parallel")
    assert stop_bound(both) == 7 + 2 * STUCK_AFTER


def test_children_that_are_needed_stop_after_those_that_need_them() -> None:
    a, b, c = (task(name, idle, shutdown=time) for name, time in (("a", 3), ("b", 7), ("c", 4)))
    needing = attrs.evolve(b, after={"a": "started"})
    family = supervisor("s", [needing, c, a], stop_order="parallel")
    assert stop_bound(family) == (3 + 7) + 3 * STUCK_AFTER


def test_a_child_that_may_take_for_ever_is_given_an_hour() -> None:
    assert stop_bound(supervisor("s", [task("a", idle, shutdown="infinity")])) == LONGEST


def test_a_brutal_kill_needs_no_time() -> None:
    assert stop_bound(task("a", idle, shutdown="brutal_kill")) == STUCK_AFTER


def test_a_program_whose_event_loop_hangs_is_ended_with_70() -> None:
    program = (
        "import time\n"
        "from a2a_sup.app.deadline import end_program_after\n"
        "end_program_after(0.1)\n"
        "time.sleep(60)\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, timeout=30, check=False
    )
    assert found.returncode == 70
    assert b"not stopped after 0.1 s" in found.stderr


def test_a_program_that_ends_in_time_is_left_alone() -> None:
    program = (
        "from a2a_sup.app.deadline import end_program_after\n"
        "end_program_after(0.2).cancel()\n"
        "import time; time.sleep(0.4)\n"
    )
    found = subprocess.run([sys.executable, "-c", program], timeout=30, check=False)
    assert found.returncode == 0
