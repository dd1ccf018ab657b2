"""When a supervisor gives up, and what that means to those above it."""

from __future__ import annotations

import attrs
import pytest
import trio
from hypothesis import example, given
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked as settle

from a2a_sup import (
    OTP,
    ChildSpec,
    GaveUp,
    ReasonKind,
    Restart,
    StartFailed,
    State,
    TreeHandle,
    events,
    open_tree,
    run_tree,
    supervisor,
)
from a2a_sup.model.restarts import RestartWord, Window
from a2a_sup.model.strategy import AutoShutdownWord
from a2a_sup.testing import Recorder, Scripted, ScriptedChild, run_virtual, scripted


def otp(word: RestartWord) -> Restart:
    return attrs.evolve(OTP, type=word)


def states(tree: TreeHandle) -> dict[str, str]:
    return {child.path: child.state.value for child in tree.snapshot().walk()}


async def survives(crashes: list[float], intensity: int, period: float) -> bool:
    """Return whether a supervisor outlives crashes of its child after each of these waits."""
    child = ScriptedChild("a")
    spec = supervisor("app", [child.spec(restart=OTP)], intensity=intensity, period=period)
    try:
        async with open_tree(spec):
            for wait in crashes:
                await trio.sleep(wait)
                child.crash()
                await settle()
    except GaveUp:
        return False
    return True


# --- intensity ---------------------------------------------------------------------------------


async def test_one_restart_more_than_the_intensity_is_too_many() -> None:
    assert await survives([0, 0, 0], intensity=3, period=5)
    assert not await survives([0, 0, 0, 0], intensity=3, period=5)


async def test_intensity_0_means_0() -> None:
    assert not await survives([0], intensity=0, period=5)


async def test_no_intensity_means_no_limit() -> None:
    child = ScriptedChild("a")
    async with open_tree(supervisor("app", [child.spec(restart=OTP)])):
        for _ in range(200):
            child.crash()
            await settle()
        assert child.alive == 1


@pytest.mark.parametrize(("gap", "survived"), [(5, False), (5.001, True), (0, False), (4.9, False)])
async def test_the_window_includes_its_boundary(gap: float, *, survived: bool) -> None:
    assert await survives([0, gap], intensity=1, period=5) is survived


@given(st.lists(st.integers(0, 8), max_size=12), st.integers(0, 3), st.integers(1, 8))
def test_the_window_is_never_exceeded_and_never_short(
    gaps: list[int], intensity: int, period: int
) -> None:
    window, now, expected = Window(), 0, True
    for gap in gaps:
        now += gap
        if window.count(now, period) >= intensity:
            expected = False
            break
        window.add(now)
    assert run_virtual(survives, gaps, intensity, period) is expected


async def test_all_children_share_the_intensity() -> None:
    a, b = scripted("a b")
    spec = supervisor("app", [a.spec(restart=OTP), b.spec(restart=OTP)], intensity=1)
    with pytest.raises(GaveUp) as raised:  # noqa: PT012 - the block is what is tested
        async with open_tree(spec):
            a.crash()
            await settle()
            b.crash()
            await trio.sleep_forever()
    assert (raised.value.path, raised.value.child) == ("", "b")


async def test_calls_and_benign_ends_are_not_counted() -> None:
    a, b, c = scripted("a b c")
    specs = [a.spec(restart=OTP), b.spec(restart=otp("transient"))]
    async with open_tree(supervisor("app", specs, intensity=0)) as tree:
        for _ in range(3):
            await tree.terminate_child("a")
            await tree.restart_child("a")
            b.finish()
            await settle()
            await tree.restart_child("b")
            await tree.start_child("", c.spec(restart=otp("temporary")))
            c.crash()
            await settle()
        assert states(tree) == {"a": "running", "b": "running"}


