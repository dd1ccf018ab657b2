"""Specifications are checked whole, before anything starts, and every mistake is named."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from a2a_sup.errors import SpecError
from a2a_sup.model.restarts import Restart, RestartType
from a2a_sup.model.spec import (
    DEPTH_LIMIT,
    NAME_LIMIT,
    ChildContext,
    ChildSpec,
    SupervisorSpec,
    significance_problem,
)
from a2a_sup.model.strategy import AutoShutdown, Strategy


async def idle(context: ChildContext) -> None:
    """Never run: these tests start nothing."""


def problems_of(make: Callable[[], object]) -> tuple[str, ...]:
    with pytest.raises(SpecError) as raised:
        make()
    assert str(raised.value) == "\n".join(raised.value.problems)
    return raised.value.problems


def test_the_defaults_are_otps() -> None:
    worker = ChildSpec("worker", idle)
    nested = ChildSpec("nested", SupervisorSpec())
    assert (worker.shutdown, nested.shutdown) == (5.0, "infinity")
    assert worker.restart.type is RestartType.PERMANENT
    assert not worker.significant
    assert nested.is_supervisor
    assert not worker.is_supervisor
    spec = SupervisorSpec()
    assert (spec.strategy, spec.auto_shutdown) == (Strategy.ONE_FOR_ONE, AutoShutdown.NEVER)
    assert (spec.intensity, spec.stop_order) == (None, "reverse")


def test_a_word_stands_for_a_restart_type_with_the_default_budget() -> None:
    assert ChildSpec("a", idle, restart="transient").restart == Restart("transient")


@pytest.mark.parametrize("name", ["a", "a b", "é", "名前", ".", "#1", "x" * NAME_LIMIT])
def test_names_are_texts_one_can_print(name: str) -> None:
    assert ChildSpec(name, idle).name == name


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "a name is a text of 1 to 64 characters"),
        (None, "a name is a text of 1 to 64 characters"),
        (7, "a name is a text of 1 to 64 characters"),
        (b"a", "a name is a text of 1 to 64 characters"),
        ("x" * (NAME_LIMIT + 1), "a name has at most 64 characters, not 65"),
        ("a/b", "a name has no '/'"),
        ("/", "a name has no '/'"),
        ("a\nb", "a name has only printable characters"),
        ("\x00", "a name has only printable characters"),
        ("\x1b[31m", "a name has only printable characters"),
        ("a\u200b", "a name has only printable characters"),
        ("\u202egnp", "a name has only printable characters"),
        ("\ud800", "a name has only printable characters"),
    ],
)
def test_a_bad_name_is_refused(name: str, said: str) -> None:
    (problem,) = problems_of(lambda: ChildSpec(name, idle))
    assert said in problem


def test_every_mistake_of_a_child_is_named_at_once() -> None:
    assert problems_of(
        lambda: ChildSpec(
            "a/b",
            3,  # type: ignore[arg-type]
            restart="allways",  # type: ignore[arg-type]
            shutdown=-1,
            start_timeout=0,
        )
    ) == (
        "child 'a/b': a name has no '/', which separates the names of a path",
        "child 'a/b': run is an async function or a SupervisorSpec, not 3",
        "child 'a/b': shutdown is seconds >= 0, 'infinity' or 'brutal_kill', not -1",
        "child 'a/b': start_timeout is seconds > 0 or None, not 0",
        "child 'a/b': restart is one of permanent, transient, temporary, not 'allways'",
    )


@pytest.mark.parametrize("restart", [3, None, ["transient"], RestartType])
def test_a_restart_is_a_word_or_a_policy(restart: Restart) -> None:
    (problem,) = problems_of(lambda: ChildSpec("a", idle, restart=restart))
    assert "restart is one of permanent, transient, temporary" in problem


@pytest.mark.parametrize("shutdown", [-0.1, float("inf"), float("nan"), "forever", "5", None, True])
def test_a_shutdown_is_seconds_or_one_of_two_words(shutdown: float) -> None:
    (problem,) = problems_of(lambda: ChildSpec("a", idle, shutdown=shutdown))
    assert "shutdown is seconds >= 0, 'infinity' or 'brutal_kill'" in problem


@pytest.mark.parametrize("shutdown", [0, 0.0, 5, "infinity", "brutal_kill"])
def test_shutdowns_that_are_allowed(shutdown: float) -> None:
    assert ChildSpec("a", idle, shutdown=shutdown).shutdown == shutdown


@pytest.mark.parametrize("timeout", [0, -1, float("inf"), float("nan"), "5", True])
def test_a_start_timeout_is_seconds(timeout: float) -> None:
    (problem,) = problems_of(lambda: ChildSpec("a", idle, start_timeout=timeout))
    assert "start_timeout is seconds > 0 or None" in problem


def test_a_significant_child_is_not_permanent() -> None:
    (problem,) = problems_of(lambda: ChildSpec("a", idle, significant=True))
    assert "a significant child is transient or temporary" in problem


@pytest.mark.parametrize("restart", ["transient", "temporary"])
def test_a_significant_child_needs_an_auto_shutdown(restart: str) -> None:
    child = ChildSpec("a", idle, restart=Restart(RestartType(restart)), significant=True)
    (problem,) = problems_of(lambda: SupervisorSpec(children=[child]))
    assert problem.startswith("child 'a': significant needs a supervisor whose auto_shutdown")
    assert significance_problem(SupervisorSpec(), child) == problem
    for policy in (AutoShutdown.ANY_SIGNIFICANT, AutoShutdown.ALL_SIGNIFICANT):
        spec = SupervisorSpec(children=[child], auto_shutdown=policy)
        assert significance_problem(spec, child) is None


def test_every_mistake_of_a_supervisor_is_named_at_once() -> None:
    child = ChildSpec("twice", idle)
    assert problems_of(
        lambda: SupervisorSpec(
            auto_shutdown="any",  # type: ignore[arg-type]
            children=[child, child],
            intensity=-1,
            period=0,
            stop_order="random",  # type: ignore[arg-type]
            max_children=-1,
        )
    ) == (
        "auto_shutdown is one of never, any_significant, all_significant, not 'any'",
        "supervisor: intensity is a whole number >= 0 or None, not -1",
        "supervisor: period is a number of seconds > 0, not 0",
        "supervisor: stop_order is 'reverse' or 'parallel', not 'random'",
        "supervisor: max_children is a whole number >= 0 or None, not -1",
        "child 'twice': two children have this name",
        "supervisor: template and max_children belong to a dynamic supervisor",
    )


def test_a_wrong_strategy_is_named_with_the_nearest_one() -> None:
    assert problems_of(
        lambda: SupervisorSpec(strategy="one_for_al", period=-1)  # type: ignore[arg-type]
    ) == (
        "strategy is one of one_for_one, one_for_all, rest_for_one, simple_one_for_one, "
        "not 'one_for_al'; did you mean 'one_for_all'?",
        "supervisor: period is a number of seconds > 0, not -1",
    )


def test_a_function_in_the_list_of_children_is_refused() -> None:
    (problem,) = problems_of(lambda: SupervisorSpec(children=[idle]))  # type: ignore[list-item]
    assert problem.startswith("supervisor: a child is a ChildSpec, not <function idle")


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
def test_group_strategies_stop_in_reverse_order(strategy: str) -> None:
    (problem,) = problems_of(
        lambda: SupervisorSpec(strategy=Strategy(strategy), stop_order="parallel")
    )
    assert problem == f"supervisor: {strategy} stops in reverse order"


def test_a_dynamic_supervisor_has_no_children_to_start_with() -> None:
    (problem,) = problems_of(
        lambda: SupervisorSpec(strategy="simple_one_for_one", children=[ChildSpec("a", idle)])
    )
    assert problem == "supervisor: a dynamic supervisor starts without children"


def test_a_template_needs_a_dynamic_supervisor() -> None:
    (problem,) = problems_of(lambda: SupervisorSpec(template=lambda: ChildSpec("a", idle)))
    assert problem == "supervisor: template and max_children belong to a dynamic supervisor"


@pytest.mark.parametrize("limit", [-1, 1.5, "many", True])
def test_max_children_is_a_whole_number(limit: int) -> None:
    (problem,) = problems_of(
        lambda: SupervisorSpec(strategy="simple_one_for_one", max_children=limit)
    )
    assert "max_children is a whole number" in problem


def test_supervisors_inside_each_other_are_limited() -> None:
    spec = SupervisorSpec()
    for _ in range(DEPTH_LIMIT - 1):
        spec = SupervisorSpec(children=[ChildSpec("s", spec)])
    assert "at most 64 supervisors inside each other" in "".join(
        problems_of(lambda: SupervisorSpec(children=[ChildSpec("s", spec)]))
    )


def test_specifications_cannot_be_changed() -> None:
    spec = ChildSpec("a", idle)
    with pytest.raises(AttributeError):
        spec.name = "b"  # type: ignore[misc]
