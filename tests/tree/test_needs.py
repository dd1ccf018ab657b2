"""Children that wait for siblings: when they start, what they say meanwhile, how all stop."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked as settle

from a2a_sup import (
    NO_BACKOFF,
    ChildContext,
    ChildRestarting,
    ChildSpec,
    Restart,
    SpecError,
    StartFailed,
    State,
    TreeHandle,
    events,
    open_tree,
    supervisor,
)
from a2a_sup.testing import Recorder, ScriptedChild, run_virtual, scripted

QUICK = Restart(backoff=NO_BACKOFF, intensity=None)
ALONE = Restart(backoff=NO_BACKOFF, intensity=0, when_exhausted="isolate")


class Slow:
    """A child that is started at once, ready after a time, and finished after another."""

    def __init__(self, ready: float, finished: float = float("inf"), stop: float = 0) -> None:
        self.ready = ready
        self.finished = finished
        self.stop = stop

    async def __call__(self, context: ChildContext) -> None:
        asked = context.stop_request()
        context.started()
        begin = trio.current_time()
        with trio.move_on_at(begin + self.finished):
            with trio.move_on_after(self.ready):
                await asked.wait()
            if not asked.is_set():
                context.ready()
            await asked.wait()
            await trio.sleep(self.stop)


def child(name: str, run: Slow, **options: Any) -> ChildSpec:
    return ChildSpec(name, run, shutdown=1000.0, **{"restart": QUICK, **options})


def started(recorder: Recorder) -> dict[str, float]:
    return {each.path: each.time for each in recorder.events if type(each) is events.ChildStarting}


def state(tree: TreeHandle, path: str) -> State:
    shown = tree.child(path)
    assert shown is not None
    return shown.state


async def booted(spec: ChildSpec, nursery: trio.Nursery) -> tuple[TreeHandle, Recorder]:
    tree = TreeHandle(spec)
    recorder = Recorder(tree)
    nursery.start_soon(tree.run)
    return tree, recorder


async def test_a_child_starts_when_the_other_is_ready_and_not_before() -> None:
    a, b = child("a", Slow(5)), child("b", Slow(0), after={"a": "ready"})
    async with trio.open_nursery() as nursery:
        tree, recorder = await booted(supervisor("app", [b, a]), nursery)
        await settle()
        shown = tree.child("b")
        assert shown is not None
        assert (shown.state, shown.waits_for) == (State.PENDING, ("a ready",))
        assert "root supervisor.started" not in recorder.words()
        await tree.wait_until(lambda snapshot: snapshot.root.children[0].state is State.RUNNING)
        assert started(recorder) == {"a": 0, "b": 5}
        shown = tree.child("b")
        assert shown is not None
        assert shown.waits_for == ()
        tree.stop()


async def test_started_and_finished_are_needs_too() -> None:
    children = [
        child("migrate", Slow(0, 7), restart="transient"),
        child("once", Slow(0, 3), restart="temporary"),
        child("early", Slow(0), after={"migrate": "started"}),
        child("late", Slow(0), after={"migrate": "finished", "once": "finished"}),
    ]
    async with trio.open_nursery() as nursery:
        tree, recorder = await booted(supervisor("app", children), nursery)
        await settle()
        await tree.wait_until(lambda snapshot: snapshot.root.children[-1].state is State.RUNNING)
        assert started(recorder) == {"migrate": 0, "once": 0, "early": 0, "late": 7}
        tree.stop()


async def test_siblings_without_needs_do_not_wait_for_each_other() -> None:
    slow = [ChildSpec(f"s{n}", ScriptedChild("s", start_delay=9)._run) for n in range(3)]
    async with open_tree(supervisor("app", [*slow, child("x", Slow(0), after={"s0": "started"})])):
        assert trio.current_time() == 9


def test_two_hundred_start_in_the_time_of_the_longest_path() -> None:
    # Ten columns of twenty: each needs the one above it.
    children = [
        child(
            f"c{column}-{row}",
            Slow(1 + column / 10),
            after={f"c{column}-{row - 1}": "ready"} if row else {},
        )
        for row in range(20)
        for column in range(10)
    ]

    async def main() -> float:
        async with open_tree(supervisor("app", reversed(children))):
            return trio.current_time()

    assert run_virtual(main) == pytest.approx(19 * 1.9)


async def test_who_is_needed_stops_last() -> None:
    children = [
        child("db", Slow(0, stop=1)),
        child("api", Slow(0, stop=2), after={"db": "ready"}),
        child("web", Slow(0, stop=3), after={"api": "ready"}),
        child("other", Slow(0, stop=4)),
    ]
    async with trio.open_nursery() as nursery:
        spec = supervisor("app", children, stop_order="parallel")
        tree, recorder = await booted(spec, nursery)
        await settle()
        tree.stop()
        await tree.wait_ended()
        times = {path: recorder.times(events.ChildStopping, path) for path in ("db", "api", "web")}
        assert times == {"web": [0], "api": [3], "db": [5]}
        assert recorder.times(events.ChildStopped, "other") == [4]
        assert trio.current_time() == 6


async def test_one_by_one_the_order_of_needs_counts_and_not_that_of_the_list() -> None:
    a, b, c = scripted("a b c")
    specs = [a.spec(after={"c": "started"}), b.spec(after={"a": "started"}), c.spec()]
    async with open_tree(supervisor("app", specs)) as tree:
        recorder = Recorder(tree)
    stopped = [each.path for each in recorder.events if type(each) is events.ChildStopped]
    assert stopped == ["b", "a", "c"]


async def test_what_fails_leaves_its_dependants_pending_until_it_is_met() -> None:
    db = ScriptedChild("db")
    db.fail_next_start()
    web = ScriptedChild("web")
    specs = [
        db.spec(restart=ALONE),
        web.spec(after={"db": "started"}),
        ScriptedChild("third").spec(after={"web": "started"}),
    ]
    async with open_tree(supervisor("app", specs)) as tree:
        await settle()
        assert state(tree, "db") is State.FAILED
        assert state(tree, "web") is state(tree, "third") is State.PENDING
        shown = tree.child("web")
        assert shown is not None
        assert shown.waits_for == ("db started",)
        with pytest.raises(ChildRestarting, match="waits for db started"):
            await tree.restart_child("web")
        await tree.restart_child("db")
        await settle()
        assert web.is_up
        assert state(tree, "third") is State.RUNNING


async def test_a_child_that_ends_before_it_is_ready_leaves_them_waiting() -> None:
    specs = [
        child("db", Slow(10, 5), restart="transient"),
        child("web", Slow(0), after={"db": "ready"}),
    ]
    async with open_tree(supervisor("app", specs)) as tree:
        assert trio.current_time() == 5
        assert state(tree, "web") is State.PENDING
        await tree.terminate_child("web")
        assert state(tree, "web") is State.STOPPED
        await tree.restart_child("web")  # asked for by hand it waits for nobody
        assert state(tree, "web") is State.RUNNING


async def test_a_failed_start_under_escalation_fails_the_boot() -> None:
    bad = ScriptedChild("bad")
    bad.fail_next_start()
    ok = ScriptedChild("ok")
    with pytest.raises(StartFailed, match="bad"):
        async with open_tree(supervisor("app", [ok.spec(), bad.spec(after={"ok": "started"})])):
            raise AssertionError("it booted")
    assert ok.alive == 0


async def test_a_crash_of_the_needed_restarts_nobody_else() -> None:
    db, web = scripted("db web")
    specs = [db.spec(restart=QUICK), web.spec(after={"db": "started"})]
    async with open_tree(supervisor("app", specs)) as tree:
        db.crash()
        await settle()
        assert (db.starts, web.starts) == (2, 1)
        assert state(tree, "web") is State.RUNNING


async def test_a_child_added_to_a_running_tree_waits_too() -> None:
    db = child("db", Slow(50))
    async with open_tree(supervisor("app", [db])) as tree:
        ref = await tree.start_child("", child("web", Slow(0), after={"db": "ready"}))
        assert ref.running is False
        assert state(tree, "web") is State.PENDING
        with pytest.raises(SpecError, match="no such sibling"):
            await tree.start_child("", child("x", Slow(0), after={"y": "ready"}))
        with pytest.raises(SpecError, match="need each other"):
            await tree.update_child("db", child("db", Slow(0), after={"web": "ready"}))
        await trio.sleep(51)
        assert state(tree, "web") is State.RUNNING


async def test_needs_that_are_taken_back_are_waited_for_no_more() -> None:
    db = child("db", Slow(50))
    async with open_tree(supervisor("app", [db])) as tree:
        await tree.start_child("", child("web", Slow(0), after={"db": "ready"}))
        await tree.update_child("web", child("web", Slow(0)))
        await settle()
        assert state(tree, "web") is State.RUNNING


async def test_a_restart_by_need_waits_as_at_the_first_start() -> None:
    specs = [child("db", Slow(5)), child("web", Slow(0), after={"db": "ready"})]
    async with open_tree(supervisor("app", specs)) as tree:
        recorder = Recorder(tree)
        for path in ("web", "db"):
            await tree.terminate_child(path)
        assert (await tree.restart_child("db", by_need=True)).running
        ref = await tree.restart_child("web", by_need=True)
        assert (ref.incarnation, ref.running) == (1, False)
        shown = tree.child("web")
        assert shown is not None
        assert (shown.state, shown.waits_for) == (State.PENDING, ("db ready",))
        waiting = [each for each in recorder.events if type(each) is events.ChildWaiting]
        assert [(each.path, each.waits_for) for each in waiting] == [("web", ("db ready",))]
        await tree.wait_until(lambda now: now.child("web").state is State.RUNNING)
        assert started(recorder) == {"db": 5, "web": 10}
        assert tree.snapshot().child("web").incarnation == 2
        await tree.terminate_child("web")
        assert (await tree.restart_child("web", by_need=True)).running


async def test_a_held_child_is_not_started_when_its_needs_are_met() -> None:
    specs = [
        child("db", Slow(5)),
        child("web", Slow(0), after={"db": "ready"}, held=lambda path: path == "web"),
        child("top", Slow(0), after={"web": "ready"}),
    ]
    async with open_tree(supervisor("app", specs)) as tree:
        await trio.sleep(6)
        assert state(tree, "web") is State.STOPPED
        assert state(tree, "top") is State.PENDING


async def test_a_stop_while_children_wait_is_at_once() -> None:
    specs = [child("db", Slow(1000)), child("web", Slow(0), after={"db": "ready"})]
    async with trio.open_nursery() as nursery:
        tree, _ = await booted(supervisor("app", specs), nursery)
        await settle()
        tree.stop()
        await tree.wait_ended()
        assert trio.current_time() == 0


graphs = st.integers(1, 12).flatmap(
    lambda count: st.tuples(
        st.lists(st.sets(st.integers(0, count - 1), max_size=3), min_size=count, max_size=count),
        st.lists(st.integers(0, 5), min_size=count, max_size=count),
        st.permutations(range(count)),
        st.sampled_from(["reverse", "parallel"]),
    )
)


@settings(deadline=None)
@given(graphs)
def test_any_graph_starts_as_early_as_its_needs_allow_and_stops_the_other_way(
    graph: tuple[list[set[int]], list[int], list[int], Any],
) -> None:
    needs, times, places, stop_order = graph
    needs = [{other for other in others if other < number} for number, others in enumerate(needs)]
    specs = [
        child(
            str(number),
            Slow(times[number], stop=1),
            after={str(other): "ready" for other in needs[number]},
        )
        for number in places
    ]
    wanted: list[float] = []
    for others in needs:
        wanted.append(max((wanted[other] + times[other] for other in others), default=0))

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            spec = supervisor("app", specs, stop_order=stop_order)
            tree, recorder = await booted(spec, nursery)
            await settle()
            await tree.wait_until(
                lambda snapshot: all(c.state is State.RUNNING for c in snapshot.root.children)
            )
            assert started(recorder) == {str(n): wanted[n] for n in range(len(needs))}
            await trio.sleep(100)
            tree.stop()
            await tree.wait_ended()
            for number, others in enumerate(needs):
                (gone,) = recorder.times(events.ChildStopped, str(number))
                for other in others:
                    (asked,) = recorder.times(events.ChildStopping, str(other))
                    assert gone <= asked

    run_virtual(main)


async def test_a_child_that_was_started_again_and_deleted_has_not_finished() -> None:
    first, second, late = scripted("first second late")
    after = {"first": "finished", "second": "finished"}
    specs = [
        first.spec(restart="transient"),
        second.spec(restart="transient"),
        late.spec(after=after),
    ]
    async with trio.open_nursery() as nursery:
        tree = TreeHandle(supervisor("app", specs))
        nursery.start_soon(tree.run)  # it boots as long as somebody waits with hope
        await settle()
        first.finish()
        await tree.wait_until(lambda now: now.child("first").state is State.FINISHED)
        await tree.restart_child("first")
        second.finish()
        await tree.wait_until(lambda now: now.child("second").state is State.FINISHED)
        await tree.terminate_child("first")
        await tree.delete_child("first")
        await settle()
        snapshot = tree.snapshot().child("late")
        assert (snapshot.state, snapshot.waits_for) == (State.PENDING, ("first finished",))
        tree.stop()
