"""Real MCP servers, killed and stopped under a real tree."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import trio

from a2a_sup import Backoff, ChildSnapshot, Restart, TreeSnapshot, open_tree, supervisor
from a2a_sup.children.linux import descendants_of, is_dead
from a2a_sup.children.mcp import current_connections, mcp_server

PROGRAMS = Path(sys.executable).parent
NPM = Path(__file__).parent.parent / "npm"
EVERYTHING = "mcp-server-everything"
SOON = Restart(backoff=Backoff(delays=(0.02,)))

SERVERS = {
    "time": ([str(PROGRAMS / "mcp-server-time"), "--local-timezone", "UTC"], "modern"),
    "fetch": ([str(PROGRAMS / "mcp-server-fetch")], "modern"),
    "git": ([str(PROGRAMS / "mcp-server-git")], "modern"),
    "node": ([str(NPM / "node_modules" / ".bin" / EVERYTHING), "stdio"], "legacy"),
    # The server is npx's grandchild.
    "npx": (["npx", "--no-install", EVERYTHING, "stdio"], "legacy"),
}


@pytest.mark.parametrize(("argv", "era"), SERVERS.values(), ids=SERVERS.keys())
async def test_a_real_server_is_kept_alive_and_leaves_nothing(
    argv: Sequence[str], era: str
) -> None:
    spec = mcp_server("server", argv, cwd=NPM, restart=SOON, stop_timeout=10)
    with trio.fail_after(50):
        async with open_tree(supervisor("test", [spec])) as tree:
            first = (await tree.wait_until(lambda now: is_serving(now, 1))).child("server")
            assert first.details["era"] == era
            assert first.details["server"]["name"]
            assert len(first.details["tools"]) == first.details["tool_count"] > 0
            before = processes_of(first)
            os.kill(first.details["pid"], signal.SIGKILL)
            second = (await tree.wait_until(lambda now: is_serving(now, 2))).child("server")
            assert second.details["tools"] == first.details["tools"]
            assert alive(before) == set()
            connection = current_connections().get("server")
            assert connection is not None
            assert connection.incarnation == 2
            assert (await connection.request("tools/list"))["tools"]
            after = processes_of(second)
    assert alive(after) == set()


def is_serving(now: TreeSnapshot, incarnation: int) -> bool:
    child = now.child("server")
    return bool(child.incarnation == incarnation and child.ready and "tools" in child.details)


def processes_of(child: ChildSnapshot) -> set[int]:
    pid = child.details["pid"]
    return {pid} | descendants_of(pid)


def alive(pids: set[int]) -> set[int]:
    # An orphan of npx is somebody else's to reap.
    return {pid for pid in pids if not is_dead(pid)}
