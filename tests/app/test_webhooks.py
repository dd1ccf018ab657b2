"""The real program tells a receiver of what happens in its tree."""

from __future__ import annotations

import json
import signal
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import trio

from tests.app.operating import running

Start = Callable[..., Awaitable[Any]]
HOOK = """
[[webhooks]]
url = "http://127.0.0.1:{port}/hook"
events = ["child.failed", "supervisor.ended"]
secret = "${{KEY}}"
"""
CHILD = """
[children.broken]
command = ["sh", "-c", "exit 3"]
restart = { intensity = 0 }
"""


class Receiver:
    """A receiver that is well, and what it was told."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.port = 0
        self._arrived = trio.Event()

    async def serve(self, task_status: trio.TaskStatus[None]) -> None:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = listener.socket.getsockname()[1]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(trio.serve_listeners, self._answer, [listener]))
            task_status.started()

    async def _answer(self, stream: trio.SocketStream) -> None:
        async with stream:
            data = b""
            while not data.endswith(b"}"):
                received = await stream.receive_some()
                if not received:
                    return
                data += received
            self.bodies.append(json.loads(data.partition(b"\r\n\r\n")[2]))
            self._arrived.set()
            self._arrived = trio.Event()
            await stream.send_all(b"HTTP/1.1 204 X\r\nConnection: close\r\n\r\n")

    async def until(self, kind: str) -> None:
        with trio.fail_after(20):
            while not any(body["event"]["type"] == kind for body in self.bodies):
                await self._arrived.wait()


async def test_events_of_the_program_are_posted_to_the_last(
    start: Start, nursery: trio.Nursery, tmp_path: Path
) -> None:
    receiver = Receiver()
    await nursery.start(receiver.serve)
    file = tmp_path / "tree.toml"
    file.write_text(HOOK.format(port=receiver.port) + CHILD)
    program = await start("run", file, "--http", "off", KEY="hunter2")
    await program.until("child.failed", child="broken")
    program.signal(signal.SIGTERM)
    assert await program.ended() == 0
    bodies = receiver.bodies
    assert [body["event"]["type"] for body in bodies] == ["child.failed", "supervisor.ended"]
    assert bodies[0]["event"]["reason"]["exit_status"] == 3
    assert not any("hunter2" in json.dumps(line) for line in program.log)


async def test_a_reload_changes_who_is_told(
    start: Start, nursery: trio.Nursery, tmp_path: Path
) -> None:
    first, second = Receiver(), Receiver()
    for receiver in (first, second):
        await nursery.start(receiver.serve)
    file = tmp_path / "tree.toml"
    operator = await running(start, file, CHILD, KEY="hunter2")
    said = []
    for receiver in (first, second):
        file.write_text(HOOK.format(port=receiver.port) + CHILD)
        said.append((await operator("reload")).lines)
        told = await operator.program.until("reload.webhooks", times=len(said))
        assert told["receivers"] == [f"127.0.0.1:{receiver.port}"]
        if receiver is first:
            await operator("start", "broken")  # it fails again
            await first.until("child.failed")
    assert said == [["update the webhooks", "1 untouched"]] * 2
    operator.program.signal(signal.SIGTERM)
    assert await operator.program.ended() == 0
    assert [body["event"]["type"] for body in second.bodies] == ["supervisor.ended"]
    assert {body["event"]["type"] for body in first.bodies} == {"child.failed"}
    assert not any("hunter2" in json.dumps(line) for line in operator.program.log)
