"""What the children print, on the program's standard output: for containers."""

from __future__ import annotations

import json
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio

Start = Callable[..., Awaitable[Any]]
INTO_FILE = ("sh", "-c", 'exec "$@" > out', "sh")
TREE = """
[children.web]
command = ["sh", "-c", "echo hello; echo oh >&2; exec sleep 60"]
{logs}
[children.quiet]
command = ["sleep", "60"]
"""


def write(directory: Path, logs: str = "") -> Path:
    file = directory / "tree.toml"
    file.write_text(TREE.format(logs=logs))
    return file


async def lines_of(file: trio.Path, count: int) -> list[str]:
    with trio.fail_after(20):
        while not await file.exists():
            await trio.sleep(0.01)
        while len(lines := (await file.read_text()).splitlines()) < count:
            await trio.sleep(0.01)
    return lines


@pytest.mark.parametrize("where", ["stdout", "both"])
async def test_all_children_on_standard_output(start: Start, tmp_path: Path, where: str) -> None:
    program = await start(
        "run", write(tmp_path), "--state-dir", "s", "--logs", where, prefix=INTO_FILE
    )
    await program.until("tree.started")
    assert await lines_of(trio.Path(tmp_path / "out"), 2) == ["web | hello", "web | oh"]
    program.signal(signal.SIGTERM)
    assert await program.ended() == 0
    files = [file.name for file in (tmp_path / "s" / "logs").glob("*")]
    assert files == (["web.log"] if where == "both" else [])


async def test_one_child_as_json(start: Start, tmp_path: Path) -> None:
    file = write(tmp_path, 'logs = { forward = true, format = "json" }')
    program = await start("run", file, prefix=INTO_FILE)
    lines = await lines_of(trio.Path(tmp_path / "out"), 2)
    told = {(line["child"], line["stream"], line["line"]) for line in map(json.loads, lines)}
    assert told == {("web", "stdout", "hello"), ("web", "stderr", "oh")}
    program.signal(signal.SIGTERM)
    assert await program.ended() == 0


async def test_lines_as_events_in_the_log(start: Start, tmp_path: Path) -> None:
    file = write(tmp_path, "logs.events = true")
    program = await start("run", file, "--log-level", "debug")
    assert (await program.until("child.output", line="hello"))["stream"] == "output"
    program.signal(signal.SIGTERM)
    assert await program.ended() == 0
