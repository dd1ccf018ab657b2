"""One watcher of the dashboard: what it was told, and what waits for it while it is slow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from a2a_sup.serve.changes import Changes
from a2a_sup.serve.outlet import Outlet

if TYPE_CHECKING:
    from trio_websocket import WebSocketConnection

SUBJECTS_HELD = 256
"""Frames that wait for a slow watcher, one for each subject; the oldest give way."""
UNKNOWN = -1
"""The revision of a watcher that has to begin anew."""


class Watcher:
    """A connection, and the frames that are due to it.

    As long as the kernel takes what is sent nothing waits. When it does not, one frame is under
    way, and of those that come meanwhile the latest of each subject waits, as a reference to the
    bytes that all watchers share. Of the tree nothing waits: only the revision is known that the
    watcher has, and what it missed is told when its turn comes.

    Attributes:
        connection: its WebSocket.
        outlet: the stream below.
        revision: of the tree, after all that was sent; None: it did not ask for the tree.
        wants_events: whether it asked for the timeline.
        dropped: frames that gave way to others.
        pinged_at: when it was pinged last, in seconds of Trio's clock.
    """

    def __init__(
        self,
        connection: WebSocketConnection,
        outlet: Outlet,
        nursery: trio.Nursery,
        changes: Changes,
    ) -> None:
        """Begin with nothing due. Tasks for a slow watcher are started in ``nursery``."""
        self.connection = connection
        self.outlet = outlet
        self.revision: int | None = None
        self.wants_events = False
        self.dropped = 0
        self.pinged_at = 0.0
        self._nursery = nursery
        self._changes = changes
        self._waiting: dict[str, bytes] = {}
        self._is_catching_up = False

    @property
    def waiting(self) -> int:
        """How many frames wait, beside the one under way."""
        return len(self._waiting)

    def tell(self, subject: str, frame: bytes) -> None:
        """Send a frame, or let it wait in the place of an earlier one of its subject."""
        if self._is_catching_up or not self._begin(frame):
            if self._waiting.pop(subject, None) is not None:
                self.dropped += 1
            self._waiting[subject] = frame
            if len(self._waiting) > SUBJECTS_HELD:
                del self._waiting[next(iter(self._waiting))]
                self.dropped += 1
            self._catch_up_soon()

    def tell_tree(self, begin: int, end: int, delta: bytes | None) -> None:
        """Send what leads from revision ``begin`` to ``end``, if that is what it needs."""
        if self._is_catching_up or self.revision is None:
            return
        if delta is not None and self.revision == begin and self._begin(delta):
            self.revision = end
        elif self.revision < end:
            self._catch_up_soon()

    def begin_anew(self) -> None:
        """Send the whole tree, and from then on what changes."""
        self.revision = UNKNOWN
        self._catch_up_soon()

    def begin_timeline(self) -> None:
        """Send events from now on."""
        self.wants_events = True

    def tell_events(self, frame: bytes) -> None:
        """Send events, if it wants them; while it is slow only the last of them wait."""
        if self.wants_events:
            self.tell("tree:event", frame)

    def ping(self, frame: bytes, now: float) -> None:
        """Ping it, if nothing is under way: then it is known to be slow, which has its own end."""
        if self.outlet.offer(frame):
            self.pinged_at = now

    def _begin(self, frame: bytes) -> bool:
        if self.connection.closed is not None or not self.outlet.offer(frame):
            return False
        if self.outlet.unsent:
            self._catch_up_soon()
        return True

    def _catch_up_soon(self) -> None:
        if not self._is_catching_up and not self.outlet.is_closed:
            self._is_catching_up = True
            self._nursery.start_soon(self._catch_up)

    async def _catch_up(self) -> None:
        """Send what waits, one frame at a time, until nothing does."""
        try:
            while True:
                await self.outlet.flush()
                if self.connection.closed is not None:
                    return
                if self._waiting:
                    subject = next(iter(self._waiting))
                    if self.outlet.offer(self._waiting[subject]):
                        del self._waiting[subject]
                elif not await self._offer_tree():
                    return
        except (trio.ClosedResourceError, trio.BrokenResourceError):
            return  # its reader notices
        finally:
            self._is_catching_up = False

    async def _offer_tree(self) -> bool:
        """Offer what it needs of the tree; return whether it needed anything."""
        self._changes.read()
        if self.revision is None or self.revision == self._changes.head:
            return False
        frame, end = self._changes.delta_frame(self.revision), self._changes.head
        if frame is None:
            self.revision = UNKNOWN
            end, frame = await self._changes.snapshot_frame()
        if self.outlet.offer(frame):
            self.revision = end
        return True
