"""Events in one order without gaps; snapshots that share what did not change; wait_until."""

from __future__ import annotations

import gc
import weakref

import attrs
import pytest
import trio
from hypothesis import example, given
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked as settle

from a2a_sup import (
    OTP,
    ChildContext,
    ChildSpec,
    State,
    Subscription,
    TreeEnded,
    TreeHandle,
    TreeSnapshot,
    events,
    open_tree,
    supervisor,
)
from a2a_sup.testing import Recorder, Scripted, ScriptedChild, run_virtual, scripted

TRANSIENT = attrs.evolve(OTP, type="transient")


async def drive(child: ScriptedChild, times: int) -> None:
    for _ in range(times):
        child.crash()
        await settle()


# --- events ------------------------------------------------------------------------------------


async def test_events_are_numbered_without_gaps_in_the_order_they_happened() -> None:
    a, b = scripted("a b")
    tree = TreeHandle(supervisor("app", [a.spec(restart=OTP), supervisor("s", [b.spec()])]))
    recorder = Recorder(tree)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tree.run)
        await settle()
        await drive(a, 3)
        await trio.sleep(3)
        tree.stop()
    seqs = [event.seq for event in recorder.events]
    assert seqs == list(range(1, len(seqs) + 1))
    times = [event.time for event in recorder.events]
    assert times == sorted(times)


async def test_every_subscriber_sees_the_same_objects() -> None:
    a = ScriptedChild("a")
    async with open_tree(supervisor("app", [a.spec(restart=OTP)])) as tree:
        one, two = tree.events(), tree.events()
        await drive(a, 2)
        first, second = one.drain(), two.drain()
        assert len(first) == 6
        assert all(left is right for left, right in zip(first, second, strict=True))


async def test_a_subscription_sees_only_what_comes_after_it() -> None:
    a = ScriptedChild("a")
    async with open_tree(supervisor("app", [a.spec(restart=OTP)])) as tree:
        await drive(a, 1)
        revision = tree.snapshot().revision
        with tree.events() as stream:
            await drive(a, 1)
            assert [getattr(event, "seq", None) for event in stream.drain()] == [
                revision + 1,
                revision + 2,
                revision + 3,
            ]


async def test_iteration_waits_for_events_and_ends_with_the_tree() -> None:
    a = ScriptedChild("a")
    seen: list[str] = []

    async def read(stream: Subscription) -> None:
        async for event in stream:
            seen.append(event.type)
        seen.append("end")

    async with trio.open_nursery() as nursery:
        async with open_tree(supervisor("app", [a.spec(restart=OTP)])) as tree:
            nursery.start_soon(read, tree.events())
            await drive(a, 1)
            assert seen == ["child.ended", "child.starting", "child.started"]
        await settle()
        assert seen[3:] == ["child.stopping", "child.stopped", "supervisor.ended", "end"]


async def test_a_subscription_to_an_ended_tree_is_empty() -> None:
    async with open_tree(supervisor("app")) as tree:
        pass
    assert [event async for event in tree.events()] == []


async def test_a_slow_subscriber_loses_the_oldest_and_is_told_how_many() -> None:
    a = ScriptedChild("a")
    async with open_tree(supervisor("app", [a.spec(restart=OTP)])) as tree:
        stream = tree.events(capacity=4)
        all_events = Recorder(tree)
        await drive(a, 3)
        kept = all_events.events
        assert await anext(stream) == events.EventsDropped(len(kept) - 4)
        assert [await anext(stream) for _ in range(4)] == kept[-4:]
        await drive(a, 1)
        assert [await anext(stream) for _ in range(3)] == all_events.events[-3:]


async def test_dropped_events_are_told_by_drain_too() -> None:
    a = ScriptedChild("a")
    async with open_tree(supervisor("app", [a.spec(restart=OTP)])) as tree:
        stream = tree.events(capacity=1)
        await drive(a, 1)
        assert stream.drain()[0] == events.EventsDropped(2)
        assert stream.drain() == []


