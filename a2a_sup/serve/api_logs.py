"""What a child printed, over HTTP: the last lines, and those that follow."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from a2a_sup.children.logs import ChildLog
from a2a_sup.serve.api_input import parameters, seconds, switch, whole
from a2a_sup.serve.api_streams import EventStream, Write, message, or_heartbeat

MOST_LINES = 10_000
LINES = 100
CHUNK = 500
"""Lines written at once."""
READERS = {"lines": whole(0, MOST_LINES), "since": seconds, "follow": switch}


def logs_response(request: Request, log: ChildLog) -> Response:
    """Return the answer to a request for a child's log.

    Raises:
        Problem: bad-parameter.
    """
    asked = parameters(request, READERS)
    lines, since = asked.get("lines", LINES), asked.get("since", 0.0)
    if not asked.get("follow", False):
        found = log.recent(lines, since=since)
        return JSONResponse({"lines": [line._asdict() for line in found]})

    async def produce(write: Write) -> None:
        with log.follow_lines(last=lines) as follower:
            while True:
                found, dropped = await or_heartbeat(write, follower.receive)
                messages = [message(line._asdict()) for line in found if line.time >= since]
                if dropped:
                    messages.insert(0, message({"dropped_bytes": dropped}))
                for start in range(0, len(messages), CHUNK):
                    await write("".join(messages[start : start + CHUNK]))

    return EventStream(produce)
