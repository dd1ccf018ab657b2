"""A child that runs at times, on a clock that jumps; what it runs is a task."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import attrs
import pytest
import trio

from a2a_sup import (
    ChildSnapshot,
    ChildSpec,
    SpecError,
    State,
    TreeHandle,
    mcp_server,
    open_tree,
    process,
    scheduled,
    supervisor,
    task,
)
from a2a_sup.checks import readiness, tcp
from a2a_sup.testing import run_virtual

NOON = datetime.fromisoformat("2026-06-01T12:00:00+02:00").timestamp()


@attrs.define
class Work:
    """Runs of a job, and the clock on the wall."""

    begun: list[float] = attrs.field(factory=list)
    seconds: float = 0.0
    errors: list[Exception] = attrs.field(factory=list)
    set_by: float = 0.0
    stopped: bool = False

    def wall(self) -> float:
        return NOON + self.set_by + trio.current_time()

    async def run(self, task_status: Any) -> None:
        stop = task_status.stop_request()
        task_status.started()
        self.begun.append(trio.current_time())
        with trio.move_on_after(self.seconds):
            await stop.wait()
            self.stopped = True
        if self.errors:
            raise self.errors.pop()

    def spec(self, **times: Any) -> ChildSpec:
        return scheduled(task("job", self.run), wall=self.wall, **times)


def shown(tree: TreeHandle) -> ChildSnapshot:
    child = tree.child("job")
    assert child is not None
    return child


def in_tree(work: Work, body: Callable[[TreeHandle], Awaitable[None]], **times: Any) -> None:
    async def main() -> None:
        async with open_tree(supervisor("app", [work.spec(**times)])) as tree:
            await body(tree)

    run_virtual(main)


def test_it_runs_at_its_times_and_says_when() -> None:
    work = Work(seconds=10)

    async def body(tree: TreeHandle) -> None:
        assert shown(tree).state is State.RUNNING
        assert shown(tree).details["next_run"] == "2026-06-01T12:05:00+02:00"
        await trio.sleep(1000)
        assert work.begun == [300, 600, 900]
        assert shown(tree).incarnation == 1
        details = shown(tree).details
        assert details["next_run"] == "2026-06-01T12:20:00+02:00"
        assert details["last_run"] == {
            "started": "2026-06-01T12:15:00+02:00",
            "duration": 10,
            "status": "success",
        }
        assert details["runs"] == 3
        assert "missed" not in details
        assert "failed" not in details

    in_tree(work, body, cron="*/5 * * * *", timezone="Europe/Berlin")


def test_a_run_that_takes_longer_misses_times_and_is_never_doubled() -> None:
    work = Work(seconds=250)

    async def body(tree: TreeHandle) -> None:
        await trio.sleep(355)
        assert shown(tree).details["missed"] == 2
        await trio.sleep(50)
        assert work.begun == [100, 400]
        assert shown(tree).details["missed"] == 2

    in_tree(work, body, every=100)


def test_a_run_that_fails_is_counted_and_the_schedule_goes_on() -> None:
    work = Work(errors=[ValueError("no luck")])

    async def body(tree: TreeHandle) -> None:
        await trio.sleep(101)
        details = shown(tree).details
        assert details["failed"] == 1
        assert "no luck" in details["last_run"]["status"]
        await trio.sleep(100)
        assert work.begun == [100, 200]
        assert shown(tree).details["last_run"]["status"] == "success"
        assert (shown(tree).state, shown(tree).restarts) == (State.RUNNING, 0)

    in_tree(work, body, every=100)


def test_a_machine_that_slept_runs_once_and_says_what_was_missed() -> None:
    work = Work()

    async def body(tree: TreeHandle) -> None:
        await trio.sleep(10)
        work.set_by = 3 * 3600
        await trio.sleep(61)
        assert len(work.begun) == 1
        assert shown(tree).details["missed"] == 2
        assert shown(tree).details["next_run"] == "2026-06-01T16:00:00+02:00"

    in_tree(work, body, cron="0 * * * *", timezone="Europe/Berlin")


def test_a_clock_that_is_set_is_seen_within_a_minute() -> None:
    work = Work()

    async def body(tree: TreeHandle) -> None:
        await trio.sleep(30)
        work.set_by = 15 * 3600 - 120  # 30 s before three at night
        await trio.sleep(91)
        assert len(work.begun) == 1

    in_tree(work, body, cron="0 3 * * *", timezone="Europe/Berlin")


@pytest.mark.parametrize("after", [50, 110])
def test_a_stop_ends_the_wait_and_asks_a_run_politely(after: float) -> None:
    work = Work(seconds=1000)

    async def body(tree: TreeHandle) -> None:
        await trio.sleep(after)
        await tree.terminate_child("job")
        assert trio.current_time() == after
        assert shown(tree).state is State.STOPPED
        assert work.stopped is (after > 100)

    in_tree(work, body, every=100)


def test_a_run_that_heeds_no_request_is_cancelled() -> None:
    begun = []

    async def stubborn() -> None:
        begun.append(trio.current_time())
        await trio.sleep_forever()

    async def main() -> None:
        async with open_tree(
            supervisor("app", [scheduled(task("job", stubborn), every=5, wall=trio.current_time)])
        ) as tree:
            await trio.sleep(7)
            await tree.terminate_child("job")
            assert (begun, trio.current_time()) == ([5], 7)

    run_virtual(main)


def test_the_zone_is_shown() -> None:
    work = Work()
    assert work.spec(cron="0 3 * * *", timezone="Asia/Tokyo").info["timezone"] == "Asia/Tokyo"
    assert work.spec(cron="0 3 * * *").info["timezone"]
    assert work.spec(every=5).info["every"] == 5


@pytest.mark.parametrize(
    ("times", "said"),
    [
        ({}, "one of every and cron"),
        ({"every": 5, "cron": "* * * * *"}, "one of every and cron"),
        ({"every": 0}, "seconds > 0"),
        ({"every": float("nan")}, "seconds > 0"),
        ({"cron": "61 * * * *"}, "bad minute"),
        ({"cron": "* * * * *", "timezone": "Mars/Olympus"}, "Mars/Olympus"),
        ({"every": 5, "timezone": "UTC"}, "timezone belongs to cron"),
    ],
)
def test_mistakes_are_told(times: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        Work().spec(**times)


def test_what_cannot_be_scheduled_is_told() -> None:
    with pytest.raises(SpecError, match="MCP"):
        scheduled(mcp_server("a", ["a"]), every=5)
    with pytest.raises(SpecError, match="process or a task"):
        scheduled(supervisor("a", []), every=5)
    with pytest.raises(SpecError, match="ready"):
        scheduled(process("a", ["a"], probes=[readiness(tcp("127.0.0.1", 1))]), every=5)


async def test_a_program_that_is_not_there_fails_the_start() -> None:
    gone = process("job", ["/no/such/program"], restart="temporary")
    async with open_tree(supervisor("app", [])) as tree:
        with pytest.raises(Exception, match="no/such/program"):
            await tree.start_child("", scheduled(gone, every=5))


async def test_a_program_runs_again_and_again_in_one_log() -> None:
    job = process("job", ["sh", "-c", "echo run; exit 3"], success=[0])
    with trio.fail_after(20):
        async with open_tree(supervisor("app", [scheduled(job, every=0.05)])) as tree:
            found = await tree.wait_until(
                lambda snapshot: snapshot.root.children[0].details.get("failed", 0) >= 2
            )
            details = found.root.children[0].details
            assert details["last_run"]["status"] == "crashed: exited with status 3"
            assert details["pid"] is None
            assert details["last_output"] == ("run",)
            assert found.root.children[0].incarnation == 1
