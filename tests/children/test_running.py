"""A process with byte streams of its own, as protocols over stdio need it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import trio
import trio.testing

from a2a_sup.children.command import Command
from a2a_sup.children.hygiene import current_host
from a2a_sup.children.logs import ChildLog
from a2a_sup.children.running import RunningProcess, running
from a2a_sup.children.spawning import CannotRun


def streams_of(child: RunningProcess) -> tuple[trio.abc.SendStream, trio.abc.ReceiveStream]:
    assert child.stdin is not None
    assert child.stdout is not None
    return child.stdin, child.stdout


async def test_its_input_and_output_are_streams_and_its_errors_are_logged() -> None:
    log = ChildLog()
    command = Command(["sh", "-c", "echo note >&2; cat"])
    async with running(command, log, stdio="streams") as child:
        stdin, stdout = streams_of(child)
        await stdin.send_all(b"ping")
        assert await stdout.receive_some() == b"ping"
        await stdin.aclose()
        assert await child.wait() == 0
        assert await stdout.receive_some() == b""
    assert log.tail(9) == [b"note"]


async def test_what_is_logged_has_no_streams() -> None:
    log = ChildLog()
    async with running(Command(["sh", "-c", "echo out; echo err >&2; cat"]), log) as child:
        assert child.stdin is child.stdout is None
        assert await child.wait() == 0
    assert log.tail(9) == [b"out", b"err"]


async def test_a_block_that_ends_early_kills_it() -> None:
    async with running(Command(["sleep", "60"]), ChildLog()) as child:
        pass
    assert child.status == -9
    assert child.survivors == frozenset()


async def test_an_error_in_the_block_comes_out_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError):
        async with running(Command(["sleep", "60"]), ChildLog()) as child:
            raise ZeroDivisionError
    assert child.status == -9


async def test_signals_after_its_end_reach_nobody() -> None:
    async with running(Command(["true"]), ChildLog()) as child:
        await child.wait()
        child.kill()
        assert await child.stop() == 0


async def test_many_ends_and_failures_leave_no_file_open_and_one_thread() -> None:
    async with running(Command(["true"]), ChildLog()):
        pass
    files, threads = open_files(), threading.active_count()
    for _ in range(10):
        async with running(Command(["true"]), ChildLog(), stdio="streams") as child:
            await child.wait()
        with pytest.raises(CannotRun):
            async with running(Command(["/no/such"]), ChildLog(), stdio="streams"):
                pass
    assert open_files() == files
    assert threading.active_count() == threads


def open_files() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


def test_the_spawning_thread_ends_with_the_run() -> None:
    async def main() -> None:
        async with running(Command(["true"]), ChildLog()) as child:
            await child.wait()

    before = set(threading.enumerate())
    trio.run(main)
    for thread in set(threading.enumerate()) - before:
        if thread.name == "a2a-sup spawner":
            thread.join(5)
            assert not thread.is_alive()


async def test_spawning_is_not_held_up_by_the_programs_own_threads() -> None:
    release = threading.Event()
    async with trio.open_nursery() as nursery:
        limiter = trio.to_thread.current_default_thread_limiter()
        for _ in range(int(limiter.total_tokens)):
            nursery.start_soon(hold_a_thread, release)
        await trio.testing.wait_all_tasks_blocked()
        with trio.fail_after(5):
            async with running(Command(["true"]), ChildLog()) as child:
                await child.wait()
        release.set()


async def hold_a_thread(release: threading.Event) -> None:
    await trio.to_thread.run_sync(release.wait)


async def test_all_processes_of_a_run_share_one_host() -> None:
    assert current_host() is current_host()
