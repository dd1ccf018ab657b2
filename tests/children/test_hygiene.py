"""What a child started does not outlive it, and whatever else there is is left alone."""

from __future__ import annotations

import errno
import json
import os
import random
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import trio

from a2a_sup.children import linux
from a2a_sup.children.hygiene import ProcessHost, current_host, own_processes
from a2a_sup.children.marks import (
    RLIMIT_LOCKS,
    instance_of,
    mark_of,
    marks_on,
    new_instance,
)
from a2a_sup.children.process import ProcessExited, process
from a2a_sup.model.spec import ChildFunction, SupervisorSpec
from tests.children.meanwhile import in_the_making

ROOT = Path(__file__).parents[2]
PAYLOAD = Path(__file__).with_name("payload.py")
HIDDEN = Path(__file__).with_name("hidden.py")
OWNING = Path(__file__).with_name("owning.py")
KINDS = (
    "background",
    "new_session",
    "own_group",
    "suspended",
    "double_fork",
    "clean",
    "clean_as_nobody",
    "npm",
)


@pytest.fixture
def tag() -> Iterator[str]:
    """A word for command lines; what has it at the end is killed."""
    tag = f"{random.randrange(10**7, 10**8)}.3"
    yield tag
    for pid in pids_with(tag):
        with suppress(ProcessLookupError):
            os.kill(pid, 9)


def pids_with(word: str) -> set[int]:
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (entry / "cmdline").read_bytes()
            # Not while it still runs the script and is about to become something else.
            if word.encode() in words and PAYLOAD.name.encode() not in words:
                found.add(int(entry.name))
    return found


def function(argv: list[str], **options: Any) -> ChildFunction:
    """Return what runs the child that ``process`` describes."""
    run = process("child", argv, **options).run
    assert not isinstance(run, SupervisorSpec)
    return run


def dead_process(**options: Any) -> subprocess.Popen[bytes]:
    """Return a process that nobody has reaped yet."""
    dead = subprocess.Popen(["true"], **options)
    os.waitid(os.P_PID, dead.pid, os.WEXITED | os.WNOWAIT)
    return dead


async def eventually_have(tag: str, count: int) -> None:
    with trio.fail_after(10):
        while len(pids_with(tag)) < count:
            await trio.sleep(0.01)


# --- in somebody's program ------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["stop", "crash"])
async def test_nothing_is_left_of_a_child_in_somebodys_program(
    make_context: Any, tag: str, ending: str
) -> None:
    contexts = {kind: make_context(kind) for kind in KINDS}
    tags = {kind: f"{tag}{number}" for number, kind in enumerate(KINDS)}

    async def child(kind: str) -> None:
        argv = [sys.executable, "-SE", str(PAYLOAD), kind, tags[kind]]
        with suppress(ProcessExited):
            await function(argv)(contexts[kind])
        # Right after the end, before anything else could happen.
        assert not pids_with(tags[kind])

    async with trio.open_nursery() as nursery:
        for kind in KINDS:
            nursery.start_soon(child, kind)
        for kind in KINDS:
            await eventually_have(tags[kind], 4 if kind == "npm" else 2)
        for context in contexts.values():
            if ending == "stop":
                context.stop.set()
            else:
                os.kill(context.value, 9)
    assert type(current_host()) is ProcessHost


async def test_a_program_is_changed_in_no_way_and_its_own_processes_are_left_alone(
    context: Any, tag: str
) -> None:
    limit = resource.getrlimit(RLIMIT_LOCKS)
    async with trio.open_nursery() as nursery:
        own = await nursery.start(partial(trio.run_process, ["sleep", tag], start_new_session=True))
        await trio.run_process(["sh", "-c", f"setsid sleep {tag} &"])
        await eventually_have(tag, 2)
        before = pids_with(tag)
        await function(["sh", "-c", f"setsid sleep {tag} &"])(context)
        assert pids_with(tag) == before
        assert own.poll() is None
        nursery.cancel_scope.cancel()
    assert resource.getrlimit(RLIMIT_LOCKS) == limit
    assert "A2A_SUP_MARK" not in os.environ