async def test_a_group_restart_is_one_restart() -> None:
    family = scripted("a b c")
    specs = [child.spec(restart=OTP) for child in family]
    async with open_tree(supervisor("app", specs, strategy="one_for_all", intensity=1)):
        family[1].crash()
        await settle()
        assert [child.starts for child in family] == [2, 2, 2]


async def test_giving_up_stops_the_children_in_reverse_and_does_not_start_the_crashed_one() -> None:
    a, b, c = scripted("a b c", politeness="heeds", stop_delay=2)
    specs = [child.spec(restart=OTP) for child in (a, b, c)]
    tree = TreeHandle(supervisor("app", specs, intensity=0, strategy="one_for_all"))
    recorder = Recorder(tree)
    async with trio.open_nursery() as nursery:

        async def run() -> None:
            with pytest.raises(GaveUp):
                await tree.run()

        nursery.start_soon(run)
        await settle()
        b.crash()
        await tree.wait_ended()
    assert trio.current_time() == 4
    assert b.starts == 1
    assert recorder.words()[-8:] == [
        "b ended",
        "b failed",
        "root supervisor.gave_up",
        "c stopping",
        "c stopped",
        "a stopping",
        "a stopped",
        "root supervisor.ended",
    ]
    assert states(tree) == {"a": "stopped", "b": "failed", "c": "stopped"}


async def test_the_root_raises_with_the_last_crash_as_cause() -> None:
    child = ScriptedChild("a")
    error = ValueError("disk full")
    with pytest.raises(GaveUp, match="needs more than 0 restarts in 5 s") as raised:  # noqa: PT012
        async with open_tree(supervisor("app", [child.spec(restart=OTP)], intensity=0)):
            child.crash(error)
            await trio.sleep_forever()
    assert raised.value.__cause__ is error
    assert "disk full" in str(raised.value)


async def test_a_verdict_and_an_error_of_the_block_are_both_raised() -> None:
    child = ScriptedChild("a")
    with pytest.RaisesGroup(GaveUp, ValueError):
        async with open_tree(supervisor("app", [child.spec(restart=OTP)], intensity=0)):
            child.crash()
            try:
                await trio.sleep_forever()
            finally:
                raise ValueError("mine")


# --- escalation --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("restart", "seen"),
    [
        ("permanent", {"s": "running", "s/a": "running", "b": "running"}),
        ("transient", {"s": "finished", "b": "running"}),
        ("temporary", {"b": "running"}),
    ],
)
async def test_what_a_parent_does_depends_on_the_restart_type_of_the_supervisor(
    restart: RestartWord, seen: dict[str, str]
) -> None:
    """Giving up is a ``shutdown`` end: benign."""
    a, b = scripted("a b")
    nested = supervisor("s", [a.spec(restart=OTP)], intensity=0, restart=otp(restart))
    async with open_tree(supervisor("app", [nested, b.spec()])) as tree:
        recorder = Recorder(tree)
        a.crash()
        await settle()
        assert states(tree) == seen
        assert b.starts == 1
        (end,) = [e for e in recorder.events if isinstance(e, events.ChildEnded) and e.path == "s"]
        assert end.reason.kind is ReasonKind.SHUTDOWN
        assert "s/a needs more than 0 restarts" in end.reason.text
        assert end.reason.crash is not None
        assert end.reason.crash.type == "Scripted"


async def test_a_crash_climbs_level_by_level_until_somebody_has_restarts_left() -> None:
    a, b = scripted("a b")
    inner = supervisor("inner", [a.spec(restart=OTP)], intensity=0, restart=OTP)
    outer = supervisor("outer", [inner, b.spec(restart=OTP)], intensity=0, restart=OTP)
    with pytest.raises(GaveUp) as raised:  # noqa: PT012 - the block is what is tested
        async with open_tree(supervisor("app", [outer], intensity=1)) as tree:
            recorder = Recorder(tree)
            a.crash()
            await settle()
            gave_up = [e.path for e in recorder.events if isinstance(e, events.SupervisorGaveUp)]
            assert gave_up == ["outer/inner", "outer"]
            assert (a.starts, b.starts) == (2, 2)
            assert set(states(tree).values()) == {"running"}
            a.crash()
            await trio.sleep_forever()
    causes: list[BaseException | None] = [raised.value]
    while causes[-1] is not None:
        causes.append(causes[-1].__cause__)
    assert [type(cause).__name__ for cause in causes[:-1]] == ["GaveUp"] * 3 + ["Scripted"]
    assert (raised.value.path, raised.value.child) == ("", "outer")


