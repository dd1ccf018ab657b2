"""MCP servers as children: handshakes, junk, and every way to go wrong, with a fake server."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import mcp.client.session
import pytest
import trio
import trio.testing
from mcp import MCPError
from mcp_types import CONNECTION_CLOSED

from a2a_sup import (
    Backoff,
    ChildSnapshot,
    ChildSpec,
    Restart,
    SpecError,
    StartFailed,
    TreeHandle,
    events,
    open_tree,
    supervisor,
)
from a2a_sup.children.hygiene import current_host
from a2a_sup.children.mcp import current_connections, mcp_server
from a2a_sup.children.mcp_session import MCPConnection
from a2a_sup.children.mcp_streams import UNSENT_MESSAGES

FAKE = Path(__file__).with_name("fake_mcp.py")
SOON = Restart(backoff=Backoff(delays=(0.02,)))
STEP_SECONDS = 0.3


def fake(*arguments: str, **options: Any) -> ChildSpec:
    options = {"restart": SOON, "stop_timeout": STEP_SECONDS, **options}
    return mcp_server("server", [sys.executable, str(FAKE), *arguments], **options)


@asynccontextmanager
async def tree_of(spec: ChildSpec) -> AsyncIterator[TreeHandle]:
    with trio.fail_after(30):
        async with open_tree(supervisor("test", [spec])) as tree:
            yield tree


async def until(tree: TreeHandle, condition: Callable[[ChildSnapshot], bool]) -> ChildSnapshot:
    snapshot = await tree.wait_until(lambda now: condition(now.child("server")))
    return snapshot.child("server")


async def until_ready(tree: TreeHandle) -> ChildSnapshot:
    return await until(tree, lambda child: bool(child.ready and "tools" in child.details))


async def first_end(tree: TreeHandle) -> events.ChildEnded:
    """Return how the first incarnation to end from now on did; the child must be running."""
    with tree.events() as happened:
        async for event in happened:
            if isinstance(event, events.ChildEnded):
                return event
    raise AssertionError("the tree ended")


async def exit_status_of_stop(tree: TreeHandle) -> int:
    with tree.events() as happened:
        await tree.terminate_child("server")
        async for event in happened:
            if isinstance(event, events.ChildReported) and "exit_status" in event.details:
                status: int = event.details["exit_status"]
                return status
    raise AssertionError("the tree ended")


def connection() -> MCPConnection:
    found = current_connections().get("server")
    assert found is not None
    return found


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


# --- specifications -------------------------------------------------------------------------------


def test_names_every_mistake() -> None:
    with pytest.raises(SpecError) as caught:
        mcp_server("s", ["x"], handshake="modern", handshake_timeout=0)  # type: ignore[arg-type]
    assert caught.value.problems == (
        "child 's': handshake is one of auto, legacy, not 'modern'",
        "child 's': handshake_timeout is seconds > 0, not 0",
    )


def test_a_mistake_in_the_command_names_the_child() -> None:
    with pytest.raises(SpecError, match=r"^child 's': command is a program"):
        mcp_server("s", [])


def test_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def find_spec(name: str) -> None:
        assert name == "mcp"

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    with pytest.raises(SpecError, match=r'^child \'s\': .* pip install "a2a_sup\[mcp\]"$'):
        mcp_server("s", ["x"])


def test_a_specification_does_not_import_the_sdk() -> None:
    code = """
import sys
from a2a_sup.children.mcp import mcp_server
mcp_server("server", ["mcp-server-time"])
heavy = {"mcp", "mcp_types", "pydantic", "anyio"} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_specification_shows_the_command_and_fits_the_stop() -> None:
    spec = mcp_server("s", ["x", "y"], stop_timeout=3, tags=["mcp"])
    assert spec.kind == "mcp"
    assert spec.info == {"command": ["x", "y"], "cwd": None}
    assert spec.tags == ("mcp",)
    assert isinstance(spec.shutdown, float)
    assert spec.shutdown > 2 * 3


