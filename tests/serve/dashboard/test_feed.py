"""What tells the watchers leaves other tasks their turns."""

from __future__ import annotations

from collections import Counter
from typing import Any, cast

import trio

from a2a_sup import open_tree, supervisor
from a2a_sup.registry import AgentRegistry
from a2a_sup.serve.feed import BATCH, Feed
from a2a_sup.serve.watcher import Watcher
from a2a_sup.testing import ScriptedChild

CHILDREN = 400


class Turns:
    """How often another task had its turn."""

    def __init__(self) -> None:
        self.count = 0

    async def run(self) -> None:
        while True:
            self.count += 1
            await trio.lowlevel.checkpoint()


class Fast:
    """A watcher that takes everything at once, and notes in which turn it was told."""

    revision: int | None = None
    wants_events = False

    def __init__(self, turns: Turns) -> None:
        self.told: list[int] = []
        self._turns = turns

    def tell(self, subject: str, frame: bytes) -> None:
        self.told.append(self._turns.count)


async def test_many_changes_for_one_watcher_are_told_in_several_turns() -> None:
    children = [ScriptedChild(f"c{number}") for number in range(CHILDREN)]
    group = supervisor("group", [child.spec() for child in children])
    turns = Turns()
    watcher = Fast(turns)
    async with (
        open_tree(supervisor("app", [group])) as tree,
        trio.open_nursery() as nursery,
    ):
        watchers = cast(dict[Watcher, None], cast(Any, {watcher: None}))
        feed = Feed(tree, AgentRegistry(), watchers, metrics_interval=1_000, coalesce=0.04)
        nursery.start_soon(turns.run)
        nursery.start_soon(feed.run)
        await tree.terminate_child("group")
        with trio.fail_after(20):
            while len(watcher.told) < CHILDREN:
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    # Trio shuffles the tasks of a tick, so the other task may be last in one and first in the next.
    assert max(Counter(watcher.told).values()) <= 2 * BATCH