# --- the budget of a child ---------------------------------------------------------------------


async def test_the_delays_are_1_2_4_and_the_fourth_crash_exhausts_the_budget() -> None:
    child = ScriptedChild("a")
    tree = TreeHandle(supervisor("app", [child.spec()]))
    recorder = Recorder(tree)
    verdicts: list[GaveUp] = []
    async with trio.open_nursery() as nursery:

        async def run() -> None:
            with pytest.raises(GaveUp) as raised:
                await tree.run()
            verdicts.append(raised.value)

        nursery.start_soon(run)
        for _ in range(4):
            await tree.wait_until(lambda _: child.alive == 1)
            await settle()
            child.crash()
            await settle()
    assert recorder.times(events.ChildStarting, "a") == [0, 1, 3, 7]
    delays = [e for e in recorder.events if isinstance(e, events.ChildBackingOff)]
    assert [(event.delay, event.restarts) for event in delays] == [(1, 1), (2, 2), (4, 3)]
    assert "a needs more than 3 restarts in 30 s" in str(verdicts[0])
    assert trio.current_time() == 7


async def test_good_uptime_starts_again_at_the_first_delay() -> None:
    child = ScriptedChild("a")
    async with open_tree(supervisor("app", [child.spec()])) as tree:
        recorder = Recorder(tree)
        for when in (0, 1.5, 31.5, 65):
            await trio.sleep(when - trio.current_time())
            child.crash()
            await settle()
        delays = [e.delay for e in recorder.events if isinstance(e, events.ChildBackingOff)]
        # At 31.5 the restart of 0 is forgotten and that of 1.5 still counts; at 65 none does.
        assert delays == [1, 2, 2, 1]


async def test_other_delays_and_windows_can_be_chosen() -> None:
    child = ScriptedChild("a")
    policy = Restart(backoff=attrs.evolve(Restart().backoff, delays=(0.5,)), intensity=1, period=2)
    with pytest.raises(GaveUp):  # noqa: PT012 - the block is what is tested
        async with open_tree(supervisor("app", [child.spec(restart=policy)])):
            child.crash()
            await trio.sleep(0.5)
            await settle()
            assert child.alive == 1
            child.crash()
            await trio.sleep_forever()
    assert trio.current_time() == 0.5


async def test_a_budget_of_0_is_exhausted_by_the_first_crash() -> None:
    a, b = scripted("a b")
    policy = Restart(intensity=0, when_exhausted="isolate")
    async with open_tree(supervisor("app", [a.spec(restart=policy), b.spec()])) as tree:
        a.crash()
        await trio.sleep(100)
        assert states(tree) == {"a": "failed", "b": "running"}
        assert a.starts == 1


async def test_an_exhausted_isolated_child_leaves_its_siblings_alone() -> None:
    a, b = scripted("a b")
    policy = Restart(when_exhausted="isolate")
    specs = [a.spec(restart=policy), b.spec(restart=OTP)]
    async with open_tree(supervisor("app", specs, intensity=100)) as tree:
        recorder = Recorder(tree)
        a.fail_next_start(*[Scripted("no")] * 9)
        a.crash()
        await trio.sleep(100)
        assert states(tree) == {"a": "failed", "b": "running"}
        assert (a.starts, b.starts) == (4, 1)
        failed = [event for event in recorder.events if isinstance(event, events.ChildFailed)]
        assert [event.time for event in failed] == [7]
        assert tree.snapshot().child("a").last_reason == failed[0].reason


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
async def test_an_exhausted_isolated_member_leaves_its_group_up(strategy: str) -> None:
    a, b = scripted("a b")
    policy = Restart(intensity=0, when_exhausted="isolate")
    spec = supervisor("app", [a.spec(restart=policy), b.spec()], strategy=strategy)  # type: ignore[arg-type]
    async with open_tree(spec) as tree:
        a.crash()
        await trio.sleep(100)
        assert states(tree) == {"a": "failed", "b": "running"}
        assert b.starts == 1


