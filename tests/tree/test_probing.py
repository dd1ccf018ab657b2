"""Probes: what their answers do to a child, when they are asked, and what is seen of it."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked as settle

from a2a_sup import (
    NO_BACKOFF,
    CheckFailed,
    ChildContext,
    ChildRestarting,
    ChildStuck,
    NoSuchChild,
    Probe,
    Reason,
    ReasonKind,
    Restart,
    SpecError,
    StartFailed,
    State,
    TreeHandle,
    events,
    open_tree,
    supervisor,
    task,
)
from a2a_sup.model.health import RESULTS_KEPT
from a2a_sup.testing import Recorder, ScriptedChild, run_virtual, scripted


class Patient:
    """What a check asks: answers with ``answer``, and counts."""

    def __init__(self, answers: Iterable[bool] = (), *, then: bool = True) -> None:
        self._answers = itertools.chain(answers, itertools.repeat(then))
        self.asked_at: list[float] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self.cancelled = 0
        self.takes = 0.0

    async def check(self, _: ChildContext) -> object:
        self.asked_at.append(trio.current_time())
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await trio.sleep(self.takes)
        except trio.Cancelled:
            self.cancelled += 1
            raise
        finally:
            self.in_flight -= 1
        return next(self._answers)


class Stubborn:
    """A check that takes no notice of a cancellation, as one in a thread does."""

    def __init__(self) -> None:
        self.done = trio.Event()
        self.asked = 0
        self.in_flight = 0

    async def check(self, _: ChildContext) -> bool:
        self.asked += 1
        self.in_flight += 1
        with trio.CancelScope(shield=True):
            await self.done.wait()
        self.in_flight -= 1
        return True


async def fails(_: ChildContext) -> bool:
    return False


def probe(patient: Patient, **options: Any) -> Probe:
    fields: dict[str, Any] = {"name": "p", "interval": 10.0, "jitter": 0.0, **options}
    return Probe(check=patient.check, **fields)


def child_with(*probes: Probe, **options: Any) -> tuple[ScriptedChild, Any]:
    child = ScriptedChild("a")
    return child, supervisor("app", [child.spec(probes=probes, **options)])


# --- liveness -----------------------------------------------------------------------------------


async def test_a_child_whose_liveness_fails_too_often_is_restarted_as_unhealthy() -> None:
    patient = Patient([True, False, False, False])
    child, tree = child_with(probe(patient, failure_threshold=3))
    async with open_tree(tree) as handle:
        recorder = Recorder(handle)
        await trio.sleep(29)
        assert child.starts == 1
        await trio.sleep(3)
        assert child.starts == 2
        assert child.most_alive == 1
        [ended] = [event for event in recorder.events if isinstance(event, events.ChildEnded)]
        assert ended.reason == Reason(
            ReasonKind.UNHEALTHY, "liveness probe 'p' failed 3 times in a row: returned False"
        )
        assert recorder.words("a")[:12] == [
            *["a probed", "a health", "a probed", "a probed", "a probed", "a health"],
            *["a stopping", "a ended", "a backing_off", "a starting", "a started"],
            "a probed",
        ]
        snapshot = handle.child("a")
        assert snapshot is not None
        assert snapshot.restarts == 1
        assert snapshot.healthy is True


async def test_failures_that_are_not_in_a_row_do_not_count_together() -> None:
    patient = Patient(itertools.islice(itertools.cycle([False, False, True]), 30))
    child, tree = child_with(probe(patient, failure_threshold=3))
    async with open_tree(tree):
        await trio.sleep(500)
        assert child.starts == 1


async def test_an_unhealthy_child_is_given_its_grace_like_any_other() -> None:
    patient = Patient([False])
    child = ScriptedChild("a", politeness="heeds", stop_delay=3)
    spec = child.spec(probes=[probe(patient, failure_threshold=1)], shutdown=5)
    async with open_tree(supervisor("app", [spec])) as tree:
        await tree.wait_until(lambda now: now.child("a").state is State.STOPPING)
        at = trio.current_time()
        await tree.wait_until(lambda now: now.child("a").state is State.BACKING_OFF)
        assert trio.current_time() - at == 3
        assert "a asked" in child.log


async def test_an_unhealthy_child_that_ignores_everything_is_stuck_and_then_restarted() -> None:
    child = ScriptedChild("a", hides=True)
    spec = child.spec(probes=[probe(Patient([False]), failure_threshold=1)])
    async with open_tree(supervisor("app", [spec])) as tree:
        await tree.wait_until(lambda now: now.child("a").state is State.STUCK)
        child.release()
        await tree.wait_until(lambda now: now.child("a").restarts == 1)
        assert child.most_alive == 1


async def test_a_stop_takes_over_from_the_stop_of_an_unhealthy_child() -> None:
    child = ScriptedChild("a", politeness="heeds", stop_delay=3)
    spec = child.spec(probes=[probe(Patient([False]), failure_threshold=1)])
    async with open_tree(supervisor("app", [spec])) as tree:
        await tree.wait_until(lambda now: now.child("a").state is State.STOPPING)
        await tree.terminate_child("a")
        await trio.sleep(60)
        assert tree.snapshot().child("a").state is State.STOPPED
        assert child.starts == 1


async def test_a_child_that_stays_unhealthy_exhausts_its_budget() -> None:
    child = ScriptedChild("a")
    spec = child.spec(
        probes=[probe(Patient(then=False), interval=1.0, failure_threshold=1)],
        restart=Restart(intensity=2, period=60, when_exhausted="isolate"),
    )
    async with open_tree(supervisor("app", [spec])) as tree:
        await tree.wait_until(lambda now: now.child("a").state is State.FAILED)
        assert child.starts == 3
        last = tree.snapshot().child("a").last_reason
        assert last is not None
        assert last.kind is ReasonKind.UNHEALTHY


async def test_a_temporary_child_that_is_unhealthy_is_not_restarted() -> None:
    child, tree = child_with(probe(Patient([False]), failure_threshold=1), restart="temporary")
    async with open_tree(tree) as handle:
        await handle.wait_until(lambda now: not list(now.walk()))
        assert child.starts == 1


async def test_under_one_for_all_an_unhealthy_child_restarts_its_group() -> None:
    sick, well = ScriptedChild("sick"), ScriptedChild("well")
    specs = [sick.spec(probes=[probe(Patient([False]), failure_threshold=1)]), well.spec()]
    async with open_tree(supervisor("app", specs, strategy="one_for_all")) as tree:
        await tree.wait_until(
            lambda now: all(
                each.incarnation == 2 and each.ready is not False for each in now.walk()
            )
        )
        assert (sick.most_alive, well.most_alive) == (1, 1)


# --- timing -------------------------------------------------------------------------------------


async def test_a_check_that_hangs_fails_after_its_timeout() -> None:
    patient = Patient()
    patient.takes = 1e6
    _, tree = child_with(probe(patient, timeout=2.0, failure_threshold=2))
    async with open_tree(tree) as handle:
        recorder = Recorder(handle)
        await handle.wait_until(lambda now: now.child("a").state is State.BACKING_OFF)
        assert trio.current_time() == 2 + 10 + 2
        results = [each.result for each in recorder.events if isinstance(each, events.ChildProbed)]
        assert [result.message for result in results] == ["no answer within 2 s"] * 2
        assert patient.cancelled == 2


async def test_a_hung_check_delays_no_other_child() -> None:
    hung, prompt = Patient(), Patient()
    hung.takes = 1e6
    specs = [
        ScriptedChild("a").spec(probes=[probe(hung, timeout=1000.0)]),
        ScriptedChild("b").spec(probes=[probe(prompt)]),
    ]
    async with open_tree(supervisor("app", specs)):
        await trio.sleep(95)
        assert prompt.asked_at == [10 * number for number in range(10)]


async def test_checks_of_one_child_never_overlap() -> None:
    patient = Patient()
    patient.takes = 7
    probes = [probe(patient, name=f"p{number}", interval=1.0, timeout=60.0) for number in range(4)]
    _, tree = child_with(*probes)
    async with open_tree(tree):
        await trio.sleep(100)
        assert len(patient.asked_at) > 10
        assert patient.most_in_flight == 1


async def test_the_first_check_waits_for_its_delay() -> None:
    patient = Patient()
    _, tree = child_with(probe(patient, initial_delay=42.0))
    async with open_tree(tree):
        await trio.sleep(50)
        assert patient.asked_at == [42]


async def test_probes_of_many_children_do_not_fire_together() -> None:
    patient = Patient()
    specs = [
        ScriptedChild(f"c{number}").spec(probes=[probe(patient, interval=30.0, jitter=0.1)])
        for number in range(1000)
    ]
    async with open_tree(supervisor("app", specs)):
        await trio.sleep(3.1)
        assert len(patient.asked_at) == 1000
        slots = [int(at * 10) for at in patient.asked_at]
        assert max(slots.count(slot) for slot in set(slots)) < 100


async def test_a_check_in_flight_is_cancelled_with_its_child() -> None:
    patient = Patient()
    patient.takes = 1e6
    child, tree = child_with(probe(patient, timeout=1e7))
    async with open_tree(tree) as handle:
        await trio.sleep(1)
        assert patient.in_flight == 1
        child.crash()
        await handle.wait_until(lambda now: now.child("a").state is State.BACKING_OFF)
        await trio.testing.wait_all_tasks_blocked()
        assert (patient.in_flight, patient.cancelled) == (0, 1)
        await handle.terminate_child("a")
        assert len(patient.asked_at) == 1


async def test_a_child_that_stops_slowly_is_not_asked_any_more() -> None:
    patient = Patient()
    child = ScriptedChild("a", politeness="heeds", stop_delay=100)
    spec = child.spec(probes=[probe(patient)], shutdown=200)
    async with open_tree(supervisor("app", [spec])) as tree:
        await trio.sleep(15)
        await tree.terminate_child("a")
        assert patient.asked_at == [0, 10]


# --- readiness and startup ----------------------------------------------------------------------


async def test_readiness_informs_and_never_restarts() -> None:
    patient = Patient([True, False, False, False, False, True])
    child, tree = child_with(probe(patient, purpose="readiness", failure_threshold=2))
    async with open_tree(tree) as handle:
        seen = []
        for _ in range(6):
            await trio.sleep(1)
            seen.append(handle.snapshot().child("a").ready)
            await trio.sleep(9)
        assert seen == [True, True, False, False, False, True]
        assert child.starts == 1
        assert handle.snapshot().child("a").healthy is None


async def test_wait_ready_holds_the_start_back_until_the_probe_passes() -> None:
    patient = Patient([False] * 4)
    child = ScriptedChild("a")
    after = ScriptedChild("b")
    spec = child.spec(probes=[probe(patient, purpose="readiness")], wait_ready=True)
    async with open_tree(supervisor("app", [spec, after.spec()])) as tree:
        assert len(patient.asked_at) == 5
        assert tree.snapshot().child("a").ready is True
        began = trio.current_time()
    assert 0 < began < 10  # asked again sooner than its interval: somebody waits


async def test_a_child_that_never_becomes_ready_in_its_time_is_a_failed_start() -> None:
    child, tree = child_with(
        probe(Patient(then=False), purpose="readiness"), wait_ready=True, start_timeout=20.0
    )
    with pytest.raises(StartFailed, match="not started within 20 s"):
        async with open_tree(tree):
            raise AssertionError("it is not up")
    assert child.alive == 0


async def test_its_own_word_and_its_probes_must_both_say_ready() -> None:
    child, tree = child_with(probe(Patient([True]), purpose="readiness"))
    async with open_tree(tree) as handle:
        await trio.sleep(1)
        assert child.context is not None
        child.context.ready(is_ready=False)
        assert handle.snapshot().child("a").ready is False
        child.context.ready()
        assert handle.snapshot().child("a").ready is True


async def test_startup_holds_the_other_probes_off() -> None:
    startup, liveness = Patient([False, False, True]), Patient()
    _, tree = child_with(
        probe(startup, name="s", purpose="startup", failure_threshold=5), probe(liveness)
    )
    async with open_tree(tree) as handle:
        assert handle.snapshot().child("a").ready is False
        await trio.sleep(21)
        assert startup.asked_at == [0, 10, 20]
        assert liveness.asked_at == [20]
        assert handle.snapshot().child("a").ready is True
        await trio.sleep(50)
        assert len(startup.asked_at) == 3


async def test_a_child_that_does_not_start_up_is_restarted() -> None:
    _, tree = child_with(probe(Patient([False, False]), purpose="startup", failure_threshold=2))
    async with open_tree(tree) as handle:
        await handle.wait_until(lambda now: now.child("a").restarts == 1)
        reason = handle.snapshot().child("a").last_reason
        assert reason is not None
        assert str(reason).startswith("unhealthy: startup probe 'p' failed 2 times in a row")


async def test_an_unhealthy_child_that_was_still_starting_is_a_failed_start() -> None:
    _, tree = child_with(
        probe(Patient([False]), purpose="startup", failure_threshold=1), wait_ready=True
    )
    with pytest.raises(StartFailed, match="startup probe 'p' failed once"):
        async with open_tree(tree):
            raise AssertionError("it is not up")


# --- what checks do -----------------------------------------------------------------------------


async def raises_tidily(_: ChildContext) -> None:
    raise CheckFailed("status 500 instead of 200-399")


async def raises(_: ChildContext) -> None:
    raise ValueError("a\nb" * 1000)


async def says(_: ChildContext) -> str:
    return "status\t200\n" + "x" * 1000


@pytest.mark.parametrize(
    ("ask", "expected"),
    [
        (raises_tidily, (False, "status 500 instead of 200-399")),
        (raises, (False, "ValueError: " + ("a b" * 1000)[:188])),
        (says, (True, "status 200 " + "x" * 189)),
    ],
)
async def test_what_a_check_says_is_one_bounded_line(
    ask: Callable[[ChildContext], Awaitable[object]], expected: tuple[bool, str]
) -> None:
    _, tree = child_with(Probe(name="p", check=ask, jitter=0))
    async with open_tree(tree) as handle:
        await trio.sleep(1)
        [shown] = handle.snapshot().child("a").probes
        [result] = shown.results
        assert (result.passed, result.message) == expected
        assert (result.time, result.duration) == (0, 0)


async def test_the_last_results_are_kept_also_over_restarts() -> None:
    child, tree = child_with(probe(Patient(), interval=1.0))
    async with open_tree(tree) as handle:
        await trio.sleep(50)
        child.crash()
        await handle.wait_until(lambda now: now.child("a").state is State.BACKING_OFF)
        [shown] = handle.snapshot().child("a").probes
        assert len(shown.results) == RESULTS_KEPT
        assert shown.passing is None
        assert handle.snapshot().child("a").healthy is None
        assert [result.time for result in shown.results] == sorted(
            result.time for result in shown.results
        )


async def test_an_interrupt_in_a_check_ends_the_tree() -> None:
    async def interrupted(_: ChildContext) -> None:
        raise KeyboardInterrupt

    child, tree = child_with(Probe(name="p", check=interrupted, jitter=0))
    with pytest.raises(BaseExceptionGroup) as caught:
        async with open_tree(tree):
            await trio.sleep(100)
    assert caught.group_contains(KeyboardInterrupt)
    assert child.alive == 0


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("interval", 0, "interval is seconds > 0, not 0"),
        ("timeout", -1, "timeout is seconds > 0, not -1"),
        ("initial_delay", -1, "initial_delay is seconds >= 0, not -1"),
        ("failure_threshold", 0, "failure_threshold is a whole number >= 1, not 0"),
        ("success_threshold", True, "success_threshold is a whole number >= 1, not True"),
        ("jitter", 2, "jitter is a number from 0 to 1, not 2"),
        ("purpose", "livenes", "did you mean 'liveness'"),
    ],
)
def test_a_mistake_in_a_probe_is_named(field: str, value: object, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        probe(Patient(), **{field: value})


def test_two_probes_of_a_child_have_two_names() -> None:
    with pytest.raises(SpecError, match="two probes have the name 'p'"):
        child_with(probe(Patient()), probe(Patient()))


# --- checks that do not obey ----------------------------------------------------------------------


async def test_an_answer_after_the_timeout_is_a_failure() -> None:
    async def late(_: ChildContext) -> bool:
        with contextlib.suppress(trio.Cancelled):
            await trio.sleep(100)
        return True

    child, tree = child_with(
        Probe(name="p", check=late, timeout=5, jitter=0, interval=10, failure_threshold=2)
    )
    async with open_tree(tree) as handle:
        await trio.sleep(6)
        shown = handle.child("a")
        assert shown is not None
        assert shown.probes[0].results[0].message == "no answer within 5 s"
        await trio.sleep(16)
        assert child.starts == 2


async def test_an_answer_about_an_earlier_incarnation_says_nothing_of_the_next() -> None:
    check = Stubborn()
    child, tree = child_with(
        Probe(name="p", check=check.check, purpose="readiness"),
        restart=Restart(backoff=NO_BACKOFF),
    )
    async with open_tree(tree) as handle:
        await settle()
        child.crash()
        await settle()
        before = handle.snapshot()
        assert before.child("a").incarnation == 2
        assert check.asked == 1  # about the one that is gone
        first, check.done = check.done, trio.Event()
        first.set()
        await settle()
        after = handle.snapshot()
        assert (after.revision, after.root) == (before.revision, before.root)
        assert after.child("a").ready is False
        assert check.asked == 2
        check.done.set()
        await handle.wait_until(lambda now: now.child("a").ready is True)


async def test_a_check_that_hangs_for_ever_hangs_once_for_all_incarnations() -> None:
    check = Stubborn()
    child, tree = child_with(
        Probe(name="p", check=check.check),
        restart=Restart(backoff=NO_BACKOFF, intensity=None),
    )
    async with open_tree(tree):
        for _ in range(20):
            await trio.sleep(10)
            child.crash()
        await trio.sleep(10)
        assert (child.starts, check.in_flight) == (21, 1)
        check.done.set()


async def test_a_message_cannot_act_upon_a_terminal() -> None:
    async def colourful(_: ChildContext) -> None:
        raise CheckFailed("\x1b[31mred\x07 \udc80")

    _, tree = child_with(Probe(name="p", check=colourful, jitter=0))
    async with open_tree(tree) as handle:
        await settle()
        shown = handle.child("a")
        assert shown is not None
        assert shown.probes[0].results[0].message == "\ufffd[31mred\ufffd \ufffd"


# --- unhealthy, and something else happens --------------------------------------------------------


@pytest.mark.parametrize("strategy", ["one_for_one", "rest_for_one", "one_for_all"])
async def test_a_boot_does_not_wait_for_a_child_that_failed_to_start_up(strategy: Any) -> None:
    child = ScriptedChild("a")
    startup = Probe(name="p", check=fails, purpose="startup", failure_threshold=1)
    tree = supervisor("app", [child.spec(probes=[startup], wait_ready=True)], strategy=strategy)
    with pytest.raises(StartFailed, match="startup probe 'p' failed once"):
        async with open_tree(tree):
            pass


async def test_a_group_restart_does_not_wait_for_a_child_that_failed_to_start_up() -> None:
    patient = Patient([True, False])
    a, b = scripted("a b")
    startup = probe(patient, purpose="startup", failure_threshold=1)
    specs = [a.spec(), b.spec(probes=[startup], wait_ready=True)]
    async with open_tree(supervisor("app", specs, strategy="rest_for_one")) as handle:
        a.crash()
        await trio.sleep(10)
        assert b.starts == 3
        assert handle.snapshot().child("b").state is State.RUNNING
        reason = handle.snapshot().child("b").last_reason
        assert reason is not None
        assert reason.kind is ReasonKind.START_FAILED


async def test_who_says_started_after_its_end_is_not_probed() -> None:
    patient = Patient()
    contexts: list[ChildContext] = []

    async def broken(*, task_status: ChildContext) -> None:
        contexts.append(task_status)
        raise ValueError("broken")

    async with open_tree(supervisor("app", [])) as handle:
        with pytest.raises(StartFailed):
            await handle.start_child("", task("a", broken, probes=[probe(patient)]))
        contexts[0].started()
        await trio.sleep(100)
        assert not patient.asked_at


async def test_who_says_started_while_it_is_stopped_is_not_probed() -> None:
    patient = Patient()
    child = ScriptedChild("a", politeness="ignores", start_delay=2)
    tree = TreeHandle(supervisor("app", [child.spec(probes=[probe(patient)])]))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tree.run)
        await trio.sleep(1)
        tree.stop()
        await tree.wait_ended()
        assert not patient.asked_at


async def test_a_stop_does_not_prolong_the_grace_of_an_unhealthy_child() -> None:
    child = ScriptedChild("a", politeness="ignores")
    spec = child.spec(probes=[probe(Patient([False]), failure_threshold=1)], shutdown=5)
    async with open_tree(supervisor("app", [spec])) as handle:
        await handle.wait_until(lambda now: now.child("a").state is State.STOPPING)
        begin = trio.current_time()
        await trio.sleep(4)
        await handle.terminate_child("a")
        assert trio.current_time() == begin + 5


@pytest.mark.parametrize(
    ("policy", "answer"), [("permanent", ChildRestarting), ("temporary", NoSuchChild)]
)
async def test_a_call_about_an_unhealthy_child_is_answered_when_it_is_gone(
    policy: Any, answer: type[Exception]
) -> None:
    child = ScriptedChild("a", politeness="heeds", stop_delay=2)
    spec = child.spec(probes=[probe(Patient([False]), failure_threshold=1)], restart=policy)
    async with open_tree(supervisor("app", [spec])) as handle:
        await handle.wait_until(lambda now: now.child("a").state is State.STOPPING)
        begin = trio.current_time()
        with trio.fail_after(100), pytest.raises(answer):
            await handle.restart_child("a")
        assert trio.current_time() == begin + 2


def _stuck_and_unhealthy(name: str) -> tuple[ScriptedChild, Any]:
    child = ScriptedChild(name, hides=True)
    return child, child.spec(probes=[probe(Patient([False]), failure_threshold=1)])


async def test_an_unhealthy_child_that_is_stuck_at_the_end_of_its_tree_is_stopped(
    new_story: Any,
) -> None:
    child, spec = _stuck_and_unhealthy("a")
    tree = TreeHandle(supervisor("app", [spec]))
    recorder = Recorder(tree)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tree.run)
        await trio.sleep(6)
        assert tree.snapshot().child("a").state is State.STUCK
        tree.stop()
        await settle()
        child.release()
        await tree.wait_ended()
    story = new_story()
    story.read(recorder.events)
    story.assert_over()
    assert tree.snapshot().child("a").state is State.STOPPED


async def test_a_call_to_stop_an_unhealthy_child_that_is_stuck_keeps_it_down() -> None:
    child, spec = _stuck_and_unhealthy("a")
    async with open_tree(supervisor("app", [spec])) as handle:
        await trio.sleep(6)
        with pytest.raises(ChildStuck):
            await handle.terminate_child("a")
        child.release()
        await trio.sleep(100)
        assert handle.snapshot().child("a").state is State.STOPPED
        assert child.starts == 1


async def test_an_interrupt_in_an_unhealthy_child_is_no_second_stop(new_story: Any) -> None:
    async def interrupted(*, task_status: ChildContext) -> None:
        request = task_status.stop_request()
        task_status.started()
        await request.wait()
        raise KeyboardInterrupt

    spec = task("a", interrupted, probes=[probe(Patient([False]), failure_threshold=1)])
    tree = TreeHandle(supervisor("app", [spec]))
    recorder = Recorder(tree)
    with pytest.raises(BaseExceptionGroup) as caught:
        await tree.run()
    assert caught.group_contains(KeyboardInterrupt)
    story = new_story()
    story.read(recorder.events)
    story.assert_over()


# --- the rule -----------------------------------------------------------------------------------


@given(
    answers=st.lists(st.booleans(), max_size=40),
    threshold=st.integers(1, 4),
)
def test_a_child_is_restarted_when_and_only_when_so_many_fail_in_a_row(
    answers: list[bool], threshold: int
) -> None:
    """The model: one list of answers, cut wherever a row of failures is long enough."""
    expected, row = 0, 0
    for answer in answers:
        row = 0 if answer else row + 1
        if row == threshold:
            expected, row = expected + 1, 0

    async def main() -> None:
        child = ScriptedChild("a")
        spec = child.spec(
            probes=[probe(Patient(answers), interval=1.0, failure_threshold=threshold)],
            restart=Restart(intensity=None),
        )
        async with open_tree(supervisor("app", [spec])):
            await trio.sleep(60 + 10 * len(answers))
            assert child.starts == 1 + expected

    run_virtual(main)
