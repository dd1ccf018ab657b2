"""A program that embeds a child where other users' processes are hidden: ``TAG``."""

from __future__ import annotations

import sys
from pathlib import Path

import trio

from a2a_sup.children.command import Command
from a2a_sup.children.logs import ChildLog
from a2a_sup.children.running import running


def count(tag: str) -> int:
    lines = [file.read_bytes() for file in Path("/proc").glob("[0-9]*/cmdline")]
    return sum(line.startswith(b"sleep\0" + tag.encode()) for line in lines)


async def main(tag: str) -> None:
    payload = Path(__file__).with_name("payload.py")
    command = Command([sys.executable, "-SE", str(payload), "clean", tag])
    async with running(command, ChildLog()):
        with trio.fail_after(10):
            while count(tag) < 2:
                await trio.sleep(0.01)


if __name__ == "__main__":
    trio.run(main, sys.argv[1])
    print("1 is visible:", Path("/proc/1").exists(), "left:", count(sys.argv[1]))
