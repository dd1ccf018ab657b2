"""The events of a tree over HTTP: those that are kept, and those that follow, with ids."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from a2a_sup.model.codec import event_to_json
from a2a_sup.model.events import Event, EventsDropped
from a2a_sup.serve.api_input import parameters, switch, whole
from a2a_sup.serve.api_problems import Problem
from a2a_sup.serve.api_streams import EventStream, Write, message, or_heartbeat
from a2a_sup.serve.event_log import EVENTS_KEPT, EventLog
from a2a_sup.tree.handle import TreeHandle

WAITING = 1000
"""Events that wait for a slow reader; then the oldest are dropped, and it is told."""
CHUNK = 200
"""Events written at once."""
LAST = 100
READERS = {"last": whole(0, EVENTS_KEPT), "follow": switch}
MOST = 2**63 - 1


def events_response(request: Request, tree: TreeHandle, kept: EventLog) -> Response:
    """Return the answer to a request for events.

    Raises:
        Problem: bad-parameter.
    """
    asked = parameters(request, READERS)
    if not asked.get("follow", True):
        events = kept.last(asked.get("last", LAST))
        return JSONResponse({"events": [to_json(tree, event) for event in events]})
    last_id = _last_event_id(request)

    async def produce(write: Write) -> None:
        # Both in the same breath: nothing is missing between them, and nothing is there twice.
        before: Sequence[Event | EventsDropped]
        before = kept.last(asked.get("last", 0)) if last_id is None else kept.since(last_id)
        with kept.follow(WAITING) as subscription:
            for start in range(0, len(before), CHUNK):
                await write(_messages(tree, before[start : start + CHUNK]))
            while True:
                first = await or_heartbeat(write, lambda: anext(subscription, None))
                if first is None:
                    return
                await write(_messages(tree, [first, *subscription.drain()]))

    return EventStream(produce)


def to_json(tree: TreeHandle, event: Event | EventsDropped) -> dict[str, Any]:
    """Return an event as in :func:`event_to_json`, with its ``wall_time`` in seconds since 1970."""
    fields = event_to_json(event)
    if isinstance(event, Event):
        fields["wall_time"] = tree.wall_time(event.time)
    return fields


def _messages(tree: TreeHandle, events: Iterable[Event | EventsDropped]) -> str:
    return "".join(
        message(to_json(tree, event), event.seq if isinstance(event, Event) else None)
        for event in events
    )


def _last_event_id(request: Request) -> int | None:
    """Return which event the reader saw last. Raises Problem: bad-parameter."""
    text = request.headers.get("last-event-id")
    if text is None or not text:
        return None
    try:
        return int(whole(0, MOST)(text))
    except ValueError:
        detail = f"Last-Event-ID: found {text!r:.80}; allowed: an id of this stream"
        raise Problem("bad-parameter", detail) from None