async def test_restart_child_after_failing_gives_a_fresh_budget() -> None:
    child = ScriptedChild("a")
    policy = Restart(when_exhausted="isolate")
    async with open_tree(supervisor("app", [child.spec(restart=policy)])) as tree:
        child.fail_next_start(*[Scripted("no")] * 3)
        child.crash()
        await trio.sleep(10)
        assert states(tree) == {"a": "failed"}
        await tree.restart_child("a")
        child.crash()
        await settle()
        snapshot = tree.snapshot().child("a")
        assert snapshot.state is State.BACKING_OFF
        assert snapshot.next_attempt_at == trio.current_time() + 1


async def test_stopping_while_backing_off_cancels_the_restart() -> None:
    child = ScriptedChild("a")
    async with open_tree(supervisor("app", [child.spec()])) as tree:
        recorder = Recorder(tree)
        child.crash()
        await trio.sleep(0.5)
        await tree.terminate_child("a")
        assert trio.current_time() == 0.5
        assert states(tree) == {"a": "stopped"}
        assert tree.snapshot().child("a").next_attempt_at is None
        await trio.sleep(1000)
        assert (child.starts, child.alive) == (1, 0)
        assert recorder.words() == ["a ended", "a backing_off", "a stopped"]


async def test_a_restart_by_call_while_an_old_backoff_runs_out_starts_once() -> None:
    child = ScriptedChild("a")
    async with open_tree(supervisor("app", [child.spec()])) as tree:
        child.crash()
        await trio.sleep(0.5)
        await tree.terminate_child("a")
        await tree.restart_child("a")
        child.crash()  # to be restarted at 1.5; the first backoff would have ended at 1
        await trio.sleep(0.7)
        assert (states(tree), child.starts) == ({"a": "backing_off"}, 2)
        await trio.sleep(0.5)
        assert (states(tree), child.starts) == ({"a": "running"}, 3)


async def test_a_shutdown_cuts_through_a_backoff() -> None:
    child = ScriptedChild("a")
    async with open_tree(supervisor("app", [child.spec()])):
        child.crash()
        await settle()
    assert (trio.current_time(), child.starts) == (0, 1)


async def test_while_a_group_backs_off_it_is_down_and_comes_back_together() -> None:
    a, b, c = scripted("a b c")
    specs = [child.spec() for child in (a, b, c)]
    async with open_tree(supervisor("app", specs, strategy="rest_for_one")) as tree:
        b.crash()
        await trio.sleep(0.5)
        assert states(tree) == {"a": "running", "b": "backing_off", "c": "stopped"}
        await trio.sleep(1)
        assert set(states(tree).values()) == {"running"}
        assert (a.starts, b.starts, c.starts) == (1, 2, 2)


async def test_the_budget_of_a_child_and_the_intensity_of_its_supervisor_both_hold() -> None:
    child = ScriptedChild("a")
    policy = Restart(when_exhausted="isolate")
    with pytest.raises(GaveUp, match="more than 1 restarts in 5 s"):  # noqa: PT012
        async with open_tree(supervisor("app", [child.spec(restart=policy)], intensity=1)):
            child.crash()
            await trio.sleep(1.5)
            child.crash()
            await trio.sleep_forever()


# --- recovered ---------------------------------------------------------------------------------


