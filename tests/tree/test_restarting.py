"""What is restarted after which end, with whom, and what a failed restart does (OTP's rules)."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Awaitable, Callable

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked as settle

from a2a_sup import (
    OTP,
    CallError,
    ChildContext,
    ChildSpec,
    GaveUp,
    Restart,
    State,
    TreeHandle,
    events,
    open_tree,
    supervisor,
    task,
)
from a2a_sup.model.restarts import RestartWord
from a2a_sup.model.strategy import StrategyWord
from a2a_sup.testing import Recorder, Scripted, ScriptedChild, run_virtual, scripted


def otp(word: RestartWord) -> Restart:
    return attrs.evolve(OTP, type=word)


def states(tree: TreeHandle) -> dict[str, str]:
    return {child.path: child.state.value for child in tree.snapshot().walk()}


def begun(children: list[ScriptedChild]) -> list[str]:
    return [entry.split()[0] for entry in children[0].log if entry.endswith("begin")]


def ended(children: list[ScriptedChild]) -> list[str]:
    return [entry.split()[0] for entry in children[0].log if entry.endswith("end")]


# --- restart types -----------------------------------------------------------------------------

ENDS: dict[str, Callable[[ScriptedChild], None]] = {
    "return": ScriptedChild.finish,
    "shutdown": ScriptedChild.shut_down,
    "crash": ScriptedChild.crash,
}


@pytest.mark.parametrize("end", ENDS)
async def test_a_permanent_child_is_always_restarted(end: str) -> None:
    child = ScriptedChild("a")
    async with open_tree(supervisor("app", [child.spec(restart=otp("permanent"))])) as tree:
        ENDS[end](child)
        await settle()
        snapshot = tree.snapshot().child("a")
        assert (snapshot.state, snapshot.incarnation, snapshot.restarts) == (State.RUNNING, 2, 1)
        assert (child.alive, child.most_alive) == (1, 1)


@pytest.mark.parametrize(
    ("end", "starts", "state"),
    [("return", 1, State.FINISHED), ("shutdown", 1, State.FINISHED), ("crash", 2, State.RUNNING)],
)
async def test_a_transient_child_is_restarted_after_a_crash_alone(
    end: str, starts: int, state: State
) -> None:
    child = ScriptedChild("a")
    async with open_tree(supervisor("app", [child.spec(restart=otp("transient"))])) as tree:
        ENDS[end](child)
        await trio.sleep(100)
        assert (child.starts, tree.snapshot().child("a").state) == (starts, state)


@pytest.mark.parametrize("end", ENDS)
async def test_a_temporary_child_is_never_restarted_and_forgotten(end: str) -> None:
    child = ScriptedChild("a")
    async with open_tree(supervisor("app", [child.spec(restart=otp("temporary"))])) as tree:
        recorder = Recorder(tree)
        ENDS[end](child)
        await trio.sleep(100)
        assert child.starts == 1
        assert states(tree) == {}
        assert recorder.words() == ["a ended", "a removed"]


async def test_each_incarnation_is_new_and_runs_the_original_specification() -> None:
    seen: list[tuple[int, str]] = []

    async def work(word: str, *, task_status: ChildContext) -> None:
        seen.append((task_status.number, word))
        task_status.started()
        if len(seen) < 4:
            raise Scripted

    async with open_tree(supervisor("app", [task("a", work, "x", restart=otp("transient"))])):
        await settle()
    assert seen == [(1, "x"), (2, "x"), (3, "x"), (4, "x")]


async def test_details_and_readiness_are_those_of_the_living_incarnation() -> None:
    child = ScriptedChild("a")
    async with open_tree(supervisor("app", [child.spec(restart=otp("transient"))])) as tree:
        for end in (child.crash, child.finish):
            assert child.context is not None
            child.context.ready()
            child.context.report(pid=child.starts)
            child.context.report(port=80)
            snapshot = tree.snapshot().child("a")
            assert (snapshot.ready, dict(snapshot.details)) == (
                True,
                {"pid": child.starts, "port": 80},
            )
            end()
            await settle()
            snapshot = tree.snapshot().child("a")
            assert (snapshot.ready, dict(snapshot.details)) == (None, {})


async def test_what_an_ended_incarnation_says_is_not_heard() -> None:
    child = ScriptedChild("a")
    async with open_tree(supervisor("app", [child.spec(restart=OTP)])) as tree:
        first = child.context
        assert first is not None
        child.crash()
        await settle()
        recorder = Recorder(tree)
        first.ready()
        first.report(pid=1)
        assert recorder.words() == []
        assert tree.snapshot().child("a").ready is None


# --- who is restarted with it ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("strategy", "stopped", "started"),
    [("one_for_one", "", "b"), ("one_for_all", "dca", "abcd"), ("rest_for_one", "dc", "bcd")],
)
async def test_the_group_stops_in_reverse_and_starts_in_order(
    strategy: StrategyWord, stopped: str, started: str
) -> None:
    family = scripted("a b c d", politeness="heeds", stop_delay=1)
    b = family[1]
    specs = [child.spec(restart=OTP) for child in family]
    async with open_tree(supervisor("app", specs, strategy=strategy)) as tree:
        b.log.clear()
        b.crash()
        await trio.sleep(100)
        assert "".join(ended(family)) == "b" + stopped
        assert "".join(begun(family)) == started
        assert set(states(tree).values()) == {"running"}
        assert all(child.most_alive == 1 for child in family)
        # Of the whole group only the one that crashed counts as restarted.
        assert [child.restarts for child in tree.snapshot().walk()] == [0, 1, 0, 0]


async def test_each_member_is_acknowledged_before_the_next_starts() -> None:
    family = scripted("a b c", start_delay=2)
    specs = [child.spec(restart=OTP) for child in family]
    async with open_tree(supervisor("app", specs, strategy="one_for_all")):
        family[2].log.clear()
        family[2].crash()
        await trio.sleep(100)
        assert family[2].log[-6:] == ["a begin", "a up", "b begin", "b up", "c begin", "c up"]


async def test_a_restart_keeps_the_position_and_a_new_child_goes_last() -> None:
    family = scripted("a b c")
    specs = [child.spec(restart=OTP) for child in family]
    async with open_tree(supervisor("app", specs, strategy="one_for_all")) as tree:
        await tree.start_child("", ScriptedChild("d").spec())
        family[0].crash()
        await settle()
        assert list(states(tree)) == ["a", "b", "c", "d"]


async def test_temporary_members_of_a_group_are_removed_for_good() -> None:
    a, b, c = scripted("a b c")
    specs = [a.spec(restart=OTP), b.spec(restart=otp("temporary")), c.spec(restart=OTP)]
    async with open_tree(supervisor("app", specs, strategy="one_for_all")) as tree:
        a.crash()
        await settle()
        assert states(tree) == {"a": "running", "c": "running"}
        assert (a.starts, b.starts, c.starts) == (2, 1, 2)


async def test_members_that_are_down_are_started_with_the_group() -> None:
    a, b, c, d = scripted("a b c d")
    specs = [child.spec(restart=otp("transient")) for child in (a, b, c, d)]
    async with open_tree(supervisor("app", specs, strategy="rest_for_one")) as tree:
        a.finish()
        c.finish()
        await settle()
        await tree.terminate_child("d")
        assert states(tree) == {"a": "finished", "b": "running", "c": "finished", "d": "stopped"}
        b.crash()
        await settle()
        # a is not in the group: it was started before b.
        assert states(tree) == {"a": "finished", "b": "running", "c": "running", "d": "running"}


async def test_a_bystander_that_crashes_in_its_stop_is_not_counted() -> None:
    a, b = scripted("a b")
    b.stop_error = OSError("close failed")
    specs = [child.spec(restart=OTP) for child in (a, b)]
    async with open_tree(supervisor("app", specs, strategy="one_for_all", intensity=1)) as tree:
        a.crash()
        await settle()
        assert (a.alive, b.alive) == (1, 1)
        assert tree.snapshot().child("b").restarts == 0


# --- several deaths at once --------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one"])
async def test_deaths_before_the_supervisor_looks_are_taken_one_by_one(
    strategy: StrategyWord,
) -> None:
    """With an end unread when its group is restarted, that end is swallowed and not counted."""
    go = trio.Event()
    starts: list[str] = []

    async def die_together(context: ChildContext) -> None:
        starts.append(context.path)
        context.started()
        if context.number > 1:
            await trio.sleep_forever()
        await go.wait()
        raise Scripted

    specs = [ChildSpec(name, die_together, OTP) for name in "abc"]
    async with open_tree(supervisor("app", specs, strategy=strategy, intensity=100)) as tree:
        starts.clear()
        recorder = Recorder(tree)
        go.set()
        await settle()
        deaths = [event.path for event in recorder.events if isinstance(event, events.ChildEnded)]
        restarted = sum(child.restarts for child in tree.snapshot().walk())
        assert set(states(tree).values()) == {"running"}
    # All three die in one tick, in an order that Trio chooses.
    assert sorted(deaths) == ["a", "b", "c"]
    if strategy == "one_for_one":
        assert restarted == 3
    elif strategy == "one_for_all":
        assert restarted == 1
        assert starts == ["a", "b", "c"]
    else:
        # An end counts unless an earlier child's end was dealt with before it.
        lowest = [name for i, name in enumerate(deaths) if name == min(deaths[: i + 1])]
        assert restarted == len(lowest)


# --- a failed restart --------------------------------------------------------------------------


async def test_a_failed_restart_is_retried_and_each_try_counts() -> None:
    child = ScriptedChild("a")
    spec = supervisor("app", [child.spec(restart=OTP)], intensity=5)
    async with open_tree(spec) as tree:
        child.fail_next_start(*[Scripted("no")] * 4)
        child.crash()
        await settle()
        assert (child.starts, child.alive) == (1 + 5, 1)
        assert tree.snapshot().child("a").restarts == 5


async def test_a_child_that_never_starts_again_is_tried_as_often_as_the_intensity() -> None:
    child = ScriptedChild("a")
    with pytest.raises(GaveUp) as raised:  # noqa: PT012 - the block is what is tested
        async with open_tree(supervisor("app", [child.spec(restart=OTP)], intensity=3)):
            child.fail_next_start(*[ValueError("no")] * 100)
            child.crash()
            await trio.sleep_forever()
    assert child.starts == 1 + 3
    assert isinstance(raised.value.__cause__, Exception)


async def test_a_transient_child_whose_restart_fails_is_retried() -> None:
    child = ScriptedChild("a")
    async with open_tree(supervisor("app", [child.spec(restart=otp("transient"))])):
        child.fail_next_start(Scripted("no"))
        child.crash()
        await settle()
        assert (child.starts, child.alive) == (3, 1)


async def test_a_retry_waits_behind_the_calls_that_came_before_it() -> None:
    """So a child that cannot start does not lock its supervisor up."""
    child = ScriptedChild("a")
    async with open_tree(supervisor("app", [child.spec(restart=OTP)])) as tree:
        child.fail_next_start(*[Scripted("no")] * 1_000_000)
        child.crash()
        for _ in range(10):
            assert len(await tree.which_children()) == 1
        await tree.terminate_child("a")
        assert states(tree) == {"a": "stopped"}
        tried = child.starts
        await trio.sleep(100)
        assert child.starts == tried


async def test_one_for_all_a_retry_stops_what_the_failed_attempt_had_started() -> None:
    family = scripted("a b c")
    b = family[1]
    specs = [child.spec(restart=OTP) for child in family]
    async with open_tree(supervisor("app", specs, strategy="one_for_all")) as tree:
        b.fail_next_start(Scripted("no"))
        b.log.clear()
        family[2].crash()
        await settle()
        assert begun(family) == ["a", "b", "a", "b", "c"]
        assert ended(family) == ["c", "b", "a", "b", "a"]
        # The retry names the child that failed, not the one that crashed.
        assert [child.restarts for child in tree.snapshot().walk()] == [0, 1, 1]


async def test_rest_for_one_a_retry_goes_on_from_the_failed_child() -> None:
    family = scripted("a b c d")
    c = family[2]
    specs = [child.spec(restart=OTP) for child in family]
    async with open_tree(supervisor("app", specs, strategy="rest_for_one")):
        c.fail_next_start(Scripted("no"))
        c.log.clear()
        family[1].crash()
        await settle()
        assert begun(family) == ["b", "c", "c", "d"]
        assert ended(family) == ["b", "d", "c", "c"]


async def test_after_a_cancelled_retry_the_rest_of_the_group_stays_down() -> None:
    """As in OTP, until the next restart of the group."""
    a, b, c = scripted("a b c")
    slow = Restart(intensity=None)
    specs = [a.spec(restart=OTP), b.spec(restart=slow), c.spec(restart=OTP)]
    async with open_tree(supervisor("app", specs, strategy="rest_for_one")) as tree:
        b.fail_next_start(*[Scripted("no")] * 100)
        b.crash()
        await trio.sleep(1.5)
        assert states(tree) == {"a": "running", "b": "backing_off", "c": "stopped"}
        await tree.terminate_child("b")
        await trio.sleep(100)
        assert states(tree) == {"a": "running", "b": "stopped", "c": "stopped"}
        a.crash()
        await settle()
        assert states(tree)["c"] == "stopped"  # b failed again, before its turn
        assert states(tree)["b"] == "backing_off"


async def test_a_group_whose_member_fails_for_good_goes_on_without_it() -> None:
    a, b, c = scripted("a b c")
    isolated = Restart(when_exhausted="isolate")
    specs = [child.spec(restart=isolated) for child in (a, b, c)]
    async with open_tree(supervisor("app", specs, strategy="one_for_all")) as tree:
        b.fail_next_start(*[Scripted("no")] * 100)
        a.crash()
        await trio.sleep(100)
        assert states(tree) == {"a": "running", "b": "failed", "c": "running"}
        assert b.starts == 1 + 1 + 3


# --- nested supervisors ------------------------------------------------------------------------


async def test_a_restarted_supervisor_begins_from_its_specification() -> None:
    a, b, extra = scripted("a b extra")
    nested = supervisor("s", [a.spec(restart=OTP), b.spec(restart=OTP)], intensity=1, restart=OTP)
    async with open_tree(supervisor("app", [nested])) as tree:
        await tree.start_child("s", extra.spec())
        a.crash()
        await settle()
        assert list(states(tree)) == ["s", "s/a", "s/b", "s/extra"]
        b.crash()
        await settle()
        assert list(states(tree)) == ["s", "s/a", "s/b"]
        # Its history of restarts is empty too.
        a.crash()
        await settle()
        assert tree.snapshot().child("s").incarnation == 2
        assert (a.alive, b.alive, extra.alive) == (1, 1, 0)


async def test_a_supervisor_that_fails_to_start_again_is_one_failed_attempt() -> None:
    a, b = scripted("a b")
    nested = supervisor("s", [a.spec(restart=OTP), b.spec(restart=OTP)], intensity=0, restart=OTP)
    async with open_tree(supervisor("app", [nested], intensity=3)) as tree:
        b.fail_next_start(Scripted("no"), Scripted("no"))
        a.crash()
        await settle()
        assert tree.snapshot().child("s").restarts == 3
        assert (a.starts, b.starts) == (4, 4)
        assert states(tree) == {"s": "running", "s/a": "running", "s/b": "running"}


# --- calls that come between a decision and its restart ----------------------------------------


async def test_a_retry_is_dropped_when_a_call_came_first_and_the_child_crashed_again() -> None:
    """In the inbox: terminate, restart, the retry; then the end of what the call started."""
    go = trio.Event()

    async def work(context: ChildContext) -> None:
        if context.number == 2:
            await trio.sleep(1)
            raise Scripted("no")
        context.started()
        if context.number == 1:
            await go.wait()
        if context.number < 4:
            raise Scripted
        await trio.sleep_forever()

    async def terminate() -> None:
        await tree.terminate_child("a")

    async def restart() -> None:
        await tree.restart_child("a")

    spec = supervisor("app", [ChildSpec("a", work, OTP)], strategy="one_for_all")
    async with open_tree(spec) as tree, trio.open_nursery() as nursery:
        go.set()
        await trio.sleep(0.5)
        for call in (terminate, restart):
            nursery.start_soon(call)
            await settle()
        await trio.sleep(100)
        snapshot = tree.snapshot().child("a")
        assert (snapshot.state, snapshot.incarnation, snapshot.restarts) == (State.RUNNING, 4, 2)


def test_the_end_of_a_backoff_is_dropped_when_a_call_came_first() -> None:
    """All in one moment, in every order that Trio chooses: no crash goes uncounted."""

    async def work(context: ChildContext) -> None:
        context.started()
        raise Scripted

    async def at_1(call: Callable[[str], Awaitable[object]]) -> None:
        await trio.sleep(1)
        with contextlib.suppress(CallError):
            await call("a")

    async def main() -> None:
        policy = Restart(when_exhausted="isolate")
        spec = supervisor("app", [ChildSpec("a", work, policy)])
        async with open_tree(spec) as tree, trio.open_nursery() as nursery:
            recorder = Recorder(tree)
            nursery.start_soon(at_1, tree.terminate_child)
            nursery.start_soon(at_1, tree.restart_child)
            await trio.sleep(1.5)
            told = recorder.words()
            outcomes.add(tuple(told))
            assert ("a ended", "a starting") not in itertools.pairwise(told)

    outcomes: set[tuple[str, ...]] = set()
    for _ in range(100):
        run_virtual(main)
    assert len(outcomes) > 2


async def test_a_member_restarted_by_a_call_is_not_started_twice() -> None:
    """Its group goes on without a member that failed for good, a moment after the call."""
    a, b = scripted("a b")
    policy = Restart(intensity=1, when_exhausted="isolate")
    specs = [child.spec(restart=policy) for child in (a, b)]

    async def restart() -> None:
        await tree.restart_child("b")

    async with open_tree(supervisor("app", specs, strategy="one_for_all")) as tree:
        async with trio.open_nursery() as nursery:
            a.crash()
            a.fail_next_start()
            a.start_delay = 1
            await trio.sleep(1.5)
            assert states(tree) == {"a": "starting", "b": "stopped"}
            nursery.start_soon(restart)
        await trio.sleep(100)
        assert states(tree) == {"a": "failed", "b": "running"}
        assert (b.starts, b.most_alive) == (2, 1)


async def test_restarts_decided_in_one_moment_are_acknowledged_in_their_order() -> None:
    """Trio wakes the tasks of one moment in any order; the supervisor does not."""
    go = trio.Event()

    async def die_together(context: ChildContext) -> None:
        context.started()
        if context.number == 1:
            await go.wait()
            raise Scripted
        await trio.sleep_forever()

    specs = [ChildSpec(str(number), die_together, OTP) for number in range(20)]
    async with open_tree(supervisor("app", specs)) as tree:
        recorder = Recorder(tree)
        go.set()
        await settle()
    ends = [event.path for event in recorder.events if isinstance(event, events.ChildEnded)]
    starts = [event.path for event in recorder.events if isinstance(event, events.ChildStarted)]
    assert len(ends) == 20
    assert starts == ends
