"""The real program tells a receiver of what happens in its tree."""

from __future__ import annotations

import json
import signal
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import trio

Start = Callable[..., Awaitable[Any]]
TREE = """
[[webhooks]]
url = "http://127.0.0.1:{port}/hook"
events = ["child.failed", "supervisor.ended"]
secret = "${{KEY}}"

[children.broken]
command = ["sh", "-c", "exit 3"]
restart = {{ intensity = 0 }}
"""


async def test_events_of_the_program_are_posted_to_the_last(
    start: Start, nursery: trio.Nursery, tmp_path: Path
) -> None:
    bodies: list[dict[str, Any]] = []

    async def answer(stream: trio.SocketStream) -> None:
        async with stream:
            data = b""
            while not data.endswith(b"}"):
                received = await stream.receive_some()
                if not received:
                    return
                data += received
            bodies.append(json.loads(data.partition(b"\r\n\r\n")[2]))
            await stream.send_all(b"HTTP/1.1 204 X\r\nConnection: close\r\n\r\n")

    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(partial(trio.serve_listeners, answer, [listener]))
    file = tmp_path / "tree.toml"
    file.write_text(TREE.format(port=listener.socket.getsockname()[1]))
    program = await start("run", file, "--http", "off", KEY="hunter2")
    await program.until("child.failed", child="broken")
    program.signal(signal.SIGTERM)
    assert await program.ended() == 0
    assert [body["event"]["type"] for body in bodies] == ["child.failed", "supervisor.ended"]
    assert bodies[0]["event"]["reason"]["exit_status"] == 3
    assert not any("hunter2" in json.dumps(line) for line in program.log)