async def test_a_restarted_child_has_recovered_after_its_minimum_uptime() -> None:
    child = ScriptedChild("a")
    policy = attrs.evolve(OTP, min_uptime=10)
    async with open_tree(supervisor("app", [child.spec(restart=policy)])) as tree:
        recorder = Recorder(tree)
        await trio.sleep(100)
        assert recorder.times(events.ChildRecovered, "a") == []  # it was never restarted
        for _ in range(3):
            child.crash()
            await trio.sleep(7)
        assert recorder.times(events.ChildRecovered, "a") == []
        await trio.sleep(100)
        (recovered,) = [e for e in recorder.events if isinstance(e, events.ChildRecovered)]
        assert (recovered.time, recovered.uptime, recovered.incarnation) == (124, 10, 4)
        # What a call starts has nothing to recover from.
        await tree.terminate_child("a")
        await tree.restart_child("a")
        await trio.sleep(100)
        assert recorder.times(events.ChildRecovered, "a") == [124]


async def test_a_child_that_was_stopped_in_time_has_not_recovered() -> None:
    child = ScriptedChild("a")
    policy = attrs.evolve(OTP, min_uptime=10)
    async with open_tree(supervisor("app", [child.spec(restart=policy)])) as tree:
        recorder = Recorder(tree)
        child.crash()
        await trio.sleep(5)
        await tree.terminate_child("a")
        await trio.sleep(100)
        assert recorder.times(events.ChildRecovered, "a") == []


@given(st.floats(0, 1000), st.floats(0, 100))
@example(0.9, 1.0)
def test_recovery_is_told_once_whatever_the_numbers(start: float, uptime: float) -> None:
    """A time on the clock plus a minimum uptime is rounded, now up and now down."""

    async def main() -> list[float]:
        child = ScriptedChild("a")
        policy = attrs.evolve(OTP, min_uptime=uptime)
        async with open_tree(supervisor("app", [child.spec(restart=policy)])) as tree:
            recorder = Recorder(tree)
            await trio.sleep(start)
            child.crash()
            await trio.sleep(uptime + 1)
            return recorder.times(events.ChildRecovered, "a")

    assert run_virtual(main) == [start + uptime]


# --- auto_shutdown -----------------------------------------------------------------------------


def significant(child: ScriptedChild, word: RestartWord = "transient") -> ChildSpec:
    return child.spec(restart=otp(word), significant=True)


async def test_never_is_the_default() -> None:
    a, b = scripted("a b")
    async with open_tree(supervisor("app", [a.spec(restart=otp("transient")), b.spec()])) as tree:
        a.finish()
        await trio.sleep(100)
        assert states(tree) == {"a": "finished", "b": "running"}


@pytest.mark.parametrize("policy", ["any_significant", "all_significant"])
async def test_auto_shutdown_stops_the_rest_in_reverse_and_is_no_error(
    policy: AutoShutdownWord,
) -> None:
    a, b, c = scripted("a b c", politeness="heeds", stop_delay=2)
    specs = [a.spec(), significant(b), c.spec()]
    async with open_tree(supervisor("app", specs, auto_shutdown=policy)) as tree:
        recorder = Recorder(tree)
        b.finish()
        await trio.sleep_forever()
    assert trio.current_time() == 4
    assert recorder.words() == [
        "b ended",
        "root supervisor.auto_shutdown",
        "c stopping",
        "c stopped",
        "a stopping",
        "a stopped",
        "root supervisor.ended",
    ]


