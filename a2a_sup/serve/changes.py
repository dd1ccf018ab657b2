"""From the events of a tree to what watchers are told: deltas, states of servers, a timeline."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import trio

from a2a_sup.model.codec import event_to_json
from a2a_sup.model.delta import Dirty
from a2a_sup.model.events import Event, EventsDropped
from a2a_sup.model.states import State
from a2a_sup.serve.frames import message, snapshot_message
from a2a_sup.serve.servers import Servers
from a2a_sup.tree.handle import TreeHandle

EVENTS_HELD = 10_000
"""Events between two looks; with more, watchers begin anew."""
PATHS_HELD = 300
"""Changed children that a delta may have; a watcher who is further behind gets a snapshot."""
BATCHES_HELD = 256
"""Looks that a watcher may be behind, and still get a delta."""
TIMELINE_HELD = 500
"""Events kept for the timeline between two frames: the last ones."""
SNAPSHOT_PAUSE = 1.0
"""Seconds between two snapshots, whoever asks for them."""


class Changes:
    """What changed in a tree, as frames that are made once for all watchers.

    Attributes:
        tree: what is watched.
        head: the revision that ``read`` came to.
        servers: the children as servers, at ``head``.
        frames_made: how many deltas and snapshots were encoded.
    """

    def __init__(self, tree: TreeHandle) -> None:
        """Begin with the tree as it is now."""
        self.tree = tree
        self.servers = Servers()
        self.frames_made = 0
        self._events = tree.events(EVENTS_HELD)
        snapshot = tree.snapshot()
        self.servers.begin(snapshot.walk())
        self.head = self._oldest = snapshot.revision
        self._history: deque[tuple[int, Dirty]] = deque()
        self._paths_held = 0
        self._deltas: dict[int, bytes] = {}
        self._states: dict[str, State | None] = {}
        self._timeline: deque[Event] = deque(maxlen=TIMELINE_HELD)
        self._snapshot: tuple[int, bytes] | None = None
        self._next_snapshot_at = 0.0
        self._making = trio.Lock()
        self._first: Event | EventsDropped | None = None
        self._was_read = trio.Event()
        self._news = trio.Event()

    async def watch(self) -> None:
        """Let ``wait`` return when something happens, until the tree has ended. For one task."""
        while (first := await anext(self._events, None)) is not None:
            self._first = first
            self._was_read = trio.Event()
            self._news.set()
            await self._was_read.wait()

    async def wait(self) -> None:
        """Return when something happened since ``take_news``, whoever has read it."""
        await self._news.wait()

    def take_news(self) -> None:
        """Read, and let ``wait`` wait for what happens from now on. For one task."""
        self.read()
        self._news = trio.Event()

    def read(self) -> None:
        """Take note of all that happened until now. Never waits."""
        events = self._events.drain()
        if self._first is not None:
            events.insert(0, self._first)
            self._first = None
            self._was_read.set()
        if not events:
            return
        self._news.set()
        dirty, head = Dirty(), self.head
        for event in events:
            if isinstance(event, EventsDropped):
                dirty.is_whole = True
            else:
                dirty.note(event)
                self._timeline.append(event)
                head = event.seq
        self._record(dirty, head)
        self._look_at_servers(dirty)

    def _record(self, dirty: Dirty, head: int) -> None:
        self._history.append((self.head, dirty))
        self._paths_held += len(dirty)
        self.head = head
        self._deltas.clear()
        while self._history and (
            dirty.is_whole or self._paths_held > PATHS_HELD or len(self._history) > BATCHES_HELD
        ):
            self._paths_held -= len(self._history.popleft()[1])
        self._oldest = self._history[0][0] if self._history else head

    def _look_at_servers(self, dirty: Dirty) -> None:
        paths: Iterable[str]
        if dirty.is_whole:
            paths = self.servers.begin(self.tree.snapshot().walk())
        else:
            paths = [
                changed
                for path in dirty
                for changed in self.servers.look_at(path, self.tree.child(path))
            ]
        self._states.update((path, self.servers.state(path)) for path in paths)

    # --- what is told ---------------------------------------------------------------------------

    def take_states(self) -> dict[str, State | None]:
        """Return the children whose state is another since the last call; None: it is gone."""
        states, self._states = self._states, {}
        return states

    def take_timeline(self) -> list[Event]:
        """Return the last events since the last call."""
        events = list(self._timeline)
        self._timeline.clear()
        return events

    def timeline_frame(self, events: Iterable[Event]) -> bytes:
        """Return the frame ``tree:event`` with these events."""
        shown = [
            {**event_to_json(event), "wall_time": self.tree.wall_time(event.time)}
            for event in events
        ]
        return message("tree:event", {"events": shown})

    def delta_frame(self, revision: int) -> bytes | None:
        """Return the frame that leads from ``revision`` to ``head``; None: a snapshot is needed.

        It is about the tree as it is: call ``read`` before it, without a checkpoint between them.
        """
        if revision < self._oldest:
            return None
        made = self._deltas.get(revision)
        if made is None:
            merged = Dirty()
            for begin, dirty in self._history:
                if begin >= revision:
                    merged.add(dirty)
            now = trio.current_time()
            data = {
                "from": revision,
                "to": self.head,
                "time": now,
                "wall_time": self.tree.wall_time(now),
                "changes": [change.to_json() for change in merged.changes(self.tree.child)],
            }
            self.frames_made += 1
            made = self._deltas[revision] = message("tree:delta", data)
        return made

    async def snapshot_frame(self) -> tuple[int, bytes]:
        """Return the revision of a snapshot from which deltas lead on, and its frame.

        It is shared by all who ask while deltas lead on from it.
        """
        async with self._making:
            if self._snapshot is None or self._snapshot[0] < self._oldest:
                await trio.sleep_until(self._next_snapshot_at)
                self.read()
                snapshot = self.tree.snapshot()
                wall_time = self.tree.wall_time(snapshot.time)
                self.frames_made += 1
                if sum(1 for _ in snapshot.walk()) < PATHS_HELD:
                    frame = snapshot_message(snapshot, wall_time)
                else:
                    frame = await trio.to_thread.run_sync(snapshot_message, snapshot, wall_time)
                self._snapshot = snapshot.revision, frame
                self._next_snapshot_at = trio.current_time() + SNAPSHOT_PAUSE
            return self._snapshot
