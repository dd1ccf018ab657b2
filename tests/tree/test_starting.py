"""How children start: in order, each acknowledged before the next; what a failed start does."""

from __future__ import annotations

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked as settle

from a2a_sup import (
    OTP,
    ChildContext,
    ChildSpec,
    IgnoreStart,
    ReasonKind,
    Restart,
    ShutdownExit,
    SpecError,
    StartFailed,
    State,
    TreeHandle,
    open_tree,
    run_tree,
    supervisor,
    task,
)
from a2a_sup.testing import Recorder, Scripted, ScriptedChild, run_virtual, scripted

TEMPORARY = attrs.evolve(OTP, type="temporary")


def words(log: list[str], word: str) -> list[str]:
    return [entry.split()[0] for entry in log if entry.endswith(f" {word}")]


async def test_children_start_in_order_each_acknowledged_before_the_next() -> None:
    a, b, c = scripted("a b c", start_delay=2)
    async with open_tree(supervisor("app", [a.spec(), b.spec(), c.spec()])):
        assert a.log == ["a begin", "a up", "b begin", "b up", "c begin", "c up"]
        assert trio.current_time() == 6


async def test_a_supervisor_is_up_when_all_its_children_are() -> None:
    a, b, c = scripted("a b c")
    b.start_delay = 5
    async with open_tree(supervisor("app", [supervisor("s", [a.spec(), b.spec()]), c.spec()])):
        assert a.log == ["a begin", "a up", "b begin", "b up", "c begin", "c up"]


async def test_an_empty_supervisor_starts() -> None:
    async with open_tree(supervisor("app")) as tree:
        assert tree.snapshot().root.children == ()


async def test_the_events_of_a_boot_can_be_watched_from_the_first() -> None:
    a, b = scripted("a b")
    tree = TreeHandle(supervisor("app", [a.spec(), supervisor("s", [b.spec()])]))
    recorder = Recorder(tree)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tree.run)
        await settle()
        assert recorder.words() == [
            "a added",
            "s added",
            "a starting",
            "a started",
            "s starting",
            "s/b added",
            "s/b starting",
            "s/b started",
            "s supervisor.started",
            "s started",
            "root supervisor.started",
        ]
        assert [event.seq for event in recorder.events] == list(range(1, 12))
        assert [event.incarnation for event in recorder.events][:4] == [0, 0, 1, 1]
        tree.stop()


async def test_a_function_without_task_status_counts_as_started_when_it_runs() -> None:
    ran = trio.Event()

    async def work(word: str) -> None:
        assert word == "go"
        ran.set()
        await trio.sleep_forever()

    async with open_tree(supervisor("app", [task("a", work, "go")])) as tree:
        assert ran.is_set()
        assert tree.snapshot().child("a").state is State.RUNNING


async def test_the_value_of_the_acknowledgment_reaches_the_caller() -> None:
    child = ScriptedChild("a", value="port 80")
    async with open_tree(supervisor("app")) as tree:
        ref = await tree.start_child("", child.spec())
        assert (ref.path, ref.incarnation, ref.running, ref.value) == ("a", 1, True, "port 80")


async def test_acknowledging_twice_is_a_mistake_of_the_child() -> None:
    async def twice(context: ChildContext) -> None:
        context.started()
        context.started()

    async with open_tree(supervisor("app")) as tree:
        recorder = Recorder(tree)
        await tree.start_child("", ChildSpec("a", twice, restart=TEMPORARY))
        await settle()
        assert recorder.words() == ["a added", "a starting", "a started", "a ended", "a removed"]
        assert "started() was called twice" in str(recorder.events[-2])


# --- readiness ---------------------------------------------------------------------------------


async def test_with_wait_ready_the_start_lasts_until_the_child_is_ready() -> None:
    async def slow(context: ChildContext) -> None:
        context.started("here")
        await trio.sleep(3)
        context.ready()
        await trio.sleep_forever()

    async with open_tree(supervisor("app")) as tree:
        recorder = Recorder(tree)
        ref = await tree.start_child("", ChildSpec("a", slow, wait_ready=True))
        assert ref.value == "here"
        assert trio.current_time() == 3
        assert recorder.words() == ["a added", "a starting", "a ready", "a started"]
        assert tree.snapshot().child("a").ready is True


async def test_ready_before_started_waits_for_started() -> None:
    async def eager(context: ChildContext) -> None:
        context.ready()
        await trio.sleep(2)
        context.started()
        await trio.sleep_forever()

    async with open_tree(supervisor("app", [ChildSpec("a", eager, wait_ready=True)])):
        assert trio.current_time() == 2


