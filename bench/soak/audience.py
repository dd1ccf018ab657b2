"""The audience of a soak: those who watch the dashboard, promptly, slowly, or hardly at all."""

from __future__ import annotations

import json
import random
from contextlib import aclosing

import trio

from a2a_sup import TreeHandle
from a2a_sup.model.codec import snapshot_to_json
from a2a_sup.registry import AgentRegistry
from a2a_sup.serve.listen import Address, Door
from a2a_sup.serve.publisher import Limits, Publisher
from a2a_sup.serve.watcher import Watcher
from bench.soak.clock import JumpingClock
from bench.soak.report import Report
from bench.soak.watching import Page, Seen, accepted, ask_raw

WATCHERS = 12
"""Connections at a time, of which a half reads slowly or not at all."""
AFTERMATH = 10.0
"""Real seconds after a jump of the clock in which a connection may be cut because of it."""


class Audience:
    """Watchers of one tree.

    Attributes:
        is_calm: nobody disturbs the tree: then trees are compared with the true one.
    """

    def __init__(self, tree: TreeHandle, clock: JumpingClock, report: Report) -> None:
        """Prepare to watch ``tree``."""
        self.is_calm = False
        self._tree = tree
        self._clock = clock
        self._report = report
        self._counts = report.watched
        self._publisher = Publisher(tree, AgentRegistry(), limits=Limits(stall=5.0))
        self._door = Door(Address("127.0.0.1", 0), "")
        self._number = 0

    async def watch(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Serve the dashboard's socket, and watch it, until cancelled."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self._publisher.serve, self._door)
            for number in range(WATCHERS):
                nursery.start_soon(self._watch_again, number % 4)
            task_status.started()

    async def _watch_again(self, laziness: int) -> None:
        """Watch as a page does: promptly, slowly, not at all, or away again at once."""
        while True:
            if laziness == 0:
                await self._watch_promptly()
            else:
                await self._watch_lazily(laziness)
            await trio.sleep(random.random())

    async def _watch_lazily(self, laziness: int) -> None:
        host, port = self._door.bound.split(":")
        try:
            async with await trio.open_tcp_stream(host, int(port)) as page:
                if not await accepted(page, host):
                    self._counts.refused += 1
                    return
                self._counts.accepted += 1
                await ask_raw(page)
                with trio.move_on_after(random.random() * 60):
                    if laziness == 2:
                        await trio.sleep_forever()
                    while laziness == 1 and await page.receive_some():  # noqa: ASYNC110 - to be lazy
                        await trio.sleep(0.2)
        except EOFError:
            self._lost("before its handshake")
        except (trio.BrokenResourceError, OSError):
            return  # whoever reads too slowly is cut

    async def _watch_promptly(self) -> None:
        host, port = self._door.bound.split(":")
        try:
            async with await trio.open_tcp_stream(host, int(port)) as stream:
                with trio.move_on_after(random.random() * 60) as tires:
                    await self._read(Page(stream), host)
                if not tires.cancelled_caught:
                    self._lost("while it read promptly")
        except (trio.BrokenResourceError, OSError):
            self._lost("while it read promptly")

    async def _read(self, page: Page, host: str) -> None:
        """Check all that the page is told, until it is closed."""
        self._number += 1
        name = f"/{self._number}"
        seen = Seen(self._counts)
        watcher: Watcher | None = None
        async with aclosing(page.frames(host, name)) as frames:
            async for frame in frames:
                if isinstance(frame, bool):
                    self._counts.accepted += frame
                    self._counts.refused += not frame
                    await page.ask()
                    continue
                watcher = watcher or self._find(name)
                dropped = 0 if watcher is None else watcher.dropped
                self._report.blame(seen.take(frame, dropped))
                if self.is_calm and frame["type"] in {"tree:snapshot", "tree:delta"}:
                    self._compare(seen)

    def _find(self, name: str) -> Watcher | None:
        """Return what the server has of the watcher that asked for that path."""
        watchers = self._publisher.watchers
        return next((each for each in watchers if each.connection.path == name), None)

    def _lost(self, when: str) -> None:
        """Take note that the server closed a connection: because of a jump, if at all."""
        is_excused = self._clock.real_time() - self._clock.jumped_at < AFTERMATH
        self._counts.cut += is_excused
        self._report.demand(is_excused, f"a watcher lost its connection {when}")

    def _compare(self, seen: Seen) -> None:
        """Demand that the tree that was told is the true one, if it is as new as that."""
        snapshot = self._tree.snapshot()
        if seen.revision == snapshot.revision:
            # As text, and back: tuples become lists.
            true = json.loads(json.dumps(snapshot_to_json(snapshot)["root"]))
            self._counts.compared += 1
            self._report.demand(seen.root == true, f"a watcher has another tree: {seen.revision}")
