"""What a child printed, over HTTP: the last lines, and those that follow."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from a2a_sup.children.logs import ChildLog
from a2a_sup.serve.api_input import parameters, switch, whole
from a2a_sup.serve.api_streams import EventStream, Write, message, or_heartbeat

MOST_LINES = 10_000
LINES = 100
LONGEST_LINE = 16 * 1024
"""Bytes of a line that has no end; then it is cut."""
READERS = {"lines": whole(0, MOST_LINES), "follow": switch}


def logs_response(request: Request, log: ChildLog) -> Response:
    """Return the answer to a request for a child's log.

    Raises:
        Problem: bad-parameter.
    """
    asked = parameters(request, READERS)
    lines = asked.get("lines", LINES)
    if not asked.get("follow", False):
        return JSONResponse({"lines": [as_line(line) for line in log.tail(lines)]})

    async def produce(write: Write) -> None:
        with log.follow() as follower:
            if before := log.tail(lines):
                await write("".join(message(as_line(line)) for line in before))
            rest = b""
            while True:
                data, lost = await or_heartbeat(write, follower.receive)
                if lost:
                    rest = b""
                    await write(message({"dropped_bytes": lost}))
                *whole_lines, rest = (rest + data).split(b"\n")
                if len(rest) > LONGEST_LINE:
                    whole_lines, rest = [*whole_lines, rest], b""
                if whole_lines:
                    await write("".join(message(as_line(line)) for line in whole_lines))

    return EventStream(produce)


def as_line(line: bytes) -> dict[str, Any]:
    """Return a line as JSON; what is no UTF-8 is replaced."""
    return {"text": line.removesuffix(b"\r").decode(errors="replace")}