@pytest.mark.parametrize("forked_by", ["another thread", "the event loop"])
async def test_what_a_program_starts_while_a_child_is_made_outlives_the_child(
    context: Any, tag: str, forked_by: str
) -> None:
    token = trio.lowlevel.current_trio_token()
    own = []

    def start() -> None:
        own.append(subprocess.Popen(["sleep", tag], start_new_session=True))
        own.append(subprocess.Popen(["sh", "-c", f"setsid sleep {tag} & exec sleep {tag}"]))

    def fork() -> None:
        if forked_by == "the event loop":
            trio.from_thread.run_sync(start, trio_token=token)
        else:
            thread.submit(start).result()

    with ThreadPoolExecutor(1) as thread, in_the_making(fork):
        await function(["true"])(context)
    try:
        await eventually_have(tag, 3)
        assert not [pid for pid in pids_with(tag) if marks_on(pid)]
    finally:
        for started in own:
            started.kill()
            started.wait()


async def test_what_lies_dead_about_a_program_is_looked_at_once(
    make_context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = function(["true"])
    await run(make_context("1"))
    dead = [dead_process(start_new_session=number % 2 == 0) for number in range(10)]
    await run(make_context("2"))
    look = mock.Mock(side_effect=linux.session_of)
    monkeypatch.setattr(linux, "session_of", look)
    await run(make_context("3"))
    assert {own.pid for own in dead}.isdisjoint(call.args[0] for call in look.call_args_list)
    assert [own.wait() for own in dead] == [0] * 10


async def test_what_lost_its_marks_is_known_by_its_session_also_if_seen_while_its_child_is_made(
    make_context: Any, tag: str
) -> None:
    other, child = make_context("other"), make_context("child")
    is_made, other_ended = threading.Event(), threading.Event()

    async def run_other() -> None:
        await function(["sleep", "60"])(other)
        other_ended.set()

    def wait() -> None:
        is_made.set()
        assert other_ended.wait(10)

    unmarked = f"prlimit --locks=unlimited env -i sleep {tag}"
    # An orphan in the session, but not in the group.
    argv = ["bash", "-c", f"set -m; sh -c '{unmarked} &' & wait; exec sleep {tag}"]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_other)
        await other.start.wait()
        with in_the_making(after=wait):
            nursery.start_soon(function(argv), child)
            assert await trio.to_thread.run_sync(is_made.wait, 10)
            with trio.fail_after(10):
                while len(pids := pids_with(tag)) != 2 or all(map(marks_on, pids)):
                    await trio.sleep(0.01)
            other.stop.set()
            await child.start.wait()
        child.stop.set()
    assert not pids_with(tag)


async def test_a_process_that_nobody_could_take_over_is_gone(
    make_context: Any, tag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    def too_many_files(command: object, process: subprocess.Popen[bytes], ends: object) -> None:
        made.append(process.pid)
        raise OSError(errno.EMFILE, "too many files")

    monkeypatch.setattr("a2a_sup.children.running.RunningProcess", too_many_files)
    with pytest.raises(OSError, match="too many files"):
        await function(["sleep", tag])(make_context())
    assert made
    assert not pids_with(tag)


async def test_a_process_that_nobody_could_take_over_is_gone_also_while_no_file_can_be_opened(
    make_context: Any, tag: str
) -> None:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    open_again = partial(resource.setrlimit, resource.RLIMIT_NOFILE, limit)
    is_made = trio.Event()
    token = trio.lowlevel.current_trio_token()

    def open_no_more() -> None:
        while len(pids_with(tag)) < 2:
            time.sleep(0.01)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, limit[1]))
        token.run_sync_soon(is_made.set)

    async def open_again_soon() -> None:
        await is_made.wait()
        await trio.sleep(0.1)
        open_again()

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(open_again_soon)
            argv = ["sh", "-c", f"setsid sleep {tag} & exec sleep {tag}"]
            with in_the_making(after=open_no_more), pytest.raises(OSError, match="open files"):
                await function(argv)(make_context())
            open_again()
            assert not pids_with(tag)
    finally:
        open_again()


