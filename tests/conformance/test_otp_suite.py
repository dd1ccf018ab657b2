"""What OTP's own tests of its supervisor ask for, where it carries over to tasks.

Each is run on both sides, and the expectation stands here in our words besides. Which of OTP's
cases do not carry over, and why, is in docs/erlang.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import pytest

from a2a_sup.model.restarts import RestartWord
from a2a_sup.model.strategy import StrategyWord
from tests.conformance.compare import compare
from tests.conformance.otp import Otp
from tests.conformance.scenario import (
    Action,
    Call,
    Child,
    End,
    How,
    Pause,
    Scenario,
    Start,
    Step,
    Supervisor,
    Worker,
)
from tests.conformance.traces import Report, tidy

FAILS: Start = "error"
NEVER_AGAIN: tuple[Start, ...] = ("ok", *[FAILS] * 20)

BENIGN: list[How] = ["normal", "shutdown", "shutdown_for"]
ABNORMAL: list[How] = ["crashed", "killed"]
GROUPED: list[StrategyWord] = ["one_for_all", "rest_for_one"]
STRATEGIES: list[StrategyWord] = ["one_for_one", *GROUPED]


class Both:
    """Runs a scenario on both sides and returns the one report of both."""

    def __init__(self, otp: Otp) -> None:
        self._otp = otp

    def __call__(self, root: Supervisor, *steps: Step | Action) -> list[Report]:
        """Return the reports of the boot, of each step, and of the final stop."""
        whole = [step if isinstance(step, Step) else Step((step,)) for step in steps]
        scenario = Scenario(root, tuple(whole))
        (outcome,) = compare(self._otp, [(scenario, 0)])
        assert outcome.difference is None, f"\n{outcome}"
        return tidy(scenario, outcome.ours)


@pytest.fixture(scope="module")
def both() -> Iterator[Both]:
    with Otp() as otp:
        yield Both(otp)


def root(
    strategy: StrategyWord, *children: Child, intensity: int = 2, **options: Any
) -> Supervisor:
    return Supervisor("", strategy, intensity=intensity, children=children, **options)


def waiting(*actions: Action) -> Step:
    """Return actions that all wait when the root looks at the first."""
    return Step(actions, hold="")


def seen(report: Report) -> list[str]:
    return [str(happening) for happening in report.happenings]


def only(report: Report) -> Any:
    (result,) = report.results
    return result


Listed: TypeAlias = list[tuple[str, str, str]]

WHICH = Call("", "which_children")
COUNT = Call("", "count_children")


def start(child: Child) -> Call:
    return Call("", "start_child", spec=child)


def start_dynamic(name: str, *starts: Start) -> Call:
    return Call("", "start_child", spec=Worker(name, starts=starts), is_dynamic=True)


# --- start ---------------------------------------------------------------------------------------


def test_start_and_stop_in_order(both: Both) -> None:
    boot, stop = both(root("one_for_one", Worker("a"), Worker("b")))
    assert seen(boot) == ["start a #1", "up a #1", "start b #1", "up b #1"]
    assert seen(stop) == ["end b #1 shutdown", "end a #1 shutdown", "end root #1 shutdown"]


def test_an_ignored_child_is_kept(both: Both) -> None:
    _, a, b, which, count, _ = both(
        root("one_for_one"),
        start(Worker("a", starts=("ignore",))),
        start(Worker("b")),
        WHICH,
        COUNT,
    )
    assert (only(a), only(b)) == ("ignored", "started")
    assert only(which) == [("b", "pid", "worker"), ("a", "undefined", "worker")]
    assert only(count) == [2, 1, 0, 2]


def test_an_ignored_temporary_child_is_not_kept(both: Both) -> None:
    child = Worker("a", restart="temporary", starts=("ignore",))
    _, static, *_ = both(root("one_for_one", child, Worker("b")), COUNT)
    assert only(static) == [1, 1, 0, 1]
    _, started, count, _ = both(root("one_for_one"), start(child), COUNT)
    assert (only(started), only(count)) == ("ignored", [0, 0, 0, 0])


@pytest.mark.parametrize("restart", ["permanent", "temporary"])
def test_an_ignored_dynamic_child_is_not_kept(both: Both, restart: RestartWord) -> None:
    template = Worker("t", restart=restart)
    _, a, b, which, count, stop = both(
        root("simple_one_for_one", template),
        start_dynamic("a", "ignore"),
        start_dynamic("b"),
        WHICH,
        COUNT,
    )
    assert (only(a), only(b)) == ("ignored", "started")
    assert only(which) == [("b", "pid", "worker")]
    assert only(count) == [1, 1, 0, 1]
    assert seen(stop)[-1] == "end root #1 shutdown"


@pytest.mark.parametrize("how", ["error", "raise", "die"])
def test_a_child_that_fails_to_start_takes_those_before_it_down(both: Both, how: Start) -> None:
    failing = Worker("b", starts=(how,))
    boot, _ = both(root("one_for_one", Worker("a"), failing, Worker("c")))
    assert boot.results == (("start_failed", ["b"]),)
    assert seen(boot) == [
        *("start a #1", "up a #1", "start b #1", "start_failed b #1"),
        "end a #1 shutdown",
    ]


def test_a_failed_start_is_told_level_by_level(both: Both) -> None:
    inner = Supervisor("inner", children=(Worker("x", starts=("error",)),))
    boot, _ = both(root("one_for_one", Supervisor("outer", children=(inner,))))
    assert boot.results == (("start_failed", ["outer", "inner", "x"]),)


# --- stop ----------------------------------------------------------------------------------------


def test_all_the_time_it_needs_is_for_workers_too(both: Both) -> None:
    *_, stop = both(root("one_for_one", Worker("a", shutdown="infinity", stop="heed")))
    assert seen(stop) == ["asked a #1", "end a #1 shutdown", "end root #1 shutdown"]


@pytest.mark.parametrize("strategy", ["one_for_one", "simple_one_for_one"])
def test_whoever_ignores_the_request_is_killed_when_its_time_is_over(
    both: Both, strategy: StrategyWord
) -> None:
    child = Worker("a", shutdown=1, stop="ignore")
    if strategy == "simple_one_for_one":
        call = Call("", "start_child", spec=child, is_dynamic=True)
        *_, stop = both(root(strategy, child), call)
    else:
        *_, stop = both(root(strategy, child))
    assert seen(stop) == ["end a #1 killed", "end root #1 shutdown"]


@pytest.mark.parametrize("strategy", ["one_for_one", "simple_one_for_one"])
def test_brutal_kill_asks_nobody(both: Both, strategy: StrategyWord) -> None:
    child = Worker("a", shutdown="brutal_kill", stop="heed")
    if strategy == "simple_one_for_one":
        call = Call("", "start_child", spec=child, is_dynamic=True)
        *_, stop = both(root(strategy, child), call)
    else:
        *_, stop = both(root(strategy, child))
    assert seen(stop) == ["end a #1 killed", "end root #1 shutdown"]


def test_a_child_that_crashes_when_asked_to_stop_holds_nobody_up(both: Both) -> None:
    *_, stop = both(root("one_for_one", Worker("a"), Worker("b", stop="crash")))
    assert seen(stop)[:3] == ["asked b #1", "end b #1 crashed", "end a #1 shutdown"]


# --- administration ------------------------------------------------------------------------------


def test_administration_of_children(both: Both) -> None:
    child = Worker("a")
    reports = both(
        root("one_for_one", child),
        start(child),
        Call("", "delete_child", "a"),
        Call("", "restart_child", "a"),
        Call("", "terminate_child", "a"),
        start(child),
        WHICH,
        Call("", "restart_child", "a"),
        Call("", "terminate_child", "a"),
        Call("", "terminate_child", "a"),
        Call("", "delete_child", "a"),
        Call("", "delete_child", "a"),
        Call("", "restart_child", "a"),
        Call("", "terminate_child", "a"),
        start(child),
        COUNT,
    )
    assert [only(report) for report in reports[1:-1]] == [
        *("already_started", "running", "running", "ok", "already_present"),
        [("a", "undefined", "worker")],
        *("started", "ok", "ok", "ok", "not_found", "not_found", "not_found", "started"),
        [1, 1, 0, 1],
    ]


def test_administration_of_dynamic_children(both: Both) -> None:
    reports = both(
        root("simple_one_for_one", Worker("t")),
        WHICH,
        start_dynamic("a"),
        start_dynamic("b"),
        COUNT,
        Call("", "terminate_child", "a", is_dynamic=True),
        Call("", "restart_child", "b"),
        Call("", "delete_child", "b"),
        WHICH,
    )
    assert [only(report) for report in reports[1:-1]] == [
        *([], "started", "started", [1, 2, 0, 2], "ok"),
        *("simple_one_for_one", "simple_one_for_one", [("b", "pid", "worker")]),
    ]


def test_a_wrong_specification_changes_nothing(both: Both) -> None:
    wrong = Worker("a", restart="transient", significant=True)
    _, answer, count, _ = both(root("one_for_one", Worker("a")), start(wrong), COUNT)
    assert (only(answer), only(count)) == ("bad_spec", [1, 1, 0, 1])


def test_temporary_children_are_forgotten(both: Both) -> None:
    child = Worker("a", restart="temporary")
    _, _, count, again, _, stopped, _ = both(
        root("one_for_one", child),
        End("a", "crashed"),
        COUNT,
        start(child),
        Call("", "terminate_child", "a"),
        Call("", "restart_child", "a"),
    )
    assert only(count) == [0, 0, 0, 0]
    assert (only(again), only(stopped)) == ("started", "not_found")


def test_counts(both: Both) -> None:
    nested = Supervisor("s", children=(Worker("x"),))
    _, before, _, after, _ = both(
        root("one_for_one", Worker("a"), Worker("b"), nested),
        COUNT,
        Call("", "terminate_child", "s"),
        COUNT,
    )
    assert (only(before), only(after)) == ([3, 3, 1, 2], [3, 2, 1, 2])


def test_a_child_between_two_attempts_is_counted_but_not_as_active(both: Both) -> None:
    child = Worker("a", starts=NEVER_AGAIN)
    _, step, _ = both(root("one_for_one", child, Worker("b")), waiting(End("a", "crashed"), COUNT))
    assert step.results == ("ok", [2, 1, 0, 2])


def test_children_are_listed_in_reverse_and_stay_where_they_are(both: Both) -> None:
    names = "abcdef"
    _, _, which, stop = both(root("one_for_one", *map(Worker, names)), End("c", "crashed"), WHICH)
    listed: Listed = only(which)
    assert [name for name, *_ in listed] == [*reversed(names)]
    assert [line.split()[1] for line in seen(stop)] == [*reversed(names), "root"]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_many_children(both: Both, strategy: StrategyWord) -> None:
    names = [f"c{number}" for number in range(300)]
    boot, _, stop = both(root(strategy, *map(Worker, names)), End("c0", "crashed"))
    assert len(boot.alive) == 301
    assert [line.split()[1] for line in seen(stop)] == [*reversed(names), "root"]


def test_many_temporary_dynamic_children(both: Both) -> None:
    calls = [start_dynamic(f"c{number}") for number in range(300)]
    ends = [End(f"c{number}", "crashed") for number in range(300)]
    reports = both(
        root("simple_one_for_one", Worker("t", restart="temporary")),
        waiting(*calls),
        COUNT,
        waiting(*ends),
        COUNT,
    )
    assert (only(reports[2]), only(reports[4])) == ([1, 300, 0, 300], [1, 0, 0, 0])


# --- restart types -------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [*BENIGN, *ABNORMAL])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_permanent_child_is_restarted(both: Both, strategy: StrategyWord, how: How) -> None:
    _, ended, _ = both(root(strategy, Worker("a")), End("a", how))
    assert seen(ended)[1:] == ["start a #2", "up a #2"]


@pytest.mark.parametrize("how", ABNORMAL)
def test_a_transient_child_is_restarted_after_an_abnormal_end(both: Both, how: How) -> None:
    _, ended, _ = both(root("one_for_one", Worker("a", restart="transient")), End("a", how))
    assert seen(ended)[1:] == ["start a #2", "up a #2"]


@pytest.mark.parametrize("how", BENIGN)
def test_a_transient_child_stays_down_after_a_benign_end(both: Both, how: How) -> None:
    child = Worker("a", restart="transient")
    _, ended, which, again, _ = both(
        root("one_for_one", child), End("a", how), WHICH, Call("", "restart_child", "a")
    )
    assert seen(ended) == [f"end a #1 {'normal' if how == 'normal' else 'shutdown'}"]
    assert only(which) == [("a", "undefined", "worker")]
    assert only(again) == "started"


@pytest.mark.parametrize("how", [*BENIGN, *ABNORMAL])
def test_a_temporary_child_is_never_restarted(both: Both, how: How) -> None:
    _, ended, which, _ = both(
        root("one_for_one", Worker("a", restart="temporary")), End("a", how), WHICH
    )
    assert (len(ended.happenings), only(which)) == (1, [])


@pytest.mark.parametrize("strategy", GROUPED)
def test_a_temporary_bystander_is_gone_after_a_group_restart(
    both: Both, strategy: StrategyWord
) -> None:
    _, ended, which, _ = both(
        root(strategy, Worker("a"), Worker("b", restart="temporary")), End("a", "crashed"), WHICH
    )
    assert seen(ended) == [
        *("end a #1 crashed", "end b #1 shutdown", "start a #2", "up a #2"),
    ]
    assert only(which) == [("a", "pid", "worker")]


# --- strategies ----------------------------------------------------------------------------------


def test_one_for_one_restarts_the_child_alone(both: Both) -> None:
    _, ended, _ = both(root("one_for_one", *map(Worker, "abc")), End("b", "crashed"))
    assert seen(ended) == ["end b #1 crashed", "start b #2", "up b #2"]


def test_one_for_all_restarts_all(both: Both) -> None:
    _, ended, _ = both(root("one_for_all", *map(Worker, "abc")), End("b", "crashed"))
    assert seen(ended) == [
        *("end b #1 crashed", "end c #1 shutdown", "end a #1 shutdown"),
        *("start a #2", "up a #2", "start b #2", "up b #2", "start c #2", "up c #2"),
    ]


def test_rest_for_one_restarts_the_child_and_those_after_it(both: Both) -> None:
    _, ended, _ = both(root("rest_for_one", *map(Worker, "abc")), End("b", "crashed"))
    assert seen(ended) == [
        *("end b #1 crashed", "end c #1 shutdown"),
        *("start b #2", "up b #2", "start c #2", "up c #2"),
    ]


@pytest.mark.parametrize("strategy", GROUPED)
def test_a_group_restart_brings_back_whoever_was_down(both: Both, strategy: StrategyWord) -> None:
    _, _, _, ended, _ = both(
        root(strategy, Worker("a"), Worker("b", restart="transient"), Worker("c")),
        End("b", "normal"),
        Call("", "terminate_child", "c"),
        End("a", "crashed"),
    )
    assert seen(ended)[-4:] == ["start b #2", "up b #2", "start c #2", "up c #2"]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_one_restart_too_many_ends_the_supervisor(both: Both, strategy: StrategyWord) -> None:
    *_, last, _ = both(
        root(strategy, Worker("a"), Worker("b")),
        *[End("a", "crashed") for _ in range(3)],
    )
    assert seen(last)[:2] == ["end a #3 crashed", "gave_up root"]
    assert last.alive == ()


def test_one_restart_too_many_ends_a_dynamic_supervisor(both: Both) -> None:
    *_, last, _ = both(
        root("simple_one_for_one", Worker("t"), intensity=1),
        start_dynamic("a"),
        start_dynamic("b"),
        End("a", "crashed"),
        End("a", "crashed"),
    )
    assert seen(last) == [
        *("end a #2 crashed", "gave_up root", "end b #1 shutdown", "end root #1 shutdown"),
    ]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_giving_up_is_the_end_of_a_child_to_the_parent(both: Both, strategy: StrategyWord) -> None:
    nested = Supervisor("s", strategy, intensity=0, children=(Worker("x"),))
    _, ended, _ = both(root("one_for_one", nested), End("s/x", "crashed"))
    assert seen(ended) == [
        *("end s/x #1 crashed", "gave_up s", "end s #1 shutdown"),
        *("start s #2", "start s/x #2", "up s/x #2", "up s #2"),
    ]


def test_giving_up_is_a_benign_end(both: Both) -> None:
    nested = Supervisor("s", intensity=0, children=(Worker("x"),), restart="transient")
    _, _, which, _ = both(root("one_for_one", nested), End("s/x", "crashed"), WHICH)
    assert only(which) == [("s", "undefined", "supervisor")]


def test_a_restarted_supervisor_begins_with_the_children_of_its_specification(both: Both) -> None:
    nested = Supervisor("s", intensity=0, children=(Worker("x"),))
    *_, ended, which, _ = both(
        root("one_for_one", nested),
        Call("s", "start_child", spec=Worker("y")),
        End("s/x", "crashed"),
        Call("s", "which_children"),
    )
    assert "end s/y #1 shutdown" in seen(ended)
    assert only(which) == [("x", "pid", "worker")]


def test_one_for_all_where_another_child_fails_to_restart(both: Both) -> None:
    # The attempt is undone as a whole and counts once more; then all start.
    first, second = Worker("a"), Worker("b", starts=("ok", "error"))
    _, ended, _ = both(root("one_for_all", first, second), End("a", "crashed"))
    assert seen(ended) == [
        *("end a #1 crashed", "end b #1 shutdown", "start a #2", "up a #2"),
        *("start b #2", "start_failed b #2", "end a #2 shutdown"),
        *("start a #3", "up a #3", "start b #3", "up b #3"),
    ]


def test_rest_for_one_where_a_later_child_fails_to_restart(both: Both) -> None:
    # It goes on from the child that failed: the one that crashed is back already.
    first, second = Worker("a"), Worker("b", starts=("ok", "error"))
    _, ended, _ = both(root("rest_for_one", first, second, Worker("c")), End("a", "crashed"))
    assert seen(ended) == [
        *("end a #1 crashed", "end c #1 shutdown", "end b #1 shutdown", "start a #2", "up a #2"),
        *("start b #2", "start_failed b #2"),
        *("start b #3", "up b #3", "start c #2", "up c #2"),
    ]


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all"])
def test_two_deaths_at_once_are_two_restarts_or_one(both: Both, strategy: StrategyWord) -> None:
    # In a group the first restart takes the second death with it.
    children = [Worker("a"), Worker("b")]
    deaths = waiting(End("a", "crashed"), End("b", "crashed"))
    *_, last, _ = both(root(strategy, *children, intensity=1), deaths)
    assert (last.alive == ()) is (strategy == "one_for_one")


def test_the_order_of_two_deaths_counts_in_rest_for_one(both: Both) -> None:
    children = [Worker("a"), Worker("b")]
    _, first, _ = both(
        root("rest_for_one", *children, intensity=1),
        waiting(End("a", "crashed"), End("b", "crashed")),
    )
    _, second, _ = both(
        root("rest_for_one", *children, intensity=1),
        waiting(End("b", "crashed"), End("a", "crashed")),
    )
    assert (first.alive, second.alive) == (("", "a", "b"), ())


# --- time ----------------------------------------------------------------------------------------


def test_restarts_count_as_long_as_the_period(both: Both) -> None:
    # OTP compares whole seconds: a gap of more than a period and a second is over for sure, and
    # one of a period counts for sure. In between it depends; tests/tree pins what we do there.
    child = Worker("a")
    crash = End("a", "crashed")
    *_, last, _ = both(
        root("one_for_one", child, intensity=1, period=3600), crash, Pause(300), crash
    )
    assert last.alive == ()
    steps: list[Action] = [crash, Pause(2100), crash, Pause(2100), crash, crash]
    *_, late, again, _ = both(root("one_for_one", child, intensity=1, period=1), *steps)
    assert (late.alive, again.alive) == (("", "a"), ())


# --- a child that never starts again -------------------------------------------------------------


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_each_attempt_counts_until_the_supervisor_gives_up(
    both: Both, strategy: StrategyWord
) -> None:
    _, ended, _ = both(
        root(strategy, Worker("a", starts=NEVER_AGAIN), intensity=5), End("a", "crashed")
    )
    assert seen(ended).count("gave_up root") == 1
    assert sum(line.startswith("start_failed") for line in seen(ended)) == 5


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_calls_get_their_turn_between_two_attempts(both: Both, strategy: StrategyWord) -> None:
    child = Worker("a", starts=NEVER_AGAIN)
    _, step, which, _ = both(
        root(strategy, child, intensity=7),
        waiting(
            End("a", "crashed"),
            start(child),
            Call("", "restart_child", "a"),
            Call("", "delete_child", "a"),
            WHICH,
            Call("", "terminate_child", "a"),
        ),
        WHICH,
    )
    assert step.results == (
        *("ok", "already_present", "restarting", "restarting"),
        *([("a", "restarting", "worker")], "ok"),
    )
    assert only(which) == [("a", "undefined", "worker")]


def test_stopping_a_dynamic_child_between_two_attempts(both: Both) -> None:
    _, _, step, which, _ = both(
        root("simple_one_for_one", Worker("t"), intensity=7),
        start_dynamic("a", *NEVER_AGAIN),
        waiting(End("a", "crashed"), WHICH, Call("", "terminate_child", "a", is_dynamic=True)),
        WHICH,
    )
    assert step.results == ("ok", [("a", "restarting", "worker")], "ok")
    assert only(which) == []


# --- trees ---------------------------------------------------------------------------------------


def test_a_tree_of_supervisors(both: Both) -> None:
    one = Supervisor("one", intensity=1, children=(Worker("a"), Worker("b")))
    two = Supervisor("two", intensity=1, children=(Worker("c"), Worker("d")))
    _, first, second, last, stop = both(
        root("one_for_all", one, two, intensity=1),
        End("one/a", "crashed"),
        End("one/b", "crashed"),
        End("two/c", "crashed"),
    )
    assert seen(first) == ["end one/a #1 crashed", "start one/a #2", "up one/a #2"]
    assert seen(second)[:2] == ["end one/b #1 crashed", "gave_up one"]
    assert len(second.alive) == 7
    # Both supervisors are new, and so are their limits.
    assert seen(last) == ["end two/c #2 crashed", "start two/c #3", "up two/c #3"]
    assert [line.split()[1] for line in seen(stop)] == [
        *("two/d", "two/c", "two", "one/b", "one/a", "one", "root")
    ]


def test_a_supervisor_that_fails_to_restart_is_one_failed_attempt(both: Both) -> None:
    failing = Worker("x", starts=("ok", "error"))
    nested = Supervisor("s", intensity=0, children=(Worker("w"), failing))
    _, ended, _ = both(root("one_for_one", nested), End("s/w", "crashed"))
    assert seen(ended)[4:] == [
        *("start s #2", "start s/w #2", "up s/w #2", "start s/x #2", "start_failed s/x #2"),
        *("end s/w #2 shutdown", "start_failed s #2"),
        *("start s #3", "start s/w #3", "up s/w #3", "start s/x #3", "up s/x #3", "up s #3"),
    ]


# --- significant children ------------------------------------------------------------------------

TRANSIENT = Worker("a", restart="transient", significant=True)
TEMPORARY = Worker("b", restart="temporary", significant=True)


@pytest.mark.parametrize("how", BENIGN)
def test_any_significant_child_that_ends_ends_the_supervisor(both: Both, how: How) -> None:
    children = (TRANSIENT, TEMPORARY, Worker("c"))
    for path in ("a", "b"):
        _, ended, _ = both(
            root("one_for_one", *children, auto_shutdown="any_significant"), End(path, how)
        )
        assert ended.alive == ()
        assert "gave_up root" not in seen(ended)


@pytest.mark.parametrize("how", ABNORMAL)
def test_a_significant_child_that_is_restarted_ends_nothing(both: Both, how: How) -> None:
    _, ended, other, _ = both(
        root("one_for_one", TRANSIENT, TEMPORARY, auto_shutdown="any_significant"),
        End("a", how),
        End("b", how),
    )
    assert ended.alive == ("", "a", "b")
    assert other.alive == ()  # a temporary child is never restarted, however it ends


def test_all_significant_children_have_to_end(both: Both) -> None:
    _, first, second, _ = both(
        root("one_for_one", TRANSIENT, TEMPORARY, Worker("c"), auto_shutdown="all_significant"),
        End("a", "normal"),
        End("b", "crashed"),
    )
    assert (first.alive, second.alive) == (("", "b", "c"), ())


@pytest.mark.parametrize("strategy", GROUPED)
def test_a_significant_bystander_ends_nothing(both: Both, strategy: StrategyWord) -> None:
    _, ended, stopped, _ = both(
        root(strategy, Worker("0"), TRANSIENT, TEMPORARY, auto_shutdown="any_significant"),
        End("0", "crashed"),
        Call("", "terminate_child", "a"),
    )
    assert ended.alive == ("", "0", "a")
    assert stopped.alive == ("", "0")


def test_an_auto_shutdown_chains_upwards(both: Both) -> None:
    inner = Supervisor(
        "s",
        auto_shutdown="any_significant",
        children=(TRANSIENT, Worker("w")),
        restart="transient",
        significant=True,
    )
    _, ended, _ = both(
        root("one_for_one", Worker("0"), inner, auto_shutdown="all_significant"),
        End("s/a", "normal"),
    )
    assert seen(ended) == [
        *("end s/a #1 normal", "end s/w #1 shutdown", "end s #1 shutdown"),
        *("end 0 #1 shutdown", "end root #1 shutdown"),
    ]


def test_a_permanent_supervisor_is_restarted_after_its_auto_shutdown(both: Both) -> None:
    inner = Supervisor("s", auto_shutdown="any_significant", children=(TRANSIENT,))
    _, ended, _ = both(root("one_for_one", inner), End("s/a", "normal"))
    assert seen(ended)[-2:] == ["up s/a #2", "up s #2"]


def test_significant_children_are_for_supervisors_that_shut_down(both: Both) -> None:
    _, refused, _ = both(root("one_for_one"), start(TRANSIENT))
    _, taken, _ = both(root("one_for_one", auto_shutdown="any_significant"), start(TRANSIENT))
    assert (only(refused), only(taken)) == ("bad_spec", "started")


def test_all_significant_dynamic_children(both: Both) -> None:
    template = Worker("t", restart="transient", significant=True)
    *_, first, last, _ = both(
        root("simple_one_for_one", template, auto_shutdown="all_significant"),
        start_dynamic("a"),
        start_dynamic("b"),
        End("a", "normal"),
        End("b", "normal"),
    )
    assert (first.alive, last.alive) == (("", "b"), ())
