"""A dashboard over a tree, on a real port; clients that are not ours."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar

import attrs
import pytest
import trio

from a2a_sup import ChildSpec, TreeHandle, open_tree
from a2a_sup.registry import AgentRegistry
from a2a_sup.serve.handshake import Rules
from a2a_sup.serve.publisher import Limits, Publisher


class FreeDoor:
    """Any free port of the loopback interface."""

    is_local = True

    async def open(self) -> trio.SocketListener:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1", backlog=2_000)
        return listeners[0]

    def close(self, listener: trio.SocketListener) -> None:
        listener.socket.close()


class RawClient:
    """A WebSocket client of forty lines: it can do what real ones refuse to do."""

    opened: ClassVar[list[trio.SocketStream]] = []

    def __init__(self, stream: trio.SocketStream) -> None:
        self.opened.append(stream)
        self.stream = stream
        self.held = b""

    @classmethod
    def close_all(cls) -> None:
        while cls.opened:
            cls.opened.pop().socket.close()

    @classmethod
    async def connect(
        cls, port: int, headers: str = "", *, path: str = "/", receive_buffer: int = 0
    ) -> RawClient:
        sock = trio.socket.socket()
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        await sock.connect(("127.0.0.1", port))
        client = cls(trio.SocketStream(sock))
        host = "" if "Host:" in headers else f"Host: 127.0.0.1:{port}\r\n"
        key = base64.b64encode(os.urandom(16)).decode()
        await client.stream.send_all(
            f"GET {path} HTTP/1.1\r\n{host}Upgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n".encode(
                "latin-1"
            )
        )
        return client

    async def response(self) -> str:
        """The head of the answer to the handshake."""
        while b"\r\n\r\n" not in self.held:
            if not await self._more():
                break
        head, _, self.held = self.held.partition(b"\r\n\r\n")
        return head.decode()

    async def status(self) -> int:
        return int((await self.response()).split()[1])

    async def _more(self) -> bool:
        data = await self.stream.receive_some(65536)
        self.held += data
        return bool(data)

    async def frame(self) -> tuple[int, bytes] | None:
        """The next frame: its opcode and payload; None: the connection ended."""
        with contextlib.suppress(trio.BrokenResourceError):
            while True:
                parsed = self._parsed()
                if parsed is not None:
                    return parsed
                if not await self._more():
                    return None
        return None

    def _parsed(self) -> tuple[int, bytes] | None:
        data = self.held
        if len(data) < 2:
            return None
        size, start = data[1] & 0x7F, 2
        assert not data[1] & 0x80, "a server does not mask"
        assert not data[0] & 0x70, "no extension was agreed upon"
        if size == 126:
            size, start = int.from_bytes(data[2:4], "big"), 4
        elif size == 127:
            size, start = int.from_bytes(data[2:10], "big"), 10
        if len(data) < start + size:
            return None
        self.held = data[start + size :]
        return data[0] & 0x0F, data[start : start + size]

    async def send(self, payload: str | bytes, opcode: int | None = None) -> None:
        """Send a frame, masked as a client's has to be."""
        data = payload.encode() if isinstance(payload, str) else payload
        code = opcode if opcode is not None else (1 if isinstance(payload, str) else 2)
        size = len(data)
        if size < 126:
            head = bytes((0x80 | code, 0x80 | size))
        elif size < 65536:
            head = struct.pack("!BBH", 0x80 | code, 0xFE, size)
        else:
            head = struct.pack("!BBQ", 0x80 | code, 0xFF, size)
        await self.stream.send_all(head + bytes(4) + data)

    async def ask(self, kind: str) -> None:
        await self.send(json.dumps({"type": kind}))

    async def message(self, kind: str = "") -> Any:
        """The next message, of this type if one is given; others are passed over."""
        with trio.fail_after(20):
            while True:
                frame = await self.frame()
                assert frame is not None, f"the connection ended before {kind!r}"
                if frame[0] == 1:
                    body = json.loads(frame[1])
                    if not kind or body["type"] == kind:
                        return body

    async def closed(self) -> int | None:
        """The code with which the server closes; None: without one."""
        with trio.fail_after(20):
            while (frame := await self.frame()) is not None:
                if frame[0] == 8:
                    return int.from_bytes(frame[1][:2], "big")
        return None


@attrs.frozen
class Dashboard:
    tree: TreeHandle
    registry: AgentRegistry
    publisher: Publisher
    port: int
    nursery: trio.Nursery

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    async def client(self, headers: str = "", **options: Any) -> RawClient:
        client = await RawClient.connect(self.port, headers, **options)
        assert await client.status() == 101
        return client

    async def until(self, condition: Callable[[], bool]) -> None:
        with trio.fail_after(20):
            while not condition():
                await trio.sleep(0.005)


Open = Callable[..., AbstractAsyncContextManager[Dashboard]]


@contextlib.asynccontextmanager
async def _dashboard(
    spec: ChildSpec,
    *,
    rules: Rules | None = None,
    registry: AgentRegistry | None = None,
    **limits: Any,
) -> AsyncIterator[Dashboard]:
    agents = registry or AgentRegistry()
    async with open_tree(spec) as tree, trio.open_nursery() as nursery:
        publisher = Publisher(tree, agents, rules=rules, limits=Limits(**limits))
        listener = await nursery.start(publisher.serve, FreeDoor())
        port = listener.socket.getsockname()[1]
        try:
            yield Dashboard(tree, agents, publisher, port, nursery)
        finally:
            RawClient.close_all()
            nursery.cancel_scope.cancel()


@pytest.fixture
def dashboard() -> Open:
    """Open a dashboard over the tree of a specification; options: rules, registry, Limits."""
    return _dashboard


@pytest.fixture
def raw_client() -> type[RawClient]:
    return RawClient


@pytest.fixture
def free_door() -> type[FreeDoor]:
    return FreeDoor
