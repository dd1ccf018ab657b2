"""A thousand watchers of which a hundred take nothing."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from typing import Any

import pytest
import trio
import trio.testing

from a2a_sup import NO_BACKOFF, Restart, supervisor
from a2a_sup.testing import ScriptedChild

WATCHERS, STALLED, ROUNDS = 1_000, 100, 20
TEXT = "x" * 18_000
"""Twenty times this is more than the kernel takes for a watcher that reads nothing."""
AGENT = {"id": "a", "name": "A", "version": "1", "capabilities": []}


@pytest.fixture
def many_files() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], min(before[1], 8_192)), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def connected(board: Any) -> tuple[list[Any], list[Any]]:
    """Return watchers that never read, and others, which ask for the tree."""
    stalled: list[Any] = []
    healthy: list[Any] = []

    async def connect_stalled() -> None:
        stalled.append(await board.client(receive_buffer=4096))

    async def connect_healthy() -> None:
        client = await board.client()
        await client.ask("request_tree")
        healthy.append(client)

    for _ in range(10):
        async with trio.open_nursery() as nursery:
            for number in range(WATCHERS // 10):
                is_stalled = number < STALLED // 10
                nursery.start_soon(connect_stalled if is_stalled else connect_healthy)
    await board.until(lambda: len(board.publisher.watchers) == WATCHERS)
    return stalled, healthy


async def read_to_the_end(client: Any) -> None:
    with trio.fail_after(100):
        while (frame := await client.frame()) is not None:
            if f'"name":"n{ROUNDS}"'.encode() in frame[1]:
                return
    raise AssertionError("it was cut")


@pytest.mark.timeout(150)
async def test_a_thousand_watchers_of_which_a_hundred_stall(
    dashboard: Any, many_files: None
) -> None:
    child = ScriptedChild("web")
    spec = supervisor("app", [child.spec(restart=Restart(backoff=NO_BACKOFF))])
    async with dashboard(spec, stall=1.0, metrics_interval=1000) as board:
        stalled, healthy = await connected(board)
        publisher = board.publisher
        most_waiting = most_unsent = 0
        async with trio.open_nursery() as nursery:
            for client in healthy:
                nursery.start_soon(read_to_the_end, client)
            board.registry.deploy(AGENT)
            for number in range(1, ROUNDS + 1):
                board.registry.update("a", {"name": f"n{number}", "config": {"text": TEXT}})
                await trio.testing.wait_all_tasks_blocked()
                waiting = [watcher.waiting for watcher in publisher.watchers]
                unsent = [watcher.outlet.unsent for watcher in publisher.watchers]
                most_waiting = max(most_waiting, *waiting)
                most_unsent = max(most_unsent, *unsent)
        # One frame under way, and a reference to one more: the latest about its subject.
        assert 0 < most_unsent < len(TEXT) + 1_000
        assert most_waiting == 1
        await board.until(lambda: publisher.cut == STALLED)
        await board.until(lambda: len(publisher.watchers) == WATCHERS - STALLED)
        assert len(stalled) == STALLED
        child.crash()
        body = await healthy[-1].message("tree:delta")
        assert [change["path"] for change in body["data"]["changes"]] == ["web"]
