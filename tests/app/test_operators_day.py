"""A day's work of an operator: the real program, real MCP servers, nothing but the commands."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from tests.app.conftest import Start
from tests.app.operating import PROGRAM, Operator, running

Json = dict[str, Any]

MORNING = """
[defaults]
restart = { backoff = ["200ms"], intensity = 1000, period = "10s" }

[children.time]
mcp = ["mcp-server-time", "--local-timezone", "UTC"]

[children.git]
mcp = ["mcp-server-git"]

[children.flaky]
command = ["sh", "-c", "echo working on it; echo out of luck >&2; exit 3"]

[children.desk]
strategy = "rest_for_one"
[children.desk.children.clock]
mcp = ["mcp-server-time", "--local-timezone", "Europe/Berlin"]
[children.desk.children.reader]
command = ["sleep", "1000"]

[children.workers]
replicas = 2
command = ["sh", "-c", "echo worker {index}; exec sleep 1000"]
"""
CHILDREN = [
    "time",
    "git",
    "flaky",
    "desk",
    "desk/clock",
    "desk/reader",
    "workers",
    "workers/0",
    "workers/1",
]
EVENING = (
    MORNING.replace('"--local-timezone", "UTC"', '"--local-timezone", "Asia/Tokyo"')
    + '\n[children.fetch]\nmcp = ["mcp-server-fetch"]\n'
)


async def rows(operator: Operator) -> dict[str, Json]:
    said = await operator("status", "--json")
    assert said.status == 0, said.err
    return {row["path"]: row for row in said.json["children"]}


def pids(found: dict[str, Json], *but: str) -> dict[str, int]:
    """Return the process of every child that has one, but not of these, nor of the one that ends.

    Supervisors have none.
    """
    return {
        path: row["pid"]
        for path, row in found.items()
        if row["kind"] != "supervisor" and path not in {"flaky", *but}
    }


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


@asynccontextmanager
async def following(operator: Operator, *words: str) -> AsyncIterator[trio.Process]:
    """Have a command that goes on until Ctrl-C, with which it is ended."""
    process = await trio.lowlevel.open_process(
        [PROGRAM, *words], env=operator.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        yield process
        process.send_signal(signal.SIGINT)
        with trio.fail_after(10):
            assert await process.wait() == 130
            assert process.stderr is not None
            assert await process.stderr.receive_some() == b""
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


async def until_it_says(process: trio.Process, *words: bytes) -> bytes:
    """Read what a command prints until all these words were in it."""
    assert process.stdout is not None
    said = b""
    with trio.fail_after(20):
        while not all(word in said for word in words):
            chunk = await process.stdout.receive_some()
            assert chunk, said
            said += chunk
    return said


def command_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


async def the_file_is_changed(operator: Operator, file: Path, before: dict[str, Json]) -> None:
    # First with a mistake: nothing is touched, the mistake is named.
    await trio.Path(file).write_text(EVENING.replace("replicas", "replica"))
    said = await operator("reload")
    assert (said.status, said.out) == (1, "")
    assert "did you mean 'replicas'?" in said.err
    assert pids(await rows(operator)) == pids(before)
    # Then as it should be: the plan says what will be, the reload does that and nothing else.
    await trio.Path(file).write_text(EVENING)
    steps = ["restart time (mcp)", "add fetch", "8 untouched"]
    planned = await operator("reload", "--plan")
    assert (planned.status, planned.lines) == (0, steps)
    assert pids(await rows(operator)) == pids(before)
    assert (await operator("reload")).lines == steps
    after = await rows(operator)
    assert pids(after, "time", "fetch") == pids(before, "time")
    assert not is_alive(before["time"]["pid"])
    assert b"Asia/Tokyo" in command_of(after["time"]["pid"])
    assert after["fetch"]["state"] == "running"
    assert (await operator("reload")).out == "nothing to do\n"


async def one_crashes_and_is_stopped(operator: Operator, before: dict[str, Json]) -> None:
    # Its log is followed through its restarts.
    async with following(operator, "logs", "-f", "-n", "0", "flaky", "workers/0") as log:
        said = await until_it_says(log, b"flaky     | working on it\n", b"| out of luck\n")
        said += await until_it_says(log, b"working on it\n", b"out of luck\n")
        assert b"workers/0" not in said
    flaky = (await rows(operator))["flaky"]
    assert flaky["restarts"] > before["flaky"]["restarts"]
    assert flaky["last_reason"].endswith("status 3")
    # It is stopped, and a server too, and what happens is watched meanwhile.
    async with following(operator, "events", "-f", "-n", "0", "--json") as events:
        # Some crash of it is seen, so the follower is there.
        await until_it_says(events, b'"path": "flaky"')
        assert (await operator("stop", "flaky")).out == "flaky: stopped\n"
        assert (await operator("stop", "desk/clock")).out == "desk/clock: stopped\n"
        assert (await operator("stop", "flaky")).out == "flaky: is stopped already\n"
        await until_it_says(events, b'"child.stopped"', b'"desk/clock"')
    assert (await operator("probe", "flaky")).status == 1
    assert not is_alive(before["desk/clock"]["pid"])


async def there_is_more_work(operator: Operator, before: dict[str, Json]) -> dict[str, Json]:
    assert (await operator("scale", "workers", "4")).out == "workers: 4 of it\n"
    after = await rows(operator)
    assert [path for path in after if path.startswith("workers/")] == [
        f"workers/{number}" for number in range(4)
    ]
    # The old ones stay, and everybody else.
    assert pids(after).items() >= pids(before, "desk/clock", "time").items()
    assert (await operator("logs", "workers/3")).out == "worker 3\n"
    said = await operator("scale", "time", "2")
    assert said.status == 1
    assert "replicas" in said.err
    return after


async def the_machine_is_serviced(operator: Operator, before: dict[str, Json]) -> None:
    operator.program.signal(signal.SIGTERM)
    assert await operator.program.ended() == 0
    assert not any(is_alive(pid) for pid in pids(before, "desk/clock").values())
    said = await operator("status")
    assert (said.status, said.out) == (3, "")
    assert said.err.count("\n") == 1
    assert "a2a-sup run FILE" in said.err


async def it_is_as_it_was_left(operator: Operator, before: dict[str, Json]) -> None:
    found = await rows(operator)
    assert list(found) == list(before)
    down = {path for path, row in found.items() if row["state"] != "running"}
    assert down == {"flaky", "desk/clock"}
    assert {found[path]["state"] for path in down} == {"stopped"}
    # One of them is wanted again; its neighbours do not notice.
    assert (await operator("start", "desk/clock")).out == "desk/clock: started\n"
    assert (await operator("probe", "desk/clock")).status == 0
    assert pids(await rows(operator), "desk/clock") == pids(found, "desk/clock")
    assert (await operator("scale", "workers", "1")).status == 0
    assert "workers/1" not in await rows(operator)


async def what_was_done_can_be_read(operator: Operator) -> None:
    told = [json.loads(line) for line in (await operator("events", "--json")).lines]
    numbers = [event["seq"] for event in told]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert any((e["type"], e["path"]) == ("child.started", "desk/clock") for e in told)
    by = f"uid:{os.geteuid()}"
    assert operator.program.told("control.start", child="desk/clock", by=by)
    assert operator.program.told("control.scale", child="workers", by=by, replicas=1)


async def test_a_day_of_an_operator(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "tree.toml"
    operator = await running(start, file, MORNING)
    # There is one supervisor: nobody has to say where it is.
    operator.env["XDG_RUNTIME_DIR"] = str(Path(operator.control).parents[1])
    del operator.env["A2A_SUP_CONTROL"]
    morning = await rows(operator)
    assert list(morning) == CHILDREN
    assert {path for path, row in morning.items() if row["state"] != "running"} <= {"flaky"}
    assert (morning["time"]["kind"], morning["time"]["processes"]) == ("mcp", 1)
    assert all(is_alive(pid) for pid in pids(morning).values())

    await the_file_is_changed(operator, file, morning)
    await one_crashes_and_is_stopped(operator, morning)
    scaled = await there_is_more_work(operator, morning)
    await the_machine_is_serviced(operator, scaled)
    again = await running(start, file, EVENING)
    assert again.control == operator.control
    await it_is_as_it_was_left(again, scaled)
    await what_was_done_can_be_read(again)
    again.program.signal(signal.SIGTERM)
    assert await again.program.ended() == 0
