"""sd_notify: what processes say of themselves, and who may say it."""

from __future__ import annotations

import os
import socket
import stat
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from a2a_sup import (
    ChildSnapshot,
    ChildSpec,
    Probe,
    ReasonKind,
    Restart,
    SpecError,
    StartFailed,
    TreeHandle,
    events,
    mcp_server,
    open_tree,
    process,
    supervisor,
    task,
)
from a2a_sup.children.hygiene import current_host
from a2a_sup.children.notify import MESSAGE_BYTES, STATUS_LIMIT, Heartbeat, Said, said_by
from a2a_sup.model.restarts import Backoff

SOON = Restart(backoff=Backoff(delays=(0.02,)))
SAY = """
import os, socket, sys, time
channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
def say(*lines):
    channel.sendto("\\n".join(lines).encode(), os.environ["NOTIFY_SOCKET"])
"""


def saying(script: str, **options: Any) -> ChildSpec:
    argv = [sys.executable, "-S", "-c", f"{SAY}\n{script}\ntime.sleep(1000)"]
    return process("child", argv, **{"notify": True, "restart": SOON, **options})


def waiting_for(file: Path) -> str:
    return f"while not os.path.exists({str(file)!r}): time.sleep(0.01)\n"


@asynccontextmanager
async def tree_of(spec: ChildSpec) -> AsyncIterator[TreeHandle]:
    with trio.fail_after(30):
        async with open_tree(supervisor("test", [spec])) as tree:
            yield tree


async def until(tree: TreeHandle, condition: Callable[[ChildSnapshot], bool]) -> ChildSnapshot:
    snapshot = await tree.wait_until(lambda now: condition(now.child("child")))
    return snapshot.child("child")


async def socket_of(tree: TreeHandle) -> str:
    child = await until(tree, lambda child: "pid" in child.details)
    environ = trio.Path(f"/proc/{child.details['pid']}/environ")
    while True:  # the kernel shows it a moment after the program was executed
        for entry in (await environ.read_bytes()).split(b"\0"):
            if entry.startswith(b"NOTIFY_SOCKET="):
                return entry.partition(b"=")[2].decode()


# --- messages -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (b"READY=1", Said(ready=True)),
        (b"READY=0", Said()),
        (b"READY=1\nSTATUS=up\n", Said(ready=True, status="up")),
        (b"STATUS=a=b", Said(status="a=b")),
        (b"STATUS=", Said(status="")),
        (b"STATUS=one\nSTATUS=two", Said(status="two")),
        (
            b"STATUS=\x1b[1m\xff",
            Said(status="\N{REPLACEMENT CHARACTER}[1m\N{REPLACEMENT CHARACTER}"),
        ),
        (b"WATCHDOG=1", Said(fed=True)),
        (b"WATCHDOG=trigger", Said(triggered=True)),
        (b"STOPPING=1", Said(ready=False)),
        (b"MAINPID=1\nRELOADING=1\nX_MINE=1\nnonsense\n\n", Said()),
        (b"", Said()),
    ],
)
def test_what_a_message_says(message: bytes, said: Said) -> None:
    assert said_by(message) == said


@given(st.binary())
def test_any_bytes_are_a_message(message: bytes) -> None:
    said = said_by(message)
    assert said.status is None or (said.status.isprintable() and len(said.status) <= STATUS_LIMIT)


@given(st.lists(st.sampled_from([b"READY=1", b"STOPPING=1", b"STATUS=x", b"WATCHDOG=1", b"?"])))
def test_messages_one_by_one_say_the_same_as_together(lines: list[bytes]) -> None:
    said = Said()
    for line in lines:
        said = said.then(said_by(line))
    assert said == said_by(b"\n".join(lines))


# --- what comes of it -----------------------------------------------------------------------------


async def test_ready_and_status_are_shown() -> None:
    async with tree_of(saying("say('STATUS=loading'); say('READY=1', 'STATUS=serving')")) as tree:
        child = await until(tree, lambda child: child.ready is True)
        assert child.details["status"] == "serving"


async def test_it_is_not_ready_before_it_says_so() -> None:
    async with tree_of(saying("say('STATUS=loading')")) as tree:
        child = await until(tree, lambda child: "status" in child.details)
        assert child.ready is False