@given(st.integers(1, 10), st.lists(st.integers(0, 5), max_size=10))
def test_nothing_is_lost_without_being_counted(capacity: int, reads: list[int]) -> None:
    async def main() -> None:
        a = ScriptedChild("a")
        async with open_tree(supervisor("app", [a.spec(restart=OTP)])) as tree:
            stream = tree.events(capacity)
            accounted = tree.snapshot().revision

            def account(event: events.Event | events.EventsDropped) -> None:
                nonlocal accounted
                if isinstance(event, events.EventsDropped):
                    accounted += event.count
                else:
                    accounted += 1
                    assert event.seq == accounted

            for count in reads:
                await drive(a, 1)
                for _ in range(count):
                    with trio.move_on_after(0.1):  # there may be none
                        account(await anext(stream))
            for event in stream.drain():
                account(event)
            assert accounted == tree.snapshot().revision

    run_virtual(main)


async def test_a_slow_subscriber_slows_nobody() -> None:
    a = ScriptedChild("a")
    async with open_tree(supervisor("app", [a.spec(restart=OTP)])) as tree:
        stream = tree.events(capacity=10)
        await drive(a, 300)
        assert a.starts == 301
        assert len(stream.drain()) == 1 + 10


async def test_a_subscription_dropped_without_closing_is_forgotten() -> None:
    async with open_tree(supervisor("app")) as tree:
        stream = tree.events()
        gone = weakref.ref(stream)
        del stream
        gc.collect()
        assert gone() is None
        await tree.start_child("", ScriptedChild("a").spec())


async def test_a_closed_subscription_collects_nothing_and_ends() -> None:
    a = ScriptedChild("a")
    async with open_tree(supervisor("app", [a.spec(restart=OTP)])) as tree:
        with tree.events() as stream:
            await drive(a, 1)
        await drive(a, 1)
        assert stream.drain() == []
        assert [event async for event in stream] == []


async def test_a_twin_holds_what_its_twin_holds_and_goes_on_by_itself() -> None:
    child = ScriptedChild("a")
    tree = TreeHandle(supervisor("app", [child.spec()]))
    early = tree.events(capacity=2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tree.run)
        await tree.wait_until(lambda now: any(c.state is State.RUNNING for c in now.walk()))
        twin = early.twin()
        held = early.drain()
        assert isinstance(held[0], events.EventsDropped)
        early.close()
        child.crash()
        await tree.wait_until(lambda now: now.child("a").incarnation == 2)
        tree.stop()
    twins = twin.drain()
    assert len(twins) == 3  # it has the same capacity, and has lost more since
    assert isinstance(twins[0], events.EventsDropped)
    assert twins[0].count > held[0].count


@given(numbers=st.integers(1, 350), capacity=st.integers(1, 400))
@example(numbers=102, capacity=101)
def test_batches_hold_every_event_once_in_order_and_tell_of_the_dropped(
    numbers: int, capacity: int
) -> None:
    async def main() -> None:
        child = ScriptedChild("a")
        async with open_tree(supervisor("app", [child.spec()])) as tree:
            subscription = tree.events(capacity)
            assert child.context is not None
            for number in range(numbers):
                child.context.report(number=number)
            is_told_of_dropped = int(numbers > capacity)
            read: list[events.Event | events.EventsDropped] = []
            while len(read) < min(numbers, capacity) + is_told_of_dropped:
                batch = await subscription.batch()
                assert 1 <= len(batch) <= 101
                read += batch
        dropped = sum(e.count for e in read if isinstance(e, events.EventsDropped))
        found = [e.details["number"] for e in read if isinstance(e, events.ChildReported)]
        assert dropped == max(0, numbers - capacity)
        assert found == list(range(dropped, numbers))

    run_virtual(main)


async def test_there_is_no_batch_after_the_end() -> None:
    async with open_tree(supervisor("app", [])) as tree:
        subscription = tree.events()
    assert [event.type for event in await subscription.batch()] == ["supervisor.ended"]
    assert await subscription.batch() == []


