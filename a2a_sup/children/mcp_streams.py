"""Between a server's pipes and the ``mcp`` SDK: lines, messages, and lines that are none.

The framing is the stdio transport's, alike in all revisions of MCP up to 2026-07-28: one JSON-RPC
message per line, in UTF-8, and nothing else on standard output. Servers that print there anyway
are common, so such lines are counted and shown, and are no reason to end.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import TypeAlias

import anyio
import trio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage
from mcp_types import jsonrpc_message_adapter

Received: TypeAlias = MemoryObjectReceiveStream[SessionMessage | Exception]
Sending: TypeAlias = MemoryObjectSendStream[SessionMessage]

LINE_LIMIT = 16 * 1024 * 1024
"""Bytes of a message; what is longer is junk."""
SHOWN_BYTES = 200
"""Shown of a junk line."""
UNSENT_MESSAGES = 256
"""Messages that wait for a server to read; a sender waits above it."""
READ_BYTES = 64 * 1024
JUNK_PAUSE = 0.005
"""Seconds of rest after reading nothing but junk: a flood of it slows the server, not us."""
REPORT_SECONDS = 1.0
"""Between two reports about junk."""


class Lines:
    """Cuts bytes into lines and keeps a bounded part of the one that is not complete."""

    def __init__(self, limit: int = LINE_LIMIT) -> None:
        """Let a line have at most ``limit`` bytes."""
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the lines that ``data`` completes, without their ends.

        Of a line that is too long comes its beginning, with words behind it that keep it from
        being a message.
        """
        *ends, rest = data.split(b"\n")
        for end in ends:
            self._add(end)
            yield self._complete()
        self._add(rest)

    @property
    def is_too_long(self) -> bool:
        """Whether the line that is not complete will be junk."""
        return self._size > self._limit

    def _add(self, part: bytes) -> None:
        self._parts.append(part)
        self._size += len(part)
        if self.is_too_long:
            self._parts = [b"".join(self._parts)[:SHOWN_BYTES]]

    def _complete(self) -> bytes:
        line = b"".join(self._parts)
        if self.is_too_long:
            line += b"... (%d bytes)" % self._size
        self._parts, self._size = [], 0
        return line


class Junk:
    """The lines of one server that were no messages."""

    def __init__(self, log: Callable[[bytes], None], report: Callable[[int, str], None]) -> None:
        """Take who is told: ``log`` every line, ``report`` now and then how many and the last."""
        self._log = log
        self._report = report
        self._lines = 0
        self._reported = 0
        self._last = ""
        self._arrived = trio.Event()

    def add(self, line: bytes) -> None:
        """Count a line."""
        self._lines += 1
        self._last = line[:SHOWN_BYTES].decode(errors="replace")
        self._log(line + b"\n")
        self._arrived.set()

    async def keep_reported(self) -> None:
        """Report what arrives until cancelled; a flood is not to be one of reports too."""
        try:
            while True:
                await self._arrived.wait()
                self._arrived = trio.Event()
                self._tell()
                await trio.sleep(REPORT_SECONDS)
        finally:
            if self._lines > self._reported:
                self._tell()

    def _tell(self) -> None:
        self._reported = self._lines
        self._report(self._lines, self._last)


def message_of(line: bytes) -> SessionMessage | None:
    """Return the JSON-RPC message in a line, or None if there is none."""
    if not line.lstrip().startswith(b"{"):  # spares a flood of text the cost of an exception each
        return None
    try:
        return SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError:
        return None


@asynccontextmanager
async def transport(
    stdin: trio.abc.SendStream,
    stdout: trio.abc.ReceiveStream,
    *,
    junk: Junk,
    lost: Callable[[str], None],
) -> AsyncIterator[tuple[Received, Sending]]:
    """Carry messages over a server's pipes: a transport as ``mcp.Client`` takes it.

    Args:
        stdin: of the server.
        stdout: of the server.
        junk: counts the lines that are no messages.
        lost: is told that no more messages come or can be sent, and why.
    """
    arriving, received = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    sending, leaving = anyio.create_memory_object_stream[SessionMessage](UNSENT_MESSAGES)

    async def receive() -> None:
        # Closed: the session is over.
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            await _receive(stdout, arriving, junk)
            end("it closed its standard output")

    async def send() -> None:
        try:
            await _send(stdin, leaving)
        except trio.BrokenResourceError:
            end("it closed its standard input")

    def end(why: str) -> None:
        # Both directions: the SDK would wait for the answer to what was never sent.
        arriving.close()
        leaving.close()
        lost(why)

    with arriving, received, sending, leaving:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            nursery.start_soon(send)
            nursery.start_soon(junk.keep_reported)
            yield received, sending
            nursery.cancel_scope.cancel()


async def _receive(
    stdout: trio.abc.ReceiveStream,
    arriving: MemoryObjectSendStream[SessionMessage | Exception],
    junk: Junk,
) -> None:
    lines = Lines()
    while data := await stdout.receive_some(READ_BYTES):
        messages = 0
        for line in lines.feed(bytes(data)):
            if message := message_of(line):
                messages += 1
                await arriving.send(message)
            elif line.strip():
                junk.add(line)
        if not messages and (b"\n" in data or lines.is_too_long):
            await trio.sleep(JUNK_PAUSE)


async def _send(
    stdin: trio.abc.SendStream, leaving: MemoryObjectReceiveStream[SessionMessage]
) -> None:
    """Write messages; one task does, so that a cancelled caller leaves no half of one behind."""
    with suppress(anyio.ClosedResourceError):
        async for item in leaving:
            text = item.message.model_dump_json(by_alias=True, exclude_unset=True)
            await stdin.send_all(text.encode() + b"\n")