# --- the handshake --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("server", "handshake", "era", "protocol"),
    [
        ("legacy", "auto", "legacy", "2025-11-25"),
        ("legacy", "legacy", "legacy", "2025-11-25"),
        ("modern", "auto", "modern", "2026-07-28"),
        ("dual", "auto", "modern", "2026-07-28"),
        ("dual", "legacy", "legacy", "2025-11-25"),
    ],
)
async def test_either_era(server: str, handshake: str, era: str, protocol: str) -> None:
    async with tree_of(fake(server, handshake=handshake)) as tree:
        child = await until_ready(tree)
        assert child.details["era"] == connection().era == era
        assert child.details["protocol"] == connection().protocol == protocol
        assert child.details["server"] == {"name": "fake", "version": "1.2.3"}
        assert child.details["tools"] == ("one", "two")
        assert child.details["tool_count"] == 2
        result = await connection().request("tools/call", {"name": "one"})
        assert result["content"][0]["text"] == str(child.details["pid"])


async def test_a_server_that_does_not_answer_discover_is_legacy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mcp.client.session, "DISCOVER_TIMEOUT_SECONDS", 0.2)
    async with tree_of(fake("legacy", "mute")) as tree:
        assert (await until_ready(tree)).details["era"] == "legacy"


async def test_booting_does_not_wait_for_the_handshake() -> None:
    async with tree_of(fake("legacy", "silent")) as tree:
        child = tree.snapshot().child("server")
        assert child.details["pid"]
        assert not child.ready
        assert current_connections().get("server") is None


async def test_booting_waits_for_the_handshake_if_asked_to() -> None:
    async with tree_of(fake("legacy", wait_ready=True)) as tree:
        assert tree.snapshot().child("server").ready


async def test_a_server_that_hangs_in_the_handshake_is_replaced() -> None:
    async with tree_of(fake("legacy", "silent", handshake_timeout=0.5)) as tree:
        pid = tree.snapshot().child("server").details["pid"]
        ended = await first_end(tree)
        assert ended.reason.kind == "crashed"
        assert ended.reason.text == "no answer to the handshake within 0.5 s"
        assert is_gone(pid)
        await until(tree, lambda child: child.incarnation == 2 and "pid" in child.details)


async def test_with_wait_ready_a_hung_handshake_is_a_failed_start() -> None:
    spec = fake("legacy", "silent", handshake_timeout=0.5, wait_ready=True)
    with pytest.raises(StartFailed, match="no answer to the handshake"):
        async with tree_of(spec):
            pass


async def test_a_server_that_dies_in_the_handshake() -> None:
    async with tree_of(fake("legacy", "crash")) as tree:
        ended = await first_end(tree)
        assert ended.reason.text == "exited with status 3"
        assert ended.reason.exit_status == 3


async def test_what_a_dead_server_said_last_is_shown() -> None:
    async with tree_of(fake("legacy", "crash", restart="temporary")) as tree:
        with tree.events() as happened:
            async for event in happened:
                if isinstance(event, events.ChildReported) and "last_output" in event.details:
                    assert event.details["last_output"] == ("no such database",)
                    break


async def test_a_program_that_leaves_before_the_handshake_was_no_server() -> None:
    async with tree_of(fake("legacy", "leave")) as tree:
        ended = await first_end(tree)
        assert ended.reason.kind == "crashed"
        assert ended.reason.text == "exited with status 0 before the handshake was done"


async def test_a_server_that_hangs_up_in_the_handshake() -> None:
    async with tree_of(fake("legacy", "hangup")) as tree:
        ended = await first_end(tree)
        assert ended.reason.text == "the handshake failed: it closed its standard output"


async def test_a_server_that_refuses_the_handshake() -> None:
    async with tree_of(fake("modern", handshake="legacy")) as tree:
        ended = await first_end(tree)
        assert ended.reason.text == "the handshake failed: refused"
        assert ended.reason.crash is not None
        assert ended.reason.crash.type == "MCPError"


async def test_an_sdk_that_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "a2a_sup.children.mcp_session", None)
    async with tree_of(fake("legacy", restart="temporary")) as tree:
        ended = await first_end(tree)
        assert ended.reason.text.startswith("the mcp extra does not fit this version: ")


async def test_a_server_without_tools() -> None:
    async with tree_of(fake("legacy", "toolless")) as tree:
        assert (await until_ready(tree)).details["tools"] == ()


async def test_a_server_that_cannot_list_its_tools_is_ready() -> None:
    async with tree_of(fake("legacy", "broken")) as tree:
        child = await until(tree, lambda child: "tools_error" in child.details)
        assert child.ready
        assert child.details["tools_error"] == "refused"
        await connection().request("tools/call", {"name": "grow"})
        child = await until_ready(tree)
        assert child.details["tools_error"] is None


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_tools_that_change_are_listed_again(era: str) -> None:
    async with tree_of(fake(era)) as tree:
        await until_ready(tree)
        await connection().request("tools/call", {"name": "grow"})
        await until(tree, lambda child: child.details["tools"] == ("one", "two", "three"))


