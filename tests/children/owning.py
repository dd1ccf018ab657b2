"""Programs that own all processes below them, for tests: see ``PROGRAMS``.

They run apart from the tests, because what they become cannot be undone. Each prints one
JSON object.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import trio

from a2a_sup.children.command import Command
from a2a_sup.children.hygiene import current_host, own_processes
from a2a_sup.children.marks import new_instance
from a2a_sup.children.process import ProcessExited, run_command
from a2a_sup.children.task import task
from tests.children.meanwhile import in_the_making

ORPHAN = "import os, sys, time\nif os.fork(): sys.exit(int(sys.argv[1]))\nos.setsid()\n"
HOPPER = """
import os, sys, time
end = time.monotonic() + 30
for _ in range(200):
    if os.fork() == 0:
        os.setpgid(0, 0)
        while time.monotonic() < end:
            time.sleep(0.001)
            if os.fork():
                os._exit(0)
        os._exit(0)
print("ready", flush=True)
time.sleep(60)
"""


class Context:
    """As little of a ChildContext as a process needs."""

    number = 1
    details: ClassVar[dict[str, Any]] = {}
    spec = task("fake", trio.sleep_forever)

    def __init__(self, path: str) -> None:
        self.path = path
        self.start = trio.Event()
        self.stop = trio.Event()

    def started(self, value: object = None) -> None:
        self.start.set()

    def ready(self, *, is_ready: bool = True) -> None:
        pass

    def printed(self, stream: str, line: str, left_out: int) -> None:
        pass

    def report(self, **details: Any) -> None:
        pass

    def stop_request(self) -> trio.Event:
        return self.stop


def python(*words: str) -> list[str]:
    return [sys.executable, "-ISEc", *words]


async def status_of(context: Context, argv: list[str]) -> int:
    try:
        await run_command(Command(argv), None, context)
    except ProcessExited as exc:
        return exc.exit_status or 0
    return 0


def children() -> dict[int, str]:
    """Return our children and their states."""
    found = {}
    for file in Path("/proc/self/task").glob("*/children"):
        for pid in file.read_text().split():
            stat = Path(f"/proc/{pid}/stat").read_text()
            found[int(pid)] = stat.rpartition(")")[2].split()[0]
    return found


async def statuses() -> dict[str, object]:
    """300 children with orphans, and 60 processes of the program's own, all at once."""
    wrong = Counter[str]()

    async def child(number: int) -> None:
        script = ORPHAN + "time.sleep(0.01)"
        if await status_of(Context(f"{number}"), python(script, f"{number % 200}")) != number % 200:
            wrong["children"] += 1

    async def own(number: int) -> None:
        for session in (False, True):
            argv = ["sh", "-c", f"exit {number}"]
            done = await trio.run_process(argv, check=False, start_new_session=session)
            wrong["own"] += done.returncode != number

    async with trio.open_nursery() as nursery:
        for number in range(300):
            nursery.start_soon(child, number)
            if number % 5 == 0:
                nursery.start_soon(own, number // 5)
    await trio.sleep(2.5)
    return {"children": wrong["children"], "own": wrong["own"], "left": len(children())}


async def meanwhile() -> dict[str, object]:
    """A process of the program's own that is forked while a child is made, and outlives it."""
    own: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        argv = ["sh", "-c", "read line; exit 7"]
        own.append(subprocess.Popen(argv, stdin=subprocess.PIPE, start_new_session=True))

    with ThreadPoolExecutor(1) as thread:
        with in_the_making(lambda: thread.submit(start).result()):
            await status_of(Context("child"), ["true"])
        [process] = own
        process.communicate(b"\n", timeout=10)
    return {"own": process.returncode}


async def hoppers() -> dict[str, object]:
    """200 processes that each fork a successor and end, all the time, out of the group."""
    context = Context("hoppers")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(status_of, context, python(HOPPER))
        await context.start.wait()
        log = current_host().logs.get("hoppers")
        assert log is not None
        with log.follow() as follower:
            if not log.written:
                await follower.receive()
        begin = trio.current_time()
        context.stop.set()
    return {"seconds": trio.current_time() - begin, "left": len(children())}


async def pipes() -> dict[str, object]:
    """1100 children whose pipes are over an ordinary user's budget print more than fits in one."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    text = b"".join(b"%d\n" % number for number in range(1, 4001))
    contexts = [Context(f"{number}") for number in range(1100)]

    async def printed(path: str) -> bool:
        log = current_host().logs.get(path)
        assert log is not None
        with log.follow() as follower, trio.move_on_after(20):
            while log.written < len(text):
                await follower.receive()
        return log.written == len(text) and log.tail(1) == [b"4000"]

    complete = 0
    async with trio.open_nursery() as nursery:
        for context in contexts:
            argv = ["sh", "-c", "seq 1 4000; exec sleep 60"]
            nursery.start_soon(status_of, context, argv)
        for context in contexts:
            await context.start.wait()
        for context in contexts:
            complete += await printed(context.path)
        begin = trio.current_time()
        for context in contexts:
            context.stop.set()
    return {
        "complete": complete,
        "stopped_in": trio.current_time() - begin,
        "left": len(children()),
    }


PROGRAMS = {"statuses": statuses, "meanwhile": meanwhile, "hoppers": hoppers, "pipes": pipes}


async def main(name: str) -> None:
    own_processes(new_instance())
    print(json.dumps(await PROGRAMS[name]()))


if __name__ == "__main__":
    trio.run(main, sys.argv[1])
    os._exit(0)
