"""A real server in the test's own Trio run, and plain clients."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import pytest
import trio

from a2a_sup.serve.http import App, serve_app
from a2a_sup.serve.listen import Address, Door

Serve = Callable[..., Awaitable[str]]
ANYWHERE = Address("127.0.0.1", 0)
Connect = Callable[[str], Awaitable[trio.SocketStream]]
ReceiveAll = Callable[[trio.abc.ReceiveStream], Awaitable[bytes]]


@pytest.fixture
def door() -> Door:
    return Door(Address("127.0.0.1", 0), "try another")


@pytest.fixture
async def serve(nursery: trio.Nursery) -> AsyncIterator[Serve]:
    """Return a function that serves an application and returns its address."""

    async def serve_it(app: App, place: Address | Path = ANYWHERE) -> str:
        bound: str = await nursery.start(serve_app, lambda: app, Door(place, "try another"))
        return bound

    yield serve_it
    nursery.cancel_scope.cancel()


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=20) as opened:
        yield opened


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Return a function that connects to a bound address."""
    streams: list[trio.SocketStream] = []

    async def open_one(bound: str) -> trio.SocketStream:
        host, _, port = bound.rpartition(":")
        streams.append(await trio.open_tcp_stream(host.strip("[]"), int(port)))
        return streams[-1]

    yield open_one
    for stream in streams:
        stream.socket.close()


@pytest.fixture
def receive_all() -> ReceiveAll:
    """Return a function that returns everything until the other end closes."""

    async def receive(stream: trio.abc.ReceiveStream) -> bytes:
        data = b""
        with trio.fail_after(30):
            try:
                while chunk := await stream.receive_some():
                    data += chunk
            except trio.BrokenResourceError:
                pass
        return data

    return receive
