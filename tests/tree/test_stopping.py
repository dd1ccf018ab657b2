"""How children stop: the request, the grace, the cancellation; in what order; stuck ones."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked as settle

from a2a_sup import (
    OTP,
    ChildContext,
    ChildSpec,
    ChildStuck,
    ReasonKind,
    StartFailed,
    State,
    TreeHandle,
    events,
    open_tree,
    supervisor,
)
from a2a_sup.testing import Recorder, Scripted, ScriptedChild, scripted


async def stopping(child: ScriptedChild, **options: Any) -> tuple[float, events.ChildStopped]:
    """Stop ``child``; return how long that took, and the event that says how it went."""
    async with open_tree(supervisor("app", [child.spec(**options)])) as tree:
        recorder = Recorder(tree)
        await tree.terminate_child(child.name)
        assert child.alive == 0
        assert recorder.words() == [f"{child.name} stopping", f"{child.name} stopped"]
        stopped = recorder.events[-1]
        assert isinstance(stopped, events.ChildStopped)
        return trio.current_time(), stopped


# --- one child ---------------------------------------------------------------------------------


async def test_a_child_that_heeds_requests_is_given_its_time() -> None:
    child = ScriptedChild("a", politeness="heeds", stop_delay=3)
    took, stopped = await stopping(child, shutdown=5)
    assert took == 3
    assert stopped.reason.kind is ReasonKind.SHUTDOWN
    assert child.log[-2:] == ["a asked", "a end"]


async def test_a_child_that_takes_longer_than_its_grace_is_cancelled() -> None:
    child = ScriptedChild("a", politeness="heeds", stop_delay=9)
    took, stopped = await stopping(child, shutdown=5)
    assert took == 5
    assert stopped.reason.kind is ReasonKind.KILLED
    assert child.log[-3:] == ["a asked", "a cancelled", "a end"]


async def test_a_child_that_ignores_the_request_is_cancelled_after_its_grace() -> None:
    took, stopped = await stopping(ScriptedChild("a", politeness="ignores"), shutdown=5)
    assert took == 5
    assert stopped.reason.kind is ReasonKind.KILLED


async def test_a_child_that_never_asked_for_requests_is_cancelled_at_once() -> None:
    child = ScriptedChild("a")
    took, stopped = await stopping(child, shutdown=5)
    assert took == 0
    assert stopped.reason.kind is ReasonKind.SHUTDOWN
    assert child.log[-2:] == ["a cancelled", "a end"]


async def test_brutal_kill_makes_no_request() -> None:
    child = ScriptedChild("a", politeness="heeds", stop_delay=3)
    took, stopped = await stopping(child, shutdown="brutal_kill")
    assert took == 0
    assert stopped.reason.kind is ReasonKind.KILLED
    assert "a asked" not in child.log


async def test_infinity_waits_as_long_as_it_takes() -> None:
    child = ScriptedChild("a", politeness="heeds", stop_delay=1_000_000)
    took, stopped = await stopping(child, shutdown="infinity")
    assert took == 1_000_000
    assert stopped.reason.kind is ReasonKind.SHUTDOWN


async def test_a_crash_while_stopping_is_told_and_not_acted_on() -> None:
    for politeness in ("none", "heeds"):
        child = ScriptedChild("a", politeness=politeness, stop_error=OSError("close failed"))
        async with open_tree(supervisor("app", [child.spec(restart=OTP)])) as tree:
            await tree.terminate_child("a")
            await trio.sleep(10)
            snapshot = tree.snapshot().child("a")
            assert (snapshot.state, snapshot.restarts) == (State.STOPPED, 0)
            assert snapshot.last_reason is not None
            assert snapshot.last_reason.text == "OSError: close failed"
            assert child.starts == 1


async def test_a_child_that_swallows_its_cancellation_and_returns_has_stopped() -> None:
    child = ScriptedChild("a", swallows=True)
    took, stopped = await stopping(child)
    assert took == 0
    assert stopped.reason.kind is ReasonKind.SHUTDOWN
    assert child.starts == 1


async def test_a_child_is_stopped_while_it_starts() -> None:
    child = ScriptedChild("a", start_delay=100)
    async with open_tree(supervisor("app")) as tree, trio.open_nursery() as nursery:
        failed = trio.Event()

        async def start() -> None:
            with pytest.raises(StartFailed, match="stopped while it was starting"):
                await tree.start_child("", child.spec())
            failed.set()

        nursery.start_soon(start)
        await settle()
        await tree.terminate_child("a")
        await failed.wait()
        assert (trio.current_time(), child.alive) == (0, 0)
        assert tree.snapshot().root.children == ()


async def test_a_request_too_late_to_be_made_is_made_at_once() -> None:
    seen: list[bool] = []

    async def late(context: ChildContext) -> None:
        context.started()
        try:
            await trio.sleep_forever()
        finally:
            seen.append(context.stop_request().is_set())

    async with open_tree(supervisor("app", [ChildSpec("a", late)])) as tree:
        await tree.terminate_child("a")
        reason = tree.snapshot().child("a").last_reason
        assert seen == [True]
        assert reason is not None
        assert reason.kind is ReasonKind.SHUTDOWN


async def test_asking_for_the_request_twice_gives_the_same_event() -> None:
    child = ScriptedChild("a", politeness="heeds")
    async with open_tree(supervisor("app", [child.spec()])):
        assert child.context is not None
        assert child.context.stop_request() is child.context.stop_request()
        assert not child.context.stop_request().is_set()


async def test_stopping_twice_at_the_same_time_stops_once() -> None:
    child = ScriptedChild("a", politeness="heeds", stop_delay=3)
    async with open_tree(supervisor("app", [child.spec()])) as tree:
        recorder = Recorder(tree)
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(tree.terminate_child, "a")
        assert recorder.words() == ["a stopping", "a stopped"]
        assert (trio.current_time(), child.log.count("a asked")) == (3, 1)


async def test_an_end_that_nobody_looked_at_yet_is_taken_by_the_stop() -> None:
    starts: list[int] = []
    go = trio.Event()

    async def stop_and_crash(context: ChildContext) -> None:
        starts.append(context.number)
        context.started()
        await go.wait()
        tree.stop()
        raise Scripted

    async with open_tree(supervisor("app", [ChildSpec("a", stop_and_crash, OTP)])) as tree:
        recorder = Recorder(tree)
        go.set()
        await tree.wait_ended()
    assert starts == [1]
    assert recorder.words() == ["a ended", "a stopped", "root supervisor.ended"]


# --- order -------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one"])
async def test_children_stop_one_by_one_in_reverse_each_gone_before_the_next(
    strategy: str,
) -> None:
    a, b, c = scripted("a b c", politeness="heeds", stop_delay=2)
    specs = [child.spec() for child in (a, b, c)]
    async with open_tree(supervisor("app", specs, strategy=strategy)):  # type: ignore[arg-type]
        a.log.clear()
    assert a.log == ["c asked", "c end", "b asked", "b end", "a asked", "a end"]
    assert trio.current_time() == 6


async def test_a_nested_supervisor_stops_its_children_before_it_ends() -> None:
    a, b, c, d = scripted("a b c d", politeness="heeds", stop_delay=2)
    inner = supervisor("inner", [b.spec(), c.spec()])
    async with open_tree(supervisor("app", [a.spec(), inner, d.spec()])):
        a.log.clear()
    assert [entry for entry in a.log if entry.endswith("end")] == [
        "d end",
        "c end",
        "b end",
        "a end",
    ]
    assert trio.current_time() == 8


async def test_parallel_asks_all_at_once_each_with_its_own_grace() -> None:
    a, b, c = scripted("a b c", politeness="heeds", stop_delay=3)
    c.stop_delay = 50
    specs = [child.spec(shutdown=7) for child in (a, b, c)]
    async with open_tree(supervisor("app", specs, stop_order="parallel")) as tree:
        recorder = Recorder(tree)
    assert recorder.words()[:3] == ["c stopping", "b stopping", "a stopping"]
    assert [recorder.times(events.ChildStopped, name) for name in "abc"] == [[3], [3], [7]]


async def test_an_outer_cancellation_stops_in_order_with_grace() -> None:
    a, b = scripted("a b", politeness="heeds", stop_delay=2)
    with trio.CancelScope() as scope:
        async with open_tree(supervisor("app", [a.spec(), b.spec()])):
            a.log.clear()
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert a.log == ["b asked", "b end", "a asked", "a end"]
    assert trio.current_time() == 4


async def test_an_outer_cancellation_in_the_moment_of_a_timer_stops_in_order() -> None:
    a, b, c = scripted("a b c", politeness="heeds", stop_delay=2)
    with trio.move_on_after(6):
        async with open_tree(supervisor("app", [a.spec(), b.spec(), c.spec()])):
            await trio.sleep(5)
            a.log.clear()
            c.crash()  # will be started again at 6
            await trio.sleep_forever()
    assert [entry for entry in a.log if "c " not in entry] == [
        "b asked",
        "b end",
        "a asked",
        "a end",
    ]


async def test_an_outer_cancellation_is_seen_while_children_fail_in_turns() -> None:
    """Two that crash at once, for ever, keep their supervisor busy all the time."""

    async def hopeless(context: ChildContext) -> None:
        context.started()
        steps.append(context.path)
        if len(steps) > 200:
            scope.cancel()
        raise Scripted

    steps: list[str] = []
    with trio.CancelScope() as scope:
        specs = [ChildSpec(name, hopeless, restart=OTP) for name in "ab"]
        async with open_tree(supervisor("app", specs)):
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert len(steps) < 220


async def test_a_child_that_crashes_in_its_stop_does_not_disturb_the_order() -> None:
    a, b, c = scripted("a b c")
    b.stop_error = OSError("close failed")
    async with open_tree(supervisor("app", [a.spec(), b.spec(), c.spec()])):
        pass
    assert [entry for entry in a.log if entry.endswith("end")] == ["c end", "b end", "a end"]


async def test_a_supervisor_with_a_grace_kills_its_children_when_it_is_over() -> None:
    a, b, c = scripted("a b c", politeness="heeds", stop_delay=10)
    nested = supervisor("s", [b.spec(shutdown=60), c.spec(shutdown=60)], shutdown=3)
    async with open_tree(supervisor("app", [a.spec(shutdown=60), nested])) as tree:
        await tree.terminate_child("s")
        assert trio.current_time() == 3
        assert (a.alive, b.alive, c.alive) == (1, 0, 0)
        assert [entry for entry in a.log if entry.endswith("end")] == ["c end", "b end"]


async def test_hurry_cuts_every_grace_short() -> None:
    a, b, c = scripted("a b c", politeness="heeds", stop_delay=50)
    nested = supervisor("s", [b.spec(shutdown="infinity"), c.spec(shutdown="infinity")])
    tree = TreeHandle(supervisor("app", [a.spec(shutdown="infinity"), nested]))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tree.run)
        await settle()
        tree.stop()
        await trio.sleep(1)
        assert (a.alive, b.alive, c.alive) == (1, 1, 1)
        tree.hurry()
        await tree.wait_ended()
        assert trio.current_time() == 1
    assert a.log[-5:] == ["c end", "b cancelled", "b end", "a cancelled", "a end"]


async def test_hurry_keeps_the_order_and_no_child_ends_by_itself() -> None:
    a, b, c = scripted("a b c", politeness="heeds", stop_delay=50)
    nested = supervisor("s", [b.spec(), c.spec()])
    tree = TreeHandle(supervisor("app", [a.spec(), nested, ScriptedChild("d").spec()]))
    recorder = Recorder(tree)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tree.run)
        await settle()
        booted = len(recorder.events)
        tree.hurry()
    assert trio.current_time() == 0
    assert recorder.words()[booted:] == [
        "d stopping",
        "d stopped",
        "s stopping",
        "s/c stopping",
        "s/c stopped",
        "s/b stopping",
        "s/b stopped",
        "s supervisor.ended",
        "s stopped",
        "a stopping",
        "a stopped",
        "root supervisor.ended",
    ]


# --- stuck -------------------------------------------------------------------------------------


async def test_a_stuck_child_is_reported_with_its_stack_and_the_others_go_on() -> None:
    a, b, c = scripted("a b c")
    b.hides = True
    tree = TreeHandle(supervisor("app", [a.spec(), b.spec(shutdown=2), c.spec()]))
    recorder = Recorder(tree)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tree.run)
        await settle()
        tree.stop()
        await trio.sleep(60)
        (stuck,) = [event for event in recorder.events if isinstance(event, events.ChildStuck)]
        assert (stuck.path, stuck.time) == ("b", 5)
        assert "ScriptedChild._linger" in stuck.stack
        assert __file__ not in stuck.stack
        assert tree.snapshot().child("b").state is State.STUCK
        assert (a.alive, b.alive, c.alive) == (0, 1, 0)
        assert recorder.times(events.ChildStopped, "a") == [5]
        b.release()
        await tree.wait_ended()
    assert recorder.words("b")[-3:] == ["b stopping", "b stuck", "b stopped"]
    assert b.alive == 0


async def test_a_stuck_grandchild_does_not_hold_up_the_siblings_of_its_supervisor() -> None:
    a, b, c = scripted("a b c")
    c.hides = True
    inner = supervisor("inner", [b.spec(), c.spec()])
    tree = TreeHandle(supervisor("app", [a.spec(), supervisor("outer", [inner])]))
    recorder = Recorder(tree)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tree.run)
        await settle()
        tree.stop()
        await trio.sleep(60)
        assert (a.alive, b.alive, c.alive) == (0, 0, 1)
        assert [word for word in recorder.words() if word.endswith("stuck")] == [
            "outer/inner/c stuck",
            "outer/inner stuck",
            "outer stuck",
        ]
        assert recorder.times(events.ChildStuck, "outer") == [5]
        c.release()
        await tree.wait_ended()
    assert [type(event) for event in recorder.events if event.path == "outer"][-3:] == [
        events.ChildStuck,
        events.SupervisorEnded,
        events.ChildStopped,
    ]


async def test_a_supervisor_that_gave_up_with_a_stuck_child_can_still_be_stopped_around() -> None:
    a, b, c = scripted("a b c")
    c.hides = True
    nested = supervisor("s", [b.spec(restart=OTP), c.spec()], intensity=0, restart=OTP)
    tree = TreeHandle(supervisor("app", [a.spec(), nested]))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tree.run)
        await settle()
        b.crash()
        await trio.sleep(60)
        assert (a.alive, b.alive, c.alive) == (1, 0, 1)
        tree.stop()
        await trio.sleep(60)
        assert (a.alive, c.alive) == (0, 1)
        assert tree.snapshot().child("s").state is State.STUCK
        c.release()
        await tree.wait_ended()


async def test_whoever_waits_for_a_stuck_child_is_told() -> None:
    child = ScriptedChild("a", hides=True)
    async with open_tree(supervisor("app", [child.spec(shutdown=1)])) as tree:
        with pytest.raises(ChildStuck, match="was cancelled and is still there"):
            await tree.terminate_child("a")
        assert trio.current_time() == 5
        for call in (tree.terminate_child, tree.restart_child, tree.delete_child):
            with pytest.raises(ChildStuck):
                await call("a")
        child.release()
        await settle()
        await tree.restart_child("a")
        assert (child.starts, child.most_alive) == (2, 1)


async def test_a_stuck_child_in_its_start_fails_the_start() -> None:
    child = ScriptedChild("a", start_delay=100, hides=True)
    async with open_tree(supervisor("app")) as tree, trio.open_nursery() as nursery:

        async def start() -> None:
            with pytest.raises(StartFailed, match="stopped while it was starting"):
                await tree.start_child("", child.spec(shutdown=1))
            child.release()

        nursery.start_soon(start)
        await settle()
        with pytest.raises(ChildStuck):
            await tree.terminate_child("a")


async def test_a_group_is_never_started_beside_a_stuck_member() -> None:
    a, b = scripted("a b")
    b.hides = True
    specs = [child.spec(restart=OTP, shutdown=1) for child in (a, b)]
    async with open_tree(supervisor("app", specs, strategy="one_for_all")) as tree:
        a.crash()
        await trio.sleep(60)
        assert tree.snapshot().child("b").state is State.STUCK
        assert (a.alive, b.alive) == (0, 1)
        b.release()
        await settle()
        assert (a.alive, b.alive) == (1, 1)
        assert (b.starts, b.most_alive) == (2, 1)
        b.hides = False


async def test_a_child_that_hides_from_hurry_is_reported() -> None:
    child = ScriptedChild("a", politeness="ignores", hides=True)
    tree = TreeHandle(supervisor("app", [child.spec(shutdown="infinity")]))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tree.run)
        await settle()
        tree.stop()
        await trio.sleep(1000)
        assert tree.snapshot().child("a").state is State.STOPPING
        tree.hurry()
        await tree.wait_until(lambda tree: tree.child("a").state is State.STUCK)
        assert trio.current_time() == 1005
        child.release()


def test_a_child_that_defies_its_cancellation_for_a_while_is_reported_meanwhile() -> None:
    """It swallows Cancelled again and again; real time, for it never lets the clock jump."""
    seen: list[State] = []

    async def defy(context: ChildContext) -> None:
        context.started()
        while State.STUCK not in seen:
            try:
                await trio.sleep_forever()
            except BaseException:  # noqa: BLE001 - the mistake that is tested
                continue

    async def watch(tree: TreeHandle) -> None:
        await tree.wait_until(lambda tree: tree.child("a").state is State.STUCK)
        seen.append(State.STUCK)

    async def main() -> None:
        tree = TreeHandle(supervisor("app", [ChildSpec("a", defy)]))
        booted = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tree.run, booted.set)
            await booted.wait()
            tree.stop()
            await watch(tree)

    trio.run(main, clock=trio.testing.MockClock(rate=50))
    assert seen == [State.STUCK]


# --- what is no crash --------------------------------------------------------------------------


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("is_up", [True, False])
async def test_an_interrupt_in_a_child_stops_the_others_in_order(
    error: type[BaseException], *, is_up: bool
) -> None:
    a, b, c, d = scripted("a b c d", politeness="heeds", stop_delay=2)
    inner = supervisor("inner", [b.spec(), c.spec()], intensity=0)
    if not is_up:
        c.start_delay = 1
        c.fail_next_start(error())
    tree = TreeHandle(supervisor("app", [a.spec(), inner, d.spec()]))
    recorder = Recorder(tree)

    async def interrupt() -> None:
        await trio.sleep(1)
        if is_up:
            c.crash(error())

    with pytest.RaisesGroup(error, flatten_subgroups=True):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(interrupt)
            nursery.start_soon(tree.run)
    ended = [entry.split()[0] for entry in a.log if entry.endswith("end")]
    assert ended == (["c", "b", "d", "a"] if is_up else ["c", "b", "a"])
    assert all(child.starts <= 1 and not child.alive for child in (a, b, c, d))
    told = recorder.words()
    assert not [word for word in told if word.split()[1] in ("ended", "stuck", "failed")]
    assert told.count("inner/c stopped") == 1
    assert told[-1] == "root supervisor.ended"
    assert trio.current_time() == (1 + 2 + 2 + 2 if is_up else 1 + 2 + 2)


async def test_an_interrupt_in_the_block_stops_the_tree_in_order() -> None:
    a, b = scripted("a b", politeness="heeds", stop_delay=2)
    with pytest.RaisesGroup(KeyboardInterrupt):
        async with open_tree(supervisor("app", [a.spec(), b.spec()])):
            a.log.clear()
            raise KeyboardInterrupt
    assert a.log == ["b asked", "b end", "a asked", "a end"]


async def test_an_error_of_the_block_stops_the_tree_and_is_raised_as_it_is() -> None:
    a, b = scripted("a b", politeness="heeds", stop_delay=2)
    with pytest.raises(ValueError, match="mine"):  # noqa: PT012 - the block is what is tested
        async with open_tree(supervisor("app", [a.spec(), b.spec()])):
            a.log.clear()
            raise ValueError("mine")
    assert a.log == ["b asked", "b end", "a asked", "a end"]


async def test_a_parallel_stop_of_many_lets_others_run_meanwhile() -> None:
    children = [ScriptedChild(f"c{number}", politeness="heeds") for number in range(1000)]
    alive: list[int] = []

    async def look() -> None:
        while True:
            alive.append(sum(child.alive for child in children))
            await trio.lowlevel.checkpoint()

    spec = supervisor("app", [child.spec() for child in children], stop_order="parallel")
    async with trio.open_nursery() as nursery:
        async with open_tree(spec):
            nursery.start_soon(look)
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    assert (max(alive), min(alive)) == (1000, 0)
    assert max(before - after for before, after in itertools.pairwise(alive)) <= 200
