"""What the comparison with Erlang/OTP (tests/conformance) found; OTP's answers, by hand.

A step that *holds* a supervisor keeps it from looking at its inbox until all its actions are done.
"""

from __future__ import annotations

from typing import Any

from tests.conformance import ours
from tests.conformance.scenario import Call, End, Scenario, Step, Supervisor, Worker


def results(root: Supervisor, *steps: Step) -> list[Any]:
    """Return what the actions of the last step return."""
    return [*ours.run(Scenario(root, steps))[len(steps)].results]


def test_a_group_restart_that_fails_early_leaves_the_child_that_caused_it_down() -> None:
    # It was shown as about to be restarted, with nobody about to do it, and could not be
    # restarted by hand.
    a, b = Worker("a", starts=("ok", "error")), Worker("b")
    assert results(
        Supervisor("", "one_for_all", children=(a, b)),
        Step((End("b", "crashed"), Call("", "terminate_child", "a")), hold=""),
        Step((Call("", "which_children"), Call("", "restart_child", "b"))),
    ) == [[("b", "undefined", "worker"), ("a", "undefined", "worker")], "started"]


def test_a_child_whose_death_was_not_looked_at_is_not_counted_as_active() -> None:
    assert results(
        Supervisor("", children=(Worker("a"), Worker("b"))),
        Step((Call("", "count_children"), End("a", "crashed")), hold=""),
    ) == [[2, 1, 0, 2], "ok"]


def test_a_child_whose_death_was_not_looked_at_is_still_started() -> None:
    # It answered "already present", while restart_child answered "running".
    assert results(
        Supervisor("", children=(Worker("a"),)),
        Step(
            (
                Call("", "start_child", spec=Worker("a")),
                Call("", "restart_child", "a"),
                End("a", "crashed"),
            ),
            hold="",
        ),
    ) == ["already_started", "running", "ok"]
