"""Server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html.

Every stream is bounded: what it reads from drops the oldest for a slow reader and says so, and
nothing is written before the reader took what was written last.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import trio
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

HEARTBEAT_SECONDS = 15.0
"""A comment is sent after so much silence, so that both ends notice a dead connection."""

Write: TypeAlias = Callable[[str], Awaitable[None]]
Produce: TypeAlias = Callable[[Write], Awaitable[None]]


class EventStream(Response):
    """A response that lasts until its producer returns or the reader goes away."""

    media_type = "text/event-stream"

    def __init__(self, produce: Produce) -> None:
        """Answer with what ``await produce(write)`` writes."""
        super().__init__()
        del self.headers["content-length"]
        self.headers["cache-control"] = "no-store"
        # nginx holds back what it forwards unless it is told not to.
        self.headers["x-accel-buffering"] = "no"
        self._produce = produce

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""

        async def write(text: str) -> None:
            await send({"type": "http.response.body", "body": text.encode(), "more_body": True})

        async def leave_when_the_reader_does() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            nursery.cancel_scope.cancel()

        start = {"status": self.status_code, "headers": self.raw_headers}
        await send({"type": "http.response.start", **start})
        if scope["method"] != "HEAD":
            async with trio.open_nursery() as nursery:
                nursery.start_soon(leave_when_the_reader_does)
                # At once, so that the reader knows that the stream is there.
                await write(": here\n\n")
                await self._produce(write)
                nursery.cancel_scope.cancel()
        await send({"type": "http.response.body", "body": b""})


async def or_heartbeat(write: Write, wait: Callable[[], Awaitable[Any]]) -> Any:
    """Return ``await wait()``, which may be cancelled and called again; beat while it lasts."""
    while True:
        with trio.move_on_after(HEARTBEAT_SECONDS):
            return await wait()
        await write(": heartbeat\n\n")


def message(data: Any, number: int | None = None) -> str:
    """Return one server-sent event: JSON on one line, with an id if there is a number."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return f"data: {text}\n\n" if number is None else f"id: {number}\ndata: {text}\n\n"
