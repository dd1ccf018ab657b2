"""Watchers of the dashboard: prompt ones that check what they are told, and those that do not read.

What a prompt watcher may expect is in docs/dashboard.md: each delta leads on from the revision that
it has; events are told without a gap, unless there were more than the timeline holds between two
frames (then the frame holds just so many), or a frame gave way to the next as the connection was
full (which the server counts).
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Any

import attrs
import trio
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Ping,
    RejectConnection,
    Request,
    TextMessage,
)

from a2a_sup.model.delta import apply
from a2a_sup.serve.changes import TIMELINE_HELD
from bench.soak.report import Watched

HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
WISHES = ("request_tree", "request_events")


@attrs.define
class Seen:
    """What one prompt watcher was told, and whether that can be.

    Attributes:
        counts: of all watchers.
        root: the tree, put together.
        revision: of that; None: it was not told yet.
        seq: of the last event.
        excused: gaps that were explained by a frame that gave way.
    """

    counts: Watched
    root: dict[str, Any] = attrs.field(factory=dict)
    revision: int | None = None
    seq: int | None = None
    excused: int = 0

    def take(self, frame: dict[str, Any], dropped: int) -> list[str]:
        """Take the next frame; return what is wrong with it.

        ``dropped`` is the server's number of frames of this watcher that gave way to others.
        """
        self.counts.frames += 1
        match frame:
            case {"type": "tree:snapshot", "data": data}:
                self.counts.snapshots += 1
                self.root, self.revision = data["tree"]["root"], data["revision"]
            case {"type": "tree:delta", "data": data}:
                self.counts.deltas += 1
                return self._take_delta(data)
            case {"type": "tree:event", "data": {"events": events}}:
                self.counts.event_frames += 1
                self.counts.events += len(events)
                return self._take_events([event["seq"] for event in events], dropped)
            case {"type": "error", "data": data}:
                return [f"a watcher is told of an error: {data}"]
        return []

    def _take_delta(self, data: dict[str, Any]) -> list[str]:
        begin, end = data["from"], data["to"]
        if begin != self.revision or end < begin:
            return [f"a delta from {begin} to {end} was told to who has {self.revision}"]
        self.revision = end
        try:
            apply(self.root, data["changes"])
        except ValueError as exc:
            return [f"a delta from {begin} to {end} does not fit: {exc}"]
        return []

    def _take_events(self, numbers: list[int], dropped: int) -> list[str]:
        last = self.seq
        if not numbers:
            return ["a frame of events has none"]
        self.seq = numbers[-1]
        if numbers != list(range(numbers[0], numbers[0] + len(numbers))):
            return [f"the events of a frame are not in a row: {numbers[0]} to {numbers[-1]}"]
        if last is None or numbers[0] == last + 1:
            return []
        if numbers[0] > last and (len(numbers) == TIMELINE_HELD or self.excused < dropped):
            # Each frame that gave way explains one gap: it is counted before the gap is seen.
            self.excused += len(numbers) < TIMELINE_HELD
            self.counts.excused += 1
            return []
        return [f"a watcher was told event {numbers[0]} after {last}"]


async def accepted(page: trio.abc.Stream, host: str) -> bool:
    """Ask for a WebSocket; return whether the answer is 101. Raises EOFError if there is none."""
    await page.send_all(HANDSHAKE % host.encode())
    answer = b""
    while b"\r\n" not in answer:
        more = await page.receive_some()
        if not more:
            raise EOFError("no answer to a handshake")
        answer += more
    return answer.startswith(b"HTTP/1.1 101 ")


async def ask_raw(page: trio.abc.Stream) -> None:
    """Ask for the tree and for events, in frames that are masked by zeros."""
    for kind in WISHES:
        wish = json.dumps({"type": kind}).encode()
        await page.send_all(b"\x81" + bytes([128 | len(wish)]) + bytes(4) + wish)


class Page:
    """A watcher's end of a connection, which reads all that comes.

    Not of trio-websocket, whose client ends with an error when it is pinged as it closes.
    """

    def __init__(self, stream: trio.abc.Stream) -> None:
        """Take a connected stream."""
        self._stream = stream
        self._protocol = WSConnection(ConnectionType.CLIENT)

    async def frames(self, host: str, target: str) -> AsyncGenerator[dict[str, Any] | bool, None]:
        """Yield whether the handshake was answered by 101; then each frame, until it is closed."""
        await self._stream.send_all(self._protocol.send(Request(host=host, target=target)))
        text = ""
        while data := await self._stream.receive_some(2**16):
            self._protocol.receive_data(bytes(data))
            for event in self._protocol.events():
                match event:
                    case AcceptConnection():
                        yield True
                    case RejectConnection():
                        yield False
                    case TextMessage(data=piece):
                        text += piece
                        if event.message_finished:
                            yield json.loads(text)
                            text = ""
                    case Ping():
                        await self._stream.send_all(self._protocol.send(event.response()))
                    case CloseConnection():
                        return

    async def ask(self) -> None:
        """Ask for the tree and for events."""
        for kind in WISHES:
            wish = TextMessage(json.dumps({"type": kind}))
            await self._stream.send_all(self._protocol.send(wish))