async def test_a_child_that_is_stopping_is_not_ready() -> None:
    async with tree_of(saying("say('READY=1'); say('STOPPING=1')")) as tree:
        child = await until(tree, lambda child: "stopping" in child.details)
        assert child.ready is False


async def test_ready_acknowledges_a_start_that_waits_for_it(tmp_path: Path) -> None:
    go = tmp_path / "go"
    script = f"{waiting_for(go)}say('READY=1')"
    async with open_tree(supervisor("test", [])) as tree, trio.open_nursery() as nursery:
        nursery.start_soon(tree.start_child, "", saying(script, wait_ready=True))
        await tree.wait_until(lambda now: any("pid" in c.details for c in now.root.children))
        child = tree.snapshot().child("child")
        assert (child.state, child.ready) == ("starting", False)
        go.touch()
        child = await until(tree, lambda child: child.state == "running")
        assert child.ready


async def test_a_start_that_never_says_ready_fails() -> None:
    spec = saying("", wait_ready=True, start_timeout=0.3, restart="temporary")
    async with open_tree(supervisor("test", [])) as tree:
        with pytest.raises(Exception, match="not started within"):
            await tree.start_child("", spec)


async def test_each_incarnation_has_a_socket_of_its_own() -> None:
    async with tree_of(saying("say('STATUS=' + os.environ['NOTIFY_SOCKET'])")) as tree:
        first = await until(tree, lambda child: "status" in child.details)
        os.kill(first.details["pid"], 9)
        second = await until(
            tree, lambda child: child.incarnation == 2 and "status" in child.details
        )
        assert first.details["status"] != second.details["status"]
        assert not is_there(first.details["status"])
        folder = Path(second.details["status"]).parent
        assert access(folder) == (os.geteuid(), os.getegid(), 0o700)
    assert not is_there(second.details["status"])
    assert not is_there(folder)


def is_there(path: object) -> bool:
    return Path(str(path)).exists()


async def test_a_long_directory_of_temporary_files_is_no_hindrance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
    async with tree_of(saying("say('READY=1')")) as tree:
        await until(tree, lambda child: child.ready is True)


async def test_without_a_word_a_process_gets_no_socket(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"):
        monkeypatch.setenv(name, "1")
    out = tmp_path / "out"
    argv = ["sh", "-c", f"env > {out}.part; mv {out}.part {out}; exec sleep 1000"]
    async with tree_of(process("child", argv)):
        while not out.exists():
            await trio.sleep(0.01)
        assert "NOTIFY_SOCKET" not in out.read_text()
        assert "WATCHDOG" not in out.read_text()


# --- who may say it -------------------------------------------------------------------------------


@pytest.mark.parametrize("session", ["same", "other"])
async def test_descendants_may_speak_for_their_child(session: str) -> None:
    script = f"""
import subprocess
program = "import os, socket; socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(" \\
    "b'STATUS=from below', os.environ['NOTIFY_SOCKET']); input()"
subprocess.Popen([sys.executable, "-S", "-c", program],
    start_new_session={session == "other"}, stdin=subprocess.PIPE)
"""
    async with tree_of(saying(script)) as tree:
        child = await until(tree, lambda child: "status" in child.details)
        assert child.details["status"] == "from below"


async def test_strangers_are_not_heard(tmp_path: Path) -> None:
    go = tmp_path / "go"
    async with tree_of(saying(f"{waiting_for(go)}say('STATUS=mine')")) as tree:
        path = await socket_of(tree)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger:
            stranger.sendto(b"READY=1\nSTATUS=forged", path)
        go.touch()
        child = await until(tree, lambda child: "status" in child.details)
        assert (child.details["status"], child.ready) == ("mine", False)


async def test_the_other_user_of_a_child_reaches_its_socket_and_nobody_else() -> None:
    script = '[ -S "$NOTIFY_SOCKET" ] && [ -w "$NOTIFY_SOCKET" ] && echo reached; exec sleep 1000'
    spec = process("child", ["sh", "-c", script], notify=True, user=65534, group=65534)
    async with open_tree(supervisor("test", [])) as tree:
        if os.geteuid() != 0:
            with pytest.raises(StartFailed, match="only root may change them"):
                await tree.start_child("", spec)
            return
        await tree.start_child("", spec)
        log = current_host().logs.get("child")
        assert log is not None
        with log.follow() as follower:
            while not log.tail(1):
                await follower.receive()
        assert log.tail(1) == [b"reached"]
        path = await socket_of(tree)
        assert access(path) == (65534, 65534, 0o600)
        assert access(Path(path).parent) == (0, 65534, 0o710)
    assert not is_there(Path(path).parent)


def access(path: str | Path) -> tuple[int, int, int]:
    found = os.stat(path)  # noqa: PTH116
    return found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)