# --- what a server inherits and prints ------------------------------------------------------------


async def test_a_server_inherits_little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "1")
    async with tree_of(fake("legacy", "env", env={"GIVEN": "1"})) as tree:
        await until_ready(tree)
        log = current_host().logs.get("server")
        assert log is not None
        names = b"".join(log.tail(1)).decode().split()
        assert "SECRET" not in names
        assert "GIVEN" in names
        assert "PATH" in names


async def test_junk_is_counted_logged_and_no_reason_to_end() -> None:
    async with tree_of(fake("legacy", "junk")) as tree:
        with tree.events() as happened:
            await until_ready(tree)
            child = await until(tree, lambda child: child.details.get("junk_lines") == 500)
            assert child.details["last_junk"] == "debug: loading plugin 499"
            assert child.incarnation == 1
            tree.stop()
            reports = [
                event
                async for event in happened
                if isinstance(event, events.ChildReported) and "junk_lines" in event.details
            ]
        assert len(reports) <= 3
        log = current_host().logs.get("server")
        assert log is not None
        assert log.tail(1) == [b"debug: loading plugin 499"]


@asynccontextmanager
async def prompt_loop() -> AsyncIterator[None]:
    """Check that the event loop is held up by nothing inside the block."""
    lags: list[float] = []

    async def tick() -> None:
        while True:
            begin = trio.current_time()
            await trio.sleep(0.01)
            lags.append(trio.current_time() - begin - 0.01)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(tick)
        yield
        nursery.cancel_scope.cancel()
    assert max(lags) < 0.5


async def test_a_flood_of_junk_holds_up_nobody() -> None:
    async with tree_of(fake("legacy", "flood")) as tree, prompt_loop():
        child = await until_ready(tree)
        for _ in range(20):
            await connection().request("tools/call", {"name": "one"})
        await until(tree, lambda child: child.details.get("junk_lines", 0) > 1000)
        begin = trio.current_time()
        await tree.terminate_child("server")
        assert trio.current_time() - begin < 5
        assert is_gone(child.details["pid"])


async def test_a_line_without_end_holds_up_nobody() -> None:
    async with tree_of(fake("legacy", "endless")) as tree, prompt_loop():
        child = await until(tree, lambda child: bool(child.ready))
        with trio.move_on_after(1):
            await connection().request("tools/call", {"name": "one"})
        await tree.terminate_child("server")
        assert is_gone(child.details["pid"])


async def test_a_line_that_is_too_long_is_junk() -> None:
    async with tree_of(fake("legacy", "huge")) as tree:
        child = await until(tree, lambda child: "junk_lines" in child.details)
        assert child.details["junk_lines"] == 1
        assert child.details["last_junk"].startswith("{xxx")
        await until_ready(tree)


# --- the end --------------------------------------------------------------------------------------


async def test_a_killed_server_is_replaced_and_its_session_with_it() -> None:
    async with tree_of(fake("modern")) as tree:
        before = await until_ready(tree)
        old = connection()
        closed = trio.Event()

        async def call() -> None:
            with pytest.raises(MCPError) as caught:
                await old.request("tools/call", {"name": "hang"})
            assert caught.value.code == CONNECTION_CLOSED
            closed.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(call)
            await trio.testing.wait_all_tasks_blocked()
            os.kill(before.details["pid"], signal.SIGKILL)
            with trio.fail_after(1):
                await closed.wait()
        after = await until(tree, lambda child: child.incarnation == 2 and bool(child.ready))
        assert after.details["pid"] != before.details["pid"]
        assert after.last_reason is not None
        assert after.last_reason.exit_status == -signal.SIGKILL
        assert connection().incarnation == 2
        await connection().request("tools/call", {"name": "one"})
        with pytest.raises(MCPError, match="Connection closed"):
            await old.request("tools/call", {"name": "one"})


async def test_a_server_that_dies_in_a_call_is_replaced() -> None:
    async with tree_of(fake("legacy")) as tree:
        await until_ready(tree)
        with pytest.raises(MCPError):
            await connection().request("tools/call", {"name": "die"})
        await until(tree, lambda child: child.incarnation == 2 and bool(child.ready))


