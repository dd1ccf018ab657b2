"""What a soak demands of itself in the end, and of what is left: each fault is told, no other."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest

from a2a_sup import ChildSnapshot, Reason, ReasonKind, State
from bench.soak.clock import JumpingClock
from bench.soak.ending import unsettled, wrongly_down
from bench.soak.leftovers import MARK, NAME, environment, is_process_of, look, overfull
from bench.soak.patience import Patience
from bench.soak.population import FAST, populate
from bench.soak.report import Report, Watched, growth, told
from bench.soak.report import judged as verdict
from bench.soak.run import is_grouped

EXPECTED = {"tasks crashed": 100.0, "clock jumps": 2.0}


def good() -> Report:
    report = Report(
        events=1000,
        watched=Watched(accepted=9, snapshots=3, deltas=50, event_frames=50, compared=7),
        is_settled=True,
        memory=[50_000_000] * 40,
        descriptors=[90] * 40,
        processes=[45] * 10,
    )
    report.done["tasks crashed"] = 80
    return report


def judged(report: Report) -> list[str]:
    return verdict(report, EXPECTED)


def test_a_good_report_is_not_blamed() -> None:
    assert judged(good()) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda report: attrs.evolve(report, events=0), "no events"),
        (lambda report: attrs.evolve(report, lost=3), "3 events were lost"),
        (lambda report: attrs.evolve(report, done=report.done.__class__()), "never done: tasks cr"),
        (lambda report: attrs.evolve(report, is_settled=False), "was not come to"),
        (lambda report: attrs.evolve(report, memory=[]), "memory was measured 0 times"),
        (lambda report: attrs.evolve(report, processes=[]), "no process was ever seen"),
        (lambda report: attrs.evolve(report, memory=[5 * n for n in range(100, 140)]), "memory gr"),
        (lambda report: attrs.evolve(report, descriptors=[*range(90, 130)]), "descriptors grew"),
    ],
)
def test_what_is_missing_or_grows_is_told(change: Callable[[Report], Report], words: str) -> None:
    [problem] = judged(change(good()))
    assert words in problem


@pytest.mark.parametrize("field", ["accepted", "snapshots", "deltas", "event_frames", "compared"])
def test_watchers_that_get_nothing_are_told(field: str) -> None:
    report = good()
    setattr(report.watched, field, 0)
    [problem] = judged(report)
    assert problem.startswith("no watcher")


def test_a_refused_handshake_is_told() -> None:
    report = good()
    report.watched.refused = 1
    assert judged(report) == ["1 handshakes were not answered by 101"]


def test_gaps_before_most_frames_are_told_though_each_may_be() -> None:
    report = good()
    report.watched.excused = 26
    assert judged(report) == ["26 event frames came after a gap"]


def test_what_is_hardly_to_be_expected_need_not_be_done() -> None:
    report = good()
    assert verdict(report, {"clock jumps": 4.9}) == []


def test_the_number_of_lost_events_is_told_as_it_is() -> None:
    assert "0 of them lost" in told(good(), 60)[0]
    assert "3 of them lost" in told(attrs.evolve(good(), lost=3), 60)[0]


def test_what_grows_while_it_settles_is_no_growth() -> None:
    samples = [*range(10), *[10] * 30]
    assert growth("memory", samples, relative=0.05) == []


def test_a_few_descriptors_more_are_noise_and_many_are_not() -> None:
    assert growth("descriptors", [90] * 20 + [95] * 20, absolute=12) == []
    assert growth("descriptors", [90] * 20 + [103] * 20, absolute=12)


def test_a_hundred_different_lines_are_kept_and_the_rest_is_counted() -> None:
    report = Report(verdict=["memory grew"])
    report.blame([f"fault {number}" for number in range(200)] + ["fault 7", "fault 199"])
    broken = [line for line in told(report, 60) if line.startswith("BROKEN")]
    assert len(broken) == 102
    assert broken[0] == "BROKEN: memory grew"
    assert broken[1] == "BROKEN: fault 0"
    assert broken[8] == "BROKEN: fault 7 (2 times)"
    assert broken[-1] == "BROKEN: and 101 more"


# --- the end -----------------------------------------------------------------------------------


def child(path: str, state: State, reason: ReasonKind | None = None) -> ChildSnapshot:
    return ChildSnapshot(
        name=path.rpartition("/")[2],
        path=path,
        kind="task",
        state=state,
        incarnation=1,
        restarts=0,
        since=0.0,
        started_at=None,
        next_attempt_at=None,
        ready=None,
        last_reason=None if reason is None else Reason(reason, "so"),
        details={},
        info={},
        tags=(),
        restart="permanent",
        supervisor=None,
        healthy=None,
        waits_for=(),
        probes=(),
    )


def kind_of(path: str) -> str:
    return "short" if path.endswith("short") else ""


@pytest.mark.parametrize("state", [state for state in State if state is not State.RUNNING])
def test_who_does_not_run_in_the_end_is_told(state: State) -> None:
    [problem] = unsettled([child("g/a", state)], ["g/a"], kind_of)
    assert problem.startswith(f"g/a: is {state}")


def test_who_is_not_there_in_the_end_is_told() -> None:
    assert unsettled([child("g/a", State.RUNNING)], ["g/a", "g/b"], kind_of) == [
        "g/b: is not there"
    ]


@pytest.mark.parametrize("state", [State.RUNNING, State.BACKING_OFF, State.FAILED])
def test_a_short_process_may_have_come_to_its_limit(state: State) -> None:
    assert unsettled([child("fleet/short", state)], [], kind_of) == []


@pytest.mark.parametrize("state", [State.STOPPED, State.STOPPING, State.PENDING, State.STUCK])
def test_a_short_process_may_not_be_down_otherwise(state: State) -> None:
    assert unsettled([child("fleet/short", state)], [], kind_of)


def left(*children: ChildSnapshot) -> list[str]:
    return wrongly_down(
        children,
        is_once=lambda path: path.endswith("once"),
        is_grouped=lambda path: path.startswith("grouped"),
        kind_of=kind_of,
    )


@pytest.mark.parametrize(
    "down",
    [
        child("alone/a", State.STOPPED),
        child("alone/a", State.FINISHED),
        child("alone/a", State.FAILED, ReasonKind.CRASHED),
        child("alone/once", State.FAILED, ReasonKind.CRASHED),
        child("fleet/short", State.STOPPED),
    ],
    ids=str,
)
def test_who_is_left_down_though_he_was_started_again_is_told(down: ChildSnapshot) -> None:
    assert len(left(down)) == 1


def test_who_may_be_down_is_not_told() -> None:
    assert not left(
        child("grouped/a", State.STOPPED),
        child("alone/once", State.FINISHED),
        child("alone/a", State.FAILED, ReasonKind.START_FAILED),
        child("fleet/short", State.FAILED, ReasonKind.CRASHED),
        child("alone/a", State.RUNNING),
    )


def test_groups_are_those_of_the_group_strategies() -> None:
    paths = ["group0/t1", "group1/t1", "group2/t1", "group3/t1", "group1", "fleet/p1"]
    assert [is_grouped(path) for path in paths] == [False, True, True, False, False, False]
    assert is_grouped("stubborn_one_for_all/other")
    assert not is_grouped("stubborn_one_for_one/other")


def test_what_is_found_for_too_long_without_a_break_is_told() -> None:
    patience = Patience[str](10)
    assert patience.exhausted(["a", "b"], 0) == []
    assert patience.exhausted(["a"], 10) == []
    assert patience.exhausted(["a", "b"], 11) == ["a"]
    assert patience.exhausted(["b"], 20) == []


# --- leftovers ---------------------------------------------------------------------------------


@pytest.fixture
def marked() -> Iterator[tuple[str, int]]:
    mark = secrets.token_hex(8)
    env = {MARK: mark, NAME: "p1"}
    with subprocess.Popen(["/bin/sleep", "100"], env=env) as process:
        yield mark, process.pid
        process.kill()


def test_a_marked_process_is_found_until_it_is_gone(marked: tuple[str, int]) -> None:
    mark, pid = marked
    assert look(mark) == {"p1": {pid}}
    assert is_process_of(mark, "p1", pid)
    assert not is_process_of(mark, "p2", pid)
    assert not is_process_of("other", "p1", pid)
    os.kill(pid, 9)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # a zombie is not alive
    assert look(mark) == {}
    assert not is_process_of(mark, "p1", pid)


def test_more_processes_than_a_child_consists_of_are_told() -> None:
    found = {"hiding": frozenset({1, 2, 3}), "quiet": frozenset({4, 5}), "": frozenset({6, 7})}
    assert overfull(found, {"hiding": 3, "quiet": 1, "": 1}, unknown=0) == [
        "quiet: 2 processes live, [4, 5]",
        "nobody: 2 processes live, [6, 7]",
    ]


def test_processes_of_nobody_that_is_known_are_told() -> None:
    assert overfull({"gone": frozenset({1})}, {}, unknown=1) == []
    assert overfull({"gone": frozenset({1})}, {}, unknown=0)


# --- what it is made of ------------------------------------------------------------------------


def test_the_configuration_of_the_fleet_is_one_that_can_be_read(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    people = populate(25, 40, tmp_path_factory.mktemp("logs"))
    spec = people.spec(people.read())
    assert len(people.tasks) == 25
    assert {"quiet", "beating", "flood", "deaf", "hiding", "short"} == {*people.fleet.values()}
    assert spec.name == "soak"
    assert all(people.kind_of(path) for path in people.processes)
    assert people.restart_of("group0/t0") is FAST.type is not people.restart_of("group0/t7")


def test_a_jump_moves_the_clock_of_the_tree_and_not_the_real_one() -> None:
    clock = JumpingClock()
    real, told_time = clock.real_time(), clock.current_time()
    clock.jump(60)
    assert clock.current_time() >= told_time + 60
    assert clock.real_time() < real + 30
    assert clock.jumped_at >= real


def carriers(variable: str) -> list[int]:
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]
    return [pid for pid in pids if variable.encode() in environment(pid)]


def test_a_soak_that_is_ended_early_leaves_no_process() -> None:
    words = [sys.executable, "-m", "bench.soak", "--tasks=10", "--processes=10", "--minutes=9"]
    name, mark = "A2A_SUP_TEST_OF_SOAK", secrets.token_hex(8)
    env = {**os.environ, name: mark}
    with subprocess.Popen(words, env=env, stderr=subprocess.PIPE, text=True) as soak:
        deadline = time.monotonic() + 50
        while len(carriers(f"{name}={mark}")) < 10 and time.monotonic() < deadline:
            time.sleep(0.1)
        soak.send_signal(signal.SIGTERM)  # which is made a SIGINT
        _, errors = soak.communicate(timeout=50)
    assert errors == "ended before its time\n"
    assert soak.returncode == 1
    assert carriers(f"{name}={mark}") == []


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("--minutes=0", "found 0; allowed: a number above 0"),
        ("--minutes=-1", "found -1; allowed: a number above 0"),
        ("--minutes=nan", "found nan; allowed: a number above 0"),
        ("--minutes=abc", "found abc; allowed: a number above 0"),
        ("--tasks=9", "found 9; allowed: at least 10"),
        ("--processes=0", "found 0; allowed: at least 10"),
    ],
)
def test_a_soak_of_too_little_is_refused(word: str, message: str) -> None:
    words = [sys.executable, "-m", "bench.soak", word]
    done = subprocess.run(words, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 2
    assert message in done.stderr


def test_importing_the_program_runs_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import bench.soak.__main__"],
        capture_output=True,
        check=True,
        timeout=50,
    )
    assert done.stdout == b""