async def test_closing_wakes_the_reader() -> None:
    async with open_tree(supervisor("app")) as tree, trio.open_nursery() as nursery:
        stream = tree.events()
        ended = trio.Event()

        async def read() -> None:
            assert [event async for event in stream] == []
            ended.set()

        nursery.start_soon(read)
        await settle()
        stream.close()
        await ended.wait()


async def test_a_subscription_is_read_by_one_task() -> None:
    """Also when both come in the same moment: neither is left asleep for ever."""
    refused: list[bool] = []

    async def read(stream: Subscription) -> None:
        try:
            async for _ in stream:
                pass
        except trio.BusyResourceError:
            refused.append(True)

    async with trio.open_nursery() as nursery, open_tree(supervisor("app")) as tree:
        stream = tree.events()
        nursery.start_soon(read, stream)
        nursery.start_soon(read, stream)
        await settle()
        assert refused == [True]


async def test_a_reader_that_is_cancelled_loses_nothing() -> None:
    a = ScriptedChild("a")
    async with open_tree(supervisor("app", [a.spec(restart=OTP)])) as tree:
        stream = tree.events()
        with trio.move_on_after(1):
            await anext(stream)
        await drive(a, 1)
        with trio.CancelScope() as scope:
            scope.cancel()
            await anext(stream)
        assert scope.cancelled_caught
        assert len(stream.drain()) == 3


@pytest.mark.parametrize("capacity", [0, -1])
async def test_a_capacity_is_at_least_1(capacity: int) -> None:
    async with open_tree(supervisor("app")) as tree:
        with pytest.raises(ValueError, match="capacity is at least 1"):
            tree.events(capacity)


async def test_kept_events_keep_no_crashed_frame_alive() -> None:
    class Big:
        """What a child held when it crashed."""

    held: list[weakref.ref[Big]] = []

    async def crash(context: ChildContext) -> None:
        context.started()
        big = Big()
        held.append(weakref.ref(big))
        await trio.sleep(1)
        raise Scripted(big)

    async with open_tree(supervisor("app", [ChildSpec("a", crash)])) as tree:
        recorder = Recorder(tree)
        await trio.sleep(1.5)
        snapshot = tree.snapshot()
        assert len(recorder.events) == 2
        gc.collect()
        assert [reference() for reference in held] == [None]
        assert snapshot.child("a").last_reason is not None


# --- snapshots ---------------------------------------------------------------------------------


async def test_a_snapshot_is_the_tree_at_its_revision() -> None:
    a, b = scripted("a b")
    async with open_tree(
        supervisor("app", [supervisor("s", [a.spec(tags=["x"])]), b.spec()])
    ) as tree:
        recorder = Recorder(tree)
        await trio.sleep(2)
        before = tree.snapshot()
        assert (before.name, before.time, before.root.path) == ("app", 2, "")
        child = before.child("s/a")
        assert (child.kind, child.state, child.incarnation) == ("task", State.RUNNING, 1)
        assert (child.started_at, child.since, child.tags) == (0, 0, ("x",))
        assert [child.path for child in before.walk()] == ["s", "s/a", "b"]
        a.crash()
        await settle()
        after = tree.snapshot()
        assert after.revision == before.revision + len(recorder.events)
        child = after.child("s/a")
        assert (child.state, child.restarts, child.next_attempt_at) == (State.BACKING_OFF, 1, 3)
        assert (child.started_at, child.since) == (None, 2)
        assert child.last_reason is not None
        assert before.child("s/a").state is State.RUNNING


async def test_unknown_paths_are_a_key_error() -> None:
    async with open_tree(supervisor("app")) as tree:
        with pytest.raises(KeyError, match="x/y"):
            tree.snapshot().child("x/y")