async def test_a_server_that_closes_its_output_and_lives_on_is_replaced() -> None:
    async with tree_of(fake("legacy", "hush")) as tree:
        pid = tree.snapshot().child("server").details["pid"]
        ended = await first_end(tree)
        assert ended.reason.text == "the connection is lost: it closed its standard output"
        assert is_gone(pid)


async def test_a_server_that_does_not_read_holds_up_nobody() -> None:
    async with tree_of(fake("legacy", "deaf")) as tree:
        child = await until(tree, lambda child: bool(child.ready))
        for _ in range(3):
            with trio.move_on_after(0.1) as scope:
                await connection().request("tools/call", {"name": "x" * 1_000_000})
            assert scope.cancelled_caught
        begin = trio.current_time()
        await tree.terminate_child("server")
        assert trio.current_time() - begin < STEP_SECONDS + 2
        assert is_gone(child.details["pid"])


async def test_callers_of_a_server_that_does_not_read_are_told_of_its_end() -> None:
    async with tree_of(fake("legacy", "deaf")) as tree:
        await until(tree, lambda child: bool(child.ready))
        server = connection()
        told = 0

        async def call() -> None:
            nonlocal told
            with pytest.raises(MCPError, match="Connection closed"):
                await server.request("tools/call", {"name": "x" * 1000})
            told += 1

        async with trio.open_nursery() as nursery:
            for _ in range(UNSENT_MESSAGES + 200):
                nursery.start_soon(call)
            await trio.testing.wait_all_tasks_blocked()
            await tree.terminate_child("server")
        assert told == UNSENT_MESSAGES + 200


async def test_closing_its_input_is_how_a_server_is_stopped() -> None:
    async with tree_of(fake("legacy", stop_timeout=20)) as tree:
        child = await until_ready(tree)
        assert await exit_status_of_stop(tree) == 0
        stopped = tree.snapshot().child("server")
        assert stopped.last_reason is not None
        assert stopped.last_reason.kind == "shutdown"
        assert is_gone(child.details["pid"])
        assert current_connections().get("server") is None


@pytest.mark.parametrize(
    ("fault", "steps", "status"), [("eof", 1, -signal.SIGTERM), ("stubborn", 2, -signal.SIGKILL)]
)
async def test_a_server_that_ignores_the_end_of_its_input(
    fault: str, steps: int, status: int
) -> None:
    async with tree_of(fake("legacy", fault)) as tree:
        child = await until_ready(tree)
        begin = trio.current_time()
        assert await exit_status_of_stop(tree) == status
        took = trio.current_time() - begin
        assert steps * STEP_SECONDS <= took < steps * STEP_SECONDS + 2
        assert is_gone(child.details["pid"])


async def test_a_suspended_server_can_be_stopped() -> None:
    async with tree_of(fake("legacy")) as tree:
        pid = (await until_ready(tree)).details["pid"]
        os.kill(pid, signal.SIGSTOP)
        await tree.terminate_child("server")
        assert is_gone(pid)


async def test_a_hurried_stop_has_no_grace() -> None:
    async with tree_of(fake("legacy", "stubborn", stop_timeout=60)) as tree:
        pid = (await until_ready(tree)).details["pid"]
        begin = trio.current_time()
        tree.hurry()
        await tree.wait_ended()
        assert trio.current_time() - begin < 2
        assert is_gone(pid)


async def test_a_stop_does_not_wait_for_the_handshake() -> None:
    async with tree_of(fake("legacy", "silent")) as tree:
        begin = trio.current_time()
        await tree.terminate_child("server")
        assert trio.current_time() - begin < STEP_SECONDS + 2


async def test_a_stop_right_after_the_start() -> None:
    async with tree_of(fake("legacy")) as tree:
        await tree.terminate_child("server")
        assert current_connections().get("server") is None


async def test_many_servers_share_one_import() -> None:
    names = [f"server {number}" for number in range(8)]
    specs = [
        mcp_server(name, [sys.executable, str(FAKE), "dual"], stop_timeout=5) for name in names
    ]
    with trio.fail_after(50):
        async with open_tree(supervisor("test", specs)) as tree:
            snapshot = await tree.wait_until(
                lambda now: all(child.ready for child in now.root.children)
            )
            found = [current_connections().get(name) for name in names]
            assert all(found)
            pids = [child.details["pid"] for child in snapshot.root.children]
        assert all(map(is_gone, pids))