async def test_all_significant_waits_for_the_last() -> None:
    a, b, c, d, e = scripted("a b c d e")
    d.fail_next_start(*[Scripted("no")] * 2)
    slow = Restart("transient", when_exhausted="isolate")
    specs = [
        significant(a),
        significant(b),
        c.spec(),
        d.spec(restart=slow, significant=True),
        significant(e, "temporary"),
    ]
    async with open_tree(supervisor("app", specs, auto_shutdown="all_significant")) as tree:
        a.finish()
        await settle()
        await tree.terminate_child("b")
        e.finish()
        await settle()
        assert states(tree)["d"] == "backing_off"  # which counts as present
        await tree.wait_until(lambda tree: tree.child("d").state is State.RUNNING)
        assert c.alive == 1
        d.finish()
        await trio.sleep_forever()
    assert c.alive == 0


async def test_a_significant_temporary_child_counts_however_it_ends() -> None:
    a, b = scripted("a b")
    specs = [significant(a, "temporary"), b.spec()]
    async with open_tree(supervisor("app", specs, auto_shutdown="any_significant")):
        a.crash()
        await trio.sleep_forever()
    assert b.alive == 0


async def test_what_does_not_shut_down() -> None:
    """A crash that is restarted, a call, a bystander's stop, an insignificant end."""
    a, b, c = scripted("a b c")
    specs = [significant(a), significant(b, "temporary"), c.spec(restart=otp("transient"))]
    spec = supervisor("app", specs, strategy="one_for_all", auto_shutdown="any_significant")
    async with open_tree(spec) as tree:
        c.finish()
        await settle()
        assert states(tree) == {"a": "running", "b": "running", "c": "finished"}
        a.crash()
        await settle()
        assert states(tree) == {"a": "running", "c": "running"}
        await tree.terminate_child("a")
        await trio.sleep(100)
        assert states(tree) == {"a": "stopped", "c": "running"}


async def test_a_crash_over_the_limit_is_no_auto_shutdown() -> None:
    a, b = scripted("a b")
    specs = [significant(a), b.spec()]
    spec = supervisor("app", specs, auto_shutdown="any_significant", intensity=0)
    with pytest.raises(GaveUp):  # noqa: PT012 - the block is what is tested
        async with open_tree(spec):
            a.crash()
            await trio.sleep_forever()


async def test_auto_shutdown_chains_through_significant_supervisors() -> None:
    a, b = scripted("a b")
    inner = supervisor(
        "inner",
        [significant(a)],
        auto_shutdown="any_significant",
        restart=otp("transient"),
        significant=True,
    )
    async with open_tree(supervisor("app", [inner, b.spec()], auto_shutdown="any_significant")):
        a.finish()
        await trio.sleep_forever()
    assert b.alive == 0


async def test_a_permanent_supervisor_that_shut_itself_down_is_restarted() -> None:
    a, b = scripted("a b")
    inner = supervisor("s", [significant(a)], auto_shutdown="any_significant", restart=OTP)
    async with open_tree(supervisor("app", [inner, b.spec()])) as tree:
        a.finish()
        await settle()
        assert states(tree) == {"s": "running", "s/a": "running", "b": "running"}
        assert (a.starts, b.starts) == (2, 1)


async def test_a_sibling_whose_turn_has_not_come_is_present() -> None:
    """all_significant: the first ends while the second still starts and the third waits."""
    a, b, c = scripted("a b c")
    b.start_delay = 10
    specs = [significant(a), b.spec(), significant(c)]
    tree = TreeHandle(supervisor("app", specs, auto_shutdown="all_significant"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tree.run)
        await settle()
        a.finish()
        await trio.sleep(100)
        assert states(tree) == {"a": "finished", "b": "running", "c": "running"}
        c.finish()
    assert b.alive == 0


async def test_an_auto_shutdown_while_booting_is_a_failed_start_of_the_supervisor() -> None:
    a, b = scripted("a b")
    b.start_delay = 10

    async def finish() -> None:
        await settle()
        a.finish()

    inner = supervisor("s", [significant(a), b.spec()], auto_shutdown="any_significant")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(finish)
        with pytest.raises(StartFailed, match="auto_shutdown: s/a ended"):
            await run_tree(supervisor("app", [inner]))
    assert (b.starts, b.alive) == (1, 0)