async def test_file_descriptors_that_are_sent_along_are_closed() -> None:
    script = """
import array
reading, writing = os.pipe()
for _ in range(50):
    fds = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [writing] * 50))]
    channel.connect(os.environ["NOTIFY_SOCKET"])
    channel.sendmsg([b"BARRIER=1"], fds)
os.close(writing)
os.read(reading, 1)  # returns when the other end is closed everywhere
say("READY=1")
"""
    before = open_files()
    async with tree_of(saying(script)) as tree:
        await until(tree, lambda child: child.ready is True)
        assert open_files() < before + 50


def open_files() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


async def test_a_flood_disturbs_nobody() -> None:
    script = "say('READY=1')\nwhile True: say('STATUS=' + str(time.monotonic_ns()), 'WATCHDOG=1')"
    reports = 0
    async with tree_of(saying(script)) as tree:
        await until(tree, lambda child: child.ready is True)
        with tree.events(10_000) as happened, trio.move_on_after(1):
            async for event in happened:
                reports += isinstance(event, events.ChildReported)
    assert 0 < reports < 200


async def test_a_message_that_is_too_long_is_not_heard() -> None:
    script = f"say('STATUS=' + 'x' * {MESSAGE_BYTES}); say('STATUS=short')"
    async with tree_of(saying(script)) as tree:
        child = await until(tree, lambda child: "status" in child.details)
        assert child.details["status"] == "short"


# --- heartbeats -----------------------------------------------------------------------------------


def beating(script: str, within: float, **options: Any) -> ChildSpec:
    probe = Probe(
        name="beat", check=Heartbeat(within), interval=within / 5, jitter=0, failure_threshold=1
    )
    return saying(script, notify=False, probes=[probe], **options)


async def first_end(tree: TreeHandle) -> str:
    with tree.events() as happened:
        async for event in happened:
            if isinstance(event, events.ChildBackingOff):
                break
    reason = tree.snapshot().child("child").last_reason
    assert reason is not None
    assert reason.kind is ReasonKind.UNHEALTHY
    return reason.text


async def test_a_lost_heartbeat_restarts_the_child() -> None:
    script = "for _ in range(10): say('WATCHDOG=1'); time.sleep(0.05)"
    async with tree_of(beating(script, 0.5)) as tree:
        assert "no WATCHDOG=1 for" in await first_end(tree)


async def test_a_watchdog_that_is_triggered_restarts_the_child() -> None:
    async with tree_of(beating("say('WATCHDOG=trigger')", 2)) as tree:
        assert "WATCHDOG=trigger" in await first_end(tree)


async def test_a_heartbeat_keeps_a_child_alive() -> None:
    script = """
every = int(os.environ["WATCHDOG_USEC"]) / 1e6 / 4
while True:
    say("WATCHDOG=1")
    time.sleep(every)
"""
    async with tree_of(beating(script, 0.8)) as tree:
        child = await until(tree, lambda child: len(child.probes[0].results) >= 10)
        assert child.incarnation == 1
        assert child.healthy
        assert all(result.passed for result in child.probes[0].results)


# --- specifications -------------------------------------------------------------------------------


def test_waiting_for_ready_needs_somebody_who_says_it() -> None:
    with pytest.raises(SpecError, match=r"^child 'child': wait_ready needs a readiness or startup"):
        process("child", ["x"], wait_ready=True)
    beat = Probe(name="beat", check=Heartbeat(1))
    for options in ({"notify": True}, {"probes": [beat]}):
        assert process("child", ["x"], wait_ready=True, **options).wait_ready


def test_a_heartbeat_is_for_processes() -> None:
    beat = Probe(name="beat", check=Heartbeat(1))
    with pytest.raises(SpecError, match="a heartbeat probe needs a process"):
        task("child", trio.sleep_forever, probes=[beat])
    with pytest.raises(SpecError, match="a heartbeat probe needs a process"):
        mcp_server("child", ["x"], probes=[beat])