async def test_readiness_may_come_and_go_and_says_nothing_twice() -> None:
    child = ScriptedChild("a")
    async with open_tree(supervisor("app", [child.spec()])) as tree:
        recorder = Recorder(tree)
        assert tree.snapshot().child("a").ready is None
        context = child.context
        assert context is not None
        for is_ready in (True, True, False, False, True):
            context.ready(is_ready=is_ready)
            assert tree.snapshot().child("a").ready is is_ready
        assert recorder.words() == ["a ready"] * 3


# --- a failed start at boot --------------------------------------------------------------------


async def test_a_failed_start_stops_those_before_it_in_reverse_order() -> None:
    a, b, c, d = scripted("a b c d")
    c.fail_next_start(ValueError("no disk"))
    with pytest.raises(StartFailed, match="c did not start: ValueError: no disk") as raised:
        await run_tree(supervisor("app", [child.spec() for child in (a, b, c, d)]))
    assert raised.value.path == "c"
    assert isinstance(raised.value.__cause__, ValueError)
    assert words(a.log, "begin") == ["a", "b", "c"]
    assert words(a.log, "end") == ["c", "b", "a"]
    assert c.starts == 1


async def test_a_failed_start_is_nested_one_level_for_each_supervisor() -> None:
    a, b, c = scripted("a b c")
    c.fail_next_start(ValueError("no disk"))
    inner = supervisor("inner", [b.spec(), c.spec()], restart=OTP)
    with pytest.raises(StartFailed) as raised:
        await run_tree(supervisor("app", [a.spec(), supervisor("outer", [inner])]))
    errors: list[BaseException] = []
    error: BaseException | None = raised.value
    while error is not None:
        errors.append(error)
        error = error.__cause__
    assert [getattr(each, "path", None) for each in errors] == [
        "outer",
        "outer/inner",
        "outer/inner/c",
        None,
    ]
    assert words(a.log, "end") == ["c", "b", "a"]
    assert all(child.starts == 1 for child in (a, b, c))


async def test_returning_before_the_acknowledgment_is_a_failed_start() -> None:
    async def forgetful(context: ChildContext) -> None:
        """Forget to call started."""

    with pytest.raises(StartFailed, match=r"ended without calling task_status.started\(\)"):
        await run_tree(supervisor("app", [ChildSpec("a", forgetful)]))


async def test_shutdown_before_the_acknowledgment_is_a_failed_start() -> None:
    a = ScriptedChild("a")
    a.fail_next_start(ShutdownExit("not today"))
    with pytest.raises(StartFailed, match="not today"):
        await run_tree(supervisor("app", [a.spec()]))


async def test_a_late_start_is_a_failed_start() -> None:
    child = ScriptedChild("a", start_delay=10)
    with pytest.raises(StartFailed, match="not started within 3 s"):
        await run_tree(supervisor("app", [child.spec(start_timeout=3)]))
    assert trio.current_time() == 3
    assert child.log == ["a begin", "a cancelled", "a end"]


async def test_a_start_in_time_is_not_cut_short_later() -> None:
    child = ScriptedChild("a", start_delay=2)
    async with open_tree(supervisor("app", [child.spec(start_timeout=3)])) as tree:
        await trio.sleep(100)
        assert tree.snapshot().child("a").state is State.RUNNING


async def test_an_acknowledgment_after_the_time_is_over_comes_too_late() -> None:
    async def late(context: ChildContext) -> None:
        try:
            await trio.sleep_forever()
        finally:
            context.started()

    async with open_tree(supervisor("app")) as tree:
        with pytest.raises(StartFailed, match="not started within 1 s"):
            await tree.start_child("", ChildSpec("a", late, start_timeout=1))
        assert tree.snapshot().root.children == ()


async def test_the_time_to_start_of_a_supervisor_is_that_of_all_its_children() -> None:
    a, b = scripted("a b", start_delay=2)
    with pytest.raises(StartFailed, match="s did not start: not started within 3 s"):
        await run_tree(supervisor("app", [supervisor("s", [a.spec(), b.spec()], start_timeout=3)]))
    assert words(a.log, "end") == ["b", "a"]


async def test_a_permanently_isolated_failure_at_boot_is_retried_while_siblings_are_up() -> None:
    a, b, c = scripted("a b c")
    b.fail_next_start(*[Scripted("no")] * 3)
    isolated = Restart(when_exhausted="isolate")
    specs = [child.spec(restart=isolated) for child in (a, b, c)]
    async with open_tree(supervisor("app", specs)) as tree:
        assert trio.current_time() == 0
        assert (a.alive, b.alive, c.alive) == (1, 0, 1)
        assert tree.snapshot().child("b").state is State.BACKING_OFF
        await tree.wait_until(lambda tree: tree.child("b").state is State.RUNNING)
        assert trio.current_time() == 1 + 2 + 4
        assert (a.starts, b.starts, c.starts) == (1, 4, 1)