async def test_a_look_that_failed_keeps_no_other_end_waiting(
    make_context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    contexts = [make_context(f"{number}") for number in range(3)]

    def fails(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    async def child(context: Any) -> None:
        with pytest.raises(ExceptionGroup) as raised:
            await function(["sleep", "60"])(context)
        assert raised.group_contains(ZeroDivisionError)

    async with trio.open_nursery() as nursery:
        for context in contexts:
            nursery.start_soon(child, context)
        for context in contexts:
            await context.start.wait()
        monkeypatch.setattr(linux, "child_lists_of", fails)
        for context in contexts:
            context.stop.set()
        nursery.cancel_scope.deadline = trio.current_time() + 5
    assert not nursery.cancel_scope.cancelled_caught
    monkeypatch.undo()
    await function(["true"])(make_context("last"))


async def test_siblings_are_told_apart(make_context: Any, tag: str) -> None:
    one, other = make_context("1"), make_context("2")
    async with trio.open_nursery() as nursery:
        for context in (one, other):
            argv = [sys.executable, "-SE", str(PAYLOAD), "clean", f"{tag}{context.path}"]
            nursery.start_soon(function(argv), context)
        await eventually_have(f"{tag}1", 2)
        await eventually_have(f"{tag}2", 2)
        one.stop.set()
        with trio.fail_after(5):
            while pids_with(f"{tag}1"):
                await trio.sleep(0.01)
        assert len(pids_with(f"{tag}2")) == 2
        other.stop.set()
    assert not pids_with(tag)


def test_nothing_is_left_where_other_users_processes_are_hidden(tag: str) -> None:
    hide = 'mount -t proc -o hidepid=2 proc /proc && exec "$@"'
    # Root with less: /proc treats it as it treats an ordinary user.
    less = "-sys_admin,-sys_ptrace"
    hidden = ("unshare", "--mount", "--propagation=private", "sh", "-c", hide, "-")
    ordinary = ("setpriv", "--regid=65534", "--clear-groups", f"--bounding-set={less}")
    done = subprocess.run(
        [*hidden, *ordinary, f"--inh-caps={less}", sys.executable, HIDDEN, tag],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        timeout=20,
        check=True,
    )
    assert done.stdout == "1 is visible: False left: 0\n"
    assert not pids_with(tag)


async def test_owning_comes_before_the_first_child(context: Any) -> None:
    await function(["true"])(context)
    with pytest.raises(RuntimeError, match="before the first child"):
        own_processes(new_instance())


# --- marks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["env -i {python}", "setsid {python}", "{python}"])
async def test_a_mark_is_seen_on_every_descendant(context: Any, tag: str, command: str) -> None:
    sleeper = f"{sys.executable} -c 'import time; time.sleep(60)' {tag}"
    argv = ["sh", "-c", command.format(python=sleeper) + "; exit $?"]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(function(argv), context)
        await eventually_have(tag, 2)
        for pid in pids_with(tag):
            [mark] = marks_on(pid)
            assert instance_of(mark) > 0
        context.stop.set()


def test_marks_of_an_unmarked_process_are_none() -> None:
    with subprocess.Popen(["sleep", "60"]) as own:
        assert marks_on(own.pid) == frozenset()
        own.kill()
    assert marks_on(own.pid) == frozenset()


def test_a_mark_names_instance_and_incarnation() -> None:
    instance = new_instance()
    assert instance_of(mark_of(instance, 12345)) == instance
    assert mark_of(instance, 1) != mark_of(instance, 2)
    assert mark_of(2**31 - 1, 2**32 - 1) < 2**63


# --- owning all processes below -------------------------------------------------------------------


def owning(program: str, *prefix: str) -> dict[str, Any]:
    done = subprocess.run(
        [*prefix, sys.executable, OWNING, program],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        check=True,
        timeout=50,
    )
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def test_every_status_is_right_while_orphans_are_reaped() -> None:
    assert owning("statuses") == {"children": 0, "own": 0, "left": 0}


def test_what_the_program_starts_while_a_child_is_made_keeps_its_status() -> None:
    assert owning("meanwhile") == {"own": 7}


def test_what_forks_faster_than_one_can_look_is_caught() -> None:
    found = owning("hoppers")
    # It takes 0.05 to 0.3 s on a quiet machine, in competition with 200 busy processes.
    assert found["left"] == 0


def test_pipes_over_an_ordinary_users_budget_lose_no_line() -> None:
    # Root without these has an ordinary user's budget.
    privileges = "-sys_admin,-sys_resource"
    found = owning("pipes", "setpriv", f"--bounding-set={privileges}", f"--inh-caps={privileges}")
    assert found["complete"] == 1100
    assert found["left"] == 0
    assert found["stopped_in"] < 2
