"""The factories of supervisors: what they make, and that no mistake gets past them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from a2a_sup import (
    AlreadyStarted,
    ChildContext,
    ChildSpec,
    Restart,
    SpecError,
    SupervisorSpec,
    dynamic_supervisor,
    open_tree,
    supervisor,
)
from a2a_sup.model.restarts import RestartType
from a2a_sup.model.strategy import AutoShutdown, Strategy
from a2a_sup.testing import ScriptedChild


async def idle(context: ChildContext) -> None:
    """Never run: these tests start nothing."""


def problems_of(make: Callable[[], object]) -> tuple[str, ...]:
    with pytest.raises(SpecError) as raised:
        make()
    return raised.value.problems


def inner(spec: ChildSpec) -> SupervisorSpec:
    assert isinstance(spec.run, SupervisorSpec)
    return spec.run


def test_the_defaults_of_a_supervisor() -> None:
    spec = supervisor("app")
    assert (spec.name, spec.kind, spec.shutdown) == ("app", "supervisor", "infinity")
    assert (spec.restart, spec.significant, spec.tags) == (Restart(), False, ())
    assert dict(spec.info) == {"strategy": "one_for_one"}
    assert inner(spec).strategy is Strategy.ONE_FOR_ONE
    assert inner(spec).children == ()
    assert inner(spec).intensity is None
    assert inner(spec).auto_shutdown is AutoShutdown.NEVER
    assert inner(spec).stop_order == "reverse"
    assert not inner(spec).dynamic


def test_every_option_of_a_supervisor_arrives() -> None:
    child = ChildSpec("a", idle)
    spec = supervisor(
        "app",
        (child for _ in range(1)),
        strategy="rest_for_one",
        intensity=3,
        period=7,
        auto_shutdown="all_significant",
        restart="transient",
        shutdown=9,
        significant=True,
        start_timeout=11,
        tags=["x"],
    )
    assert inner(spec).strategy is Strategy.REST_FOR_ONE
    assert inner(spec).children == (child,)
    assert (inner(spec).intensity, inner(spec).period) == (3, 7)
    assert inner(spec).auto_shutdown is AutoShutdown.ALL_SIGNIFICANT
    assert spec.restart.type is RestartType.TRANSIENT
    assert (spec.shutdown, spec.significant, spec.start_timeout) == (9, True, 11)
    assert spec.tags == ("x",)
    assert dict(spec.info) == {"strategy": "rest_for_one"}
    assert inner(supervisor("app", stop_order="parallel")).stop_order == "parallel"


def test_every_option_of_a_dynamic_supervisor_arrives() -> None:
    def template() -> ChildSpec:
        return ChildSpec("a", idle)

    spec = dynamic_supervisor(
        "pool",
        template,
        max_children=5,
        intensity=3,
        period=7,
        auto_shutdown="any_significant",
        restart="temporary",
        shutdown="brutal_kill",
        significant=True,
        tags=["x"],
    )
    assert inner(spec).dynamic
    assert inner(spec).template is template
    assert (inner(spec).max_children, inner(spec).intensity, inner(spec).period) == (5, 3, 7)
    assert inner(spec).auto_shutdown is AutoShutdown.ANY_SIGNIFICANT
    assert spec.restart.type is RestartType.TEMPORARY
    assert (spec.shutdown, spec.significant, spec.tags) == ("brutal_kill", True, ("x",))
    assert (spec.kind, dict(spec.info)) == ("supervisor", {"strategy": "simple_one_for_one"})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"strategy": "all"}, "strategy is one of one_for_one, one_for_all, rest_for_one"),
        ({"auto_shutdown": "yes"}, "auto_shutdown is one of never"),
        ({"intensity": -1}, "intensity is a whole number"),
        ({"period": 0}, "period is a number of seconds > 0"),
        ({"stop_order": "forward"}, "stop_order is 'reverse' or 'parallel'"),
        ({"restart": "always"}, "restart is one of permanent"),
        ({"shutdown": -1}, "shutdown is seconds"),
        ({"start_timeout": 0}, "start_timeout is seconds"),
        ({"significant": True}, "a significant child is transient or temporary"),
        ({"name": "a/b"}, "a name has no '/'"),
        ({"children": [3]}, "a child is a ChildSpec, not 3"),
        ({"strategy": "one_for_all", "stop_order": "parallel"}, "stops in reverse order"),
        ({"strategy": "simple_one_for_one", "children": [ChildSpec("a", idle)]}, "starts without"),
    ],
)
def test_a_mistake_is_refused(options: dict[str, Any], said: str) -> None:
    (problem,) = problems_of(lambda: supervisor(**{"name": "app", **options}))
    assert said in problem


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"max_children": -1}, "max_children is a whole number"),
        ({"intensity": "3"}, "intensity is a whole number"),
        ({"period": None}, "period is a number of seconds"),
        ({"name": ""}, "a name is a text of 1 to 64 characters"),
    ],
)
def test_a_mistake_in_a_dynamic_supervisor_is_refused(options: dict[str, Any], said: str) -> None:
    (problem,) = problems_of(lambda: dynamic_supervisor(**{"name": "pool", **options}))
    assert said in problem


@pytest.mark.parametrize("make", [supervisor, dynamic_supervisor])
def test_all_mistakes_are_named(make: Callable[..., ChildSpec]) -> None:
    """Those of the supervisor, and those of the child that it is to its parent."""
    problems = problems_of(lambda: make("a/b", intensity=-1, period=0, shutdown=-1))
    assert [problem.split(" is ")[0].split(" has ")[0] for problem in problems] == [
        "supervisor: intensity",
        "supervisor: period",
        "child 'a/b': a name",
        "child 'a/b': shutdown",
    ]


async def test_one_specification_may_be_used_for_many_trees() -> None:
    """It is frozen: what a tree adds and removes is the tree's own."""
    child = ScriptedChild("a")
    spec = supervisor("app", [child.spec()])
    async with open_tree(spec) as one, open_tree(spec) as two:
        await one.terminate_child("a")
        await one.delete_child("a")
        assert child.alive == 1
        with pytest.raises(AlreadyStarted):
            await two.start_child("", child.spec())
        await one.start_child("", child.spec())
        assert child.alive == 2
    assert child.alive == 0
