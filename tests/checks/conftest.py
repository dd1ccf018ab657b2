"""A child to ask, and servers to be asked: every answer that a socket can give."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
import trio


class FakeContext:
    """The context of a child that only has a path."""

    path = "tests/child"
    number = 1

    def started(self, value: object = None) -> None:
        raise AssertionError("a check says nothing for its child")

    def ready(self, *, is_ready: bool = True) -> None:
        raise AssertionError("a check says nothing for its child")

    def report(self, **details: Any) -> None:
        raise AssertionError("a check says nothing for its child")

    def printed(self, stream: str, line: str, left_out: int) -> None:
        raise AssertionError("a check says nothing for its child")

    def stop_request(self) -> trio.Event:
        raise AssertionError("a check says nothing for its child")


@pytest.fixture
def context() -> FakeContext:
    return FakeContext()


class Server:
    """A TCP server on the loopback: answers each connection with the next of its answers."""

    def __init__(self, answers: list[bytes], *, holds: bool) -> None:
        self.port = 0
        self.heads: list[bytes] = []
        self.gone = trio.Event()
        self._answers = answers
        self._holds = holds

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, stream: trio.abc.Stream) -> None:
        head = b""
        try:
            while b"\r\n\r\n" not in head and (data := await stream.receive_some()):
                head += data
            self.heads.append(head)
            answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
            await stream.send_all(answer)
            if self._holds:
                while await stream.receive_some():
                    pass
        except trio.BrokenResourceError:
            pass
        self.gone.set()


Serve = Callable[..., Awaitable[Server]]


@pytest.fixture
def serve(nursery: trio.Nursery) -> Serve:
    """Return a function that starts a server with these answers.

    With ``holds`` it keeps connections open after its answer, until the client is gone.
    """

    async def start(*answers: bytes, holds: bool = False) -> Server:
        server = Server([*answers] or [b""], holds=holds)
        listeners = await nursery.start(partial(trio.serve_tcp, server.serve, 0, host="127.0.0.1"))
        server.port = listeners[0].socket.getsockname()[1]
        return server

    return start


def answer(status: int = 200, body: bytes = b"ok", **headers: str) -> bytes:
    """Return an HTTP response."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body
