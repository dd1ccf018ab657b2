"""A stream to one watcher that takes a frame without waiting, as long as the kernel has room.

trio-websocket sends through ``send_all``: a checkpoint, a lock and a frame made anew for each
connection. For one frame to a thousand watchers that is most of the cost, and it would hold the
event loop. Frames of a server are not masked (RFC 6455, 5.1), so the same bytes are right for
all of them, and they may go out whenever no other frame is under way. So the connection is given
this stream, which knows when that is: what trio-websocket sends, such as a pong, and what is
offered here never mix.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct

import trio

SEND_BUFFER = 128 * 1024
"""Bytes that the kernel may hold for one watcher; Linux doubles it (socket(7), SO_SNDBUF)."""


class Outlet(trio.abc.Stream):
    """A socket stream with frames that are offered beside those that are sent.

    Attributes:
        heard_at: when something was received last, in seconds of Trio's clock.
        moved_at: when the kernel took something last, or was first asked to.
    """

    def __init__(self, stream: trio.SocketStream) -> None:
        """Take over a connected stream."""
        self._stream = stream
        self._stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        self._descriptor = stream.socket.fileno()
        self._rest: bytes | memoryview = b""
        self._sending = trio.Lock()
        self._is_closed = False
        self.heard_at = self.moved_at = trio.current_time()

    @property
    def unsent(self) -> int:
        """Bytes of the frame under way that the kernel has not taken."""
        return len(self._rest)

    @property
    def is_closed(self) -> bool:
        """Whether nothing more can be sent."""
        return self._is_closed

    def offer(self, frame: bytes) -> bool:
        """Begin to send a frame; return whether it was begun. Never waits.

        What the kernel did not take is ``unsent``, and sent by ``flush``.
        """
        if self._rest or self._is_closed or self._sending.locked():
            return False
        self.moved_at = trio.current_time()
        self._rest = self._left_of(frame)
        return True

    async def flush(self) -> None:
        """Return when no frame is under way.

        Raises:
            trio.ClosedResourceError: the connection is lost, or was closed.
        """
        async with self._sending:
            await self._finish()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send whole frames, once the one under way is sent. Raises what ``flush`` does."""
        async with self._sending:
            await self._finish()
            self.moved_at = trio.current_time()
            self._rest = self._left_of(bytes(data))
            await self._finish()

    async def wait_send_all_might_not_block(self) -> None:
        """Return when no frame is under way."""
        await self.flush()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Receive as a socket stream does."""
        data = await self._stream.receive_some(max_bytes)
        self.heard_at = trio.current_time()
        return bytes(data)

    async def aclose(self) -> None:
        """Close the connection; what was not sent is lost."""
        self._forget()
        await self._stream.aclose()

    def cut(self) -> None:
        """Close the connection at once, and let the kernel forget what it holds for it."""
        if not self._is_closed:
            self._forget()
            with contextlib.suppress(OSError):
                reset = struct.pack("ii", 1, 0)  # linger for 0 seconds
                self._stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            self._stream.socket.close()

    def _forget(self) -> None:
        self._is_closed = True
        self._rest = b""

    async def _finish(self) -> None:
        while self._rest:
            await trio.lowlevel.wait_writable(self._descriptor)
            before = len(self._rest)
            self._rest = self._left_of(self._rest)
            if len(self._rest) < before:
                self.moved_at = trio.current_time()
        if self._is_closed:
            raise trio.ClosedResourceError

    def _left_of(self, data: bytes | memoryview) -> bytes | memoryview:
        """Give the kernel what it takes of ``data``; return what it does not."""
        if self._is_closed:
            return b""
        try:
            # Python ignores SIGPIPE, so a lost connection is an error and no signal.
            written = os.write(self._descriptor, data)
        except BlockingIOError:
            return data
        except OSError:
            self.cut()  # its reader notices
            return b""
        return b"" if written == len(data) else memoryview(data)[written:]