async def test_an_isolated_child_that_never_starts_is_left_failed() -> None:
    a, b = scripted("a b")
    a.fail_next_start(*[Scripted("no")] * 9)
    isolated = Restart(when_exhausted="isolate")
    async with open_tree(supervisor("app", [a.spec(restart=isolated), b.spec()])) as tree:
        await trio.sleep(100)
        assert tree.snapshot().child("a").state is State.FAILED
        assert (a.starts, b.alive) == (4, 1)


async def test_an_isolated_temporary_child_is_not_retried() -> None:
    a, b = scripted("a b")
    a.fail_next_start()
    policy = Restart("temporary", when_exhausted="isolate")
    async with open_tree(supervisor("app", [a.spec(restart=policy), b.spec()])) as tree:
        await trio.sleep(100)
        assert a.starts == 1
        assert [child.name for child in tree.snapshot().walk()] == ["b"]


# --- ignore ------------------------------------------------------------------------------------


async def test_an_ignored_child_is_kept_down_and_the_next_one_starts() -> None:
    a, b = scripted("a b")
    a.fail_next_start(IgnoreStart())
    async with open_tree(supervisor("app", [a.spec(), b.spec()])) as tree:
        assert tree.snapshot().child("a").state is State.STOPPED
        assert b.alive == 1
        await trio.sleep(100)
        assert a.starts == 1


async def test_an_ignored_temporary_child_is_forgotten() -> None:
    a, b = scripted("a b")
    a.fail_next_start(IgnoreStart())
    async with open_tree(supervisor("app", [a.spec(restart=TEMPORARY), b.spec()])) as tree:
        assert [child.name for child in tree.snapshot().walk()] == ["b"]


async def test_ignore_after_the_acknowledgment_is_a_crash() -> None:
    a = ScriptedChild("a")
    async with open_tree(supervisor("app", [a.spec(restart=OTP)])) as tree:
        a.crash(IgnoreStart("too late"))
        await settle()
        reason = tree.snapshot().child("a").last_reason
        assert reason is not None
        assert reason.kind is ReasonKind.CRASHED
        assert a.starts == 2


async def test_an_ignored_restart_stays_down() -> None:
    a = ScriptedChild("a")
    async with open_tree(supervisor("app", [a.spec(restart=OTP)])) as tree:
        a.fail_next_start(IgnoreStart())
        a.crash()
        await trio.sleep(100)
        assert tree.snapshot().child("a").state is State.STOPPED
        assert a.starts == 2


# --- the tree as a whole -----------------------------------------------------------------------


async def test_only_a_supervisor_can_be_a_tree() -> None:
    with pytest.raises(SpecError, match="is not a supervisor"):
        await run_tree(ScriptedChild("a").spec())


async def test_children_can_be_served_while_the_root_boots() -> None:
    a, b = scripted("a b")
    b.start_delay = 50
    tree = TreeHandle(supervisor("app", [a.spec(restart=OTP), b.spec()]))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tree.run)
        await settle()
        a.crash()
        await settle()
        assert (trio.current_time(), a.starts, a.alive) == (0, 2, 1)
        await tree.terminate_child("a")
        assert (trio.current_time(), a.alive) == (0, 0)
        assert tree.snapshot().child("b").state is State.STARTING
        tree.stop()
        await tree.wait_ended()
        assert trio.current_time() == 0


def test_a_tree_returns_what_the_block_computes_and_leaves_nothing() -> None:
    a = ScriptedChild("a")

    async def main() -> int:
        async with open_tree(supervisor("app", [a.spec()])):
            return 7

    assert run_virtual(main) == 7
    assert (a.starts, a.alive) == (1, 0)


async def test_a_child_that_is_given_up_alone_does_not_end_the_boot_of_the_others() -> None:
    log: list[str] = []
    bad, slow = ScriptedChild("bad", log=log), ScriptedChild("slow", log=log, start_delay=100)
    last = ScriptedChild("last", log=log)
    bad.fail_next_start(*[OSError("no")] * 9)
    alone = Restart(intensity=1, when_exhausted="isolate")
    specs = [bad.spec(restart=alone), slow.spec(), last.spec()]
    async with open_tree(supervisor("app", specs)) as tree:
        assert trio.current_time() == 100
        states = [child.state for child in tree.snapshot().root.children]
        assert states == [State.FAILED, State.RUNNING, State.RUNNING]
