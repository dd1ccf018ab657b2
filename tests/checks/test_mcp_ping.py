"""Asking MCP servers whether they are alive: what is an answer, and what is not."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from a2a_sup import (
    Backoff,
    ChildSnapshot,
    Probe,
    ReasonKind,
    Restart,
    TreeHandle,
    mcp_server,
    open_tree,
    supervisor,
)
from a2a_sup.checks import call, liveness, mcp_ping, readiness
from a2a_sup.children.mcp import current_connections
from a2a_sup.model.spec import ChildContext

FAKE = Path(__file__).with_name("pinged_mcp.py")
SOON = Restart(backoff=Backoff(delays=(0.02,)))


@asynccontextmanager
async def server(*words: str, probes: list[Probe], **options: Any) -> AsyncIterator[TreeHandle]:
    argv = [sys.executable, "-S", str(FAKE), *words]
    spec = mcp_server("server", argv, restart=SOON, stop_timeout=0.3, probes=probes, **options)
    with trio.fail_after(40):
        async with open_tree(supervisor("test", [spec])) as tree:
            yield tree


async def until(tree: TreeHandle, condition: Callable[[ChildSnapshot], bool]) -> ChildSnapshot:
    snapshot = await tree.wait_until(lambda now: condition(now.child("server")))
    return snapshot.child("server")


def often(**options: Any) -> Probe:
    return liveness(mcp_ping(), **{"interval": 0.05, "timeout": 10, "jitter": 0, **options})


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("legacy", "answers"), "ping"),
        (("modern", "answers"), "server/discover"),
        (("legacy", "refuses=-32601"), "ping is refused, which is an answer"),
        (("legacy", "refuses=-32000"), "ping is refused, which is an answer"),
        (("legacy", "refuses=-32001"), "ping is refused, which is an answer"),
        (("modern", "refuses=-32601"), "server/discover is refused, which is an answer"),
        (("legacy", "nonsense"), "ping"),
    ],
)
async def test_any_answer_is_a_life_sign(words: tuple[str, ...], message: str) -> None:
    async with server(*words, probes=[often()]) as tree:
        child = await until(
            tree, lambda child: any(r.message == message for r in child.probes[0].results)
        )
        assert child.incarnation == 1
        assert all(result.passed for result in child.probes[0].results)


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_a_server_that_hangs_is_restarted(era: str) -> None:
    probe = often(timeout=0.3, failure_threshold=2)
    async with server(era, "answers", probes=[probe]) as tree:
        child = await until(tree, lambda child: bool(child.ready))
        os.kill(child.details["pid"], signal.SIGSTOP)
        child = await until(tree, lambda child: child.incarnation == 2)
        assert child.last_reason is not None
        assert child.last_reason.kind is ReasonKind.UNHEALTHY
        assert "no answer within 0.3 s" in child.last_reason.text
        await until(tree, lambda child: bool(child.ready and child.healthy))


async def test_a_server_that_is_silent_about_pings_only_is_restarted() -> None:
    probe = often(timeout=0.3, failure_threshold=2)
    async with server("legacy", "silent", probes=[probe]) as tree:
        child = await until(tree, lambda child: child.incarnation == 2)
        assert child.last_reason is not None
        assert child.last_reason.kind is ReasonKind.UNHEALTHY


async def test_a_busy_server_is_not_a_dead_one() -> None:
    # It answers nothing while a tool runs, for 10 s: three timeouts of 4 s would be too many.
    probe = often(interval=0.2, timeout=4, failure_threshold=3)
    async with server("legacy", "answers", probes=[probe]) as tree:
        child = await until(tree, lambda child: bool(child.ready))
        connection = current_connections().get("server")
        assert connection is not None
        result = await connection.request("tools/call", {"name": "work", "arguments": {}})
        assert result["content"][0]["text"] == "done"
        now = tree.snapshot().child("server")
        assert (now.incarnation, now.details["pid"]) == (1, child.details["pid"])
        failures = [result for result in now.probes[0].results if not result.passed]
        assert failures
        await until(tree, lambda child: child.probes[0].results[-1].passed)


async def test_before_the_handshake_there_is_nothing_to_ask(context: ChildContext) -> None:
    assert (await mcp_ping()(context)).startswith("no session yet")


async def test_probes_that_pass_early_do_not_make_a_server_ready() -> None:
    async def fine() -> None: ...

    probes = [readiness(call(fine), interval=0.02), often(interval=0.02)]
    async with server("legacy", "slow", probes=probes) as tree:
        child = await until(tree, lambda child: bool(child.probes[0].results))
        assert child.probes[0].passing
        assert child.ready is False
        assert "protocol" not in child.details
        child = await until(tree, lambda child: child.ready is True)
        assert "protocol" in child.details
        assert child.incarnation == 1