async def test_what_did_not_change_is_the_same_object() -> None:
    a, b, c = scripted("a b c")
    spec = supervisor(
        "app", [supervisor("s", [a.spec(), b.spec(restart=OTP)]), supervisor("t", [c.spec()])]
    )
    async with open_tree(spec) as tree:
        one = tree.snapshot()
        assert tree.snapshot().root is one.root
        b.crash()
        await settle()
        two = tree.snapshot()
        assert two.root is not one.root
        for path, same in [("s", False), ("s/a", True), ("s/b", False), ("t", True), ("t/c", True)]:
            assert (two.child(path) is one.child(path)) is same, path


async def test_a_snapshot_right_after_an_event_shows_what_it_says() -> None:
    a = ScriptedChild("a")
    async with open_tree(supervisor("app", [a.spec(restart=TRANSIENT)])) as tree:
        seen: list[State] = []

        async def watch() -> None:
            async for _ in tree.events():
                seen.append(tree.snapshot().child("a").state)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            await settle()
            a.finish()
            await settle()
            nursery.cancel_scope.cancel()
        assert seen == [State.FINISHED]


async def test_a_nested_supervisor_without_children_is_shown_as_one() -> None:
    async with open_tree(supervisor("app", [supervisor("s")])) as tree:
        nested = tree.snapshot().child("s").supervisor
        assert nested is not None
        assert (nested.path, nested.strategy, nested.children) == ("s", "one_for_one", ())


# --- waiting -----------------------------------------------------------------------------------


async def test_wait_until_returns_the_first_snapshot_that_will_do() -> None:
    a = ScriptedChild("a")
    async with open_tree(supervisor("app", [a.spec()])) as tree:

        def is_back(tree: TreeSnapshot) -> bool:
            return tree.child("a").restarts == 1 and tree.child("a").state is State.RUNNING

        a.crash()
        snapshot = await tree.wait_until(is_back)
        assert trio.current_time() == 1
        assert is_back(snapshot)
        assert await tree.wait_until(lambda _: True) == tree.snapshot()


async def test_wait_until_says_when_the_tree_ended_before() -> None:
    async with trio.open_nursery() as nursery:
        async with open_tree(supervisor("app", [ScriptedChild("a").spec()])) as tree:

            async def wait() -> None:
                with pytest.raises(TreeEnded):
                    await tree.wait_until(lambda tree: tree.child("a").restarts > 0)

            nursery.start_soon(wait)
            await settle()
        with pytest.raises(TreeEnded):
            await tree.wait_until(lambda _: False)
        await tree.wait_until(lambda tree: tree.child("a").state is State.STOPPED)


async def test_an_error_of_the_condition_reaches_the_caller() -> None:
    async with open_tree(supervisor("app")) as tree:
        with pytest.raises(KeyError):
            await tree.wait_until(lambda tree: tree.child("x").state is State.RUNNING)


async def test_wall_time_moves_with_the_clock() -> None:
    async with open_tree(supervisor("app")) as tree:
        assert tree.wall_time(10) - tree.wall_time(4) == pytest.approx(6)
        assert tree.wall_time(0) > 1_600_000_000


def test_an_ended_child_is_never_shown_with_what_it_said_while_it_lived() -> None:
    """Nor is a picture kept that was taken between its end and what was decided about it."""

    async def watch(tree: TreeHandle) -> None:
        async for _ in tree.events():
            child = tree.snapshot().child("a")
            assert (child.ready is None) is (child.state is not State.RUNNING)

    async def main() -> None:
        a = ScriptedChild("a")
        spec = supervisor("app", [a.spec(restart=TRANSIENT)])
        async with open_tree(spec) as tree, trio.open_nursery() as nursery:
            assert a.context is not None
            a.context.ready()
            a.context.report(pid=1)
            nursery.start_soon(watch, tree)
            await settle()
            a.finish()
            await settle()
            child = tree.snapshot().child("a")
            assert (child.state, child.ready, dict(child.details)) == (State.FINISHED, None, {})
            nursery.cancel_scope.cancel()

    for _ in range(30):  # whoever Trio wakes first
        run_virtual(main)
