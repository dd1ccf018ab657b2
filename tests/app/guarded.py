"""A small supervisor, for tests of what is below it: ``STATE_DIRECTORY KIND TAG...``.

Runs commands given as JSON on its command line, restarts what ends, stops all at SIGUSR1 and stays,
ends with status 3 at SIGTERM. Prints one word per step.
"""

from __future__ import annotations

import json
import logging
import signal
import sys
from pathlib import Path
from typing import Any, ClassVar

import trio

from a2a_sup.app.guardian import guard
from a2a_sup.children.command import Command
from a2a_sup.children.hygiene import own_processes
from a2a_sup.children.process import ProcessExited, run_command
from a2a_sup.children.state import state_directory
from a2a_sup.children.task import task


class Context:
    """As little of a ChildContext as a process needs."""

    number = 1
    details: ClassVar[dict[str, Any]] = {}
    spec = task("fake", trio.sleep_forever)

    def __init__(self, path: str, stop: trio.Event) -> None:
        self.path = path
        self._stop = stop

    def started(self, value: object = None) -> None:
        say("started", self.path, value)

    def ready(self, *, is_ready: bool = True) -> None:
        pass

    def printed(self, stream: str, line: str, left_out: int) -> None:
        pass

    def report(self, **details: Any) -> None:
        if "survivors" in details:
            say("survivors", *details["survivors"])

    def stop_request(self) -> trio.Event:
        return self._stop


def say(*words: object) -> None:
    print(*words, flush=True)


async def keep_running(path: str, command: Command, stop: trio.Event) -> None:
    while not stop.is_set():
        try:
            await run_command(command, None, Context(path, stop))
        except ProcessExited as exc:
            say("ended", path, exc)
    say("stopped", path)


async def supervise(instance: int, commands: list[list[str]]) -> int:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGUSR1) as signals:
        own_processes(instance)
        stop = trio.Event()
        async with trio.open_nursery() as nursery:
            for number, argv in enumerate(commands):
                command = Command(argv, stop_timeout=2)
                nursery.start_soon(keep_running, f"child-{number}", command, stop)
            say("up")
            async for number in signals:
                stop.set()
                if number == signal.SIGTERM:
                    break
    return 3


def main() -> int:
    with state_directory(Path(sys.argv[1])) as state:
        return trio.run(supervise, state.instance, [json.loads(word) for word in sys.argv[2:]])


if __name__ == "__main__":
    logging.basicConfig(level="WARNING", format="warning %(message)s", stream=sys.stdout)
    sys.exit(guard(main))
