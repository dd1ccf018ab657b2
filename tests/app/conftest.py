"""The real program under test: started, listened to, and never left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio

BIN = Path(sys.executable).parent
Json = dict[str, Any]


class Program:
    """One run of ``a2a-sup``: its log, line by line, and its process."""

    def __init__(self, process: trio.Process) -> None:
        self.process = process
        self.log: list[Json] = []
        self.other: list[str] = []
        self._changed = trio.Event()

    async def listen(self) -> None:
        rest = b""
        assert self.process.stderr is not None
        async for chunk in self.process.stderr:
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._take(line.decode())
        self._changed.set()

    def _take(self, line: str) -> None:
        try:
            self.log.append(json.loads(line))
        except ValueError:
            self.other.append(line)
        self._changed.set()
        self._changed = trio.Event()

    def told(self, event: str, **fields: object) -> list[Json]:
        """Return the log lines of this event, with these fields."""
        return [
            line for line in self.log if line["event"] == event and fields.items() <= line.items()
        ]

    async def until(
        self, event: str, *, times: int = 1, seconds: float = 20, **fields: object
    ) -> Json:
        """Wait until the log has said this so many times; return the last of them."""
        with trio.move_on_after(seconds):
            while len(found := self.told(event, **fields)) < times:
                await self._changed.wait()
            return found[-1]
        raise AssertionError(f"no {event} {fields} x{times} in {self.log} {self.other}")

    def pid_of(self, child: str) -> int:
        """Return the pid of the child's last start."""
        started = self.told("child.started", child=child)
        assert started, (self.log, self.other)
        return int(started[-1]["pid"])

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def ended(self, seconds: float = 20) -> int:
        """Wait for the end and return the exit status."""
        with trio.fail_after(seconds):
            return await self.process.wait()


Start = Callable[..., Awaitable[Program]]


@pytest.fixture
async def start(nursery: trio.Nursery, tmp_path: Path) -> AsyncIterator[Start]:
    """Return a function that starts ``a2a-sup`` with these arguments."""
    programs: list[Program] = []
    # The path of a unix socket has at most 107 bytes: tmp_path may be too long.
    runtime = tempfile.TemporaryDirectory(prefix="a2a-")

    async def start_program(*words: object, prefix: tuple[str, ...] = (), **env: str) -> Program:
        process = await trio.lowlevel.open_process(
            [*prefix, str(BIN / "a2a-sup"), *map(str, words)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd=tmp_path,
            env={
                **os.environ,
                "PATH": f"{BIN}:{os.environ['PATH']}",
                "XDG_STATE_HOME": str(tmp_path / "state"),
                "XDG_RUNTIME_DIR": runtime.name,
                "A2A_SUP_LOG_FORMAT": "json",
                "A2A_SUP_HTTP": "127.0.0.1:0",
                "A2A_SUP_DASHBOARD": "127.0.0.1:0",
                **env,
            },
        )
        program = Program(process)
        programs.append(program)
        nursery.start_soon(program.listen)
        return program

    try:
        yield start_program
    finally:
        with trio.CancelScope(shield=True):
            for program in programs:
                program.process.kill()
                await program.process.wait()
            runtime.cleanup()
        nursery.cancel_scope.cancel()
